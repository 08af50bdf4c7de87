"""`leeward range` and `leeward rules test`: what they print and how they end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from proving import judge as judging
from proving.judge import judge
from proving.ranging import RECORDED, recorded_path
from proving.scenario import Must, Scenario, scenarios
from proving.world import ScenarioError, World

from leeward.detect.eventlog import EventLog, head
from leeward.detect.rerun import SECOND, Told
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.model.process import Workload


def leeward(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "leeward", *words], capture_output=True, text=True, check=False)


def test_list_names_every_scenario() -> None:
    lines = [json.loads(line) for line in leeward("range", "list", "--json").stdout.splitlines()]
    assert {line["name"] for line in lines} == set(scenarios())
    assert all(line["must"] for line in lines if line["kind"] == "attack")


def test_there_are_as_many_as_were_promised() -> None:
    kinds = [scenario.kind for scenario in scenarios().values()]
    assert kinds.count("attack") >= 22
    assert kinds.count("honest") >= 14


def test_honest_ones_are_told_for_ten_minutes() -> None:
    assert [s.name for s in scenarios().values() if s.kind == "honest" and s.minutes < 10] == []
    assert any(s.day for s in scenarios().values())


def test_an_unknown_scenario_is_a_line_and_2() -> None:
    done = leeward("range", "run", "--recorded", "no-such")
    assert done.returncode == 2
    assert done.stderr == "leeward: no-such: no such scenario: leeward range list names them\n"


def test_a_recorded_run_says_what_was_found() -> None:
    done = leeward("range", "run", "--recorded", "--json", "exfil-dns", "health-checks")
    found = {line["scenario"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert "dns-tunnel" in found["exfil-dns"]["found"]
    assert found["exfil-dns"]["seconds"]["dns-tunnel"] < 10
    assert found["exfil-dns"]["margin"]["dns-tunnel"] > 1
    assert found["health-checks"]["false_alarms"] == []
    assert found["health-checks"]["told_s"] == 600


def test_rules_test_runs_the_detectors_over_a_log() -> None:
    log = str(RECORDED / "exfil-dns.events.gz")
    lines = [json.loads(line) for line in leeward("rules", "test", "--json", log).stdout.splitlines()]
    assert "dns-tunnel" in {line.get("rule") for line in lines}
    assert leeward("rules", "test", "--fail-on", "high", log).returncode == 1
    assert leeward("rules", "test", "--fail-on", "bad", log).returncode == 2


def test_rules_test_refuses_what_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no log")
    done = leeward("rules", "test", str(tmp_path / "x"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"leeward: {tmp_path / 'x'}: ")
    assert done.stderr.count("\n") == 1


# -- the judge judges -------------------------------------------------------------------------------------------------

T0 = 1_800_000_000 * SECOND
LOG = EventLog(head("s", 0, T0, T0 + 60 * SECOND, {"attack": T0 + SECOND}, ()), ())


def scenario(kind: str = "attack", **truth: object) -> Scenario:
    must = (Must("beaconing", "implant", "evil.example", within=5.0),) if kind == "attack" else ()
    return Scenario("s", "", kind, lambda _world: None, must=must, **truth)  # type: ignore[arg-type]


def finding(rule: str = "beaconing", workload: str = "exe:/implant", severity: str = "high", **more: object) -> Finding:
    place = Workload(workload, workload, "executable")
    about = {"destination": "evil.example"}
    return Finding(  # type: ignore[arg-type]
        id=f"{rule}{workload}", rule=rule, title="t", severity=severity, confidence=0.9, workload=place, subject=about, **more
    )  # fmt: skip


def told(*findings: Finding, after: float = 2.0, incidents: int = 1) -> Told:
    chains = {str(n): Incident(id=str(n), title="i", severity="high", confidence=0.9) for n in range(incidents)}
    first = {f.id: T0 + SECOND + int(after * SECOND) for f in findings}
    return Told({f.id: f for f in findings}, chains, first, {}, 1, {})


def test_an_attack_that_is_found_is_good() -> None:
    verdict = judge(scenario(), LOG, told(finding(evidence=[{"value": 6, "threshold": 4}])))
    assert verdict.good
    assert verdict.seconds == {"beaconing": 2.0}
    assert verdict.margin == {"beaconing": 1.5}


@pytest.mark.parametrize(
    "found",
    [
        told(),
        told(finding(rule="port-scan")),
        told(finding(workload="exe:/other")),
        told(finding(severity="low")),
        told(finding(), after=5.5),
        told(finding(), incidents=0),
        told(finding(), incidents=2),
        told(finding(), finding(rule="cryptomining")),
    ],
)
def test_an_attack_is_not_found_by_half(found: Told) -> None:
    assert not judge(scenario(must_not=("cryptomining",)), LOG, found).good


def test_what_an_attack_may_be_too_is_no_false_alarm() -> None:
    assert judge(scenario(), LOG, told(finding(), finding(rule="port-scan"))).good


def test_honest_ones_may_be_low_and_no_louder() -> None:
    assert judge(scenario("honest"), LOG, told(finding(severity="low"), incidents=0)).good
    assert not judge(scenario("honest"), LOG, told(finding(severity="medium"), incidents=0)).good
    assert not judge(scenario("honest"), LOG, told(incidents=1)).good


def test_a_margin_that_is_no_number_is_left_out() -> None:
    assert judging._margin({"value": "x", "threshold": 4}) is None
    assert judging._margin({"value": 1, "threshold": 0}) is None


# -- worlds -----------------------------------------------------------------------------------------------------------


def test_files_outside_of_a_world_are_refused() -> None:
    with pytest.raises(ScenarioError, match="below /srv, /home, /tmp only"):
        World().path("/etc/passwd")


def test_every_log_has_its_scenario() -> None:
    assert all(recorded_path(s).parent == RECORDED for s in scenarios().values())
