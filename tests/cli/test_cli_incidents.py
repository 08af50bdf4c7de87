"""Incidents for people and programs: the list, the page, the watch line, what `exec` prints; nothing that drives a terminal."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parent.parent / "store"))
sys.path.append(str(Path(__file__).parent.parent / "api"))
from api_server import World, make_world, serve
from store_samples import coverage, exchange, finding, incident, system

from leeward.ai.catalogue import load_catalogue
from leeward.cli import findings, incidents, watch
from leeward.cli.incident_page import WIDTH, page
from leeward.cli.printer import _Lines, _People
from leeward.cli.run import _restore_incidents
from leeward.model.incident import Step
from leeward.model.process import Process, Workload
from leeward.model.raw import ProcessExec, ProcessExited, ProcessStarted, SystemCalled
from leeward.model.system import SystemRecord
from leeward.pipeline import Pipeline, Settings
from leeward.store.event_store import EventStore

EVIL = "evil\x1b[2J\x1b]0;title\x07\r\n\u202e\u200b"


NETWORK = {
    "exposure": "any", "listening": [{"address": f"0.0.0.0:80{EVIL}", "exposure": "any"}],
    "inbound": {"outside": 3, "first_outside": "2026-11-01T12:00:00Z", "peers": [{"peer": EVIL}]},
    "outbound": {"outside": 2, "destinations": [{"peer": "203.0.113.7", "port": 443}]},
    "routes": [{"path": "10/8"}], "devices": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, str]]]:
    world = make_world(tmp_path_factory.mktemp("incidents"))
    for n in range(3):
        world.store.add(incident(n))
        world.store.add(finding(n))
    evil = Step(time="2026-11-01T12:00:00.000000Z", layer="host", what=EVIL, pid=3, exe=EVIL)
    world.store.add(incident(9, title=EVIL, chain=[evil], because=[EVIL], do=[EVIL], network=NETWORK, image=EVIL))
    world.store.add(system(1))
    world.store.add(system(2, kind="open", path=EVIL, label="ssh-key"))
    assert world.store.flush()
    with serve(world.app) as url:
        yield world, {"LEEWARD_URL": url, "LEEWARD_TOKEN": world.secrets["admin"]}
        world.hub.close()
    world.store.close()


def ask(env: dict[str, str], *args: str) -> Any:
    app = typer.Typer(pretty_exceptions_enable=False)
    incidents.register(app)
    findings.register(app)
    return CliRunner().invoke(app, args, env=env)


def test_the_list_as_a_table_and_as_json(served: tuple[World, dict[str, str]]) -> None:
    table = ask(served[1], "incidents", "--limit", "2", "--workload", "app0").stdout.splitlines()
    assert table[0].split() == ["last", "seen", "severity", "incident", "tactics", "findings", "status", "id"]
    assert len(table) >= 3
    lines = [json.loads(line) for line in ask(served[1], "incidents", "--json").stdout.splitlines()]
    assert [line["type"] for line in lines] == ["incident"] * 4
    assert ask(served[1], "incidents", "--triage", "awful").exit_code == 2


def test_one_incident_on_a_page(served: tuple[World, dict[str, str]]) -> None:
    world, env = served
    said = world.client().put(f"/api/v1/incidents/{1:032x}/triage", json={"state": "acknowledged", "assignee": "bob"})
    assert said.status_code == 200
    text = ask(env, "incidents", f"{1:032x}").stdout
    for words in (
        "CRITICAL  Hidden order, then data sent out in app0", "app0 (pod:prod/app0/app)", "Initial Access > Exfiltration",
        "What happened", "process started: sh -c argv secret", "! high: Data sent out: to 203.0.113.7  (Exfiltration)",
        "What to do", "isolate the workload", "Why this is one incident", "acknowledged by a-admin, bob looks after it",
        "high     1 x",
        "nothing was stopped",
    ):  # fmt: skip
        assert words in text
    assert json.loads(ask(env, "incidents", f"{1:032x}", "--json").stdout)["id"] == f"{1:032x}"
    assert ask(env, "incidents", "none").exit_code == 2


@pytest.mark.parametrize(
    "args", [("incidents",), ("incidents", f"{9:032x}"), ("system",), ("system", "--kind", "open")]
)
def test_traffic_cannot_drive_the_terminal(served: tuple[World, dict[str, str]], args: tuple[str, ...]) -> None:
    text = ask(served[1], *args).stdout
    assert "evil" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_one_finding_says_its_evidence_whatever_its_kind(served: tuple[World, dict[str, str]]) -> None:
    world, env = served
    evidence = [
        {
            "type": "flow",
            "time": "2026-11-01T12:00:00.5Z",
            "flow": "f1",
            "value": 0.123456,
            "threshold": 3,
            "ports": [22, 80],
        },
        {"type": "process", "time": "", "argv": ["sh", EVIL], "signs": {"a": 1}},
    ]
    world.store.add(finding(55, evidence=evidence, subject={"destination": "203.0.113.7"}, network=NETWORK))
    world.store.flush()
    text = ask(env, "findings", f"{55:032x}").stdout
    assert "flow at 2026-11-01 12:00:00.5Z: flow f1, value 0.123456, threshold 3, ports 22 80" in text
    assert "signs a=1" in text
    assert "about: destination 203.0.113.7" in text
    assert "connections from outside" in text
    assert all(c.isprintable() or c == "\n" for c in text)
    old = ask(env, "findings", f"{1:032x}").stdout
    assert f"evidence: exchange {1:032x} at" in old


def test_the_posture_is_on_the_page() -> None:
    text = "\n".join(page({"network": NETWORK}, width=10_000))
    for words in (
        "(from anywhere)",
        "3 connections from outside, since 2026-11-01T12:00:00",
        "203.0.113.7:443",
        "new routes: 10/8",
    ):
        assert words in text


def test_system_events_as_a_table(served: tuple[World, dict[str, str]]) -> None:
    text = ask(served[1], "system", "--kind", "exec").stdout
    assert "app0 --prompt argv secret" in text
    assert "ssh-key" not in text


def test_a_page_is_no_wider_than_it_says() -> None:
    long = incident(1, because=["because " * 60], do=["do this " * 60], image="registry.example/" + "x/" * 20)
    long.chain = [Step(time=f"2026-11-0{d}T12:00:00.0Z", layer="4", what="connection " * 30) for d in (1, 2)]
    lines = list(page(msgspec.to_builtins(long)))
    assert max(map(len, lines)) <= WIDTH
    assert any(line.startswith("11-02 12:00:00") for line in lines)


def test_watch_says_it_in_a_line() -> None:
    assert "INCIDENT critical  Hidden order" in watch.line(msgspec.to_builtins(incident(1)))
    assert "exec  /usr/bin/app0 (1001)  app0 --prompt" in watch.line(msgspec.to_builtins(system(1)))


def test_exec_prints_an_incident_when_it_is_new_and_in_its_last_state() -> None:
    stream = io.StringIO()
    lines = _Lines(stream)
    lines.records([incident(1, severity="high"), finding(1), system(1)])
    for n in range(2, 5):
        lines.records([incident(n, id=f"{1:032x}"), incident(7, title="steady")])
    lines.records([incident(8, status="merged", merged_into="x")])
    lines.stats({"type": "stats", "coverage": [coverage()]})
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(t["type"], t.get("last_seen", "")[17:19]) for t in told if t["type"] == "incident"] == [
        ("incident", "01"), ("incident", "07"), ("incident", "08"), ("incident", "04"),
    ]  # fmt: skip
    assert [t["type"] for t in told if t["type"] != "incident"] == ["finding", "system", "coverage", "stats"]


def test_people_get_a_line_at_once_and_the_page_in_the_end() -> None:
    stream = io.StringIO()
    people = _People(stream)
    people.records([incident(1, title=EVIL), exchange(1), system(1)])
    assert "incident critical" in stream.getvalue()
    people.records([incident(2, id=f"{1:032x}")])
    assert "What happened" not in stream.getvalue()
    people.stats({"exchanges": 1, "requests": 1, "flows": 1, "coverage": [], "lost": {}})
    text = stream.getvalue()
    assert text.count("What happened") == 1
    assert all(c.isprintable() or c == "\n" for c in text)


class _Table:
    """Two processes, as identity would know them."""

    def feed(self, event: ProcessStarted | ProcessExec | ProcessExited) -> None:
        """Nothing to learn."""

    def get(self, pid: int, ts: int) -> Process:
        return Process(pid, 5, f"/bin/p{pid}", ("p", "--key", "sk-ant-api03-" + "a" * 93 + "AA"), "/", 0, "root", (), "",
                       Workload("w", "w", "systemd"))  # fmt: skip

    def stdio_client(self, pid: int, pipe: int, ts: int) -> int:
        return 0


def test_the_pipeline_keeps_execs_and_system_calls_and_no_exits() -> None:
    pipeline = Pipeline(Settings("boot"), load_catalogue(), _Table())
    now = 1_795_000_000 * 10**9
    records = [
        *pipeline.feed(ProcessExec(now, 7, 1, 5, 0, "/bin/p7", ("p",), euid=0, setuid=True)),
        *pipeline.feed(SystemCalled(now + 1, 7, "ptrace", number=16, target=8)),
        *pipeline.feed(SystemCalled(now + 2, 0, "route", path="10.0.0.0/8", source="via 192.0.2.1 eth0")),
        *pipeline.feed(ProcessExited(now + 3, 7)),
    ]
    kept = [record for record in records if isinstance(record, SystemRecord)]
    assert [record.kind for record in kept] == ["exec", "ptrace", "route"]
    assert len({record.id for record in kept}) == 3
    assert (kept[0].euid, kept[0].setuid, kept[0].path) == (0, True, "/bin/p7")
    assert kept[1].target is not None
    assert kept[1].target.exe == "/bin/p8"
    assert kept[2].process is None
    assert "sk-ant-api03-a" not in msgspec.json.encode(kept).decode()
    assert pipeline.totals()["system_events"] == 3


class _Observed:
    def __init__(self) -> None:
        self.pipeline = Pipeline(Settings("boot"), load_catalogue(), _Table())


def test_run_takes_up_incidents_that_were_open() -> None:
    store = EventStore(None, batch_seconds=0.01)
    store.add(incident(1, id="a" * 32, findings=[f"{1:032x}"]))
    store.add(incident(2, status="closed"))
    store.add(finding(1))
    store.flush()
    live: Any = _Observed()
    _restore_incidents(live, store)
    store.close()
    assert len(live.pipeline.incidents) == 1
    again = finding(1, severity="critical", count=2, last_seen="2026-11-01T12:01:00.000000Z")
    told = live.pipeline.incidents.feed(again, 1_793_534_460 * 10**9)
    told += live.pipeline.incidents.tick(1_793_534_461 * 10**9)
    assert [(one.id, one.first_seen) for one in told] == [("a" * 32, incident(1).first_seen)]
