"""The gateway's server: takes connections, finds where each request is to go, and has the desk's word before a byte of it leaves.

Invariants: no byte of a request's body, and no connection for it, goes to a server before its ruling. Answers go on piece by
piece, as they come. All that is waited for (a head, a body, a server) is waited for so long and no longer. What is not for an AI
host is tunnelled and not looked into.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import suppress

import certifi
import h11
import httpcore

from leeward.ai.catalogue import Catalogue
from leeward.gateway.answers import BROKEN, MISDIRECTED, plain
from leeward.gateway.authority import Authority
from leeward.gateway.channel import Channel, relay
from leeward.gateway.desk import Caller, Desk
from leeward.gateway.request import Request, Setting, say
from leeward.gateway.routes import NoRoute, Target, Upstream, of_absolute, of_connect, of_path, same_host
from leeward.model.errors import HostError, LeewardError

_CLIENTS = 1024
_IDLE_S, _CONNECT_S = 75.0, 10.0
_HEAD = 64 << 10


class Gateway:
    """upstreams: by provider, where its requests go. wait_s: how long a server may say nothing."""

    def __init__(
        self, desk: Desk, authority: Authority, catalogue: Catalogue, upstreams: dict[str, Upstream], wait_s: float
    ) -> None:
        self._desk, self._authority, self._catalogue, self._upstreams = desk, authority, catalogue, upstreams
        pool = httpcore.AsyncConnectionPool(
            ssl_context=_trust(), max_connections=_CLIENTS, keepalive_expiry=30, http2=False
        )
        self._setting = Setting(desk, pool, catalogue, wait_s)
        self._clients: set[asyncio.Task[None]] = set()
        self._listen = ("", 0)

    async def serve(self, host: str, port: int, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises HostError if nobody can listen there."""
        try:
            server = await asyncio.start_server(self._came, host, port)
        except OSError as error:
            raise HostError(f"{host}:{port}: {error.strerror or error}: give another --listen") from error
        self._listen = (host, server.sockets[0].getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        print(
            f"Leeward's gateway listens at http://{shown}:{self._listen[1]}. Certificate authority: {self._authority.path}",
            file=sys.stderr,
            flush=True,
        )
        try:
            while not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1)
                self._desk.record(0, self._desk.tick)
                self._desk.check()
        finally:
            server.close()
            clients = [*self._clients]
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            await self._setting.pool.aclose()

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _CLIENTS:
            self._desk.counters["clients_refused"] += 1
            writer.close()
            return
        task = asyncio.ensure_future(self._client(Channel(reader, writer)))
        self._clients.add(task)
        task.add_done_callback(self._went)

    def _went(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "a client's task failed", "exception": error})

    async def _client(self, channel: Channel) -> None:
        caller = await self._desk.of(self._desk.arrived, channel.client, channel.ours)
        try:
            await self._http(channel, caller, None)
        except (ConnectionError, ssl.SSLError, TimeoutError, h11.ProtocolError):  # the client's doing
            self._desk.counters["clients_broken"] += 1
        except LeewardError as error:  # the audit log cannot be written: nothing passes
            print(f"level=error event=not_decided what={str(error)!r}", file=sys.stderr)
        finally:
            self._desk.record(0, self._desk.left, caller)
            channel.close()

    async def _http(self, channel: Channel, caller: Caller, bound: Target | None) -> None:
        """HTTP/1 on a connection to us, or (bound) through us to one server."""
        conn = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)
        while True:
            request = Request(self._setting, channel, conn, caller)
            try:
                async with asyncio.timeout(_IDLE_S):
                    event = await request.next_event()
            except h11.RemoteProtocolError as error:
                await say(channel, conn, plain(400, f"not HTTP/1: {error}"), end=True)
                return
            if not isinstance(event, h11.Request):  # the end of the connection
                return
            if event.method == b"CONNECT" and bound is None:
                await self._connect(channel, conn, caller, event)
                return
            try:
                target, path = self._route(channel, event, bound)
            except NoRoute as error:
                await say(channel, conn, plain(MISDIRECTED if bound else 404, str(error)), end=True)
                return
            if not await request.handle(event, target, path):
                if conn.our_state is h11.MUST_CLOSE:
                    await channel.end()
                return
            conn.start_next_cycle()

    def _route(self, channel: Channel, event: h11.Request, bound: Target | None) -> tuple[Target, str]:
        """Where a request goes. Raises NoRoute."""
        text = event.target.decode("latin-1")
        if bound is not None:
            path = of_absolute(text)[1] if not text.startswith("/") else text
            host = next((value for name, value in event.headers if name == b"host"), b"").decode("latin-1")
            if not same_host(bound, host):
                raise NoRoute("the Host header is not that of the server that was asked for")
            return bound, path
        if text.startswith("/"):
            return of_path(text, self._catalogue, self._upstreams)
        target, path = of_absolute(text)
        self._not_us(channel, target)
        return target, path

    def _not_us(self, channel: Channel, target: Target) -> None:
        ours = {self._listen[0], channel.ours.ip, "localhost"}
        if target.port == self._listen[1] and target.host in ours:
            raise NoRoute("this is the gateway itself")

    async def _connect(self, channel: Channel, conn: h11.Connection, caller: Caller, event: h11.Request) -> None:
        """A tunnel is asked for: to an AI host it ends here, to others it is given."""
        try:
            target = of_connect(event.target.decode("latin-1"))
            self._not_us(channel, target)
        except NoRoute as error:
            await say(channel, conn, plain(404, str(error)), end=True)
            return
        known = self._catalogue.is_ai_host(target.host) is not None
        server = None
        if not known:
            if why := await self._desk.of(self._desk.refused, caller, target):
                await say(channel, conn, plain(403, why), end=True)
                return
            server = await _dial(target)
            if server is None:
                await say(channel, conn, plain(BROKEN, f"{target.host} cannot be reached"), end=True)
                return
        await channel.write(
            conn.send(h11.Response(status_code=200, headers=[], reason=b"Connection established")) or b""
        )
        channel.keep(conn.trailing_data[0])
        if server is not None and not await _client_first(channel, server):
            await relay(channel, server)
            return
        try:
            async with asyncio.timeout(_IDLE_S):
                hello = await channel.hello()
        except TimeoutError:
            if server is not None:
                server.close()
            raise
        if hello is not None and hello.sni and self._catalogue.is_ai_host(hello.sni):
            known, target = True, Target("https", hello.sni, target.port)
        if not known and server is not None:
            self._desk.counters["tunnels"] += 1
            await relay(channel, server)
            return
        if server is not None:
            server.close()
        if channel.begins_tls:
            async with asyncio.timeout(_IDLE_S):
                await channel.secure(self._authority.context(target.host))
        else:
            target = Target("http", target.host, target.port)
        await self._http(channel, caller, target)


def _trust() -> ssl.SSLContext:
    """Whose certificates of servers are believed: this host's, or SSL_CERT_FILE's; where there are none, Mozilla's."""
    paths = ssl.get_default_verify_paths()
    return ssl.create_default_context(cafile=None if paths.cafile or paths.capath else certifi.where())


async def _dial(target: Target) -> Channel | None:
    """A connection as it is; None if the server cannot be reached."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            return Channel(*await asyncio.open_connection(target.host, target.port))
    except (OSError, TimeoutError):
        return None


async def _client_first(client: Channel, server: Channel) -> bool:
    """Is it the client that speaks first? (With mail, for one, it is not.)"""
    sides = [asyncio.ensure_future(client.speaks()), asyncio.ensure_future(server.speaks())]
    try:
        async with asyncio.timeout(_IDLE_S):
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        return not sides[1].done()
    finally:
        for side in sides:
            side.cancel()
        await asyncio.gather(*sides, return_exceptions=True)
