"""Rule `blind-spot`: traffic or processes that Leeward cannot see into, events that were lost, a probe that is gone.

One finding a (workload, what, reason), which rises with how much there is of it in an hour. State: counts of the running
hour, bounded.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.places import DAY, HOUR
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Blinded, ExchangeSeen
from leeward.model.finding import Finding
from leeward.model.times import iso

_RULE = "blind-spot"
_ABOUT = {
    "lost": "{number} events lost ({reason})",
    "content": "what it sends to {where} cannot be read: {reason}",
    "probe": "a probe is gone ({reason})",
}


class _Dark(Kept):
    """hour: number of the running one. number: in it. places: whose content was dark."""

    hour: int = 0
    number: int = 0


class BlindSpot:
    """See the module."""

    hears: tuple[type[Activity], ...] = (Blinded, ExchangeSeen)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._dark: Bounded[_Dark] = Bounded("blind_spots", self.counters, 8192, DAY)
        self._clear: Bounded[Kept] = Bounded("blind_clear", self.counters, 32768, 7 * DAY)
        self._set = rules()[_RULE].settings

    def feed(self, activity: Blinded | ExchangeSeen) -> list[Finding]:
        workload = activity.process.workload.id
        if isinstance(activity, ExchangeSeen):
            domain = activity.exchange.network.domain
            if workload and domain and self._clear.get(workload, domain, activity.ts) is None:
                self._clear.put(workload, domain, Kept(), activity.ts)
            return []
        key = (activity.what, activity.reason)
        dark = self._dark.get(workload, key, activity.ts) or self._dark.put(workload, key, _Dark(), activity.ts)
        if dark.hour != activity.ts // HOUR:
            dark.hour, dark.number = activity.ts // HOUR, 0
        dark.number += activity.number
        return [self._finding(activity, dark)]

    def tick(self, ts: int) -> list[Finding]:
        self._dark.expire(ts)
        self._clear.expire(ts)
        return []

    def _finding(self, activity: Blinded, dark: _Dark) -> Finding:
        threshold = self._set["lost_medium"]
        went_dark = activity.what == "content" and self._was_clear(activity)
        medium = activity.what == "probe" or went_dark or (activity.what == "lost" and dark.number >= threshold)
        evidence: dict[str, Any] = {
            "type": "blinded", "time": iso(activity.ts), "what": activity.what, "reason": activity.reason,
            "where": activity.where, "value": dark.number, "was_visible": went_dark,
        }  # fmt: skip
        if activity.what == "lost":
            evidence |= {"threshold": threshold, "margin": round(dark.number / threshold, 4)}
        about = _ABOUT[activity.what].format(
            number=f"{dark.number:,}",
            reason=activity.reason or "no reason known",
            where=activity.where or "an AI service",
        )
        return occurrence(
            _RULE, activity.process, activity.ts, about, same=(activity.what, activity.reason),
            subject={"what": activity.what, "destination": activity.where}, evidence=[evidence],
            severity="medium" if medium else "low",
        )  # fmt: skip

    def _was_clear(self, activity: Blinded) -> bool:
        """Could the same workload's conversation with the same host be read before?"""
        return self._clear.peek(activity.process.workload.id, activity.where) is not None
