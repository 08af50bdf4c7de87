"""Findings that count: the same thing again is the same finding, told at once when it is new and about once a second while it
goes on.

Bounded: the finding that was longest without news leaves first, and is counted.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from leeward.model.finding import SEVERITIES, Finding

_MOST = 20_000
_EVIDENCE = 5  # the first, and the latest four
_EVERY_NS = 10**9
# Evidence that says what was asked for: people put numbers of customers there.
_QUOTED = ("path", "paths", "answered", "http")


class _Held(msgspec.Struct):
    finding: Finding
    told: int = 0
    changed: bool = True


class Findings:
    """All findings of the rules that share it. posture: asked for a workload's network when a finding is new. mask: takes what
    must not be kept out of a path."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.posture: Callable[[str], dict[str, Any] | None] = lambda _workload: None
        self.mask: Callable[[str], str] = lambda path: path
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def restore(self, findings: Iterable[Finding]) -> None:
        """What is known from before: it goes on counting."""
        for finding in findings:
            self._held[finding.id] = _Held(finding, changed=False)

    def add(self, fresh: Finding, ts: int) -> list[Finding]:
        """fresh: one occurrence, with its evidence; its id says what it is the same as. What is to be told now."""
        fresh.evidence = [self._fit(evidence) for evidence in fresh.evidence]
        held = self._held.pop(fresh.id, None)
        if held is None:
            self.counters["findings"] += 1
            fresh.count, fresh.first_seen, fresh.last_seen = 1, fresh.time, fresh.time
            fresh.network = fresh.network or self.posture(fresh.workload.id if fresh.workload else "")
            held = _Held(fresh)
        else:
            _again(held.finding, fresh)
            held.changed = True
        self._held[fresh.id] = held
        self.counters["findings_occurrences"] += 1
        if len(self._held) > _MOST:
            self._held.popitem(last=False)
            self.counters["findings_evicted"] += 1
        return self._tell(held, ts) if ts - held.told >= _EVERY_NS or held.finding.count == 1 else []

    def tick(self, ts: int) -> list[Finding]:
        """What has changed since it was told."""
        told: list[Finding] = []
        for held in reversed(self._held.values()):  # those with news are at the end
            if not held.changed and held.told and ts - held.told > 10 * _EVERY_NS:
                break
            if held.changed:
                told += self._tell(held, ts)
        return told

    def _fit(self, evidence: dict[str, Any]) -> dict[str, Any]:
        """As it may be kept."""
        fit = dict(evidence)
        for name in _QUOTED:
            said = evidence.get(name)
            if isinstance(said, str):
                fit[name] = self.mask(said)
            elif isinstance(said, list):
                fit[name] = [self.mask(str(one)) for one in said]
        return fit

    def _tell(self, held: _Held, ts: int) -> list[Finding]:
        held.told, held.changed = ts, False
        return [msgspec.structs.replace(held.finding, evidence=list(held.finding.evidence))]


def _again(known: Finding, fresh: Finding) -> None:
    known.count += 1
    known.time, known.last_seen = fresh.time, max(known.last_seen, fresh.time)
    known.process, known.container, known.image = fresh.process, fresh.container, fresh.image
    known.confidence = max(known.confidence, fresh.confidence)
    known.severity = max(known.severity, fresh.severity, key=SEVERITIES.index)
    known.evidence = [known.evidence[0], *known.evidence[1:], *fresh.evidence] if known.evidence else fresh.evidence
    if len(known.evidence) > _EVIDENCE:
        known.evidence = [known.evidence[0], *known.evidence[1 - _EVIDENCE :]]


def identity(*parts: Any) -> str:
    """The id of a finding that is the same whenever these parts are."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:32]
