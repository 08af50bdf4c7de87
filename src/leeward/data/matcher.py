"""One pass of Hyperscan over a text, for all recognizers at once: which may match where.

Invariant: linear in the text. A pass that reports more than `_MOST` matches for its size stops, and `cut` counts it: patterns
have boundaries at both ends, so honest text stays far below.
"""

from __future__ import annotations

from collections.abc import Sequence

import hyperscan
import msgspec

from leeward.data.compiled import Pattern, cache_folder, compile_all, database
from leeward.data.recognizer import Recognizer
from leeward.model.errors import InputError

_MOST, _MOST_PER_BYTE = 4096, 0.25


class Spot(msgspec.Struct, frozen=True, gc=False):
    """Bytes in which recognizer number `which` may match. ends: the possible ones, the farthest first."""

    which: int
    start: int
    ends: tuple[int, ...]


class Matcher:
    """Not for use by two threads at the same time."""

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        self.cut = 0
        self._owner = [i for i, r in enumerate(recognizers) for _ in r.patterns]
        patterns = [(pattern, r) for r in recognizers for pattern in r.patterns]
        self._database = _compiled(patterns)

    def spots(self, data: bytes) -> list[Spot]:
        """Where recognizers may match in `data`, which is UTF-8."""
        reports: list[tuple[int, int, int]] = []
        most = _MOST + int(len(data) * _MOST_PER_BYTE)

        def report(pattern: int, start: int, end: int, _flags: int, _context: object) -> bool:
            reports.append((pattern, start, end))
            return len(reports) > most

        try:
            self._database.scan(data, match_event_handler=report)
        except hyperscan.ScanTerminated:
            self.cut += 1
        return self._gathered(reports)

    def _gathered(self, reports: list[tuple[int, int, int]]) -> list[Spot]:
        ends: dict[tuple[int, int], list[int]] = {}
        for pattern, start, end in reports:
            ends.setdefault((self._owner[pattern], start), []).append(end)
        return [Spot(which, start, tuple(sorted(found, reverse=True)[:8])) for (which, start), found in ends.items()]


def _compiled(patterns: Sequence[tuple[str, Recognizer]]) -> hyperscan.Database:
    try:
        return database([_pattern(*pattern) for pattern in patterns], cache_folder())
    except hyperscan.error:
        for text, recognizer in patterns:
            _complain(text, recognizer)
        raise


def _pattern(text: str, recognizer: Recognizer) -> Pattern:
    flags = hyperscan.HS_FLAG_SOM_LEFTMOST | hyperscan.HS_FLAG_UTF8
    return text, flags | (hyperscan.HS_FLAG_CASELESS if recognizer.caseless else 0), recognizer.min_length


def _complain(text: str, recognizer: Recognizer) -> None:
    """Names the pattern if it is one that cannot be compiled."""
    try:
        compile_all([_pattern(text, recognizer)])
    except hyperscan.error as error:
        raise InputError(f"{recognizer.source}: {recognizer.id}: pattern {text}: {error}") from error
