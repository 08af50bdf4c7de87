"""What names a value that stands far from its name: the header of its column in a table, its column in an SQL INSERT, the key
of the JSON array that it is in.

Known are comma-, semicolon-, tab- and bar-separated tables (RFC 4180, Markdown, psql, mysql). Invariants: a text is read once,
linear; each question costs a search in one line; nothing raises.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

import msgspec

_SEPARATORS = "|\t;,"
_MOST_NAME, _MOST_HEADER = 48, 4096
_NAME = re.compile(r"""["'*`]*[^\W\d][\w.#/&-]*(?: [\w.#/&-]+){0,3}(?: \([\w %]{1,16}\))?["'*`]*""")
# What a line must look like to be a header, cheap to tell: a short first name, nothing in the line that no name has, a last name;
# and its first row: that has a separator as well, or begins as a rule does.
_LIKE_HEADER = re.compile(
    r"\n[ \r]*+[^=:{}\[\]<>!?+@$^~\\|\t;,\n]{0,48}+[|\t;,][^=:{}\[\]<>!?+@$^~\\\n]*+(?<![\t;,])"
    r"(?=\n(?:[-+:= ]|[^|\t;,\n]*+[|\t;,]))"
)
_RULE = re.compile(r"[-+|:= \t]+")
_QUOTED = re.compile(r'"[^"\n]*"')
_INSERT = re.compile(r"INSERT\s+INTO\s+[^\s(]{1,128}\s*\(([^()]{1,2000})\)\s*VALUES", re.IGNORECASE)
_INSERT_INTO = re.compile(rb"insert[\s\x1c-\x1f\x80-\xff]+(?:i|[\x80-\xff]+)nto")  # what has it in UTF-8, cheap to tell
_MOST_INSERTS, _LONG_ARRAY, _LONG_LINE = 1000, 20_000, 65_536
_ARRAY_OF = re.compile(r'"([^"\\]{1,64})"\s{0,8}:\s{0,8}\Z')


class Table(msgspec.Struct, frozen=True, gc=False):
    """Characters start to end of a text are rows under these names, parted by `separator`; "(" for the tuples of an INSERT."""

    start: int
    end: int
    separator: str
    names: tuple[str, ...]


class _Header(msgspec.Struct, frozen=True, gc=False):
    """A line of names. count: of the separators in it. end: where the next line begins."""

    separator: str
    count: int
    names: tuple[str, ...]
    end: int


class Labels:
    """The labels of one text. tables: those in it, in order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.tables = sorted([*_tables(text), *_inserts(text)], key=lambda table: table.start)
        self._starts = [table.start for table in self.tables]

    def at(self, start: int) -> str:
        """What names the value at this character, "" where nothing does."""
        where = bisect_right(self._starts, start) - 1
        if where >= 0 and start < self.tables[where].end:
            return _column(self._text, start, self.tables[where])
        return _array(self._text, start)


def _column(text: str, start: int, table: Table) -> str:
    if table.separator == "(":
        row = text[max(text.rfind("(", max(start - _LONG_LINE, 0), start), 0) + 1 : start]
        column = re.sub(r"'[^']*'", "", row).count(",")
    else:
        row = text[max(text.rfind("\n", max(start - _LONG_LINE, 0), start), 0) : start].lstrip("\r\n")
        if '"' in row:
            row = _QUOTED.sub("", row)
        column = (row.strip(" ") if table.separator == "|" else row).count(table.separator)
    return table.names[column] if column < len(table.names) else ""


def _tables(text: str) -> list[Table]:
    if "\n" not in text:
        return []
    found: list[Table] = []
    read = 0
    for hit in _LIKE_HEADER.finditer(f"\n{text}\n"):  # with the line end before it, a hit begins where its line does
        if hit.start() < read:
            continue
        header = _header(text, hit.start(), hit.end())
        if header is not None:
            rows, read = _rows(text, header)
            # Two names with one comma between may be a sentence, unless two rows follow.
            if rows >= (2 if header.separator in ",;" and header.count == 1 else 1):
                found.append(Table(header.end, read, header.separator, header.names))
    return found


def _rows(text: str, header: _Header) -> tuple[int, int]:
    """How many rows follow a header, and where they end."""
    rows, at = 0, header.end
    while at <= len(text):
        line = _line(text, at)
        if not _is_row(line, header.separator, header.count):
            break
        rows += _RULE.fullmatch(line) is None
        at += len(line) + 1
    return rows, at


def _line(text: str, start: int) -> str:
    return text[start : _line_end(text, start)]


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return end if end >= 0 else len(text)


def _is_row(line: str, separator: str, count: int) -> bool:
    if separator == "|" and line[:1] in "+-|: " and _RULE.fullmatch(line):
        return True
    here = line.count(separator)
    return here == count or (here > count and '"' in line and _QUOTED.sub("", line).count(separator) == count)


def _header(text: str, start: int, end: int) -> _Header | None:
    """A line of names, if what follows may be its first row. end: where that begins."""
    stop = end - 1
    if stop - start > _MOST_HEADER or end > len(text):
        return None
    for separator in _SEPARATORS:
        count = text.count(separator, start, stop)
        if count:
            break
    else:
        return None
    if separator != "|" and text.count(separator, end, _line_end(text, end)) < count:
        return None  # most are lines of prose
    if not _is_row(_line(text, end), separator, count):
        return None
    line = text[start:stop]
    names = line.strip(" \r").split(separator)
    inside = names[1:-1] if separator == "|" and not names[0] and not names[-1] else names
    if len(inside) > 1 and all(len(name) <= _MOST_NAME and _NAME.fullmatch(name.strip()) for name in inside):
        return _Header(separator, count, tuple(name.strip(" \"'*`") for name in names), end)
    return None


def _inserts(text: str) -> list[Table]:
    found = []
    end = -1
    for hit in islice(_insert_heads(text), _MOST_INSERTS):
        if end < hit.end():
            end = text.find(";\n", hit.end())
            end = end if end >= 0 else len(text)
        names = tuple(name.strip(' `"[]') for name in hit[1].split(","))
        found.append(Table(hit.end(), end, "(", names))
    return found


def _insert_heads(text: str) -> Iterator[re.Match[str]]:
    if "(" not in text or _INSERT_INTO.search(text.encode("utf-8", "replace").lower()) is None:
        return
    lower = text.replace("İ", "i").lower()  # the only letter that grows
    at = lower.find("insert")
    while at >= 0:
        hit = _INSERT.match(text, at)
        if hit is not None:
            yield hit
        at = lower.find("insert", at + 1 if hit is None else hit.end())


def _array(text: str, start: int) -> str:
    """The key of the array of numbers or strings that the value is in."""
    low = max(start - _LONG_ARRAY, 0)
    opened = text.rfind("[", low, start)
    if opened < 0 or max(text.rfind("]", opened, start), text.rfind("{", opened, start)) >= 0:
        return ""
    hit = _ARRAY_OF.search(text, max(opened - 84, 0), opened)
    return hit[1] if hit else ""
