"""Incidents, system events and triage through the API: pages, what a viewer may not read or do, the audit log, the stream."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_server import BASE, World, make_world
from starlette.testclient import TestClient
from store_samples import finding, incident, system

from leeward.api.app import create_app
from leeward.api.hub import LiveHub
from leeward.api.screens import Paper
from leeward.model.incident import Incident
from leeward.model.system import SystemRecord
from leeward.policy.audit import Entry, verify

ONE = f"{1:032x}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = make_world(tmp_path)
    for n in range(3):
        made.store.add(incident(n))
        made.store.add(finding(n))
        made.store.add(system(n, kind="exec" if n else "ptrace"))
    made.store.flush()
    paper = Paper((), tmp_path, tmp_path / "audit.jsonl")
    made.app = create_app(made.store, made.hub, made.tokens, dict, clock=lambda: made.clock["now"], paper=paper)
    return made


def say(client: TestClient, kind: str = "incident", id_: str = ONE, **body: Any) -> Any:
    return client.put(f"/api/v1/{kind}s/{id_}/triage", json=body)


def test_incidents_by_pages_and_one_by_its_id(world: World) -> None:
    client = world.client()
    page = client.get("/api/v1/incidents", params={"limit": 2}).json()
    rest = client.get("/api/v1/incidents", params={"limit": 2, "cursor": page["next"]}).json()
    assert [found["id"][-1] for found in page["incidents"] + rest["incidents"]] == ["2", "1", "0"]
    assert rest["next"] == ""
    assert msgspec.convert(client.get(f"/api/v1/incidents/{ONE}").json(), Incident).severity == "critical"
    assert client.get("/api/v1/incidents/none").status_code == 404
    assert client.get("/api/v1/incidents", params={"severity": "awful"}).status_code == 400
    assert client.get("/api/v1/incidents", params={"triage": "awful"}).status_code == 400


def test_system_events(world: World) -> None:
    found = world.client().get("/api/v1/system", params={"kind": "ptrace"}).json()["system"]
    assert msgspec.convert(found, list[SystemRecord])[0].kind == "ptrace"
    assert len(world.client().get("/api/v1/system").json()["system"]) == 3


@pytest.mark.parametrize("path", ["/api/v1/incidents", f"/api/v1/incidents/{ONE}", "/api/v1/system"])
def test_a_viewer_reads_no_command_lines(world: World, path: str) -> None:
    assert "argv secret" in world.client("analyst").get(path).text
    text = world.client("viewer").get(path).text
    assert "argv secret" not in text
    assert "/bin/sh" in text or "/usr/bin/app0" in text


def test_triage_is_kept_audited_and_filters(world: World, tmp_path: Path) -> None:
    client = world.client("analyst")
    assert client.get(f"/api/v1/incidents/{ONE}/triage").json()["state"] == ""
    answer = say(client, state="suppressed", reason="a test of ours", until="7d")
    assert answer.status_code == 200
    assert answer.json()["until"] == "2026-11-08T12:10:00.000000Z"
    assert client.get(f"/api/v1/incidents/{ONE}/triage").json() == answer.json()
    assert say(client, "finding", state="acknowledged", assignee="bob").json()["assignee"] == "bob"
    left = client.get("/api/v1/incidents", params={"triage": "active"}).json()["incidents"]
    assert [found["id"][-1] for found in left] == ["2", "0"]
    words = client.get("/api/v1/triage").json()["triage"]
    assert {(word["kind"], word["state"], word["who"]) for word in words} == {
        ("incident", "suppressed", "a-analyst"), ("finding", "acknowledged", "a-analyst"),
    }  # fmt: skip
    assert say(client, state="open").json()["state"] == "open"
    assert len(client.get("/api/v1/incidents", params={"triage": "active"}).json()["incidents"]) == 3
    log = tmp_path / "audit.jsonl"
    entries = [msgspec.json.decode(line, type=Entry) for line in log.read_bytes().splitlines()]
    assert [(entry.actor, entry.detail["state"]) for entry in entries] == [
        ("a-analyst", "suppressed"), ("a-analyst", "acknowledged"), ("a-analyst", "open"),
    ]  # fmt: skip
    assert entries[0].detail["reason"] == "a test of ours"
    assert not verify(log).wrong


def test_a_viewer_changes_nothing(world: World) -> None:
    assert say(world.client("viewer"), state="acknowledged").status_code == 403
    assert say(world.client(""), state="acknowledged").status_code == 401
    assert world.client().get("/api/v1/triage").json()["triage"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"state": "explode"}, {}, {"state": "suppressed", "until": "7d"}, {"state": "suppressed", "reason": "x"},
        {"state": "suppressed", "reason": "x", "until": "9999-01-01T00:00:00Z"},
        {"state": "suppressed", "reason": "x", "until": "2020-01-01T00:00:00Z"},
        {"state": "suppressed", "reason": "x", "until": "soon"}, {"state": "suppressed", "reason": "  ", "until": "1d"},
        {"state": "acknowledged", "until": "7d"}, {"state": "closed", "reason": "x" * 1001}, {"state": "open", "more": 1},
        {"state": 5}, {"state": "closed", "reason": "x" * 10_000},
    ],
)  # fmt: skip
def test_triage_that_says_nothing_clear_is_refused(world: World, body: dict[str, Any]) -> None:
    answer = say(world.client(), **body)
    assert answer.status_code == 400
    assert "\n" not in answer.json()["detail"]
    assert world.client().get("/api/v1/triage").json()["triage"] == []


def test_triage_of_what_is_not_there(world: World) -> None:
    assert say(world.client(), id_="none", state="acknowledged").status_code == 404
    assert say(world.client(), "exchange", state="acknowledged").status_code == 404
    assert say(world.client(), "finding", id_="none", state="acknowledged").status_code == 404


def test_what_cannot_be_written_down_is_not_done(world: World, tmp_path: Path) -> None:
    paper = Paper((), tmp_path, tmp_path / "gone" / "audit.jsonl")
    app = create_app(world.store, world.hub, world.tokens, dict, clock=lambda: world.clock["now"], paper=paper)
    client = TestClient(app, base_url=BASE, headers={"authorization": f"Bearer {world.secrets['admin']}"})
    assert say(client, state="acknowledged").status_code == 503
    assert client.get("/api/v1/triage").json()["triage"] == []


def test_the_document_names_them(world: World) -> None:
    document = world.client().get("/api/v1/openapi.json").json()
    assert {"Incident", "Step", "SystemRecord", "Triage", "TriageRequest"} <= set(document["components"]["schemas"])
    assert "/api/v1/{kind}s/{id}/triage" in document["paths"]


def test_system_events_go_only_to_those_who_ask() -> None:
    async def watch() -> tuple[list[str], list[str], list[str]]:
        hub = LiveHub()
        usual = hub.subscribe()
        asking = hub.subscribe(kinds=frozenset({"system", "incident"}))
        assert usual is not None
        assert asking is not None
        hub.publish(incident(0))
        for n in range(3_000):
            hub.publish(system(n))
        hub.publish(finding(1))
        later = hub.subscribe(f"{hub.run}-0")
        assert later is not None
        took = [client.take() for client in (usual, asking, later)]
        assert took[0][1] == took[2][1] == 0
        assert took[1][1] > 0
        return tuple([event.kind for event in events] for events, _ in took)  # type: ignore[return-value]

    usual, asking, later = asyncio.run(watch())
    assert usual == later == ["incident", "finding"]
    assert set(asking) == {"system"}
