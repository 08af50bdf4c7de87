"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(ts: int) -> str:
    """Unix nanoseconds as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(ts // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ts % 10**9 // 1000:06d}Z"


def nanoseconds(text: str) -> int:
    """Unix nanoseconds of an ISO 8601 time (without a zone: UTC), to the microsecond; 0 if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
