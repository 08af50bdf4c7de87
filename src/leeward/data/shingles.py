"""Shingles: hashes of runs of words, of which winnowing keeps few, the same ones wherever a passage stands.

Schleimer, Wilkerson, Aiken, "Winnowing: Local Algorithms for Document Fingerprinting", SIGMOD 2003: of each WINDOW hashes of
WORDS words in a row the least is kept. A passage of WORDS + WINDOW - 1 words has one at least, no passage shorter than WORDS
can match, and about 2 / (WINDOW + 1) of all hashes are kept. Words are letters and digits in lower case, so that breaks of
lines, indents, signs and case do not matter; characters of scripts without spaces are words by themselves. Linear in the text.
"""

from __future__ import annotations

import re
from itertools import accumulate, groupby
from zlib import crc32

WORDS = 8
WINDOW = 8
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+")
_PLAIN_WORD = re.compile(r"[0-9a-z]+")
_PRIME = (1 << 61) - 1
_BASE = 0x1B873593_9E3779B1 % _PRIME  # Rabin and Karp: a polynomial of the words' hashes
_DROPPED = pow(_BASE, WORDS, _PRIME)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    folded = text.lower()
    return (_PLAIN_WORD if folded.isascii() else _WORD).findall(folded)


def spans_of(text: str) -> list[tuple[int, int]]:
    """Where the words of `words_of` stand."""
    folded = text.lower()
    if len(folded) != len(text):  # a few letters grow
        folded = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return [hit.span() for hit in (_PLAIN_WORD if folded.isascii() else _WORD).finditer(folded)]


def hashes_of(words: list[str]) -> list[int]:
    """A hash of each run of WORDS words; number i begins at word i."""
    seen: dict[str, int] = {word: crc32(word.encode("utf-8", "replace")) for word in set(words)}
    sums = list(accumulate(map(seen.__getitem__, words), lambda h, x: (h * _BASE + x) % _PRIME, initial=0))
    return [(later - earlier * _DROPPED) % _PRIME for earlier, later in zip(sums, sums[WORDS:], strict=False)]


def winnowed(hashes: list[int]) -> list[int]:
    """The least of each WINDOW hashes in a row, each once for where it stands, in order."""
    if not hashes:
        return []
    least = hashes
    width = 1
    while width < WINDOW:
        if len(least) > width:
            least = list(map(min, least, least[width:]))
        width *= 2
    return [value for value, _ in groupby(least)]
