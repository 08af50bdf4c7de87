"""What is hidden in texts: the texts inside encoded pieces, and the texts as they read without escapes and disguised
characters.

One `Opener` a payload. `open` gives what is hidden in one level of texts as the next level; `lifted` brings what was found in
all levels back to the first. Invariants: bounded by the room of the Opener's Reader and by `DEPTH` levels; what is looked at
twice is only the text around what was undone; a match that owes nothing to what was undone is not told twice.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

import msgspec

from leeward.data.documents import Buffer, Text
from leeward.data.escapes import MARKS, escape_edits, quoted_printable
from leeward.data.fold import fold_edits, signs
from leeward.data.found import PASSAGE, WRAPPED, Found
from leeward.data.media import Reader
from leeward.data.rewrite import Edit, Rewritten, windows
from leeward.data.unwrap import UNWRAP, promising_runs

DEPTH = 3
"""Levels that are opened, in any mixture."""
ROOM = 4 << 20
"""Characters and bytes that come out of the encoded pieces of one payload, all levels together. Readings need no room: they are
hardly longer than what they read."""

_QUOTED = re.compile(rb"=(?:3D|[\n\rC])")  # signs of quoted-printable


class Hidden(msgspec.Struct, frozen=True, gc=False):
    """A text that was hidden in text `number` of the level above. name: what was undone. place: of the whole piece, or how to
    find that of a part of it."""

    text: Text
    number: int
    name: str
    place: tuple[int, int] | Rewritten

    @property
    def rewritten(self) -> bool:
        return isinstance(self.place, Rewritten)


class Opener:
    """counters: as of media.Reader, and `data_unwrapped`, texts that were opened."""

    def __init__(self, counters: Counter[str], room: int = ROOM) -> None:
        self._counters = counters
        self._reader = Reader(room, counters)

    def open(self, buffer: Buffer, runs: Iterable[tuple[str, int]]) -> list[Hidden]:
        """What is hidden in these texts. runs: (name in UNWRAP, byte at which an encoded piece may begin) each."""
        found = [*self._pieces(buffer, runs), *self._readings(buffer)]
        self._counters["data_unwrapped"] += len(found)
        return found

    def _pieces(self, buffer: Buffer, runs: Iterable[tuple[str, int]]) -> Iterator[Hidden]:
        runs = sorted(runs, key=itemgetter(1))
        worth = promising_runs(buffer.data, [start for name, start in runs if name == "run"])
        after = 0
        for name, start in runs:
            if name == "run" and start not in worth:
                continue
            if start + 1 < after:
                continue  # another line of a piece that was read as a whole
            for piece in UNWRAP[name](buffer.data, start, self._reader):
                after = max(after, piece.end)
                place = buffer.locate(piece.start, piece.end)
                if place is not None:
                    number, first, last = place
                    label = buffer.texts[number].label
                    yield Hidden(Text("$", piece.text, label), number, piece.name, (first, last))

    def _readings(self, buffer: Buffer) -> Iterator[Hidden]:
        """Texts around what is escaped or disguised, as they read."""
        escaped = any(mark in buffer.data for mark in MARKS)
        quoted = _QUOTED.search(buffer.data) is not None
        folded = _by_text(buffer, signs(buffer.data))
        if not (escaped or quoted or folded or folded is None):
            return
        for number, text in enumerate(buffer.texts):
            edits = escape_edits(text.text) if escaped else []
            if folded is None or number in folded:
                at = None if folded is None else folded[number]
                edits = _merged(edits, [("folded", edit) for edit in fold_edits(text.text, at)])
            yield from self._windows(text, number, edits)
            if quoted:
                yield from self._windows(text, number, [("quoted-printable", e) for e in quoted_printable(text.text)])

    def _windows(self, text: Text, number: int, edits: Sequence[tuple[str, Edit]]) -> Iterator[Hidden]:
        if not edits:
            return
        at = 0
        for window in windows(text.text, [edit for _, edit in edits]):
            names = set()
            while at < len(edits) and edits[at][1].start < window.end:
                names.add(edits[at][0])
                at += 1
            yield Hidden(Text("$", window.text, text.label), number, "+".join(sorted(names)), window)


def _by_text(buffer: Buffer, places: list[int] | None) -> dict[int, list[int]] | None:
    """Characters at which signs end, by number of their text."""
    if places is None:
        return None
    found: dict[int, list[int]] = defaultdict(list)
    for place in places:
        where = buffer.locate(place - 1, place)
        if where is not None:
            found[where[0]].append(where[2])
    return found


def _merged(edits: list[tuple[str, Edit]], more: list[tuple[str, Edit]]) -> list[tuple[str, Edit]]:
    """Both in order. An escape has ASCII only and a fold none, so they do not overlap."""
    return sorted([*edits, *more], key=lambda pair: pair[1].start) if edits else more


def lifted(levels: Sequence[tuple[list[Found], Sequence[Hidden]]]) -> list[Found]:
    """Matches of all levels as matches in the texts of the first. Each level comes with the hidden texts it is made of (none
    for the first)."""
    below: list[tuple[Found, Hidden]] = []
    for found, hidden in reversed(levels):
        matches = _joined(found, below) if below else found
        if not hidden:
            return matches
        below = []
        for match in matches:
            lift = _lift(match, hidden[match.text])
            if lift is not None:
                below.append((lift, hidden[match.text]))
    return []


def _lift(match: Found, hidden: Hidden) -> Found | None:
    """A match in a hidden text as one in the text above it; None for one that owes nothing to what was undone."""
    place = hidden.place
    if isinstance(place, Rewritten):
        if match.layer == PASSAGE or not place.touched(match.start, match.end):
            return None
        layer, (start, end) = match.layer, place.span(match.start, match.end)
    else:
        layer, (start, end) = PASSAGE if match.layer == PASSAGE else WRAPPED, place
    return msgspec.structs.replace(
        match,
        text=hidden.number,
        start=start,
        end=end,
        layer=layer,
        detector=f"{hidden.name}>{match.detector}",
        exact=False,
    )


def _joined(found: list[Found], below: Sequence[tuple[Found, Hidden]]) -> list[Found]:
    """Matches in texts, and those in what was hidden in them: each value once, as it is read best."""
    read = list(_unbroken(found, below))
    seen = {(match.text, match.start, match.end, match.kind): match.confidence for match in read}
    return read + [m for m, _ in below if seen.get((m.text, m.start, m.end, m.kind), -1.0) < m.confidence]


def _unbroken(found: list[Found], below: Sequence[tuple[Found, Hidden]]) -> Iterator[Found]:
    """Matches but for those that took a part of an escape for a part of the value: `nann@x.org` in `\\nann@x.org`."""
    by_text: dict[int, list[tuple[int, int, str, Rewritten]]] = defaultdict(list)
    for lift, hidden in below:
        if isinstance(hidden.place, Rewritten):
            by_text[lift.text].append((lift.start, lift.end, lift.kind, hidden.place))
    for spans in by_text.values():
        spans.sort(key=lambda span: span[0])
    for match in found:
        spans = by_text.get(match.text, [])
        at = bisect_left(spans, match.end, key=lambda span: span[0])
        if not any(
            end > match.start and _misread(match, kind, place) for _, end, kind, place in spans[max(at - 8, 0) : at]
        ):
            yield match


def _misread(match: Found, kind: str, place: Rewritten) -> bool:
    if match.layer == PASSAGE:
        return False
    return place.broken(match.start, match.end) or (match.kind == kind and place.replaced_in(match.start, match.end))
