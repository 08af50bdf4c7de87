"""The examples in a policy file: does it make of them what its author meant?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from leeward.policy.document import Policy, Trial
from leeward.policy.facts import blank
from leeward.policy.policies import ACTIONS, Decision, Policies
from leeward.policy.scope import Scope

_STAGES = ("connect", "request", "response")


class Outcome(msgspec.Struct, frozen=True):
    """One example's. wrong: what is different from what was expected, "" if nothing is."""

    policy: str
    trial: Trial
    action: str
    rule: str
    wrong: str


def try_policy(policy: Policy, now: datetime) -> Iterator[Outcome]:
    """All examples of a policy. now: the time of those that name none. Without a workload the scope is not asked."""
    anywhere = msgspec.structs.replace(policy, scope=Scope())
    for trial in policy.trials:
        judge = Policies([policy if "workload" in trial.given else anywhere])
        facts = _facts(trial.given, now)
        stages = (trial.stage,) if trial.stage else _STAGES
        found = [decision for stage in stages for decision in judge.decide(stage, facts)]
        yield _outcome(policy, trial, found)


def _facts(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    facts = {**blank(), "time": now}
    for name, value in given.items():
        facts[name] = {**facts[name], **value} if isinstance(facts[name], dict) else value
    return facts


def _outcome(policy: Policy, trial: Trial, found: list[Decision]) -> Outcome:
    acts = {d.rule: "allow" if d.exception else d.wanted for d in found}
    action = max(acts.values(), key=ACTIONS.index, default="allow")
    rule = next((name for name, act in acts.items() if act == action != "allow"), "")
    wrong = ""
    if action != trial.expect:
        wrong = f"expected {trial.expect}, but it is {action}" + (f" by {rule}" if rule else "")
    elif trial.rule and acts.get(trial.rule, "allow") != trial.expect:
        wrong = f"expected {trial.expect} by {trial.rule}, but it is by {rule or 'none'}"
    return Outcome(policy.name, trial, action, rule, wrong)
