"""Compares what was found with the truth of a scenario.

An attack is found when every rule that must fire did, about what it must be about and in time, when none fired that must not, and
when it is one incident. An honest workload is left alone when nothing louder than "low" was said about it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from leeward.ai.catalogue import Catalogue
from leeward.detect import rerun
from leeward.detect.eventlog import EventLog
from leeward.detect.rerun import SECOND, Told
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.incident import Incident
from proving.scenario import Must, Scenario

DAY_S = 24 * 3600.0


@dataclass
class Verdict:
    """found: rules with severity. seconds: from the attack's begin to each rule that must fire. margin: of each rule that fired,
    how far beyond its threshold it got; of an honest one, how near the nearest came (1: on it). told_s: of the observation."""

    scenario: str
    kind: str
    title: str
    expected: list[str]
    found: dict[str, str]
    missed: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    margin: dict[str, float] = field(default_factory=dict)
    incidents: int = 0
    told_s: float = 0.0
    activities: int = 0
    skipped: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing is wrong, or it could not be run."""
        return not (self.missed or self.false_alarms or self.problems)


def told_of(scenario: Scenario, log: EventLog, catalogue: Catalogue, *, seconds: float = 0.0) -> Told:
    """What the detectors say of a log, made as long as its truth wants it, or as `seconds`."""
    seconds = seconds or scenario.minutes * 60
    length = (log.head.end - log.head.start) / SECOND
    if seconds <= length:
        return rerun.rerun(log.activities, catalogue, until=log.head.end + int(scenario.silence * SECOND))
    repeats = {name: rerun.Repeat(r.every, r.jitter) for name, r in scenario.repeats.items()}
    activities = rerun.repeated(log, seconds, repeats)
    return rerun.rerun(activities, catalogue, until=log.head.start + int((seconds + scenario.silence) * SECOND))


def judge(scenario: Scenario, log: EventLog, told: Told, seconds: float = 0.0) -> Verdict:
    """told: of this log. seconds: how long the observation was, if not as the truth says."""
    findings = list(told.findings.values())
    length = (log.head.end - log.head.start) / SECOND
    verdict = Verdict(
        scenario.name,
        scenario.kind,
        scenario.title,
        [must.rule for must in scenario.must],
        _loudest(findings),
        told_s=max(length, seconds or scenario.minutes * 60),
        activities=told.activities,
        incidents=len(told.incidents),
    )
    verdict.margin = _margins(findings) if scenario.kind == "attack" else {**told.closest, **_margins(findings)}
    if scenario.kind == "attack":
        _attack(scenario, log, told, verdict)
    else:
        _honest(told, verdict)
    return verdict


def _attack(scenario: Scenario, log: EventLog, told: Told, verdict: Verdict) -> None:
    since = rerun.moment(log, verdict.told_s, log.head.marks.get("attack", log.head.start))
    for must in scenario.must:
        about = [f for f in told.findings.values() if _fits(must, f)]
        if not about:
            other = [f for f in told.findings.values() if f.rule == must.rule]
            verdict.missed.append(must.rule + (f" (only about {_entity(other[0])})" if other else ""))
            continue
        took = (min(told.first[f.id] for f in about) - since) / SECOND
        verdict.seconds[must.rule] = round(took, 2)
        if must.within and took > must.within:
            verdict.missed.append(f"{must.rule} within {must.within:g} s (took {took:.1f})")
        if max(SEVERITIES.index(f.severity) for f in about) < SEVERITIES.index("medium"):
            verdict.missed.append(f"{must.rule} above low (it was {about[0].severity})")
    verdict.false_alarms += [
        f"{f.rule} about {_entity(f)}" for f in told.findings.values() if f.rule in scenario.must_not and _loud(f)
    ]
    if scenario.incidents and len(told.incidents) != scenario.incidents:
        verdict.problems.append(f"{len(told.incidents)} incidents instead of {scenario.incidents}")


def _honest(told: Told, verdict: Verdict) -> None:
    loud: list[Finding | Incident] = [f for f in told.findings.values() if _loud(f)]
    loud += [i for i in told.incidents.values() if _loud(i)]
    verdict.false_alarms += [f"{_name(x)} {x.severity}: {x.title}" for x in loud]


def _name(record: Finding | Incident) -> str:
    return record.rule if isinstance(record, Finding) else "incident"


def _loud(record: Finding | Incident) -> bool:
    return SEVERITIES.index(record.severity) > SEVERITIES.index("low")


def _fits(must: Must, finding: Finding) -> bool:
    workload = f"{finding.workload.id} {finding.workload.name}" if finding.workload else ""
    about = " ".join([finding.title, *finding.subject.values()])
    return finding.rule == must.rule and must.workload in workload and must.about in about


def _entity(finding: Finding) -> str:
    return finding.workload.id if finding.workload else ", ".join(finding.subject.values()) or "nobody"


def _loudest(findings: list[Finding]) -> dict[str, str]:
    loudest: dict[str, str] = {}
    for finding in findings:
        known = loudest.get(finding.rule, "info")
        loudest[finding.rule] = max(known, finding.severity, key=SEVERITIES.index)
    return dict(sorted(loudest.items()))


def _margins(findings: list[Finding]) -> dict[str, float]:
    """The largest of each rule, of evidence that says it or has value and threshold."""
    margins: dict[str, float] = {}
    for finding in findings:
        for evidence in finding.evidence:
            margin = _margin(evidence)
            if margin is not None:
                margins[finding.rule] = round(max(margin, margins.get(finding.rule, 0.0)), 3)
    return margins


def _margin(evidence: dict[str, Any]) -> float | None:
    margin, value, threshold = (evidence.get(name) for name in ("margin", "value", "threshold"))
    if isinstance(value, int | float) and isinstance(threshold, int | float) and threshold:
        return value / threshold
    return float(margin) if isinstance(margin, int | float) else None
