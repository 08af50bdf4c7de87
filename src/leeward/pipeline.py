"""Which stage follows which: raw events in; exchanges, flows, findings, incidents, system events and coverage rows out.

    raw event ─► flows (names, SNI) ─► connections ─► http and sql parsers ─► ai.hearing ─┐
                                        standard input and output ──► ai.stdio ───┴► placing ─► data ─► Exchange, masked
                                                      sql results ──► data.lineage ──────────────┘ └─► detect ─► Finding
                                                                               placing ─► ledger ─► Coverage
    all of these and system calls ─► activities ─► detect ─► Finding ─► incidents ─► Incident

Invariants: no threads, no clock, no I/O here but what the injected readers do (`processes` reads /proc when told of a
process, `explain` when a connection stays dark). Every HTTP request is counted once: heard = exchanges + named drops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import msgspec

from leeward.activities import Activities, system_record
from leeward.ai.bodies import framing, read
from leeward.ai.catalogue import Catalogue
from leeward.ai.hearing import Hearing
from leeward.ai.ledger import Blindness, Ledger
from leeward.ai.stdio import StdioSessions
from leeward.ai.vector_sql import vector_activity
from leeward.data.exchange import Inspector, Payload
from leeward.detect.detection import detection
from leeward.detect.detector import Detector
from leeward.detect.incidents import Incidents
from leeward.detect.reach import Reach
from leeward.discovery import AskModel, Discovery
from leeward.model.activity import Activity
from leeward.model.coverage import Coverage
from leeward.model.exchange import Exchange, TimedExchange
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.model.message import Message
from leeward.model.net import Endpoint, Flow
from leeward.model.process import NOBODY, Process
from leeward.model.raw import (
    CallJudged,
    Datagram,
    Denied,
    HeadsSeen,
    Lost,
    ModelAnswered,
    Piped,
    Plaintext,
    ProcessExec,
    ProcessExited,
    ProcessStarted,
    ProgramJudged,
    RawEvent,
    Segment,
    SocketOpened,
    SocketStats,
    SystemCalled,
    TlsClosed,
    TlsOpened,
    UnixData,
)
from leeward.model.sql import SqlResult
from leeward.model.system import SystemRecord
from leeward.model.times import iso
from leeward.placing import Placing, bare
from leeward.policing import Policing
from leeward.sensor.layout import PLAIN_CONNECTION
from leeward.wire.beginning import MOST_SENT, of_kept
from leeward.wire.body_calls import is_call
from leeward.wire.connections import Connection, Connections, Event, Heard, Quiet
from leeward.wire.dns import NameTable, parse_dns
from leeward.wire.dns_https import question_of
from leeward.wire.dns_stream import DnsSaid
from leeward.wire.flows import FlowTable, Socket
from leeward.wire.http import Answered, ExchangeDone, Interest, Limits, Upgraded, WsClosed, WsMessage
from leeward.wire.keylog import KeyLog
from leeward.wire.quic import QuicHellos, is_quic

Record = Exchange | Flow | Coverage | Finding | Incident | SystemRecord


class Processes(Protocol):
    """identity.ProcessTable, as the pipeline needs it."""

    def feed(self, event: ProcessStarted | ProcessExec | ProcessExited) -> None: ...
    def get(self, pid: int, ts: int) -> Process: ...
    def stdio_client(self, pid: int, pipe: int, ts: int) -> int: ...


_TUNNELS = frozenset({2152, 3544, 4754, 4789, 5072, 6081})  # GTP-U, Teredo, GRE, VXLAN, AYIYA, Geneve: not looked into
_SENDING = frozenset({"POST", "PUT", "PATCH"})
_STATEMENTS = 256  # of a connection of a process that speaks to no model


class Settings(msgspec.Struct, frozen=True):
    """origin: id of the boot or capture, part of every id. max_message: bytes kept of a body. watched: says whether a pid
    may come out (exec watches one process tree); None: all. record: is told what the detectors are fed."""

    origin: str
    max_message: int = 1 << 20
    watched: Callable[[int], bool] | None = None
    record: Callable[[Activity], None] | None = None


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
        inspector: Inspector | None = None,
        ask_model: AskModel | None = None,
        policing: Policing | None = None,
        detectors: Sequence[Detector] = (),
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._settings, self._catalogue, self._processes = settings, catalogue, processes
        self.names = NameTable()
        self.quic = QuicHellos()
        self.flows = FlowTable(settings.origin, self.names)
        limits = Limits(body=settings.max_message)
        self.connections = Connections(self.flows, self._interest, limits=limits, quiet=quiet, keylog=keylog)
        explain = explain or (
            lambda _pid: Blindness("its plaintext is not in the capture", "give the key log: --keylog")
        )
        self.ledger = Ledger(processes.get if processes else lambda _pid, _ts: NOBODY, explain)
        self.hearing = Hearing(catalogue)
        self._policing = policing
        self.discovery = Discovery(
            inspector, lambda host: bool(catalogue.is_ai_host(host)), ask_model, self._against_policies
        )
        self.stdio = StdioSessions(quiet.quiet_stdio if quiet else lambda _pid: None, line=settings.max_message)
        self._clients: dict[int, int] = {}  # process → who talks to it over its standard input; leaves with the process
        self._speakers: set[int] = set()  # processes that speak to models; they leave when they exit
        self._placing = Placing(settings.origin, catalogue.key_forms, processes.get if processes else None)
        mask = (inspector.command_line,) if inspector is not None else ()
        self.activities = Activities(catalogue.key_forms, processes.get if processes else None, *mask)
        self.detection = detection(catalogue, detectors)
        self.reach = Reach()
        self.discovery.findings.posture = self.reach.posture
        self.discovery.findings.mask = self.activities.masked
        self.incidents = Incidents()
        self._acts: list[Activity] = []  # of the event at hand
        self._moved: dict[Hashable, Socket] = {}  # a capture's flows since the last tick
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
            HeadsSeen: lambda e: self._heard(self.connections.heads(e)),
            TlsClosed: lambda e: self._heard(self.connections.tls_closed(e)),
            Piped: self._on_piped,
            Denied: self._on_denied,
            SystemCalled: self._on_system,
            UnixData: lambda e: self._heard(self.connections.unix_data(e)),
            ModelAnswered: lambda e: [*self.discovery.answered(e)],
            CallJudged: self._on_judged,
            ProgramJudged: self._on_program,
            Lost: self._on_lost,
        }

    def feed(self, event: RawEvent) -> list[Record]:
        return self._detected(self._stages[type(event)](event), event.ts)

    def tick(self, ts: int) -> list[Record]:
        """About once a second of event time: what waited long enough, and flows that moved."""
        records = self._heard(self.connections.tick(ts))
        records += self._alone(self.hearing.tick(ts))
        records += self.discovery.tick(ts)
        records += self._unseen(ts)
        self._captured(ts)
        self.flows.prune(ts)
        return self._quiet_signs(self._detected(records, ts), ts)

    def overdue(self, ts: int) -> list[Record]:
        """Between two ticks: conversations that have waited for the model long enough."""
        return self._detected([*self.discovery.overdue(ts)], ts) if self.discovery.waits() else []

    def finish(self, ts: int) -> list[Record]:
        """The observation ends: everything that is unfinished comes out as it is."""
        records = self._heard(self.connections.finish(ts))
        for server, timed in self.stdio.finish(ts):
            records += self._said(server, [timed])
        records += self._alone(self.hearing.finish(ts))
        records += self.discovery.tick(ts, everything=True)
        records += self._unseen(ts, everything=True)
        for socket in self.flows.open_flows():
            records += self._flow(socket, ts)
        self._captured(ts)
        return [*self._quiet_signs(self._detected(records, ts), ts), *self.incidents.finish(ts)]

    # -- detection -------------------------------------------------------------------------------------------------

    def _detected(self, records: list[Record], ts: int) -> list[Record]:
        """The records, and what is found in them and in the activities of this event."""
        acts, self._acts = self._acts, []
        acts += [self.activities.exchange(r, ts) for r in records if type(r) is Exchange]
        for act in acts:
            if self._settings.record is not None:
                self._settings.record(act)
            self.incidents.heed(act)
            if (kept := system_record(act, self._settings.origin)) is not None:
                self.counters["system_events"] += 1
                records.append(kept)
            self.reach.feed(act)
            for finding in self.detection.feed(act):
                records += self.discovery.findings.add(finding, act.ts)
        return records + self._told_of(records, ts)

    def _quiet_signs(self, records: list[Record], ts: int) -> list[Record]:
        """What shows by silence, and what came to an end."""
        found: list[Record] = []
        for finding in self.detection.tick(ts):
            found += self.discovery.findings.add(finding, ts)
        return [*records, *found, *self._told_of(found, ts), *self.incidents.tick(ts)]

    def _told_of(self, records: list[Record], ts: int) -> list[Record]:
        return [incident for r in records if type(r) is Finding for incident in self.incidents.feed(r, ts)]

    # -- one handler a kind of event -----------------------------------------------------------------------------

    def _on_process(self, event: ProcessStarted | ProcessExec) -> list[Record]:
        if self._processes is not None:
            self._processes.feed(event)
            if type(event) is ProcessExec and self._may_show(event.pid):
                self._acts.append(self.activities.started(event))
        return []

    def _on_system(self, event: SystemCalled) -> list[Record]:
        self.counters["system_calls"] += 1
        if event.kind == "kill" and self._processes is not None:
            sender, target = (self._processes.get(pid, event.ts).workload.id for pid in (event.pid, event.target))
            if sender == target:
                return []
        if not event.pid or self._may_show(event.pid):
            self._acts.append(self.activities.system(event))
        return []

    def _on_exit(self, event: ProcessExited) -> list[Record]:
        records = self._heard(self.connections.process_exited(event.pid, event.ts))
        records += self._said(event.pid, self.stdio.exited(event.pid, event.ts))
        self._placing.forget(event.pid)
        self._clients.pop(event.pid, None)
        self._speakers.discard(event.pid)
        if self._processes is not None:
            self._processes.feed(event)
            if self._may_show(event.pid):
                self._acts.append(self.activities.ended(event))
        return records

    def _on_socket(self, event: SocketOpened) -> list[Record]:
        return self._flow(self.flows.opened(event), event.ts)

    def _on_stats(self, event: SocketStats) -> list[Record]:
        records = self._heard(self.connections.socket_closed(event.sock, event.ts)) if event.closed else []
        socket = self.flows.stats(event)
        return records + self._flow(socket, event.ts) if socket is not None else records

    def _on_segment(self, event: Segment) -> list[Record]:
        socket = self._capture_flow(event) if not event.sock else self.flows.find(event.sock)
        sni = socket.flow.sni if socket else ""
        records = self._heard(self.connections.segment(event))
        if socket is not None and socket.flow.sni != sni:
            self._suspect(socket, event.ts)
        return records

    def _capture_flow(self, event: Segment | Datagram) -> Socket:
        """A capture has no sockets: the flow is made from its packets; who sent first opened it, unless that answers."""
        socket = self.flows.find(0, event.local, event.remote) or self.flows.find(0, event.remote, event.local)
        fresh = socket is None or (isinstance(event, Segment) and event.syn and socket.closed)
        if fresh:
            proto = "udp" if isinstance(event, Datagram) else "tcp"
            role = "server" if isinstance(event, Segment) and event.syn_ack else "client"
            socket = self.flows.opened(SocketOpened(event.ts, 0, 0, role, proto, event.local, event.remote))
        assert socket is not None
        flow, ours = socket.flow, socket.local == event.local
        flow.bytes_sent += event.size if ours else 0
        flow.bytes_received += 0 if ours else event.size
        flow.packets_sent += ours
        flow.packets_received += not ours
        flow.time = flow.end = event.ts
        self._moved[socket.key] = socket
        return socket

    def _captured(self, ts: int) -> None:
        """News of a capture's flows; live, the kernel's totals bring them."""
        moved, self._moved = self._moved, {}
        self._acts += [self.activities.flow(socket, ts, None) for socket in moved.values()]

    def _on_datagram(self, event: Datagram) -> list[Record]:
        socket = self._capture_flow(event) if not event.sock else self.flows.find(0, event.local, event.remote)
        if 53 in (event.local.port, event.remote.port):
            asks = event.remote.port == 53
            pid = socket.flow.pid if socket is not None else 0
            told = DnsSaid(event.ts, parse_dns(event.data), event.size)
            self._on_dns(told, pid, asks or not event.sock, event.remote if asks else event.local)
        elif socket is not None and is_quic(event.data):
            hello = self.quic.feed(socket.key, event.data)
            if hello is not None:
                self.flows.hello(socket, hello)
            socket.flow.l7 = "quic"
            if hello is not None or not socket.flow.sni:
                self._suspect(socket, event.ts, "QUIC is seen as a flow only")
        elif _TUNNELS & {event.local.port, event.remote.port}:
            self.counters["tunnelled_datagrams"] += 1
        return []

    def _on_dns(self, said: DnsSaid, pid: int, asks: bool, server: Endpoint) -> None:
        """A DNS message. Of one that passed between two processes of this host, the side that asks is told."""
        if said.message is None:
            self.counters["bad_dns"] += 1
            return
        self.counters["bad_dns_answers"] += said.message.damaged
        self.names.learn(said.ts, said.message)
        if asks and self._may_show(pid):
            self._acts += self.activities.names(said.ts, pid, said.message, said.size, server)

    def _on_denied(self, event: Denied) -> list[Record]:
        """The kernel refused a destination: which rule of the policies that was."""
        self.counters[f"denied_{event.reason.replace('-', '_')}"] += 1
        if self._policing is None or self._processes is None:
            return []
        process = self._processes.get(event.pid, event.ts)
        findings = self._policing.refused(process, event, self._catalogue.is_ai_host)
        return [record for finding in findings for record in self.discovery.findings.add(finding, event.ts)]

    def _on_lost(self, event: Lost) -> list[Record]:
        self.lost[event.kind] += event.count
        self._acts.append(self.activities.blinded(event.ts, 0, "lost", event.kind, number=event.count))
        return []

    # -- conversations -------------------------------------------------------------------------------------------

    def _interest(self, connection: Connection, request: Message) -> Interest:
        """Is this request for an AI service? What others send from this host is looked at for keys, and bodies for what they
        ask if the path does not say it."""
        interest = self.hearing.interest(*_where(connection, request), request)
        if interest is Interest.FULL:
            return interest
        sends = is_call(request) if connection.role == "server" else request.method in _SENDING
        return Interest.SENT if sends else Interest.SKIP

    def _heard(self, heard: list[Heard]) -> list[Record]:
        records: list[Record] = []
        for connection, event in heard:
            said = self._said_by(connection, event)
            self._acts += self._requested(connection, event, bool(said))
            payloads = _payloads(event) if len(said) == 1 else ()
            for timed in said:
                records += self._exchange(connection, timed, payloads)
        return records

    def _requested(self, connection: Connection, event: Event, exchange: bool) -> list[Activity]:
        """An HTTP exchange, AI or not, at those of its ends that may be shown."""
        stands, beginning, sent = 1, b"", b""
        match event:
            case ExchangeDone(request=Message() as request, response=response):
                if not exchange:
                    beginning, sent = of_kept(response) if response is not None else b"", request.body[:MOST_SENT]
            case Answered(request=request, response=response, stands=stands, beginning=beginning, sent=sent):
                self.counters["requests_unanswered" if response is None else "requests_answered"] += stands
            case Upgraded(request=request, response=response):
                pass
            case _:
                return []
        acts = self.activities.http(connection, request, response, exchange, stands, beginning, sent)
        question = question_of(request) if connection.role != "server" else None
        if question is not None:
            acts += self.activities.names(request.start, connection.pid, question, len(request.target), None)
        return [act for act in acts if self._may_show(act.process.pid)]

    def _said_by(self, connection: Connection, event: Event) -> list[TimedExchange]:
        match event:
            case SqlResult():
                return self._on_statement(connection, event)
            case ExchangeDone(request=None):
                self.counters["responses_without_request"] += 1
            case ExchangeDone(request=Message() as request, response=response):
                return self.hearing.exchanges(*_where(connection, request), request, response)
            case Upgraded(request=request):
                return self.hearing.session(connection.key, *_where(connection, request), event)
            case WsMessage() | WsClosed():
                return self.hearing.session(connection.key, "", 0, event)
            case DnsSaid() if connection.resolver is not None:
                asks = connection.socket is None or not connection.socket.sock or connection.socket.remote.port == 53
                self._on_dns(event, connection.pid, asks, connection.resolver)
        return []

    def _on_statement(self, connection: Connection, result: SqlResult) -> list[TimedExchange]:
        """A database's answer. Whoever has not spoken to a model after many of them, on one connection, is left alone."""
        self.counters["sql_statements"] += 1
        connection.skipped += 1
        self._remember(connection, result)
        timed = vector_activity(result)
        speaks = connection.pid in self._speakers or not connection.pid or timed is not None
        if connection.skipped == _STATEMENTS and not speaks:
            self.counters["sql_left_alone"] += 1
            self.connections.quiet(connection)
        return [timed] if timed is not None else []

    def _remember(self, connection: Connection, result: SqlResult) -> None:
        """Where the values of this result come from, should they be seen again."""
        flow = connection.socket.flow if connection.socket else None
        host = (flow.domain or flow.dst.ip) if flow else ""
        process = ""
        if self._processes is not None and connection.pid:
            process = self._processes.get(connection.pid, result.end).exe.rsplit("/", 1)[-1]
        where = f"{result.system}://{host}/{result.database}"
        self.discovery.statement(result, where, process, iso(result.end))

    def _exchange(self, connection: Connection, timed: TimedExchange, payloads: Sequence[Payload] = ()) -> list[Record]:
        """An exchange of this connection comes out, if it may be shown."""
        number = connection.exchanges
        connection.exchanges += 1
        self._speakers.add(connection.pid)
        if not self._may_show(connection.pid):
            self.counters["exchanges_of_others"] += 1
            return []
        self.counters["exchanges"] += 1
        exchange = self._placing.on_connection(timed, connection, number)
        if self._policing is not None:
            pid, tls = _writer(connection)
            exchange.verdict = self._policing.verdict(pid, tls, timed.start, timed.end)
        library, rung = "", "plaintext"
        if connection.source == "library":
            library, rung = self._library_of(connection.library)
        elif connection.decryptor:
            rung = "key-log"
        flow_key = connection.key
        if (socket := connection.socket) is not None:
            flow_key = socket.key
            socket.flow.provider, socket.flow.content = exchange.gen_ai.provider, "visible"
        row = self.ledger.exchange(flow_key, connection.pid, timed.start, exchange.network.domain, rung, library)
        row.held = self._policing.held(connection.pid) if self._policing is not None else ""
        return [*self.discovery.exchange(exchange, payloads, timed.end), row]

    def _on_judged(self, event: CallJudged) -> list[Record]:
        """A held write has ended: what was stopped is an exchange without an answer, which nobody else tells of."""
        timed = self._policing.judged(event) if self._policing is not None else None
        if timed is None:
            return []
        self.counters["exchanges"] += 1
        self.counters["exchanges_stopped"] += 1
        connection = self.connections.of_library(event.pid, event.tls)
        if connection is None:
            exchange = self._placing.stopped(timed, event.pid, event.tls)
        else:
            number, connection.exchanges = connection.exchanges, connection.exchanges + 1
            exchange = self._placing.on_connection(timed, connection, number)
        exchange.evidence.complete = True
        return [*self.discovery.judged(exchange, event.ts)]

    def _on_program(self, event: ProgramJudged) -> list[Record]:
        if self._policing is None or self._processes is None:
            return []
        finding = self._policing.program(self._processes.get(event.pid, event.ts), event)
        return [*self.discovery.findings.add(finding, event.ts)] if finding is not None else []

    def _alone(self, waited: list[TimedExchange]) -> list[Record]:
        """Exchanges that came to no end on any connection."""
        self.counters["exchanges"] += len(waited)
        return [r for timed in waited for r in self.discovery.exchange(self._placing.alone(timed), (), timed.end)]

    # -- standard input and output ---------------------------------------------------------------------------------

    def _on_piped(self, event: Piped) -> list[Record]:
        if event.pid not in self._clients and self._processes is not None:  # asked now: later one of them may be gone
            self._clients[event.pid] = self._processes.stdio_client(event.pid, event.pipe, event.ts)
        return self._said(event.pid, self.stdio.feed(event))

    def _said(self, server: int, said: list[TimedExchange]) -> list[Record]:
        """Exchanges over the standard input and output of the process `server`."""
        records: list[Record] = []
        for timed in said:
            client = self._clients.get(server, 0)
            if not self._may_show(client) and not self._may_show(server):
                self.counters["exchanges_of_others"] += 1
                continue
            self.counters["exchanges"] += 1
            exchange = self._placing.on_stdio(timed, client, server)
            row = self.ledger.exchange(("stdio", server), client or server, timed.start, "", "plaintext", "")
            records += [*self.discovery.exchange(exchange, (), timed.end), row]
        return records

    # -- flows ---------------------------------------------------------------------------------------------------

    def _flow(self, socket: Socket, ts: int) -> list[Record]:
        flow = self.flows.news(socket)
        if flow is None or not self._may_show(flow.pid):
            return []
        if flow.pid and self._processes is not None:
            process = self._processes.get(flow.pid, ts)
            flow.workload, flow.exe = process.workload, process.exe
        if socket.sock or socket.role == "listener":  # which has no number before anybody connects
            self._acts.append(self.activities.flow(socket, ts, self.flows.mirror(socket)))
        return [flow]

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
                records += self._flow(socket, ts)
                where = socket.flow.domain or socket.flow.dst.ip
                self._acts.append(self.activities.blinded(ts, socket.flow.pid, "content", dark.reason, where))
        return records

    def _may_show(self, pid: int) -> bool:
        watched = self._settings.watched
        return watched is None or watched(pid)

    def police(self, policing: Policing) -> None:
        """From now on these policies are asked."""
        self._policing = policing

    def _against_policies(self, exchange: Exchange, ts: int) -> list[Finding]:
        return self._policing.findings(exchange, ts) if self._policing is not None else []

    def totals(self) -> dict[str, int]:
        """All stages' counters under their names."""
        total: Counter[str] = Counter(self.counters)
        parts = (
            self.flows,
            self.connections,
            self.connections.streams,
            self.connections.unix,
            self.names,
            self.quic,
            self.ledger,
            self._processes,
            self.stdio,
            self._policing,
            self.activities,
            self.reach,
            self.incidents,
        )
        for part in parts:
            total.update(getattr(part, "counters", {}))
        total.update(self.hearing.totals())
        total.update(self.discovery.totals())
        total.update(self.detection.totals())
        return dict(sorted(total.items()))


def _writer(connection: Connection) -> tuple[int, int]:
    """Process and number by which a held write on this connection is known."""
    match connection.key:
        case ("socket", int(sock)):
            return connection.pid, sock | PLAIN_CONNECTION
        case (int(pid), int(tls)):
            return pid, tls
    return 0, 0


def _payloads(event: Event) -> tuple[Payload, ...]:
    """The bodies of an HTTP exchange as they were sent. A streamed answer is looked at where it was put together."""
    match event:
        case ExchangeDone(request=Message() as request, response=response):
            bodies = [Payload("request", read(request, request).value)]
            if response is not None and not framing(response):
                bodies.append(Payload("response", read(request, response).value))
            return tuple(body for body in bodies if body.value is not None)
    return ()


def _where(connection: Connection, request: Message) -> tuple[str, int]:
    """Host (without port) and port that a request is for."""
    flow = connection.socket.flow if connection.socket else None
    host = request.header("host") or (flow.sni if flow else "")
    return bare(host), flow.dst.port if flow else 0
