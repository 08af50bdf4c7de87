"""Rule `lateral-movement`: a workload opens an administrative connection to another host inside that it never opened before.

How odd that is depends on what is behind the port, on the program, on who started it and on how long the workload is known.
Invariant: an edge (workload, program, host, port) is judged once, when it is new.
"""

from __future__ import annotations

import posixpath
from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import address_kind
from leeward.detect.detector import occurrence
from leeward.detect.lists import groups
from leeward.detect.programs import anybodys
from leeward.detect.programs import program as program_of
from leeward.detect.roles import Role, Terminals, ancestor_roles, role
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, FlowSeen, Started
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_RULE = "lateral-movement"
_AGE_NS = 30 * 86_400 * 10**9
_LATELY = 64
_CLIENTS = frozenset(
    ("crackmapexec", "docker", "evil-winrm", "etcdctl", "helm", "k9s", "kubectl", "mongo", "mongosh", "mysql", "netexec", "psql",
     "psexec", "rdesktop", "redis-cli", "rsh", "scp", "sftp", "smbclient", "ssh", "sshpass", "wmiexec", "xfreerdp")
)  # fmt: skip
_RSYNC = 873
_PER_HAND = frozenset(("helm", "k9s", "kubectl"))  # administration, but nothing that runs by itself


class _Edge(Kept, gc=False):
    pass


class _Life(Kept, kw_only=True):
    """A workload. services: kinds that it opened. lately: administrative and control targets (host, kind) and when. copied: hosts
    to which rsync went, and when."""

    first: int
    services: set[str] = msgspec.field(default_factory=set)
    lately: OrderedDict[tuple[str, str], int] = msgspec.field(default_factory=OrderedDict)
    copied: OrderedDict[str, int] = msgspec.field(default_factory=OrderedDict)


class Lateral:
    hears: tuple[type[Activity], ...] = (FlowSeen, Started, Ended)
    of_flows = "began"

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._settings = rules()[_RULE].settings
        self._ports = {
            int(port): (group, name)
            for group in ("administration", "control", "data")
            for port, _, name in (entry.partition(" ") for entry in groups("ports")[group])
        }
        self._ssh_work = frozenset(groups("ports")["ssh-work"])
        self._administration = frozenset(groups("programs")["administration"]) - _PER_HAND
        self._edges: Bounded[_Edge] = Bounded("lateral_movement", self.counters, 131_072, _AGE_NS)
        self._lives: Bounded[_Life] = Bounded("lateral_movement_workloads", self.counters, 32768, _AGE_NS, 1)
        self._terminals = Terminals("lateral_movement", self.counters)

    def feed(self, activity: FlowSeen | Started | Ended) -> list[Finding]:
        if type(activity) is FlowSeen:
            if not activity.began or activity.flow.dst.port not in self._ports:
                if activity.began and activity.flow.dst.port == _RSYNC and role(activity.process).name == "rsync":
                    self._copies(activity)
                return []
            return self._flow(activity)
        assert isinstance(activity, Started | Ended)
        if type(activity) is Started:
            self._life(activity.process.workload.id, activity.ts)
        self._terminals.feed(activity)
        return []

    def tick(self, ts: int) -> list[Finding]:
        self._edges.expire(ts)
        self._lives.expire(ts)
        return []

    def _life(self, who: str, ts: int) -> _Life:
        return self._lives.get("", who, ts) or self._lives.put("", who, _Life(first=ts), ts)

    def _flow(self, activity: FlowSeen) -> list[Finding]:
        flow, process, ts = activity.flow, activity.process, activity.ts
        if flow.direction != "outbound" or flow.proto != "tcp" or address_kind(flow.dst.ip) != "private":
            return []
        if flow.dst.ip == flow.src.ip:
            return []  # this host, by its own address
        who = process.workload.id or flow.src.ip
        edge = (process.exe, flow.dst.ip, flow.dst.port)
        if self._edges.get(who, edge, ts) is not None:
            return []
        self._edges.put(who, edge, _Edge(), ts)
        life = self._life(who, ts)
        group, service = self._ports[flow.dst.port]
        program = role(process)
        if self._is_its_work(process, program, group):
            if any(one.name == "rsync" for one in ancestor_roles(process)[:2]):
                self._copies(activity)
            return []
        known = service in life.services
        life.services.add(service)
        counts = group != "data" or (program.name in _CLIENTS and process.workload.kind != "executable")
        fan = self._fan(life, (flow.dst.ip, service), ts) if counts else 0
        severity = self._severity(process, program, group, life, known, fan, ts)
        copied = life.copied.get(flow.dst.ip, 0)
        if severity and program.name == "ssh" and copied and ts - copied <= self._settings["fan_seconds"] * 10**9:
            severity = "low"  # the other half of a deployment
        if not severity:
            return []
        evidence = {
            "type": "flow", "time": iso(ts), "flow": flow.id, "address": str(flow.dst), "service": service,
            "program": program.kind,
            "workload_known_s": round((ts - life.first) / 1e9), "service_new": not known, "value": fan,
            "threshold": self._settings["fan"], "margin": fan - self._settings["fan"],
        }  # fmt: skip
        return [self._told(process, program, ts, severity, flow.domain or flow.dst.ip, service, evidence)]

    def _copies(self, activity: FlowSeen) -> None:
        """A deployment puts files on a host: what it has that host do afterwards goes by SSH."""
        life = self._life(activity.process.workload.id or activity.flow.src.ip, activity.ts)
        life.copied[activity.flow.dst.ip] = activity.ts
        life.copied.move_to_end(activity.flow.dst.ip)
        if len(life.copied) > _LATELY:
            life.copied.popitem(last=False)

    def _fan(self, life: _Life, target: tuple[str, str], ts: int) -> int:
        """How many targets there were lately, with this one."""
        life.lately.pop(target, None)
        life.lately[target] = ts
        window = self._settings["fan_seconds"] * 10**9
        while len(life.lately) > _LATELY or ts - next(iter(life.lately.values())) > window:
            life.lately.popitem(last=False)
        return len(life.lately)

    def _is_its_work(self, process: Process, program: Role, group: str) -> bool:
        """Does this program open such connections by design?"""
        if program.kind == "odd":
            return False
        above = ancestor_roles(process)[:4]
        if any("administration" in one.groups and one.name not in _PER_HAND for one in (program, *above)):
            return True
        if any(_script(one) in self._administration for one in process.ancestors[:4]):
            return True
        if program.name in ("ssh", "scp", "sftp") and any(one.name in self._ssh_work for one in above):
            return True
        if program.name in self._ssh_work and program.kind in ("installed", "script"):
            return True
        return bool(program.groups & {"monitor", "agent", "backup"}) and (
            group != "administration" or "monitor" in program.groups
        )

    def _severity(
        self, process: Process, program: Role, group: str, life: _Life, known: bool, fan: int, ts: int
    ) -> str:
        """How bad a new edge is, "" if it is nothing."""
        seat = self._terminals.seat(process, ts)
        if seat == "person":
            return ""
        old = ts - life.first >= self._settings["young_minutes"] * 60 * 10**9
        many = fan >= self._settings["fan"]
        strong = group != "data"
        if program.by_hand:
            severity = "high" if strong else "medium"
        elif program.name in _CLIENTS:
            alone = process.workload.kind == "executable"  # somebody's command, not a service's or a container's child
            severity = "high" if strong and many else "medium" if (strong or many) and not alone else "low"
        elif not strong:
            severity = "info" if old and not known and program.kind != "unknown" else ""
        elif many:
            severity = "high" if program.kind in ("script", "unknown") else "medium"
        elif old and not known:
            severity = "medium"
        else:
            severity = "low"
        return min(severity, "low", key=SEVERITIES.index) if seat and severity else severity

    def _told(
        self,
        process: Process,
        program: Role,
        ts: int,
        severity: str,
        where: str,
        service: str,
        evidence: dict[str, Any],
    ) -> Finding:
        return occurrence(
            _RULE, process, ts, f"{program.name or 'a host'} to {service} at {where}", same=(process.exe, service),
            subject={"destination": where, "service": service, "program": program.name}, evidence=[evidence],
            severity=severity, confidence={"low": 0.4, "high": 0.8}.get(severity),
        )  # fmt: skip


def _script(one: Ancestor) -> str:
    """The name of the script that a shell or interpreter runs from a file, where not anybody may write."""
    script = program_of(one).script
    if script is None or script.kind != "file" or anybodys(script.target):
        return ""
    return posixpath.basename(script.target)
