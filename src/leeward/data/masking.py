"""How sensitive values are shown and kept: samples for people, tokens for the store, masks of the same length for the wire.

Invariants: a sample shows at most the characters that its recognizer says may be shown, and never more than a third. A token is
equal for equal values of an installation. A mask has as many bytes as what it covers and leaves JSON valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MOST_SAMPLE = 24
_ESCAPE_OR_TEXT = re.compile(rb"\\u[0-9a-fA-F]{4}|\\.|[0-9A-Za-z]|[\x80-\xff]", re.DOTALL)
_NUMBER = re.compile(rb"[0-9]")


def sample(value: str, keep: tuple[int, int] = (0, 0)) -> str:
    """`4111********1111`: what may be shown of a value. Its length is not given away beyond 24 characters."""
    most = len(value) // 3
    first = min(keep[0], most)
    last = min(keep[1], most - first)
    hidden = min(len(value), _MOST_SAMPLE) - first - last
    return value[:first] + "*" * max(hidden, 3) + (value[len(value) - last :] if last else "")


def token(kind: str, hash_: str) -> str:
    """What stands for a value in text that is kept."""
    return f"[{kind}:{hash_[:8]}]"


def masked(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """`text` with each span (start, end, what stands there) replaced; spans do not overlap."""
    pieces: list[str] = []
    at = 0
    for start, end, put in sorted(spans):
        if start < at:
            continue
        pieces += (text[at:start], put)
        at = end
    pieces.append(text[at:])
    return "".join(pieces)


def hide_values(text: str, values: Sequence[tuple[str, str]]) -> str:
    """`text` without these values, wherever they stand: (value, what stands there) each."""
    for value, put in values:
        if value in text:
            text = text.replace(value, put)
    return text


def same_length(raw: bytes, *, number: bool = False) -> bytes:
    """A mask for part of a JSON document on the wire. number: the part is of a JSON number, which stays one: 111."""
    if number:
        return _NUMBER.sub(b"1", raw)
    return _ESCAPE_OR_TEXT.sub(lambda piece: b"*" * len(piece[0]), raw)
