"""Hyperscan over a text, for all recognizers of a family at once: which may match where.

Invariant: linear in the text. A pass that reports more than `_MOST` matches for its size stops; patterns have boundaries at both
ends, so honest text stays far below. Then the text is looked at in windows, and `cut` counts those that stop as well.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import hyperscan
import msgspec

from leeward.ai.kept import cache_folder
from leeward.data.compiled import Pattern, compile_all, database
from leeward.data.documents import Buffer
from leeward.data.near import Near
from leeward.data.recognizer import Recognizer
from leeward.model.errors import InputError

_ANY_CHARACTER = re.compile(r"\[\^|\\[WSDpPxXuN]|(?<!\\)(?:\\\\)*\.")
FLOOR = 0.5
_MOST, _MOST_PER_BYTE = 4096, 0.25
_WINDOW, _OVERLAP = 16 << 10, 2 << 10
_FEW = 16  # patterns: Python's re tries them one after another
_TOGETHER = 150  # recognizers


class Spot(msgspec.Struct, frozen=True, gc=False):
    """Bytes in which recognizer number `which` may match. ends: the possible ones, the farthest first."""

    which: int
    start: int
    ends: tuple[int, ...]


class Matcher:
    """Not for use by two threads at the same time. What it needs is made for the first text."""

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        self.cut = 0
        self._recognizers = list(enumerate(recognizers))

    @functools.cached_property
    def _groups(self) -> list[_Group]:
        """Raises InputError for a pattern that cannot be compiled."""
        return [_Group(members) for members in _groups([(n, r) for n, r in self._recognizers if not needs_words(r)])]

    @functools.cached_property
    def _near(self) -> Near:
        return Near([(n, r) for n, r in self._recognizers if needs_words(r)])

    def spots(self, buffer: Buffer, everywhere: bool = False) -> list[Spot]:
        """Where recognizers may match. everywhere: also where no word is that they need."""
        ends: dict[tuple[int, int], list[int]] = {}
        for group in self._groups:
            self.cut += group.scan(buffer.data, ends)
        for which, start, end in self._near.spots(buffer, everywhere):
            ends.setdefault((which, start), []).append(end)
        self.cut += self._near.cut
        self._near.cut = 0
        return [Spot(which, start, tuple(sorted(found, reverse=True)[:8])) for (which, start), found in ends.items()]


class _Group:
    """Recognizers that are matched together."""

    def __init__(self, members: Sequence[tuple[int, Recognizer]]) -> None:
        self._owner = [number for number, recognizer in members for _ in recognizer.patterns]
        self._database = _compiled(
            [(pattern, recognizer) for _, recognizer in members for pattern in recognizer.patterns]
        )

    def scan(self, data: bytes, ends: dict[tuple[int, int], list[int]]) -> int:
        """Adds the ends of possible matches by recognizer and start. How many windows had too many and were left half-read."""
        if self._pass(data, 0, ends):
            return 0
        # Somebody may want the rest not to be looked at: then window by window, each with a limit of its own.
        return sum(not self._pass(data[at : at + _WINDOW + _OVERLAP], at, ends) for at in range(0, len(data), _WINDOW))

    def _pass(self, data: bytes, base: int, ends: dict[tuple[int, int], list[int]]) -> bool:
        """One pass over bytes that stand at `base` of the whole. False: it reported too much and stopped."""
        left = _MOST + int(len(data) * _MOST_PER_BYTE)
        owner = self._owner

        def report(pattern: int, start: int, end: int, _flags: int, _context: object) -> bool:
            nonlocal left
            left -= 1
            key = (owner[pattern], base + start)
            if key in ends:
                ends[key].append(base + end)
            else:
                ends[key] = [base + end]
            return left <= 0

        try:
            self._database.scan(data, match_event_handler=report)
        except hyperscan.ScanTerminated:
            return False
        return True


def needs_words(recognizer: Recognizer) -> bool:
    """Whether a match without a context word is below what is reported by default. Patterns of ASCII only, which Python's re and
    Hyperscan read alike."""
    weak = recognizer.confidence < FLOOR and bool(recognizer.words) and not recognizer.unwrap
    return weak and len(recognizer.patterns) <= _FEW and all(pattern.isascii() for pattern in recognizer.patterns)


def _groups(recognizers: Sequence[tuple[int, Recognizer]]) -> list[list[tuple[int, Recognizer]]]:
    """Recognizers by the family of files they come from: compiling takes more than twice as long for twice as many patterns, and
    a pass over several small databases is no slower than one over all."""
    found: dict[str, list[tuple[int, Recognizer]]] = {}
    for number, recognizer in recognizers:
        family = recognizer.source.rpartition("/")[2].partition(".")[0].partition("_")[0]
        found.setdefault(family, []).append((number, recognizer))
    return [members[at : at + _TOGETHER] for members in found.values() for at in range(0, len(members), _TOGETHER)]


def _compiled(patterns: Sequence[tuple[str, Recognizer]]) -> hyperscan.Database:
    try:
        return database([_pattern(*pattern) for pattern in patterns], cache_folder())
    except hyperscan.error:
        for text, recognizer in patterns:
            _complain(text, recognizer)
        raise


def _pattern(text: str, recognizer: Recognizer) -> Pattern:
    flags = hyperscan.HS_FLAG_SOM_LEFTMOST
    if not text.isascii() or _ANY_CHARACTER.search(
        text
    ):  # else bytes will do: in UTF-8 `k` without case is the Kelvin sign as well
        flags |= hyperscan.HS_FLAG_UTF8
    return text, flags | (hyperscan.HS_FLAG_CASELESS if recognizer.caseless else 0), recognizer.min_length


def _complain(text: str, recognizer: Recognizer) -> None:
    """Names the pattern if it is one that cannot be compiled."""
    try:
        compile_all([_pattern(text, recognizer)])
    except hyperscan.error as error:
        raise InputError(f"{recognizer.source}: {recognizer.id}: pattern {text}: {error}") from error
