"""`leeward policy` as people and programs run it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

sys.path += [str(Path(__file__).parent.parent / room) for room in ("store", "api", "policy")]
from api_server import make_world, serve
from policy_samples import TEXT
from store_samples import exchange, flow

import leeward.policy
from leeward.cli import policies, policy
from leeward.model.data import DataMatch
from leeward.policy.audit import Audit
from leeward.policy.policies import Policies
from leeward.store.event_store import EventStore

PACKS = str(Path(leeward.policy.__file__).parent / "packs")


def run(*words: str, env: dict[str, str] | None = None) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    policy.register(app)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["policy", *words], env=env)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def fill(store: EventStore) -> None:
    for n in range(40):
        x = exchange(n, provider=("openai", "groq")[n % 2])
        x.data = [
            DataMatch(kind="secret.aws", path="$.a", start=0, end=1, confidence=0.9, detector="d", sample="*", hash="h",
                      side="request")
        ] * (n % 4 == 0)  # fmt: skip
        store.add(x)
    store.add(flow(0, pid=1000))
    assert store.flush()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    world = make_world(tmp_path_factory.mktemp("policy"))
    fill(world.store)
    with serve(world.app) as url:
        yield {role: {"LEEWARD_URL": url, "LEEWARD_TOKEN": world.secrets[role]} for role in ("analyst", "viewer")}
        world.hub.close()
    world.store.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("policy") / "leeward.duckdb"
    store = EventStore(path, clock=lambda: 1.8e9)
    fill(store)
    store.close()
    return str(path)


def test_cli_policy_check_good() -> None:
    result = run("check", PACKS)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "no complaints: 2 policies, 7 rules\n", "")
    told = lines(run("check", "--json", PACKS))
    assert {line["name"] for line in told} == {"sanctioned-ai", "data-protection"}


def test_cli_policy_check_says_where_and_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(TEXT.replace("provider != ''", "provder != ''").replace("deadline", "dealine"))
    result = run("check", str(path))
    assert result.exit_code == 2
    assert f"{path}:7: spec.dealine: unknown field `dealine`, did you mean `deadline`?" in result.stderr
    path.write_text(TEXT.replace("provider != ''", "provder != ''").replace("k.starts", "k.stars"))
    told = run("check", str(path)).stderr.splitlines()
    assert told[0] == f"{path}:11: spec.variables.stranger: unknown field `provder`, did you mean `provider`?"
    assert told[-1] == f"{path}:17: spec.rules[1].when: unknown field `starsWith`, did you mean `startsWith`?"


def test_cli_policy_check_warns_of_expired_exceptions(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(TEXT.replace("2026-06-01", "2020-01-01"))
    result = run("check", str(path))
    assert result.exit_code == 0
    assert f"warning: {path}:25: exception trial of ann expired on 2020-01-01: renew it or take it out" in result.stderr


def test_cli_policy_test(tmp_path: Path) -> None:
    assert run("test", PACKS).exit_code == 0
    path = tmp_path / "p.yaml"
    path.write_text(TEXT.replace("given: {provider: groq}", "given: {provider: openai}"))
    result = run("test", str(path), "--json")
    assert result.exit_code == 1
    assert [line["wrong"] for line in lines(result)] == ["", "expected block, but it is allow"]


def test_cli_policy_simulate_asks_the_one_that_runs_or_a_file(served: dict[str, Any], file: str) -> None:
    by_api = run("simulate", PACKS, "--since", "2026-11-01", "--json", env=served["analyst"])
    by_file = run("simulate", PACKS, "--since", "2026-11-01", "--json", "--database", file)
    assert (by_api.exit_code, by_api.stderr) == (0, "")
    assert sorted(by_api.stdout.splitlines()) == sorted(by_file.stdout.splitlines())
    *outcomes, stats = lines(by_api)
    assert stats == {
        "type": "stats",
        "exchanges": 40,
        "combinations": stats["combinations"],
        "stopped": 20,
        "masked": 10,
        "errors": 0,
    }
    assert {(o["action"], o["rule"], o["provider"]) for o in outcomes} == {
        ("block", "provider", "groq"),
        ("redact", "no-secrets", "openai"),
    }
    assert sum(o["count"] for o in outcomes) == 30
    assert "of 40 exchanges in" in run("simulate", PACKS, "--since", "2026-11-01", "--database", file).stdout


def test_cli_policy_simulate_is_not_for_viewers(served: dict[str, Any]) -> None:
    result = run("simulate", PACKS, env=served["viewer"])
    assert (result.exit_code, result.stderr) == (2, "leeward: a viewer's token may not ask this: use an analyst's\n")


def test_cli_policy_generate_gives_what_can_be_used(served: dict[str, Any], file: str, tmp_path: Path) -> None:
    out = tmp_path / "made"
    result = run("generate", "--since", "2026-11-01", "--out", str(out), env=served["analyst"])
    assert (result.exit_code, result.stderr) == (0, "")
    made = Policies.load([out])
    assert [p.name for p in made.policies] == [f"exe-usr-bin-app{n}" for n in range(3)]
    assert run("test", str(out)).exit_code == 0
    assert "cannot be written" in run("generate", "--since", "2026-11-01", "--out", str(out), "--database", file).stderr
    one = run("generate", "--since", "2026-11-01", "--workload", "app1", "--database", file).stdout
    assert one == (out / "exe-usr-bin-app1.yaml").read_text()
    assert run("generate", "--format", "x", "--database", file).exit_code == 2
    none = run("generate", "--since", "2026-11-01", "--format", "networkpolicy", "--database", file)
    assert (none.stdout, none.stderr) == ("", "nothing to make policies of: no pods\n")


def test_cli_policy_audit_verify(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "a")
    for n in range(3):
        audit.append("2026-06-01T12:00:00Z", "ann", "e", {"n": n})
    good = run("audit", "verify", str(audit.path), "--json")
    assert (good.exit_code, lines(good)[0]["ok"], lines(good)[0]["lines"]) == (0, True, 3)
    audit.path.write_text(audit.path.read_text().replace("ann", "bob", 1))
    bad = run("audit", "verify", str(audit.path))
    assert (bad.exit_code, "broken after 1 good lines" in bad.stdout) == (1, True)


def test_the_first_policies_are_enforced_when_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policies, "_LOOK_SECONDS", 0)
    first, begun = policies.FirstPolicies(bytes(32), None, tmp_path), []
    first.step(begun.append)
    folder = tmp_path / policies.FOLDER
    folder.mkdir()
    (folder / "one.yaml").write_text("kind: Policy")
    for _ in range(3):
        first.step(begun.append)
    assert begun == []
    assert capsys.readouterr().err.count("policies_refused") == 1
    rule = "{name: no-groq, when: provider == 'groq', action: block, finding: unsanctioned-provider}"
    head = "apiVersion: leeward/v1\nkind: Policy\nmetadata: {name: one}\n"
    (folder / "one.yaml").write_text(f"{head}spec: {{mode: alert, rules: [{rule}]}}\n")
    first.step(begun.append)
    assert [one.paths for one in begun] == [(folder,)]
