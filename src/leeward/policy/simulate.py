"""What policies would have done to what was seen before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from leeward.policy.facts import DATA_FIELDS, blank, endpoint
from leeward.policy.policies import ACTIONS, Decision, Policies
from leeward.policy.seen import Seen

_STAGES = (("connect", "request"), ("request", "request"), ("response", "response"))
TOLD = ("workload.id", "workload.name", "provider", "model", "destination.domain")
"""Facts by which an outcome is told, whether conditions use them or not."""


class Outcome(msgspec.Struct):
    """What a rule would have done to exchanges of one workload. action: "allow" where an exception applies."""

    policy: str
    rule: str
    action: str
    severity: str
    exception: str
    workload: str
    workload_name: str
    provider: str
    model: str
    domain: str
    count: int = 0
    first: str = ""
    last: str = ""
    example: str = ""


class Simulation(msgspec.Struct):
    """outcomes: the worst and most frequent first. total: exchanges. stopped, masked: those of them that would have been."""

    outcomes: list[Outcome]
    total: int
    combinations: int
    stopped: int
    masked: int


def wanted_names(policies: Policies) -> frozenset[str]:
    """Names of the facts that the history is to be asked for."""
    return policies.names() | frozenset(TOLD) | frozenset(f"data.{field}" for field in policies.data_fields())


def simulate(policies: Policies, history: Iterable[Seen]) -> Simulation:
    """As if all policies enforced. Each combination is judged once. What an exchange's findings were is not known here."""
    outcomes: dict[tuple[str, ...], Outcome] = {}
    result = Simulation([], 0, 0, 0, 0)
    for seen in history:
        result.total += seen.count
        result.combinations += 1
        decisions = [d for stage, side in _STAGES for d in policies.decide(stage, facts_of_seen(seen, side))]
        worst = max((_action(d) for d in decisions), key=ACTIONS.index, default="allow")
        result.stopped += seen.count * (worst in ("block", "kill"))
        result.masked += seen.count * (worst == "redact")
        for decision in decisions:
            _count(outcomes, decision, seen)
    result.outcomes = sorted(outcomes.values(), key=lambda o: (-ACTIONS.index(o.action), -o.count, o.workload, o.rule))
    return result


def facts_of_seen(seen: Seen, side: str) -> dict[str, Any]:
    """As `facts_of`: nested, everything there."""
    facts = blank()
    for name, value in seen.facts.items():
        group, dot, field = name.partition(".")
        if value is None or group == "data":
            continue
        if name == "destination.ip":
            facts["destination"]["ip"] = endpoint(value)[0]
        elif name == "destination.port":
            facts["destination"]["port"] = endpoint(value)[1]
        elif dot:
            facts[group][field] = value
        else:
            facts[name] = value
    facts["time"] = datetime.fromisoformat(seen.facts.get("time") or seen.last)
    data = [piece for piece in seen.facts.get("data", ()) if piece.get("side", "") in ("", side)]
    facts["data"] = [{key: piece[key] for key in DATA_FIELDS if key in piece} for piece in data]
    facts["kinds"] = sorted({piece["kind"] for piece in data})
    return facts


def _action(decision: Decision) -> str:
    return "allow" if decision.exception else decision.wanted


def _count(outcomes: dict[tuple[str, ...], Outcome], decision: Decision, seen: Seen) -> None:
    told = [str(seen.facts.get(name) or "") for name in TOLD]
    key = (decision.policy, decision.rule, decision.exception, *told)
    outcome = outcomes.get(key)
    if outcome is None:
        id_, name, provider, model, domain = told
        outcome = outcomes[key] = Outcome(
            decision.policy, decision.rule, _action(decision), decision.severity, decision.exception,
            id_, name, provider, model, domain,
        )  # fmt: skip
    outcome.count += seen.count
    outcome.first = min(outcome.first or seen.first, seen.first)
    if seen.last >= outcome.last:
        outcome.last, outcome.example = seen.last, seen.example
