"""Makes an index for exact data match (exact.py) of a CSV file, which is read once, row by row; nothing of its text is kept."""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from leeward.data import indexfile
from leeward.data.exact import MAGIC, MOST_ROWS_OF_ONE, MOST_WORDS, normal_words
from leeward.data.hashing import Keyed
from leeward.model.errors import InputError

_MOST_CELLS = 10_000_000
_LEAST_LETTERS, _LEAST_DIGITS = 4, 5
_LONGEST = 128
_SEPARATORS = (",", ";", "\t", "|")
_COMMON = """
true false none null unknown other active inactive pending closed open male female divers single married divorced widowed germany
france spain italy poland austria switzerland netherlands england scotland ireland canada mexico brazil japan china india united
states kingdom berlin london paris madrid york street avenue road company limited gmbh standard premium basic gold silver platinum
monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october november
december customer supplier employee manager director email phone mobile home work office address default
"""
_SAYS_NOTHING = frozenset(_COMMON.split())


class Built(msgspec.Struct, frozen=True):
    """What became of a table. left_out: cells by why: `short`, `long`, `common` (a word that says nothing, or in many rows)."""

    rows: int
    cells: int
    left_out: dict[str, int]


def build_exact(table: Path, columns: Sequence[str], out: Path, keyed: Keyed) -> Built:
    """Makes the index `out` of these columns of a CSV file with a header (all of its columns if none is named). Raises InputError
    "file:line: what is wrong"."""
    left: Counter[str] = Counter()
    packed: list[int] = []
    heads: set[int] = set()
    rows = most_words = 0
    names: list[str] = []
    for header, cells in _rows(table, columns):
        names = header
        rows += 1
        for column, cell in enumerate(cells):
            words = normal_words(cell)
            why = _useless(words)
            if why:
                left[why] += bool(cell.strip())
                continue
            joined = "".join(words)
            packed.append(keyed.number(joined) << 40 | rows << 8 | column)
            most_words = max(most_words, len(words))
            heads.update(keyed.number(head) >> 32 for head in (words[0], joined))
            if len(packed) > _MOST_CELLS:
                raise InputError(
                    f"{table}: has more than {_MOST_CELLS} cells: make several indexes, or choose fewer columns"
                )
    if not packed:
        raise InputError(f"{table}: has no cell that could be known again in the columns {', '.join(names)}")
    packed = _rare(sorted(set(packed)), left)
    arrays = {
        "heads": array("I", sorted(heads)),
        "cells": array("Q", [entry >> 40 for entry in packed]),
        "column": array("B", [entry & 0xFF for entry in packed]),
        "row": array("I", [entry >> 8 & 0xFFFFFFFF for entry in packed]),
    }
    indexfile.save(out, MAGIC, keyed, {"columns": names, "rows": rows, "words": most_words}, arrays)
    return Built(rows, len(packed), dict(left))


def _rare(packed: list[int], left: Counter[str]) -> list[int]:
    """Without cells that are in many rows."""
    counts = Counter(entry >> 40 for entry in packed)
    kept = [entry for entry in packed if counts[entry >> 40] <= MOST_ROWS_OF_ONE]
    left["common"] += len(packed) - len(kept)
    return kept


def _useless(words: list[str]) -> str:
    """Why a cell is left out, "" if it is not."""
    joined = "".join(words)
    if len(words) > MOST_WORDS or len(joined) > _LONGEST:
        return "long"
    if len(joined) < (_LEAST_LETTERS if not joined.isdigit() else _LEAST_DIGITS):
        return "short"
    return "common" if _SAYS_NOTHING.issuperset(words) else ""


def _rows(table: Path, columns: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """(names of the columns, cells) of each row."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(1 << 20)
            separator = max(_SEPARATORS, key=first.count)
            header = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
            chosen = _chosen(table, header, columns)
            reader = csv.reader(file, delimiter=separator)
            for cells in reader:
                yield [header[i] for i in chosen], [cells[i] if i < len(cells) else "" for i in chosen]
    except OSError as error:
        raise InputError(f"{table}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{table}: is not UTF-8: save it as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{table}: is no CSV: {error}") from error


def _chosen(table: Path, header: list[str], columns: Iterable[str]) -> list[int]:
    wanted = list(columns) or [name for name in header if name]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InputError(f"{table}:1: has no column {', '.join(missing)}; it has {', '.join(header)}")
    if not wanted or len(wanted) > 255:
        raise InputError(f"{table}:1: name 1 to 255 columns")
    return [header.index(name) for name in wanted]
