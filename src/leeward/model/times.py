"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(ts: int) -> str:
    """Unix nanoseconds as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(ts // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ts % 10**9 // 1000:06d}Z"
