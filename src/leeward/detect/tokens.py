"""Rule `token-spike`: a workload uses far more of a model in an hour, or ten minutes, than it ever did.

Tokens are summed for each (workload, key). What is usual is the median of the past periods in which there were any, on a
logarithmic scale, and their spread (median distance from it): token totals of applications are far from normal, roughly log-
normal. State: one small entry a (workload, key), bounded.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from statistics import median
from typing import Any

import msgspec

from leeward.ai.prices import cost
from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.places import DAY, HOUR, MINUTE, host_of, place
from leeward.detect.rule import rules
from leeward.model.activity import Activity, ExchangeSeen
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.times import iso

_RULE = "token-spike"
_PERIODS = (("ten minutes", 10 * MINUTE, 288), ("hour", HOUR, 336))  # name, length, how many are remembered


class _Sums(msgspec.Struct):
    """One length of period. past: logarithms of the totals of those that are over and had any.
    told: the severity that was told of this one."""

    number: int = 0
    tokens: int = 0
    dollars: float = 0.0
    calls: int = 0
    told: str = ""
    past: deque[float] = msgspec.field(default_factory=deque)


class _Usage(Kept, kw_only=True):
    first: int
    sums: list[_Sums]


class TokenSpike:
    """See the module."""

    hears: tuple[type[Activity], ...] = (ExchangeSeen,)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._usage: Bounded[_Usage] = Bounded("token_usage", self.counters, 16384, 15 * DAY)
        self._set = rules()[_RULE].settings

    def feed(self, activity: ExchangeSeen) -> list[Finding]:
        exchange, ts = activity.exchange, activity.ts
        tokens = (exchange.gen_ai.input_tokens or 0) + (exchange.gen_ai.output_tokens or 0)
        if not tokens:
            return []
        key = exchange.key.fingerprint if exchange.key is not None else ""
        group = place(activity.process, host_of(exchange.network.src))
        usage = self._usage.get(group, key, ts)
        if usage is None:
            usage = self._usage.put(group, key, _Usage(first=ts, sums=[_Sums() for _ in _PERIODS]), ts)
        found: list[Finding] = []
        for sums, (name, length, most) in zip(usage.sums, _PERIODS, strict=True):
            self._turn(sums, ts // length, most)
            sums.tokens += tokens
            sums.dollars += cost(exchange) or 0.0
            sums.calls += 1
            limit = self._limit(sums, name)
            severity = self._severity(sums, name) if limit and sums.tokens > limit else ""
            if severity and not found and (not sums.told or SEVERITIES.index(severity) > SEVERITIES.index(sums.told)):
                sums.told = severity
                found.append(self._finding(activity, usage, sums, name, limit))
        return found

    def tick(self, ts: int) -> list[Finding]:
        self._usage.expire(ts)
        return []

    def _turn(self, sums: _Sums, number: int, most: int) -> None:
        """Another period has begun: the one before is past. What was a spike counts as past too: it may be the new normal."""
        if number == sums.number:
            return
        if sums.tokens:
            sums.past.append(math.log(sums.tokens))
            if len(sums.past) > most:
                sums.past.popleft()
        sums.number, sums.tokens, sums.dollars, sums.calls, sums.told = number, 0, 0.0, 0, ""

    def _limit(self, sums: _Sums, name: str) -> float:
        """Tokens in this period from which on they are a spike; 0 if too little is known for any."""
        s = self._set
        if sums.tokens < s["least_tokens"]:
            return 0.0
        if len(sums.past) < s["least_periods"]:
            return float(s["unknown_tokens"]) if name == "hour" else 0.0
        usual = median(sums.past)
        spread = max(1.4826 * median(abs(x - usual) for x in sums.past), s["least_spread"])
        beyond, most = math.exp(usual + s["spreads"] * spread), math.exp(max(sums.past))
        return float(max(beyond, s["beyond_most"] * most, s["least_tokens"]))

    def _severity(self, sums: _Sums, name: str) -> str:
        dollars = sums.dollars * (6 if name != "hour" else 1)
        return next((level for level, least in self._set["severity"].items() if dollars >= least), "low")

    def _finding(self, activity: ExchangeSeen, usage: _Usage, sums: _Sums, name: str, limit: float) -> Finding:
        exchange = activity.exchange
        usual = round(math.exp(median(sums.past))) if sums.past else 0
        evidence: dict[str, Any] = {
            "type": "usage", "time": iso(activity.ts), "exchange": exchange.id, "period": name, "value": sums.tokens,
            "threshold": round(limit), "margin": round(sums.tokens / limit, 3), "usual": usual, "periods_known": len(sums.past),
            "observed_for": (activity.ts - usage.first) // 10**9, "calls": sums.calls, "model": exchange.gen_ai.request_model,
        }  # fmt: skip
        if sums.dollars:
            evidence["dollars"] = round(sums.dollars, 2)
        key = exchange.key.fingerprint if exchange.key is not None else ""
        known = f"usually {usual:,}" if usual else "nothing known before"
        spent = f", ${sums.dollars:,.2f}" if sums.dollars else ""
        return occurrence(
            _RULE, activity.process, activity.ts, f"{sums.tokens:,} tokens{spent} in one {name} ({known})",
            same=(key,), subject={"provider": exchange.gen_ai.provider, "key": key, "destination": exchange.network.domain},
            evidence=[evidence], severity=sums.told,
        )  # fmt: skip
