"""`agent-command-execution`: commands that a model said and a process then ran, and agents started without their safeguards.

What is structural about it: the same words, first in a model's answer to a process, then on the command line of that process's
child. How bad it is follows from what the command does (command_signs) and from who ran it: agents exist for this, other programs
do not. The topmost process that has the words is told, not what it starts. Invariants: bounded by speaker, text and age.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from typing import Any

from leeward.detect.command_signs import Sign, signs
from leeward.detect.commands import programs_run, shell_text, unwrapped
from leeward.detect.detector import occurrence
from leeward.detect.model_words import Said, Words
from leeward.detect.people import People
from leeward.detect.programs import anybodys, installing, installs, nearest, program, program_of, trusted, words_of
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, ExchangeSeen, Started
from leeward.model.finding import Finding
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_RULE = "agent-command-execution"
_SECOND = 10**9
_MATCHED, _LATELY, _TREES, _STEPS, _SPEAKERS = 16_384, 64, 4_096, 12, 4
_TEXT = 8192
_PACKAGE = re.compile(r"^(?:@[\w.-]+/)?[A-Za-z][\w.-]{2,63}$")
_AGENTIC = ("agent", "editor", "notebook")
_VERBS = words_of(
    "install add pip npm pnpm yarn uv poetry gem cargo get python python3 require global tool update upgrade sync ci"
)


class AgentCommands:
    hears: tuple[type[Activity], ...] = (Started, Ended, ExchangeSeen)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        settings = rules()[_RULE].settings
        self._shortest, self._flags = settings["shortest"], frozenset(settings["bypass_flags"])
        self._early = settings["early_seconds"] * _SECOND
        self._words = Words(self.counters, settings["remembered_seconds"] * _SECOND)
        self._people = People(self.counters, "agent_commands")
        self._matched: OrderedDict[int, None] = OrderedDict()  # processes that were told, whose children are not
        self._workloads: OrderedDict[str, deque[Process]] = OrderedDict()  # who spoke to a model in it
        self._lately: OrderedDict[int, deque[Started]] = OrderedDict()  # by parent: what it started in the last seconds

    def feed(self, activity: Any) -> list[Finding]:
        kind = type(activity)
        if kind is Started:
            return self._on_start(activity)
        if kind is Ended:
            self._people.ended(activity)
            for kept in (self._matched, self._lately):
                kept.pop(activity.process.pid, None)
            self._words.forget(activity.process.pid)
            return []
        return self._on_exchange(activity)

    def tick(self, ts: int) -> list[Finding]:
        while self._lately and ts - next(iter(self._lately.values()))[-1].ts > 10 * _SECOND:
            self._lately.popitem(last=False)
        return []

    # -- activities ------------------------------------------------------------------------------------------------

    def _on_exchange(self, activity: ExchangeSeen) -> list[Finding]:
        pid = activity.process.pid
        if not pid:
            return []
        found: list[Finding] = []
        said = self._words.add(pid, activity.ts, activity.exchange)
        if said:
            self._spoke(activity.process)
        for started in list(self._lately.get(pid, ())) if said else ():
            if activity.ts - started.ts <= self._early and started.process.pid not in self._matched:
                found += self._said_by(started, pid)
        return found

    def _on_start(self, activity: Started) -> list[Finding]:
        process = activity.process
        self._people.started(activity)
        self._matched.pop(process.pid, None)
        found = self._unguarded(activity)
        above = [a.pid for a in process.ancestors[:_STEPS]]
        if any(pid in self._matched for pid in above):
            self._match(process.pid)
            return found
        speaker = next((pid for pid in (process.pid, *above) if pid in self._words), 0)
        if speaker:
            found += self._said_by(activity, speaker)
        elif process.workload.id in self._workloads:
            found += self._said_beside(activity)
        if process.pid not in self._matched and above:
            kept = self._lately.pop(above[0], None)
            kept = kept if kept is not None else deque(maxlen=_LATELY)
            kept.append(activity)
            self._lately[above[0]] = kept
            if len(self._lately) > _TREES:
                self._lately.popitem(last=False)
        return found

    # -- the model's words -----------------------------------------------------------------------------------------

    def _said_by(self, activity: Started, speaker: int) -> list[Finding]:
        process = activity.process
        command = command_of(process.argv)
        said = self._words.find(speaker, activity.ts, command, self._shortest)
        if said is not None:
            self._match(process.pid)
            return [self._told(activity, speaker, said, command)]
        return self._package(activity, speaker)

    def _spoke(self, process: Process) -> None:
        """Remembers who speaks in a service or container. In a session or an executable no part works for another."""
        if process.workload.kind == "executable" or process.workload.id.endswith(".scope"):
            return
        speakers = self._workloads.pop(process.workload.id, None)
        speakers = speakers if speakers is not None else deque(maxlen=_SPEAKERS)
        if all(one.pid != process.pid for one in speakers):
            speakers.append(process)
        self._workloads[process.workload.id] = speakers
        if len(self._workloads) > _TREES:
            self._workloads.popitem(last=False)

    def _said_beside(self, activity: Started) -> list[Finding]:
        """Another process of the same workload runs it: a worker of the one that asked. A person who types it is none."""
        process, command = activity.process, command_of(activity.process.argv)
        if len(command) < 2 * self._shortest or self._people.at(process):
            return []
        for speaker in reversed(self._workloads[process.workload.id]):
            said = self._words.find(speaker.pid, activity.ts, command, 2 * self._shortest)
            if said is not None:
                self._match(process.pid)
                return [self._told(activity, speaker.pid, said, command, trusted(speaker, _AGENTIC))]
        return []

    def _told(self, activity: Started, speaker: int, said: Said, command: str, agent: bool = False) -> Finding:
        process, found = activity.process, signs(activity.process.argv)
        known = agent or self._is_agent(process, speaker)
        scripted = any(one.pid == speaker and _is_script(one) for one in process.ancestors)
        severity, confidence = _how_bad(found, known, said, scripted)
        if not known and any(one.pid == speaker and anybodys(one.exe) for one in process.ancestors):
            severity, confidence = "high", 0.85
        packages = _packages(process)
        if packages and severity == "info":
            severity = "low"
        does = found[0].what if found and severity != "info" else "packages " + ", ".join(packages) if packages else ""
        shown = command if len(command) <= 80 else command[:77] + "..."
        return self._finding(
            activity, speaker, said, shown + (f" ({does})" if does else ""), severity, confidence, found, packages
        )

    def _is_agent(self, process: Process, speaker: int) -> bool:
        """Is whoever asked the model, or something between, an agent?"""
        for one in process.ancestors[:_STEPS]:
            if trusted(one, _AGENTIC):
                return True
            if one.pid == speaker:
                return False
        return False

    def _package(self, activity: Started, speaker: int) -> list[Finding]:
        """An install of a package that the model named, in words of its own."""
        for name in _packages(activity.process):
            said = self._words.mentions(speaker, activity.ts, name)
            if said is not None:
                self._match(activity.process.pid)
                about = f"package {name}, which the model named, is installed"
                return [self._finding(activity, speaker, said, about, "low", 0.5, [], [name])]
        return []

    def _finding(self, activity: Started, speaker: int, said: Said, about: str, severity: str, confidence: float,
                 found: list[Sign], packages: list[str]) -> Finding:  # fmt: skip
        process, kind = activity.process, found[0].kind if found else ""
        evidence: list[dict[str, Any]] = [
            {"type": "exchange", "time": iso(said.ts), "id": said.exchange, "model": said.model, "provider": said.provider,
             "tool_call": said.asked},
            {"type": "process", "time": iso(activity.ts), "pid": process.pid, "exe": process.exe, "argv": [*process.argv[:16]],
             "speaker": speaker, "signs": [sign.what for sign in found][:6], "packages": packages[:8]},
        ]  # fmt: skip
        same = [program(process).name, kind or ("package " + packages[0] if packages else ""), severity]
        return occurrence(
            _RULE, process, activity.ts, about, same=same, evidence=evidence, severity=severity, confidence=confidence,
            subject={"command": about, "does": kind or ("package-install" if packages else "command"), "model": said.model},
        )  # fmt: skip

    # -- without safeguards ----------------------------------------------------------------------------------------

    def _unguarded(self, activity: Started) -> list[Finding]:
        """An agent that is told not to ask, by an install script (s1ngularity), a server, or nobody."""
        process = activity.process
        if "agent" not in program(process).kinds:
            return []
        flags = [word for word in process.argv[1:] if word in self._flags or word.split("=", 1)[0] in self._flags]
        if not flags or (self._people.at(process) and installing(process) is None):
            return []
        by_install = installing(process)
        if by_install is None:
            by_agent = nearest(process, ["agent", "ci-runner", "container-runtime", "service-manager"]) is not None
            serves = nearest(process, ["web-server", "model-server"]) is not None
            severity, confidence = ("high", 0.7) if serves else ("info" if by_agent else "low", 0.4)
        else:
            severity, confidence = "high", 0.9
        evidence: list[dict[str, Any]] = [
            {"type": "process", "time": iso(activity.ts), "pid": process.pid, "flags": flags[:4]}
        ]
        if by_install is not None:
            argv = [*by_install.argv[:8]]
            evidence.append(
                {
                    "type": "process",
                    "time": iso(activity.ts),
                    "pid": by_install.pid,
                    "exe": by_install.exe,
                    "argv": argv,
                }
            )
        who = (
            f"by the installation of a package ({program(by_install).name})"
            if by_install is not None
            else "with nobody to ask"
        )
        name = process.argv[0].rsplit("/", 1)[-1] if process.argv else process.exe
        return [
            occurrence(
                _RULE, process, activity.ts, f"{name} was started {flags[0]} {who}", same=["unguarded", name], evidence=evidence,
                subject={"command": name, "does": "unguarded-agent"}, severity=severity, confidence=confidence,
            )
        ]  # fmt: skip

    def _match(self, pid: int) -> None:
        self._matched[pid] = None
        if len(self._matched) > _MATCHED:
            self._matched.popitem(last=False)
            self.counters["agent_commands_matched_evicted"] += 1


def command_of(argv: tuple[str, ...]) -> str:
    """What is run, as it would be said: the text of `sh -c`, of `python -c`, else the words."""
    words = unwrapped(argv)
    text = shell_text(words)
    if text is not None:
        return _within(text[:_TEXT])
    script = program_of("", words).script
    if script is not None and script.kind == "code" and len(words) > 2:
        return max(words[1:], key=len)
    return " ".join((words[0].rsplit("/", 1)[-1], *words[1:])) if words else ""


_WRAPPED = re.compile(
    r"eval\s+(?P<q>['\"])(?P<text>.*?)(?P=q)(?:\s|$)|^\s*(?:source|\.)\s+\S+\s*&&\s*(?P<rest>.*)$", re.DOTALL
)


def _within(text: str) -> str:
    """Agents wrap the command: `source snapshot && eval 'CMD' < /dev/null && pwd -P >| file`."""
    match = _WRAPPED.search(text)
    if match is None:
        return text
    return match["text"] or _within(match["rest"] or "") or text


def _how_bad(found: list[Sign], known: bool, said: Said, scripted: bool) -> tuple[str, float]:
    """known: an agent runs it. scripted: a program whose source lies in a file does."""
    weight = max((sign.weight for sign in found), default=0)
    if known:
        return {3: ("high", 0.8), 2: ("medium", 0.7)}.get(weight, ("info", 0.7))
    if weight >= 2:
        return "high", 0.85
    if said.asked or said.offered:
        return ("medium", 0.6) if weight else ("low", 0.5)
    if weight:
        return "high", 0.7
    return ("low", 0.4) if scripted else ("medium", 0.6)


def _is_script(one: Ancestor) -> bool:
    script = program(one).script
    return script is not None and script.kind in ("file", "module") and not anybodys(script.target)


def _packages(process: Process) -> list[str]:
    """Names that an install on this command line takes from a registry."""
    names: list[str] = []
    for made, words in [*programs_run(process.argv), (program(process), process.argv)]:
        if "package-manager" not in made.kinds or not installs(_as_process(process, words)):
            continue
        for word in words[1:]:
            bare = re.split(r"[=<>~!\[;]|(?<=.)@", word, maxsplit=1)[0]
            if _PACKAGE.match(bare) and not word.startswith("-") and bare not in names and bare not in _VERBS:
                names.append(bare)
    return names


def _as_process(process: Process, words: tuple[str, ...]) -> Process:
    exe = process.exe if words == process.argv else ""
    return Process(process.pid, 0, exe, words, "", -1, "", (), "", process.workload)
