"""From what the stages saw to what the detectors are fed: each thing that happened, with the process that did it.

Invariants: command lines and paths leave without credentials; what is told of a flow adds up to its totals. State: one entry a
process (its redacted form) and one a flow (the totals told last), both bounded.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable

import msgspec

from leeward.ai.keys import KeyForms, caller_key, redact_argv, redact_url
from leeward.detect.detector import reference
from leeward.detect.findings import identity
from leeward.keyfinder import KeyFinder
from leeward.model.activity import (
    Activity,
    Blinded,
    Ended,
    ExchangeSeen,
    FlowSeen,
    HttpSeen,
    NameAsked,
    Started,
    System,
)
from leeward.model.exchange import Exchange
from leeward.model.message import Message
from leeward.model.net import Endpoint
from leeward.model.process import NOBODY, Process
from leeward.model.raw import FoundKey, ProcessExec, ProcessExited, SystemCalled
from leeward.model.system import SystemRecord, Target
from leeward.model.times import iso
from leeward.wire.body_calls import called
from leeward.wire.connections import Connection
from leeward.wire.dns import DnsMessage
from leeward.wire.flows import Socket

_PROCESSES, _FLOWS, _LINES = 16384, 131072, 8192
_ADDRESSES = (1, 5, 28)  # A, CNAME, AAAA
_PATH, _AGENT = 512, 128


class Activities:
    """process: what had a pid at a time; None for captures. mask: takes what must not be kept out of words: a command line, a
    path."""

    def __init__(
        self,
        forms: KeyForms,
        process: Callable[[int, int], Process] | None,
        mask: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda words: words,
    ) -> None:
        self._line = functools.lru_cache(_LINES)(lambda words: mask(tuple(redact_argv(words, forms))))
        self.counters: Counter[str] = Counter()
        self._forms, self._process = forms, process
        self._finder = KeyFinder(forms, self.counters)
        self._redacted: OrderedDict[int, tuple[Process, Process]] = OrderedDict()
        self._told: OrderedDict[Hashable, tuple[int, int, int]] = OrderedDict()

    def started(self, event: ProcessExec) -> Activity:
        return Started(
            ts=event.ts, process=self.who(event.pid, event.ts), streams=event.streams, origin=event.origin, euid=event.euid,
            setuid=event.setuid, keys=event.keys, variables=event.variables,
        )  # fmt: skip

    def ended(self, event: ProcessExited) -> Activity:
        return Ended(ts=event.ts, process=self.who(event.pid, event.ts))

    def system(self, event: SystemCalled) -> Activity:
        return System(
            ts=event.ts, process=self.who(event.pid, event.ts), kind=event.kind, path=self.masked(event.path),
            source=self.masked(event.source),
            label=event.label, number=event.number, target=self.who(event.target, event.ts) if event.target else None,
            before=event.before, after=event.after, stream=event.stream, failed=event.failed,
        )  # fmt: skip

    def flow(self, socket: Socket, ts: int, mirror: Socket | None) -> Activity:
        """News of a flow. mirror: its other end's socket, if that is on this host."""
        flow = socket.flow
        key = (socket.key, flow.start)  # addresses come again, and what is closed may be told of once more
        told = self._told.pop(key, None)
        sent, received, packets = told or (0, 0, 0)
        self._told[key] = (flow.bytes_sent, flow.bytes_received, flow.packets_sent)
        if len(self._told) > _FLOWS:
            self._told.popitem(last=False)
            self.counters["activity_flows_evicted"] += 1
        peer = mirror.flow.pid if mirror is not None else 0
        return FlowSeen(
            ts=ts, process=self.who(flow.pid, ts), flow=msgspec.structs.replace(flow),
            sent=max(0, flow.bytes_sent - sent), received=max(0, flow.bytes_received - received),
            packets_out=max(0, flow.packets_sent - packets), began=told is None, ended=socket.closed,
            peer=self.who(peer, ts) if peer else None, sock=socket.sock,
        )  # fmt: skip

    def names(self, ts: int, pid: int, message: DnsMessage, size: int, server: Endpoint | None) -> list[Activity]:
        """A DNS message: one activity a question."""
        data = tuple(answer.data for answer in message.answers if answer.type in _ADDRESSES)[:16]
        return [
            NameAsked(
                ts=ts,
                process=self.who(pid, ts),
                name=name,
                query=kind,
                rcode=message.rcode if message.response else -1,
                size=size,
                answers=data,
                records=len(message.answers),
                server=server,
            )
            for name, kind in message.questions
        ]

    def http(
        self,
        connection: Connection,
        request: Message,
        response: Message | None,
        exchange: bool,
        stands: int = 1,
        beginning: bytes = b"",
        sent: bytes = b"",
    ) -> list[Activity]:
        """An HTTP exchange, once for each of its ends that is on this host. stands: how many like it passed unseen, with it.
        beginning: of the answer's body; sent: that of the request's."""
        flow = connection.socket.flow if connection.socket else None
        inbound = connection.role == "server" or (flow is not None and flow.direction == "inbound")
        key = caller_key(request, self._forms)
        ts = (response.start if response is not None else 0) or request.start
        seen = HttpSeen(
            ts=ts, process=self.who(connection.pid, ts), direction="inbound" if inbound else "outbound",
            peer=str(flow.src if inbound else flow.dst) if flow else "", host=request.header("host")[:255], method=request.method,
            path=redact_url(request.target.split("?", 1)[0][:_PATH], self._forms),
            status=response.status if response is not None else 0,
            request_size=_size(request), response_size=_size(response) if response is not None else 0,
            content_type=response.header("content-type")[:_AGENT] if response is not None else "",
            user_agent=request.header("user-agent")[:_AGENT], identity=key.fingerprint,
            key_of=key.provider, sampled=stands, exchange=exchange,
        )  # fmt: skip
        peer = str(flow.src) if flow else ""
        servers = [] if inbound else connection.seen_by()[:1]
        wanted = beginning and (inbound or servers)
        keys = self._given_away(beginning, seen.path) if wanted else ()
        if sent and not exchange:
            call = self.masked(called(request, sent))
            seen = msgspec.structs.replace(
                seen, keys=() if inbound else self._finder.sent(sent),
                path=f"{seen.path.rstrip('/')}/{call}"[:_PATH] if call else seen.path,
            )  # fmt: skip
        if inbound:
            return [msgspec.structs.replace(seen, keys=keys) if keys else seen]
        other = [
            msgspec.structs.replace(seen, process=self.who(pid, ts), direction="inbound", peer=peer, keys=keys)
            for pid in servers
        ]
        return [seen, *other]

    def _given_away(self, beginning: bytes, path: str) -> tuple[FoundKey, ...]:
        """Keys in the beginning of an answer, under the path that was asked for."""
        keys = self._finder.answered(beginning)
        return tuple(msgspec.structs.replace(key, name=self.masked(path)) for key in keys)

    def exchange(self, exchange: Exchange, ts: int) -> Activity:
        pid = exchange.process.pid if exchange.process else 0
        return ExchangeSeen(ts=ts, process=self.who(pid, ts), exchange=exchange)

    def blinded(self, ts: int, pid: int, what: str, reason: str, where: str = "", number: int = 1) -> Activity:
        return Blinded(ts=ts, process=self.who(pid, ts), what=what, reason=reason, where=where, number=number)

    def masked(self, path: str) -> str:
        """A path without credentials and customers' numbers."""
        return self._line((path,))[0] if path else ""

    def who(self, pid: int, ts: int) -> Process:
        """The process as it was then, without credentials and customers' numbers on its command line."""
        if self._process is None or not pid:
            return NOBODY
        process = self._process(pid, ts)
        known = self._redacted.get(pid)
        if known is not None and known[0] is process:
            return known[1]
        redacted = msgspec.structs.replace(
            process,
            argv=self._line(process.argv),
            ancestors=tuple(msgspec.structs.replace(a, argv=self._line(a.argv)) for a in process.ancestors),
        )
        self._redacted.pop(pid, None)
        self._redacted[pid] = (process, redacted)
        if len(self._redacted) > _PROCESSES:
            self._redacted.popitem(last=False)
        return redacted


def system_record(activity: Activity, origin: str) -> SystemRecord | None:
    """The activity as it is kept, if it is an exec or a system call. origin: id of the boot or capture."""
    if not isinstance(activity, Started | System):
        return None
    process, ts = activity.process, activity.ts
    kind = activity.kind if isinstance(activity, System) else "exec"
    container = process.container
    record = SystemRecord(
        id=identity("system", origin, process.pid, process.start_ns, ts, kind, getattr(activity, "path", "")),
        time=iso(ts), kind=kind,
        process=reference(process) if process.pid else None,
        workload=process.workload if process.workload.id else None,
        container=msgspec.structs.replace(container, labels={}) if container is not None else None,
    )  # fmt: skip
    if isinstance(activity, Started):
        record.path, record.origin, record.setuid = process.exe, activity.origin, activity.setuid
        record.euid = activity.euid if activity.euid >= 0 else None
        return record
    record.path, record.source, record.label, record.number = (
        activity.path,
        activity.source,
        activity.label,
        activity.number,
    )
    record.before, record.after, record.failed = activity.before, activity.after, activity.failed
    record.target = Target(activity.target.pid, activity.target.exe) if activity.target is not None else None
    return record


def _size(message: Message) -> int:
    """Bytes of a message's body: those that passed, else those that its head announces."""
    length = message.header("content-length")
    return message.body_size or (int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 0)
