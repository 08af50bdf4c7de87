"""Rule `port-scan`: one program tries many addresses or ports inside, and few answer.

Jung, Paxson, Berger, Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing" (2004): of first contacts of
honest programs four of five succeed, of a scanner's one of five; each failure speaks for a scanner by the logarithm of 4,
each success against it, and the sum decides (Wald). Where everything answers, many administrative services tried by hand
decide.

What a failure looks like: a refused TCP connection has one packet out (SYN) and one of 40 bytes back (RST; IPv6 60), a
filtered one none back. Invariant: a target counts once; one that answered before and is gone now is no failure.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import address_kind
from leeward.detect.detector import occurrence
from leeward.detect.lists import groups
from leeward.detect.roles import role
from leeward.detect.rule import rules
from leeward.model.activity import Activity, FlowSeen
from leeward.model.finding import Finding
from leeward.model.net import Flow
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "port-scan"
_AGE_NS = 86_400 * 10**9
_TARGETS, _PENDING = 512, 65536
_SERVICE_PORTS = 32768  # above it are the ports that clients are given

Target = tuple[str, int]


class _Scanner(Kept, kw_only=True):
    """A program of a workload. targets: contacted, and whether they answered (None: not known yet). score: in units of the
    logarithm of 4. listed: when administrative targets were tried."""

    targets: OrderedDict[Target, bool | None] = msgspec.field(default_factory=OrderedDict)
    score: int = 0
    failures: list[Target] = msgspec.field(default_factory=list)
    answers: int = 0
    since: int = 0
    told: int = 0
    listed: OrderedDict[Target, int] = msgspec.field(default_factory=OrderedDict)


class _Attempt(msgspec.Struct, gc=False):
    who: str
    process: Process
    target: Target
    ts: int
    flow: str


class Scan:
    hears: tuple[type[Activity], ...] = (FlowSeen,)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.closest: dict[str, float] = {}
        self._settings = rules()[_RULE].settings
        self._scanners: Bounded[_Scanner] = Bounded("port_scan", self.counters, 16384, _AGE_NS)
        self._pending: OrderedDict[str, _Attempt] = OrderedDict()
        self._wait_ns = int(self._settings["wait_seconds"] * 1e9)
        self._listed = frozenset(
            int(entry.split()[0]) for group in ("administration", "control", "data") for entry in groups("ports")[group]
        )

    def feed(self, activity: FlowSeen) -> list[Finding]:
        flow = activity.flow
        attempt = self._pending.get(flow.id)
        if attempt is None:
            return self._contact(activity) if activity.began and flow.direction == "outbound" else []
        answered = has_answered(flow)
        if not answered and not activity.ended:
            return []
        del self._pending[flow.id]
        return self._decided(attempt, answered, activity.ts)

    def tick(self, ts: int) -> list[Finding]:
        """Who did not answer in time."""
        found: list[Finding] = []
        while self._pending:
            number, attempt = next(iter(self._pending.items()))
            if ts - attempt.ts < self._wait_ns:
                break
            del self._pending[number]
            found += self._decided(attempt, False, ts)
        self._scanners.expire(ts)
        return found

    def _contact(self, activity: FlowSeen) -> list[Finding]:
        """A flow began: to where this program never was?"""
        flow, ip, port = activity.flow, activity.flow.dst.ip, activity.flow.dst.port
        kind = address_kind(ip)
        if kind == "public":
            if port not in self._listed:
                return []
        elif kind not in ("private", "loopback"):
            return []
        if port == 53 or (flow.proto == "udp" and port >= _SERVICE_PORTS):
            return []
        process, ts = activity.process, activity.ts
        who, target = process.workload.id or flow.src.ip, (ip, port)
        scanner = self._scanners.get(who, process.exe, ts)
        if scanner is None:
            scanner = self._scanners.put(who, process.exe, _Scanner(since=ts), ts)
        if target in scanner.targets:
            scanner.targets.move_to_end(target)
            return []
        scanner.targets[target] = None
        if len(scanner.targets) > _TARGETS:
            scanner.targets.popitem(last=False)
            self.counters["port_scan_targets_evicted"] += 1
        attempt = _Attempt(who, process, target, ts, flow.id)
        found = self._by_hand(attempt, scanner) if port in self._listed else []
        if activity.ended or has_answered(flow):
            return found + self._decided(attempt, has_answered(flow), ts)
        self._pending[flow.id] = attempt
        if len(self._pending) > _PENDING:
            self._pending.popitem(last=False)
            self.counters["port_scan_pending_evicted"] += 1
        return found

    def _decided(self, attempt: _Attempt, answered: bool, ts: int) -> list[Finding]:
        """A first contact succeeded or failed."""
        scanner = self._scanners.get(attempt.who, attempt.process.exe, ts)
        if scanner is None:
            return []
        scanner.targets[attempt.target] = answered
        if answered:
            scanner.score -= 1
            scanner.answers += 1
        else:
            scanner.score += 1
            scanner.failures.append(attempt.target)
            del scanner.failures[:-_TARGETS]
        if scanner.score <= 0:  # whatever was before speaks for an honest program: begin anew
            scanner.score, scanner.failures, scanner.answers, scanner.since, scanner.told = 0, [], 0, ts, 0
            return []
        threshold = self._settings["score"]
        self.closest[_RULE] = max(self.closest.get(_RULE, 0.0), scanner.score / threshold)
        if scanner.score < threshold or scanner.score < 2 * scanner.told:
            return []
        scanner.told = scanner.score
        tried = len(scanner.failures) + scanner.answers
        evidence = {
            "failed": len(scanner.failures), "answered": scanner.answers, "value": scanner.score, "threshold": threshold,
            "margin": scanner.score - threshold,
        }  # fmt: skip
        return [self._told(attempt, scanner.failures, tried, scanner.since, ts, evidence)]

    def _by_hand(self, attempt: _Attempt, scanner: _Scanner) -> list[Finding]:
        """Many administrative services tried by something that does not belong to any of them, whether they answer or not."""
        program = role(attempt.process)
        works = program.groups & {"administration", "monitor", "agent", "backup"}
        if not (program.by_hand or program.kind == "script" or "scanner" in program.groups) or (
            works and program.kind != "odd"
        ):
            return []
        scanner.listed[attempt.target] = attempt.ts
        window = self._settings["listed_seconds"] * 10**9
        while attempt.ts - next(iter(scanner.listed.values())) > window:
            scanner.listed.popitem(last=False)
        threshold = self._settings["listed"]
        value = len(scanner.listed)
        if value < threshold or value % threshold:
            return []
        evidence = {"value": value, "threshold": threshold, "margin": value - threshold}
        since = next(iter(scanner.listed.values()))
        return [self._told(attempt, list(scanner.listed), value, since, attempt.ts, evidence)]

    def _told(
        self, attempt: _Attempt, targets: list[Target], tried: int, since: int, ts: int, evidence: dict[str, Any]
    ) -> Finding:
        process, program = attempt.process, role(attempt.process)
        hosts, ports = {ip for ip, _ in targets}, sorted({port for _, port in targets})
        if program.by_hand or "scanner" in program.groups:
            severity = "high"
        else:
            severity = "low" if program.groups & {"monitor"} else "medium"
        first = {
            "type": "scan", "time": iso(ts), "flow": attempt.flow, "targets": tried, "hosts": len(hosts), "ports": ports[:20],
            "some": [f"{ip}:{port}" for ip, port in targets[:8]], "seconds": round((ts - since) / 1e9, 1),
        }  # fmt: skip
        what = (
            f"{len(ports)} ports of {next(iter(hosts))}"
            if len(hosts) == 1
            else f"{len(hosts)} hosts, {len(ports)} ports"
        )
        return occurrence(
            _RULE, process, ts, f"{program.name or 'a host'} tried {what}", same=(process.exe,), severity=severity,
            subject={"program": program.name, "targets": what}, evidence=[{**first, **evidence}],
            confidence=0.95 if severity == "high" else None,
        )  # fmt: skip


def has_answered(flow: Flow) -> bool:
    """Did the other side accept the connection, or answer the datagram?"""
    if flow.proto != "tcp":
        return flow.packets_received > 0
    if not flow.packets_received:
        return flow.bytes_received > 0  # a source that counts no packets
    if flow.packets_sent < 2:
        return False
    bare = (60 if ":" in flow.dst.ip else 40) * flow.packets_received
    return not 0 < flow.bytes_received <= bare
