"""A passive HTTP/2 parser over both directions of one connection as observed: neither client nor server.

Invariants: never raises on any bytes. State is bounded by `Limits`. Every exchange whose request was judged FULL gives
RequestHead, RequestDone and then one ExchangeDone or Upgraded; one judged SKIP gives Skipped, and one Answered: when its
answer's headers are there (of a text whose length they say, when the text's beginning is there too), or when none will
come. What was lost or odd is in the message's `anomalies` ("joined-mid-connection", "unknown-headers", "reset:<code>",
"stream-limit"), and in `counters` once the message is over ("odd_" before it).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

import msgspec

from leeward.model.message import Message
from leeward.wire.beginning import Beginning, begin, begin_sent
from leeward.wire.hpack import Header, HpackDecoder
from leeward.wire.http import (
    Answered,
    ExchangeDone,
    HttpEvent,
    Interest,
    Limits,
    NotHttp,
    RequestDone,
    RequestHead,
    Skipped,
    Upgraded,
)
from leeward.wire.http1_body import Budget, Keeper
from leeward.wire.http1_head import Body, Framing
from leeward.wire.http2_frames import END_HEADERS, END_STREAM, HEAD, PADDED, PREFACE, PRIORITY, Frame, FrameReader, Kind

VERSION = "HTTP/2"
_BLOCK = 1 << 18  # octets of a header block with its continuations
_HEADER_TABLE_SIZE = 1  # SETTINGS_HEADER_TABLE_SIZE, RFC 9113 §6.5.2


class _Stream(msgspec.Struct, eq=False):
    """One request and its response. awaited: bytes of the response still to come by its content-length, -1 if it has none.
    beginning: of a response that was not told of yet; sent: of a request."""

    number: int
    request: Message | None = None
    response: Message | None = None
    full: bool = True
    request_over: bool = False
    response_over: bool = False
    upgrade: bool = False
    awaited: int = -1
    keep_request: Keeper | None = None
    keep_response: Keeper | None = None
    beginning: Beginning | None = None
    sent: Beginning | None = None

    def answered(self, beginning: bytes = b"") -> Answered:
        assert self.request is not None
        sent = self.sent.text(self.request.complete) if self.sent is not None else b""
        return Answered(self.request, self.response, beginning=beginning, sent=sent)


class _Side(msgspec.Struct, eq=False):
    """One direction. block: header block so far of the stream `on`, with the flags of its HEADERS frame. opening: its first
    bytes, None once it is known whether it was seen from its start."""

    to_server: bool
    frames: FrameReader
    headers: HpackDecoder
    block: bytearray = msgspec.field(default_factory=bytearray)
    on: int = 0
    flags: int = 0
    promised: bool = False
    opening: bytearray | None = msgspec.field(default_factory=bytearray)


class Http2Connection:
    """An `HttpConnection`. `interest` is asked once a request, when its headers are there."""

    def __init__(self, limits: Limits, interest: Callable[[Message], Interest]) -> None:
        self.counters: Counter[str] = Counter()
        self._limits, self._interest = limits, interest
        self._sides = {side: _Side(side, FrameReader(lost=True), HpackDecoder(limits.head)) for side in (True, False)}
        self._streams: OrderedDict[int, _Stream] = OrderedDict()
        self._pushed: OrderedDict[int, None] = OrderedDict()
        self._budget = Budget()
        self._index = 0
        self._late = False
        self._seen = 0
        self._over = False
        self._touched: dict[int, _Stream] = {}

    # -- what the pipeline calls ---------------------------------------------------------------------------------

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[HttpEvent]:
        """`data` was seen at `ts`, right after what was fed of this direction before."""
        events: list[HttpEvent] = []
        if self._over:
            self.counters["bytes_after_end"] += len(data)
            return events
        side = self._sides[to_server]
        if side.opening is not None:
            data = self._begin(side, data)
        for frame in side.frames.feed(data):
            self._frame(side, ts, frame, events)
        for number in self._touched:
            self._mark(number, to_server, ts)
        self._touched.clear()
        if side.frames.skipped > self._limits.unsynced and not self._seen:
            events += self.close(ts, False)
            events.append(NotHttp(to_server, "no frame in its beginning"))
        return events

    def gap(self, to_server: bool, ts: int, size: int) -> list[HttpEvent]:
        """`size` bytes of this direction were never seen (0: an unknown number)."""
        events: list[HttpEvent] = []
        if self._over:
            return events
        self.counters["gaps"] += 1
        side = self._sides[to_server]
        side.opening = None
        within = side.frames.gap(size)
        if within:
            self._holed(self._streams.get(within), to_server)
            return events
        side.headers.lose()
        side.block.clear()
        side.on = 0
        for stream in self._streams.values():  # whose bytes were lost is not known
            over = stream.request_over if to_server else stream.response_over
            if not over:
                self._holed(stream, to_server)
        return events

    def settle(self) -> None:
        """Nobody sees the answers: a stream is over when its request ends."""
        for stream in list(self._streams.values()):
            stream.response_over = True
            if stream.request_over:
                self._emit(stream, [])

    def close(self, ts: int, clean: bool = True) -> list[HttpEvent]:
        """The connection ended: what is unfinished comes out."""
        events: list[HttpEvent] = []
        if not self._over:
            self._over = True
            for stream in list(self._streams.values()):
                self._finish(stream, ts, events)
        return events

    # -- frames --------------------------------------------------------------------------------------------------

    def _begin(self, side: _Side, data: bytes) -> bytes:
        """The first bytes of a direction: what of them are frames, b"" while it cannot be told whether the connection is seen
        from its start. The client begins with the preface, the server with SETTINGS (RFC 9113 §3.4)."""
        assert side.opening is not None
        side.opening += data
        begun = bytes(side.opening)
        if side.to_server:
            starts, decided = begun.startswith(PREFACE), not PREFACE.startswith(begun) or len(begun) >= len(PREFACE)
        else:
            starts, decided = begun[3:4] == b"\x04" and begun[5:9] == bytes(4), len(begun) >= HEAD
        if not decided:
            return b""
        side.opening = None
        if starts:
            side.frames.lost = False
            return begun.removeprefix(PREFACE)
        self._late = True
        side.headers.lose()
        self.counters["joined_mid_connection"] += 1
        return begun

    def _frame(self, side: _Side, ts: int, frame: Frame, events: list[HttpEvent]) -> None:
        self._seen += 1
        kind = frame.kind
        if kind == Kind.DATA:
            self._data(side, ts, frame, events)
        elif kind == Kind.HEADERS:
            self._open_block(side, frame, _payload(frame))
            self._close_block(side, ts, frame, events)
        elif kind == Kind.CONTINUATION:
            if side.on != frame.stream or len(side.block) + len(frame.data) > _BLOCK:
                self.counters["bad_continuation"] += 1
                side.headers.lose()
                side.on = 0
                side.block.clear()
                return
            side.block += frame.data
            self._close_block(side, ts, frame, events)
        elif kind == Kind.RST_STREAM:
            self._reset(side, ts, frame, events)
        elif kind == Kind.PUSH_PROMISE:
            self.counters["pushed"] += 1
            body = _payload(frame)
            self._pushed[int.from_bytes(body[:4], "big") & 0x7FFFFFFF] = None
            if len(self._pushed) > self._limits.streams:
                self._pushed.popitem(last=False)
            self._open_block(side, frame, body[4:])
            side.promised = True
            self._close_block(side, ts, frame, events)
        elif kind == Kind.SETTINGS:
            self._settings(side, frame)
        elif kind == Kind.GOAWAY:
            self.counters["goaway"] += 1

    def _settings(self, side: _Side, frame: Frame) -> None:
        for at in range(0, len(frame.data) - 5, 6):
            name, value = (
                int.from_bytes(frame.data[at : at + 2], "big"),
                int.from_bytes(frame.data[at + 2 : at + 6], "big"),
            )
            if name == _HEADER_TABLE_SIZE:
                self._sides[not side.to_server].headers.allow(value)

    def _open_block(self, side: _Side, frame: Frame, fragment: bytes) -> None:
        side.block = bytearray(fragment)
        side.on, side.flags, side.promised = frame.stream, frame.flags, False

    def _close_block(self, side: _Side, ts: int, frame: Frame, events: list[HttpEvent]) -> None:
        if not frame.flags & END_HEADERS:
            return
        block, stream, flags, promised = bytes(side.block), side.on, side.flags, side.promised
        side.block.clear()
        side.on = 0
        before = side.headers.unknown
        headers = side.headers.decode(block)
        if headers is None:
            self.counters["bad_header_block"] += 1
            headers, before = [], -1
        if not promised and stream not in self._pushed:
            self._headers(side, ts, stream, headers, bool(flags & END_STREAM), side.headers.unknown > before, events)

    # -- messages ------------------------------------------------------------------------------------------------

    def _headers(
        self,
        side: _Side,
        ts: int,
        number: int,
        headers: list[Header],
        ends: bool,
        unknown: bool,
        events: list[HttpEvent],
    ) -> None:
        stream = self._streams.get(number)
        if side.to_server:
            if stream is None or stream.request is None:
                stream = self._request(number, ts, headers, unknown, stream, events)
            elif stream.request is not None:
                stream.request.trailers = [h for h in headers if not h[0].startswith(":")]
        else:
            if stream is None:
                stream = self._streams[number] = _Stream(number)
                self._bound(ts, events)
            if stream.response is None:
                if not self._response(stream, ts, headers, unknown, events):
                    return
            else:
                stream.response.trailers = [h for h in headers if not h[0].startswith(":")]
        if ends:
            self._end(stream, side.to_server, ts, True, events)

    def _request(
        self,
        number: int,
        ts: int,
        headers: list[Header],
        unknown: bool,
        stream: _Stream | None,
        events: list[HttpEvent],
    ) -> _Stream:
        pseudo = {name: value for name, value in headers if name.startswith(":")}
        request = Message(
            index=self._index,
            version=VERSION,
            method=pseudo.get(":method", ""),
            target=pseudo.get(":path", ""),
            headers=_fields(headers, pseudo.get(":authority", "")),
            start=ts,
            end=ts,
        )
        self._index += 1
        self._note(request, unknown)
        stream = stream or _Stream(number)
        stream.request = request
        stream.upgrade = ":protocol" in pseudo or request.method == "CONNECT"
        if ":protocol" in pseudo:  # RFC 8441 §4: what HTTP/1.1 names in Upgrade
            request.headers.append(("upgrade", pseudo[":protocol"]))
        interest = self._interest(request)
        stream.full = interest is Interest.FULL
        if stream.full:
            events.append(RequestHead(request))
            stream.keep_request = Keeper(request, _codings(request), self._limits, self._budget)
        else:
            self.counters["skipped"] += 1
            if interest is Interest.SENT:
                stream.sent = begin_sent(Body(Framing.LENGTH, max(0, _length(request)), _codings(request)))
            events.append(
                Skipped(request, f"{request.method} {request.target.partition('?')[0]}".encode("latin-1", "replace"))
            )
        self._streams[number] = stream
        self._bound(ts, events)
        return stream

    def _bound(self, ts: int, events: list[HttpEvent]) -> None:
        if len(self._streams) > self._limits.streams:
            _, oldest = self._streams.popitem(last=False)
            self.counters["stream_limit"] += 1
            for message in (oldest.request, oldest.response):
                if message is not None:
                    message.anomalies.append("stream-limit")
            self._finish(oldest, ts, events)

    def _response(
        self, stream: _Stream, ts: int, headers: list[Header], unknown: bool, events: list[HttpEvent]
    ) -> bool:
        """A response's headers; False if it is an interim one (RFC 9113 §8.1: "zero or more")."""
        status = next((v for n, v in headers if n == ":status"), "")
        code = int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 0
        if 100 <= code < 200:
            self.counters["interim_responses"] += 1
            return False
        index = stream.request.index if stream.request else self._index
        response = Message(index=index, version=VERSION, status=code, headers=_fields(headers, ""), start=ts, end=ts)
        self._note(response, unknown)
        stream.response = response
        stream.awaited = _length(response)
        if not stream.full and stream.request is not None:
            if stream.awaited > 0 and not stream.upgrade:
                stream.beginning = begin(response, Body(Framing.LENGTH, stream.awaited, _codings(response)))
            if stream.beginning is None:
                events.append(stream.answered())
        if stream.upgrade and 200 <= code < 300 and stream.request is not None:
            response.complete = True
            if stream.full:
                events.append(Upgraded(stream.request, response))
            del self._streams[stream.number]
            return False
        if stream.full:
            stream.keep_response = Keeper(response, _codings(response), self._limits, self._budget)
        return True

    def _note(self, message: Message, unknown: bool) -> None:
        if self._late and not message.index:
            message.anomalies.append("joined-mid-connection")
        if unknown:
            message.anomalies.append("unknown-headers")

    def _data(self, side: _Side, ts: int, frame: Frame, events: list[HttpEvent]) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            self.counters["bytes_of_unknown_stream"] += len(frame.data)
            return
        keeper = stream.keep_request if side.to_server else stream.keep_response
        if not side.to_server and stream.awaited > 0:
            stream.awaited = max(0, stream.awaited - len(frame.data))
        if keeper is not None and frame.data:
            keeper.add(frame.data)
            self._touched[frame.stream] = stream
        if side.to_server and stream.sent is not None:
            stream.sent.add(frame.data)
        if not side.to_server and stream.beginning is not None:
            stream.beginning.add(frame.data)
            if stream.beginning.full:
                self._tell(stream, not stream.awaited, events)
        if frame.last and frame.flags & END_STREAM:
            self._mark(stream.number, side.to_server, ts)
            self._end(stream, side.to_server, ts, True, events)

    def _tell(self, stream: _Stream, complete: bool, events: list[HttpEvent]) -> None:
        """As much of the answer's beginning is there as is waited for."""
        beginning, stream.beginning = stream.beginning, None
        assert beginning is not None
        events.append(stream.answered(beginning.text(complete)))

    def _mark(self, number: int, to_server: bool, ts: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        keeper = stream.keep_request if to_server else stream.keep_response
        message = stream.request if to_server else stream.response
        if keeper is not None and message is not None:
            message.end = ts
            keeper.mark(ts)

    def _reset(self, side: _Side, ts: int, frame: Frame, events: list[HttpEvent]) -> None:
        stream = self._streams.get(frame.stream)
        self.counters["resets"] += 1
        if stream is None:
            return
        code = int.from_bytes(frame.data[:4], "big")
        for message, over in ((stream.request, stream.request_over), (stream.response, stream.response_over)):
            if message is not None and not over:
                message.anomalies.append(f"reset:{code}")
        self._finish(stream, ts, events)

    def _holed(self, stream: _Stream | None, to_server: bool) -> None:
        message = (stream.request if to_server else stream.response) if stream else None
        keeper = (stream.keep_request if to_server else stream.keep_response) if stream else None
        if message is not None:
            message.gap = True
        if keeper is not None:
            keeper.gap()

    def _end(self, stream: _Stream, to_server: bool, ts: int, complete: bool, events: list[HttpEvent]) -> None:
        """No more of this message comes; if the other one is over too, the exchange is."""
        message = stream.request if to_server else stream.response
        keeper = stream.keep_request if to_server else stream.keep_response
        if message is not None:
            message.end = ts
            message.complete = complete and not message.gap
            if keeper is not None:
                keeper.end(ts, message.complete)
            self.counters.update(f"odd_{a.partition(':')[0].replace('-', '_')}" for a in message.anomalies)
        if to_server:
            stream.request_over, stream.keep_request = True, None
            if stream.full and message is not None:
                events.append(RequestDone(message))
        else:
            stream.response_over, stream.keep_response = True, None
            if stream.beginning is not None and message is not None:
                self._tell(stream, complete and not message.gap, events)
        if stream.response_over and (stream.request_over or stream.request is None):
            self._emit(stream, events)

    def _finish(self, stream: _Stream, ts: int, events: list[HttpEvent]) -> None:
        """No more of this stream will be read: it comes out as it is."""
        if not stream.request_over and stream.request is not None:
            stream.response_over, held = False, stream.response_over
            self._end(stream, True, ts, False, events)
            stream.response_over = held
        if stream.response is not None and not stream.response_over:
            # all that was announced is there: a client need not wait for the empty frame that ends the stream
            self._end(stream, False, ts, stream.awaited == 0, events)
        else:
            self._emit(stream, events)

    def _emit(self, stream: _Stream, events: list[HttpEvent]) -> None:
        self._streams.pop(stream.number, None)
        if not stream.full:
            if stream.request is not None and stream.response is None:
                events.append(stream.answered())
            return
        for message in (stream.request, stream.response):
            self._budget.used -= len(message.body) if message else 0
        if stream.request is not None or stream.response is not None:
            events.append(ExchangeDone(stream.request, stream.response))


def _payload(frame: Frame) -> bytes:
    """A HEADERS or PUSH_PROMISE frame's fragment: without padding and priority (RFC 9113 §6.2)."""
    data = frame.data
    if frame.flags & PADDED and data:
        data = data[1 : max(1, len(data) - data[0])]
    if frame.kind == Kind.HEADERS and frame.flags & PRIORITY:
        data = data[5:]
    return data


def _fields(headers: list[Header], authority: str) -> list[Header]:
    """Regular fields, the authority as the Host that it stands for (RFC 9113 §8.3.1), crumbs of cookies joined (§8.2.3)."""
    fields = [(name, value) for name, value in headers if not name.startswith(":")]
    if authority and not any(name == "host" for name, _ in fields):
        fields.insert(0, ("host", authority))
    crumbs = [value for name, value in fields if name == "cookie"]
    if len(crumbs) > 1:
        fields = [f for f in fields if f[0] != "cookie"] + [("cookie", "; ".join(crumbs))]
    return fields


def _length(message: Message) -> int:
    """Bytes of the body as its headers say, -1 if they do not."""
    length = message.header("content-length")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else -1


def _codings(message: Message) -> tuple[str, ...]:
    values = [value for name, value in message.headers if name == "content-encoding"]
    return tuple(part.strip(" \t").lower() for value in values for part in value.split(",") if part.strip(" \t"))


def sniff(data: bytes) -> bool:
    """Are these the first bytes of an HTTP/2 connection: the client's preface, or SETTINGS as a server begins with?"""
    if data.startswith(PREFACE[:14]):
        return True
    return (
        len(data) >= 9
        and data[3:9] == b"\x04\0\0\0\0\0"
        and int.from_bytes(data[:3], "big") % 6 == 0
        and data[:1] == b"\0"
    )


def role_of(data: bytes) -> str:
    """Who sent these first bytes: "client" (the preface, or a request's first header), "server" (SETTINGS, or a status),
    "unknown". In mid-connection the first octet of a header block tells, if it is one of the static table's."""
    if data.startswith(PREFACE[:14]):
        return "client"
    if sniff(data):
        return "server"
    if len(data) > 9 and data[3] == Kind.HEADERS and not data[4] & (PADDED | PRIORITY) and data[8] & 1:
        first = data[9]
        return "client" if first in (0x82, 0x83) else "server" if 0x88 <= first <= 0x8E else "unknown"
    return "unknown"
