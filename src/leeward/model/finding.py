"""One thing that is wrong. The JSON of these structs is a contract (DESIGN §6)."""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.model.exchange import ProcessRef
from leeward.model.process import Container, Workload

SEVERITIES = ("info", "low", "medium", "high", "critical")


class Tags(msgspec.Struct, frozen=True):
    """atlas: MITRE ATLAS techniques. attack: MITRE ATT&CK techniques. owasp: OWASP LLM (2025) and Agentic (2026) ids."""

    atlas: list[str] = []
    attack: list[str] = []
    owasp: list[str] = []


class Finding(msgspec.Struct, kw_only=True):
    """The same thing again is the same finding: it counts up.

    id: hash of the rule and of what makes it the same. severity: info | low | medium | high | critical. confidence: 0 to 1, of
    the best evidence. first_seen, last_seen: ISO 8601. time: of the last change. subject: what it is about, by name (destination,
    provider, kind). evidence: the first and the latest few, references to events. action: what was done, "" for nothing.
    network: posture of the workload: who can reach it, who did, over which route (detect/reach.py).
    """

    type: str = "finding"
    id: str
    rule: str
    title: str
    severity: str
    confidence: float
    time: str = ""
    first_seen: str = ""
    last_seen: str = ""
    count: int = 0
    workload: Workload | None = None
    process: ProcessRef | None = None
    container: Container | None = None
    subject: dict[str, str] = {}
    evidence: list[dict[str, Any]] = []
    tags: Tags = Tags()
    network: dict[str, Any] | None = None
    code: dict[str, Any] | None = None
    image: str = ""
    action: str = ""
