"""Where in a string that is itself JSON a character stands: `$.rows[3].email` in the text of a tool's result.

Invariants: one pass over the text for all characters asked for; nothing raises; text that is no JSON has no paths, JSON that is
cut or broken has them up to there. Several documents after each other (a line each) are `$[0]`, `$[1]` and so on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from leeward.data.documents import step

_MOST_DEEP = 512
_MOST = 8 << 20  # characters
_TOKEN = re.compile(
    r"[ \t\r\n]*+(?:(?P<mark>[\[\]{}:,])"
    r'|(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z))'
    r"|(?P<other>-?[0-9][0-9.eE+-]*+|true|false|null))",
    re.DOTALL,
)


def inner_path(text: str, start: int) -> str:
    """JSONPath of the value at character `start`, "" where the text is no JSON."""
    return inner_paths(text, (start,))[0]


def inner_paths(text: str, starts: Sequence[int]) -> list[str]:
    """The same for several characters, in one pass."""
    found = [""] * len(starts)
    if not starts or text.lstrip()[:1] not in ("{", "["):
        return found
    order = sorted(range(len(starts)), key=starts.__getitem__)
    documents = 0
    at = 0
    places: list[tuple[int, int, str]] = []
    for start, end, document, path in _strings(text, starts, order):
        documents = document
        while at < len(order) and starts[order[at]] < end:
            if starts[order[at]] >= start:
                places.append((order[at], document, path))
            at += 1
        if at == len(order) and documents:
            break
    several = documents > 0 or _goes_on(text)
    for number, document, path in places:
        found[number] = f"$[{document}]{path}" if several else f"${path}"
    return found


def _strings(text: str, starts: Sequence[int], order: Sequence[int]) -> Iterator[tuple[int, int, int, str]]:
    """(start, end, number of the document, path without `$`) of each scalar that one of the characters is in."""
    last = starts[order[-1]]
    nth = 0
    keys: list[str | int] = []
    key_next = False
    document = 0
    at = 0
    while at < min(last + 1, _MOST):
        hit = _TOKEN.match(text, at)
        if hit is None:
            return
        at = hit.end()
        mark = hit["mark"]
        if mark is None:
            name = "string" if hit["string"] is not None else "other"
            start = hit.start(name)
            if key_next:
                if name == "other" or not keys:
                    return
                keys[-1] = _key(hit["string"])
            while nth < len(order) and starts[order[nth]] < start:
                nth += 1
            if nth < len(order) and starts[order[nth]] < at and len(keys) <= _MOST_DEEP:
                yield start, at, document, "".join(f"[{k}]" if isinstance(k, int) else step(k) for k in keys)
            if not keys:
                document += 1
        elif mark in "{[":
            keys.append("" if mark == "{" else 0)
            key_next = mark == "{"
        elif mark in "}]":
            if not keys:
                return
            keys.pop()
            key_next = False
            if not keys:
                document += 1
        elif mark == ",":
            if not keys:
                return
            here = keys[-1]
            if isinstance(here, int):
                keys[-1] = here + 1
            key_next = not isinstance(here, int)
        else:
            key_next = False


def _goes_on(text: str) -> bool:
    """Whether a second document follows the first: JSON lines."""
    line, _, rest = text.lstrip().partition("\n")
    return line.rstrip()[-1:] in ("}", "]") and rest.lstrip()[:1] in ("{", "[") and _balanced(line)


def _balanced(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _key(raw: str) -> str:
    try:
        return str(json.loads(raw)) if "\\" in raw else raw.strip('"')
    except ValueError:
        return raw.strip('"')
