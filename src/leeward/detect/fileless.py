"""`fileless-execution`: programs that run from memory, from deleted files and from shared memory.

What is structural about it: execve of an anonymous file, or of one that has no name any more, is done through a descriptor, which
nobody does by accident. Honest: container runtimes (told by who started them, not by the name of the memfd, which anybody may
choose), and services that start themselves again after an update. Invariants: bounded.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from typing import Any

from leeward.detect.detector import occurrence
from leeward.detect.programs import anybodys, program, program_of, trusted
from leeward.model.activity import Activity, Ended, Started
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "fileless-execution"
_MOST = 16_384
_MANAGED = ("/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/snap/", "/app/", "/nix/", "/gnu/", "/home/linuxbrew/")
_DESCRIPTOR = re.compile(r"/proc/(?:self|thread-self|\d+)/fd/\d+$")
_RUNTIMES = ("container-runtime", "service-manager", "sandbox")


class Fileless:
    hears: tuple[type[Activity], ...] = (Started, Ended)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._ran: OrderedDict[int, str] = OrderedDict()  # pid → the program it runs

    def feed(self, activity: Any) -> list[Finding]:
        pid = activity.process.pid
        if type(activity) is Ended:
            self._ran.pop(pid, None)
            return []
        before = self._ran.pop(pid, "")
        self._ran[pid] = _bare(activity.process.exe)
        if len(self._ran) > _MOST:
            self._ran.popitem(last=False)
            self.counters["fileless_processes_evicted"] += 1
        rated = self._rate(activity, before)
        return [_finding(activity, *rated)] if rated is not None else []

    def tick(self, ts: int) -> list[Finding]:
        return []

    def _rate(self, activity: Started, before: str) -> tuple[str, float, str] | None:
        """Severity, confidence, what it is."""
        process = activity.process
        match activity.origin:
            case "memfd":
                if _by_runtime(process) or _was_runtime(process, before):
                    return None
                return "critical", 0.9, "memory (memfd)"
            case "deleted":
                return self._deleted(process, before)
            case "shm":
                if process.exe.startswith(("/dev/shm/", "/run/shm/", "/dev/mqueue/")):
                    return "high", 0.8, "shared memory"
                return (
                    ("low", 0.3, "a file system in memory") if process.exe.rsplit("/", 1)[-1].startswith(".") else None
                )
        return _script(process)

    def _deleted(self, process: Process, before: str) -> tuple[str, float, str] | None:
        if _by_runtime(process):
            return None
        exe = _bare(process.exe)
        again = exe == before or any(_bare(above.exe) == exe for above in process.ancestors[:1])
        if exe.startswith(_MANAGED) and not anybodys(exe):
            return ("low", 0.3, "a file that was replaced") if not again else None
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
