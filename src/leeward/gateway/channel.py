"""A client's connection as bytes, in the clear or through TLS that begins after some of it was looked at.

Invariants: what was read to be looked at is read again by who comes next; `write` waits until the client has taken enough.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from leeward.model.net import Endpoint
from leeward.wire.tls import ClientHello, NeedMore, parse_client_hello

_PIECE = 64 << 10
_HELLO = 32 << 10  # the longest client hello that is waited for
_TLS_BEGINS = 0x16  # RFC 8446 §5.1: handshake


class Channel:
    """Reading gives b"" at the end, however the connection ended."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._kept = b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self.client = _endpoint(writer.get_extra_info("peername"))
        self.ours = _endpoint(writer.get_extra_info("sockname"))

    async def hello(self) -> ClientHello | None:
        """The client hello that the connection goes on with; None if it is none."""
        while (not self._kept or self._kept[0] == _TLS_BEGINS) and len(self._kept) < _HELLO:
            if self._kept and not isinstance(found := parse_client_hello(self._kept), NeedMore):
                return found
            if not (data := await self._fetch()):
                return None
            self._kept += data
        return None

    @property
    def begins_tls(self) -> bool:
        """After `hello`: does the client speak TLS?"""
        return self._kept[:1] == bytes((_TLS_BEGINS,))

    async def secure(self, context: ssl.SSLContext) -> None:
        """From here on the connection is TLS, with us as the server. Raises ssl.SSLError, ConnectionError."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(self._kept)
        self._kept = b""
        while True:
            try:
                self._tls.do_handshake()
                await self._flush()
                return
            except ssl.SSLWantReadError:
                await self._flush()
                if not (data := await self._fetch()):
                    raise ConnectionResetError("the client went away in the handshake") from None
                self._incoming.write(data)

    def keep(self, data: bytes) -> None:
        """What was read too far."""
        self._kept = data + self._kept

    async def read(self) -> bytes:
        if self._kept:
            data, self._kept = self._kept, b""
            return data
        if self._tls is None:
            return await self._fetch()
        while True:
            try:
                return self._tls.read(_PIECE)
            except ssl.SSLWantReadError:
                with suppress(ConnectionError):
                    await self._flush()
                if not (data := await self._fetch()):
                    return b""
                self._incoming.write(data)
            except ssl.SSLError:  # closed, or not what TLS may be
                return b""

    async def speaks(self) -> None:
        """Returns when the other end has said something, or is gone; what it says is kept."""
        if data := await self.read():
            self.keep(data)

    async def gone(self) -> None:
        """Returns when the client has gone away; what it sends meanwhile is kept, and then nobody looks any more."""
        data = await self.read()
        if data:
            self.keep(data)
            await asyncio.Event().wait()

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError when the client is gone."""
        if self._tls is None:
            self._writer.write(data)
            await self._writer.drain()
            return
        self._tls.write(data)
        await self._flush()

    async def end(self) -> None:
        """Says that nothing more comes, and waits a little for the client to have read it."""
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            if self._tls is not None:
                with suppress(ssl.SSLWantReadError):
                    self._tls.unwrap()
                await self._flush()
            self.half_close()
            async with asyncio.timeout(2):
                while await self._fetch():
                    continue
        self.close()

    def half_close(self) -> None:
        """Nothing more is written."""
        with suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            self._writer.write(data)
        await self._writer.drain()

    async def _fetch(self) -> bytes:
        try:
            return await self._reader.read(_PIECE)
        except ConnectionError:
            return b""


def _endpoint(name: tuple[str, int] | None) -> Endpoint:
    if not name:
        return Endpoint("", 0)
    return Endpoint(name[0].removeprefix("::ffff:"), name[1])


async def relay(client: Channel, server: Channel) -> None:
    """Both directions, as they are, until both have ended, or one of them broke."""

    async def one_way(source: Channel, target: Channel) -> None:
        while data := await source.read():
            await target.write(data)
        target.half_close()

    ways = [asyncio.ensure_future(one_way(client, server)), asyncio.ensure_future(one_way(server, client))]
    try:
        await asyncio.gather(*ways)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        client.close()
        server.close()
