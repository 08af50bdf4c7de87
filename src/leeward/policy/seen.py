"""What was seen before, as facts: distinct combinations of them, each with how often it was there."""

from __future__ import annotations

from typing import Any

import msgspec


class Seen(msgspec.Struct):
    """facts: by name, plain JSON; `data` has a `side` in each. count: exchanges with them. first, last: ISO 8601. example: id
    of the latest."""

    facts: dict[str, Any]
    count: int
    first: str
    last: str
    example: str
