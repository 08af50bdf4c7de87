"""Keyed hashes of values: equal values on one installation have equal hashes, and nobody without its key can try values out.

BLAKE2b with a key (RFC 7693), 8 bytes: among a million values two share a hash with a chance of one in 37 million.
"""

from __future__ import annotations

import hashlib
import re

_APART = re.compile(r"[\W_]+")
_BYTES = 8
KEY_BYTES = 32


class Keyed:
    """key: KEY_BYTES of it, kept secret."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._start = hashlib.blake2b(key=key, digest_size=_BYTES)

    def number(self, value: str) -> int:
        """The hash of a value's normal form, as an unsigned integer of 64 bits."""
        state = self._start.copy()
        state.update(normal(value).encode("utf-8", "replace"))
        return int.from_bytes(state.digest(), "big")

    def text(self, value: str) -> str:
        """The same as 16 hex digits."""
        return f"{self.number(value):016x}"


def normal(value: str) -> str:
    """Letters and digits only, case folded: 4111-1111 and 4111 1111 are the same value, Ann.Lee@x.org and ann.lee@X.ORG too."""
    return _APART.sub("", value).casefold() or value
