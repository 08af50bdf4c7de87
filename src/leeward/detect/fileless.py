"""`fileless-execution`: programs and libraries that run from memory, from deleted files and from shared memory.

What is structural about it: execve of an anonymous file, or of one that has no name any more, is done through a descriptor, which
nobody does by accident. Honest: container runtimes (told by who started them, not by the name of the memfd, which anybody may
choose), and services that start themselves again after an update: the program that a service began with, from its file, or
that started itself (its workers) from its file before. What else a service runs, and what lies where anybody may write, is not
excused so: loaders that delete themselves and go on do the same. Invariants: bounded.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.detector import occurrence
from leeward.detect.programs import SERVICES, anybodys, program, program_of, starts_services, trusted
from leeward.model.activity import Activity, Ended, Started, System
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "fileless-execution"
_MOST = 16_384
_MANAGED = ("/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/snap/", "/app/", "/nix/", "/gnu/", "/home/linuxbrew/")
_DESCRIPTOR = re.compile(r"/proc/(?:self|thread-self|\d+)/fd/\d+$")
_RUNTIMES = ("container-runtime", "service-manager", "sandbox")


class _Ran(msgspec.Struct, frozen=True):
    """What a process runs. lasting: its service began with it, or it started itself before, and it came from a file then."""

    exe: str
    workload: str
    lasting: bool


_NOTHING = _Ran("", "", False)


class Fileless:
    hears: tuple[type[Activity], ...] = (Started, Ended, System)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._ran: OrderedDict[int, _Ran] = OrderedDict()

    def feed(self, activity: Any) -> list[Finding]:
        pid = activity.process.pid
        if type(activity) is System:
            loaded = activity.kind == "exec-map" and not _by_runtime(activity.process)
            return [_loaded(activity)] if loaded else []
        if type(activity) is Ended:
            self._ran.pop(pid, None)
            return []
        before = self._ran.pop(pid, _NOTHING)
        again = self._is_again(activity.process, before)
        lasting = again or (not activity.origin and self._is_main(activity.process))
        self._ran[pid] = _Ran(_bare(activity.process.exe), activity.process.workload.id, lasting)
        if not activity.origin:
            self._has_workers(activity.process)
        if len(self._ran) > _MOST:
            self._ran.popitem(last=False)
            self.counters["fileless_processes_evicted"] += 1
        rated = self._rate(activity, before, again)
        return [_finding(activity, *rated)] if rated is not None else []

    def tick(self, ts: int) -> list[Finding]:
        return []

    def _is_main(self, process: Process) -> bool:
        """Did its service begin with it: is what started it of another workload, or what starts services?"""
        if process.workload.kind not in SERVICES or not process.ancestors:
            return False
        above = process.ancestors[0]
        known = self._ran.get(above.pid)
        return starts_services(above) or (known is not None and known.workload != process.workload.id)

    def _has_workers(self, process: Process) -> None:
        """Where it was started by the same program, that starts itself as a habit."""
        above = process.ancestors[0] if process.ancestors else None
        known = self._ran.get(above.pid) if above is not None else None
        if above is not None and known is not None and known.exe == process.exe and not known.lasting:
            self._ran[above.pid] = msgspec.structs.replace(known, lasting=True)

    def _is_again(self, process: Process, before: _Ran) -> bool:
        """Is it a lasting program that starts itself again? Of a service that began before we looked, who is above it says so."""
        exe, above = _bare(process.exe), process.ancestors[:2]
        if before.lasting and before.exe == exe:
            return True
        if not above or _bare(above[0].exe) != exe:
            return False
        known = self._ran.get(above[0].pid)
        if known is not None:
            return known.lasting
        return process.workload.kind in SERVICES and len(above) > 1 and starts_services(above[1])

    def _rate(self, activity: Started, before: _Ran, again: bool) -> tuple[str, float, str] | None:
        """Severity, confidence, what it is."""
        process = activity.process
        match activity.origin:
            case "memfd":
                if _by_runtime(process) or _was_runtime(process, before.exe):
                    return None
                return "critical", 0.9, "memory (memfd)"
            case "deleted":
                return self._deleted(process, before, again)
            case "shm":
                if process.exe.startswith(("/dev/shm/", "/run/shm/", "/dev/mqueue/")):
                    return "high", 0.8, "shared memory"
                return (
                    ("low", 0.3, "a file system in memory") if process.exe.rsplit("/", 1)[-1].startswith(".") else None
                )
        return _script(process)

    def _deleted(self, process: Process, before: _Ran, by_service: bool) -> tuple[str, float, str] | None:
        if _by_runtime(process):
            return None
        exe = _bare(process.exe)
        again = exe == before.exe or any(_bare(above.exe) == exe for above in process.ancestors[:1])
        if exe.startswith(_MANAGED) and not anybodys(exe):
            return ("low", 0.3, "a file that was replaced") if not again else None
        if by_service and not anybodys(exe) and "/." not in exe:
            return "low", 0.3, "its own file, which was replaced"
        return "high", 0.85, "a deleted file"


def _bare(exe: str) -> str:
    return exe.removesuffix(" (deleted)")


def _by_runtime(process: Process) -> bool:
    """runc, crun and LXC run a copy of themselves, so that no container can write into them: they or the engine start it."""
    above = process.ancestors[0] if process.ancestors else None
    if above is None:
        return False
    own = "runc" in process.exe or "crun" in process.exe or "lxc" in process.exe or program(process).any(_RUNTIMES)
    return own and (trusted(above, _RUNTIMES) or _bare(above.exe).startswith("/memfd:runc"))


def _was_runtime(process: Process, before: str) -> bool:
    """Did this process run the runtime from its file just before?"""
    own = "runc" in process.exe or "crun" in process.exe
    return own and "container-runtime" in program_of(before, ()).kinds and before.startswith(_MANAGED)


def _script(process: Process) -> tuple[str, float, str] | None:
    """An interpreter whose script is a descriptor or lies in shared memory. /dev/fd/63 of `bash <(...)` is a pipe, no file."""
    script = program(process).script
    if script is None or script.kind != "file":
        return None
    if _DESCRIPTOR.match(script.target):
        return "high", 0.7, "a script without a file"
    if script.target.startswith(("/dev/shm/", "/run/shm/")):
        return "medium", 0.6, "a script in shared memory"
    return None


def _finding(activity: Started, severity: str, confidence: float, what: str) -> Finding:
    process = activity.process
    origin = activity.origin or "script"
    evidence = [
        {"type": "process", "time": iso(activity.ts), "pid": process.pid, "exe": process.exe, "origin": origin,
         "argv": [*process.argv[:8]]}
    ]  # fmt: skip
    name = (process.argv[0] if process.argv else process.exe)[:80]
    return occurrence(
        _RULE, process, activity.ts, f"{name} from {what}", same=[origin, name],
        subject={"program": process.exe, "origin": origin}, evidence=evidence, severity=severity, confidence=confidence,
    )  # fmt: skip


def _loaded(activity: System) -> Finding:
    """A library out of memory, in a program that is in a file: what loads it wants it to be seen by nobody."""
    process = activity.process
    evidence = [
        {"type": "process", "time": iso(activity.ts), "pid": process.pid, "exe": process.exe, "origin": activity.label,
         "library": activity.path, "argv": [*process.argv[:8]]}
    ]  # fmt: skip
    name = process.exe.rsplit("/", 1)[-1]
    return occurrence(
        _RULE, process, activity.ts, f"{name} loads a library from memory ({activity.label})", same=["library", name],
        subject={"program": process.exe, "origin": activity.label}, evidence=evidence, severity="high", confidence=0.8,
    )  # fmt: skip
