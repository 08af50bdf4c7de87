"""`reverse-shell`: a shell whose input and output both lead to the same remote peer, directly or through others.

What is structural about it: what the shell reads comes from a peer and what it writes goes to that same peer. `curl | sh` has the
first half only, a logger the second, and a build's runner leads elsewhere. How sure it is follows from how the streams lead there
(streams.Lead.how); where that is a guess, known servers of shells, agents and runners are left out.

Invariants: bounded by what streams.Streams keeps; one process is told again only if it turns out worse.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.detector import occurrence
from leeward.detect.one_by_one import Asked, OneByOne
from leeward.detect.programs import SHELL_HOSTS, SHELL_SHOWS, Program, program, trusted
from leeward.detect.rule import rules
from leeward.detect.shell_ratings import COMMANDS, direct, is_here, payload, relayed, relays
from leeward.detect.streams import Held, Lead, Streams, other_end
from leeward.model.activity import Activity, Ended, ExchangeSeen, FlowSeen, Started, System
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.net import Flow
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_SECOND = 10**9
_WAIT = _SECOND // 5
_MOST = 8_192


class _Verdict(msgspec.Struct, frozen=True):
    severity: str
    confidence: float
    inward: Lead
    outward: Lead


class ReverseShell:
    hears: tuple[type[Activity], ...] = (Started, Ended, System, FlowSeen, ExchangeSeen)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._settings = rules()["reverse-shell"].settings
        self._ports = frozenset(self._settings["service_ports"])
        self._streams = Streams(self.counters)
        self._linked: dict[int, set[int]] = {}  # pid that has a connection → shells that lead to it
        self._waiting: OrderedDict[int, tuple[Held, set[int]]] = (
            OrderedDict()
        )  # may yet turn out to be remote; who matters
        self._unknown: dict[int, Held] = {}  # of those: their sockets' flows are not known yet
        self._told: dict[int, str] = {}  # of shells: how bad they are
        self._remote: OrderedDict[int, str] = (
            OrderedDict()
        )  # processes that were told as remote, and what they start: peer
        self._half: OrderedDict[int, Held] = OrderedDict()  # socket → what a shell runs writes to it
        self._one_by_one = OneByOne(self.counters, self._settings["questions"], self._ports, self._runs_for_a_living)
        self._speakers: OrderedDict[int, None] = OrderedDict()  # processes that talk to models

    def feed(self, activity: Any) -> list[Finding]:
        found = self._heard(activity)
        return found + self._overdue(activity.ts) if self._unknown else found

    def tick(self, ts: int) -> list[Finding]:
        return self._overdue(ts)

    def _overdue(self, ts: int) -> list[Finding]:
        """Sockets of which no flow was told in time count without."""
        found: list[Finding] = []
        for pid, held in [(p, h) for p, h in self._unknown.items() if ts - h.since >= _WAIT]:
            del self._unknown[pid]
            found += self._judge(held, ts, late=True)
        return found

    # -- activities ------------------------------------------------------------------------------------------------

    def _heard(self, activity: Any) -> list[Finding]:
        kind = type(activity)
        if kind is FlowSeen:
            return self._on_flow(activity)
        if kind is Started:
            return self._on_start(activity)
        if kind is Ended:
            self._streams.ended(activity)
            self._drop(activity.process.pid)
            self._speakers.pop(activity.process.pid, None)
            self._remote.pop(activity.process.pid, None)
        elif kind is ExchangeSeen:
            self._speakers[activity.process.pid] = None
            if len(self._speakers) > _MOST:
                self._speakers.popitem(last=False)
        elif activity.kind == "stream":
            held = self._streams.became(activity)
            return self._judge(held, activity.ts) if held is not None and self._may_be(held) else []
        elif activity.kind == "pty":
            self._streams.terminal(activity)
        return []

    def _on_start(self, activity: Started) -> list[Finding]:
        self._drop(activity.process.pid)
        held = self._streams.started(activity)
        found = self._judge(held, activity.ts) if self._may_be(held) else []
        for pid in self._streams.neighbours(held):
            if pid in self._waiting:
                found += self._judge(self._waiting[pid][0], activity.ts)
        return found + self._answers(held, activity.ts)

    def _on_flow(self, activity: FlowSeen) -> list[Finding]:
        pid = activity.process.pid
        if not pid:
            return []
        self._streams.flow(activity)
        found: list[Finding] = []
        if pid in self._linked:
            for shell in list(self._linked[pid]):
                if shell in self._waiting:
                    found += self._judge(self._waiting[shell][0], activity.ts)
        if activity.sock in self._half:
            found += self._half_known(activity)
        return found

    def _may_be(self, held: Held) -> bool:
        """A shell or interpreter, or what one runs, with streams that may lead somewhere."""
        if not any(stream.kind in ("socket", "pipe", "unix", "tty") for stream in held.streams):
            return False
        if program(held.process).any(COMMANDS):
            return True
        parent = held.process.ancestors[:1]
        return bool(parent) and held.streams[1].kind == "socket" and program(parent[0]).any(COMMANDS)

    # -- a shell that waits ----------------------------------------------------------------------------------------

    def _judge(self, held: Held, ts: int, late: bool = False) -> list[Finding]:
        pid, asked, parent = held.process.pid, {held.process.pid}, held.process.ancestors[:1]
        guess = program(held.process).commanded or (bool(parent) and program(parent[0]).any(["relay"]))
        inward = self._streams.leads(held, output=False, guess=guess, seen=asked)
        outward = self._streams.leads(held, output=True, guess=guess, seen=asked)
        self._wait(held, asked)
        peers = inward.keys() & outward.keys()
        if not late and any(peer.startswith("#") for peer in peers):
            self._unknown[pid] = held
            peers = {peer for peer in peers if not peer.startswith("#")}
        verdicts = [v for peer in peers if (v := self._verdict(held, inward[peer], outward[peer], ts)) is not None]
        if not verdicts:
            verdicts = self._by_named_pipe(held, outward)
        if not verdicts:
            return []
        if not late and all(_is_udp(v) for v in verdicts):
            self._unknown[pid] = held  # a TCP connection may yet come: what relays asks and tells others over UDP first
            return []
        worst = max(verdicts, key=lambda v: (not _is_udp(v), SEVERITIES.index(v.severity), v.confidence))
        if SEVERITIES.index(worst.severity) <= SEVERITIES.index(self._told.get(pid, "info")):
            return []
        self._told[pid] = worst.severity
        if worst.severity in ("critical", "high"):
            self._rest(pid)
            if self._is_known(held.process, worst.outward.peer):
                return []
        return [self._finding(held, worst, ts)]

    def _is_known(self, process: Process, peer: str) -> bool:
        """Was it or one above it told already, for the same peer? What a remote shell runs is remote too, and no news."""
        known = self._remote.get(process.pid) == peer or any(
            self._remote.get(a.pid) == peer for a in process.ancestors[:8]
        )
        self._remote[process.pid] = peer
        if len(self._remote) > _MOST:
            self._remote.popitem(last=False)
            self.counters["reverse_shell_remote_evicted"] += 1
        return known

    def _verdict(self, held: Held, inward: Lead, outward: Lead, ts: int) -> _Verdict | None:
        made = program(held.process)
        ways = {inward.how, outward.how}
        if ways == {"socket"}:
            rated = direct(held.process, made, inward.flow or outward.flow)
        elif ways <= {"socket", "stream"} or relays(inward, outward):
            rated = None if self._hosted(inward, outward) else relayed(held.process, made, inward, outward)
        else:
            rated = self._guessed(held, made, inward, outward, ts)
        return _Verdict(*rated, inward, outward) if rated is not None else None

    def _guessed(self, held: Held, made: Program, inward: Lead, outward: Lead, ts: int) -> tuple[str, float] | None:
        """An ancestor has the other end, or made the terminal: which of its connections is meant cannot be seen."""
        flow, through = outward.flow or inward.flow, outward.through or inward.through
        if flow is None or through is None or not made.commanded or self._excused(through.pid):
            return None
        if self._hosts(through, flow) or flow.provider or flow.l7 == "dns" or flow.state == "listening":
            return None
        port = flow.dst.port
        if flow.proto == "udp" or port in self._ports:
            return None
        if trusted(through, SHELL_SHOWS):
            return "low", 0.2
        terminal = "terminal" in (inward.how, outward.how)
        raw = flow.l7 == "" and not self._unspoken(flow, port, ts)
        flows = [seen.flow for seen in self._streams.flows_of(through.pid)]
        fresh = held.since - flow.start <= self._settings["fresh_seconds"] * _SECOND
        many = len({other_end(one).ip for one in flows}) > self._settings["peers_held"]
        if raw and (fresh or not many):
            return ("high", 0.8) if flow.direction == "outbound" else ("high", 0.7)
        if flow.direction == "outbound" and not raw and (terminal or "-i" in held.process.argv) and not many:
            return "medium", 0.5
        return "low", 0.3

    def _unspoken(self, flow: Flow, port: int, ts: int) -> bool:
        """May it be TLS that has not been seen yet?"""
        young = ts - flow.start < self._settings["settle_seconds"] * _SECOND
        return port in (443, 8443) and young and payload(flow, sent=True) <= 0

    def _hosted(self, *leads: Lead) -> bool:
        """Is what the streams lead through one that may hold them?"""
        return any(
            lead.through is not None and self._hosts(lead.through, lead.flow) for lead in leads if lead.how != "socket"
        )

    def _hosts(self, through: Process | Ancestor, flow: Flow | None) -> bool:
        """May this program hold a shell's streams beside this connection?

        An agent may, for the streams end at it; but it speaks HTTP to whoever is not on this host, its provider first. One that
        never spoke to a model and has a connection on which bytes of no known protocol came is one by its place alone: a program
        that lies in the agent's folder, where its skills are put."""
        if trusted(through, SHELL_HOSTS - {"agent"}):
            return True
        if not trusted(through, ["agent"]):
            return False
        raw = (
            flow is not None
            and flow.proto == "tcp"
            and not flow.l7
            and payload(flow) >= self._settings["payload_bytes"]
        )
        return not raw or self._excused(through.pid) or is_here(flow)

    def _excused(self, pid: int) -> bool:
        """Does it talk to models? Then its shells are a model's tools: another rule's business."""
        return pid in self._speakers or any(seen.flow.provider for seen in self._streams.flows_of(pid))

    def _by_named_pipe(self, held: Held, outward: dict[str, Lead]) -> list[_Verdict]:
        """`cat fifo | sh | nc peer > fifo`: the relay that gets the output writes into a pipe that nobody's stream reads."""
        made = program(held.process)
        if not made.commanded or held.streams[0].kind != "pipe":
            return []
        found = []
        for lead in outward.values():
            relay = self._streams.get(lead.through.pid) if lead.through is not None else None
            if (
                lead.how != "stream"
                or relay is None
                or relay.streams[1].kind != "pipe"
                or trusted(relay.process, SHELL_HOSTS)
            ):
                continue
            out = relay.streams[1]
            above = [self._streams.get(a.pid) for a in relay.process.ancestors[:8]]
            inherited = out == relay.streams[2] or any(known and out in known.streams for known in above)
            readers = self._streams.neighbours(relay) - {held.process.pid}
            read = any((other := self._streams.get(p)) is not None and other.streams[0] == out for p in readers)
            if not inherited and not read:
                found.append(_Verdict("critical", 0.85, lead, lead))
        return found

    def _wait(self, held: Held, asked: set[int]) -> None:
        pid = held.process.pid
        if self._told.get(pid) in ("critical", "high"):
            return
        known = self._waiting.get(pid)
        if known is not None:
            asked |= known[1]
        for one in asked:
            self._linked.setdefault(one, set()).add(pid)
        self._waiting[pid] = (held, asked)
        if len(self._waiting) > _MOST:
            self._rest(next(iter(self._waiting)))
            self.counters["reverse_shell_waiting_evicted"] += 1

    def _rest(self, pid: int) -> None:
        self._unknown.pop(pid, None)
        _, asked = self._waiting.pop(pid, (None, set()))
        for one in asked:
            shells = self._linked.get(one, set())
            shells.discard(pid)
            if not shells:
                self._linked.pop(one, None)

    def _drop(self, pid: int) -> None:
        self._rest(pid)
        self._told.pop(pid, None)
        self._one_by_one.forget(pid)

    # -- commands, one by one --------------------------------------------------------------------------------------

    def _answers(self, held: Held, ts: int) -> list[Finding]:
        """What a shell runs writes into its connection (`eval $line >&5 2>&5`), or answers a program that has one."""
        parent = held.process.ancestors[0] if held.process.ancestors else None
        if parent is None:
            return []
        out, errors = held.streams[1], held.streams[2]
        if out.kind == "socket" and out == errors and held.streams[0] != out and program(parent).any({"shell"}):
            self._half[out.number] = held
            if len(self._half) > _MOST:
                self._half.popitem(last=False)
            return []
        asked = self._one_by_one.started(held, ts, self._streams)
        peer = asked.flow.flow.dst.ip if asked is not None else ""
        if asked is None or self._is_known(held.process, peer):
            return []
        self._remote[asked.by.pid] = peer
        lead = Lead("held", peer, asked.flow.sock, asked.flow.flow, asked.by)
        rated = ("medium", 0.5) if asked.flow.flow.l7 else ("high", 0.65)
        return [self._finding(held, _Verdict(*rated, lead, lead), ts, asked)]

    def _half_known(self, activity: FlowSeen) -> list[Finding]:
        flow = activity.flow
        if flow.direction == "inbound" or payload(flow) < self._settings["payload_bytes"]:
            return []
        held = self._half.pop(activity.sock)
        if self._is_known(held.process, flow.dst.ip):
            return []
        self._remote[activity.process.pid] = flow.dst.ip
        lead = Lead("stream", flow.dst.ip, activity.sock, flow, activity.process)
        return [self._finding(held, _Verdict("high", 0.75, lead, lead), activity.ts)]

    def _runs_for_a_living(self, one: Ancestor) -> bool:
        return trusted(one, SHELL_HOSTS | SHELL_SHOWS) or self._excused(one.pid)

    # -- told ------------------------------------------------------------------------------------------------------

    def _finding(self, held: Held, verdict: _Verdict, ts: int, asked: Asked | None = None) -> Finding:
        process, lead = held.process, verdict.outward
        flow = lead.flow or verdict.inward.flow
        where = str(other_end(flow)) if flow is not None else "a connection not seen from its beginning"
        name, called = program(process).name, flow.domain if flow is not None else ""
        shown = f"{called} ({where})" if called else where
        through = lead.through if lead.through is not None and lead.through.pid != process.pid else None
        via = f" through {program(through).name}" if through is not None else ""
        what = [f"{s.kind} {s.number}" for s in held.streams]
        evidence: list[dict[str, Any]] = [
            {"type": "streams", "time": iso(held.since), "pid": process.pid, "exe": process.exe, "streams": what,
             "input": verdict.inward.how, "output": verdict.outward.how}
        ]  # fmt: skip
        if through is not None:
            evidence.append({"type": "process", "time": iso(ts), "pid": through.pid, "exe": through.exe})
        if asked is not None:
            margin = len(asked.commands) - asked.needed
            evidence.append({"type": "commands", "time": iso(ts), "asked": asked.commands, "value": len(asked.commands),
                             "threshold": asked.needed, "margin": margin})  # fmt: skip
        if flow is not None:
            evidence.append({"type": "flow", "time": iso(ts), "id": flow.id, "dst": where, "direction": flow.direction})
        return occurrence(
            "reverse-shell", process, ts, f"{name} to {shown}{via}", same=[other_end(flow).ip if flow else lead.peer],
            subject={"destination": where, "program": process.exe, "direction": flow.direction if flow else "",
                     **({"domain": called} if called else {})},
            evidence=evidence, severity=verdict.severity, confidence=verdict.confidence,
        )  # fmt: skip


def _is_udp(verdict: _Verdict) -> bool:
    flow = verdict.outward.flow or verdict.inward.flow
    return flow is not None and flow.proto == "udp"
