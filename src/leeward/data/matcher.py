"""Hyperscan over a text, for all recognizers of a family at once: which may match where.

Invariant: linear in the text. A pass that reports more than `_MOST` matches for its size stops; patterns have boundaries at both
ends, so honest text stays far below. Then the text is looked at in windows, and `cut` counts those that stop as well.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import hyperscan
import msgspec

from leeward.data.documents import Buffer
from leeward.data.near import Near
from leeward.data.patterns import compiled, compiled_apart, on_characters
from leeward.data.recognizer import Recognizer, families

FLOOR = 0.5
_MOST, _MOST_PER_BYTE = 4096, 0.25
_WINDOW, _OVERLAP = 16 << 10, 2 << 10
_LONG = 16 << 10  # bytes of data in which starts are looked for near the ends only
_REACHES = (1024, 16 << 10)  # bytes before an end: most matches are short
_BEHIND = 8  # bytes behind an end, for what a pattern says of the character there
_FEW = 16  # patterns: Python's re tries them one after another
_TOGETHER = 150  # recognizers
_FAMILIES = 6


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
        self._decoders, self._ends = decoders, [_Ends(some) for some in _together(families(others, _TOGETHER))]
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

    def make_expressions(self) -> None:
        self._near.make_expressions()

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
        return [
            Spot(which, start, tuple(found if len(found) == 1 else sorted(found, reverse=True)[:8]))
            for (which, start), found in ends.items()
        ]


class _Ends:
    """Families that one pass looks for together. It says only where matches (or their signs) end: to know where they start costs
    three times as much, and is asked of the recognizers that have one, each by itself."""

    def __init__(self, families: Sequence[Sequence[tuple[int, Recognizer]]]) -> None:
        self._members = [member for family in families for member in family]
        self._families = len(families)
        self._owner = [
            (family, which, pattern)
            for family, members in enumerate(families)
            for which, recognizer in members
            for pattern in range(len(recognizer.signs or recognizer.patterns))
        ]
        self._family = {which: family for family, members in enumerate(families) for which, _ in members}
        self._reach = {which: recognizer.reach for which, recognizer in self._members if recognizer.signs}

    @functools.cached_property
    def _database(self) -> hyperscan.Database:
        return compiled([looked for _, recognizer in self._members for looked in _signs(recognizer)], starts=False)

    @functools.cached_property
    def _starts(self) -> dict[int, hyperscan.Database]:
        """By number of the recognizer."""
        made = compiled_apart([_patterns(recognizer) for _, recognizer in self._members])
        return {which: database for (which, _), database in zip(self._members, made, strict=True)}

    def ready(self) -> None:
        self._database, self._starts  # noqa: B018 - they are made by being asked for

    def scan(self, data: bytes, ends: dict[tuple[int, int], list[int]]) -> int:
        """As _Group's."""
        told, cut = self._told(data, _limit(data))
        if not cut:
            self._started(data, 0, told, ends)
            return 0
        # Somebody may want the rest not to be looked at: then window by window, where each family has a limit of its own.
        cut = 0
        for first, last in _windows(data):
            piece = data[first:last]
            told, flooded = self._told(piece, self._families * _limit(piece))
            self._started(piece, first, told, ends)
            cut += flooded
        return cut

    def _started(self, data: bytes, base: int, told: _Told, ends: dict[tuple[int, int], list[int]]) -> None:
        """Adds the ends of these matches, in bytes that stand at `base` of the whole, by recognizer and start: a family after the
        other, by their ends."""
        by_family: dict[int, list[int]] = {}
        for which in told:
            by_family.setdefault(self._family[which], []).append(which)
        for members in by_family.values():
            found = sorted(
                (end, which, pattern, start)
                for which in members
                for end, pattern, start in self._of(which, data, told[which])
            )
            for end, which, _, start in found:
                ends.setdefault((which, base + start), []).append(base + end)

    def _of(self, which: int, data: bytes, told: set[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """(end, pattern, start) of each of these matches of a recognizer, or of those that have these signs."""
        if which in self._reach:
            return _with_signs(self._starts[which], data, {end for _, end in told}, self._reach[which])
        return _with_starts(self._starts[which], data, told)

    def _told(self, data: bytes, left: int) -> tuple[_Told, int]:
        """Matches, `left` at most, and how many families had too many of them."""
        told: _Told = {}
        owner = self._owner
        room = [_limit(data)] * self._families

        def report(number: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            nonlocal left
            left -= 1
            family, which, pattern = owner[number]
            room[family] -= 1
            if room[family] > 0:
                if which in told:
                    told[which].add((pattern, end))
                else:
                    told[which] = {(pattern, end)}
            return left <= 0

        try:
            self._database.scan(data, match_event_handler=report)
        except hyperscan.ScanTerminated:
            return told, max(1, sum(most <= 0 for most in room))
        return told, sum(most <= 0 for most in room)


_Told = dict[int, set[tuple[int, int]]]
"""By recognizer, those first of which a match was found first: (pattern, end) of each match."""


def _with_starts(database: hyperscan.Database, data: bytes, told: set[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(end, pattern, start) of each of these matches of a recognizer, (pattern, end). In long data first near the ends."""
    found: list[tuple[int, int, int]] = []
    wanted, at = told, 0

    def report(pattern: int, start: int, end: int, _flags: int, _context: object) -> None:
        if (pattern, at + end) in wanted:
            found.append((at + end, pattern, at + start))

    for reach in _REACHES if len(data) > _LONG else ():
        pieces = _before([end for _, end in wanted], data, reach)
        if sum(last - first for first, last in pieces) > len(data) // 2:
            break
        for at, last in pieces:
            database.scan(data[at:last], match_event_handler=report)
        wanted = wanted - {(pattern, end) for end, pattern, _ in found}
        if not wanted:
            return found
    at = 0
    _, last = on_characters(data, 0, min(max(end for _, end in wanted) + _BEHIND, len(data)))
    database.scan(data[:last], match_event_handler=report)
    return found


def _with_signs(
    database: hyperscan.Database, data: bytes, signs: Iterable[int], reach: int
) -> list[tuple[int, int, int]]:
    """(end, pattern, start) of each match of at most `reach` bytes in which a sign ends at one of these bytes."""
    found: list[tuple[int, int, int]] = []
    at = last = 0

    def report(pattern: int, start: int, end: int, _flags: int, _context: object) -> None:
        # what touches an edge may be a piece of something longer
        if (start or not at) and (at + end < last or last == len(data)):
            found.append((at + end, pattern, at + start))

    for at, last in _before(signs, data, reach + _BEHIND, reach + _BEHIND):
        database.scan(data[at:last], match_event_handler=report)
    return found


class _Group:
    """Recognizers that are matched together."""

    def __init__(self, members: Sequence[tuple[int, Recognizer]]) -> None:
        self._owner = [number for number, recognizer in members for _ in recognizer.patterns]
        self._patterns = [pattern for _, recognizer in members for pattern in _patterns(recognizer)]

    @functools.cached_property
    def _database(self) -> hyperscan.Database:
        return compiled(self._patterns)

    def ready(self) -> None:
        self._database  # noqa: B018 - it is made by being asked for

    def scan(self, data: bytes, ends: dict[tuple[int, int], list[int]]) -> int:
        """Adds the ends of possible matches by recognizer and start. How many windows had too many and were left half-read."""
        if self._pass(data, 0, ends):
            return 0
        # Somebody may want the rest not to be looked at: then window by window, each with a limit of its own.
        return sum(not self._pass(data[first:last], first, ends) for first, last in _windows(data))

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


def _signs(recognizer: Recognizer) -> list[tuple[str, Recognizer]]:
    """What the first pass looks for."""
    if not recognizer.signs:
        return _patterns(recognizer)
    of_any_length = msgspec.structs.replace(recognizer, min_length=0)
    return [(sign, of_any_length) for sign in recognizer.signs]


def _patterns(recognizer: Recognizer) -> list[tuple[str, Recognizer]]:
    return [(pattern, recognizer) for pattern in recognizer.patterns]


def _windows(data: bytes) -> Iterator[tuple[int, int]]:
    for at in range(0, len(data), _WINDOW):
        yield on_characters(data, at, min(at + _WINDOW + _OVERLAP, len(data)))


def _limit(data: bytes) -> int:
    return _MOST + int(len(data) * _MOST_PER_BYTE)


def _before(ends: Iterable[int], data: bytes, reach: int, behind: int = _BEHIND) -> list[tuple[int, int]]:
    """Pieces of the data, on whole characters, each with `reach` bytes before some of these ends and so many behind."""
    pieces: list[tuple[int, int]] = []
    for end in sorted(ends):
        first, last = on_characters(data, max(end - reach, 0), min(end + behind, len(data)))
        if pieces and first <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], last)
        else:
            pieces.append((first, last))
    return pieces


def needs_words(recognizer: Recognizer) -> bool:
    """Whether a match without a context word is below what is reported by default. Patterns of ASCII only, which Python's re and
    Hyperscan read alike."""
    weak = recognizer.confidence < FLOOR and bool(recognizer.words) and not (recognizer.unwrap or recognizer.rare)
    return weak and len(recognizer.patterns) <= _FEW and all(pattern.isascii() for pattern in recognizer.patterns)


def _together(families: Iterable[Sequence[tuple[int, Recognizer]]]) -> list[list[Sequence[tuple[int, Recognizer]]]]:
    """A few families each: all in one are no faster, and take twice as long to compile. The user's apart from ours, so that a
    change of theirs does not mean to compile ours again."""
    found: dict[str, list[Sequence[tuple[int, Recognizer]]]] = {}
    for family in families:
        found.setdefault(family[0][1].source.rpartition("/")[0], []).append(family)
    return [some[at : at + _FAMILIES] for some in found.values() for at in range(0, len(some), _FAMILIES)]
