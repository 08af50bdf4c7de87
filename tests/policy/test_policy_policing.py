"""What the policies say of exchanges that were seen, and of writes that were held."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leeward.model.data import DataMatch
from leeward.model.exchange import Exchange
from leeward.model.net import Endpoint
from leeward.model.process import NOBODY
from leeward.model.raw import CallJudged, Denied
from leeward.policing import Policing
from leeward.policy.document import parse_policy
from leeward.policy.policies import Policies

TS = 1_700_000_000 * 10**9
POLICY = """
apiVersion: leeward/v1
kind: Policy
metadata: {name: shop}
spec:
  mode: MODE
  rules:
    - name: card
      when: '"financial.card" in kinds'
      action: redact
      severity: high
      finding: data-leak
    - {name: provider, when: "provider == 'groq'", action: block, severity: high, finding: unsanctioned-provider}
"""


def policing(mode: str = "enforce", **given: Any) -> Policing:
    policies = Policies([parse_policy(POLICY.replace("MODE", mode), "p.yaml")])
    return Policing(lambda: policies, **given)


def exchange(*kinds: str, provider: str = "openai") -> Exchange:
    made = Exchange(id="e1", time="2026-11-25T00:00:00Z")
    made.gen_ai.provider, made.network.domain = provider, "api.example.com"
    made.data = [
        DataMatch(
            kind=kind, path="$", start=0, end=4, confidence=0.9, detector="x", sample="****", hash="00", side="request"
        )
        for kind in kinds
    ]
    return made


def rules(found: list[Any]) -> list[tuple[str, str]]:
    return sorted((finding.rule, finding.action) for finding in found)


def test_what_went_out_although_it_is_forbidden_is_told_with_the_reason() -> None:
    stage = policing(held=lambda pid: "it is being traced already")
    found = stage.findings(exchange("financial.card"), TS)
    assert rules(found) == [("data-leak", ""), ("policy-bypassed", "")]
    assert next(f for f in found if f.rule == "policy-bypassed").subject["why"] == "it is being traced already"
    assert stage.counters["policy_bypassed"] == 1


def test_a_late_verdict_is_the_reason() -> None:
    late = exchange("financial.card")
    late.verdict = {"action": "allow", "why": "deadline", "policy": "", "rule": ""}
    found = policing().findings(late, TS)
    assert [f.subject["why"] for f in found if f.rule == "policy-bypassed"] == ["deadline"]


@pytest.mark.parametrize("mode", ["alert", "observe"])
def test_what_is_not_enforced_is_not_bypassed(mode: str) -> None:
    found = policing(mode).findings(exchange("financial.card"), TS)
    assert rules(found) == ([("data-leak", "")] if mode == "alert" else [])


def test_what_was_masked_is_told_although_it_is_not_there_any_more() -> None:
    clean = exchange()
    clean.verdict = {"action": "redact", "policy": "shop", "rule": "card"}
    assert rules(policing().findings(clean, TS)) == [("data-leak", "redact")]


def test_a_connection_that_should_not_have_been_is_a_bypass_too() -> None:
    found = policing().findings(exchange(provider="groq"), TS)
    assert rules(found) == [("policy-bypassed", ""), ("unsanctioned-provider", "")]


def test_a_stopped_call_is_an_exchange_and_no_bypass() -> None:
    stage = policing()
    stopped = exchange("financial.card")
    decided = {
        "decision": {"policy": "shop", "rule": "card", "message": "no"},
        "action": "block",
        "exchange": msgspec.to_builtins(stopped),
    }
    timed = stage.judged(CallJudged(TS, 7, 1, "block", 300, "", decided))
    assert timed is not None
    assert timed.exchange.verdict == {
        "action": "block", "policy": "shop", "rule": "card", "held_us": 300, "message": "no",
    }  # fmt: skip
    assert rules(stage.findings(timed.exchange, TS)) == [("data-leak", "block")]


def test_a_verdict_finds_its_exchange_by_writer_and_time() -> None:
    stage = policing()
    for offset, action in ((0, "allow"), (5, "redact")):
        assert (
            stage.judged(CallJudged(TS + offset * 10**6, 7, 1, action, 100, "deadline" if action == "allow" else ""))
            is None
        )
    assert stage.verdict(7, 2, TS, TS + 10**7) is None
    assert stage.verdict(7, 1, TS + 10**9, TS + 2 * 10**9) is None
    verdict = stage.verdict(7, 1, TS, TS + 10**7)
    assert verdict is not None
    assert verdict["action"] == "redact"
    assert stage.verdict(7, 1, TS, TS + 10**7) is None


def test_verdicts_that_nobody_asks_for_are_bounded() -> None:
    stage = policing()
    for number in range(10_000):
        stage.judged(CallJudged(TS + number, 7, number, "redact", 100))
    assert stage.counters["verdicts_evicted"] == 10_000 - 8192


def test_a_refused_connection_names_the_rule() -> None:
    event = Denied(TS, 5, 7, "tcp", Endpoint("10.0.0.1", 1), Endpoint("203.0.113.1", 443), 1, "address")
    stage = policing(names_of=lambda ip: ["api.groq.com"] if ip == "203.0.113.1" else [])
    found = stage.refused(NOBODY, event, lambda name: "groq" if name == "api.groq.com" else None)
    assert rules(found) == [("unsanctioned-provider", "block")]
    assert found[0].subject["domain"] == "api.groq.com"
