"""`shell-in-model-server`: what a process that serves models starts, and should not need to.

What is structural about it: a model server computes. Its children are its own workers, compilers and questions about the
hardware; a shell that waits for commands, a downloader or a program that asks who one is means that somebody else's code runs.
Servers are known by name (programs.yaml) and learned: whoever was seen to answer AI requests is one. Invariants: bounded.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

from leeward.detect.command_signs import Sign, signs
from leeward.detect.commands import programs_run, shell_text
from leeward.detect.detector import occurrence
from leeward.detect.programs import Program, program, words_of
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, ExchangeSeen, HttpSeen, Started
from leeward.model.finding import Finding
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_RULE = "shell-in-model-server"
_MOST = 8_192
_STEPS = 10
_ITS_OWN = frozenset(
    {"agent", "editor", "ci-runner", "terminal", "login-server", "container-runtime", "package-manager"}
)
_HARMLESS = frozenset(
    {
        "compiler",
        "inventory",
        "vcs",
        "file-tool",
        "package-manager",
        "wrapper",
        "container-client",
        "debugger",
        "archiver",
        "model-server",
    }
)
_WORK = frozenset({"compiler", "inventory", "vcs", "package-manager", "container-client", "debugger", "model-server"})
_KERNEL = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/version",
    "/proc/driver",
    "/proc/mounts",
    "/sys/",
    "/etc/os-release",
    "/dev/null",
)
_NEEDED = frozenset({"shell", "downloader", "relay", "recon"})
_TRIGGERS = words_of("shell downloader relay recon interpreter")


class ModelServer:
    hears: tuple[type[Activity], ...] = (Started, Ended, HttpSeen, ExchangeSeen)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._builtins = frozenset(rules()[_RULE].settings["builtins"])
        self._learned: OrderedDict[int, None] = OrderedDict()

    def feed(self, activity: Any) -> list[Finding]:
        kind = type(activity)
        if kind is Started:
            return self._on_start(activity)
        if kind is Ended:
            self._learned.pop(activity.process.pid, None)
        elif kind is HttpSeen:
            if activity.direction == "inbound" and activity.exchange:
                self._learn(activity.process)
        else:
            for observer in activity.exchange.observers:
                self._learn_pid(observer.process.pid)
        return []

    def tick(self, ts: int) -> list[Finding]:
        return []

    def _learn(self, process: Process) -> None:
        if not program(process).any(("agent", "relay", "web-server")) or _serves(process):
            self._learn_pid(process.pid)

    def _learn_pid(self, pid: int) -> None:
        if not pid:
            return
        self._learned.pop(pid, None)
        self._learned[pid] = None
        if len(self._learned) > _MOST:
            self._learned.popitem(last=False)
            self.counters["model_server_learned_evicted"] += 1

    def _on_start(self, activity: Started) -> list[Finding]:
        process = activity.process
        made = program(process)
        if made.kinds.isdisjoint(_TRIGGERS):
            return []
        server = self._server(process)
        if server is None:
            return []
        shows, runs = program(server).any(["notebook"]), program(server).any(["job-runner"])
        rated = self._rate(process, made, named=_serves(server), shows=shows, runs=runs)
        return [self._finding(activity, server, *rated)] if rated is not None else []

    def _server(self, process: Process) -> Ancestor | None:
        """The model server that it descends from, unless something stands between that runs commands for a living."""
        for above in process.ancestors[:_STEPS]:
            if _serves(above) or program(above).any(["notebook"]) or above.pid in self._learned:
                return above
            if program(above).any(_ITS_OWN):
                return None
        return None

    def _rate(
        self, process: Process, made: Program, *, named: bool, shows: bool, runs: bool
    ) -> tuple[str, float, str, list[Sign]] | None:
        """Severity, confidence, what it does, by which signs."""
        found = signs(process.argv)
        weight = max((sign.weight for sign in found), default=0)
        is_shell = "shell" in made.kinds
        if shows:
            return ("low", 0.2, found[0].what if found else "a shell", found) if found or is_shell else None
        if weight == 3:
            return "critical", 0.9, found[0].what, found
        if weight == 2:
            return "high", 0.8, found[0].what, found
        if weight == 1:
            asks = any(sign.kind == "recon" for sign in found)
            if runs:
                return ("medium", 0.5, found[0].what, found) if asks else ("low", 0.3, found[0].what, found)
            return "high", 0.75, found[0].what, found
        if not is_shell:
            return None
        if made.commanded or "-i" in process.argv[1:2]:
            return "high", 0.85, "a shell that waits for commands", found
        if made.script is not None and made.script.kind == "file":
            return ("low", 0.3, "a script", found) if not runs and named else None
        if runs or self._harmless(process):
            return None
        return ("medium", 0.5, "a shell", found) if named else ("low", 0.3, "a shell", found)

    def _harmless(self, process: Process) -> bool:
        """Compilers, questions about the hardware, and words of the shell beside them."""
        ran = [(made, words) for made, words in programs_run(process.argv) if shell_text(words) is None]
        needs = any(made.kinds & _WORK or _own(made, words) or _asks_kernel(made, words) for made, words in ran)
        return needs and all(
            made.name in self._builtins
            or bool(made.kinds & _HARMLESS and made.kinds.isdisjoint(_NEEDED - {"recon"}))
            or _own(made, words)
            for made, words in ran
        )

    def _finding(
        self, activity: Started, server: Ancestor, severity: str, confidence: float, what: str, found: list[Sign]
    ) -> Finding:
        process, made = activity.process, program(server)
        shown = made.script.target.rsplit("/", 1)[-1] if made.script is not None and made.script.target else made.name
        told = [sign.what for sign in found][:6]
        at = iso(activity.ts)
        evidence = [
            {"type": "process", "time": at, "pid": process.pid, "exe": process.exe, "argv": [*process.argv[:16]], "signs": told},
            {"type": "server", "time": at, "pid": server.pid, "exe": server.exe, "learned": server.pid in self._learned},
        ]  # fmt: skip
        kind = found[0].kind if found else "shell"
        return occurrence(
            _RULE, process, activity.ts, f"{shown} started {program(process).name}: {what}", same=[shown, kind],
            subject={"server": server.exe, "program": process.exe, "does": kind}, evidence=evidence,
            severity=severity, confidence=confidence,
        )  # fmt: skip


def _asks_kernel(made: Program, words: tuple[str, ...]) -> bool:
    """cat /proc/cpuinfo and the like."""
    return "file-tool" in made.kinds and any(word.startswith(_KERNEL) for word in words[1:])


def _own(made: Program, words: tuple[str, ...]) -> bool:
    """Its own kind of work: an interpreter with a script or module of its own."""
    return made.script is not None and made.script.kind in ("file", "module") and "shell" not in made.kinds


def _serves(one: Process | Ancestor) -> bool:
    """By its name, its script, or the application that a web server is given (uvicorn langflow.main:create_app)."""
    made = program(one)
    if "model-server" in made.kinds:
        return True
    if one.argv and one.argv[0].startswith("ray::"):
        return True
    if not made.any(("interpreter", "web-server")):
        return False
    return any(_application(word) for word in one.argv[1:10] if ":" in word and "/" not in word)


def _application(word: str) -> bool:
    head = word.split(":", 1)[0]
    return "model-server" in program(Ancestor(0, "/usr/bin/python3", ("python3", "-m", head))).kinds
