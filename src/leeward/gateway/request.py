"""One request through the gateway: read, ruled on, sent on, answered.

Invariants: of a request at most `MOST` bytes are kept before its ruling, which is on all of them; a longer one is ruled on by its
beginning and the policy's `fail`. An answer that breaks off is broken off for the client too, never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import h11
import httpcore
import msgspec

from leeward.ai.catalogue import Catalogue, Match
from leeward.enforce.messages import MOST
from leeward.gateway.answers import BLOCKED, BROKEN, Answer, answer
from leeward.gateway.channel import Channel
from leeward.gateway.desk import Caller, Conversation, Desk, Ruling
from leeward.gateway.routes import Headers, Target, back, onward
from leeward.model.errors import LeewardError
from leeward.model.net import Endpoint

_BODY_S, _CONNECT_S, _SESSION_S = 60.0, 10.0, 3600.0
_PIECE = 64 << 10
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError)


class Setting(msgspec.Struct, frozen=True):
    """What all requests share."""

    desk: Desk
    pool: httpcore.AsyncConnectionPool
    catalogue: Catalogue
    wait_s: float


class _Asked(msgspec.Struct, frozen=True):
    """A request as it goes on. start: its head and, of a body of unknown length, the head of its first chunk, as they are judged.
    first: its body, or the beginning. whole: that is all."""

    method: bytes
    path: bytes
    headers: Headers
    start: bytes
    first: bytes
    whole: bool
    size: int
    chunked: bool
    upgrade: bool


class Request:
    """`next_event` until it gives a request's head, then `handle`."""

    def __init__(self, setting: Setting, channel: Channel, conn: h11.Connection, caller: Caller) -> None:
        self._desk, self._setting = setting.desk, setting
        self._channel, self._conn, self._caller = channel, conn, caller

    async def next_event(self) -> Any:
        """The next of h11's events from the client. Raises h11.RemoteProtocolError."""
        while (event := self._conn.next_event()) is h11.NEED_DATA:
            if self._conn.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self._conn.receive_data(await self._channel.read())
        return event

    async def handle(self, event: h11.Request, target: Target, path: str) -> bool:
        """Whether the connection may go on after it."""
        desk = self._desk
        match = self._match(event, target, path)
        talk, refused = await desk.of(desk.begin, self._caller, target)
        try:
            if refused:
                return await self._refuse(self._answer(target, match, BLOCKED, refused), read=False)
            asked = await self._read(event, target, path)
            ruling = await desk.ruling(talk, asked.start + asked.first, asked.size)
            if ruling.action == "block":
                return await self._refuse(self._answer(target, match, BLOCKED, ruling.message), read=asked.whole)
            asked = _with_edits(asked, ruling)
            return await self._pass_on(talk, asked, target, match)
        except LeewardError:
            await self._refuse(self._answer(target, match, 503, "no decision can be written down"), read=False)
            raise
        finally:
            desk.record(0, desk.over, talk)

    def _match(self, event: h11.Request, target: Target, path: str) -> Match | None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
        method = event.method.decode("latin-1")
        return self._setting.catalogue.match(target.host, target.port, method, path.partition("?")[0], headers)

    def _answer(self, target: Target, match: Match | None, status: int, message: str) -> Answer:
        return answer(match, status, message, self._setting.catalogue.is_ai_host(target.host) or "")

    async def _refuse(self, what: Answer, *, read: bool) -> bool:
        """Answers in the server's place. read: the request was read to its end, and the connection can go on."""
        await say(self._channel, self._conn, what, end=not read)
        return read

    async def _read(self, event: h11.Request, target: Target, path: str) -> _Asked:
        """The request with as much of its body as is looked through."""
        first, whole = bytearray(), False
        while len(first) <= MOST:
            async with asyncio.timeout(_BODY_S):
                got = await self.next_event()
            if isinstance(got, h11.EndOfMessage):
                whole = True
                break
            if not isinstance(got, h11.Data):
                raise ConnectionResetError("the client went away in its request")
            first += got.data
        return _asked(event, target, path, bytes(first), whole)

    # -- to the server and back ------------------------------------------------------------------------------------

    async def _pass_on(self, talk: Conversation, asked: _Asked, target: Target, match: Match | None) -> bool:
        request = httpcore.Request(
            asked.method,
            httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=asked.path),
            headers=asked.headers,
            content=asked.first if asked.whole else self._all(talk, asked),
            extensions={
                "timeout": {
                    "connect": _CONNECT_S, "read": self._setting.wait_s, "write": _BODY_S, "pool": _CONNECT_S,
                },
            },
        )  # fmt: skip
        try:
            response = await self._response(request, watch=asked.whole)
        except (*_BROKEN, httpcore.TimeoutException) as error:
            self._desk.counters["servers_broken"] += 1
            self._desk.record(len(asked.first), self._desk.sent, talk, None, asked.start + asked.first)
            return await self._refuse(
                self._answer(target, match, BROKEN, _why(error, target, self._setting.wait_s)), read=asked.whole
            )
        try:
            self._desk.record(len(asked.first), self._desk.sent, talk, _server(response), asked.start + asked.first)
            if response.status == 101:
                await self._session(talk, response)
                return False
            return await self._respond(talk, response)
        finally:
            await response.aclose()

    async def _response(self, request: httpcore.Request, *, watch: bool) -> httpcore.Response:
        """The head of the server's response. watch: gives up when the client does."""
        call = asyncio.ensure_future(self._setting.pool.handle_async_request(request))
        gone = asyncio.ensure_future(self._channel.gone()) if watch else None
        try:
            await asyncio.wait([task for task in (call, gone) if task], return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise ConnectionResetError("the client went away before its answer")
            return call.result()
        finally:
            tasks = [task for task in (call, gone) if task and not task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _all(self, talk: Conversation, asked: _Asked) -> AsyncIterator[bytes]:
        """A long body: what was ruled on, then the rest as it comes."""
        desk = self._desk
        desk.record(len(asked.first), desk.sent, talk, None, asked.start + asked.first)
        yield asked.first
        while True:
            async with asyncio.timeout(_BODY_S):
                event = await self.next_event()
            if not isinstance(event, h11.Data | h11.EndOfMessage):
                raise ConnectionResetError("the client went away in its request")
            data = bytes(event.data) if isinstance(event, h11.Data) else b""
            wire = b"\r\n%x\r\n%s" % (len(data), data) + (b"" if data else b"\r\n") if asked.chunked else data
            desk.record(len(wire), desk.piece, talk, True, time.time_ns(), wire)
            if isinstance(event, h11.EndOfMessage):
                return
            yield data

    async def _respond(self, talk: Conversation, response: httpcore.Response) -> bool:
        headers = back(response.headers)
        reason = response.extensions.get("reason_phrase", b"")
        await self._tell(talk, h11.Response(status_code=response.status, headers=headers, reason=reason))
        try:
            async for piece in response.aiter_stream():
                if piece:
                    await self._tell(talk, h11.Data(data=piece))
        except (*_BROKEN, httpcore.TimeoutException):
            self._desk.counters["answers_broken_off"] += 1
            return False
        await self._tell(talk, h11.EndOfMessage())
        return self._conn.our_state is h11.DONE and self._conn.their_state is h11.DONE

    async def _tell(self, talk: Conversation, event: Any) -> None:
        """One event to the client, and to the desk."""
        if data := await self._send(event):
            self._desk.record(len(data), self._desk.piece, talk, False, time.time_ns(), data)

    async def _send(self, event: Any) -> bytes:
        data = self._conn.send(event) or b""
        if data:
            await self._channel.write(data)
        return data

    # -- sessions (WebSocket) --------------------------------------------------------------------------------------

    async def _session(self, talk: Conversation, response: httpcore.Response) -> None:
        """What follows a 101: each of the client's pieces is ruled on before it goes on."""
        stream = response.extensions["network_stream"]
        await self._tell(
            talk, h11.InformationalResponse(status_code=101, headers=response.headers, reason=b"Switching Protocols")
        )
        self._channel.keep(self._conn.trailing_data[0])
        up = asyncio.ensure_future(self._upwards(talk, stream))
        down = asyncio.ensure_future(self._downwards(talk, stream))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _upwards(self, talk: Conversation, stream: Any) -> None:
        while data := await self._channel.read():
            ruling = await self._desk.ruling(talk, data, len(data))
            if ruling.action != "allow":  # frames are masked: they go as they are, or not at all
                self._desk.counters["sessions_stopped"] += 1
                return
            await stream.write(data, timeout=_BODY_S)
            self._desk.record(len(data), self._desk.piece, talk, True, time.time_ns(), data)

    async def _downwards(self, talk: Conversation, stream: Any) -> None:
        while data := await stream.read(_PIECE, timeout=_SESSION_S):
            await self._channel.write(data)
            self._desk.record(len(data), self._desk.piece, talk, False, time.time_ns(), data)


async def say(channel: Channel, conn: h11.Connection, what: Answer, *, end: bool) -> None:
    """Answers a request by ourselves. end: and ends the connection."""
    if conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    headers = [*what.headers, ("connection", "close")] if end else what.headers
    events = (
        h11.Response(status_code=what.status, headers=headers, reason=what.reason.encode()),
        h11.Data(data=what.body),
        h11.EndOfMessage(),
    )
    await channel.write(b"".join(conn.send(event) or b"" for event in events))
    if end:
        await channel.end()


def _asked(event: h11.Request, target: Target, path: str, first: bytes, whole: bool) -> _Asked:
    given = event.headers.raw_items()
    value = {name: text.decode("latin-1").lower() for name, text in event.headers}
    upgrade = whole and value.get(b"upgrade") == "websocket"
    headers = onward(given, target, keep_upgrade=upgrade)
    chunked = not whole and b"content-length" not in value
    total = len(first) if whole else int(value.get(b"content-length", "0"))
    if chunked:
        headers.append((b"Transfer-Encoding", b"chunked"))
    elif first or b"content-length" in value or b"transfer-encoding" in value:
        headers.append((b"Content-Length", str(total).encode()))
    route = path.encode("latin-1")
    lines = [b"%s %s HTTP/1.1" % (event.method, route), *(b"%s: %s" % pair for pair in headers)]
    start = b"\r\n".join(lines) + b"\r\n\r\n"
    if chunked:
        start += b"%x\r\n" % len(first)
    size = len(start) + max(total, len(first) + chunked)
    return _Asked(event.method, route, headers, start, first, whole, size, chunked, upgrade)


def _with_edits(asked: _Asked, ruling: Ruling) -> _Asked:
    """With what is to be masked."""
    if not ruling.edits:
        return asked
    body = bytearray(asked.first)
    for at, put in ruling.edits:
        begin = at - len(asked.start)
        body[begin : begin + len(put)] = put
    return msgspec.structs.replace(asked, first=bytes(body))


def _server(response: httpcore.Response) -> Endpoint | None:
    address = response.extensions["network_stream"].get_extra_info("server_addr")
    return Endpoint(address[0].removeprefix("::ffff:"), address[1]) if address else None


def _why(error: Exception, target: Target, wait_s: float) -> str:
    """For people: what is wrong with a server."""
    if isinstance(error, httpcore.ConnectTimeout | httpcore.ConnectError | httpcore.PoolTimeout):
        return f"leeward gateway: {target.host}:{target.port} cannot be reached: {error or 'no answer'}"
    if isinstance(error, httpcore.TimeoutException):
        return f"leeward gateway: {target.host} did not answer within {wait_s:g} s"
    return f"leeward gateway: {target.host} broke the connection off before it answered"
