"""Sigma's rules as one detector.

Invariants: a rule is tried on an event once, and on a network connection once more when its host name comes to be known. What is
remembered is bounded: flows without a name, and the groups of correlations.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.detector import occurrence
from leeward.detect.rule import rules as leeward_rules
from leeward.detect.sigma.correlate import Correlator
from leeward.detect.sigma.events import CATEGORIES, Event, event, file_categories
from leeward.detect.sigma.prefilter import Prefilter
from leeward.detect.sigma.ruleset import About, Rule, RuleSet
from leeward.model.activity import Activity, FlowSeen, NameAsked, Started, System
from leeward.model.finding import Finding
from leeward.model.times import iso

_SHOWN = 512  # characters of a value in the evidence


class _Category:
    """The rules of a category, by their numbers in the rule set."""

    def __init__(self, numbers: list[int], rules: tuple[Rule, ...]) -> None:
        self._numbers = numbers
        self._tests = [rules[number].test for number in numbers]
        self._prefilter = Prefilter([rules[number].needs for number in numbers])
        self.asks_name = any("DestinationHostname" in rules[number].looks_at for number in numbers)

    def fitting(self, happened: Event) -> list[int]:
        """Numbers of the rules that fit, in order."""
        tests, numbers = self._tests, self._numbers
        return sorted(numbers[at] for at in self._prefilter.candidates(happened) if tests[at](happened))


class Sigma:
    """rules: what load_sigma made. Not for two pipelines at once."""

    hears: tuple[type[Activity], ...] = (Started, FlowSeen, NameAsked, System)

    def __init__(self, ruleset: RuleSet) -> None:
        self.counters: Counter[str] = Counter()
        self._rules = ruleset.rules
        by_category: dict[str, list[int]] = {}
        for number, rule in enumerate(self._rules):
            by_category.setdefault(rule.category, []).append(number)
        self._categories = {name: _Category(numbers, self._rules) for name, numbers in by_category.items()}
        self._joined: dict[int, list[Correlator]] = {}
        self._correlators = [Correlator(correlation, self.counters) for correlation in ruleset.correlations]
        for correlator in self._correlators:
            for number in dict.fromkeys(correlator.correlation.rules):
                self._joined.setdefault(number, []).append(correlator)
        settings = leeward_rules()["sigma"].settings
        self._levels: dict[str, str] = settings["levels"]
        self._confidence: dict[str, float] = settings["confidence"]
        self._most_nameless: int = settings["nameless_flows"]
        self._nameless: OrderedDict[str, set[int]] = OrderedDict()  # flow id → rules that fitted it
        self._flows = self._categories.get("network_connection")

    def feed(self, activity: Any) -> list[Finding]:
        match activity:
            case FlowSeen():
                return self._flow(activity)
            case Started():
                return self._tried("process_creation", activity)
            case NameAsked():
                answered = "_answered" if activity.rcode >= 0 else ""
                return self._tried(f"dns_query{answered}", activity) + self._tried(f"dns{answered}", activity)
            case System():
                return [f for category in file_categories(activity) for f in self._tried(category, activity)]
        return []

    def tick(self, ts: int) -> list[Finding]:
        for correlator in self._correlators:
            correlator.tick(ts)
        return []

    def _flow(self, activity: FlowSeen) -> list[Finding]:
        """A connection is an event when it begins. Rules that ask for its host's name may have to wait for it."""
        if self._flows is None:
            return []
        flow = activity.flow
        if activity.began and flow.state != "listening":
            known: set[int] = set()
        elif flow.id in self._nameless and (flow.domain or flow.sni):
            known = self._nameless.pop(flow.id)
        else:
            if activity.ended:
                self._nameless.pop(flow.id, None)
            return []
        happened = event("network_connection", activity, CATEGORIES["network_connection"](activity))
        fitting = self._flows.fitting(happened)
        if self._flows.asks_name and not (flow.domain or flow.sni or activity.ended):
            self._nameless[flow.id] = set(fitting)
            if len(self._nameless) > self._most_nameless:
                self._nameless.popitem(last=False)
                self.counters["sigma_nameless_evicted"] += 1
        return self._findings([number for number in fitting if number not in known], happened)

    def _tried(self, category: str, activity: Activity) -> list[Finding]:
        rules = self._categories.get(category)
        if rules is None:
            return []
        happened = event(category, activity, CATEGORIES[category.removesuffix("_answered")](activity))
        return self._findings(rules.fitting(happened), happened)

    def _findings(self, numbers: list[int], happened: Event) -> list[Finding]:
        found: list[Finding] = []
        for number in numbers:
            rule = self._rules[number]
            self.counters["sigma_matches"] += 1
            if rule.tells:
                found.append(self._finding(rule.about, happened, _matched(rule, happened)))
            for correlator in self._joined.get(number, ()):
                group = correlator.feed(number, happened, happened.activity.ts)
                if group is not None:
                    asked = correlator.correlation
                    extra = {
                        "correlation": asked.kind, "within_s": asked.span // 10**9, "threshold": asked.least,
                        "value": asked.least, "margin": 0, "group": group, "last": _matched(rule, happened),
                    }  # fmt: skip
                    found.append(self._finding(asked.about, happened, extra, tuple(group.values())))
        return found

    def _finding(self, about: About, happened: Event, extra: dict[str, Any], same: tuple[str, ...] = ()) -> Finding:
        activity = happened.activity
        evidence = {
            "type": "sigma", "time": iso(activity.ts), "sigma_id": about.id, "title": about.title, "level": about.level,
            "status": about.status, "category": happened.category.removesuffix("_answered"),
            "file": about.file, "line": about.line, "author": about.author, "description": about.description,
            "references": list(about.references), "false_positives": list(about.false_positives), **extra,
        }  # fmt: skip
        subject = {"sigma": about.id, "title": about.title}
        if activity.process.exe:
            subject["process"] = activity.process.exe
        finding = occurrence(
            "sigma", activity.process, activity.ts, about.title, same=(about.id, *same), subject=subject,
            evidence=[evidence], severity=self._levels.get(about.level, ""),
            confidence=self._confidence.get(about.status),
        )  # fmt: skip
        return msgspec.structs.replace(finding, tags=about.tags)


def _matched(rule: Rule, happened: Event) -> dict[str, Any]:
    """What the rule looked at."""
    values = {field: happened.fields[field] for field in rule.looks_at}
    shown = {field: v[:_SHOWN] if isinstance(v, str) else v for field, v in values.items() if v is not None}
    return {"matched": shown or {"text": happened.lines()[:_SHOWN]}}
