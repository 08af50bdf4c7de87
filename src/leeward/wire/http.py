"""What any HTTP connection parser is given and yields, whatever the version: limits, interest, events.

A parser is passive: it is fed both directions of one connection as they were seen, and never speaks.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Protocol

import msgspec

from leeward.model.message import Message


class Limits(msgspec.Struct, frozen=True):
    """What one connection may cost. body: decoded bytes kept a message. head: bytes of a head, also of the trailers.

    pending: requests that await their response (HTTP/1). streams: open at a time (HTTP/2). expansion: an encoded body is
    decoded up to `body` times this. marks: arrival times kept a message. held: decoded bytes kept in all unfinished
    messages of the connection. early: bytes of responses kept until the end of their request's head has been seen.
    unsynced: bytes without any head after which a connection is taken not to be HTTP.
    """

    body: int = 1 << 20
    head: int = 64 << 10
    pending: int = 128
    expansion: int = 4
    marks: int = 4096
    held: int = 16 << 20
    early: int = 64 << 10
    unsynced: int = 1 << 20
    streams: int = 1024


class Interest(enum.Enum):
    """What is wanted of an exchange. FULL: its bodies too. SKIP: its heads only; the framing of its bodies is followed. SENT: as
    SKIP, and the beginning of what is sent."""

    FULL = enum.auto()
    SKIP = enum.auto()
    SENT = enum.auto()


class RequestHead(msgspec.Struct, frozen=True):
    """The head of a request of interest is there; its body is not."""

    request: Message


class RequestDone(msgspec.Struct, frozen=True):
    """No more of this request will come. It is `complete` if its end was seen."""

    request: Message


class ExchangeDone(msgspec.Struct, frozen=True):
    """Request and response are over. response: None if it was never seen. request: None where a parser can tell what a
    response is without it; this one cannot."""

    request: Message | None
    response: Message | None


class Skipped(msgspec.Struct, frozen=True):
    """The request is not of interest. line: its first line up to "?" or the line's end, as sent."""

    request: Message
    line: bytes


class Answered(msgspec.Struct, frozen=True):
    """The head of the answer to a request of no interest is there: who asked what, and with what result.

    response: None if no answer came, or none that is surely its own. stands: how many exchanges like it this one stands for,
    where the source shows a share of them only. beginning: of the answer's body, if it is text and as far as it came along;
    sent: of the request's, if that was wanted (wire/beginning.py)."""

    request: Message
    response: Message | None
    stands: int = 1
    beginning: bytes = b""
    sent: bytes = b""


class Upgraded(msgspec.Struct, frozen=True):
    """The connection speaks something else from here on (101, or 2xx to CONNECT): WebSocket messages follow as `WsMessage`;
    the rest of any other is counted, not read."""

    request: Message
    response: Message


class NotHttp(msgspec.Struct, frozen=True):
    """This connection is not HTTP/1: nothing more will come out. to_server: the direction that told."""

    to_server: bool
    reason: str


class WsMessage(msgspec.Struct):
    """A whole WebSocket message (RFC 6455), unmasked and unpacked. start, end: Unix ns of its first and last byte. text: by its
    opcode. data: at most `Limits.body` bytes of its `size`. complete: its end was seen and none of it is missing. truncated:
    a limit cut it. gap: bytes in it were never seen."""

    to_server: bool
    start: int
    end: int
    text: bool
    data: bytes = b""
    size: int = 0
    complete: bool = False
    truncated: bool = False
    gap: bool = False
    anomalies: list[str] = []


class WsClosed(msgspec.Struct, frozen=True):
    """No more WebSocket messages will come. code, reason: of the first close frame (RFC 6455 §7.4), 1006 without one."""

    ts: int
    code: int
    reason: str


HttpEvent = RequestHead | RequestDone | ExchangeDone | Skipped | Answered | Upgraded | NotHttp | WsMessage | WsClosed


class HttpConnection(Protocol):
    """The parser of one connection. Never raises on any bytes; `counters` tell what was dropped or odd."""

    counters: Counter[str]

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[HttpEvent]:
        """`data` was seen at `ts`, right after what was fed of this direction before."""
        ...

    def gap(self, to_server: bool, ts: int, size: int) -> list[HttpEvent]:
        """`size` bytes of this direction were never seen (0: an unknown number)."""
        ...

    def settle(self) -> None:
        """Nobody sees the other direction: what was asked awaits no answer."""
        ...

    def close(self, ts: int, clean: bool = True) -> list[HttpEvent]:
        """The connection ended. clean: by its peers' doing, not by an error or by the end of the observation."""
        ...
