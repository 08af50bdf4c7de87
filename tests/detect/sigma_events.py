"""Rules and events for the tests of Sigma rules."""

from __future__ import annotations

import textwrap
from pathlib import Path

import msgspec

from leeward.detect.sigma.detector import Sigma
from leeward.detect.sigma.load import load_sigma
from leeward.detect.sigma.ruleset import RuleSet
from leeward.model.activity import FlowSeen, NameAsked, Started, System
from leeward.model.finding import Finding
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Process, Workload

PUBLIC = Path("/work/shared/data/sigma/rules/linux")
SECOND = 10**9


def process(
    command: str = "python3 app.py",
    exe: str = "/usr/bin/python3",
    parent: str = "/usr/bin/bash",
    user: str = "app",
    **fields: object,
) -> Process:
    made = Process(
        200, 1, exe, tuple(command.split(" ")), "/srv", 1000, user, (Ancestor(100, parent, (parent.rpartition("/")[2],)),), "",
        Workload(f"exe:{exe}", exe.rpartition("/")[2], "executable"),
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


def started(command: str = "python3 app.py", exe: str = "/usr/bin/python3", ts: int = 1, **fields: object) -> Started:
    return Started(ts=ts, process=process(command, exe, **fields))


def flow(
    host: str = "", ip: str = "203.0.113.7", port: int = 443, ts: int = 1, began: bool = True, **fields: object
) -> FlowSeen:
    made = Flow(f"{ip}:{port}", 1, "tcp", Endpoint("10.0.0.5", 40000), Endpoint(ip, port), "outbound", domain=host)
    return FlowSeen(ts=ts, process=process(), flow=msgspec.structs.replace(made, **fields), began=began)


def asked(name: str, ts: int = 1, **fields: object) -> NameAsked:
    return NameAsked(ts=ts, process=process(), name=name, **fields)


def written(path: str, ts: int = 1, **fields: object) -> System:
    return System(**{"ts": ts, "process": process(), "kind": "open", "path": path, "number": 1} | fields)


def ruleset(folder: Path, *texts: str) -> RuleSet:
    """Of rules as YAML."""
    path = folder / "rules.yml"
    path.write_text("\n---\n".join(textwrap.dedent(text) for text in texts), encoding="utf-8")
    return load_sigma([path])


def detector(folder: Path, *texts: str) -> Sigma:
    made = ruleset(folder, *texts)
    assert not made.complaints
    return Sigma(made)


def rule(detection: str, category: str = "process_creation", title: str = "A rule", more: str = "") -> str:
    """detection: selections and condition as YAML, from the left margin."""
    body = textwrap.indent(textwrap.dedent(detection).strip("\n"), "    ")
    return f"title: {title}\n{more}logsource:\n    category: {category}\ndetection:\n{body}\n"


def titles(findings: list[Finding]) -> list[str]:
    return [finding.subject["title"] for finding in findings]
