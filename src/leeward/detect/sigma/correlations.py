"""Sigma's correlations, read: those that can be told as events come, in bounded memory.

Not done, and said so: what did not happen (lt, lte, eq, neq), sums and averages, conditions in words, correlations of
correlations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationType,
)

from leeward.detect.sigma.describing import MALFORMED, Refused, about, plain
from leeward.detect.sigma.events import fields_of
from leeward.detect.sigma.lines import Document
from leeward.detect.sigma.ruleset import Complaint, Correlation, Rule

_KINDS = {
    SigmaCorrelationType.EVENT_COUNT: "event_count",
    SigmaCorrelationType.VALUE_COUNT: "value_count",
    SigmaCorrelationType.TEMPORAL: "temporal",
    SigmaCorrelationType.TEMPORAL_ORDERED: "temporal_ordered",
}
_MOST = 10_000  # events or values of a group that are remembered
_MOST_SPAN_S = 7 * 86400


def correlations(
    documents: Iterable[tuple[str, Document]], rules: Sequence[Rule]
) -> tuple[list[Correlation], set[int], list[Complaint]]:
    """The correlations; numbers of rules that are there for them only; complaints."""
    named: dict[str, int] = {}
    for number, rule in enumerate(rules):
        for name in (rule.about.id, rule.about.name):
            if name:
                named.setdefault(name, number)
    found: list[Correlation] = []
    quiet: set[int] = set()
    complaints: list[Complaint] = []
    for file, document in documents:
        try:
            correlation, generate = _correlation(file, document, rules, named)
        except Refused as refused:
            complaints.append(Complaint(file, *refused.args))
            continue
        found.append(correlation)
        if not generate:
            quiet.update(correlation.rules)
    return found, quiet, complaints


def _correlation(
    file: str, document: Document, rules: Sequence[Rule], named: dict[str, int]
) -> tuple[Correlation, bool]:
    line = document.lines["correlation"]
    try:
        read = SigmaCorrelationRule.from_dict(document.data)
    except MALFORMED as error:
        raise Refused(line, f"correlation: {plain(error)}") from error
    if read.type not in _KINDS:
        raise Refused(
            line, f"correlation: type {read.type.name.lower()} is not supported: counts and temporal ones are"
        )
    if read.timespan.seconds > _MOST_SPAN_S:
        raise Refused(line, f"correlation: timespan {read.timespan.spec} is not supported: at most seven days are")
    numbers = []
    for reference in read.rules or ():
        if reference.reference not in named:
            raise Refused(line, f"correlation: there is no rule {reference.reference} that runs")
        numbers.append(named[reference.reference])
    kind = _KINDS[read.type]
    condition = read.condition
    if not isinstance(condition, SigmaCorrelationCondition):
        raise Refused(line, "correlation: a condition in words is not supported")
    counted = [condition.fieldref] if isinstance(condition.fieldref, str) else condition.fieldref or []
    return Correlation(
        about(file, document), kind, tuple(numbers),
        _fields(line, read, rules, numbers, read.group_by or []),
        _fields(line, read, rules, numbers, counted if kind == "value_count" else []),
        len(set(numbers)) if kind.startswith("temporal") else _least(line, condition),
        read.timespan.seconds * 10**9,
    ), bool(read.generate)  # fmt: skip


def _least(line: int, condition: SigmaCorrelationCondition) -> int:
    """How many are enough."""
    op, count = condition.op, condition.count
    if op not in (SigmaCorrelationConditionOperator.GTE, SigmaCorrelationConditionOperator.GT):
        raise Refused(line, f"correlation: condition {op.name.lower()} is not supported: gt and gte are")
    least = int(count) + 1 if op is SigmaCorrelationConditionOperator.GT else -int(-count // 1)
    if not 1 <= least <= _MOST:
        raise Refused(line, f"correlation: a count of {count} is not supported: 1 to {_MOST} are")
    return least


def _fields(
    line: int, read: SigmaCorrelationRule, rules: Sequence[Rule], numbers: Sequence[int], names: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """The fields of these names, as each rule's events call them."""
    found = []
    for reference, number in zip(read.rules or (), numbers, strict=True):
        real = []
        for name in names:
            alias = read.aliases.aliases.get(name)
            mapped = {ref.reference: field for ref, field in alias.mapping.items()} if alias is not None else {}
            field = mapped.get(reference.reference, name)
            category = rules[number].category.removesuffix("_answered")
            if field not in fields_of(category):
                raise Refused(line, f"correlation: {field}: no such field in {category} events")
            real.append(field)
        found.append(tuple(real))
    return tuple(found)
