"""What the gateway knows and decides, in one thread: judge, policies, the pipeline that tells of conversations, audit log.

Invariants: everything here runs in the desk's own thread, so that nothing needs a lock; verdicts come before records, and the
records of a conversation in their order; the server's loop never waits for more than a verdict. What waits to be recorded is
bounded in bytes; what is too much is counted and shows as a gap. A verdict that stopped, changed or noted something is in the
audit log before it takes effect. No payload is kept.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

import msgspec

from leeward.ai.catalogue import Catalogue
from leeward.data.exchange import Inspector
from leeward.enforce.judge import Judge
from leeward.enforce.messages import Ask, Decided, Verdict
from leeward.enforce.rewriting import Edit
from leeward.gateway.routes import Target
from leeward.gateway.worker import Worker
from leeward.guard import verdict_entry, who_is
from leeward.identity.processes import ProcessTable
from leeward.model.exchange import Exchange
from leeward.model.finding import Finding
from leeward.model.net import Endpoint, Flow
from leeward.model.process import NOBODY, Process
from leeward.model.raw import (
    CallJudged,
    Denied,
    Plaintext,
    ProcessExited,
    RawEvent,
    SocketOpened,
    SocketStats,
    TlsClosed,
    TlsOpened,
)
from leeward.model.times import iso
from leeward.pipeline import Pipeline, Record, Settings
from leeward.policing import Policing
from leeward.policy.audit import Audit
from leeward.policy.facts import facts_of_connection
from leeward.policy.policies import Decision, Policies, Scoped
from leeward.policy.reload import Reloader
from leeward.sensor.proc_sockets import owner

_LATEST_S = 30.0  # a verdict that takes longer is the policy's `fail`
_MOST_WAITING = 64 << 20  # bytes that wait to be recorded
_STOPS = ("block", "kill")
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Caller(msgspec.Struct):
    """Who is at the other end of a client's connection. pid: 0 when it is not on this host, or may not be looked at."""

    client: Endpoint
    pid: int = 0
    process: Process = NOBODY
    scoped: Scoped = Scoped()


class Conversation(msgspec.Struct):
    """One request and what belongs to it. number: of the desk, unique. asked: bytes that were judged. calls: pieces told of, each
    way. opened: is it known to the pipeline? late: what was done when no verdict came in time."""

    number: int
    caller: Caller
    target: Target
    ts: int
    asked: int = 0
    opened: bool = False
    late: str = ""
    calls: dict[bool, int] = msgspec.field(default_factory=lambda: {True: 0, False: 0})


class Ruling(msgspec.Struct, frozen=True):
    """action: allow | redact | block. edits: of the bytes that were asked about. message: for who is blocked."""

    action: str
    edits: list[Edit] = []
    message: str = ""


class Desk:
    """tell: what is done with the records, called in the desk's thread. reloader: None without policies."""

    def __init__(
        self,
        catalogue: Catalogue,
        reloader: Reloader | None,
        inspector: Inspector,
        audit: Audit | None,
        origin: str,
        tell: Callable[[Iterable[Record]], None],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.started = time.time_ns()
        self._catalogue, self._reloader, self._audit, self._tell = catalogue, reloader, audit, tell
        self._processes = ProcessTable()
        self._judge = Judge(catalogue, inspector, self)
        self.pipeline = Pipeline(
            Settings(origin),
            catalogue,
            self._processes,
            inspector=inspector,
            policing=Policing(lambda: self.policies, lambda _pid: "the gateway let it pass"),
        )
        self._none = Policies()
        self._callers: Counter[int] = Counter()
        self._numbers = 0
        self._waiting = 0
        self._lock = threading.Lock()
        self._complaint = ""
        self._worker = Worker("desk")
        self._failed: BaseException | None = None
        self._loaded()

    # -- from the server's loop ------------------------------------------------------------------------------------

    async def of(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """A call's result, when its turn has come."""
        return await asyncio.wrap_future(self._worker.submit(partial(call, *args, **kwargs), urgent=True))

    async def ruling(self, talk: Conversation, data: bytes, size: int) -> Ruling:
        """What may become of these bytes; late: what the policies of this caller say of that."""
        asked = asyncio.ensure_future(self.of(self._ask, talk, data, size))
        try:
            return await asyncio.wait_for(asyncio.shield(asked), _LATEST_S)
        except TimeoutError:
            asked.add_done_callback(lambda late: late.exception())  # it was too late, whatever it is
            self.counters["verdicts_late"] += 1
            ruling = self._fail(talk, "no verdict came in time")
            talk.late = ruling.action
            return ruling

    def record(self, size: int, call: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Has a call made that nobody waits for, unless too many bytes wait already."""
        with self._lock:
            if size and self._waiting + size > _MOST_WAITING:
                self.counters["pieces_not_recorded"] += 1
                return
            self._waiting += size
        made = self._worker.submit(partial(call, *args, **kwargs), urgent=False)
        made.add_done_callback(lambda done: self._recorded(size, done))

    def _recorded(self, size: int, done: Future[None]) -> None:
        with self._lock:
            self._waiting -= size
        self._failed = self._failed or done.exception()

    def check(self) -> None:
        """Raises what went wrong in a stage: it is never swallowed."""
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Everything that waits is recorded, and what is unfinished comes out as it is."""
        self.record(0, lambda: self._told(None, self.pipeline.finish(time.time_ns())))
        self._worker.close()
        self.check()

    # -- who -------------------------------------------------------------------------------------------------------

    def arrived(self, client: Endpoint, ours: Endpoint) -> Caller:
        """A client's connection began."""
        caller = Caller(client, owner(client, ours, self._callers) if client.ip == ours.ip else 0)
        if caller.pid:
            now = time.time_ns()
            if not self._processes.alive(caller.pid):
                self._processes.feed(ProcessExited(now, caller.pid))
            caller.process = self._processes.get(caller.pid, now)
            self._callers[caller.pid] += 1
        self._scope(caller)
        return caller

    def left(self, caller: Caller) -> None:
        """It ended."""
        if caller.pid:
            self._callers[caller.pid] -= 1
            if self._callers[caller.pid] <= 0:
                del self._callers[caller.pid]
                self._judge.gone(caller.pid)

    def _scope(self, caller: Caller) -> None:
        process = caller.process
        caller.scoped = self.policies.scope(process.workload, process.container.labels if process.container else {})
        if caller.pid:
            self._judge.told(who_is(process, caller.pid, caller.scoped))

    def begin(self, caller: Caller, target: Target) -> tuple[Conversation, str]:
        """A request has come for this host; why it may not go there at all, "" if it may."""
        self._numbers += 1
        self._scope(caller)
        return Conversation(self._numbers, caller, target, time.time_ns()), self.refused(caller, target)

    # -- what may be done ------------------------------------------------------------------------------------------

    @property
    def policies(self) -> Policies:
        """Those in force."""
        return self._reloader.policies if self._reloader is not None else self._none

    @property
    def needs_data(self) -> bool:
        """For the judge: of the policies in force."""
        return self.policies.needs_data

    def decide(self, stage: str, facts: Mapping[str, Any]) -> list[Decision]:
        """For the judge: always by the policies in force."""
        return self.policies.decide(stage, facts)

    def refused(self, caller: Caller, target: Target) -> str:
        """Why this caller may not reach this host at all; "" if it may."""
        if not caller.scoped.connect:
            return ""
        provider = self._catalogue.is_ai_host(target.host) or ""
        ts = time.time_ns()
        facts = facts_of_connection(caller.process, target.host, "", target.port, provider, ts)
        for decision in self.policies.decide("connect", facts)[:1]:
            if decision.action in _STOPS:
                self.counters["connections_refused"] += 1
                exchange = Exchange(time=iso(ts))
                exchange.network.domain, exchange.workload = target.host, caller.process.workload
                told = {"decision": msgspec.to_builtins(decision), "exchange": msgspec.to_builtins(exchange)}
                self._write_down(Decided(caller.pid, caller.pid, 0, ts, 0, "block", 0, "", told))
                server = Endpoint("", target.port)
                denied = Denied(ts, 0, caller.pid, "tcp", caller.client, server, 0, "name", target.host)
                self._told(None, self.pipeline.feed(denied))
                return _message(told)
        return ""

    def _ask(self, talk: Conversation, data: bytes, size: int) -> Ruling:
        began = time.monotonic_ns()
        pid, first = talk.caller.pid, not talk.asked
        ts = talk.ts if first else time.time_ns()
        verdict = self._judge.ask(Ask(talk.number, pid, talk.number, ts, talk.asked, size), data)
        talk.asked += len(data)
        ruling = _ruling(verdict)
        why = ""
        if size > len(data) and ruling.action != "block":
            ruling, why = self._too_long(talk, ruling)
        if talk.late:
            ruling, why = Ruling(talk.late), "deadline"
        held = (time.monotonic_ns() - began) // 1000
        decided = Decided(pid, pid, talk.number, ts, size, ruling.action, held, why, verdict.decided)
        self.counters[f"{'requests' if first else 'pieces'}_{ruling.action}"] += 1
        if verdict.decided is not None or why:
            self._write_down(decided)
        if ruling.action == "block":
            self._opened(talk, None)
        if ruling.action != "allow" or verdict.decided is not None or (first and self._is_ai(talk.target)):
            self._feed(talk, [CallJudged(ts, pid, talk.number, ruling.action, held, why, verdict.decided)])
        return ruling

    def _is_ai(self, target: Target) -> bool:
        return self._catalogue.is_ai_host(target.host) is not None

    def _too_long(self, talk: Conversation, ruling: Ruling) -> tuple[Ruling, str]:
        """Only the beginning of it was looked at."""
        self.counters["requests_cut"] += 1
        failed = self._fail(talk, "the request is longer than can be looked through")
        return (failed, "too-long") if failed.action == "block" else (ruling, "")

    def _fail(self, talk: Conversation, what: str) -> Ruling:
        scoped = talk.caller.scoped
        if scoped.hold and scoped.fail == "closed":
            return Ruling("block", message=f"{what}, and the policy fails closed")
        return Ruling("allow")

    # -- what is told ----------------------------------------------------------------------------------------------

    def sent(self, talk: Conversation, remote: Endpoint | None, data: bytes) -> None:
        """This request, or its beginning, was sent to the server. Told once."""
        if not talk.opened:
            self._opened(talk, remote)
            self.piece(talk, True, talk.ts, data)

    def _opened(self, talk: Conversation, remote: Endpoint | None) -> None:
        if talk.opened:
            return
        talk.opened = True
        pid, client = talk.caller.pid, talk.caller.client
        server = remote or Endpoint("", talk.target.port)
        self._feed(
            talk,
            [
                SocketOpened(talk.ts, talk.number, pid, "client", "tcp", client, server),
                TlsOpened(talk.ts, pid, talk.number, 0, sock=talk.number, local=client, remote=server),
            ],
        )

    def piece(self, talk: Conversation, to_server: bool, ts: int, data: bytes) -> None:
        """Bytes that were sent to the server, or to the client."""
        pid, seq = talk.caller.pid, talk.calls[to_server]
        talk.calls[to_server] = seq + 1
        self._feed(talk, [Plaintext(ts, pid, pid, talk.number, 0, seq, to_server, 0, len(data), data)])

    def over(self, talk: Conversation) -> None:
        """Nothing more belongs to this conversation."""
        now = time.time_ns()
        self._judge.closed(talk.caller.pid, talk.number)
        if talk.opened:
            closed = SocketStats(now, talk.number, 0, 0, 0, 0, closed=True)
            self._feed(talk, [TlsClosed(now, talk.caller.pid, talk.number, 0), closed])

    def tick(self) -> None:
        """About once a second."""
        now = time.time_ns()
        self._told(None, self.pipeline.tick(now))
        if self._reloader is not None:
            self._reload(self._reloader)

    def _feed(self, talk: Conversation, events: Iterable[RawEvent]) -> None:
        for event in events:
            self._told(talk, self.pipeline.feed(event))

    def _told(self, talk: Conversation | None, records: Iterable[Record]) -> None:
        records = [record for record in records if not isinstance(record, Flow)]  # a flow here is one request
        for record in records:
            if isinstance(record, Exchange):
                record.evidence.source, record.evidence.joined, record.evidence.late = "gateway", "", False
                if talk is not None and talk.target.scheme == "http":
                    record.http.url, record.network.tls = record.http.url.replace("s://", "://", 1), None
        self._tell(record for record in records if isinstance(record, Exchange | Finding))

    def _reload(self, reloader: Reloader) -> None:
        changed = reloader.poll()
        if reloader.complaint != self._complaint:
            self._complaint = reloader.complaint
            if self._complaint:
                print(f"level=error event=policies_refused what={self._complaint!r}", file=sys.stderr)
                self._audit_event("policies-refused", {"complaint": self._complaint[:4096]})
        if changed:
            self._loaded()

    def _loaded(self) -> None:
        for line in self.policies.warnings:
            print(f"level=warning event=policy what={line!r}", file=sys.stderr)
        self._audit_event("policies-loaded", {"policies": [policy.name for policy in self.policies.policies]})

    def _write_down(self, decided: Decided) -> None:
        self._audit_event("verdict", verdict_entry(decided) | {"rung": "gateway"})

    def _audit_event(self, name: str, detail: dict[str, Any]) -> None:
        if self._audit is not None:
            self._audit.append(iso(time.time_ns()), "policy", name, detail)

    def totals(self) -> dict[str, int]:
        reloads = self._reloader.counters if self._reloader is not None else Counter[str]()
        mine = self.counters + reloads + Counter({f"judge_{n}": c for n, c in self._judge.counters.items()})
        return dict(sorted(mine.items())) | self.pipeline.totals()


def _ruling(verdict: Verdict) -> Ruling:
    action = "block" if verdict.action in _STOPS else "redact" if verdict.edits else "allow"
    return Ruling(action, verdict.edits, _message(verdict.decided) if action == "block" else "")


def _message(decided: dict[str, Any] | None) -> str:
    """What is said to who is blocked: the policy's words, and whose they are."""
    decision = (decided or {}).get("decision") or {}
    name = f"{decision.get('policy', '')}/{decision.get('rule', '')}"
    return f"{decision.get('message') or 'This request is not allowed.'} (policy {name})"
