"""Incidents, system events and triage in the store: latest state, filters, retention, and a store of an older Leeward."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from store_samples import T0, exchange, finding, incident, moment, system

from leeward.model.exchange import ProcessRef
from leeward.model.incident import Incident
from leeward.model.system import SystemRecord
from leeward.model.triage import Triage
from leeward.store import retention as sweeping
from leeward.store.errors import QueryError
from leeward.store.event_store import EventStore
from leeward.store.query import FindingQuery, IncidentQuery, SystemQuery, TriageQuery
from leeward.store.retention import Retention
from leeward.store.schema import SCHEMA_VERSION, ddl, stored_version


@pytest.fixture
def store() -> Iterator[EventStore]:
    made = EventStore(None, batch_seconds=0.01)
    yield made
    made.close()


def triage(target: str, state: str, n: int = 0, **changes: Any) -> Triage:
    fields: dict[str, Any] = {"kind": "incident", "when": moment(n), "who": "ann"}
    fields |= changes
    return Triage(id=f"{fields['kind']}:{target}", target=target, state=state, **fields)


def ids(store: EventStore, **query: Any) -> list[int]:
    return [int(found["id"], 16) for found in store.incidents(IncidentQuery(**query))]


def test_an_incident_is_one_row_with_its_latest_state(store: EventStore) -> None:
    for n, title in enumerate(("a", "b", "c")):
        store.add(incident(n, id="f" * 32, title=title))
        store.flush()
    [row] = store.incidents(IncidentQuery())
    assert msgspec.convert(row, Incident).title == "c"
    assert store.summary()["incidents"] == 1
    text = store.incident_json("f" * 32)
    assert text is not None
    assert msgspec.json.decode(text) == row
    assert store.incident_json("none") is None


def test_filters_of_incidents(store: EventStore) -> None:
    for n, severity in enumerate(("low", "medium", "high")):
        store.add(incident(n, severity=severity, rules=["beaconing"] if n else ["dns-tunnel", "port-scan"]))
    store.add(incident(3, status="merged", merged_into="x"))
    store.add(incident(4, status="closed", title="Elsewhere"))
    store.flush()
    assert ids(store) == [4, 2, 1, 0]
    assert ids(store, status="merged") == [3]
    assert ids(store, severity="medium") == [4, 2, 1]
    assert ids(store, rule="port-scan") == [0]
    assert ids(store, rule="port") == []
    assert ids(store, q="elsewhere") == [4]
    assert ids(store, workload="PROD/app0", since=T0 + timedelta(seconds=2)) == [4, 2]
    with pytest.raises(QueryError):
        ids(store, triage="awful")


def test_what_people_said_filters_until_there_is_news(store: EventStore) -> None:
    for n in range(4):
        store.add(incident(n))
    store.add(triage(f"{0:032x}", "suppressed", 10, until=moment(100)))
    store.add(triage(f"{1:032x}", "closed", 10))
    store.add(triage(f"{2:032x}", "acknowledged", 10))
    store.add(finding(3))
    store.add(triage(f"{3:032x}", "closed", 10, kind="finding"))
    store.flush()
    now = T0 + timedelta(seconds=20)
    assert ids(store, triage="active", now=now) == [3, 2]
    assert ids(store, triage="active", now=T0 + timedelta(seconds=101)) == [3, 2, 0]
    assert ids(store, triage="suppressed") == [0]
    assert store.findings(FindingQuery(triage="active", now=now)) == []
    store.add(incident(50, id=f"{1:032x}"))
    store.flush()
    assert ids(store, triage="active", now=now)[0] == 1
    store.add(triage(f"{2:032x}", "acknowledged", 30, assignee="bob"))
    store.flush()
    words = [msgspec.json.decode(item, type=Triage) for item in store.triage_page(TriageQuery(kind="incident")).items]
    assert [(word.target[-1], word.state) for word in words] == [
        ("2", "acknowledged"),
        ("1", "closed"),
        ("0", "suppressed"),
    ]


def test_system_events_and_their_filters(store: EventStore) -> None:
    store.add(system(0))
    store.add(system(1, kind="open", label="ssh-key", path="/root/.ssh/id_ed25519"))
    child = ProcessRef(
        pid=77, exe="/bin/sh", argv=["sh"], ancestors=[{"pid": 1001, "exe": "/usr/bin/app0", "argv": []}]
    )
    store.add(system(3, process=child, time=moment(-1), workload=None))
    store.add(system(4, kind="mount", process=child, time=moment(-2), workload=None))
    store.add(system(2, kind="route", process=None, workload=None, source="via 10.0.0.1"))
    store.flush()

    def found(**query: Any) -> list[str]:
        page = store.system_page(SystemQuery(**query))
        return [msgspec.json.decode(item, type=SystemRecord).kind for item in page.items]

    assert found() == ["route", "open", "exec", "exec", "mount"]
    assert found(kind="exec") == ["exec", "exec"]
    assert found(pid=1001) == ["open", "exec"], "its own, and the programs that it started"
    assert found(label="ssh-key", path="ID_ED") == ["open"]
    assert found(pid=1000, exe="app0", workload="app0") == ["exec"]
    assert found(limit=1) == ["route"]


def test_old_ones_go_with_age_and_system_events_with_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = {"now": T0.timestamp()}
    store = EventStore(
        tmp_path / "s.duckdb", retention=Retention(days=1), batch_seconds=0.01, clock=lambda: clock["now"]
    )
    try:
        store.add(incident(0))
        store.add(system(0))
        store.add(triage("x", "closed"))
        store.flush()
        deleted = store.sweep(clock["now"] + 2 * 86_400)
        assert deleted == {"incidents": 1, "system_events": 1, "triage": 1}
        monkeypatch.setattr(sweeping, "CHUNK_MIN", 100)
        for n in range(300):
            store.add(system(n, label="x" * 5_000))
        store.add(incident(1))
        store.flush()
        monkeypatch.setattr(type(store._database), "size", lambda _self: 10**12)
        gone = sweeping.sweep(store._database, Retention(days=0, size_bytes=1), clock["now"])
        assert gone["system_events"] == 300
        assert ids(store) == [1]
    finally:
        store.close()


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_store_of_an_older_schema_is_brought_forward(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.duckdb"
    con = duckdb.connect(str(path))
    for statement in ddl(version=version):
        con.execute(statement)
    con.close()
    store = EventStore(path, batch_seconds=0.01)
    try:
        for record in (exchange(1), finding(1), incident(1), system(1), triage("x", "closed")):
            store.add(record)
        store.flush()
        assert store.counters["stored"] == 5
        assert ids(store) == [1]
        assert store.summary()["system_events"] == 1
    finally:
        store.close()
    assert stored_version(duckdb.connect(str(path))) == SCHEMA_VERSION
