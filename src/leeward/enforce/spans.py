"""Where the strings of a JSON document stand in its bytes, and which bytes are which characters of them.

Invariants: linear in the document; never raises on any bytes (what is no JSON gives what was found before it went wrong).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from leeward.data.documents import step

_TOKEN = re.compile(rb'[ \t\r\n]*(?:("(?:[^"\\\x00-\x1f]|\\.)*")|([{}\[\],:])|([^\s{}\[\],:"]+))', re.DOTALL)
_PIECE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)


def _unquoted(raw: bytes) -> str:
    """A key, as `step` wants it."""
    import json

    try:
        return str(json.loads(raw.decode("utf-8", "replace"), strict=False))
    except ValueError:
        return raw[1:-1].decode("utf-8", "replace")


def places(raw: bytes, wanted: Collection[str]) -> dict[str, tuple[int, int, bool]]:
    """JSONPath → (first byte, last byte exclusive, whether it is a number or another bare word) of the values at these paths;
    strings without their quotes."""
    found: dict[str, tuple[int, int, bool]] = {}
    stack: list[tuple[str, int]] = []  # path, index (-1: an object)
    path, index, key = "$", -2, b""
    at = 0
    while (token := _TOKEN.match(raw, at)) is not None:
        at = token.end()
        string, sign, bare = token.groups()
        if string is not None or bare is not None:
            start, end = token.span(1) if string is not None else token.span(3)
            if index == -1 and not key:
                key = string or bare
                continue
            here = _here(path, index, key)
            if here in wanted:
                found[here] = (start + 1, end - 1, False) if string is not None else (start, end, True)
        elif sign in b"{[":
            here = _here(path, index, key)
            stack.append((path, index))
            path, index, key = here, -1 if sign == b"{" else 0, b""
        elif sign in b"}]":
            if not stack:
                break
            path, index = stack.pop()
            key = b"\0" if index == -1 else b""
        elif sign == b",":
            index, key = (index + 1 if index >= 0 else index), b""
    return found


def _here(path: str, index: int, key: bytes) -> str:
    if index == -2:
        return path
    if index >= 0:
        return f"{path}[{index}]"
    return path + step(_unquoted(key))


def bytes_of(raw: bytes, start: int, end: int, spans: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """Byte spans of character spans of the JSON string that stands (without its quotes) at bytes start to end."""
    marks = sorted({mark for span in spans for mark in span})
    text = raw[start:end]
    where: dict[int, int] = {}
    if b"\\" not in text and text.isascii():
        where = {mark: start + min(mark, len(text)) for mark in marks}
    else:
        character, position, next_mark = 0, 0, 0
        for piece in _PIECE.finditer(text):
            if piece[0][0] & 0xC0 == 0x80:  # the rest of a character in UTF-8
                continue
            while next_mark < len(marks) and marks[next_mark] <= character:
                where[marks[next_mark]] = start + piece.start()
                next_mark += 1
            character += 1
        position = end
        for mark in marks[next_mark:]:
            where[mark] = position
    return [(where[first], where[last]) for first, last in spans]
