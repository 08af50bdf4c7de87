"""What several deviations of ten minutes amount to, and how that is told.

Invariant: nothing is told above "low" that was not lived long enough to be known as unusual: every hour of the week, a turn of
the month, or in a workload that a package manager is changing. After a deploy or a restart what is new has one cause: bits are
not added, and it is told one severity lower.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from leeward.detect.baseline.features import is_one_of
from leeward.detect.baseline.profile import Deviation, Profile
from leeward.detect.baseline.surprise import PERIOD_NS
from leeward.detect.detector import occurrence
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Process
from leeward.model.times import iso

RULE = "baseline-deviation"
_SHOWN = 8


class Settings(msgspec.Struct, frozen=True):
    """Of rules/baseline-deviation.yaml, where each is explained."""

    tell_bits: float
    low_bits: float
    medium_bits: float
    medium_groups: int
    high_bits: float
    high_groups: int
    ripe_days: float
    high_days: float
    month_days: float
    doubt_days: int
    deploy_s: int
    restart_s: int
    half_life_days: float
    gone_half_life_days: float
    volume_floor_bytes: int
    volume_floor_flows: int
    volume_floor_tokens: int
    maintenance: frozenset[str]
    starters: frozenset[str]

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Settings:
        return msgspec.convert(dict(settings), Settings)


class Verdict(msgspec.Struct):
    """bits: all together. threshold: of the severity that was reached. held: why it is not told as worse."""

    severity: str
    bits: float
    threshold: float
    held: tuple[str, ...]
    after: str


def recent(profile: Profile, ts: int) -> list[Deviation]:
    """The deviations of the last ten minutes, one a group, the greatest first; others are dropped."""
    profile.fresh = {group: d for group, d in profile.fresh.items() if ts - d.ts < PERIOD_NS}
    return sorted(profile.fresh.values(), key=lambda d: -d.bits)


def together(deviations: Iterable[Deviation], one_cause: bool) -> float:
    """Bits of all: the greatest and half of the others; if they have one cause, the greatest alone."""
    ordered = sorted((d.bits for d in deviations), reverse=True)
    return ordered[0] if one_cause else ordered[0] + sum(ordered[1:]) / 2


def judge(profile: Profile, process: Process, deviations: list[Deviation], ts: int, s: Settings) -> Verdict | None:
    """None: not worth telling."""
    after = _after(profile, process, ts, s)
    bits = together(deviations, bool(after))
    if bits < s.tell_bits:
        return None
    days = profile.known_s(ts) / 86400
    groups = len(deviations)
    level, threshold = ("low", s.low_bits) if bits >= s.low_bits else ("info", s.tell_bits)
    held: tuple[str, ...] = ()
    if groups >= s.medium_groups and bits >= s.medium_bits:
        held = _held(profile, process, deviations, days, ts, s)
        if not held:
            level, threshold = "medium", s.medium_bits
            if groups >= s.high_groups and bits >= s.high_bits and days >= s.high_days:
                level, threshold = "high", s.high_bits
    if after:
        level = SEVERITIES[max(0, SEVERITIES.index(level) - 1)]
    return Verdict(level, bits, threshold, held, after)


def _after(profile: Profile, process: Process, ts: int, s: Settings) -> str:
    """What has just happened to the workload that explains news."""
    now = ts // 10**9
    if profile.deployed and now - profile.deployed < s.deploy_s:
        return f"after deploy of {profile.deployed_as}"
    container = process.container
    begun = profile.instances.get(container.id, 0) if container is not None else profile.begun
    return "after a restart" if begun and now - begun < s.restart_s else ""


def _held(
    profile: Profile, process: Process, deviations: list[Deviation], days: float, ts: int, s: Settings
) -> tuple[str, ...]:
    held = []
    if days < s.ripe_days:
        held.append(f"known for less than {s.ripe_days:g} days: not every hour of the week was lived")
    day = datetime.fromtimestamp(ts // 10**9, UTC).day
    if (day >= 28 or day <= 3) and days < s.month_days:
        held.append("the first turn of a month that is seen")
    if not any(d.first and not d.on_node for d in deviations):
        held.append("nothing of it is new to this node")
    chain = (process.exe, *(a.exe for a in process.ancestors))
    if any(is_one_of(exe, s.maintenance) for exe in chain):
        held.append("a package manager is at work")
    return tuple(held)


def finding(
    profile: Profile, process: Process, deviations: list[Deviation], verdict: Verdict, ts: int, s: Settings
) -> Finding:
    shown = deviations[:_SHOWN]
    groups = sorted(d.group for d in deviations)
    about = ", ".join(f"{d.what} {d.value}" for d in shown[:3])
    evidence = {
        "type": "baseline", "time": iso(ts), "workload": profile.key, "known_for_s": profile.known_s(ts),
        "events_learned": profile.events, "periods_learned": round(profile.periods, 1), "prior": shown[0].prior,
        "surprise": round(verdict.bits, 2), "value": round(verdict.bits, 2), "threshold": verdict.threshold,
        "margin": round(verdict.bits - verdict.threshold, 2), "groups": groups, "held": list(verdict.held),
        "deviations": [
            {"feature": d.what, "value": d.value, "bits": round(d.bits, 2), "time": iso(d.ts), "first": d.first,
             "known_on_node": d.on_node, "prior": d.prior}
            for d in shown
        ],
    }  # fmt: skip
    if verdict.after:
        evidence["after"] = verdict.after
        about = f"{about} ({verdict.after})"
    same = ("together", *groups) if len(groups) > 1 else groups
    return occurrence(
        RULE, process, ts, about, same=(profile.key, *same), subject=_subject(shown), evidence=[evidence],
        severity=verdict.severity, confidence=_confidence(verdict, s),
    )  # fmt: skip


def _subject(deviations: list[Deviation]) -> dict[str, str]:
    """The names, by feature."""
    subject = {"feature": deviations[0].what}
    for d in deviations:
        subject.setdefault(d.what.replace(" ", "_"), d.value)
    return subject


def _confidence(verdict: Verdict, s: Settings) -> float:
    """From the rule's own at the threshold to 0.95 where the surprise is extreme."""
    reach = (verdict.bits - s.tell_bits) / (s.high_bits - s.tell_bits)
    return round(0.5 + 0.45 * max(0.0, min(1.0, reach)), 2)
