"""Which rules match, and what is to be done: all policies of an installation as one object.

Invariants: it is made of good files only and never changes. A decision depends on the facts alone. A condition that has no value
does not match, and is counted. Rules of other stages and workloads cost nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from leeward.model.errors import InputError
from leeward.model.finding import SEVERITIES
from leeward.model.net import Endpoint
from leeward.model.process import Workload
from leeward.policy.cel import Bound, EvaluationError
from leeward.policy.document import Policy, Rule, Waiver, load_policy
from leeward.policy.facts import DATA_FIELDS, FACTS, STAGES, blank, flat, namespace_of
from leeward.policy.kinds import ANY, needs_data

ACTIONS = ("allow", "observe", "alert", "redact", "block", "kill")
"""From the mildest to the worst."""
_TAKES = frozenset(("redact", "block", "kill"))
_CONTENT = ("request", "response")
_MOST_WORKLOADS = 4096
_SHORT, _FEW = 256, 16  # characters, entries
_SUFFIXES = (".yaml", ".yml")
_EMPTY = flat(blank(), FACTS)


class Decision(msgspec.Struct, frozen=True):
    """What follows from one rule that matched.

    action: what is to be done, as far as the policy's mode lets it: "allow" if an exception applies, else observe, alert, redact,
    block or kill. wanted: what the rule says. redact: kinds to be masked, exact or with a * at the end. finding: the rule of the
    finding to raise, "" for none. deadline_ms, fail: what to do when the verdict is late. exception: the one that applies, "" for
    none. evidence: controls that this is evidence for.
    """

    action: str
    policy: str
    rule: str
    severity: str
    message: str
    redact: tuple[str, ...] = ()
    finding: str = ""
    deadline_ms: int = 50
    fail: str = "open"
    mode: str = "observe"
    evidence: str = ""
    exception: str = ""
    wanted: str = ""


class Scoped(msgspec.Struct, frozen=True):
    """What concerns one workload. connect, content, process: has it rules for connections, payloads, programs. hold: may one of
    them stop or change a payload, so that requests have to be held. kinds: of the data that the payload's rules are about.
    deadline_ms: the shortest of those policies'. fail: "closed" if one of them says so. gateways: where all policies
    with rules for connections let it go, whatever the name."""

    connect: bool = False
    content: bool = False
    process: bool = False
    hold: bool = False
    kinds: frozenset[str] = frozenset()
    deadline_ms: int = 50
    fail: str = "open"
    gateways: frozenset[Endpoint] = frozenset()


class _Stage(msgspec.Struct, frozen=True):
    """A policy's rules at one stage. facts: names that are to be bound; known: those
    of them that are known at this stage, whatever is given. derived: variables to be worked out, in order."""

    policy: Policy
    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...]
    facts: tuple[str, ...]
    known: tuple[str, ...]
    derived: tuple[str, ...]


class Policies:
    """counters: `policy_errors` (conditions without a value), `policy_matches`, `policy_excepted`. needs_data: no rule has
    anything against a connection or a request in which no sensitive data is found."""

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        self.counters: Counter[str] = Counter()
        self.policies = tuple(policies)
        self.warnings = [line for policy in self.policies for line in policy.warnings]
        self._stages = {stage: [s for p in self.policies if (s := _stage(p, stage))] for stage in STAGES}
        self.needs_data = all(map(_needs_data, (*self._stages["connect"], *self._stages["request"])))
        self._covered: dict[Any, frozenset[str]] = {}
        self._nothing: set[Any] = set()  # facts that no rule of a stage matched, without an error

    @classmethod
    def load(cls, paths: Iterable[Path]) -> Policies:
        """paths: files, and folders with *.yaml in them. Raises InputError: every complaint, a line each."""
        complaints: list[str] = []
        policies: dict[str, Policy] = {}
        for path in policy_files(paths):
            try:
                policy = load_policy(path)
            except InputError as error:
                complaints.append(str(error))
                continue
            if (other := policies.get(policy.name)) is not None:
                complaints.append(f"{path}:1: metadata.name: {policy.name} is the name of {other.source} too")
            policies[policy.name] = policy
        if complaints:
            raise InputError("\n".join(complaints))
        return cls(policies.values())

    @property
    def kinds(self) -> frozenset[str]:
        """Of the data that any rule for payloads is about: exact, or with a * at the end; {"*"} where it cannot be told."""
        return _kinds(stage for name in _CONTENT for stage in self._stages[name])

    def decide(self, stage: str, facts: Mapping[str, Any]) -> list[Decision]:
        """All rules that match, the worst action first. An empty list: nothing is against it. stage: one of STAGES."""
        staged = self._stages[stage]
        if not staged:
            return []
        if stage == "connect":
            staged = _beside_gateways(staged, facts.get("destination") or {})
        covered = self._covering(facts.get("workload") or {})
        found = [d for s in staged if s.policy.name in covered for d in self._of(s, facts)]
        if len(found) > 1:
            found.sort(key=lambda d: (-ACTIONS.index(d.action), -SEVERITIES.index(d.severity)))
        return found

    def scope(self, workload: Workload, labels: Mapping[str, str]) -> Scoped:
        """What concerns this workload."""
        namespace = namespace_of(workload.id)
        covered = self._covering({"id": workload.id, "name": workload.name, "namespace": namespace, "labels": labels})
        mine = {name: [s for s in staged if s.policy.name in covered] for name, staged in self._stages.items()}
        content = [s for name in _CONTENT for s in mine[name]]
        return Scoped(
            connect=bool(mine["connect"]),
            content=bool(content),
            process=bool(mine["process"]),
            hold=any(s.policy.mode == "enforce" and any(r.action in _TAKES for r in s.rules) for s in content),
            kinds=_kinds(content),
            deadline_ms=min((s.policy.deadline_ms for s in content), default=50),
            fail="closed" if any(s.policy.fail == "closed" for s in content) else "open",
            gateways=_shared(s.policy.gateways for s in mine["connect"]),
        )

    def names(self) -> frozenset[str]:
        """Facts that any condition uses."""
        return frozenset(name for staged in self._stages.values() for s in staged for name in s.facts)

    def data_fields(self) -> frozenset[str]:
        """Fields of the pieces of data that any condition uses."""
        conditions = [rule.when for p in self.policies for rule in p.rules]
        conditions += [waiver.when for p in self.policies for waiver in p.waivers]
        conditions += [condition for p in self.policies for condition in p.variables.values()]
        names = frozenset(part.name for c in conditions for part in c.tree.walk() if part.kind in ("field", "has"))
        return names & frozenset(DATA_FIELDS)

    def _covering(self, workload: Mapping[str, Any]) -> frozenset[str]:
        """Names of the policies that are for it."""
        id_, name = workload.get("id", ""), workload.get("name", "")
        namespace, labels = workload.get("namespace", ""), workload.get("labels") or {}
        key = (id_, name, namespace, *labels.items())
        covered = self._covered.get(key)
        if covered is None:
            covered = frozenset(p.name for p in self.policies if p.scope.covers(id_, name, namespace, labels))
            if len(self._covered) >= _MOST_WORKLOADS:
                self._covered.clear()
            self._covered[key] = covered
        return covered

    def _of(self, stage: _Stage, facts: Mapping[str, Any]) -> list[Decision]:
        policy = stage.policy
        given = flat(facts, stage.known)
        same = _same(stage, given)
        if same in self._nothing:
            return []
        errors = self.counters["policy_errors"]
        try:
            bound = self._bind(stage, given)
        except EvaluationError:
            self.counters["policy_errors"] += len(stage.rules)
            return []
        found = []
        for rule in stage.rules:
            if not self._true(rule, bound):
                continue
            self.counters["policy_matches"] += 1
            waiver = self._waived(stage, rule, bound, facts.get("time"))
            self.counters["policy_excepted"] += bool(waiver)
            found.append(_decision(policy, rule, waiver))
        if same is not None and not found and self.counters["policy_errors"] == errors:
            if len(self._nothing) >= _MOST_WORKLOADS:
                self._nothing.clear()
            self._nothing.add(same)
        return found

    def _bind(self, stage: _Stage, given: dict[str, Any]) -> Bound:
        policy = stage.policy
        values = {name: _EMPTY[name] for name in stage.facts} | given | policy.constants
        for name in stage.derived:
            try:
                values[name] = policy.variables[name].value(policy.environment.bind(values))
            except EvaluationError:  # then what needs it has no value either, and is counted
                continue
        return policy.environment.bind(values)

    def _true(self, conditioned: Rule | Waiver, bound: Bound) -> bool:
        try:
            return conditioned.when.value(bound) is True
        except EvaluationError:
            self.counters["policy_errors"] += 1
            return False

    def _waived(self, stage: _Stage, rule: Rule, bound: Bound, time: datetime | None) -> str:
        for waiver in stage.waivers:
            if waiver.rules and rule.name not in waiver.rules:
                continue
            if time is not None and time.date() <= waiver.expires and self._true(waiver, bound):
                return waiver.name
        return ""


def _beside_gateways(stages: list[_Stage], destination: Mapping[str, Any]) -> list[_Stage]:
    """Those whose policies do not leave this destination to a gateway."""
    if not any(stage.policy.gateways for stage in stages):
        return stages
    to = Endpoint(destination.get("ip", ""), destination.get("port", 0))
    return [stage for stage in stages if to not in stage.policy.gateways]


def _shared(several: Iterable[frozenset[Endpoint]]) -> frozenset[Endpoint]:
    """What all of them have."""
    first, *others = [*several] or [frozenset()]
    return first.intersection(*others)


def policy_files(paths: Iterable[Path]) -> list[Path]:
    """Each file once, in order. Raises InputError for a path that is not there or a folder without policies."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
            if not files:
                raise InputError(f"{path}: no policy in this folder: they end with {' or '.join(_SUFFIXES)}")
            found.update(dict.fromkeys(files))
        elif path.exists():
            found[path] = None
        else:
            raise InputError(f"{path}: no such file or folder")
    return list(found)


def capped(action: str, mode: str) -> str:
    """What a policy of this mode may do of an action."""
    if mode == "observe":
        return "observe"
    return "alert" if mode == "alert" and action in _TAKES else action


def _decision(policy: Policy, rule: Rule, exception: str) -> Decision:
    return Decision(
        action="allow" if exception else capped(rule.action, policy.mode), policy=policy.name, rule=rule.name,
        severity=rule.severity, message=rule.message, redact=rule.redact,
        finding="" if exception or policy.mode == "observe" or rule.action == "observe" else rule.finding,
        deadline_ms=policy.deadline_ms, fail=policy.fail, mode=policy.mode, evidence=rule.evidence,
        exception=exception, wanted=rule.action,
    )  # fmt: skip


def _same(stage: _Stage, given: Mapping[str, Any]) -> Any:
    """What stands for a stage and facts that are short and come again; None for others (a time never does)."""
    key: list[Any] = [stage.policy.name, stage.rules[0].stage]
    for name, value in given.items():
        if isinstance(value, str | int):
            short = isinstance(value, int) or len(value) <= _SHORT
        else:
            short = isinstance(value, list) and len(value) <= _FEW and all(isinstance(v, str) for v in value)
            short = short and sum(map(len, value)) <= _SHORT
            value = tuple(value) if short else ()
        if not short:
            return None
        key.append((name, value))
    return tuple(key)


def _stage(policy: Policy, name: str) -> _Stage | None:
    """None if the policy has no rules there."""
    rules = tuple(rule for rule in policy.rules if rule.stage == name)
    if not rules:
        return None
    waivers = tuple(w for w in policy.waivers if not w.rules or any(rule.name in w.rules for rule in rules))
    used = frozenset().union(*(r.names for r in rules), *(w.names for w in waivers))
    derived = tuple(v for v in policy.variables if v in used and v not in policy.constants)
    named = tuple(sorted(used & FACTS.keys()))
    return _Stage(policy, rules, waivers, named, tuple(n for n in named if name in FACTS[n].stages), derived)


def _needs_data(stage: _Stage) -> bool:
    variables = {name: condition.tree for name, condition in stage.policy.variables.items()}
    return all(needs_data(rule.when.tree, variables) for rule in stage.rules)


def _kinds(stages: Iterable[_Stage]) -> frozenset[str]:
    kinds = frozenset(kind for stage in stages for rule in stage.rules for kind in rule.kinds)
    return ANY if "*" in kinds else kinds
