"""How bad a chain is: at least as bad as the worst in it, worse by one where it is whole, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from leeward.detect.tactics import tactics, whole
from leeward.detect.traits import Traits
from leeward.model.finding import SEVERITIES

_CHAIN = 3
"""Different tactics in a plausible order. Two follow each other by accident now and then; a third in order makes it a course of
action."""
_SURE = 0.5  # a finding that is more likely wrong than right makes nothing worse
_MOST = 0.99


class Weighed(msgspec.Struct, frozen=True):
    """tactics: in order of time. why: the reason for a severity above the worst finding's, "" for none."""

    severity: str = "info"
    confidence: float = 0.0
    tactics: tuple[str, ...] = ()
    why: str = ""


def weigh(members: Iterable[Traits], confidences: Mapping[str, float]) -> Weighed:
    """confidences: of the findings, by id."""
    ordered = sorted(members, key=lambda t: (t.first, t.id))
    worst = max((t.rank for t in ordered), default=0)
    telling = [t for t in ordered if t.rank and confidences.get(t.id, 0.0) >= _SURE]
    served = list(dict.fromkeys(t.tactic for t in ordered if t.tactic and (t.rank or not worst)))
    course = tactics().longest(t.tactic for t in telling)
    why = ""
    if len(telling) > 1 and worst < len(SEVERITIES) - 1:
        if whole([(t.tactic, t.tactics) for t in telling]):
            why = "a way in, something run and a way out are together"
        elif len(course) >= _CHAIN and _onward(course):
            why = f"{', '.join(course)} follow each other"
    raised = worst + bool(why)
    if why:
        why = f"raised from {SEVERITIES[worst]} to {SEVERITIES[raised]}: {why}"
    return Weighed(SEVERITIES[raised], _confidence(ordered, worst, confidences), tuple(served), why)


def _onward(course: list[str]) -> bool:
    """Does it come to another phase at all?"""
    phase = tactics().phase
    return len({phase[tactic] for tactic in course}) > 1


def _confidence(members: list[Traits], worst: int, confidences: Mapping[str, float]) -> float:
    """That at least one of its serious findings is right, taking different rules as independent witnesses."""
    serious = [t for t in members if t.rank >= min(worst, SEVERITIES.index("medium"))]
    best: dict[str, float] = {}
    for t in serious:
        best[t.name] = max(best.get(t.name, 0.0), min(1.0, max(0.0, confidences.get(t.id, 0.0))))
    wrong = 1.0
    for confidence in best.values():
        wrong *= 1.0 - confidence
    single = max(best.values(), default=0.0)
    return round(max(single, min(_MOST, 1.0 - wrong)), 2)
