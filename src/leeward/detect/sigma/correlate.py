"""Events of Sigma rules that belong together: so many of them, so many values, or one of each, within a time.

Invariants: of each correlation a bounded number of groups is remembered, and of a group no more than decides; the group longest
without an event leaves first, and is counted. When it has told, a group begins anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from leeward.detect.sigma.events import Event, Value
from leeward.detect.sigma.ruleset import Correlation

_GROUPS = 4096
_Marks = OrderedDict[Value | tuple[Value, ...], int]


class Correlator:
    """One correlation. counters: shared with the detector."""

    def __init__(self, correlation: Correlation, counters: Counter[str]) -> None:
        self.correlation = correlation
        self._counters = counters
        self._groups: OrderedDict[tuple[Value, ...], _Marks] = OrderedDict()
        self._serial = 0

    def __len__(self) -> int:
        return len(self._groups)

    def feed(self, number: int, event: Event, ts: int) -> dict[str, str] | None:
        """A rule fitted an event. number: the rule's in the rule set. What the group is, by field, if this completes it."""
        asked = self.correlation
        at = asked.rules.index(number)
        key = tuple(event.fields[field] for field in asked.group[at])
        marks = self._groups.pop(key, None) or OrderedDict()
        self._groups[key] = marks
        if len(self._groups) > _GROUPS:
            self._groups.popitem(last=False)
            self._counters["sigma_groups_evicted"] += 1
        self._mark(marks, number, at, event, ts)
        while marks and next(iter(marks.values())) < ts - asked.span:
            marks.popitem(last=False)
        if len(marks) < asked.least or not self._in_order(marks):
            return None
        del self._groups[key]
        return dict(zip(asked.group[at], map(str, key), strict=True))

    def tick(self, ts: int) -> None:
        """Forgets groups whose last event is too old."""
        while self._groups:
            key, marks = next(iter(self._groups.items()))
            if marks and next(reversed(marks.values())) >= ts - self.correlation.span:
                return
            del self._groups[key]

    def _mark(self, marks: _Marks, number: int, at: int, event: Event, ts: int) -> None:
        kind = self.correlation.kind
        what: Value | tuple[Value, ...] = number
        if kind == "event_count":
            self._serial += 1
            what = self._serial
        elif kind == "value_count":
            what = tuple(event.fields[field] for field in self.correlation.values[at])
            if None in what:
                return
        marks.pop(what, None)
        marks[what] = ts
        if len(marks) > self.correlation.least:
            marks.popitem(last=False)

    def _in_order(self, marks: _Marks) -> bool:
        """Of temporal_ordered: whether the latest of each rule came in the order of the rules."""
        return self.correlation.kind != "temporal_ordered" or tuple(marks) == tuple(
            dict.fromkeys(self.correlation.rules)
        )
