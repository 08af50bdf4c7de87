"""Text from traffic made safe to look at: what a terminal or a reader would not show as itself becomes an escape."""

from __future__ import annotations

import re


def visible(text: str, *, lines: bool = False) -> str:
    """`text` with every control, bidirectional, zero-width, tag and surrogate character written as \\xNN or \\uNNNN.

    lines: keep newlines and tabs. What Unicode calls printable (and the plain space) stays.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(c if c.isprintable() or c in kept else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters, white space joined, made visible."""
    cut = text[: limit * 4]
    flat = visible(re.sub(r"\s+", " ", cut).strip())
    return flat if len(flat) <= limit and len(cut) == len(text) else flat[: limit - 1] + "…"
