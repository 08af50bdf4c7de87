"""Decisions: which rules match, for whom, and what mode and exceptions make of them."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import cel as rust
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))
from policy_samples import NOON, SHOP, TEXT, facts, policies, rule

from leeward.detect.rule import rules
from leeward.model.data import DataMatch
from leeward.model.exchange import Exchange, GenAI, Http, Key, Network, ProcessRef, Tool, ToolCall
from leeward.model.process import NOBODY, Container, Workload
from leeward.policy.cel import Environment, EvaluationError
from leeward.policy.facts import FACTS, TYPES, blank, facts_of, facts_of_connection, flat
from leeward.policy.policies import Policies
from leeward.policy.reload import Reloader
from leeward.policy.violations import violation


def acts(made: Policies, stage: str, **changes: Any) -> list[tuple[str, str]]:
    return [(d.action, d.rule) for d in made.decide(stage, facts(**changes))]


def test_policy_decides_by_stage() -> None:
    made = policies(TEXT)
    assert acts(made, "connect", provider="openai") == []
    assert acts(made, "connect", provider="groq") == [("block", "provider")]
    assert acts(made, "request", provider="groq", model="o3", kinds=["secret.aws"]) == [
        ("redact", "secret"),
        ("alert", "model"),
    ]
    assert acts(made, "response", kinds=["pii.email"]) == [("observe", "answer")]
    assert acts(made, "process", process={"name": "sh"}) == [("kill", "shell")]
    assert acts(made, "connect", provider="groq", workload={**SHOP, "id": "pod:bank/web/app", "name": "x"}) == []
    assert acts(Policies(), "connect", provider="groq") == []


def test_policy_decision_carries_what_is_needed() -> None:
    (decision,) = policies(TEXT).decide("request", facts(kinds=["secret.aws"]))
    assert (decision.redact, decision.finding, decision.evidence) == (
        ("secret.*",),
        "secret-in-prompt",
        "OWASP LLM02:2025",
    )
    assert (decision.deadline_ms, decision.fail, decision.mode, decision.policy) == (80, "closed", "enforce", "demo")


@pytest.mark.parametrize(
    ("mode", "action", "finding"), [("observe", "observe", ""), ("alert", "alert", "unsanctioned-provider")]
)
def test_policy_mode_caps_the_action(mode: str, action: str, finding: str) -> None:
    (decision,) = policies(TEXT.replace("mode: enforce", f"mode: {mode}")).decide("connect", facts(provider="groq"))
    assert (decision.action, decision.finding, decision.wanted) == (action, finding, "block")


def test_policy_worst_of_several_policies_first() -> None:
    made = policies(
        rule("provider == 'x'"),
        rule("provider == 'x'", action="kill").replace("name: one", "name: two"),
        rule("provider == 'x'", severity="critical").replace("name: one", "name: three"),
    )
    decisions = made.decide("connect", facts(provider="x"))
    assert [(d.policy, d.action) for d in decisions] == [("two", "kill"), ("three", "alert"), ("one", "alert")]


def test_policy_exception_holds_through_its_last_day() -> None:
    made = policies(TEXT)
    (decision,) = made.decide("connect", facts(provider="mistral_ai"))
    assert (decision.action, decision.exception, decision.finding, decision.wanted) == ("allow", "trial", "", "block")
    (after,) = made.decide("connect", facts(provider="mistral_ai", time=NOON + timedelta(days=1)))
    assert (after.action, after.exception) == ("block", "")
    assert acts(made, "request", provider="mistral_ai", model="o3") == [("alert", "model")]  # another rule
    assert made.counters["policy_excepted"] == 1


def test_policy_condition_without_a_value_does_not_match_and_is_counted() -> None:
    made = policies(rule("workload.labels.owner != 'x'"))
    assert acts(made, "connect") == []
    assert made.counters["policy_errors"] == 1
    assert acts(made, "connect", workload={**SHOP, "labels": {"owner": "y"}}) == [("alert", "r")]


def test_policy_facts_that_come_again_are_decided_alike() -> None:
    """What matched nothing is remembered, with all that the condition is about; an error is counted each time."""
    made = policies(rule("model == 'a' && workload.labels.owner == 'x'", on="request"))
    for _ in range(2):
        assert acts(made, "request", model="b") == []
    assert (made.counters["policy_errors"], made.counters["policy_matches"]) == (0, 0)
    owned = {**SHOP, "labels": {"owner": "x"}}
    for model, found in (("a", [("alert", "r")]), ("b", []), ("a", [("alert", "r")])):
        assert acts(made, "request", model=model, workload=owned) == found
    for _ in range(2):
        assert acts(made, "request", model="a") == []
    assert made.counters["policy_errors"] == 2


@pytest.mark.parametrize(
    ("condition", "needs"),
    [
        ("'pii.email' in kinds", True), ("kinds.exists(k, k.startsWith('pii.'))", True), ("size(kinds) > 0", True),
        ("provider != '' && data.exists(d, d.confidence > 0.9)", True), ("'a' in kinds || data.size() > 2", True),
        ("variables.personal && provider == 'x'", True), ("false", True),
        ("provider == 'x'", False), ("!('pii.email' in kinds)", False), ("'a' in kinds || provider == 'x'", False),
        ("kinds.all(k, k == 'a')", False), ("size(kinds) > -1", False), ("size(kinds) >= 0", False), ("kinds == []", False),
        ("variables.stranger", False), ("provider in ['a'] ? 'a' in kinds : true", False),
    ],
)  # fmt: skip
def test_policy_that_needs_data_has_nothing_against_what_has_none(condition: str, needs: bool) -> None:
    variables = (
        "  variables: {personal: \"kinds.exists(k, k.startsWith('pii.'))\", stranger: provider == 'x'}\n  rules:"
    )
    made = policies(rule(condition, on="request").replace("  rules:", variables))
    assert made.needs_data == needs
    found = [made.decide("request", facts(provider=provider)) for provider in ("", "x", "a")]
    assert not (needs and any(found))


@pytest.mark.parametrize("bad", [{"provider": 3}, {"provider": None}, {"workload": None}, {"provider": "\udc80"}])
def test_policy_facts_of_wrong_types_do_not_match(bad: dict[str, Any]) -> None:
    made = policies(rule("provider == 'x'"))
    assert made.decide("connect", {**facts(), **bad}) == []


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        ("{workloads: ['pod:shop/*']}", True), ("{workloads: [shop/web/app]}", True), ("{workloads: ['shop']}", False),
        ("{namespaces: [shop]}", True), ("{namespaces: ['sh?p', bank]}", True), ("{namespaces: [bank]}", False),
        ("{labels: {team: a}}", True), ("{labels: {team: '*'}}", True), ("{labels: {tier: '*'}}", False),
        ("{workloads: ['pod:*'], labels: {team: b}}", False), ("{}", True),
    ],
)  # fmt: skip
def test_policy_scope(scope: str, covered: bool) -> None:
    made = policies(TEXT.replace('{workloads: ["pod:shop/*"]}', scope))
    assert bool(acts(made, "connect", provider="groq")) == covered
    assert made.scope(Workload(SHOP["id"], SHOP["name"], "pod"), SHOP["labels"]).connect == covered


def test_policy_leaves_connections_to_a_gateway_to_it() -> None:
    """Of several policies only those that name it; the kernel lets pass what all name."""
    there = {"ip": "127.0.0.1", "port": 8421, "domain": "api.groq.com"}
    named = TEXT.replace("  deadline: 80ms", "  gateways: ['127.0.0.1:8421', '[::0:1]:8421']")
    made = policies(named)
    assert acts(made, "connect", provider="groq", destination=there) == []
    assert acts(made, "connect", provider="groq", destination=there | {"port": 443}) == [("block", "provider")]
    assert acts(made, "request", kinds=["secret.aws"], destination=there) == [("redact", "secret")]
    shop = Workload(SHOP["id"], SHOP["name"], "pod")
    assert {str(gateway) for gateway in made.scope(shop, {}).gateways} == {"127.0.0.1:8421", "[::1]:8421"}
    both = policies(named, TEXT.replace("name: demo", "name: other"))
    assert acts(both, "connect", provider="groq", destination=there) == [("block", "provider")]
    assert both.scope(shop, {}).gateways == frozenset()


def test_policy_scoped_says_what_is_to_be_prepared() -> None:
    made = policies(TEXT, rule("'pii.email' in kinds").replace("name: one", "name: two"))
    mine = made.scope(Workload("pod:shop/web/app", "x", "pod"), {})
    assert (mine.connect, mine.content, mine.process, mine.hold) == (True, True, True, True)
    assert (mine.kinds, mine.deadline_ms, mine.fail) == ({"secret.*", "pii.email"}, 50, "closed")
    other = made.scope(Workload("exe:/bin/x", "x", "executable"), {})
    assert (other.connect, other.content, other.hold, other.kinds, other.fail) == (
        False,
        True,
        False,
        {"pii.email"},
        "open",
    )
    assert (
        not policies(TEXT.replace("mode: enforce", "mode: alert")).scope(Workload("pod:shop/a/b", "x", "pod"), {}).hold
    )


def exchange() -> Exchange:
    made = Exchange(
        id="e1", time="2026-06-01T12:00:00Z", workload=Workload("pod:shop/web/app", "shop/web/app", "pod"),
        process=ProcessRef(pid=7, exe="/usr/bin/python3", argv=["python3", "a\udc80"], user="u", ancestors=[{"exe": "/bin/sh"}]),
        container=Container("c" * 64, "app", "img:1", "sha256:x", labels={"team": "a",
                            "org.opencontainers.image.revision": "abc"}),
        network=Network(dst="[2001:db8::1]:443", domain="api.groq.example"), http=Http(url="/v1/chat?key=k"),
        gen_ai=GenAI(provider="groq", operation="chat", request_model="o3", stream=True, tools=[Tool("find")],
                     tool_calls=[ToolCall("1", "run", "{}"), ToolCall("2", "find", "{}")]),
        key=Key("groq", "0123456789abcdef"),
    )  # fmt: skip
    made.data = [
        DataMatch(kind=kind, path="$.a", start=0, end=1, confidence=0.9, detector="d", sample="*", hash="h", side=side)
        for kind, side in (("secret.aws", "request"), ("secret.aws", "request"), ("pii.email", "response"))
    ]
    return made


def test_policy_facts_of_an_exchange() -> None:
    found = facts_of(exchange(), 1_780_000_000 * 10**9)
    assert found["workload"] == {**SHOP, "labels": {"team": "a", "org.opencontainers.image.revision": "abc"}}
    assert found["process"] == {
        "exe": "/usr/bin/python3",
        "name": "python3",
        "argv": ["python3", "a?"],
        "user": "u",
        "ancestors": ["sh"],
    }
    assert found["image"] == {"name": "img:1", "digest": "sha256:x", "revision": "abc", "source": "", "version": ""}
    assert found["destination"] == {"domain": "api.groq.example", "ip": "2001:db8::1", "port": 443}
    assert (found["kinds"], found["tools"], found["url"], found["model"]) == (
        ["secret.aws"],
        ["find", "run"],
        "/v1/chat",
        "o3",
    )
    assert found["time"].timestamp() == 1_780_000_000
    assert facts_of(exchange(), 0, "response")["kinds"] == ["pii.email"]


@pytest.mark.parametrize(
    "found",
    [blank(), facts_of(Exchange(), 0), facts_of(exchange(), 1), facts_of_connection(NOBODY, "", "", 0, "", 0)],
    ids=["blank", "empty", "exchange", "connection"],
)
def test_policy_every_fact_is_always_there_and_of_its_type(found: dict[str, Any]) -> None:
    values = flat(found, FACTS)
    assert values.keys() == FACTS.keys()
    environment = Environment(TYPES)
    bound = environment.bind(values)
    for name in FACTS:
        assert environment.compile(f"{name} == {name}").value(bound) is True


def test_policy_violation_is_a_finding() -> None:
    x = exchange()
    found = {d.rule: violation(x, d) for d in policies(TEXT).decide("request", facts_of(x, 0))}
    secret, model = found["secret"], found["model"]
    assert (secret.rule, secret.action, secret.severity) == ("secret-in-prompt", "redact", "high")
    assert [m["kind"] for m in secret.evidence[0]["data"]] == ["secret.aws", "secret.aws"]
    assert secret.tags == rules()["secret-in-prompt"].tags
    assert model.subject == {
        "policy": "demo",
        "rule": "model",
        "provider": "groq",
        "domain": "api.groq.example",
        "model": "o3",
    }
    assert (model.action, model.title) == ("alert", "Model that is not allowed: o3 at api.groq.example")
    assert model.id != secret.id
    again = exchange()
    again.gen_ai.request_model = "o4"
    other = [violation(again, d) for d in policies(TEXT).decide("request", facts_of(again, 0))]
    assert {f.id for f in other} == {secret.id, other[1].id}
    assert other[1].id != model.id


def test_policy_reload_never_trades_a_good_file_for_a_bad_one(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TEXT)
    reloader = Reloader([tmp_path])
    first = reloader.policies
    assert reloader.poll() is False
    path.write_text(TEXT.replace("groq", "x").replace("mode: enforce", "mode: enforced"))
    assert reloader.poll() is False
    assert reloader.policies is first
    assert "spec.mode" in reloader.complaint
    assert reloader.poll() is False
    assert reloader.counters["policy_reloads_refused"] == 1
    path.write_text(TEXT.replace("mode: enforce", "mode: alert"))
    assert reloader.poll() is True
    assert (reloader.policies.policies[0].mode, reloader.complaint) == ("alert", "")
    os.unlink(path)
    assert reloader.poll() is False
    assert reloader.policies.policies
    (tmp_path / "b.yaml").write_text(TEXT)
    assert reloader.poll() is True


CONDITIONS = [
    "provider == 'openai' && model != 'o3'",
    "kinds.exists(k, k.startsWith('secret.')) || destination.port == 443",
    "data.exists(d, d.confidence >= 0.5 && d.kind in ['pii.email', 'secret.aws'])",
    "has(workload.labels.team) && workload.labels.team == 'a'",
    "'team' in workload.labels ? workload.labels['team'] == 'b' : stream",
    "destination.domain.endsWith('.example') && !(destination.domain.contains('groq'))",
    "model.matches('^o[0-9]$')",
    "tools.all(t, t != 'run') && size(tools) < 3",
    "time > timestamp('2026-01-01T00:00:00Z')",
    "kinds.filter(k, k.startsWith('pii.')).size() == 1",
    "workload.labels.team == 'a'",
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(CONDITIONS), st.sampled_from(["openai", "groq", ""]), st.sampled_from(["o3", "gpt-4o", ""]),
    st.lists(st.sampled_from(["secret.aws", "pii.email", "pii.phone"]), unique=True), st.sampled_from([0, 443]),
    st.sampled_from([{}, {"team": "a"}, {"team": "b"}]), st.lists(st.sampled_from(["run", "find"])),
    st.sampled_from(["", "api.groq.example", "x.example"]), st.booleans(),
)  # fmt: skip
def test_policy_conditions_mean_the_same_to_another_implementation(
    when: str, provider: str, model: str, kinds: list[str], port: int, labels: dict[str, str], tools: list[str],
    domain: str, stream: bool,
) -> None:  # fmt: skip
    given_ = facts(
        provider=provider, model=model, kinds=kinds, tools=tools, stream=stream, workload={**SHOP, "labels": labels},
        destination={"domain": domain, "ip": "", "port": port},
        data=[{"kind": kind, "confidence": 0.25 * i} for i, kind in enumerate(kinds, 1)],
    )  # fmt: skip
    environment = Environment(TYPES)
    try:
        ours = environment.compile(when).value(environment.bind(flat(given_, FACTS)))
    except EvaluationError:
        ours = None
    try:
        theirs = rust.evaluate(when, given_)
    except (KeyError, RuntimeError, ValueError):
        theirs = None
    assert ours == theirs
