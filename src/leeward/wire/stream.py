"""What flows between the wire stages: the two byte streams of one connection, in order.

`to_server` is True for bytes from the side that opened the connection. `conn` is any hashable name of the
connection, the same in all its events.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from leeward.model.net import Endpoint


class StreamOpened(msgspec.Struct, frozen=True, gc=False):
    """A connection seen for the first time. from_start: its SYN was seen, so nothing is missing before the first byte."""

    ts: int
    conn: Hashable
    client: Endpoint
    server: Endpoint
    from_start: bool


class StreamData(msgspec.Struct, frozen=True, gc=False):
    """`seq`: TCP sequence number of the first byte (0 where there is none)."""

    ts: int
    conn: Hashable
    to_server: bool
    data: bytes
    seq: int = 0


class StreamGap(msgspec.Struct, frozen=True, gc=False):
    """`size` bytes of this direction were never seen (0: an unknown number)."""

    ts: int
    conn: Hashable
    to_server: bool
    size: int


class StreamClosed(msgspec.Struct, frozen=True, gc=False):
    """reason: "fin" | "rst" | "evicted" | "end" (the capture or the observation ended)."""

    ts: int
    conn: Hashable
    reason: str


StreamEvent = StreamOpened | StreamData | StreamGap | StreamClosed
