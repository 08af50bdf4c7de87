"""`credential-access`: files of credentials opened by programs that they do not belong to, one by one and as a sweep.

What is structural about it: a credential has a client that reads it (the rule's owners table); whoever reads several classes
within a minute, itself or through what it started, harvests. What a process reads is counted for it and for the three above
it that are no session of a person and no service manager. Invariants: bounded by process and by age; evictions are counted.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.detector import occurrence
from leeward.detect.people import People
from leeward.detect.programs import anybodys, installing, lineage, nearest, program, trusted
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, Started, System
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_RULE = "credential-access"
_SECOND = 10**9
_MOST, _PATHS = 8_192, 24
_PID = re.compile(r"^/proc/(\d+)/(?:task/\d+/)?(?:environ|mem)$")
_SHOWN = re.compile(r"[a-zA-Z]*e[a-zA-Z]*")  # ps(1): the option `e` of BSD shows the environment, `-e` all processes
_HOME = re.compile(r"/root/|/home/[^/]+/")
_READ_ALL = ("backup", "indexer")
_SCANNERS = ("secret-scanner",)
_AUDITORS = ("auditor",)
_SESSIONS = (
    "terminal",
    "login-server",
    "service-manager",
    "container-runtime",
    "editor",
    "ci-runner",
    "super-server",
    "remote-access",
)
_SHOWS = ("file-tool", "downloader", "relay", "archiver")
_SERVERS = ("model-server", "web-server")
_OTHERS = frozenset({"environ", "memory"})


class _Sweep(msgspec.Struct):
    """What one process and those below it read: class → (path, ts) of the latest; tools: whose files, → ts; pids: others whose
    environment or memory, → (workload, ts). told: how bad."""

    classes: dict[str, tuple[str, int]] = {}
    tools: dict[str, int] = {}
    pids: dict[int, tuple[str, int]] = {}
    told: int = -1


class Credentials:
    hears: tuple[type[Activity], ...] = (System, Started, Ended)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        settings = rules()[_RULE].settings
        self._owners = {label: frozenset(names) for label, names in settings["owners"].items()}
        self._embedded = frozenset(settings["embedded"])
        self._classes, self._others = settings["sweep_classes"], settings["others"]
        self._services = settings["other_services"]
        self._all_embedded, self._tools = settings["sweep_embedded"], settings["sweep_tools"]
        self._within = settings["sweep_seconds"] * _SECOND
        self._people = People(self.counters, "credentials")
        self._sweeps: OrderedDict[int, _Sweep] = OrderedDict()
        self._workloads: OrderedDict[int, str] = OrderedDict()

    def feed(self, activity: Any) -> list[Finding]:
        if type(activity) is System:
            if activity.kind != "open" or activity.failed or activity.label not in self._owners:
                return []
            return self._on_open(activity)
        pid = activity.process.pid
        if type(activity) is Started:
            self._people.started(activity)
            self._workloads.pop(pid, None)
            self._workloads[pid] = activity.process.workload.id
            if len(self._workloads) > 2 * _MOST:
                self._workloads.popitem(last=False)
        else:
            self._people.ended(activity)
            self._workloads.pop(pid, None)
            self._sweeps.pop(pid, None)
        return []

    def tick(self, ts: int) -> list[Finding]:
        while self._sweeps:
            pid, sweep = next(iter(self._sweeps.items()))
            if any(ts - at < 10 * self._within for _, at in sweep.classes.values()):
                break
            del self._sweeps[pid]
        return []

    def _on_open(self, activity: System) -> list[Finding]:
        process, label = activity.process, activity.label
        if self._is_owner(process, label, activity.path, activity.target):
            return []
        if label in ("memory", "shadow") and activity.number:
            return []  # written to: that is another rule's (process-injection, privilege-escalation)
        found = self._alone(activity)
        told = -1
        for one in self._above(process):
            swept = self._swept(one, activity, told)
            told = max(told, self._sweeps[one.pid].told)
            found += swept
        return found

    # -- whose it is -----------------------------------------------------------------------------------------------

    def _is_owner(self, process: Process, label: str, path: str, target: Process | None) -> bool:
        owners = self._owners[label]
        if label in _OTHERS:
            hit = _PID.match(path)
            if hit is None and path.startswith("/proc/self/"):
                return True
            pid = int(hit[1]) if hit is not None else 0
            if (
                program(process).name == "ps"
                and _SHOWN.fullmatch(" ".join(process.argv[1:2]))
                and not self._people.at(process)
            ):
                return self._is_own(process, pid)
            if target is not None and target.pid and _is_kin(process, target):
                return True
            if label == "environ" and self._is_own(process, pid, target):
                return True
        if label == "ai-credential" and _of_project(process, path):
            return True
        for one in lineage(process, 1 if label in _OTHERS else 3):
            made = program(one)
            if anybodys(one.exe):
                return False
            if made.name in owners or not made.kinds.isdisjoint(owners):
                own_script = made.script is not None and made.script.target.startswith("/etc/")
                return one is process or own_script or not program(process).any(_SHOWS)
            if one is process and made.script is not None and _script_name(made.script.target) in owners:
                return True
        return False

    def _is_own(self, process: Process, pid: int, target: Process | None = None) -> bool:
        """The process itself, one above it, or one of the same workload."""
        if pid == process.pid or any(above.pid == pid for above in process.ancestors):
            return True
        return bool(process.workload.id) and self._whose(pid, target) == process.workload.id

    def _whose(self, pid: int, target: Process | None) -> str:
        """The workload of a process that was read, "" if it is not known."""
        return target.workload.id if target is not None and target.pid else self._workloads.get(pid, "")

    # -- one file --------------------------------------------------------------------------------------------------

    def _alone(self, activity: System) -> list[Finding]:
        process, label = activity.process, activity.label
        made, person = program(process), self._people.at(process)
        if (
            trusted(process, (*_READ_ALL, *_SCANNERS))
            or _whole_tree(process, process.cwd, activity.path)
            or (person and label != "shadow")
        ):
            return []
        shows = made.any(_SHOWS)
        if label in self._embedded and not shows and not anybodys(process.exe):
            return []
        severity, confidence = "low", 0.4
        if _audits(process):
            severity, confidence = "low", 0.3  # it looks for weak passwords and open files, by tools of the system
        elif label in ("shadow", "memory") and process.container is None and not person:
            severity, confidence = "high", 0.7
        elif label == "shadow" and (person or process.container is not None):
            severity, confidence = "low", 0.4
        elif (
            label in ("browser-credential", "wallet", "memory")
            or anybodys(process.exe)
            or (shows and nearest(process, _SERVERS))
        ):
            severity, confidence = "medium", 0.6
        elif label == "kube-credential" and shows and process.container is not None and _for_application(process):
            severity, confidence = "medium", 0.5
        if label not in _OTHERS and installing(process) is not None and not _installs_itself(process, label):
            severity, confidence = "high", 0.75
        evidence = [self._opened(activity)]
        about = f"{made.name} opened {activity.path}"
        return [
            self._finding(process, activity.ts, about, ["one", label, made.name], severity, confidence, evidence, label)
        ]

    # -- several ---------------------------------------------------------------------------------------------------

    def _above(self, process: Process) -> list[Process | Ancestor]:
        """It and those above it that may be what harvests, up to a session or what starts services."""
        found: list[Process | Ancestor] = []
        for one in lineage(process, 3):
            if found and (one.pid == 1 or program(one).any(_SESSIONS) or self._is_prompt(one)):
                break
            found.append(one)
        return found

    def _is_prompt(self, one: Process | Ancestor) -> bool:
        """A shell at which a person types."""
        made = program(one)
        return "shell" in made.kinds and made.commanded

    def _swept(self, one: Process | Ancestor, activity: System, below: int) -> list[Finding]:
        """below: how bad a sweep of what it started was told to be; the same sweep is not told again of it."""
        sweep = self._sweeps.pop(one.pid, None) or _Sweep(classes={}, tools={}, pids={})
        self._sweeps[one.pid] = sweep
        if len(self._sweeps) > _MOST:
            self._sweeps.popitem(last=False)
            self.counters["credentials_sweeps_evicted"] += 1
        ts, label = activity.ts, activity.label
        sweep.classes[label] = (activity.path, ts)
        if label not in _OTHERS:
            sweep.tools.pop(tool := _tool(activity.path), None)
            sweep.tools[tool] = ts
            if len(sweep.tools) > _PATHS:
                del sweep.tools[next(iter(sweep.tools))]
        pid = _PID.match(activity.path)
        if pid is not None:
            sweep.pids[int(pid[1])] = (self._whose(int(pid[1]), activity.target), ts)
            if len(sweep.pids) > _PATHS:
                del sweep.pids[next(iter(sweep.pids))]
        recent = {name: seen for name, seen in sweep.classes.items() if ts - seen[1] <= self._within}
        tools = sum(ts - at <= self._within for at in sweep.tools.values())
        others = [whose for whose, at in sweep.pids.values() if ts - at <= self._within]
        services = len(set(others) - {""})
        needed = self._all_embedded if recent.keys() <= self._embedded else self._classes
        many = len(recent) >= needed or tools >= self._tools or len(others) >= self._others
        if not many and services < self._services:
            return []
        severity, confidence = self._how_bad(one, activity, len(recent))
        if not many and severity == "high":
            severity, confidence = "medium", 0.6
        rank = SEVERITIES.index(severity) * 100 + max(len(recent), tools // self._tools)
        if rank <= max(sweep.told, below):
            return []
        sweep.told = rank
        by_class = len(recent) >= needed or tools >= self._tools
        counts = [(len(recent), needed), (tools, self._tools), (len(others), self._others), (services, self._services)]
        value, threshold = next((value, least) for value, least in counts if value >= least)
        told = {
            "type": "sweep",
            "time": iso(ts),
            "pid": one.pid,
            "exe": one.exe,
            "classes": sorted(recent),
            "tools": tools,
            "processes": len(others),
        }
        evidence: list[dict[str, Any]] = [{**told, "value": value, "threshold": threshold, "margin": value - threshold}]
        for name, (path, at) in sorted(recent.items())[:3]:
            evidence.append({"type": "system", "time": iso(at), "call": "open", "label": name, "path": path})
        what = ", ".join(sorted(recent)) if by_class else f"environments of {len(others)} processes"
        about = f"{program(one).name} read {what} within a minute"
        return [
            self._finding(
                activity.process, ts, about, ["sweep", program(one).name], severity, confidence, evidence, what
            )
        ]

    def _how_bad(self, one: Process | Ancestor, activity: System, classes: int) -> tuple[str, float]:
        process = activity.process
        if installing(process) is not None:
            return "critical", 0.9
        line = [one, *lineage(process, 3)]
        if any(trusted(p, (*_READ_ALL, *_SCANNERS, "editor")) for p in line) or trusted(process, ["agent"]):
            return "low", 0.3
        if any(_whole_tree(p, process.cwd, activity.path) for p in line) or _audits(process):
            return "low", 0.3
        if nearest(process, _SERVERS, itself=True) is not None:
            return "critical", 0.9
        return ("high", 0.85) if classes > self._classes or not self._people.at(process) else ("high", 0.7)

    # -- told ------------------------------------------------------------------------------------------------------

    def _opened(self, activity: System) -> dict[str, Any]:
        return {"type": "system", "time": iso(activity.ts), "pid": activity.process.pid, "call": "open", "path": activity.path,
                "label": activity.label, "write": bool(activity.number)}  # fmt: skip

    def _finding(self, process: Process, ts: int, about: str, same: list[str], severity: str, confidence: float,
                 evidence: list[dict[str, Any]], what: str) -> Finding:  # fmt: skip
        return occurrence(
            _RULE, process, ts, about, same=same, subject={"class": what, "program": process.exe}, evidence=evidence,
            severity=severity, confidence=confidence,
        )  # fmt: skip


def _audits(process: Process) -> bool:
    """Did an audit start it, whose script does not lie where anybody may write?"""
    audit = nearest(process, _AUDITORS)
    script = program(audit).script if audit is not None else None
    return audit is not None and (script is None or not anybodys(script.target))


def _is_kin(process: Process, target: Process) -> bool:
    """The process itself, or what it started."""
    return target.pid == process.pid or any(above.pid == process.pid for above in target.ancestors)


def _tool(path: str) -> str:
    """Whose file it is, by the first hidden folder or file on the way: `.aws`, `.config/gh`, `.netrc`; else its folder."""
    hidden = re.search(r"/(\.(?:config|local/share|cache)/[^/]+|\.[^/]+)", path)
    return hidden[1] if hidden is not None else posixpath.dirname(path)


def _script_name(target: str) -> str:
    return posixpath.basename(target).split(".", 1)[0]


def _of_project(process: Process, path: str) -> bool:
    """A .env of the folder where the process works, or of one above or below it."""
    if not posixpath.basename(path).startswith(".env"):
        return False
    folder, cwd = posixpath.dirname(path) + "/", process.cwd.rstrip("/") + "/"
    near = cwd.startswith(folder) or (folder.startswith(cwd) and not _HOME.fullmatch(cwd))
    return cwd != "/" and near and not program(process).any(_SHOWS)


def _whole_tree(one: Process | Ancestor, cwd: str, path: str) -> bool:
    """Does it copy or search a folder that has the file somewhere in it, not the credentials' own (`tar c /home`)?"""
    if not program(one).any(("archiver", "file-tool", "indexer")) or anybodys(one.exe):
        return False
    for word in one.argv[1:]:
        folder = posixpath.normpath(posixpath.join(cwd, word))
        inside = path.startswith(folder.rstrip("/") + "/") and path != folder
        if inside and not any(part.startswith(".") for part in folder.split("/")):
            return True
    return False


def _for_application(process: Process) -> bool:
    """Did an application have a tool show it, through a shell? It has a library for that; who is talked into running commands has
    not. Start scripts, engines, agents and all other programs of a known kind are none."""
    for above in process.ancestors[:4]:
        made = program(above)
        if "shell" not in made.kinds and not made.any(_SHOWS):
            return made.kinds <= {"interpreter", *_SERVERS} and not made.commanded
    return False


def _installs_itself(process: Process, label: str) -> bool:
    """npm and pip read their own tokens, and git those of the repositories that they fetch from."""
    return label == "package-registry-token" or program(process).any(("vcs", "ssh"))
