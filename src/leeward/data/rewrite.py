"""Text with some of its pieces replaced, and the way back from its characters to those of the original.

Invariants: the way back is exact for pieces replaced one for one and for runs of escapes of one length; for any other piece it is
the whole piece. Building and asking are linear and logarithmic in the number of replaced pieces.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

AROUND = 112
"""Characters of the original kept on both sides of what was replaced: more than the scanner looks at for context."""
REACH = 80
"""A match this far behind a replaced piece may owe its context to it."""
_TO_SPACE = 64  # a window is widened by as much to end between words


class Edit(msgspec.Struct, frozen=True, gc=False):
    """Characters start to end become `put`. stride: each character of `put` stands for as many of the original; 0: all for
    all."""

    start: int
    end: int
    put: str
    stride: int = 0


class Rewritten:
    """A window of a text after its edits. text: what it reads now. start, end: the window in the original."""

    __slots__ = ("_edits", "_inner", "_outer", "_stride", "end", "start", "text")

    def __init__(self, original: str, edits: Sequence[Edit], start: int, end: int) -> None:
        self.start, self.end = start, end
        self._edits = edits
        self._inner: list[int] = []
        self._outer: list[int] = []
        self._stride: list[int] = []
        pieces: list[str] = []
        at = start
        for edit in edits:
            pieces.append(original[at : edit.start])
            pieces.append(edit.put)
            at = edit.end
        pieces.append(original[at:end])
        self.text = "".join(pieces)

    def _mapped(self) -> None:
        """Makes the way back when it is asked for: in most windows nothing is found."""
        if self._inner:
            return
        at, size = self.start, 0
        for edit in self._edits:
            if edit.start > at:
                self._piece(size, at, 1)
                size += edit.start - at
            self._piece(size, edit.start, edit.stride)
            size += len(edit.put)
            at = edit.end
        if self.end > at or not self._inner:
            self._piece(size, at, 1)
        self._piece(len(self.text), self.end, 1)

    def _piece(self, inner: int, outer: int, stride: int) -> None:
        self._inner.append(inner)
        self._outer.append(outer)
        self._stride.append(stride)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Characters of the original that characters start to end (not empty) come from."""
        self._mapped()
        first = bisect_right(self._inner, start) - 1
        last = bisect_right(self._inner, end - 1) - 1
        begin = self._outer[first] + self._stride[first] * (start - self._inner[first])
        if self._stride[last]:
            return begin, self._outer[last] + self._stride[last] * (end - self._inner[last])
        return begin, self._outer[last + 1]

    def touched(self, start: int, end: int) -> bool:
        """Whether something was replaced in characters start to end, beside them, or near enough before to be context."""
        self._mapped()
        first = max(bisect_right(self._inner, max(start - REACH, 0)) - 1, 0)
        while first and self._inner[first - 1] == self._inner[first]:
            first -= 1  # pieces replaced by nothing stand at the same place
        last = min(bisect_right(self._inner, end) - 1, len(self._inner) - 2)
        return last > first or self._stride[first] != 1

    def broken(self, start: int, end: int) -> bool:
        """Whether characters start to end of the original begin or end in the middle of a replaced piece."""
        self._mapped()
        return self._within(start) or self._within(end)

    def replaced_in(self, start: int, end: int) -> bool:
        """Whether something between characters start and end of the original was replaced."""
        self._mapped()
        first = bisect_right(self._outer, start) - 1
        last = bisect_right(self._outer, end - 1) - 1
        return 0 <= first <= last < len(self._stride) and (last > first or self._stride[first] != 1)

    def _within(self, at: int) -> bool:
        where = bisect_right(self._outer, at) - 1
        if not 0 <= where < len(self._outer) - 1 or at == self._outer[where]:
            return False
        stride = self._stride[where]
        return stride != 1 and (not stride or (at - self._outer[where]) % stride != 0)


def rewrite(text: str, edits: Sequence[Edit]) -> Rewritten:
    """The whole text after its edits, which are in order and do not overlap."""
    return Rewritten(text, edits, 0, len(text))


def windows(text: str, edits: Sequence[Edit]) -> Iterable[Rewritten]:
    """The text around its edits (in order, not overlapping): as few and short windows as hold them all."""
    first = 0
    for number in range(1, len(edits) + 1):
        if number < len(edits) and edits[number].start - edits[number - 1].end <= 2 * AROUND:
            continue
        group = edits[first:number]
        first = number
        yield Rewritten(text, group, _left(text, group[0].start), _right(text, group[-1].end))


def _left(text: str, at: int) -> int:
    """The start of a window: between words where there is a space near by."""
    at = max(at - AROUND, 0)
    low = max(at - _TO_SPACE, 0)
    space = max(text.rfind(" ", low, at), text.rfind("\n", low, at))
    return space + 1 if space >= 0 else at


def _right(text: str, at: int) -> int:
    at = min(at + AROUND, len(text))
    ends = [end for end in (text.find(" ", at, at + _TO_SPACE), text.find("\n", at, at + _TO_SPACE)) if end >= 0]
    return min(ends, default=at)
