"""From raw events to HTTP, SQL and DNS events: which bytes belong to which connection, whose side they are, who may speak for it.

Three kinds of source end in the same parser: plaintext seen at a TLS library's calls, plaintext seen in packets, and
captures (in the clear, or decrypted with a key log).

Invariants: a connection whose two ends are on this host is parsed once, for the client's side; the server's process
becomes an observer. What waits to find that out is bounded in bytes and in time. A connection that carries nothing of
interest is told to `Quiet`, and costs no more than a table entry afterwards (attention.py).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence

import msgspec

from leeward.model.message import Message
from leeward.model.net import Endpoint
from leeward.model.raw import HeadsSeen, Plaintext, Segment, TlsClosed, TlsOpened, UnixData
from leeward.wire import dns_stream, http2, sql, stratum
from leeward.wire.attention import Attention
from leeward.wire.attention import Quiet as Quiet
from leeward.wire.beginning import began
from leeward.wire.body_calls import is_call
from leeward.wire.connection import Connection as Connection
from leeward.wire.decrypt import TlsDecryptor
from leeward.wire.dns import DnsMessage
from leeward.wire.flows import FlowTable, Socket
from leeward.wire.http import Answered, HttpConnection, HttpEvent, Interest, Limits, NotHttp, Skipped
from leeward.wire.http1 import Http1Connection
from leeward.wire.http1_head import read_request, read_response, whole_lines
from leeward.wire.http2_frames import PREFACE
from leeward.wire.keylog import KeyLog
from leeward.wire.mysql import MysqlConnection
from leeward.wire.postgres import PostgresConnection
from leeward.wire.stream import StreamClosed, StreamData, StreamEvent, StreamGap, StreamOpened
from leeward.wire.tcp import TcpStreams
from leeward.wire.tls import ClientHello, NeedMore, parse_client_hello
from leeward.wire.unix import UnixStreams, speaks_at

_CLEAN = ("fin", "closed")  # ends after which a response that is delimited by the end is whole
_HOLD_NS = 2 * 10**9  # a server waits so long for its client's side to show up
_HOLD_BYTES = 1 << 20  # a connection; all together 64 times that
_METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"CONNECT ")


InterestOf = Callable[[Connection, Message], Interest]
Event = HttpEvent | sql.SqlEvent | dns_stream.DnsEvent
Heard = tuple[Connection, Event]
_SQL: dict[str, Callable[[sql.SqlLimits], sql.SqlConnection]] = {
    "postgresql": PostgresConnection,
    "mysql": MysqlConnection,
}
_JOINED_LATE = ("postgresql",)  # whose messages can be found in the middle of a conversation


class Connections:
    """Fed raw events; yields (connection, HTTP event) pairs. `interest` is asked once a request."""

    def __init__(
        self,
        flows: FlowTable,
        interest: InterestOf,
        *,
        limits: Limits,
        quiet: Quiet | None = None,
        keylog: KeyLog | None = None,
        sql_limits: sql.SqlLimits | None = None,
        most: int = 65536,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.streams = TcpStreams()
        self.unix = UnixStreams()
        self._flows, self._interest, self._limits, self._quiet, self._keylog = flows, interest, limits, quiet, keylog
        self._attention = Attention(flows, quiet, self.counters)
        self._most = most
        self._sql_limits = sql_limits or sql.SqlLimits()
        self._connections: OrderedDict[Hashable, Connection] = OrderedDict()
        self._by_random: dict[bytes, Connection] = {}
        self._hellos: OrderedDict[int, bytearray] = OrderedDict()
        self._first_bytes: OrderedDict[tuple[int, bytes], int] = OrderedDict()
        self._holding: dict[Hashable, Connection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def use_keylog(self, keylog: KeyLog) -> None:
        """For captures that carry their own key log: sessions that begin from here on use it."""
        self._keylog = keylog

    def all(self) -> list[Connection]:
        return list(self._connections.values())

    # -- plaintext at a TLS library's calls ----------------------------------------------------------------------

    def tls_opened(self, event: TlsOpened) -> list[Heard]:
        key = (event.pid, event.tls)
        heard = self._end(key, event.ts, "tls object used again")
        connection = Connection(key, "library", event.pid, client_random=event.client_random, library=event.library)
        self._add(connection)
        self._join(connection, event)
        return heard + self._settle(connection, event.ts)

    def _join(self, connection: Connection, event: TlsOpened) -> None:
        """Finds the connection's socket: by the session's client random on the wire, else by its descriptor."""
        alike = self._flows.by_random(event.client_random)
        mine = [s for s in alike if s.flow.pid == event.pid or s.role == "unknown" or not s.flow.pid]
        socket = self._flows.find(event.sock, event.local, event.remote)
        if socket is not None and socket in alike:
            connection.joined = "client-random"
        elif socket is None and mine:
            socket, connection.joined = mine[0], "client-random"
        elif socket is None and alike:  # a descriptor handed to another process
            socket, connection.joined = alike[0], "client-random"
        elif socket is not None:
            connection.joined = "descriptor"
        if socket is None:
            self.counters["tls_without_socket"] += 1
            return
        connection.socket, connection.role = socket, socket.role
        connection.client_random = connection.client_random or socket.client_random
        connection.from_start = bool(socket.client_random)
        if not socket.flow.pid:
            socket.flow.pid = event.pid

    def _settle(self, connection: Connection, ts: int) -> list[Heard]:
        """Decides who speaks for a session that two processes on this host see."""
        random = connection.client_random
        if not random:
            return []
        other = self._by_random.get(random)
        if other is None or other.dropped:
            self._by_random[random] = connection
            both_here = len(self._flows.by_random(random)) > 1
            if connection.role == "server" and both_here:
                connection.held, connection.held_since = [], ts
                self._holding[connection.key] = connection
            return []
        if connection.role == "client" and other.role != "client":
            self._by_random[random] = connection
            connection.observers.append(other.pid)
            return self._drop(other, "server_side_duplicates")
        other.observers.append(connection.pid)
        return self._drop(connection, "server_side_duplicates")

    def _drop(self, connection: Connection, counter: str) -> list[Heard]:
        """Another observer speaks for this connection."""
        self.counters[counter] += 1
        connection.dropped, connection.held, connection.http = True, None, None
        self._holding.pop(connection.key, None)
        self._attention.hush(connection, None)
        return []

    def plaintext(self, event: Plaintext) -> list[Heard]:
        connection = self._connections.get((event.pid, event.tls))
        if connection is None:
            self.counters["plaintext_without_opening"] += 1
            connection = Connection((event.pid, event.tls), "library", event.pid)
            connection.calls[event.written].next_seq = event.seq
            self._add(connection)
        heard: list[Heard] = []
        if connection.http is not None and event.data.startswith(PREFACE):  # of a library that tells of no end
            heard = self._end(connection.key, event.ts, "tls object used again")
            connection = Connection(connection.key, "library", event.pid, library=connection.library)
            connection.calls = {w: msgspec.structs.replace(c) for w, c in connection.calls.items()}
            self._add(connection)
        if connection.dropped:
            return heard
        if connection.role not in ("client", "server"):
            connection.role = _role_of(event.data, event.written)
        to_server = event.written == (connection.role == "client")
        calls = connection.calls[event.written]
        if event.woke:
            self._count(connection)
            connection.http = None
            calls.missing = 0
        elif event.offset == 0 and event.seq > calls.next_seq:
            self.counters["plaintext_gaps"] += event.seq - calls.next_seq
            heard += self._gap(connection, event.ts, 0, to_server)
        elif event.offset == 0 and calls.missing:
            heard += self._gap(connection, event.ts, calls.missing, to_server)
        calls.next_seq = event.seq + 1
        if connection.role == "unknown":
            self.counters["plaintext_of_unknown_role"] += 1
            return heard
        heard += self._data(connection, to_server, event.ts, event.data)
        calls.missing = event.size - event.offset - len(event.data)
        return heard

    def heads(self, event: HeadsSeen) -> list[Heard]:
        """An exchange of no interest, on a connection that is left alone but for its heads."""
        connection = self._connections.get(("socket", event.sock) if event.sock else (event.pid, event.tls))
        if connection is None or connection.dropped:
            self.counters["heads_of_unknown_connection"] += 1
            return []
        request = read_request(whole_lines(event.request), connection.skipped, event.ts)
        response = read_response(whole_lines(event.response), connection.skipped, event.ts)
        if request is None or response is None:
            self.counters["heads_unreadable"] += 1
            return []
        if b"\r\n\r\n" not in event.request:
            request.anomalies.append("cut-head")
        self._connections.move_to_end(connection.key)
        connection.skipped += 1
        beginning = began(response, request.method, event.response.partition(b"\r\n\r\n")[2])
        sent = event.request.partition(b"\r\n\r\n")[2] if is_call(request) else b""
        return [(connection, Answered(request, response, event.stands, beginning, sent))]

    def of_library(self, pid: int, tls: int) -> Connection | None:
        """The connection of a TLS library's object, if one is known."""
        return self._connections.get((pid, tls))

    def tls_closed(self, event: TlsClosed) -> list[Heard]:
        return self._end((event.pid, event.tls), event.ts, "closed")

    # -- packets -----------------------------------------------------------------------------------------------

    def segment(self, event: Segment) -> list[Heard]:
        if not event.sock:
            return self._stream(self.streams.feed(event))
        socket = self._flows.find(event.sock)
        if socket is None:
            self.counters["segment_of_unknown_socket"] += 1
            return []
        key: Hashable = ("socket", event.sock)
        known = self._connections.get(key)
        if (known is None or known.speaks != "dns") and self._is_hello(socket, event):
            return []
        if known is not None and known.dropped:
            return []
        if event.woke and known is not None:
            self._count(known)
            known.http = None
        return self._stream(self.streams.feed(event, key=key, client=self._opener(socket)))

    def unix_data(self, event: UnixData) -> list[Heard]:
        """The connection is whose process used it last: a child may have inherited it."""
        socket = self._flows.find(event.sock)
        if socket is None:
            self.counters["unix_data_of_unknown_socket"] += 1
            return []
        socket.flow.pid = event.pid
        return self._stream(self.unix.feed(event, ("socket", event.sock), socket.local, socket.remote))

    def _opener(self, socket: Socket) -> Endpoint | None:
        """Who opened this connection, as far as its socket or its other end's tells: a server is heard of
        before it has accepted."""
        mirror = self._flows.mirror(socket) if socket.role == "unknown" else None
        role = socket.role if mirror is None else {"client": "server", "server": "client"}.get(mirror.role)
        return {"client": socket.local, "server": socket.remote}.get(role or "")

    def _is_hello(self, socket: Socket, event: Segment) -> bool:
        """Is this part of a TLS client hello? Then it is read for its names."""
        buffer = self._hellos.get(event.sock)
        if buffer is None:
            if event.data[:2] != b"\x16\x03":
                return False
            if dns_stream.PORT in (socket.local.port, socket.remote.port) and dns_stream.begins_dns(event.data):
                return False
            buffer = self._hellos[event.sock] = bytearray()
            if len(self._hellos) > 4096:
                self._hellos.popitem(last=False)
                self.counters["hellos_evicted"] += 1
        buffer += event.data
        hello = parse_client_hello(bytes(buffer))
        if isinstance(hello, NeedMore):
            return True
        del self._hellos[event.sock]
        if isinstance(hello, ClientHello):
            if socket.role == "unknown":
                socket.role = "client" if event.sent else "server"
            self._flows.hello(socket, hello)
        else:
            self.counters["bad_client_hello"] += 1
        return True

    def _stream(self, events: list[StreamEvent]) -> list[Heard]:
        heard: list[Heard] = []
        for event in events:
            match event:
                case StreamOpened():
                    self._stream_opened(event)
                case StreamData():
                    heard += self._stream_data(event)
                case StreamGap():
                    if (connection := self._connections.get(event.conn)) is not None:
                        if connection.decryptor is not None:
                            connection.decryptor.gap(event.to_server)
                        heard += self._gap(connection, event.ts, event.size, event.to_server)
                case StreamClosed():
                    heard += self._end(event.conn, event.ts, event.reason)
        return heard

    def _stream_opened(self, event: StreamOpened) -> None:
        live = isinstance(event.conn, tuple) and event.conn[0] == "socket"
        socket = self._flows.find(event.conn[1]) if live else self._flows.find(0, event.client, event.server)  # type: ignore[index]
        connection = Connection(
            event.conn, "plaintext" if live else "capture", socket.flow.pid if socket else 0, "client", socket
        )
        connection.joined, connection.from_start = "socket" if socket else "", event.from_start
        connection.opener = event.client
        connection.resolver = next((e for e in (event.server, event.client) if e.port == dns_stream.PORT), None)
        self._add(connection)
        connection.speaks = speaks_at(event.server.ip)
        if connection.speaks and not event.from_start:
            if connection.speaks in _JOINED_LATE:
                connection.http = self._parser(connection, b"")
            else:
                connection.reason = f"{connection.speaks} connection older than Leeward"

    def _stream_data(self, event: StreamData) -> list[Heard]:
        connection = self._connections.get(event.conn)
        if connection is None or connection.dropped:
            return []
        if connection.source == "plaintext":
            if self._other_end_speaks(connection, event):
                return []
            if connection.socket is not None:
                connection.pid = connection.socket.flow.pid
            heard = self._data(connection, event.to_server, event.ts, event.data)
            spoken = connection.speaks or ("http" if connection.http is not None else "")
            if connection.socket is not None and spoken and spoken != "dns":
                connection.socket.flow.l7 = spoken
            return heard
        return self._capture_data(connection, event)

    def _other_end_speaks(self, connection: Connection, event: StreamData) -> bool:
        """Is this the server's socket of a connection whose client's socket is seen as well?"""
        socket = connection.socket
        if socket is None or connection.exchanges or connection.http is not None or socket.flow.proto == "unix":
            return False
        mirror = self._flows.mirror(socket)
        first = (event.seq, event.data[:64])  # NAT changes addresses, not the sequence number and the bytes
        other_sock = mirror.sock if mirror else self._first_bytes.get(first, 0)
        self._first_bytes.setdefault(first, socket.sock)
        if len(self._first_bytes) > 8192:
            self._first_bytes.popitem(last=False)
        other = self._connections.get(("socket", other_sock)) if other_sock else None
        if other is None or other is connection or other.dropped:
            return False
        if connection.opener == socket.local:
            other.observers, connection.observers = [], [*other.observers, other.pid]
            connection.far = other.socket
            self._drop(other, "server_side_duplicates")
            return False
        other.observers.append(socket.flow.pid)
        other.far = socket
        self._drop(connection, "server_side_duplicates")
        self._attention.joined(other)
        return True

    def _capture_data(self, connection: Connection, event: StreamData) -> list[Heard]:
        if connection.http is None and connection.decryptor is None:
            if connection.reason:
                return []
            if event.data[:2] == b"\x16\x03" and not self._begins_dns(connection, event.data):
                connection.decryptor = TlsDecryptor(self._keylog or KeyLog())
        decryptor = connection.decryptor
        if decryptor is None:
            return self._data(connection, event.to_server, event.ts, event.data)
        before = decryptor.hello
        clear = decryptor.feed(event.to_server, event.ts, event.data)
        if before is None and decryptor.hello is not None and connection.socket is not None:
            self._flows.hello(connection.socket, decryptor.hello)
        if decryptor.state in ("no-keys", "unsupported", "broken"):
            connection.reason = decryptor.state
        heard: list[Heard] = []
        for to_server, ts, data in clear:
            heard += self._data(connection, to_server, ts, data)
        return heard

    # -- what all kinds share ----------------------------------------------------------------------------------

    def _add(self, connection: Connection) -> None:
        self._connections[connection.key] = connection
        if len(self._connections) > self._most:
            key, old = self._connections.popitem(last=False)
            self._holding.pop(key, None)
            self._unname(old)
            self._count(old)
            self.counters["connections_evicted"] += 1

    def _count(self, connection: Connection) -> None:
        """What its parser and its decryptor found odd is counted where the connection is let go."""
        if connection.http is not None:
            kind = "sql_" if connection.speaks else "http_"
            for name, number in connection.http.counters.items():
                self.counters[name if name.startswith(("ws_", "sql_", "dns_")) else kind + name] += number
        if connection.decryptor is not None:
            self.counters.update(connection.decryptor.counters)

    def _unname(self, connection: Connection) -> None:
        if self._by_random.get(connection.client_random) is connection:
            del self._by_random[connection.client_random]

    def _data(self, connection: Connection, to_server: bool, ts: int, data: bytes) -> list[Heard]:
        if connection.held is not None:
            connection.held.append((ts, to_server, data))
            connection.held_bytes += len(data)
            over = connection.held_bytes > _HOLD_BYTES or len(self._holding) > 4096
            return self._release(connection) if over or ts - connection.held_since > _HOLD_NS else []
        if connection.http is None:
            if self._begins_dns(connection, data):
                connection.speaks = "dns"
            connection.speaks = connection.speaks or sql.sniff(to_server, data)
            if not connection.speaks and stratum.begins(data):
                connection.speaks = connection.reason = "stratum"
                if connection.socket is not None:
                    connection.socket.flow.l7 = "stratum"
            if connection.reason:
                self._attention.hush(connection, None)
                return []
            if data.startswith(b"{") and connection.source == "plaintext":
                return []  # JSON without a head: somebody's lines, or the middle of a request
            connection.http = self._parser(connection, data)
        self._connections.move_to_end(connection.key)
        if connection.second and not connection.exchanges:
            self._attention.pace(connection, ts, len(data))
        return self._hear(connection, connection.http.feed(to_server, ts, data))

    def _begins_dns(self, connection: Connection, data: bytes) -> bool:
        return connection.resolver is not None and dns_stream.begins_dns(data)

    def _parser(
        self, connection: Connection, data: bytes
    ) -> HttpConnection | sql.SqlConnection | dns_stream.DnsConnection:
        """Who reads a connection that begins with `data`."""
        if connection.speaks == "dns":
            return dns_stream.DnsConnection()
        if connection.speaks:
            return _SQL[connection.speaks](self._sql_limits)
        two = http2.sniff(data) or http2.role_of(data) != "unknown"
        parser = http2.Http2Connection if two else Http1Connection
        return parser(self._limits, lambda request: self._interest(connection, request))

    def _hear(self, connection: Connection, events: Sequence[Event]) -> list[Heard]:
        for event in events:
            match event:
                case Skipped(line=line):
                    connection.skipped += 1
                    if not connection.exchanges:
                        self._attention.skipped(connection, event.request, line)
                case Answered(response=Message()):
                    self._attention.answered(connection)
                case NotHttp():
                    connection.reason = connection.reason or f"not HTTP: {event.reason}"
                    self.counters["not_http"] += 1
                    self._attention.hush(connection, None)
                case sql.Encrypted():
                    self._count(connection)
                    connection.http = None
                case dns_stream.DnsSaid(message=DnsMessage()) if connection.socket is not None:
                    connection.socket.flow.l7 = "dns"
                case sql.NotSql(reason=reason) | dns_stream.NotDns(reason=reason):
                    connection.reason = connection.reason or reason
                    self._attention.hush(connection, None)
        return [(connection, event) for event in events]

    def quiet(self, connection: Connection) -> None:
        """What this connection carries is of no interest, for good."""
        self._attention.hush(connection, None)

    def _gap(self, connection: Connection, ts: int, size: int, to_server: bool | None = None) -> list[Heard]:
        if connection.http is None:
            return []
        sides = (True, False) if to_server is None else (to_server,)
        heard: list[Heard] = []
        for side in sides:
            heard += self._hear(connection, connection.http.gap(side, ts, size))
        return heard

    def _release(self, connection: Connection) -> list[Heard]:
        """No client's side showed up: the server's speaks."""
        self.counters["server_side_released"] += 1
        self._holding.pop(connection.key, None)
        held, connection.held, connection.held_bytes = connection.held or [], None, 0
        heard: list[Heard] = []
        for ts, to_server, data in held:
            heard += self._data(connection, to_server, ts, data)
        return heard

    def _end(self, key: Hashable, ts: int, reason: str) -> list[Heard]:
        connection = self._connections.get(key)
        if connection is None:
            return []
        heard = self._release(connection) if connection.held else []
        del self._connections[key]
        self._unname(connection)
        if connection.http is not None and not connection.dropped:
            heard += self._hear(connection, connection.http.close(ts, reason in _CLEAN))
        self._count(connection)
        return heard

    def socket_closed(self, sock: int, ts: int) -> list[Heard]:
        """The kernel closed the socket of a plaintext connection."""
        self._hellos.pop(sock, None)
        key = ("socket", sock)
        return self._stream(self.streams.close(key, ts) + self.unix.close(key, ts))

    def process_exited(self, pid: int, ts: int) -> list[Heard]:
        """A process is gone with all its TLS objects."""
        heard: list[Heard] = []
        for key, connection in list(self._connections.items()):
            if connection.source == "library" and connection.pid == pid:
                heard += self._end(key, ts, "process exited")
                if self._quiet is not None and isinstance(key, tuple):
                    self._quiet.forget_tls(*key)
        return heard

    def tick(self, ts: int) -> list[Heard]:
        heard: list[Heard] = []
        for connection in [c for c in self._holding.values() if ts - c.held_since > _HOLD_NS]:
            heard += self._release(connection)
        return heard

    def finish(self, ts: int) -> list[Heard]:
        """The observation ends: what is unfinished comes out as it is."""
        heard = self._stream(self.streams.flush(ts) + self.unix.flush(ts))
        for key in list(self._connections):
            heard += self._end(key, ts, "end")
        return heard


def _role_of(data: bytes, written: bool) -> str:
    """Client or server, from the first bytes that a process wrote or read."""
    if data.startswith(_METHODS):
        return "client" if written else "server"
    if data.startswith(b"HTTP/1."):
        return "server" if written else "client"
    if sql.sniff(True, data):
        return "client" if written else "server"
    match http2.role_of(data):
        case "client":
            return "client" if written else "server"
        case "server":
            return "server" if written else "client"
    return "unknown"


def endpoints(connection: Connection) -> tuple[Endpoint | None, Endpoint | None]:
    """(who opened it, who answered)."""
    if connection.socket is None:
        return None, None
    return connection.socket.flow.src, connection.socket.flow.dst
