"""Rule `metadata-service-access`: who asks the cloud's metadata service, from the first packet on.

What SDKs, agents of clouds and clusters are there for is left alone. A connection alone is judged by the program that opens
it; if its request is seen, by what it asks for and how it names itself too. Invariant: the first contact is told at once.
"""

from __future__ import annotations

from collections import Counter

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.lists import groups
from leeward.detect.roles import Role, Terminals, role
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, FlowSeen, HttpSeen, Started, System
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "metadata-service-access"
_AGE_NS = 30 * 86_400 * 10**9
_NOT_METADATA = frozenset((53, 123))  # clouds answer DNS and NTP at the same address


class _Life(Kept, kw_only=True):
    """A workload: since when it is known, and whether it ever asked."""

    first: int
    asked: bool = False


class Metadata:
    hears: tuple[type[Activity], ...] = (FlowSeen, HttpSeen, Started, Ended)
    of_flows = "began"

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        known = groups("metadata")
        self._addresses, self._names = frozenset(known["addresses"]), frozenset(known["names"])
        self._credentials, self._by_hand, self._google = known["credentials"], known["by-hand"], known["google-sdk"]
        self._terminals = Terminals("metadata", self.counters)
        self._lives: Bounded[_Life] = Bounded("metadata_workloads", self.counters, 32768, _AGE_NS, 1)
        self._young_ns = rules()[_RULE].settings["young_minutes"] * 60 * 10**9

    def feed(self, activity: FlowSeen | HttpSeen | Started | Ended | System) -> list[Finding]:
        if type(activity) is FlowSeen:
            return self._flow(activity) if activity.began else []
        if type(activity) is HttpSeen:
            return self._request(activity) if activity.direction == "outbound" else []
        assert isinstance(activity, Started | Ended)
        if type(activity) is Started:
            self._life(activity.process.workload.id, activity.ts)
        self._terminals.feed(activity)
        return []

    def tick(self, ts: int) -> list[Finding]:
        self._lives.expire(ts)
        return []

    def _life(self, workload: str, ts: int) -> _Life:
        return self._lives.get("", workload, ts) or self._lives.put("", workload, _Life(first=ts), ts)

    def _flow(self, activity: FlowSeen) -> list[Finding]:
        flow, process = activity.flow, activity.process
        if flow.dst.ip not in self._addresses or flow.direction == "inbound" or flow.dst.port in _NOT_METADATA:
            return []
        life = self._life(process.workload.id or flow.src.ip, activity.ts)
        program = role(process)
        if "cloud" in program.groups and program.kind != "odd":
            life.asked = True
            return []
        young = activity.ts - life.first < self._young_ns
        if program.by_hand:
            severity = "high"
        elif program.kind == "unknown":
            severity = "medium"
        else:  # its own code: an SDK in it asks when it starts, and again every few hours
            severity = "low" if young or life.asked else "medium"
        life.asked = True
        evidence = {
            "type": "flow", "time": iso(activity.ts), "flow": flow.id, "address": str(flow.dst), "program": program.kind,
            "known_s": round((activity.ts - life.first) / 1e9),
        }  # fmt: skip
        return [self._told(process, program, activity.ts, severity, flow.dst.ip, evidence)]

    def _request(self, activity: HttpSeen) -> list[Finding]:
        """A request in the clear: what it asks for."""
        peer = activity.peer.rpartition(":")[0].strip("[]")
        host = activity.host.partition(":")[0].lower()
        if peer not in self._addresses and host not in self._names:
            return []
        credentials = activity.path.startswith(self._credentials)
        program = role(activity.process)
        if not credentials or ("cloud" in program.groups and program.kind != "odd"):
            return []
        agent = activity.user_agent
        sdk = activity.path.startswith("/computeMetadata/") and agent.startswith(self._google)
        by_hand = agent.startswith(self._by_hand) and not sdk
        if not by_hand and not program.by_hand:
            return []
        evidence = {
            "type": "http", "time": iso(activity.ts), "method": activity.method, "path": activity.path,
            "status": activity.status, "user_agent": activity.user_agent, "bytes": activity.response_size,
        }  # fmt: skip
        severity = "critical" if activity.status == 200 and activity.response_size and program.by_hand else "high"
        return [self._told(activity.process, program, activity.ts, severity, peer or host, evidence)]

    def _told(
        self, process: Process, program: Role, ts: int, severity: str, address: str, evidence: dict[str, object]
    ) -> Finding:
        if self._terminals.seat(process, ts) == "person":
            severity = "low"
        return occurrence(
            _RULE, process, ts, f"{program.name or 'a host'} asks {address}", same=(process.exe, program.name),
            subject={"destination": address, "program": program.name}, evidence=[evidence], severity=severity,
            confidence={"low": 0.4, "medium": 0.6}.get(severity),
        )  # fmt: skip
