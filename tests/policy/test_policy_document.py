"""Policy files: what is wrong with them is told with the line and what was meant; nothing else ever comes of a file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))
from policy_samples import NOON, TEXT, policies, rule

import leeward.policy
from leeward.model.errors import InputError
from leeward.policy.document import Policy, parse_policy
from leeward.policy.facts import FACTS, STAGES
from leeward.policy.policies import Policies
from leeward.policy.trial import try_policy

PACKS = Path(leeward.policy.__file__).parent / "packs"

WRONG = [
    ("metadata: {name", "metadata: {nam", "p.yaml:3: metadata.nam: unknown field `nam`, did you mean `name`?"),
    ("mode: enforce", "mode: enforced", "p.yaml:5: spec.mode: must be one of observe, alert, enforce"),
    ("80ms", "80 ms", "p.yaml:7: spec.deadline: must match"),
    ("deadline: 80ms", "gateways: ['300.0.0.1:1']", "p.yaml:7: spec.gateways: '300.0.0.1' does not appear to be"),
    ("deadline: 80ms", "gateways: ['127.0.0.1:70000']", "p.yaml:7: spec.gateways: 127.0.0.1:70000: ports go from 1"),
    ("deadline: 80ms", "gateways: ['gateway:8421']", "p.yaml:7: spec.gateways[0]: must match"),
    ("80ms", "60s", "p.yaml:7: spec.deadline: must be between 1ms and 10000ms"),
    ("provider != ''", "provder != ''",
     "p.yaml:11: spec.variables.stranger: unknown field `provder`, did you mean `provider`?"),
    ("variables.allowed)", "variables.alowed)", "unknown field `variables.alowed`, did you mean `variables.allowed`?"),
    ("k.startsWith('s", "k.startWith('s",
     "p.yaml:17: spec.rules[1].when: unknown field `startWith`, did you mean `startsWith`?"),
    ("kinds.exists(k,\n", "kind.exists(k,\n", "p.yaml:16: spec.rules[1].when: unknown field `kind`, did you mean `kinds`?"),
    ("model.startsWith('o')", "model == 3", "p.yaml:21: spec.rules[2].when: `==` does not go with (string, int)"),
    ("model.startsWith('o')", "model ==", "p.yaml:21: spec.rules[2].when: mismatched input"),
    ("model.startsWith('o')", "model", "p.yaml:21: spec.rules[2].when: must be true or false, but is of type string"),
    ("process.name in", "process.nam in",
     "p.yaml:23: spec.rules[4].when: unknown field `process.nam`, did you mean `process.name`?"),
    ("on: process, when: \"process.name in ['sh', 'bash']\"", "on: process, when: \"model == ''\"",
     "at process nothing is known yet of model"),
    ("name: model, when", "name: secret, when", "the name secret is given twice, first in line 14"),
    ("finding: unsanctioned-model}", "finding: unsanctioned-modell}", "did you mean `unsanctioned-model`?"),
    (", finding: unsanctioned-model}", "}", "p.yaml:21: spec.rules[2]: needs finding, the rule that it raises"),
    ("2026-06-01", "2026-06-31", "p.yaml:25: spec.exceptions[0].expires: is no day of the calendar"),
    ("rules: [provider]", "rules: [provder]", "unknown rule `provder`, did you mean `provider`?"),
    ("given: {provider: groq}", "given: {provder: groq}",
     "p.yaml:28: spec.tests[1].given.provder: unknown field `provder`, did you mean `provider`?"),
    ("given: {provider: groq}", "given: {provider: [groq]}", "spec.tests[1].given.provider: must be of type string"),
    ("\"['openai', 'anthropic']\"", "[openai]", "spec.variables.allowed: must be CEL, as text"),
    ("\"['openai', 'anthropic']\"", "\"['openai'][3]\"", "spec.variables.allowed: has no value"),
    ("kinds.exists(k,\n          k.s", "data.exists(k, k.knd == 'a' && k.kind.s",
     "unknown field `knd` of data, did you mean `kind`?"),
    ("kind: Policy", "kind: &a Policy", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), WRONG)
def test_policy_complaints(old: str, new: str, says: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new)
    if not says:
        assert parse_policy(text, "p.yaml").name == "demo"
        return
    with pytest.raises(InputError) as caught:
        parse_policy(text, "p.yaml")
    assert says in str(caught.value)


def test_policy_all_complaints_at_once() -> None:
    text = TEXT.replace("provider != ''", "provder != ''").replace("model.startsWith", "modl.startsWith")
    with pytest.raises(InputError) as caught:
        parse_policy(text, "p.yaml")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["11", "13", "21"]  # 13 uses the variable of 11


@pytest.mark.parametrize(
    ("when", "changes", "says"),
    [
        ("workload.labels.team == 'a'", {}, "has no value, and is no match, where there is no label `team`"),
        ("has(workload.labels.team) && workload.labels.team == 'a'", {}, ""),
        ("'team' in workload.labels && workload.labels['team'] == 'a'", {}, ""),
        ("!(provider in ['openai'])", {}, "matches every connection to what is no AI service too"),
        ("provider != '' && !(provider in ['openai'])", {}, ""),
        ("tools[0] == 'x'", {}, "has no value, and is no match, where nothing is known"),
        ("model.matches('(')", {}, "has no value, and is no match, where nothing is known"),
    ],
)
def test_policy_warnings(when: str, changes: dict[str, str], says: str) -> None:
    warnings = parse_policy(rule(when, **changes), "p.yaml").warnings
    assert bool(warnings) == bool(says)
    assert all(says in warning and warning.startswith("p.yaml:8:") for warning in warnings[:1])


@pytest.mark.parametrize(
    ("when", "stage"),
    [
        ("provider == 'a'", "connect"),
        ("destination.port == 22 && process.name == 'x'", "connect"),
        ("time.getHours() > 18", "connect"),
        ("provider == 'a' && model == 'b'", "request"),
        ("'secret.aws' in kinds", "request"),
        ("finding.severity == 'high'", "response"),
    ],
)
def test_policy_stage_is_the_earliest(when: str, stage: str) -> None:
    assert parse_policy(rule(when), "p.yaml").rules[0].stage == stage


@pytest.mark.parametrize(
    ("when", "kinds"),
    [
        ("kinds.exists(k, k.startsWith('secret.'))", {"secret.*"}),
        ("kinds.exists(k, k == 'pii.email' || 'pii.phone' == k)", {"pii.email", "pii.phone"}),
        ("kinds.exists(k, k in ['a.b', 'c.d'] && k != 'a.b')", {"a.b", "c.d"}),
        ("'pii.email' in kinds || 'pii.phone' in kinds", {"pii.email", "pii.phone"}),
        ("!kinds.exists(k, k == 'pii.email')", {"pii.email"}),
        ("kinds.exists_one(k, k == 'pii.email')", {"pii.email"}),
        ("kinds.filter(k, k.startsWith('pii.')).size() > 2", {"pii.*"}),
        ("data.exists(d, d.confidence > 0.5 && d.kind.startsWith('health.'))", {"health.*"}),
        ("model == 'x'", set()),
        ("kinds.exists(k, !k.startsWith('secret.'))", {"*"}),
        ("kinds.exists(k, k.startsWith('a.') || k.size() > 3)", {"*"}),
        ("kinds.all(k, k.startsWith('a.'))", {"*"}),
        ("kinds.size() > 3", {"*"}),
        ("kinds.exists(k, k.matches('a'))", {"*"}),
        ("data.exists(d, d.confidence > 0.5)", {"*"}),
        ("'a.b' in kinds && data.exists(d, d.path == 'x')", {"*"}),
    ],
)
def test_policy_kinds_that_a_rule_needs(when: str, kinds: set[str]) -> None:
    assert policies(rule(when)).kinds == kinds


def test_policy_kinds_through_variables() -> None:
    assert policies(TEXT).kinds == {"secret.*", "pii.email"}
    text = TEXT.replace(
        "kinds.exists(k,\n          k.startsWith('secret.'))", "kinds.exists(k, k in variables.allowed)"
    )
    assert policies(text).kinds == {"openai", "anthropic", "pii.email"}


def test_policy_redact_is_what_the_condition_names_if_nothing_is_said() -> None:
    when = "kinds.exists(k, k.startsWith('secret.'))"
    assert parse_policy(rule(when, action="redact"), "p").rules[0].redact == ("secret.*",)
    with pytest.raises(InputError, match="needs redact"):
        parse_policy(rule("model == 'x'", action="redact"), "p")
    with pytest.raises(InputError, match="nothing can be masked at the stage connect"):
        parse_policy(
            rule("provider == 'x'", action="redact", redact="[secret.*]").replace("'[secret.*]'", "[secret.*]"), "p"
        )


def test_policy_names_are_unique_over_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text(TEXT)
    with pytest.raises(InputError, match=r"b.yml:1: metadata.name: demo is the name of .*a.yaml too"):
        Policies.load([tmp_path])
    (tmp_path / "c.yaml").write_text(TEXT.replace("demo", "other").replace("mode: enforce", "mode: x"))
    with pytest.raises(InputError) as caught:
        Policies.load([tmp_path, tmp_path / "a.yaml"])
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("name", ["missing.yaml", ""])
def test_policy_paths_that_hold_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no such file or folder|no policy in this folder"):
        Policies.load([tmp_path / name])


def test_policy_packs_pass_their_own_tests() -> None:
    loaded = Policies.load([PACKS])
    assert not loaded.warnings
    assert all(rule.evidence and rule.message for policy in loaded.policies for rule in policy.rules)
    outcomes = [outcome for policy in loaded.policies for outcome in try_policy(policy, NOON)]
    assert len(outcomes) >= 15
    assert [o for o in outcomes if o.wrong] == []
    tried = {(o.policy, o.rule) for o in outcomes}
    assert {(p.name, r.name) for p in loaded.policies for r in p.rules} <= tried


def test_policy_trials_tell_what_is_different() -> None:
    text = TEXT.replace("given: {provider: openai}, expect: allow", "given: {provider: groq}, expect: alert")
    first, second = try_policy(parse_policy(text, "p"), NOON)
    assert first.wrong == "expected alert, but it is block by provider"
    assert (second.wrong, second.action, second.rule) == ("", "block", "provider")
    elsewhere = TEXT.replace("given: {provider: groq}", "given: {provider: groq, workload: {id: 'pod:bank/x/y'}}")
    assert "but it is allow" in list(try_policy(parse_policy(elsewhere, "p"), NOON))[1].wrong


def test_policy_every_fact_is_known_at_some_stage() -> None:
    assert all(fact.stages and fact.stages <= set(STAGES) for fact in FACTS.values())


def read(text: str) -> tuple[Policy | None, list[str]]:
    try:
        return parse_policy(text, "p.yaml"), []
    except InputError as error:
        return None, str(error).splitlines()


LEAVES = st.sampled_from(
    ["", "provider", "kinds.exists(k, k == 'a')", "block", "[", "50ms", "1 / 0", "'a", "x", "0", "pii.email", "2026-13-01"]
) | st.text(max_size=8) | st.integers() | st.booleans() | st.none()  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_policy_any_file_is_a_policy_or_complaints_with_lines(data: st.DataObject) -> None:
    """One place of a good file becomes anything."""
    document = yaml.safe_load(TEXT.replace("2026-06-01", "'2026-06-01'"))
    at, key = document, data.draw(st.sampled_from(["spec", "metadata", "kind"]))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.integers(0, 5)):
        at = at[key]
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else list(range(len(at)))))
    at[key] = data.draw(
        st.recursive(
            LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(LEAVES, inner, max_size=2), max_leaves=4
        )
    )
    text = yaml.safe_dump(document, sort_keys=False)
    policy, complaints = read(text)
    assert all(line.startswith("p.yaml:") for line in complaints)
    assert bool(complaints) == (policy is None)
    if policy is not None:
        Policies([policy]).decide("request", {})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("kinds.exts(provde)=='!&|[]{}\"\\ \n0123+-*/?:,abc"), max_size=60))
def test_policy_any_condition_is_compiled_or_refused(when: str) -> None:
    policy, complaints = read(rule(when.strip() or "x"))
    assert all(line.startswith("p.yaml:") for line in complaints)
    if policy is not None:
        Policies([policy]).decide(policy.rules[0].stage, {})


def test_policy_page_has_the_facts_and_a_policy_that_is_good() -> None:
    sys.path.append(str(Path(__file__).parents[2] / "scripts"))
    import policy_page

    text = policy_page.PAGE.read_text(encoding="utf-8")
    assert policy_page.page(text) == text
    policy = parse_policy(text.partition("```yaml\n")[2].partition("```")[0], "page")
    assert [outcome.wrong for outcome in try_policy(policy, NOON)] == ["", ""]
