"""Simulation and generation over what was stored: as if each exchange had been judged on its own."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent.parent / "store")]
from policy_samples import NOON, policies, rule
from store_samples import T0, exchange, flow

import leeward.policy
from leeward.model.data import DataMatch
from leeward.model.exchange import Exchange, Tool
from leeward.model.process import Container, Workload
from leeward.policy import generate
from leeward.policy.document import parse_policy
from leeward.policy.facts import FACTS, facts_of, flat
from leeward.policy.policies import Policies
from leeward.policy.seen import Seen
from leeward.policy.simulate import facts_of_seen, simulate, wanted_names
from leeward.store.errors import QueryError, StoreError
from leeward.store.event_store import EventStore
from leeward.store.history import combinations, open_file
from leeward.store.rows import iso, parse_iso

PACKS = Path(leeward.policy.__file__).parent / "packs"
KINDS = ("secret.aws", "pii.email", "financial.card")


def many() -> Iterator[Exchange]:
    for n in range(240):
        x = exchange(
            n,
            provider=("openai", "groq", "mistral_ai")[n % 3],
            model=("gpt-4o", "o3")[n % 2],
            domain=f"d{n % 4}.example",
        )
        x.workload = Workload(f"pod:shop/w{n % 5}/app", f"shop/w{n % 5}/app", "pod")
        x.container = Container("c" * 64, "app", f"img:{n % 2}", labels={"team": "ab"[n % 2]}, pod_namespace="shop")
        x.gen_ai.tools = [Tool("run")] * (n % 2)
        x.data = [
            DataMatch(kind=KINDS[(n + i) % 3], path="$.a", start=0, end=1, confidence=0.6 + 0.3 * (i % 2), detector="d",
                      sample="*", hash="h", side=("request", "response")[(n + i) % 2])
            for i in range(n % 4)
        ]  # fmt: skip
        yield x


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "leeward.duckdb"
    store = EventStore(path, clock=T0.timestamp)
    for x in many():
        store.add(x)
    for n in range(4):
        store.add(flow(n))
    assert store.flush()
    store.close()
    return path


def seen(file: Path, names: Any) -> list[Seen]:
    con = open_file(file)
    try:
        return list(combinations(con, names, None))
    finally:
        con.close()


RULES = [
    rule("!(provider in ['openai'])", action="block"),
    rule("kinds.exists(k, k.startsWith('secret.')) && model == 'o3'", action="redact"),
    rule("data.exists(d, d.kind == 'pii.email' && d.confidence > 0.7)", action="block", on="response"),
    rule("workload.labels.team == 'a' && 'run' in tools"),
    rule("image.name == 'img:1' && process.name == 'app2' && destination.ip == '192.0.2.7'", action="kill"),
    rule("workload.namespace == 'shop' && process.argv.size() > 1 && time.getMinutes() >= 0"),
]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_policy_simulation_is_what_judging_each_would_be(file: Path, number: int) -> None:
    made = policies(RULES[number])
    result = simulate(made, seen(file, wanted_names(made)))
    counted: Counter[tuple[str, str]] = Counter()
    stage = made.policies[0].rules[0].stage
    for x in many():
        time_ns = (parse_iso(x.time) or 0) * 1000
        for decision in made.decide(stage, facts_of(x, time_ns, "response" if stage == "response" else "request")):
            counted[x.workload.id if x.workload else "", decision.wanted] += 1
    told: Counter[tuple[str, str]] = Counter()
    for outcome in result.outcomes:
        told[outcome.workload, outcome.action] += outcome.count
    assert told == counted
    assert counted or number == 3
    assert result.total == 240
    assert result.combinations <= 240


def test_policy_history_has_every_fact_as_the_exchange_has(file: Path) -> None:
    fields = [f"data.{field}" for field in ("kind", "confidence", "path", "detector")]
    by_id = {x.id: x for x in many()}
    found = seen(file, {*FACTS, *fields})
    assert sum(s.count for s in found) == 240
    for s in found:
        for side in ("request", "response"):
            ours = flat(facts_of_seen(s, side), FACTS)
            theirs = flat(facts_of(by_id[s.example], 0, side), FACTS)
            assert {k: v for k, v in ours.items() if k != "time"} == {k: v for k, v in theirs.items() if k != "time"}


def test_policy_history_of_an_older_schema_reads_the_json(tmp_path: Path) -> None:
    store = EventStore(None, clock=T0.timestamp)
    for x in many():
        store.add(x)
    assert store.flush()
    names = {"provider", "kinds", "workload.labels", "tools"}
    new = sorted(map(repr, store.combinations(names, None, None)))
    with store._reader() as con:
        con.execute("UPDATE exchanges SET facts = NULL")
    assert sorted(map(repr, store.combinations(names, None, None))) == new
    store.close()


def test_policy_history_refuses_what_it_does_not_know(file: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="no such fact: provder"):
        seen(file, {"provder"})
    with pytest.raises(StoreError, match="no such file"):
        open_file(tmp_path / "none")
    (tmp_path / "text").write_text("no database")
    with pytest.raises(StoreError, match="cannot open"):
        open_file(tmp_path / "text")


def test_policy_simulation_knows_exceptions(file: Path) -> None:
    waiver = "  exceptions:\n    - {name: e, owner: o, reason: r, expires: 2027-01-01, when: \"model == 'o3'\", rules: [r]}\n"
    made = policies(rule("provider == 'groq'", action="block") + waiver)
    result = simulate(made, seen(file, wanted_names(made)))
    assert {o.action for o in result.outcomes} == {"block"}  # the stage is connect, when there is no model yet
    assert "stage connect, at which nothing is known yet of model" in made.warnings[0]
    late = policies(rule("provider == 'groq'", action="block", on="request") + waiver)
    result = simulate(late, seen(file, wanted_names(late)))
    assert {(o.action, o.model) for o in result.outcomes} == {("block", "gpt-4o"), ("allow", "o3")}
    assert result.stopped == sum(o.count for o in result.outcomes if o.action == "block")


def test_policy_packs_can_be_simulated(file: Path) -> None:
    packs = Policies.load([PACKS])
    result = simulate(packs, seen(file, wanted_names(packs)))
    assert result.stopped > 0
    assert packs.counters["policy_errors"] == 0


def test_policy_generated_policies_are_good_and_allow_what_was_seen(file: Path) -> None:
    history = seen(file, generate.NAMES)
    places = {"pod:shop/w0/app": [generate.Place("d0.example", "192.0.2.7", 443, "tcp", "openai")]}
    profiles = generate.profiles(history, places)
    assert [p.id for p in profiles] == [f"pod:shop/w{n}/app" for n in range(5)]
    made = policies(*(generate.policy_text(p, "7d") for p in profiles))
    assert made.warnings == []
    for x in many():
        facts = facts_of(x, 0)
        decisions = [d for stage in ("connect", "request") for d in made.decide(stage, facts)]
        assert all(
            d.rule == "data" and "secret.aws" in facts["kinds"] for d in decisions
        )  # credentials are never allowed
    stranger = facts_of(next(many()), 0)
    stranger["provider"] = "deepseek"
    assert [d.wanted for d in made.decide("connect", stranger)] == ["block"]
    document = yaml.safe_load(generate.network_policy_text(profiles[0]))
    assert document["spec"]["podSelector"] == {"matchLabels": {"team": "a"}} or document["spec"]["podSelector"] == {
        "matchLabels": {"team": "b"}
    }
    assert document["spec"]["egress"][1] == {
        "to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}],
        "ports": [{"protocol": "TCP", "port": 443}],
    }
    assert generate.network_policy_text(generate.Profile("exe:/usr/bin/x")) == ""


@pytest.mark.parametrize(
    "id_", ["exe:/usr/bin/python3:-c", "container:a[1]*?@img", "systemd:ü.service", "exe:" + "x" * 300]
)
def test_policy_generated_scope_means_the_workload_itself(id_: str) -> None:
    text = generate.policy_text(generate.Profile(id_, name='a "b"\n', models={'x"\\y'}), "7d")
    scope = parse_policy(text, "p").scope
    assert scope.covers(id_, "", "", {})
    assert not scope.covers(id_ + "x", "", "", {})


def test_policy_times_of_history_are_iso() -> None:
    assert iso(int(NOON.timestamp()) * 10**9).startswith("2026-06-01T12:00:00")
