"""A payload as texts, each with its path and a label, and one buffer of all of them, so that a document is looked at in one pass.

The label (a JSON key, the name of a column) stands before the text in the buffer: it is context like any other word. Matches
never cross from one text into the next.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from leeward.data.labels import Labels
from leeward.data.offsets import Offsets
from leeward.data.recognizer import Heads, Words, heads_of

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPLIT = b"\n\0\n"
_MOST_TEXTS = 200_000
_SHORT_KEY = 64  # characters; the same few come again and again
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def apart(text: str) -> str:
    """`customerSsn` as `customer ssn`."""
    return _CAMEL.sub(" ", text).lower()


class Text(msgspec.Struct, frozen=True, gc=False):
    """One string of a payload. path: JSONPath. label: what names it, "" for nothing. number: it is a JSON number."""

    path: str
    text: str
    label: str = ""
    number: bool = False


def texts_of(value: Any, path: str = "$") -> list[Text]:
    """Every string, number and key of a decoded JSON value, in order, without recursion."""
    found: list[Text] = []
    todo: list[tuple[Any, str, str]] = [(value, path, "")]
    while todo and len(found) < _MOST_TEXTS:
        here, where, label = todo.pop()
        if isinstance(here, str):
            if here:
                found.append(Text(where, here, label))
        elif isinstance(here, dict):
            children = [(child, where + step(key), str(key)) for key, child in here.items()]
            todo.extend(reversed(children))
        elif isinstance(here, list | tuple):
            todo.extend((here[i], f"{where}[{i}]", label) for i in range(len(here) - 1, -1, -1))
        elif isinstance(here, int | float) and not isinstance(here, bool):
            found.append(Text(where, str(here), label, True))
    return found


def step(key: Any) -> str:
    """A member in a JSONPath (RFC 9535): `.name`, or `['...']` for what is no plain name."""
    name = str(key)
    return _known_step(name) if len(name) <= _SHORT_KEY else _step(name)


def _step(name: str) -> str:
    if _PLAIN_KEY.match(name):
        return f".{name}"
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


_known_step = lru_cache(4096)(_step)


class Buffer:
    """The texts as one piece of UTF-8, and the way back from its bytes to a text and its characters."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts = texts
        self._bodies = [text.text.encode("utf-8", "replace") for text in texts]
        self._starts: list[int] = []
        self._offsets: dict[int, Offsets] = {}
        self._before: dict[tuple[int, int], str] = {}
        self._heads: dict[tuple[int, int], Heads] = {}
        self._labels: dict[int, Labels] = {}
        self._tables: dict[int, list[tuple[int, int]]] = {}
        pieces: list[bytes] = []
        at = 0
        for text, body in zip(texts, self._bodies, strict=True):
            label = f"{text.label}: ".encode("utf-8", "replace") if text.label else b""
            self._starts.append(at + len(label))
            pieces += (label, body, _SPLIT)
            at += len(label) + len(body) + len(_SPLIT)
        self.data = b"".join(pieces)

    def words(self, start: int, end: int) -> str:
        """Bytes start to end as words: lower case, camelCase taken apart. Several recognizers ask for the same."""
        known = self._before.get((start, end))
        if known is None:
            known = self._before[start, end] = apart(self.data[start:end].decode("utf-8", "ignore"))
        return known

    def found(self, words: Words, start: int, end: int) -> list[tuple[int, int]]:
        """Where in `self.words(start, end)` these words are."""
        text = self.words(start, end)
        heads = self._heads.get((start, end))
        if heads is None:
            heads = self._heads[start, end] = heads_of(text)
        return words.ends(text, heads)

    def widened(self, start: int, end: int, before: int, after: int) -> tuple[int, int]:
        """Bytes start to end with up to so many before and after, within the same text and on whole characters."""
        number = bisect_right(self._starts, start) - 1
        base = self._starts[number] if number >= 0 else 0
        limit = base + len(self._bodies[number]) if number >= 0 else start
        first, last = max(base, start - before), min(max(limit, end), end + after)
        while first < start and self.data[first] & 0xC0 == 0x80:
            first += 1
        while last < len(self.data) and last > end and self.data[last] & 0xC0 == 0x80:
            last -= 1
        return first, last

    def locate(self, start: int, end: int) -> tuple[int, int, int] | None:
        """Number of the text, first and last character (exclusive) of bytes start to end; None when they are not in one text."""
        number = bisect_right(self._starts, start) - 1
        if number < 0:
            return None
        base, body = self._starts[number], self._bodies[number]
        if end > base + len(body):
            return None
        if len(body) == len(self.texts[number].text):
            return number, start - base, end - base
        offsets = self._offsets.get(number) or self._offsets.setdefault(number, Offsets(body))
        return number, offsets.chars(start - base), offsets.chars(end - base)

    def label(self, number: int, at: int) -> str:
        """What names the value at a character of a text, where its name stands far away: a column, the key of an array."""
        return self._labels_of(number).at(at)

    def rows_of(self, at: int) -> tuple[list[tuple[int, int]], int]:
        """First and last byte of the rows of each table in the text of byte `at`, in order, and where the next text begins."""
        number = bisect_right(self._starts, at) - 1
        following = self._starts[number + 1] if number + 1 < len(self._starts) else len(self.data)
        if number < 0:
            return [], following
        rows = self._tables.get(number)
        if rows is None:
            rows = self._tables[number] = self._rows(number)
        return rows, following

    def _rows(self, number: int) -> list[tuple[int, int]]:
        base, text, tables = self._starts[number], self.texts[number].text, self._labels_of(number).tables
        place, before = {0: base}, 0
        for at in sorted({at for table in tables for at in (table.start, min(table.end, len(text)))}):
            place[at] = place[before] + len(text[before:at].encode("utf-8", "replace"))
            before = at
        return [(place[table.start], place[min(table.end, len(text))]) for table in tables]

    def _labels_of(self, number: int) -> Labels:
        return self._labels.get(number) or self._labels.setdefault(number, Labels(self.texts[number].text))


def plain(text: str) -> Sequence[Text]:
    """A text that is no document."""
    return (Text("$", text),)


def labelled(values: Iterable[tuple[str, str, str]]) -> list[Text]:
    """(path, label, text) each."""
    return [Text(path, text, label) for path, label, text in values if text]
