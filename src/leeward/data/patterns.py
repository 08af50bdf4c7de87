"""Recognizers' patterns as Hyperscan reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import hyperscan

from leeward.ai.kept import cache_folder
from leeward.data.compiled import Pattern, compile_all, database, databases
from leeward.data.recognizer import Recognizer
from leeward.model.errors import InputError

_ANY_CHARACTER = re.compile(r"\[\^|\\[WSDpPxXuN]|(?<!\\)(?:\\\\)*\.")


def compiled(patterns: Sequence[tuple[str, Recognizer]], starts: bool = True) -> hyperscan.Database:
    """A database of these. starts: it says where matches start. Raises InputError for a pattern that cannot be compiled."""
    try:
        return database([_pattern(*pattern, starts) for pattern in patterns], cache_folder())
    except hyperscan.error:
        _complain_of(patterns)
        raise


def compiled_apart(several: Sequence[Sequence[tuple[str, Recognizer]]]) -> list[hyperscan.Database]:
    """A database of each of these that says where matches start. Raises InputError for a pattern that cannot be compiled."""
    try:
        return databases([[_pattern(*pattern) for pattern in patterns] for patterns in several], cache_folder())
    except hyperscan.error:
        for patterns in several:
            _complain_of(patterns)
        raise


def _pattern(text: str, recognizer: Recognizer, starts: bool = True) -> Pattern:
    flags = hyperscan.HS_FLAG_SOM_LEFTMOST if starts else 0
    if not text.isascii() or _ANY_CHARACTER.search(
        text
    ):  # else bytes will do: in UTF-8 `k` without case is the Kelvin sign as well
        flags |= hyperscan.HS_FLAG_UTF8
    return text, flags | (hyperscan.HS_FLAG_CASELESS if recognizer.caseless else 0), recognizer.min_length


def _complain_of(patterns: Sequence[tuple[str, Recognizer]]) -> None:
    """Names the first of these patterns that cannot be compiled."""
    for text, recognizer in patterns:
        try:
            compile_all([_pattern(text, recognizer)])
        except hyperscan.error as error:
            raise InputError(f"{recognizer.source}: {recognizer.id}: pattern {text}: {error}") from error


def on_characters(data: bytes, first: int, last: int) -> tuple[int, int]:
    """Bytes first to last of UTF-8 with all of the characters at their edges: Hyperscan wants whole ones."""
    while first and data[first] & 0xC0 == 0x80:
        first -= 1
    while last < len(data) and data[last] & 0xC0 == 0x80:
        last += 1
    return first, last
