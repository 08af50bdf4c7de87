"""Which stage follows which: raw events in; exchanges, flows and coverage rows out.

    raw event ─► flows (names, SNI) ─► connections ─► http1 ─► ai.decode ─► Exchange, with its process and network
                                                                      └───► ledger ─► Coverage

Invariants: no threads, no clock, no I/O here but what the injected readers do (`processes` reads /proc when told of a
process, `explain` when a connection stays dark). Every HTTP request is counted once: heard = exchanges + named drops.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from leeward.ai.catalogue import Catalogue, Match
from leeward.ai.decode import decode
from leeward.ai.keys import redact_argv
from leeward.ai.ledger import Blindness, Ledger
from leeward.model.coverage import Coverage
from leeward.model.exchange import Exchange, Network, Observer, ProcessRef, Tls
from leeward.model.message import Message
from leeward.model.net import Flow
from leeward.model.process import Process
from leeward.model.raw import (
    Datagram,
    Lost,
    Piped,
    Plaintext,
    ProcessExec,
    ProcessExited,
    ProcessStarted,
    RawEvent,
    Segment,
    SocketOpened,
    SocketStats,
    TlsClosed,
    TlsOpened,
)
from leeward.wire.connections import Connection, Connections, Heard, Quiet
from leeward.wire.dns import NameTable, parse_dns
from leeward.wire.flows import FlowTable, Socket
from leeward.wire.http1 import ExchangeDone, Interest, Limits
from leeward.wire.keylog import KeyLog

Record = Exchange | Flow | Coverage


class Processes(Protocol):
    """identity.ProcessTable, as the pipeline needs it."""

    def feed(self, event: ProcessStarted | ProcessExec | ProcessExited) -> None: ...
    def get(self, pid: int, ts: int) -> Process: ...


class Settings(msgspec.Struct, frozen=True):
    """origin: id of the boot or capture, part of every id. max_message: bytes kept of a body. watched: says whether a pid
    may come out (exec watches one process tree); None: all."""

    origin: str
    max_message: int = 1 << 20
    watched: Callable[[int], bool] | None = None


class Pipeline:
    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        processes: Processes | None,
        *,
        quiet: Quiet | None = None,
        keylog: KeyLog | None = None,
        explain: Callable[[int], Blindness] | None = None,
        library_of: Callable[[int], tuple[str, str]] | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._settings, self._catalogue, self._processes = settings, catalogue, processes
        self.names = NameTable()
        self.flows = FlowTable(settings.origin, self.names)
        limits = Limits(body=settings.max_message)
        self.connections = Connections(self.flows, self._interest, limits=limits, quiet=quiet, keylog=keylog)
        explain = explain or (
            lambda _pid: Blindness("its plaintext is not in the capture", "give the key log: --keylog")
        )
        self.ledger = Ledger(self._process, explain)
        self._library_of = library_of or (lambda _number: ("", "symbol"))
        self._stages: dict[type, Callable[..., list[Record]]] = {
            ProcessStarted: self._on_process,
            ProcessExec: self._on_process,
            ProcessExited: self._on_exit,
            SocketOpened: self._on_socket,
            SocketStats: self._on_stats,
            Segment: self._on_segment,
            Datagram: self._on_datagram,
            TlsOpened: lambda e: self._heard(self.connections.tls_opened(e)),
            Plaintext: lambda e: self._heard(self.connections.plaintext(e)),
            TlsClosed: lambda e: self._heard(self.connections.tls_closed(e)),
            Piped: lambda _event: [],
            Lost: self._on_lost,
        }

    def feed(self, event: RawEvent) -> list[Record]:
        return self._stages[type(event)](event)

    def tick(self, ts: int) -> list[Record]:
        """About once a second of event time: what waited long enough, and flows that moved."""
        records = self._heard(self.connections.tick(ts))
        records += self._unseen(ts)
        self.flows.prune(ts)
        return records

    def finish(self, ts: int) -> list[Record]:
        """The observation ends: everything that is unfinished comes out as it is."""
        records = self._heard(self.connections.finish(ts))
        records += self._unseen(ts, everything=True)
        for socket in self.flows.open_flows():
            records += self._flow(socket)
        return records

    # -- one handler a kind of event -----------------------------------------------------------------------------

    def _on_process(self, event: ProcessStarted | ProcessExec) -> list[Record]:
        if self._processes is not None:
            self._processes.feed(event)
        return []

    def _on_exit(self, event: ProcessExited) -> list[Record]:
        records = self._heard(self.connections.process_exited(event.pid, event.ts))
        if self._processes is not None:
            self._processes.feed(event)
        return records

    def _on_socket(self, event: SocketOpened) -> list[Record]:
        return self._flow(self.flows.opened(event))

    def _on_stats(self, event: SocketStats) -> list[Record]:
        records = self._heard(self.connections.socket_closed(event.sock, event.ts)) if event.closed else []
        flow = self.flows.stats(event)
        if flow is not None and self._may_show(flow.pid):
            records.append(flow)
        return records

    def _on_segment(self, event: Segment) -> list[Record]:
        socket = self._capture_flow(event) if not event.sock else self.flows.find(event.sock)
        sni = socket.flow.sni if socket else ""
        records = self._heard(self.connections.segment(event))
        if socket is not None and socket.flow.sni != sni:
            self._suspect(socket, event.ts)
        return records

    def _capture_flow(self, event: Segment | Datagram) -> Socket:
        """A capture has no sockets: the flow is made from its packets; the side that sent first opened it."""
        socket = self.flows.find(0, event.local, event.remote) or self.flows.find(0, event.remote, event.local)
        fresh = socket is None or (isinstance(event, Segment) and event.syn and socket.closed)
        if fresh:
            proto = "udp" if isinstance(event, Datagram) else "tcp"
            socket = self.flows.opened(SocketOpened(event.ts, 0, 0, "client", proto, event.local, event.remote))
        assert socket is not None
        flow, ours = socket.flow, socket.local == event.local
        flow.bytes_sent += event.size if ours else 0
        flow.bytes_received += 0 if ours else event.size
        flow.packets_sent += ours
        flow.packets_received += not ours
        flow.time = flow.end = event.ts
        return socket

    def _on_datagram(self, event: Datagram) -> list[Record]:
        socket = self._capture_flow(event) if not event.sock else self.flows.find(0, event.local, event.remote)
        if 53 in (event.local.port, event.remote.port):
            message = parse_dns(event.data)
            if message is None:
                self.counters["bad_dns"] += 1
            else:
                self.names.learn(event.ts, message)
        elif socket is not None and event.data[:1] >= b"\xc0":  # RFC 9000 17.2: long header
            socket.flow.l7 = "quic"
            self._suspect(socket, event.ts, "QUIC is seen as a flow only")
        return []

    def _on_lost(self, event: Lost) -> list[Record]:
        self.lost[event.kind] += event.count
        return []

    # -- conversations -------------------------------------------------------------------------------------------

    def _interest(self, connection: Connection, request: Message) -> Interest:
        """Is this request for an AI service?"""
        self.counters["requests"] += 1
        if self._match(connection, request) is None:
            self.counters["requests_not_ai"] += 1
            return Interest.SKIP
        return Interest.FULL

    def _match(self, connection: Connection, request: Message) -> Match | None:
        flow = connection.socket.flow if connection.socket else None
        host = request.header("host") or (flow.sni if flow else "")
        port = flow.dst.port if flow else 0
        path = request.target.split("?", 1)[0]
        return self._catalogue.match(_bare(host), port, request.method, path, request.headers)

    def _heard(self, heard: list[Heard]) -> list[Record]:
        records: list[Record] = []
        for connection, event in heard:
            if isinstance(event, ExchangeDone):
                records += self._exchange(connection, event.request, event.response)
        return records

    def _exchange(self, connection: Connection, request: Message | None, response: Message | None) -> list[Record]:
        if request is None:
            self.counters["responses_without_request"] += 1
            return []
        match = self._match(connection, request)
        exchange = decode(request, response, match, self._catalogue, self.counters) if match else None
        if exchange is None or match is None:
            self.counters["requests_not_ai_shape"] += 1
            return []
        number = connection.exchanges
        connection.exchanges += 1
        if not self._may_show(connection.pid):
            self.counters["exchanges_of_others"] += 1
            return []
        self.counters["exchanges"] += 1
        self._place(exchange, connection, request, response, number)
        network = exchange.network
        library, rung = "", "plaintext"
        if connection.source == "library":
            library, rung = self._library_of(connection.library)
        elif connection.decryptor:
            rung = "key-log"
        flow_key = connection.key
        if (socket := connection.socket) is not None:
            flow_key = socket.key
            socket.flow.provider, socket.flow.content = exchange.gen_ai.provider, "visible"
        row = self.ledger.exchange(flow_key, connection.pid, request.start, network.domain, rung, library)
        return [exchange, row]

    def _place(
        self, exchange: Exchange, connection: Connection, request: Message, response: Message | None, number: int
    ) -> None:
        """Adds who, where and when."""
        flow = connection.socket.flow if connection.socket else None
        identity = flow.id if flow else f"{self._settings.origin}|{connection.key}"
        exchange.id = hashlib.sha256(f"{identity}|{number}".encode()).hexdigest()[:32]
        end = max(response.end if response else 0, request.end, request.start)
        exchange.time = _iso(request.start)
        exchange.duration_ms = (end - request.start) / 1e6
        exchange.network = _network(flow, request, connection)
        scheme = "https" if connection.source == "library" or connection.decryptor else "http"
        if "://" not in exchange.http.url[:12]:
            exchange.http.url = f"{scheme}://{exchange.http.url}"
        evidence = exchange.evidence
        evidence.source, evidence.joined = connection.source, connection.joined
        evidence.late = not connection.from_start and number == 0 and connection.source == "library"
        if self._processes is not None and connection.pid:
            process = self._process(connection.pid, request.start)
            exchange.process, exchange.workload, exchange.container = (
                self._ref(process),
                process.workload,
                process.container,
            )
            exchange.observers = [self._observer(pid, request.start) for pid in connection.observers if pid][:8]

    def _observer(self, pid: int, ts: int) -> Observer:
        process = self._process(pid, ts)
        return Observer(self._ref(process), process.workload)

    def _ref(self, process: Process) -> ProcessRef:
        """A process as an exchange carries it: without the credentials on its command line."""
        forms = self._catalogue.key_forms
        return ProcessRef(
            pid=process.pid,
            exe=process.exe,
            argv=redact_argv(process.argv, forms),
            user=process.user,
            cwd=process.cwd,
            start_ns=process.start_ns,
            ancestors=[{"pid": a.pid, "exe": a.exe, "argv": redact_argv(a.argv, forms)} for a in process.ancestors],
        )

    def _process(self, pid: int, ts: int) -> Process:
        if self._processes is None:
            return _NOBODY
        return self._processes.get(pid, ts)

    # -- flows ---------------------------------------------------------------------------------------------------

    def _flow(self, socket: Socket) -> list[Record]:
        flow = self.flows.news(socket)
        return [flow] if flow is not None and self._may_show(flow.pid) else []

    def _suspect(self, socket: Socket, ts: int, reason: str = "") -> None:
        """A flow to a known AI host: its content should follow."""
        flow = socket.flow
        host = flow.domain
        provider = self._catalogue.is_ai_host(host) if host and flow.direction != "inbound" else None
        if provider and self._may_show(flow.pid):
            flow.provider = provider
            self.ledger.suspect(socket.key, flow.pid, ts, host, reason)

    def _unseen(self, ts: int, everything: bool = False) -> list[Record]:
        """Connections to AI services whose content does not show: their processes' rows, and the flows with the reason."""
        records: list[Record] = []
        for dark in self.ledger.tick(ts, everything):
            records.append(dark.row)
            if (socket := self.flows.get(dark.flow)) is not None:
                socket.flow.content = f"not visible: {dark.reason}"
                records += self._flow(socket)
        return records

    def _may_show(self, pid: int) -> bool:
        watched = self._settings.watched
        return watched is None or watched(pid)

    def totals(self) -> dict[str, int]:
        """All stages' counters under their names."""
        total: Counter[str] = Counter(self.counters)
        parts = (self.flows, self.connections, self.connections.streams, self.names, self.ledger, self._processes)
        for part in parts:
            total.update(getattr(part, "counters", {}))
        return dict(sorted(total.items()))


_NOBODY = msgspec.convert(
    {
        "pid": 0,
        "start_ns": 0,
        "exe": "",
        "argv": (),
        "cwd": "",
        "uid": -1,
        "user": "",
        "ancestors": (),
        "cgroup": "",
        "workload": {"id": "", "name": "", "kind": ""},
    },
    Process,
)


def _bare(host: str) -> str:
    """A Host header's value without port, brackets and final dot, in lower case."""
    if host.startswith("["):
        return host[1:].split("]", 1)[0]
    return host.rsplit(":", 1)[0].rstrip(".").lower() if host.count(":") == 1 else host.rstrip(".").lower()


def _iso(ts: int) -> str:
    return datetime.fromtimestamp(ts // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ts % 10**9 // 1000:06d}Z"


def _network(flow: Flow | None, request: Message, connection: Connection) -> Network:
    host = _bare(request.header("host"))
    if flow is None:
        return Network(domain=host, domain_from="host" if host else "")
    named = flow.sni or (host if not _is_address(host) else "")
    source = "sni" if flow.sni else "host" if named else flow.domain_from
    return Network(
        src=str(flow.src),
        dst=str(flow.dst),
        domain=named or flow.domain or host,
        domain_from=source or ("host" if host else ""),
        direction=flow.direction,
        tls=Tls(sni=flow.sni) if connection.source == "library" or connection.decryptor else None,
    )


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
