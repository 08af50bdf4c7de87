"""`process-injection`: ptrace, process_vm_writev and /proc/PID/mem into others' processes; libraries preloaded from open places.

What is structural about it: a debugger is known, or traces what it started; who uses it is a person, the service that is looked
at, or a service whose work it is. Whatever else takes hold of a process that is neither its own child nor another instance of
itself changes what that one does. So does who speaks to the port at which another's own debugger waits (debuggers.py): the
debugged answered it, so that looking whether a port is open is not enough. People, their editors and what carries a connection
for them across hosts are let be. Invariants: bounded; pure.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.debuggers import is_browser, options_ports, waits_at
from leeward.detect.destinations import address_kind, payload_sent
from leeward.detect.detector import occurrence
from leeward.detect.places import started_by_person
from leeward.detect.programs import (
    SERVICES,
    SHELL_SHOWS,
    anybodys,
    is_a,
    keeps_system,
    lineage,
    nearest,
    program,
    starts_services,
    trusted,
)
from leeward.detect.roles import Terminals
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, FlowSeen, Started, System
from leeward.model.finding import Finding
from leeward.model.process import NOBODY, Process
from leeward.model.times import iso

_RULE = "process-injection"
_MOST, _DEBUGGED, _PORTS = 16_384, 1024, 8
_MEM = re.compile(r"^/proc/(\d+)/(?:task/\d+/)?mem$")
#: Variables that make programs load code, and how bad it is if that lies where anybody may write.
_LOADS = {
    "LD_PRELOAD": ("high", 0.75), "LD_AUDIT": ("high", 0.75), "NODE_OPTIONS": ("medium", 0.5), "PYTHONSTARTUP": ("medium", 0.5),
    "BASH_ENV": ("medium", 0.5), "PERL5OPT": ("medium", 0.5), "RUBYOPT": ("medium", 0.5), "JAVA_TOOL_OPTIONS": ("medium", 0.5),
}  # fmt: skip
_SOURCES = re.compile(r"(?:^|[\s:=,])(/(?:tmp|var/tmp|dev/shm|run/shm)/[^\s:,;'\"]+)")
_MAY = ("debugger", "container-runtime", "sandbox")
#: They carry connections for people who proved elsewhere who they are: ssh -L, kubectl port-forward, published ports.
_CARRY = ("login-server", "container-runtime")


class Injection:
    hears: tuple[type[Activity], ...] = (Started, Ended, System, FlowSeen)
    of_flows = "inbound"

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._waiting: OrderedDict[int, frozenset[int]] = OrderedDict()  # process → ports at which its debugger waits
        settings = rules()[_RULE].settings
        self._requests, self._answer = frozenset(settings["requests"]), settings["answer_bytes"]
        self._known: OrderedDict[int, Process] = OrderedDict()
        self._terminals = Terminals("injection", self.counters)

    def feed(self, activity: Any) -> list[Finding]:
        if type(activity) is FlowSeen:
            return self._flow(activity)
        if type(activity) is not System:
            self._terminals.feed(activity)
        if type(activity) is Started:
            self._known.pop(activity.process.pid, None)
            self._known[activity.process.pid] = activity.process
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
                self.counters["injection_processes_evicted"] += 1
            self._waiting.pop(activity.process.pid, None)
            self._waits(activity.process.pid, options_ports(activity.process, activity.variables))
            return _preloaded(activity)
        if type(activity) is Ended:
            self._known.pop(activity.process.pid, None)
            self._waiting.pop(activity.process.pid, None)
            return []
        if activity.failed:
            return []
        match activity.kind:
            case "ptrace" if activity.number in self._requests:
                return self._into(activity, activity.target, "attached to")
            case "vm-write":
                return self._into(activity, activity.target, "wrote into the memory of")
            case "open" if activity.number and (pid := _MEM.match(activity.path)):
                target = activity.target or self._known.get(int(pid[1]))
                if target is None:
                    target = msgspec.structs.replace(NOBODY, pid=int(pid[1]), workload=activity.process.workload)
                return self._into(activity, target, "opened for writing the memory of")
            case "open" | "rename" if activity.path == "/etc/ld.so.preload" and (
                activity.number or activity.kind == "rename"
            ):
                return _for_all(activity)
        return []

    def tick(self, ts: int) -> list[Finding]:
        return []

    def _waits(self, pid: int, ports: frozenset[int]) -> None:
        before = self._waiting.pop(pid, frozenset())
        if before or ports:
            self._waiting[pid] = before | ports if len(before) < _PORTS else before
        if len(self._waiting) > _DEBUGGED:
            self._waiting.popitem(last=False)
            self.counters["injection_debugged_evicted"] += 1

    def _flow(self, activity: FlowSeen) -> list[Finding]:
        """A process begins to listen where its debugger waits, or has answered somebody there."""
        target, flow = activity.process, activity.flow
        port = flow.dst.port
        if flow.state == "listening":
            if waits_at(target, port):
                self._waits(target.pid, frozenset({port}))
            return []
        if port not in self._waiting.get(target.pid, ()):
            return []
        if payload_sent(flow, activity.sent, activity.packets_out) < self._answer:
            return []
        process = activity.peer
        if process is None:
            far = address_kind(flow.src.ip) == "public"
            severity = "medium" if far and not is_browser(target) else ""
        else:
            severity = self._speaks(process, target, activity.ts)
        if not severity:
            return []
        evidence = [
            {"type": "flow", "time": iso(activity.ts), "flow": flow.id, "address": str(flow.dst), "peer": str(flow.src),
             "debugger": program(target).name, "target": target.pid, "target_exe": target.exe}
        ]  # fmt: skip
        whom = target.exe.rsplit("/", 1)[-1] or f"process {target.pid}"
        who, by = (process.exe, program(process).name) if process is not None else (flow.src.ip, flow.src.ip)
        return [
            occurrence(
                _RULE, process or target, activity.ts, f"{by} speaks to the debugger of {whom}",
                same=[who, target.exe, port], severity=severity, confidence=0.6, evidence=evidence,
                subject={"target": target.exe or str(target.pid), "program": who},
            )
        ]  # fmt: skip

    def _speaks(self, process: Process, target: Process, ts: int) -> str:
        """How bad it is that this process speaks to that one's debugger; "" if that is its business."""
        one = process.workload.id == target.workload.id
        if _own(process, target) or _own(target, process) or (is_browser(target) and target.workload.kind in SERVICES):
            return ""
        if (not _from_a_shell(process, target) if one else _of_one_family(process, target)) or trusted(process, _CARRY):
            return ""
        if nearest(process, ("editor", "ci-runner"), itself=True) or any(
            keeps_system(a) for a in process.ancestors[:6]
        ):
            return ""
        seat = self._terminals.seat(process, ts)
        if seat == "person" or (trusted(process, ("debugger",)) and not self._is_odd_use(process, target, ts)):
            return ""
        # a terminal in a container may be an operator's (docker exec), in a service of the host it is nobody's
        sits = bool(seat) and process.workload.kind != "systemd"
        logged_in = process.workload.kind not in SERVICES and started_by_person(process)
        return "low" if sits or logged_in or nearest(process, SHELL_SHOWS) else "medium"

    def _into(self, activity: System, target: Process | None, did: str) -> list[Finding]:
        process = activity.process
        if target is None or not target.pid or _own(process, target):
            return []
        same_workload = bool(process.workload.id) and process.workload.id == target.workload.id
        if trusted(process, _MAY) or any(trusted(above, ["debugger"]) for above in process.ancestors[:2]):
            inside = process.container is not None and target.container is None
            if same_workload or not (inside or self._is_odd_use(process, target, activity.ts)):
                return []
            severity, confidence = "medium", 0.5
        elif process.exe and process.exe == target.exe and same_workload:
            return []  # ranks of one parallel program share memory so
        else:
            severity, confidence = "high", 0.85
        evidence = [
            {"type": "system", "time": iso(activity.ts), "pid": process.pid, "call": activity.kind, "number": activity.number,
             "target": target.pid, "target_exe": target.exe, "path": activity.path}
        ]  # fmt: skip
        whom = target.exe.rsplit("/", 1)[-1] or f"process {target.pid}"
        return [
            occurrence(
                _RULE, process, activity.ts, f"{program(process).name} {did} {whom}", evidence=evidence,
                same=[process.exe, target.exe or target.pid], severity=severity, confidence=confidence,
                subject={"target": target.exe or str(target.pid), "program": process.exe},
            )
        ]  # fmt: skip

    def _is_odd_use(self, process: Process, target: Process, ts: int) -> bool:
        """Does one service use a debugger on another, with nobody at a terminal, although debugging is not what it is for?"""
        if process.workload.kind not in SERVICES or target.workload.kind not in SERVICES:
            return False
        above = process.ancestors[0] if process.ancestors else None
        if above is None or starts_services(above):
            return False  # it is what its service is
        return not self._terminals.seat(process, ts) and not any(keeps_system(a) for a in process.ancestors[:6])


def _own(process: Process, target: Process) -> bool:
    """Itself or what it started."""
    return target.pid == process.pid or any(above.pid == process.pid for above in target.ancestors)


def _from_a_shell(process: Process, target: Process) -> bool:
    """Is it, or what started it, a shell that a program of a service started, and not one that started the other too?"""
    if process.workload.kind not in SERVICES:
        return False
    above = {one.pid for one in target.ancestors}
    for one, parent in zip(lineage(process), process.ancestors, strict=False):
        if parent.pid in above or starts_services(parent):
            return False
        if is_a(one, "shell") and not is_a(parent, "shell"):
            return True
    return False


def _of_one_family(process: Process, target: Process) -> bool:
    """Outside of services, what one program has started (a build, a test) is one piece of work."""
    if process.workload.kind in SERVICES or target.workload.kind in SERVICES:
        return False
    above = {one.pid for one in target.ancestors if not starts_services(one)}
    return any(one.pid in above for one in process.ancestors)


def _preloaded(activity: Started) -> list[Finding]:
    """Its environment makes it load something from a place where anybody may write."""
    process = activity.process
    for name, value in activity.variables:
        severity, confidence = _LOADS.get(name, ("", 0.0))
        paths = [path for path in _SOURCES.findall(value) if "/.mount_" not in path and "/_MEI" not in path]
        if not severity or not paths:
            continue  # AppImage and PyInstaller unpack what they load there
        if nearest(process, ["ci-runner"]) is not None:
            severity, confidence = "low", 0.3  # a build tries the library that it has made
        evidence = [
            {"type": "process", "time": iso(activity.ts), "pid": process.pid, "exe": process.exe, "variable": name,
             "path": paths[0]}
        ]  # fmt: skip
        return [
            occurrence(
                _RULE, process, activity.ts, f"{program(process).name} loads {paths[0]} ({name})", same=[name, paths[0]],
                subject={"file": paths[0], "program": process.exe}, evidence=evidence, severity=severity,
                confidence=confidence,
            )
        ]  # fmt: skip
    return []


def _for_all(activity: System) -> list[Finding]:
    """/etc/ld.so.preload: every program of this host loads what it names."""
    process = activity.process
    if keeps_system(process) or any(keeps_system(above) for above in process.ancestors[:6]):
        return []
    evidence = [
        {"type": "system", "time": iso(activity.ts), "pid": process.pid, "call": activity.kind, "path": activity.path}
    ]
    inside = process.container is not None
    return [
        occurrence(
            _RULE, process, activity.ts, f"{program(process).name} wrote {activity.path}", same=[activity.path],
            subject={"file": activity.path, "program": process.exe}, evidence=evidence,
            severity="medium" if inside else "critical", confidence=0.5 if inside and not anybodys(process.exe) else 0.85,
        )
    ]  # fmt: skip
