"""Exact data match: the cells of a table that the user gave, known again in any text, from keyed hashes alone.

`build_exact` reads a CSV once and keeps hashes of the normal form (hashing.py) of each cell of the chosen columns, with column
and row; the CSV is not needed afterwards. A cell is one word or some words in a row; the first of them is looked up first, so
that most words of a text cost one look. Words that say nothing (short, common, in many rows) are left out, and a single word of
letters alone counts only beside another cell of its row. Invariants: finding is linear in the text; no text of the table is
kept.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from leeward.data import indexfile
from leeward.data.hashing import Keyed, normal
from leeward.model.errors import InputError

MAGIC = "leeward-exact 1"
MOST_WORDS = 8
"""Words of the longest cell that is kept; in longer ones nobody repeats every word."""
MOST_ROWS_OF_ONE = 32
"""Rows with the same cell: more, and it says nothing about one of them."""
_WORD = re.compile(r"[^\W_]+")
_GAP = 4  # characters from one word of a cell to the next
_ROW = 300  # characters in which cells of one row stand together
_HEAD_BITS = 32  # of a first word's hash: enough to leave out nearly all other words
_LONG_WORD = 128
_MOST_NUMBERS = 500_000  # hashes remembered for one text
_SINGLE, _STRONG, _NAME, _ROW_OF_TWO = 0.3, 0.9, 0.75, 0.97
_TOO_FEW = 0.3  # what a match beside fewer cells of its row than asked for is multiplied by


class _Hit(msgspec.Struct, gc=False):
    start: int
    end: int
    column: int
    rows: tuple[int, ...]
    confidence: float
    beside: int = 1


class ExactIndex:
    """The cells of one table. most_words: of its longest cell."""

    def __init__(self, keyed: Keyed, columns: list[str], tables: dict[str, array[int]], most_words: int) -> None:
        self._keyed = keyed
        self.columns = columns
        self._most_words = most_words
        self._heads = tables["heads"]
        self._cells = tables["cells"]
        self._column = tables["column"]
        self._row = tables["row"]

    def __len__(self) -> int:
        """How many cells it has."""
        return len(self._cells)

    @classmethod
    def load(cls, path: Path, keyed: Keyed) -> ExactIndex:
        """Reads an index that `build_exact` made. Raises InputError."""
        header, tables = indexfile.load(path, MAGIC, keyed)
        columns, most_words = header.get("columns"), header.get("words")
        sizes = {len(tables.get(name, ())) for name in ("cells", "column", "row")}
        known = isinstance(columns, list) and all(isinstance(c, str) for c in columns)
        if (
            not known
            or len(sizes) != 1
            or "heads" not in tables
            or max(tables["column"], default=0) >= len(columns or ())
        ):
            raise InputError(f"{path}: is broken: make it again with `leeward data index`")
        return cls(
            keyed, columns or [], tables, min(most_words, MOST_WORDS) if isinstance(most_words, int) else MOST_WORDS
        )

    def find(self, text: str, together: int = 1) -> list[tuple[str, int, int, float]]:
        """(column, first character, last, confidence) of each cell in `text`. together: cells of one row that must stand near
        each other; beside fewer of them a match counts little."""
        hits = list(self._hits(text))
        _join_rows(hits)
        found = []
        for hit in hits:
            confidence = _ROW_OF_TWO if hit.beside > 1 else hit.confidence
            if hit.beside < together:
                confidence *= _TOO_FEW
            found.append((self.columns[hit.column], hit.start, hit.end, round(confidence, 3)))
        return found

    def _hits(self, text: str) -> Iterator[_Hit]:
        numbers = {word: self._keyed.number(word) for word in set(_WORD.findall(text)) if len(word) <= _LONG_WORD}
        hot = {word for word, number in numbers.items() if self._begins(number)}
        if not hot:
            return
        words = list(_WORD.finditer(text))
        at = 0
        while at < len(words):
            hit = self._cell(words, at, numbers) if words[at][0] in hot else None
            if hit is not None:
                yield hit[0]
            at += hit[1] if hit else 1

    def _begins(self, number: int) -> bool:
        head = number >> (64 - _HEAD_BITS)
        at = bisect_left(self._heads, head)
        return at < len(self._heads) and self._heads[at] == head

    def _cell(self, words: list[re.Match[str]], at: int, numbers: dict[str, int]) -> tuple[_Hit, int] | None:
        """The longest cell that begins at this word, and its words."""
        best = None
        joined = words[at][0]
        entries = self._entries(numbers[joined])
        if entries:
            best = (self._hit(words, at, at, joined, entries), 1)
        for last in range(at + 1, min(at + self._most_words, len(words))):
            if words[last].start() - words[last - 1].end() > _GAP or len(joined) > _LONG_WORD:
                break
            joined += words[last][0]
            number = numbers.get(joined)
            if number is None:
                number = self._keyed.number(joined)
                if len(numbers) < _MOST_NUMBERS:
                    numbers[joined] = number
            entries = self._entries(number)
            if entries:
                best = (self._hit(words, at, last, joined, entries), last - at + 1)
        return best

    def _entries(self, number: int) -> list[int]:
        """Numbers of the cells with this hash."""
        at = bisect_left(self._cells, number)
        found: list[int] = []
        while at < len(self._cells) and self._cells[at] == number and len(found) <= MOST_ROWS_OF_ONE:
            found.append(at)
            at += 1
        return found

    def _hit(self, words: list[re.Match[str]], first: int, last: int, joined: str, entries: list[int]) -> _Hit:
        rows = tuple(self._row[entry] for entry in entries)
        return _Hit(
            words[first].start(), words[last].end(), self._column[entries[0]], rows, strength(joined, last - first + 1)
        )


def strength(joined: str, words: int) -> float:
    """How sure a cell is by itself: what has digits or is long is hardly written by chance, a name of two words may be
    another's."""
    if joined.isalpha() and words == 1:
        return _SINGLE if len(joined) < 14 else _NAME
    if any(c.isdigit() for c in joined):
        return _STRONG if len(joined) >= 6 else _SINGLE
    return _STRONG if words > 2 and len(joined) >= 12 else _NAME if len(joined) >= 8 else _SINGLE


def _join_rows(hits: list[_Hit]) -> None:
    """Counts for each hit the columns of one of its rows that stand near it."""
    recent: dict[int, list[_Hit]] = defaultdict(list)
    for hit in hits:
        for row in hit.rows:
            near = [other for other in recent[row] if hit.start - other.end <= _ROW]
            near = [*near[-2 * MOST_WORDS :], hit]
            recent[row] = near
            columns = len({other.column for other in near})
            for other in near:
                other.beside = max(other.beside, columns)


class ExactFinder:
    """A Finder (scanner.py): cells of an index, as kind `custom.<name>`."""

    passages = False

    def __init__(self, name: str, index: ExactIndex, together: int = 1) -> None:
        self._name = name
        self.kinds = (f"custom.{name}",)
        self._index = index
        self._together = together

    def find(self, text: str) -> Iterator[tuple[str, int, int, float, str]]:
        """Detectors are `exact:<name>.<column>`."""
        for column, start, end, confidence in self._index.find(text, self._together):
            yield f"custom.{self._name}", start, end, confidence, f"exact:{self._name}.{column}"


def normal_words(cell: str) -> list[str]:
    """The words of a cell, in normal form."""
    return [normal(word) for word in _WORD.findall(cell)]
