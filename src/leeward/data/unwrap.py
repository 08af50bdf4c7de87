"""Text inside text: what an encoded piece says. Each function takes the piece and how many bytes may come out; None: it is
nothing of that sort, or not text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

Unwrap = Callable[[bytes, int], str | None]
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def base64_text(piece: bytes, most: int) -> str | None:
    """Base64 of both alphabets (RFC 4648), with or without padding."""
    compact = piece.translate(None, b"\r\n").replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    if len(compact) // 4 * 3 > most or len(compact) % 4 == 1:
        return None
    try:
        return readable(base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True))
    except binascii.Error:
        return None


def readable(raw: bytes) -> str | None:
    """UTF-8 text without control characters; None for anything else."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _NOT_TEXT.search(text) else text


UNWRAP: dict[str, Unwrap] = {"base64": base64_text}
