"""What a finding is about, as far as another one may be about the same: read off the finding itself.

Detectors write evidence and subjects in their own words; what is read here are the names that the contract and the activities use
(id, dst, domain, path, pid, hash, fingerprint ...). What is not understood links nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from leeward.detect.context import Context, Key
from leeward.detect.tactics import tactics
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.times import nanoseconds


def _also_many(names: str) -> frozenset[str]:
    return frozenset(form for name in names.split() for form in (name, f"{name}s", f"{name}es"))


_DESTINATION = _also_many("destination domain host dst address remote server target peer sni ip source")
_KEY = _also_many("key fingerprint key_fingerprint identity")
_FILE = _also_many("file path script dropped")
_WEB = ("http", "dns")  # evidence whose path is none of a file
_OF_A_KEY = ("ai-key-misdirected", "ai-key-exposed")  # their provider is the key's, not the destination's
_PROCESSES = 8
_TITLE = 100
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_HOST = re.compile(
    r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]*[a-z0-9_-]))(?::[0-9]{1,5})?|(?P<bare>[0-9a-f]*:[0-9a-f:.]+)"
)
_SURE_KINDS = (
    "secret.",
    "financial.",
    "pii.national_id.",
    "pii.passport",
    "pii.driver_licence",
    "health.record",
    "custom.",
)
"""Kinds whose values stand for one person, account or lock; the same e-mail address or name is in many messages."""


class Traits(msgspec.Struct, frozen=True):
    """name: its rule's title. rank: of its severity. first, last: Unix ns. tactic: the one that it is about, "" if its techniques
    are not known; tactics: all of them. common: its destination is an AI service. values: hash → does it stand for one person,
    account or lock?"""

    id: str
    rule: str
    name: str
    title: str
    rank: int
    first: int
    last: int
    tactic: str
    technique: str
    tactics: tuple[str, ...]
    workload: str
    processes: tuple[Key, ...]
    exchanges: frozenset[str]
    flows: frozenset[str]
    destinations: frozenset[str]
    common: bool
    keys: frozenset[str]
    files: frozenset[str]
    values: dict[str, bool]


def traits(finding: Finding, ts: int, context: Context) -> Traits:
    """ts: when it was told, for findings without a time."""
    evidence = [entry for entry in finding.evidence if isinstance(entry, dict)]
    named = [finding.subject, *evidence]
    files = [entry for entry in named if entry.get("type") not in _WEB]
    served = tactics().served(finding.tags) if finding.rule not in tactics().aimless else []
    first = nanoseconds(finding.first_seen or finding.time) or ts
    provider = finding.subject.get("provider", "")
    return Traits(
        id=finding.id,
        rule=finding.rule,
        name=finding.title.split(":", 1)[0],
        title=finding.title if len(finding.title) <= _TITLE else finding.title[: _TITLE - 1] + "…",
        rank=SEVERITIES.index(finding.severity),
        first=first,
        last=max(first, nanoseconds(finding.last_seen or finding.time) or ts),
        tactic=served[0].tactics[0] if served else "",
        technique=served[0].id if served else "",
        tactics=tuple(dict.fromkeys(technique.tactics[0] for technique in served)),
        workload=finding.workload.id if finding.workload else "",
        processes=_processes(finding, evidence, context),
        exchanges=_ids(evidence, "exchange"),
        flows=_ids(evidence, "flow"),
        destinations=frozenset(host(value) for value in _texts(named, _DESTINATION)) - {""},
        common=provider not in ("", "unknown") and finding.rule not in _OF_A_KEY,
        keys=frozenset(value for value in _texts(named, _KEY) if _FINGERPRINT.fullmatch(value)),
        files=frozenset(value for value in _texts(files, _FILE) if value.startswith("/")),
        values=_values(evidence),
    )


def host(text: str) -> str:
    """The name or address in `text` in lower case, without a port; "" if it is none."""
    match = _HOST.fullmatch(text.strip().lower())
    if match is None:
        return ""
    found = match["six"] or match["bare"] or match["name"]
    return found if "." in found or ":" in found else ""


def _processes(finding: Finding, evidence: list[dict[str, Any]], context: Context) -> tuple[Key, ...]:
    keys: list[Key | None] = []
    if finding.process is not None and finding.process.pid:
        keys.append((finding.process.pid, finding.process.start_ns))
    for entry in evidence:
        if isinstance(pid := entry.get("pid"), int) and pid > 0:
            start = entry.get("start_ns")
            keys.append(context.key_of(pid, start if isinstance(start, int) else 0))
    return tuple(key for key in dict.fromkeys(keys) if key is not None)[:_PROCESSES]


def _ids(evidence: list[dict[str, Any]], kind: str) -> frozenset[str]:
    """Ids of events of this kind: {"type": kind, "id": ...} or {kind: id}."""
    found = [entry.get("id") if entry.get("type") == kind else entry.get(kind) for entry in evidence]
    return frozenset(value for value in found if isinstance(value, str) and value)


def _texts(entries: Sequence[Mapping[str, Any]], names: frozenset[str]) -> Iterator[str]:
    """The texts under these names."""
    for entry in entries:
        for name in names & entry.keys():
            if name == "source" and "destination" in entry:  # our own end
                continue
            value = entry[name]
            if isinstance(value, str):
                yield value
            elif isinstance(value, list | tuple):
                yield from (item for item in value[:16] if isinstance(item, str))


def _values(evidence: list[dict[str, Any]]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for entry in evidence:
        data = entry.get("data")
        for match in data if isinstance(data, list) else ():
            if isinstance(match, dict) and isinstance(value := match.get("hash"), str) and value:
                found[value] = str(match.get("kind", "")).startswith(_SURE_KINDS)
    return found
