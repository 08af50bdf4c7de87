"""A policy file: YAML, checked against policy.schema.json, its conditions compiled.

Invariant: a file is a policy or it is every complaint about it, each with file and line.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from leeward.ai.datafile import Record, Schema, meant, read_text
from leeward.detect.rule import rules
from leeward.model.errors import InputError
from leeward.model.finding import SEVERITIES
from leeward.model.net import Endpoint
from leeward.policy import facts
from leeward.policy.cel import Bound, Condition, ConditionError, Environment, EvaluationError
from leeward.policy.expression import Expr
from leeward.policy.facts import FACTS
from leeward.policy.given import Given
from leeward.policy.kinds import ANY, kinds_of
from leeward.policy.scope import Scope
from leeward.policy.source import Source

_SCHEMA = Path(__file__).parent / "policy.schema.json"
_STANDARD = Environment(facts.TYPES)
_DEADLINE_MS, _SHORTEST_MS, _LONGEST_MS = 50, 1, 10_000
_MOST_FILE = 1 << 20
_TAKES = frozenset(("redact", "block", "kill"))
_SEVERITY = "medium"


class Rule(msgspec.Struct, frozen=True):
    """The fields are explained in policy.schema.json. kinds: of the data that it is about. names: facts and variables that the
    condition uses, through variables too. redact: kinds to be masked. line: in the file."""

    name: str
    stage: str
    when: Condition
    action: str
    redact: tuple[str, ...]
    severity: str
    message: str
    finding: str
    evidence: str
    kinds: frozenset[str]
    names: frozenset[str]
    line: int


class Waiver(msgspec.Struct, frozen=True):
    """An exception from rules. rules: their names, empty for all. expires: the last day on which it holds."""

    name: str
    owner: str
    reason: str
    expires: date
    when: Condition
    rules: frozenset[str]
    names: frozenset[str]
    line: int


class Trial(msgspec.Struct, frozen=True):
    """An example with what the policy has to make of it. stage: "" for all but process."""

    name: str
    given: dict[str, Any]
    stage: str
    expect: str
    rule: str
    line: int


class Policy(msgspec.Struct, frozen=True):
    """The fields are explained in policy.schema.json. constants: variables that do not depend on facts. warnings: a line each."""

    name: str
    description: str
    owner: str
    mode: str
    scope: Scope
    deadline_ms: int
    fail: str
    gateways: frozenset[Endpoint]
    environment: Environment
    variables: dict[str, Condition]
    constants: dict[str, Any]
    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...]
    trials: tuple[Trial, ...]
    source: str
    warnings: tuple[str, ...] = ()


def load_policy(path: Path) -> Policy:
    """Raises InputError: every complaint, a line each."""
    text = read_text(path)
    if len(text) > _MOST_FILE:
        raise InputError(f"{path}: longer than {_MOST_FILE >> 20} MiB: that is no policy")
    return parse_policy(text, str(path))


def parse_policy(text: str, name: str) -> Policy:
    """As `load_policy`, for text that came from `name`."""
    from leeward.ai.yamlfile import parse_yaml  # only who has policies needs it

    document = parse_yaml(text, name, Schema.read(_SCHEMA), all_complaints=True)
    reader = _Reader(Source(name, text))
    policy = reader.read(document)
    if reader.complaints:
        raise InputError("\n".join(reader.complaints))
    return msgspec.structs.replace(policy, warnings=tuple(reader.warnings))


class _Reader:
    """Makes the policy, and keeps what is wrong."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.complaints: list[str] = []
        self.warnings: list[str] = []
        self.environment = _STANDARD
        self.variables: dict[str, Condition] = {}
        self.constants: dict[str, Any] = {}

    def read(self, document: Record) -> Policy:
        metadata, spec = document["metadata"], document["spec"]
        self._texts(metadata.get("labels", {}), "metadata.labels")
        scope = spec.get("scope", {})
        self._texts(scope.get("labels", {}), "spec.scope.labels")
        self._read_variables(spec.get("variables", {}))
        read = [self._rule(record, f"spec.rules[{i}]") for i, record in enumerate(spec["rules"])]
        self._once(spec["rules"], "spec.rules")
        names = [record["name"] for record in spec["rules"]]
        waivers = [self._waiver(r, f"spec.exceptions[{i}]", names) for i, r in enumerate(spec.get("exceptions", ()))]
        self._once(spec.get("exceptions", ()), "spec.exceptions")
        self._waivers_in_time([w for w in waivers if w], [rule for rule in read if rule])
        trials = [self._trial(r, f"spec.tests[{i}]", names) for i, r in enumerate(spec.get("tests", ()))]
        return Policy(
            name=metadata["name"],
            description=" ".join(metadata.get("description", "").split()),
            owner=metadata.get("owner", ""),
            mode=spec.get("mode", "observe"),
            scope=Scope.of(scope) if not self.complaints else Scope(),
            deadline_ms=self._deadline(spec),
            fail=spec.get("fail", "open"),
            gateways=self._gateways(spec),
            environment=self.environment,
            variables=self.variables,
            constants=self.constants,
            rules=tuple(rule for rule in read if rule is not None),
            waivers=tuple(waiver for waiver in waivers if waiver is not None),
            trials=tuple(trials),
            source=self.source.name,
        )

    def complain(self, line: int, where: str, what: str) -> None:
        self.complaints.append(f"{self.source.name}:{line}: {where}: {what}")

    def warn(self, line: int, where: str, what: str) -> None:
        self.warnings.append(f"{self.source.name}:{line}: {where}: {what}")

    def _texts(self, record: Record | dict[str, Any], where: str) -> None:
        for key, value in record.items():
            if not isinstance(value, str):
                self.complain(record.lines[key], f"{where}.{key}", "must be text: put it in quotes")  # type: ignore[union-attr]

    def _once(self, records: Iterable[Record], where: str) -> None:
        seen: dict[str, int] = {}
        for record in records:
            line = record.lines["name"]
            if record["name"] in seen:
                self.complain(
                    line, where, f"the name {record['name']} is given twice, first in line {seen[record['name']]}"
                )
            seen.setdefault(record["name"], line)

    def _deadline(self, spec: Record) -> int:
        text = spec.get("deadline", f"{_DEADLINE_MS}ms")
        ms = int(text[:-2]) if text.endswith("ms") else int(text[:-1]) * 1000
        if not _SHORTEST_MS <= ms <= _LONGEST_MS:
            self.complain(
                spec.lines["deadline"], "spec.deadline", f"must be between {_SHORTEST_MS}ms and {_LONGEST_MS}ms"
            )
        return ms

    def _gateways(self, spec: Record) -> frozenset[Endpoint]:
        found = set()
        for text in spec.get("gateways", ()):
            ip, port = facts.endpoint(text)
            try:
                found.add(Endpoint(str(ipaddress.ip_address(ip)), port))
            except ValueError as error:
                self.complain(spec.lines["gateways"], "spec.gateways", str(error))
            if not 0 < port < 65536:
                self.complain(spec.lines["gateways"], "spec.gateways", f"{text}: ports go from 1 to 65535")
        return frozenset(found)

    def _read_variables(self, record: Record | dict[str, Any]) -> None:
        for name, text in record.items():
            where = f"spec.variables.{name}"
            line = record.lines[name]  # type: ignore[union-attr]
            if not isinstance(text, str) or not text.strip():
                self.complain(line, where, "must be CEL, as text: ['openai', 'anthropic'] goes in quotes")
                continue
            if not name.isidentifier() or not name.isascii():
                self.complain(line, where, "must be a word: letters, digits and _")
                continue
            condition = self._compile(record, name, where)  # type: ignore[arg-type]
            if condition is None:
                continue
            self.variables[f"variables.{name}"] = condition
            self.environment = _STANDARD.with_conditions(self.variables)
            if not any(used in FACTS for used in self._names(condition.tree)):
                self._constant(f"variables.{name}", condition, line, where)

    def _constant(self, name: str, condition: Condition, line: int, where: str) -> None:
        try:
            self.constants[name] = condition.value(self.environment.bind(self.constants))
        except EvaluationError as error:
            self.complain(line, where, f"has no value: {error}")

    def _compile(self, record: Record, key: str, where: str) -> Condition | None:
        try:
            condition = self.environment.compile(record[key])
        except ConditionError as error:
            line = self.source.line_of(record.lines[key], key, record[key], error.line, error.column)
            self.complain(line, where, _told(error, self.environment.names))
            return None
        line = record.lines[key]
        for what in _wrong_fields(condition.tree):
            self.complain(line, where, what)
        for label in _unguarded(condition.tree):
            self.warn(line, where, f"has no value, and is no match, where there is no label `{label}`: "
                      f"say `'{label}' in workload.labels && ...` or name it in the scope")  # fmt: skip
        return condition

    def _names(self, tree: Expr) -> frozenset[str]:
        """Of a condition, those of its variables among them."""
        names = tree.names()
        for name in tree.names() & self.variables.keys():
            names |= self._names(self.variables[name].tree)
        return names

    def _condition(self, record: Record, where: str) -> Condition | None:
        condition = self._compile(record, "when", f"{where}.when")
        if condition is not None and condition.type not in ("BOOL", "DYN"):
            what = f"must be true or false, but is of type {condition.type.lower()}"
            self.complain(record.lines["when"], f"{where}.when", what)
            return None
        return condition

    def _rule(self, record: Record, where: str) -> Rule | None:
        action, finding = record["action"], record.get("finding", "")
        if finding and finding not in rules():
            self.complain(
                record.lines["finding"], f"{where}.finding", f"unknown rule `{finding}`{meant(finding, rules())}"
            )
        if not finding and action != "observe":
            self.complain(record.line, where, f"needs finding, the rule that it raises: {', '.join(sorted(rules()))}")
        if "redact" in record and action != "redact":
            self.complain(record.lines["redact"], f"{where}.redact", "is for the action redact only")
        condition = self._condition(record, where)
        if condition is None:
            return None
        names = self._names(condition.tree)
        stage = self._stage(record, where, names & FACTS.keys())
        kinds = self._kinds(condition.tree)
        if action == "redact" and stage not in ("request", "response"):
            self.complain(record.lines["action"], f"{where}.action", f"nothing can be masked at the stage {stage}")
        if action == "redact" and not kinds and "redact" not in record:
            self.complain(record.line, where, "needs redact, the kinds of data to mask: its condition names none")
        if action in _TAKES | {"alert"}:
            self._careful(record, where, stage, condition)
        return Rule(
            name=record["name"], stage=stage, when=condition, action=action,
            redact=tuple(record.get("redact", sorted(kinds) if action == "redact" else ())),
            severity=record.get("severity") or _severity(finding, kinds),
            message=" ".join(record.get("message", "").split()), finding=finding,
            evidence="; ".join(record.get("evidence", ())),
            kinds=kinds | frozenset(record.get("redact", ())), names=names, line=record.line,
        )  # fmt: skip

    def _kinds(self, tree: Expr) -> frozenset[str]:
        kinds = kinds_of(tree, self.constants)
        for name in tree.names() & self.variables.keys():
            kinds |= self._kinds(self.variables[name].tree)
        return ANY if "*" in kinds else kinds

    def _stage(self, record: Record, where: str, names: Iterable[str]) -> str:
        stages = [stage for stage in facts.STAGES if all(stage in FACTS[name].stages for name in names)]
        stage: str = record.get("on", stages[0])
        if stage not in stages:
            late = ", ".join(sorted(name for name in names if stage not in FACTS[name].stages))
            self.complain(
                record.lines["on"], f"{where}.on", f"at {stage} nothing is known yet of {late}: say {stages[0]}"
            )
        return stage

    def _careful(self, record: Record, where: str, stage: str, condition: Condition) -> None:
        """Does it match what nothing is known of?"""
        try:
            matches = condition.value(self._bound(facts.blank())) is True
        except EvaluationError as error:
            self.warn(
                record.lines["when"], f"{where}.when", f"has no value, and is no match, where nothing is known: {error}"
            )
            return
        if matches and stage == "connect":
            self.warn(record.lines["when"], f"{where}.when", "matches every connection to what is no AI service too: "
                      "say `provider != '' && ...`")  # fmt: skip

    def _bound(self, given: Mapping[str, Any]) -> Bound:
        values = facts.flat(given, FACTS) | self.constants
        for name, condition in self.variables.items():
            if name not in self.constants:
                values[name] = condition.value(self.environment.bind(values))
        return self.environment.bind(values)

    def _waiver(self, record: Record, where: str, names: list[str]) -> Waiver | None:
        for name in record.get("rules", ()):
            if name not in names:
                self.complain(record.lines["rules"], f"{where}.rules", f"unknown rule `{name}`{meant(name, names)}")
        condition = self._condition(record, where)
        try:
            expires = date.fromisoformat(record["expires"])
        except ValueError:
            self.complain(record.lines["expires"], f"{where}.expires", "is no day of the calendar")
            return None
        if condition is None:
            return None
        return Waiver(
            record["name"], record["owner"], record["reason"], expires, condition,
            frozenset(record.get("rules", ())), self._names(condition.tree), record.line,
        )  # fmt: skip

    def _waivers_in_time(self, waivers: list[Waiver], read: list[Rule]) -> None:
        for waiver in waivers:
            for rule in read:
                late = {n for n in waiver.names & FACTS.keys() if rule.stage not in FACTS[n].stages}
                if late and (not waiver.rules or rule.name in waiver.rules):
                    what = f"rule {rule.name} is of the stage {rule.stage}, at which nothing is known yet of "
                    what += ", ".join(sorted(late))
                    self.warn(waiver.line, f"exception {waiver.name}", what)

    def _trial(self, record: Record, where: str, names: list[str]) -> Trial:
        if "rule" in record and record["rule"] not in names:
            rule = record["rule"]
            self.complain(record.lines["rule"], f"{where}.rule", f"unknown rule `{rule}`{meant(rule, names)}")
        given = Given(record["given"], f"{where}.given")
        for line, place, what in given.complaints:
            self.complain(line, place, what)
        return Trial(
            record["name"], given.facts, record.get("stage", ""), record["expect"], record.get("rule", ""), record.line
        )


def _severity(finding: str, kinds: Iterable[str]) -> str:
    """How bad the finding's own rule says that it is, the worst of these kinds of data."""
    rule = rules().get(finding)
    if rule is None:
        return _SEVERITY
    return rule.level or max(filter(None, map(rule.severity_of, kinds)), key=SEVERITIES.index, default=_SEVERITY)


def _told(error: ConditionError, known: list[str]) -> str:
    if not error.unknown:
        return error.what
    if "." in error.unknown or any(error.unknown == name.partition(".")[0] for name in known):
        group = error.unknown.partition(".")[0]
        near = [name for name in known if name.startswith(f"{group}.")]
        return f"unknown field `{error.unknown}`{meant(error.unknown, near or known)}"
    return f"unknown field `{error.unknown}`{meant(error.unknown, [*known, *_FUNCTIONS])}"


_FUNCTIONS = "startsWith endsWith contains matches size exists exists_one all filter map has timestamp duration".split()  # noqa: SIM905


def _wrong_fields(tree: Expr) -> list[str]:
    """Fields that pieces of data do not have."""
    return [
        f"unknown field `{part.name}` of data{meant(part.name, facts.DATA_FIELDS)}"
        for fold in tree.walk()
        if fold.kind == "fold" and fold.parts[0].name == "data"
        for part in fold.walk()
        if part.kind in ("field", "has")
        and part.parts[0].kind == "name"
        and part.parts[0].name == fold.name
        and part.name not in facts.DATA_FIELDS
    ]


def _unguarded(tree: Expr) -> list[str]:
    """Labels that are taken for granted."""
    used, asked = set(), set()
    for part in tree.walk():
        if not any(inner.name == "workload.labels" for inner in part.parts):
            continue
        if part.kind == "field":
            used.add(part.name)
        elif part.kind == "has":
            asked.add(part.name)
        elif part.kind == "call" and isinstance(part.parts[-1].value, str) and part.name == "_[_]":
            used.add(part.parts[-1].value)
        elif part.kind == "call" and part.name == "@in":
            asked.add(str(part.parts[0].value))
    return sorted(used - asked)
