"""The table of sockets and the flows they are: who opened which, under what name, and how much passed.

Invariants: one entry a TCP socket, one a (UDP socket, remote); at most `limit` of them, the least recently used leave
first and are counted. A flow's `src` is the side that opened it, whichever side was observed.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, OrderedDict
from collections.abc import Hashable

import msgspec

from leeward.model.net import Endpoint, Flow
from leeward.model.raw import SocketOpened, SocketStats
from leeward.wire.dns import NameTable
from leeward.wire.tls import ClientHello

_DIRECTIONS = {"client": "outbound", "server": "inbound"}


class Socket(msgspec.Struct):
    """One socket as observed. role: "client" | "server" | "listener" | "unknown"."""

    key: Hashable
    sock: int
    role: str
    local: Endpoint
    remote: Endpoint
    flow: Flow
    client_random: bytes = b""
    closed: bool = False
    told: tuple[object, ...] = ()


class FlowTable:
    """Fed what the source says of sockets; asked by connections for what it knows."""

    def __init__(self, origin: str, names: NameTable, limit: int = 131072) -> None:
        """`origin`: the boot's or the capture's id, the first part of every flow's id."""
        self.counters: Counter[str] = Counter()
        self._origin, self._names, self._limit = origin, names, limit
        self._sockets: OrderedDict[Hashable, Socket] = OrderedDict()
        self._by_tuple: dict[tuple[Endpoint, Endpoint], Socket] = {}
        self._by_random: dict[bytes, list[Socket]] = {}

    def __len__(self) -> int:
        return len(self._sockets)

    # -- fed ---------------------------------------------------------------------------------------------------

    def opened(self, event: SocketOpened) -> Socket:
        """A socket was opened, accepted or found; what is learned later (a pid, a role) is added to what is known."""
        if event.role == "listener":
            return self._listening(event)
        key: Hashable = (event.sock, event.remote) if event.proto == "udp" else event.sock
        known = self._sockets.get(key) if event.sock else self._by_tuple.get((event.local, event.remote))
        if known is None and event.sock:
            stale = self._by_tuple.get((event.local, event.remote))
            known = stale if stale and not stale.sock else None  # told by /proc before its first packet
        if known is None:
            key = key if event.sock else (event.local, event.remote)
            known = self._add(key, event)
        else:
            self._learn(known, key, event)
        return known

    def _listening(self, event: SocketOpened) -> Socket:
        """A listening socket is a flow that is open to anybody: `src` is nobody, `dst` the address listened on."""
        key: Hashable = ("listener", event.pid, event.local)
        known = self._sockets.get(key)
        if known is None:
            flow = Flow(self._id(key, event), event.ts, event.proto, event.remote, event.local, "inbound", event.pid)
            flow.start, flow.state = event.ts, "listening"
            known = self._sockets[key] = Socket(key, event.sock, "listener", event.local, event.remote, flow)
            self._bound()
        return known

    def _bound(self) -> None:
        if len(self._sockets) > self._limit:
            self._forget(next(iter(self._sockets)))
            self.counters["flows_evicted"] += 1

    def _add(self, key: Hashable, event: SocketOpened) -> Socket:
        flow = Flow(
            id=self._id(key, event),
            time=event.ts,
            proto=event.proto,
            src=event.local,
            dst=event.remote,
            direction="unknown",
            start=event.ts,
        )
        socket = Socket(key, event.sock, "unknown", event.local, event.remote, flow)
        self._sockets[key] = socket
        self._by_tuple[event.local, event.remote] = socket
        self._learn(socket, key, event)
        self._bound()
        return socket

    def _learn(self, socket: Socket, key: Hashable, event: SocketOpened) -> None:
        flow = socket.flow
        if event.pid:
            flow.pid = event.pid
        if event.sock and not socket.sock:
            self._sockets.pop(socket.key, None)
            socket.key, socket.sock = key, event.sock
            self._sockets[key] = socket
        if event.role in _DIRECTIONS and event.role != socket.role:
            socket.role = event.role
            flow.direction = _DIRECTIONS[event.role]
            ours = event.role == "client"
            flow.src, flow.dst = (event.local, event.remote) if ours else (event.remote, event.local)
        if not flow.domain and (name := self._names.name_for(flow.dst.ip, event.ts)):
            flow.domain, flow.domain_from = name, "dns"
        if event.proto == "udp" and 53 in (flow.src.port, flow.dst.port):
            flow.l7 = "dns"

    def _id(self, key: Hashable, event: SocketOpened) -> str:
        text = f"{self._origin}|{key}|{event.local}|{event.remote}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def hello(self, socket: Socket, hello: ClientHello) -> None:
        """The TLS client hello that passed through `socket`."""
        flow = socket.flow
        flow.sni, flow.alpn, flow.l7 = hello.sni, hello.alpn, "tls"
        if hello.sni:
            flow.domain, flow.domain_from = hello.sni, "sni"
        socket.client_random = hello.client_random
        self._by_random.setdefault(hello.client_random, []).append(socket)

    def stats(self, event: SocketStats) -> Socket | None:
        """Totals; returns whose they are."""
        key: Hashable = (event.sock, event.remote) if event.remote else event.sock
        socket = self._sockets.get(key)
        if socket is None:
            self.counters["stats_of_unknown_socket"] += 1
            return None
        flow = socket.flow
        flow.bytes_sent, flow.bytes_received = event.bytes_sent, event.bytes_received
        flow.packets_sent, flow.packets_received = event.packets_sent, event.packets_received
        flow.time = event.ts
        if event.closed:
            self.close(socket, event.ts)
        else:
            self._sockets.move_to_end(key)
        return socket

    def close(self, socket: Socket, ts: int) -> None:
        """The socket is gone; it stays findable until it is evicted or `prune`d."""
        socket.closed = True
        socket.flow.state, socket.flow.end = "closed", ts

    def news(self, socket: Socket) -> Flow | None:
        """The flow, if it changed since it was last given out."""
        flow = socket.flow
        now = (flow.state, flow.bytes_sent, flow.bytes_received, flow.pid, flow.domain, flow.l7, flow.content)
        if now == socket.told:
            return None
        socket.told = now
        return flow

    def prune(self, ts: int, age: int = 30 * 10**9) -> None:
        """Forgets sockets that closed more than `age` ns ago."""
        old = [k for k, s in self._sockets.items() if s.closed and ts - s.flow.end > age]
        for key in old:
            self._forget(key)

    def _forget(self, key: Hashable) -> None:
        socket = self._sockets.pop(key)
        if self._by_tuple.get((socket.local, socket.remote)) is socket:
            del self._by_tuple[socket.local, socket.remote]
        alike = self._by_random.get(socket.client_random)
        if alike and socket in alike:
            alike.remove(socket)
            if not alike:
                del self._by_random[socket.client_random]

    def get(self, key: Hashable) -> Socket | None:
        """By `Socket.key`."""
        return self._sockets.get(key)

    # -- asked -------------------------------------------------------------------------------------------------

    def find(self, sock: int, local: Endpoint | None = None, remote: Endpoint | None = None) -> Socket | None:
        """By the source's number, else by addresses."""
        found = self._sockets.get(sock) if sock else None
        if found is None and local is not None and remote is not None:
            found = self._by_tuple.get((local, remote))
        return found

    def mirror(self, socket: Socket) -> Socket | None:
        """The other end of the connection, if it is on this host too (and no address was translated between them)."""
        other = self._by_tuple.get((socket.remote, socket.local))
        return other if other is not socket else None

    def by_random(self, random: bytes) -> list[Socket]:
        """The sockets through which the TLS session with this client random passes: two when both ends are on this host."""
        return self._by_random.get(random, []) if random else []

    def randoms_of(self, pid: int) -> list[bytes]:
        """Client randoms of the TLS sessions of this process (and of sockets whose process is not known), the latest first, at
        most 64."""
        mine = (r for r, sockets in reversed(self._by_random.items()) if any(s.flow.pid in (pid, 0) for s in sockets))
        return list(itertools.islice(mine, 64))

    def open_flows(self) -> list[Socket]:
        return list(self._sockets.values())
