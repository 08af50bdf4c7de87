"""`agent-config-tampering`: writes to files that steer agents or run at every start of Python, by what has no business there.

What is structural about it: these files are written by the agent, by people (an editor, a shell at a terminal), by version
control, by managers of configuration, and by an installer of the agent or package itself. The nearest of these above the writer
decides: an install script under npm under an agent is the install's. Invariants: bounded by the processes that are remembered.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from typing import Any

from leeward.detect.detector import occurrence
from leeward.detect.people import People
from leeward.detect.programs import anybodys, installs, lineage, program, trusted
from leeward.detect.roles import typed_in_a_service
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, Started, System
from leeward.model.finding import Finding
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_RULE = "agent-config-tampering"
_CONFIG, _STARTUP = "agent-config", "python-startup"
_WRITERS = ("agent", "editor", "vcs", "config-manager", "backup")
_COPIES = ("archiver", "file-tool", "ci-runner")
_KEEPERS = ("vcs", "config-manager", "backup", "container-runtime")
_SERVERS = ("web-server", "model-server", "notebook")
_STEPS = 10
_HOME_CONFIG = re.compile(r"(?:/root|/home/[^/]+)/\.")  # projects have folders of their own


class AgentConfig:
    hears: tuple[type[Activity], ...] = (Started, Ended, System)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._usual = tuple(rules()[_RULE].settings["startup_files"])
        self._people = People(self.counters, "agent_config")

    def feed(self, activity: Any) -> list[Finding]:
        if type(activity) is Started:
            self._people.started(activity)
            return []
        if type(activity) is Ended:
            self._people.ended(activity)
            return []
        if activity.label not in (_CONFIG, _STARTUP) or activity.failed:
            return []
        if activity.kind == "rename" or (activity.kind == "open" and activity.number == 1):
            return self._written(activity)
        return []

    def tick(self, ts: int) -> list[Finding]:
        return []

    def _written(self, activity: System) -> list[Finding]:
        process = activity.process
        rated = self._startup(activity) if activity.label == _STARTUP else self._config(activity)
        if rated is None:
            return []
        severity, confidence, why = rated
        evidence: list[dict[str, Any]] = [
            {"type": "system", "time": iso(activity.ts), "pid": process.pid, "call": activity.kind, "path": activity.path,
             "because": why}
        ]  # fmt: skip
        installer = next((one for one in process.ancestors if installs(one)), None)
        if installer is not None:
            argv = [*installer.argv[:8]]
            evidence.append(
                {"type": "process", "time": iso(activity.ts), "pid": installer.pid, "exe": installer.exe, "argv": argv}
            )
        return [
            occurrence(
                _RULE, process, activity.ts, f"{_name(process)} wrote {activity.path}", same=[activity.path], evidence=evidence,
                subject={"file": activity.path, "program": process.exe, "class": activity.label},
                severity=severity, confidence=confidence,
            )
        ]  # fmt: skip

    def _config(self, activity: System) -> tuple[str, float, str] | None:
        process = activity.process
        if trusted(process, _KEEPERS):
            return None
        for one in lineage(process, _STEPS):
            if trusted(one, _WRITERS) or _of_agent(one, process):
                return None
            if installs(one):
                return "high", 0.85, "a script of a package that is being installed"
            if trusted(one, _SERVERS):
                return "high", 0.8, "a server"
        if anybodys(process.exe):
            return "high", 0.8, "a program from a place where anybody may write"
        if self._people.at(process):
            return (
                None
                if program(process).any(("shell", "file-tool", "archiver", "wrapper"))
                else ("low", 0.3, "a program of a person")
            )
        build = any(trusted(one, ["ci-runner"]) for one in process.ancestors[:_STEPS])
        if build or (
            trusted(process, _COPIES) and not (_HOME_CONFIG.match(activity.path) and typed_in_a_service(process))
        ):
            return "low", 0.3, "a program that copies or unpacks, or a build"
        if activity.path.endswith((".md", "rules", ".mdc")) and "/." not in activity.path.rsplit("/", 2)[0]:
            return "low", 0.4, "instructions of a project, by none that is known to write them"
        return "medium", 0.6, "neither agent nor editor nor version control"

    def _startup(self, activity: System) -> tuple[str, float, str] | None:
        process, name = activity.process, posixpath.basename(activity.path)
        usual = any(part in name for part in self._usual)
        if trusted(process, ["package-manager"]):
            known = usual or not name.endswith(".pth")
            return None if known else ("medium", 0.5, "a package brings code that runs at every start of Python")
        if trusted(process, _KEEPERS) or any(trusted(one, ["config-manager"]) for one in process.ancestors[:_STEPS]):
            return None
        managed = any(trusted(one, ["package-manager"]) for one in process.ancestors[:_STEPS])
        if usual and managed and program(process).name in ("python", "pypy"):
            return None  # what ensurepip, pip and uv start to build or unpack
        if any(installs(one) for one in process.ancestors[:_STEPS]):
            return "high", 0.85, "a script of a package that is being installed"
        person = self._people.at(process) and trusted(process, ("file-tool", "shell"))
        if person or trusted(process, ("editor", "agent")):
            return "low", 0.4, "a person"
        if trusted(process, ("archiver", "file-tool")):
            return "low", 0.3, "a program that copies or unpacks"
        setup = program(process).script
        if usual and setup is not None and posixpath.basename(setup.target) == "setup.py":
            return None
        return "high", 0.8, "no installer"


def _name(process: Process) -> str:
    made = program(process)
    return posixpath.basename(made.script.target) if made.script is not None and made.script.target else made.name


def _of_agent(one: Process | Ancestor, process: Process) -> bool:
    """A script of the agent's own package, which sets up the agent: it runs in the package's folder."""
    return (
        one is process
        and "agent" in program(Ancestor(0, "/usr/bin/node", ("node", process.cwd.rstrip("/") + "/x.js"))).kinds
    )
