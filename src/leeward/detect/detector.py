"""What a detector is, and all of them together: activities in, occurrences of findings out.

Invariants: no threads, no clock (time is in the activities), no I/O; the same activities give the same findings. Every detector's
state is bounded by workload and by age, and what leaves is counted. A detector hears only the kinds of activity that it names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any, Protocol, TypeVar

from leeward.detect.findings import identity
from leeward.detect.rule import rules
from leeward.model.activity import Activity, FlowSeen
from leeward.model.exchange import ProcessRef
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.times import iso

D = TypeVar("D")


class Detector(Protocol):
    """One threat, or a few that share what they remember. counters: of what it evicted, under names of its own.

    Most of all that there is tells of flows (one began, moved something, ended): who needs a part of that only says so by
    `of_flows`: "began" | "inbound" | "sent" (something was sent in it).
    """

    hears: tuple[type[Activity], ...]
    counters: Counter[str]

    def feed(self, activity: Any) -> list[Finding]:
        """One occurrence of each finding that this gives rise to."""

    def tick(self, ts: int) -> list[Finding]:
        """About once a second of event time: what shows by silence or by the end of a period; what is old is forgotten."""


class Detection:
    """Hands each activity to those who hear its kind."""

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self.detectors = list(detectors)
        self._hearers: dict[type, list[Callable[[Any], list[Finding]]]] = {}
        for detector in self.detectors:
            for kind in detector.hears:
                self._hearers.setdefault(kind, []).append(detector.feed)
        self._of_flows: dict[tuple[bool, bool, bool], list[Callable[[Any], list[Finding]]]] = {
            told: [d.feed for d in self.detectors if FlowSeen in d.hears and _needs(d, *told)]
            for told in product((False, True), (False, True), (False, True))
        }

    def feed(self, activity: Activity) -> list[Finding]:
        found: list[Finding] = []
        if type(activity) is FlowSeen:
            hearers = self._of_flows[activity.began, activity.flow.direction == "inbound", activity.sent > 0]
        else:
            hearers = self._hearers.get(type(activity), [])
        for feed in hearers:
            if news := feed(activity):
                found += news
        return found

    def tick(self, ts: int) -> list[Finding]:
        return [finding for detector in self.detectors for finding in detector.tick(ts)]

    def part(self, kind: type[D]) -> D | None:
        """The detector of this class, if it takes part."""
        return next((detector for detector in self.detectors if isinstance(detector, kind)), None)

    def totals(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for detector in self.detectors:
            total.update(detector.counters)
        return total


def _needs(detector: Detector, began: bool, inbound: bool, sent: bool) -> bool:
    part = getattr(detector, "of_flows", "all")
    return {"all": True, "began": began, "inbound": inbound, "sent": sent}[part]


def occurrence(
    rule_id: str,
    process: Process,
    ts: int,
    about: str,
    *,
    same: Iterable[Any] = (),
    subject: Mapping[str, str] | None = None,
    evidence: Iterable[dict[str, Any]] = (),
    severity: str = "",
    confidence: float | None = None,
) -> Finding:
    """One occurrence of a rule in a workload. about: ends the title. same: what, beside rule and workload, makes it the same
    finding when it happens again. severity, confidence: the rule's own if not given."""
    rule = rules()[rule_id]
    return Finding(
        id=identity(rule.id, process.workload.id, *same),
        rule=rule.id,
        title=f"{rule.title}: {about}" if about else rule.title,
        severity=severity or rule.level,
        confidence=rule.confidence if confidence is None else confidence,
        time=iso(ts),
        workload=process.workload if process.workload.id else None,
        process=reference(process) if process.pid else None,
        container=process.container,
        subject=dict(subject or {}),
        evidence=list(evidence),
        tags=rule.tags,
        image=process.container.image if process.container else "",
    )


def reference(process: Process) -> ProcessRef:
    """A process as a finding carries it. Those of activities have no credentials on their command lines."""
    return ProcessRef(
        pid=process.pid,
        exe=process.exe,
        argv=list(process.argv),
        user=process.user,
        cwd=process.cwd,
        start_ns=process.start_ns,
        ancestors=[{"pid": a.pid, "exe": a.exe, "argv": list(a.argv)} for a in process.ancestors],
    )
