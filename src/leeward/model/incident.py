"""Findings that belong together, told as a chain across layers. The JSON is a contract (DESIGN §1, §6)."""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.model.process import Container, Workload


class Step(msgspec.Struct, kw_only=True):
    """One link of the chain, in the order of time.

    layer: "3" | "4" | "7" | "host" | "ai". what: one line that a person reads. tactic: MITRE ATT&CK or ATLAS tactic by name.
    refs: what it rests on: {"type": "finding" | "exchange" | "flow" | "process" | "file", "id" or what else names it}.
    severity: of its finding, "" of what only leads from one to the next.
    """

    time: str
    layer: str
    what: str
    tactic: str = ""
    technique: str = ""
    severity: str = ""
    pid: int = 0
    exe: str = ""
    refs: list[dict[str, Any]] = []


class Incident(msgspec.Struct, kw_only=True):
    """Findings that belong together.

    id: made of its first finding and when that opened it, so that it stays the same while it grows. severity: of the chain, which
    may be more than that of any finding. findings: their ids; of very many the first and the latest. tactics: in order of time.
    because: why these findings belong together, one line each, and why the severity is what it is. workloads: all that take part,
    the first is where it began. status: open | closed (nothing new for long) | merged (it belongs to `merged_into`, which has its
    findings). dropped: steps that are left out of a long chain. do: what its rules say is to be done, the worst first. actions:
    what was done already. network: who can reach the first workload (Finding.network).
    """

    type: str = "incident"
    id: str
    title: str
    severity: str
    confidence: float
    time: str = ""
    first_seen: str = ""
    last_seen: str = ""
    status: str = "open"
    merged_into: str = ""
    workload: Workload | None = None
    workloads: list[Workload] = []
    container: Container | None = None
    image: str = ""
    rules: list[str] = []
    findings: list[str] = []
    tactics: list[str] = []
    because: list[str] = []
    chain: list[Step] = []
    dropped: int = 0
    do: list[str] = []
    actions: list[str] = []
    network: dict[str, Any] | None = None
