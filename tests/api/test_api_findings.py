"""Findings in the store and through the API: the same one again replaces itself; filters; what a viewer may not read."""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec
import pytest
from api_server import World, make_world
from store_samples import exchange, finding

from leeward.model.finding import Finding
from leeward.store.event_store import EventStore
from leeward.store.query import FindingQuery
from leeward.store.schema import COVERAGE, EXCHANGES, FLOWS, SCHEMA_VERSION, ddl, stored_version


def test_the_same_finding_is_one_row_with_its_latest_state() -> None:
    store = EventStore(None, batch_seconds=0.01)
    try:
        for count in range(1, 5):
            store.add(finding(count, id="a" * 32, count=count))
            if count % 2:
                store.flush()
        store.flush()
        [row] = store.findings(FindingQuery())
        assert row["count"] == 4
        assert msgspec.convert(row, Finding).severity == "high"
        assert store.summary()["findings"] == 1
    finally:
        store.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = make_world(tmp_path)
    for n, severity in enumerate(("info", "low", "medium", "high", "critical")):
        made.store.add(finding(n, severity=severity, rule="secret-in-prompt" if n % 2 else "data-leak"))
    made.store.flush()
    return made


@pytest.mark.parametrize(
    ("parameters", "severities"),
    [
        ({}, ["critical", "high", "medium", "low", "info"]),
        ({"severity": "medium"}, ["critical", "high", "medium"]),
        ({"rule": "data-leak"}, ["critical", "medium", "info"]),
        ({"workload": "APP0", "limit": 2}, ["critical", "high"]),
        ({"workload": "nobody"}, []),
        ({"q": "openai.com", "since": "1h"}, ["critical", "high", "medium", "low", "info"]),
        ({"until": "2026-11-01T12:00:02Z"}, ["low", "info"]),
    ],
)
def test_filters(world: World, parameters: dict[str, str], severities: list[str]) -> None:
    answer = world.client("analyst").get("/api/v1/findings", params=parameters)
    assert [f["severity"] for f in answer.json()["findings"]] == severities


def test_pages_follow_each_other(world: World) -> None:
    client, seen, cursor = world.client(), [], ""
    while True:
        page = client.get("/api/v1/findings", params={"limit": 2, "cursor": cursor}).json()
        seen += [f["id"] for f in page["findings"]]
        if not (cursor := page["next"]):
            break
    assert seen == [f"{n:032x}" for n in (4, 3, 2, 1, 0)]


def test_one_by_its_id_and_errors(world: World) -> None:
    assert world.client().get(f"/api/v1/findings/{3:032x}").json()["severity"] == "high"
    assert world.client().get("/api/v1/findings/none").status_code == 404
    assert world.client().get("/api/v1/findings", params={"severity": "awful"}).status_code == 400


def test_a_viewer_reads_findings_without_command_lines(world: World) -> None:
    for path in ("/api/v1/findings", f"/api/v1/findings/{3:032x}"):
        text = world.client("viewer").get(path).text
        assert "argv secret" not in text
        assert "****1111" in text
        assert "argv secret" in world.client("analyst").get(path).text


def test_a_store_of_the_first_schema_is_brought_forward(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    con = duckdb.connect(str(path))
    for statement in ddl((EXCHANGES, FLOWS, COVERAGE), 1):
        con.execute(statement)
    con.close()
    store = EventStore(path, batch_seconds=0.01)
    try:
        store.add(exchange(1))
        store.add(finding(1))
        store.flush()
        assert len(store.findings(FindingQuery())) == 1
    finally:
        store.close()
    assert stored_version(duckdb.connect(str(path))) == SCHEMA_VERSION
