"""Hyperscan over a text, for all recognizers of a family at once: which may match where.

Invariant: linear in the text. A pass that reports more than `_MOST` matches for its size stops; patterns have boundaries at both
ends, so honest text stays far below. Then the text is looked at in windows, and `cut` counts those that stop as well.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence

import hyperscan
import msgspec

from leeward.data.documents import Buffer
from leeward.data.near import Near
from leeward.data.patterns import compiled, on_characters
from leeward.data.recognizer import Recognizer, families

FLOOR = 0.5
_MOST, _MOST_PER_BYTE = 4096, 0.25
_WINDOW, _OVERLAP = 16 << 10, 2 << 10
_LONG = 16 << 10  # bytes of data in which starts are looked for near the ends only
_REACH, _BEHIND = 1024, 8  # bytes before an end, and behind it for what a pattern says of the character there
_FEW = 16  # patterns: Python's re tries them one after another
_TOGETHER = 150  # recognizers
_GROUPS = 5


class Spot(msgspec.Struct, frozen=True, gc=False):
    """Bytes in which recognizer number `which` may match. ends: the possible ones, the farthest first."""

    which: int
    start: int
    ends: tuple[int, ...]


class Matcher:
    """Not for use by two threads at the same time. What it needs is made for the first text, or by `ready`."""

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        self.cut = 0
        numbered = list(enumerate(recognizers))
        decoders = [_Group(members) for members in families([(n, r) for n, r in numbered if r.unwrap], _TOGETHER)]
        others = [(n, r) for n, r in numbered if not (r.unwrap or needs_words(r))]
        groups = [_Group(members) for members in families(others, _TOGETHER)]
        self._decoders, self._ends = decoders, [_Ends(some) for some in _together(groups)]
        self._wordy = [(n, r) for n, r in numbered if needs_words(r)]

    @functools.cached_property
    def _near(self) -> Near:
        return Near(self._wordy)

    def ready(self) -> None:
        """Raises InputError for a pattern that cannot be compiled."""
        for group in self._decoders:
            group.ready()
        for several in self._ends:
            several.ready()

    def spots(self, buffer: Buffer, everywhere: bool = False) -> list[Spot]:
        """Where recognizers may match. everywhere: also where no word is that they need."""
        ends: dict[tuple[int, int], list[int]] = {}
        for group in self._decoders:  # they match somewhere in most texts
            self.cut += group.scan(buffer.data, ends)
        for several in self._ends:
            self.cut += several.scan(buffer.data, ends)
        for which, start, end in self._near.spots(buffer, everywhere):
            ends.setdefault((which, start), []).append(end)
        self.cut += self._near.cut
        self._near.cut = 0
        return [Spot(which, start, tuple(sorted(found, reverse=True)[:8])) for (which, start), found in ends.items()]


class _Ends:
    """Groups that one pass looks for together. It says only where matches end: to know where they start costs three times as
    much, and is asked of the groups that have one."""

    def __init__(self, groups: Sequence[_Group]) -> None:
        self._groups = groups
        self._owner = [(group, pattern) for group in groups for pattern in range(len(group.patterns))]

    @functools.cached_property
    def _database(self) -> hyperscan.Database:
        return compiled([pattern for group in self._groups for pattern in group.patterns], starts=False)

    def ready(self) -> None:
        self._database  # noqa: B018 - it is made by being asked for
        for group in self._groups:
            group.ready()

    def scan(self, data: bytes, ends: dict[tuple[int, int], list[int]]) -> int:
        """As _Group's."""
        told = self._told(data)
        if told is None:
            return sum(group.scan(data, ends) for group in self._groups)
        return sum(group.scan(data, ends, told[group]) for group in self._groups if group in told)

    def _told(self, data: bytes) -> dict[_Group, list[tuple[int, int]]] | None:
        """(pattern, end) of each match of each group that has one; None: there are too many."""
        told: dict[_Group, list[tuple[int, int]]] = {}
        left = _limit(data)
        owner = self._owner

        def report(number: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            nonlocal left
            left -= 1
            group, pattern = owner[number]
            told.setdefault(group, []).append((pattern, end))
            return left <= 0

        try:
            self._database.scan(data, match_event_handler=report)
        except hyperscan.ScanTerminated:
            return None
        return told


class _Group:
    """Recognizers that are matched together."""

    def __init__(self, members: Sequence[tuple[int, Recognizer]]) -> None:
        self._owner = [number for number, recognizer in members for _ in recognizer.patterns]
        self.patterns = [(pattern, recognizer) for _, recognizer in members for pattern in recognizer.patterns]

    @functools.cached_property
    def _database(self) -> hyperscan.Database:
        return compiled(self.patterns)

    def ready(self) -> None:
        self._database  # noqa: B018 - it is made by being asked for

    def scan(
        self, data: bytes, ends: dict[tuple[int, int], list[int]], told: Collection[tuple[int, int]] | None = None
    ) -> int:
        """Adds the ends of possible matches by recognizer and start. How many windows had too many and were left half-read. told:
        (pattern, end) of each match, where that is known."""
        if told is not None and len(data) > _LONG and self._around(data, ends, frozenset(told)):
            return 0
        if self._pass(data, 0, ends):
            return 0
        # Somebody may want the rest not to be looked at: then window by window, each with a limit of its own.
        return sum(not self._pass(data[at : at + _WINDOW + _OVERLAP], at, ends) for at in range(0, len(data), _WINDOW))

    def _around(self, data: bytes, ends: dict[tuple[int, int], list[int]], told: Collection[tuple[int, int]]) -> bool:
        """Looks for the starts of these matches near their ends. False: that is most of the data, or one starts farther away."""
        pieces = _before([end for _, end in told], data)
        if sum(last - first for first, last in pieces) > len(data) // 2:
            return False
        found: list[tuple[int, int, int]] = []
        for first, last in pieces:

            def report(pattern: int, start: int, end: int, _flags: int, _context: object, at: int = first) -> None:
                if (pattern, at + end) in told:
                    found.append((pattern, at + start, at + end))

            self._database.scan(data[first:last], match_event_handler=report)
        if len({(pattern, end) for pattern, _, end in found}) < len(told):
            return False
        for pattern, start, end in found:
            ends.setdefault((self._owner[pattern], start), []).append(end)
        return True

    def _pass(self, data: bytes, base: int, ends: dict[tuple[int, int], list[int]]) -> bool:
        """One pass over bytes that stand at `base` of the whole. False: it reported too much and stopped."""
        left = _limit(data)
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


def _limit(data: bytes) -> int:
    return _MOST + int(len(data) * _MOST_PER_BYTE)


def _before(ends: Iterable[int], data: bytes) -> list[tuple[int, int]]:
    """Pieces of the data, on whole characters, each with the bytes before some of these ends and a few behind."""
    pieces: list[tuple[int, int]] = []
    for end in sorted(ends):
        first, last = on_characters(data, max(end - _REACH, 0), min(end + _BEHIND, len(data)))
        if pieces and first <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], last)
        else:
            pieces.append((first, last))
    return pieces


def needs_words(recognizer: Recognizer) -> bool:
    """Whether a match without a context word is below what is reported by default. Patterns of ASCII only, which Python's re and
    Hyperscan read alike."""
    weak = recognizer.confidence < FLOOR and bool(recognizer.words) and not recognizer.unwrap
    return weak and len(recognizer.patterns) <= _FEW and all(pattern.isascii() for pattern in recognizer.patterns)


def _together(groups: Iterable[_Group]) -> list[list[_Group]]:
    """A few groups each: all in one are no faster, and take twice as long to compile. The user's apart from ours, so that a
    change of theirs does not mean to compile ours again."""
    found: dict[str, list[_Group]] = {}
    for group in groups:
        found.setdefault(group.patterns[0][1].source.rpartition("/")[0], []).append(group)
    return [some[at : at + _GROUPS] for some in found.values() for at in range(0, len(some), _GROUPS)]
