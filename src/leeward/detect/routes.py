"""Routes of HTTP paths: which segments of a path are ids, and paths that only who probes asks for (data: probes.yaml).

Invariant: pure; a path of at most 512 characters costs a few microseconds and is remembered.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import msgspec

from leeward.ai.datafile import Schema, load_yaml

_FILE = Path(__file__).with_name("probes.yaml")
_ID = re.compile(
    r"\d{1,20}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,64}|[0-7][0-9A-HJKMNP-TV-Z]{25}"
    r"|[a-z]{1,12}[_-](?=[A-Za-z0-9]*\d)[A-Za-z0-9]{1,40}|[A-Za-z0-9_-]*\d[A-Za-z0-9_-]{14,}"
)


class Route(msgspec.Struct, frozen=True):
    """template: the path with {} for each id. ids: these. number: the last of them if it is a number, -1 if not."""

    template: str
    ids: tuple[str, ...]
    number: int


@functools.lru_cache(maxsize=16384)
def route(path: str) -> Route:
    segments, ids = path.split("/"), []
    for at, segment in enumerate(segments):
        if (
            segment
            and any(c.isdigit() for c in segment)
            and _ID.fullmatch(segment)
            and not _VERSIONED.fullmatch(segment)
        ):
            ids.append(segment)
            segments[at] = "{}"
    digits = re.sub(r"^[a-zA-Z]+[_-]", "", ids[-1]) if ids else ""
    return Route("/".join(segments), tuple(ids), int(digits) if digits.isascii() and digits.isdigit() else -1)


_VERSIONED = re.compile(r"v\d+(?:[a-z]+\d*)?")


@functools.cache
def _probes() -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    record = load_yaml(_FILE, Schema.read(_FILE.with_suffix(".schema.json")))
    words = [path.lower() for group in record["groups"] for path in group["paths"]]
    exact = frozenset(word for word in words if "*" not in word)
    return (
        exact,
        tuple(word[:-1] for word in words if word.endswith("*")),
        tuple(word[1:] for word in words if word.startswith("*")),
    )


@functools.lru_cache(maxsize=16384)
def is_probe(path: str) -> bool:
    """Is this a path that honest callers of an API do not ask for?"""
    exact, begins, ends = _probes()
    low = path.lower().rstrip("/") or "/"
    return low in exact or low.startswith(begins) or low.endswith(ends)
