"""`privilege-escalation`: rights that a process has and had no way to get, and the ways that are prepared for it.

What is structural about it: under Linux rights come by execve of a file that carries them, or from having CAP_SETUID (or a saved
id of 0) before. A process that gains root with neither was helped by a bug in the kernel. Invariants: bounded; a change of ids
inside execve is judged only when that execve is told, or was not for 50 ms.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.detector import occurrence
from leeward.detect.people import People
from leeward.detect.programs import (
    MANAGERS,
    SERVICES,
    anybodys,
    keeps_system,
    lineage,
    nearest,
    program,
    starts_services,
    trusted,
    words_of,
)
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, Started, System
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "privilege-escalation"
_MS = 10**6
_MOST = 8_192
_SETUID, _SETGID = 0o4000, 0o2000
_CAP_SETUID = 1 << 7
_NEWUSER = 0x10000000
_HOMES = re.compile(r"^(?:/home/|/root/|/Users/|/mnt/|/media/|/run/user/|/opt/[^/]+/tmp/)")
_ACCOUNTS = re.compile(
    r"^/etc/(?:passwd|shadow|gshadow|group|sudoers|sudoers\.d/[^/]+|doas\.conf|pam\.d/[^/]+|security/[^/]+)$"
)
_POWERFUL = words_of(
    """bash sh dash zsh ksh csh tcsh fish ash busybox python perl ruby node php lua find vim vi nvim nano emacs cp mv tee dd cat
    less more awk gawk mawk sed tar env nmap git docker gdb strace socat nc ncat xxd base64 openssl rsync ssh scp make gcc
    wget curl nice timeout time flock taskset stdbuf cpulimit unshare nsenter capsh setarch start-stop-daemon xargs tclsh"""
)
_SANDBOXES = (
    "sandbox",
    "browser",
    "container-runtime",
    "service-manager",
    "package-manager",
    "agent",
    "ci-runner",
    "debugger",
    "login-server",
)
_SHUT_IN = ("sandbox", "browser", "agent", "ci-runner", "package-manager")
_SERVERS = ("web-server", "model-server", "notebook")
#: Gives all rights of a new user namespace to whatever it is told to run. It is a sandbox's part, but shuts nothing in by itself.
_BARE = frozenset({"unshare"})
_STEPS_BARE = 8


class _Gain(msgspec.Struct, frozen=True):
    process: Process
    ts: int
    before: tuple[int, ...]
    after: tuple[int, ...]


class Escalation:
    hears: tuple[type[Activity], ...] = (Started, Ended, System)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        settings = rules()[_RULE].settings
        self._expected = frozenset(settings["setuid_programs"])
        self._dangerous = sum(1 << number for number in settings["capabilities"])
        self._settle = settings["settle_ms"] * _MS
        self._people = People(self.counters, "escalation")
        self._gains: OrderedDict[int, _Gain] = OrderedDict()
        self._entitled: OrderedDict[int, int] = (
            OrderedDict()
        )  # pid → capabilities and root (bit 63) that it had at some time
        self._apart: OrderedDict[int, None] = OrderedDict()  # made or entered a user namespace
        self._helpers: OrderedDict[int, None] = OrderedDict()  # runs a setuid program that is not known

    def feed(self, activity: Any) -> list[Finding]:
        if type(activity) is Started:
            return self._on_start(activity)
        if type(activity) is Ended:
            return self._on_end(activity)
        match activity.kind:
            case "identity":
                return self._on_identity(activity)
            case "chmod":
                return self._on_chmod(activity)
            case "namespace":
                return self._on_namespace(activity)
            case "open" | "rename":
                return self._on_file(activity)
        return []

    def tick(self, ts: int) -> list[Finding]:
        found: list[Finding] = []
        for pid in [pid for pid, gain in self._gains.items() if ts - gain.ts >= self._settle]:
            found += self._unexplained(self._gains.pop(pid))
        return found

    # -- programs that give rights ---------------------------------------------------------------------------------

    def _on_start(self, activity: Started) -> list[Finding]:
        process = activity.process
        self._people.started(activity)
        gain = self._gains.pop(process.pid, None)
        gives = activity.setuid or (activity.euid == 0 and process.uid > 0)
        if gives or activity.euid == 0:
            self._entitle(process.pid, 1 << 63 | _CAP_SETUID)
        found: list[Finding] = []
        if gain is not None and not self._by_execve(activity, gain):
            found += self._unexplained(gain)
        found += self._below_helper(activity)
        if activity.setuid and posixpath.basename(process.exe) not in self._expected:  # whose uid may be root's by now
            self._helpers[process.pid] = None
            if len(self._helpers) > _MOST:
                self._helpers.popitem(last=False)
                self.counters["escalation_helpers_evicted"] += 1
        if activity.setuid and process.uid != 0:
            found += self._by_file(activity)
        elif activity.euid == 0 and process.uid > 0 and program(process).any(["shell", "interpreter"]):
            evidence = [
                {"type": "process", "time": iso(activity.ts), "pid": process.pid, "uid": process.uid, "euid": 0}
            ]
            found.append(
                self._finding(
                    process, activity.ts, f"{program(process).name} with root's rights", "shell", "high", 0.75, evidence
                )
            )
        return found

    def _by_execve(self, activity: Started, gain: _Gain) -> bool:
        """Is the gain what this execve gave? File capabilities are not told as setuid by every sensor."""
        if activity.ts - gain.ts > self._settle:
            return False
        only_capabilities = gain.after[1] == gain.before[1]
        ordinary = not program(activity.process).any(["shell", "interpreter"]) and not anybodys(activity.process.exe)
        return activity.setuid or (only_capabilities and ordinary)

    def _by_file(self, activity: Started) -> list[Finding]:
        process, name = activity.process, posixpath.basename(activity.process.exe)
        evidence = [
            {
                "type": "process",
                "time": iso(activity.ts),
                "pid": process.pid,
                "exe": process.exe,
                "uid": process.uid,
                "euid": activity.euid,
            }
        ]
        about = f"{name} is setuid"
        if anybodys(process.exe) or _HOMES.match(process.exe):
            return [
                self._finding(
                    process,
                    activity.ts,
                    f"{about} in {posixpath.dirname(process.exe)}",
                    process.exe,
                    "critical",
                    0.9,
                    evidence,
                )
            ]
        if program(process).name in _POWERFUL:
            return [self._finding(process, activity.ts, about, process.exe, "high", 0.85, evidence)]
        if name in self._expected:
            quiet = not trusted(process, ["privilege"]) or self._people.at(process)
            if quiet or nearest(process, ["privilege"]) is not None:
                return []
            return [self._finding(process, activity.ts, f"{name} without a terminal", name, "low", 0.3, evidence)]
        return [
            self._finding(
                process, activity.ts, f"{about}, and not one that is known", process.exe, "low", 0.3, evidence
            )
        ]

    def _below_helper(self, activity: Started) -> list[Finding]:
        """A setuid program that is not known had something run with root's rights that anybody may have put there: by a search
        path, an environment or a file name that its caller chose."""
        process = activity.process
        helper = next((above for above in process.ancestors[:4] if above.pid in self._helpers), None)
        if helper is None or activity.euid != 0:
            return []
        script = program(process).script
        ran = [process.exe, *([script.target] if script is not None and script.kind == "file" else [])]
        path = next((one for one in ran if anybodys(one)), "")
        if not path:
            return []
        evidence = [{"type": "process", "time": iso(activity.ts), "pid": process.pid, "exe": path, "by": helper.exe}]
        about = f"{posixpath.basename(helper.exe)}, which is setuid, ran {path}"
        return [self._finding(process, activity.ts, about, helper.exe, "critical", 0.9, evidence)]

    # -- rights out of nothing -------------------------------------------------------------------------------------

    def _on_identity(self, activity: System) -> list[Finding]:
        before, after, pid = activity.before, activity.after, activity.process.pid
        if len(before) < 4 or len(after) < 4:
            return []
        if before[1] == 0 or before[0] == 0:
            self._entitle(pid, 1 << 63)
        self._entitle(pid, before[3])
        had = self._entitled.get(pid, 0)
        if activity.label == "user-namespace":
            return []
        if activity.label == "exec":
            return self._in_execve(activity)
        root = after[1] == 0 and before[1] != 0 and before[0] != 0
        gained = after[3] & ~(before[3] | had) & self._dangerous
        if not (root or gained) or had & (1 << 63) or before[3] & _CAP_SETUID or pid in self._apart:
            return []
        self._gains[pid] = _Gain(activity.process, activity.ts, before, after)
        if len(self._gains) > _MOST:
            self._gains.popitem(last=False)
            self.counters["escalation_gains_evicted"] += 1
        return []

    def _in_execve(self, activity: System) -> list[Finding]:
        """No file gives another real user id: where that became root's, it was root's before, and nothing had told so."""
        before, after = activity.before, activity.after
        if after[0] == 0 and before[0] != 0:
            return self._unexplained(_Gain(activity.process, activity.ts, before, after))
        return []

    def _unexplained(self, gain: _Gain) -> list[Finding]:
        process = gain.process
        root = (gain.after[1] == 0 and gain.before[1] != 0) or (gain.after[0] == 0 and gain.before[0] != 0)
        self._entitle(process.pid, 1 << 63 if root else gain.after[3])
        if not root and trusted(process, (*_SANDBOXES, *MANAGERS)):
            return []
        evidence = [
            {
                "type": "identity",
                "time": iso(gain.ts),
                "pid": process.pid,
                "before": list(gain.before),
                "after": list(gain.after),
            }
        ]
        if root:
            about = f"{program(process).name} became root with nothing that gives it"
            return [self._finding(process, gain.ts, about, "root", "critical", 0.9, evidence)]
        about = f"{program(process).name} gained capabilities"
        return [self._finding(process, gain.ts, about, "capabilities", "medium", 0.5, evidence)]

    def _entitle(self, pid: int, rights: int) -> None:
        self._entitled[pid] = self._entitled.pop(pid, 0) | rights
        if len(self._entitled) > _MOST:
            self._entitled.popitem(last=False)

    def _on_end(self, activity: Ended) -> list[Finding]:
        pid = activity.process.pid
        gain = self._gains.pop(pid, None)
        self._people.ended(activity)
        self._apart.pop(pid, None)
        self._helpers.pop(pid, None)
        found = self._unexplained(gain) if gain is not None else []
        self._entitled.pop(pid, None)
        return found

    # -- ways prepared ---------------------------------------------------------------------------------------------

    def _on_chmod(self, activity: System) -> list[Finding]:
        process, path = activity.process, activity.path
        if not activity.number & (_SETUID | _SETGID) or activity.failed or not activity.number & 0o111:
            return []
        managed = trusted(process, MANAGERS) or any(keeps_system(one) for one in lineage(process))
        if managed and not anybodys(path):
            return []
        bit = "setuid" if activity.number & _SETUID else "setgid"
        name = posixpath.basename(path)
        evidence = [
            {
                "type": "system",
                "time": iso(activity.ts),
                "pid": process.pid,
                "call": "chmod",
                "path": path,
                "mode": oct(activity.number),
            }
        ]
        severity, confidence = "low", 0.4
        if bit == "setuid":
            powerful = name in _POWERFUL or re.sub(r"[\d.]+$", "", name) in _POWERFUL
            hidden = anybodys(path) or bool(_HOMES.match(path)) or name.startswith(".")
            if powerful:
                severity, confidence = "critical", 0.9
            elif hidden:
                severity, confidence = "high", 0.8
        return [self._finding(process, activity.ts, f"{path} was made {bit}", path, severity, confidence, evidence)]

    def _on_namespace(self, activity: System) -> list[Finding]:
        process = activity.process
        if not activity.number & _NEWUSER or activity.failed:
            return []
        self._apart[process.pid] = None
        if len(self._apart) > _MOST:
            self._apart.popitem(last=False)
        if activity.label == "setns" or process.uid == 0:
            return []
        bare = program(process).name in _BARE and _of_service(process)
        shut_in = (trusted(process, _SANDBOXES) and not bare) or any(
            trusted(one, _SHUT_IN) for one in process.ancestors[: _STEPS_BARE if bare else 2]
        )
        if shut_in and nearest(process, _SERVERS) is None:
            return []
        if self._people.at(process):
            return []
        serves = nearest(process, _SERVERS, itself=True) is not None or bare
        severity, confidence = ("medium", 0.5) if serves else ("low", 0.3)
        evidence = [
            {
                "type": "system",
                "time": iso(activity.ts),
                "pid": process.pid,
                "call": "unshare",
                "flags": hex(activity.number),
            }
        ]
        about = f"{program(process).name} made a user namespace, in which it is root"
        return [self._finding(process, activity.ts, about, "namespace", severity, confidence, evidence)]

    def _on_file(self, activity: System) -> list[Finding]:
        process, path = activity.process, activity.path
        if activity.failed or (activity.kind == "open" and not activity.number) or not _ACCOUNTS.match(path):
            return []
        keepers = lineage(process, 6)
        if trusted(process, MANAGERS) or any(keeps_system(one) or trusted(one, ["account-tool"]) for one in keepers):
            return []
        evidence = [
            {"type": "system", "time": iso(activity.ts), "pid": process.pid, "call": activity.kind, "path": path}
        ]
        by_hand = self._people.at(process) and trusted(process, ["editor", "file-tool", "privilege"])
        if process.container is not None or by_hand:
            severity, confidence = "low", 0.4
        else:
            severity, confidence = "high", 0.7
        return [
            self._finding(
                process, activity.ts, f"{program(process).name} wrote {path}", path, severity, confidence, evidence
            )
        ]

    def _finding(self, process: Process, ts: int, about: str, same: str, severity: str, confidence: float,
                 evidence: list[dict[str, Any]]) -> Finding:  # fmt: skip
        return occurrence(
            _RULE, process, ts, about, same=[same], subject={"target": same, "program": process.exe}, evidence=evidence,
            severity=severity, confidence=confidence,
        )  # fmt: skip


def _of_service(process: Process) -> bool:
    """Does it belong to a service, and not as its unit's own command: to what a service ran, not to what an administrator wrote?

    In a user's slice are sessions and desktop programs, whose sandboxes are made so (systemd.special(7))."""
    above = process.ancestors[0] if process.ancestors else None
    of_unit = above is not None and starts_services(above)
    return process.workload.kind in SERVICES and "user.slice" not in process.cgroup and not of_unit
