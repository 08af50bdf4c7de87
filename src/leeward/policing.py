"""What the policies say of conversations, and what became of those that were held.

Invariants: every exchange that comes out is judged by what was seen of it on the wire, whether it was held or not: a rule that
should have stopped or changed it, and did not, is a finding (`policy-bypassed`). Verdicts wait for their exchange, at most
`_MOST` of them.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from leeward.model.exchange import Exchange, TimedExchange
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.raw import CallJudged, Denied, ProgramJudged
from leeward.model.times import iso
from leeward.policy.facts import facts_of, facts_of_connection
from leeward.policy.policies import Decision, Policies
from leeward.policy.violations import bypassed, ran, refused, violation

_MOST = 8192  # verdicts
_NAMES = 8  # of one address
_SLACK_NS = 10**6  # the clocks of a call and of its request
_STOPPED = ("block", "kill")
_CHANGES = ("redact", "block", "kill")


class Policing:
    """policies: those in force, asked each time, since they may be read again. held: of a process, as in Coverage.
    names_of: the names that an address was asked for by."""

    def __init__(
        self,
        policies: Callable[[], Policies],
        held: Callable[[int], str] = lambda _pid: "",
        names_of: Callable[[str], list[str]] = lambda _ip: [],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._policies, self.held, self._names_of = policies, held, names_of
        self._verdicts: OrderedDict[tuple[int, int, int], dict[str, Any]] = OrderedDict()

    def judged(self, event: CallJudged) -> TimedExchange | None:
        """A held call ended. An exchange comes of it if it will be seen nowhere else: its call was stopped."""
        self.counters[f"calls_{event.action}"] += 1
        verdict: dict[str, Any] = {"action": event.action, "policy": "", "rule": "", "held_us": event.held_us}
        if event.decided is not None:
            decision = event.decided["decision"]
            verdict |= {"policy": decision["policy"], "rule": decision["rule"], "message": decision["message"]}
        if event.why:
            verdict["why"] = event.why
        if event.action in _STOPPED and event.decided is not None and event.decided["exchange"] is not None:
            exchange = msgspec.convert(event.decided["exchange"], Exchange)
            exchange.verdict = verdict
            return TimedExchange(exchange, event.ts, event.ts)
        self._verdicts[event.pid, event.tls, event.ts] = verdict
        if len(self._verdicts) > _MOST:
            self._verdicts.popitem(last=False)
            self.counters["verdicts_evicted"] += 1
        return None

    def verdict(self, pid: int, tls: int, start: int, end: int) -> dict[str, Any] | None:
        """What was decided of a request that process `pid` wrote between these times."""
        found = [
            key for key in self._verdicts if key[:2] == (pid, tls) and start - _SLACK_NS <= key[2] <= end + _SLACK_NS
        ]
        worst = None
        for key in found:
            verdict = self._verdicts.pop(key)
            if worst is None or verdict["action"] != "allow":
                worst = verdict
        return worst

    def findings(self, exchange: Exchange, ts: int) -> list[Finding]:
        """What the policies say of an exchange as it was on the wire."""
        taken = (exchange.verdict or {}).get("action", "")
        found: list[Finding] = []
        for decision in self._decide(exchange, ts):
            if decision.finding:
                found.append(_with_action(violation(exchange, decision), taken))
            if decision.action in _CHANGES and taken not in _STOPPED:
                self.counters["policy_bypassed"] += 1
                found.append(bypassed(exchange, decision, self._why(exchange)))
        if taken in _CHANGES and not found and exchange.verdict is not None:
            found += self._of_verdict(exchange)
        return found

    def _decide(self, exchange: Exchange, ts: int) -> Iterator[Decision]:
        """At each stage that the exchange went through. What only the answer shows cannot have been stopped before it came."""
        policies, facts = self._policies(), facts_of(exchange, ts)
        for stage in ("connect", "request"):
            yield from policies.decide(stage, facts)
        for decision in policies.decide("response", facts_of(exchange, ts, "response")):
            yield msgspec.structs.replace(decision, action="alert") if decision.action in _CHANGES else decision

    def refused(self, process: Process, event: Denied, provider_of: Callable[[str], str | None]) -> list[Finding]:
        """A connection that the kernel refused: a finding for each rule that refuses it."""
        found: dict[str, Finding] = {}
        for name in [event.name] if event.name else self._names_of(event.remote.ip)[:_NAMES] or [""]:
            provider = provider_of(name) or "" if name else ""
            facts = facts_of_connection(process, name, event.remote.ip, event.remote.port, provider, event.ts)
            for decision in self._policies().decide("connect", facts):
                if decision.finding and decision.action in _STOPPED:
                    finding = refused(process, name, event.remote, provider, decision, iso(event.ts))
                    found[finding.id] = finding
        return list(found.values())

    def program(self, process: Process, event: ProgramJudged) -> Finding | None:
        """A program that a policy is about ran, or was ended before it did."""
        decision = msgspec.convert(event.decision, Decision)
        if not decision.finding:
            return None
        return ran(process, decision, event.action, iso(event.ts))

    def _why(self, exchange: Exchange) -> str:
        pid = exchange.process.pid if exchange.process else 0
        verdict = exchange.verdict or {}
        return verdict.get("why") or self._not_held(pid) or "its write was not held"

    def _not_held(self, pid: int) -> str:
        held = self.held(pid)
        return "" if held == "yes" else held

    def _of_verdict(self, exchange: Exchange) -> list[Finding]:
        """What was masked is not there any more: the rule that had it masked is told all the same."""
        verdict = exchange.verdict or {}
        for policy in self._policies().policies:
            for rule in policy.rules:
                if (policy.name, rule.name) == (verdict.get("policy"), verdict.get("rule")) and rule.finding:
                    decision = Decision(
                        verdict["action"], policy.name, rule.name, rule.severity, rule.message,
                        finding=rule.finding, mode=policy.mode, evidence=rule.evidence, wanted=rule.action,
                    )  # fmt: skip
                    return [violation(exchange, decision)]
        return []


def _with_action(finding: Finding, taken: str) -> Finding:
    """What was done, not what was wanted."""
    finding.action = taken if taken in _CHANGES else ""
    return finding
