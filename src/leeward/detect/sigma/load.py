"""Sigma files in, rules that run out; of each that does not: file, line and why.

Raises InputError only where nothing was named that could be read. One bad rule never keeps another from running.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import yaml
from sigma.conditions import ConditionOR
from sigma.exceptions import (
    SigmaConditionError,
    SigmaLevelError,
    SigmaLogsourceError,
    SigmaStatusError,
    SigmaTagError,
)
from sigma.filters import SigmaFilter
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetectionItem, SigmaRule

from leeward.ai.datafile import meant
from leeward.detect.sigma.correlations import correlations
from leeward.detect.sigma.describing import MALFORMED, Refused, about, plain
from leeward.detect.sigma.events import ANSWERED, CATEGORIES, fields_of
from leeward.detect.sigma.lines import Document, Item, documents
from leeward.detect.sigma.literals import needs
from leeward.detect.sigma.match import Unsupported, compiled, expression
from leeward.detect.sigma.ruleset import Complaint, Rule, RuleSet
from leeward.model.errors import InputError

_MOST_BYTES = 4 << 20
_LINES = {
    SigmaLevelError: "level",
    SigmaLogsourceError: "logsource",
    SigmaStatusError: "status",
    SigmaTagError: "tags",
}


class _Found(msgspec.Struct):
    """A rule as pySigma reads it, and where."""

    file: str
    document: Document
    rule: SigmaRule


def load_sigma(paths: Iterable[Path]) -> RuleSet:
    """All rules of these files, and of the .yml and .yaml files in these folders."""
    complaints: list[Complaint] = []
    found: list[_Found] = []
    filters: list[SigmaFilter] = []
    joined: list[tuple[str, Document]] = []
    for path in _files(paths):
        try:
            read = documents(_text(path))
        except (yaml.YAMLError, OSError, UnicodeDecodeError, RecursionError, InputError) as error:
            complaints.append(_unread(path, error))
            continue
        for document in read:
            try:
                _sort(str(path), document, found, filters, joined)
            except Refused as refused:
                complaints.append(Complaint(str(path), *refused.args))
    rules: list[Rule] = []
    for one in found:
        try:
            rules.append(_rule(one, filters))
        except Refused as refused:
            complaints.append(Complaint(one.file, *refused.args))
    together, quiet, wrong = correlations(joined, rules)
    rules = [msgspec.structs.replace(rule, tells=number not in quiet) for number, rule in enumerate(rules)]
    return RuleSet(tuple(rules), tuple(together), tuple(sorted([*complaints, *wrong])))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            if not path.is_file():
                raise InputError(f"{path}: no such file or folder: name Sigma rules (.yml)")
            yield path
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix in (".yml", ".yaml") and p.is_file())
        if not inside:
            raise InputError(f"{path}: there is no .yml or .yaml file in it: name a folder of Sigma rules")
        yield from inside


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"larger than {_MOST_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8")


def _unread(path: Path, error: Exception) -> Complaint:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return Complaint(str(path), error.problem_mark.line + 1, f"{error.problem or error.context}")
    text = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
    return Complaint(str(path), 1, text)


def _sort(
    file: str,
    document: Document,
    found: list[_Found],
    filters: list[SigmaFilter],
    joined: list[tuple[str, Document]],
) -> None:
    """Puts a document where it belongs."""
    data = document.data
    if data is None:
        return
    if not isinstance(data, dict):
        raise Refused(document.line, "not a Sigma rule: needs title, logsource and detection")
    if "action" in data:
        raise Refused(document.lines["action"], "action is of Sigma's first version: write each rule in full")
    if "correlation" in data:
        joined.append((file, document))
    elif "filter" in data:
        filters.append(_filter(document))
    else:
        found.append(_Found(file, document, _parsed(document)))


def _filter(document: Document) -> SigmaFilter:
    """What is added to the conditions of other rules."""
    for item in document.items("filter"):
        _modifiers(item)
    _fields(document, _category(document), "filter")
    try:
        return SigmaFilter.from_dict(document.data)
    except MALFORMED as error:
        raise Refused(document.lines["filter"], f"filter: {plain(error)}") from error


def _parsed(document: Document) -> SigmaRule:
    """Complaints of pySigma, with a line."""
    if not isinstance(document.data.get("detection"), dict):
        line = document.lines.get("detection", document.line)
        raise Refused(line, "not a Sigma rule: needs a detection with named selections and a condition")
    _category(document)
    for item in document.items():
        _modifiers(item)
    try:
        return SigmaRule.from_dict(document.data)
    except MALFORMED as error:
        line = document.condition() if isinstance(error, SigmaConditionError) else document.line
        key = next((key for kind, key in _LINES.items() if isinstance(error, kind)), "")
        raise Refused(document.lines.get(key, line), plain(error)) from error


def _category(document: Document) -> str:
    """Which of our events the rule is about."""
    source = document.data.get("logsource")
    line = document.lines.get("logsource", document.line)
    if not isinstance(source, dict) or not source:
        raise Refused(line, "not a Sigma rule: needs a logsource with category, product or service")
    product, service, category = (source.get(name) for name in ("product", "service", "category"))
    if product not in (None, "linux"):
        raise Refused(line, f"logsource: product {product}: this is Linux")
    if service is not None:
        raise Refused(line, f"logsource: service {service}: there is no such log here, only events")
    if category is None:
        raise Refused(line, "logsource: no category: it is about lines of a log, and there are only events here")
    if category not in CATEGORIES:
        raise Refused(
            line, f"logsource: category {category}: there are no such events here{meant(str(category), CATEGORIES)}"
        )
    return str(category)


def _modifiers(item: Item) -> None:
    """Those that are there and go together, with a value that they take."""
    field, *modifiers = item.key.split("|")
    for modifier in modifiers:
        if modifier not in modifier_mapping:
            raise Refused(item.line, f"{field}: no modifier {modifier}{meant(modifier, modifier_mapping)}")
    if "re" in modifiers and {"startswith", "endswith"} & set(modifiers):
        raise Refused(item.line, f"{field}: re with startswith or endswith: write ^ or $ into the expression")
    if "re" in modifiers:
        for value in item.value if isinstance(item.value, list) else [item.value]:
            _expression(item, value)
    if "expand" in modifiers:
        raise Refused(item.line, f"{field}: expand: there is no list to take placeholders' values from")
    try:
        SigmaDetectionItem.from_mapping(item.key, item.value)
    except MALFORMED as error:
        raise Refused(item.line, f"{field}: {plain(error)}") from error


def _expression(item: Item, value: object) -> None:
    try:
        expression(str(value))
    except Unsupported as error:
        raise Refused(item.line, f"{item.key}: {error}") from error


def _rule(found: _Found, filters: Iterable[SigmaFilter]) -> Rule:
    document, rule = found.document, found.rule
    category = _category(document)
    if rule.status is not None and rule.status.name in ("DEPRECATED", "UNSUPPORTED"):
        raise Refused(document.lines["status"], f"status: {rule.status.name.lower()}: its authors took it back")
    looks_at = _fields(document, category)
    try:
        for one in filters:
            rule = one.apply_on_rule(rule)
        conditions = [condition.parsed for condition in rule.detection.parsed_condition]
        tree = conditions[0] if len(conditions) == 1 else ConditionOR(conditions)
        test, required = compiled(tree), needs(tree)
    except Unsupported as error:
        raise Refused(document.lines["detection"], f"not supported: {error}") from error
    except MALFORMED as error:
        raise Refused(document.condition(), plain(error)) from error
    if category in ("dns_query", "dns") and ANSWERED.intersection(looks_at):
        category += "_answered"
    return Rule(about(found.file, document), category, test, required, looks_at)


def _fields(document: Document, category: str, section: str = "detection") -> tuple[str, ...]:
    """The fields that the detections name; all of them are there in such events."""
    known = fields_of(category)
    named: dict[str, None] = {}
    for item in document.items(section):
        field, *modifiers = item.key.split("|")
        values = item.value if isinstance(item.value, list) else [item.value]
        for name in [field, *(values if "fieldref" in modifiers else ())]:
            if name and name not in known:
                raise Refused(item.line, f"{name}: no such field in {category} events{meant(str(name), known)}")
            if name:
                named[name] = None
    return tuple(named)
