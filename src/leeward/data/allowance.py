"""How much may be done for one payload."""

from __future__ import annotations

import msgspec


class Work(msgspec.Struct):
    """Bytes of page content that may still be looked at, all files of a payload together: what bounds the time."""

    left: int = 512 << 10
