"""Times as people write them in a query: "15m" ago, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from leeward.store.errors import QueryError

_RELATIVE = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str, now: datetime, name: str) -> datetime | None:
    """UTC time of `text`, None for "". A time without a zone is UTC. `name` is the parameter, for the error."""
    if not text:
        return None
    match = _RELATIVE.fullmatch(text.strip())
    try:
        if match:
            moment = now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            moment = datetime.fromisoformat(text.strip())
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise QueryError(
            f"{name} {text[:40]!r} is neither a span (15m, 2h, 7d) nor a time (2026-11-23T12:00:00Z)"
        ) from None
    return moment
