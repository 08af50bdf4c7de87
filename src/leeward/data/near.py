"""Recognizers that say nothing without one of their words: looked for only where a word can reach.

Most numbers that states and banks give are a few digits: their patterns match every number of that length, and a file of numbers
would be judged number by number, by each of them. Their words are literals, which Hyperscan finds at the speed of reading; the
patterns are tried, by Python's re, around a word, and in the rows and arrays that it may name. Text without such words costs
nothing more, however many numbers are in it.

Invariants: a word of several parts counts when its separators are all one of `_SEPARATORS`; at most `_MOST` times the size of a
payload is looked at, then it stops, and `cut` counts it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

import hyperscan
import msgspec

from leeward.ai.kept import cache_folder
from leeward.data.compiled import database
from leeward.data.documents import Buffer
from leeward.data.found import REACH
from leeward.data.patterns import compiled, on_characters
from leeward.data.recognizer import Expression, Recognizer, families

_AFTER = 32  # bytes behind a value in which a word is its context
_VALUE = 64  # bytes of the longest value
_MOST = 32
_MOST_REPORTS = 4096
_TOGETHER = 120  # recognizers in a database: twice as many take more than twice as long to compile
_SHORT = 5  # words with fewer letters are parts of many others, and looked for as words
_SEPARATORS = (" ", "_", "-", "", "\n", ".", ". ")
_HEADER = 4096  # bytes of the names of columns, before their rows
_OPENS_ARRAY = re.compile(rb'[^"\\\n]{0,64}"\s{0,8}:\s{0,8}\[')
_ARRAYS = re.compile(rb'"\s{0,8}:\s{0,8}\[')
_ARRAY = 20_000  # bytes of an array in which its key is the context


class Key(msgspec.Struct, frozen=True):
    """A literal that stands for words. size: bytes of the longest of them. owners: the recognizers whose words they are.
    families: numbers of the databases with their forms."""

    size: int
    owners: tuple[int, ...]
    families: tuple[int, ...]


class Near:
    """Not for use by two threads at the same time."""

    def __init__(self, recognizers: Sequence[tuple[int, Recognizer]]) -> None:
        self.cut = 0
        self._patterns = {which: _patterns(recognizer) for which, recognizer in recognizers}
        by_family = families(recognizers, _TOGETHER)
        self._forms = [_forms(members) for members in by_family]
        short, long = _keys(recognizers, {which: n for n, members in enumerate(by_family) for which, _ in members})
        self._keys = [*long.values(), *short.values()]
        self._short = {word: len(long) + at for at, word in enumerate(short)}
        self._words = _words(list(long), list(short)) if long or short else None
        self._endings = re.compile("|".join(sorted(short, key=len, reverse=True)).encode())

    def make_expressions(self) -> None:
        for expressions in self._patterns.values():
            for expression in expressions:
                expression.pattern  # noqa: B018 - it is made by being asked for

    def spots(self, buffer: Buffer, everywhere: bool = False) -> Iterator[tuple[int, int, int]]:
        """(recognizer, start, end) of what may match: where a word reaches, or with `everywhere` without regard to words."""
        data = buffer.data
        whole = [(0, len(data))]
        windows = dict.fromkeys(self._patterns, whole) if everywhere else self._windows(buffer)
        left = max(_MOST, everywhere * len(windows)) * len(data) + (1 << 16)
        for which, pieces in windows.items():
            for first, last in pieces:
                left -= last - first
                if left < 0:
                    self.cut += 1
                    return
                yield from ((which, start, end) for start, end in _matches(self._patterns[which], data, first, last))

    def _windows(self, buffer: Buffer) -> dict[int, list[tuple[int, int]]]:
        """Where each recognizer is to be looked for: pieces in order, without overlaps. Of most words no value is near, so the
        pieces of a family are first looked at together, by Hyperscan; only for those whose form is there it is told which are
        theirs."""
        data = buffer.data
        reached = _reached(buffer, sorted(self._hits(data)), self._keys)
        near: dict[int, list[tuple[int, int]]] = {}
        for key, pieces in reached.items():
            for family in self._keys[key].families:
                near.setdefault(family, []).extend(pieces)
        ends = self._forms_in(data, near)
        if ends is not None and not ends:
            return {}
        windows: dict[int, list[tuple[int, int]]] = {}
        for key, pieces in reached.items():
            for which in self._keys[key].owners:
                if ends is None or which in ends:
                    windows.setdefault(which, []).extend(pieces)
        joined = {which: _joined(pieces) for which, pieces in windows.items()}
        if ends is None:
            return joined
        return {
            which: those for which, found in ends.items()
            if (those := [piece for piece in joined.get(which, ()) if _any_in(found, piece)])
        }  # fmt: skip

    def _forms_in(self, data: bytes, near: dict[int, list[tuple[int, int]]]) -> dict[int, list[int]] | None:
        """Where matches of each recognizer end, in order, in the pieces of the data that are near words of its family; None for
        text made to cost time."""
        ends: dict[int, list[int]] = {}
        left = _MOST_REPORTS + len(data) // 4
        at = 0
        owners: Sequence[int] = ()

        def report(form: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            nonlocal left
            left -= 1
            ends.setdefault(owners[form], []).append(at + end)
            return left <= 0

        try:
            for family, pieces in near.items():
                owners, forms = self._forms[family]
                for piece in _joined(pieces):
                    at, last = on_characters(data, *piece)
                    forms.scan(data[at:last], match_event_handler=report)
        except hyperscan.ScanTerminated:
            return None
        return ends

    def _hits(self, data: bytes) -> list[tuple[int, int]]:
        """Where words may end, and the numbers of their keys."""
        hits: list[tuple[int, int]] = []
        endings, short, long = self._endings, self._short, len(self._keys) - len(self._short)

        def report(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            if number < long:
                hits.append((end, number))
                return
            first = max(0, end - _SHORT)
            for word in endings.finditer(data[first:end].lower()):
                hits.append((first + word.end(), short[word.group().decode()]))

        if self._words is not None:
            self._words.scan(data, match_event_handler=report)
        return hits


def _reached(buffer: Buffer, hits: Iterable[tuple[int, int]], keys: Sequence[Key]) -> dict[int, list[tuple[int, int]]]:
    """Pieces of the data in which words may be the context of a value, by number of their key. hits: where they end, in order."""
    data = buffer.data
    size = len(data)
    arrays = _ARRAYS.search(data) is not None
    reached: dict[int, list[tuple[int, int]]] = {}
    rows: Sequence[tuple[int, int]] = ()  # of tables in the text that ends at text_end
    text_end = -1
    for end, number in hits:
        most = keys[number].size + _VALUE
        first, last = max(0, end - most - _AFTER), min(size, end + most + REACH)
        pieces = reached.get(number)
        if pieces is None:
            pieces = reached[number] = [(first, last)]
        elif pieces[-1][0] <= first <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(pieces[-1][1], last))
        else:
            pieces.append((first, last))
        if end > text_end:
            rows, text_end = buffer.rows_of(end - 1)
        if rows and rows[-1][0] >= end:
            following = bisect_left(rows, (end,))
            for row in rows[following : following + 2]:  # two, for an INSERT may look like a table
                if row[0] <= end + _HEADER:
                    pieces.append((max(0, row[0] - 1), min(size, row[1] + 1)))
        opened = _OPENS_ARRAY.match(data, end) if arrays else None
        if opened is not None:
            closed = data.find(b"]", opened.end(), opened.end() + _ARRAY)
            pieces.append((opened.end() - 1, min(size, opened.end() + _ARRAY if closed < 0 else closed + 1)))
    return reached


def _any_in(ends: Sequence[int], piece: tuple[int, int]) -> bool:
    at = bisect_left(ends, piece[0])
    return at < len(ends) and ends[at] <= piece[1]


def _add(pieces: list[tuple[int, int]], piece: tuple[int, int]) -> None:
    """Adds a piece; to the last one where they touch, so that a text of nothing but words takes no more room."""
    first, last = pieces[-1] if pieces else (0, -1)
    if first <= piece[0] <= last:
        pieces[-1] = (first, max(last, piece[1]))
    else:
        pieces.append(piece)


def _joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for piece in sorted(pieces):
        _add(joined, piece)
    return joined


def _keys(
    recognizers: Sequence[tuple[int, Recognizer]], family: Mapping[int, int]
) -> tuple[dict[str, Key], dict[str, Key]]:
    """Literals for all words: the short ones, and the others."""
    owners: dict[str, set[int]] = {}
    sizes: dict[str, int] = {}
    short: set[str] = set()
    for which, recognizer in recognizers:
        for entry in recognizer.words:
            word = entry.removesuffix("*").lower()
            literals = _spelled(word)
            if len(word) < _SHORT and word.isascii() and word.isalpha() and not entry.endswith("*"):
                short |= literals
            for key in literals:
                owners.setdefault(key, set()).add(which)
                sizes[key] = max(sizes.get(key, 0), len(word.encode()) + 4 * word.count(" "))
    keys = {
        key: Key(sizes[key], tuple(sorted(owners[key])), tuple(sorted({family[which] for which in owners[key]})))
        for key in sorted(owners)
    }
    return {key: keys[key] for key in sorted(short)}, {key: keys[key] for key in keys if key not in short}


def _spelled(word: str) -> set[str]:
    """How a word is written: of several words the two neighbours that are longest, with each separator; letters that are not
    ASCII, whose case Hyperscan does not know in literals, in each case."""
    parts = word.split()
    if len(parts) > 1:
        at = max(range(len(parts) - 1), key=lambda i: len(parts[i]) + len(parts[i + 1]))
        spelled = {separator.join(parts[at : at + 2]) for separator in _SEPARATORS}
    else:
        spelled = {word}
    return spelled if word.isascii() else spelled | {s.upper() for s in spelled} | {s.title() for s in spelled}


def _words(long: Sequence[str], short: Sequence[str]) -> hyperscan.Database:
    """Finds the long words anywhere, and, by the numbers after theirs, the short ones: no letter before, or as in `userSsn` a
    small one before a large; no small letter behind. An expression for each: alternatives cost twice as much."""
    literals = [(re.escape(word), hyperscan.HS_FLAG_CASELESS, 0) for word in long]
    alone = [(rf"(?:^|[^A-Za-z])(?i:{word})(?:$|[^a-z])", 0, 0) for word in short]
    humps = [(rf"[a-z]{form}(?:$|[^a-z])", 0, 0) for word in short for form in (word.capitalize(), word.upper())]
    return database([*literals, *alone, *humps], cache_folder())


def _forms(recognizers: Sequence[tuple[int, Recognizer]]) -> tuple[list[int], hyperscan.Database]:
    """All patterns, of any length, as for Python's re; and whose each is."""
    anything = [(which, msgspec.structs.replace(recognizer, min_length=0)) for which, recognizer in recognizers]
    owners = [which for which, recognizer in anything for _ in recognizer.patterns]
    return owners, compiled([(form, recognizer) for _, recognizer in anything for form in recognizer.patterns], False)


def _patterns(recognizer: Recognizer) -> list[Expression]:
    flags = re.ASCII | (re.IGNORECASE if recognizer.caseless else re.NOFLAG)
    return [Expression.of(pattern, flags) for pattern in recognizer.patterns]


def _matches(patterns: Iterable[Expression], data: bytes, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Matches in a piece of the data; one that touches an edge of the piece may go on behind it, and is none."""
    while first and data[first] & 0xC0 == 0x80:
        first += 1
    text = data[first:last].decode("utf-8", "ignore")
    plain = text.isascii()
    for expression in patterns:
        pattern = expression.pattern
        hit = pattern.search(text)
        while hit is not None:
            start, end = hit.span()
            if (start or not first) and (end < len(text) or last == len(data)):
                at = first + (start if plain else len(text[:start].encode()))
                yield at, at + (end - start if plain else len(hit.group().encode()))
            hit = pattern.search(text, start + 1)
