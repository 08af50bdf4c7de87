"""What goes into the store comes out, once, and every loss has a name."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import T0, T0_NS, coverage, exchange, flow, moment

from leeward.model.exchange import AiError
from leeward.store import query
from leeward.store.errors import QueryError
from leeward.store.event_store import EventStore
from leeward.store.query import ExchangeQuery, FlowQuery
from leeward.store.rows import iso, parse_iso, to_json


@pytest.fixture
def store() -> Iterator[EventStore]:
    made = EventStore(None, batch_seconds=0.01)
    yield made
    made.close()


def balanced(counters: dict[str, int]) -> bool:
    named = sum(counters.get(f"store_{why}", 0) for why in
                ("queue_full", "duplicate", "bad_row", "write_error", "closed", "unencodable"))  # fmt: skip
    return counters["added"] == counters["stored"] + counters["dropped"] + counters["queued"] and (
        counters["dropped"] == named
    )


def test_store_gives_back_what_was_added(store: EventStore) -> None:
    x, f, c = exchange(1), flow(1), coverage()
    assert all(store.add(record) for record in (x, f, c))
    assert store.flush()
    assert store.exchange(x.id) == msgspec.to_builtins(x)
    assert store.exchanges(ExchangeQuery()) == [msgspec.to_builtins(x)]
    assert store.coverage() == [msgspec.to_builtins(c)]
    (got,) = store.flows(FlowQuery())
    assert got["type"] == "flow"
    assert (got["time"], got["src"], got["dst"], got["end"]) == (
        moment(1), "10.0.0.1:40001", "[2001:db8::7]:443", "",
    )  # fmt: skip
    assert store.exchange("nothing") is None
    assert store.counters["stored"] == 3
    assert balanced(store.counters)


def test_store_to_json_is_what_is_stored(store: EventStore) -> None:
    store.add(exchange(3))
    store.flush()
    assert store.exchange_json(exchange(3).id) == to_json(exchange(3)).decode()


def test_store_the_same_exchange_twice_is_one(store: EventStore) -> None:
    for _ in range(3):
        store.add(exchange(1, answer="first"))
    store.flush()
    store.add(exchange(1, answer="second"))
    store.flush()
    (got,) = store.exchanges(ExchangeQuery())
    assert got["gen_ai"]["output"][0]["content"] == "first"
    assert store.counters["store_duplicate"] == 3
    assert balanced(store.counters)


@pytest.mark.parametrize("together", [True, False])
def test_store_a_complete_exchange_replaces_a_cut_one(store: EventStore, together: bool) -> None:
    for complete, answer in ((False, "half"), (True, "whole"), (False, "half again"), (True, "whole again")):
        store.add(exchange(1, complete=complete, answer=answer))
        if not together:
            store.flush()
    store.flush()
    (got,) = store.exchanges(ExchangeQuery())
    assert got["gen_ai"]["output"][0]["content"] == "whole"
    assert (store.counters["stored"], store.counters["store_duplicate"]) == (2, 2)
    assert balanced(store.counters)


@pytest.mark.parametrize("together", [True, False])
def test_store_a_flow_grows_and_coverage_keeps_the_latest(store: EventStore, together: bool) -> None:
    for n in range(4):
        store.add(flow(7, time=T0_NS + n * 10**9, bytes_sent=n, state="closed" if n == 3 else "open"))
        store.add(coverage(exchanges=n, visible="content" if n == 3 else "nothing"))
        if not together:
            store.flush()
    store.add(coverage(pid=1001))
    store.flush()
    (got,) = store.flows(FlowQuery())
    assert (got["bytes_sent"], got["state"]) == (3, "closed")
    assert sorted((row["pid"], row["exchanges"]) for row in store.coverage()) == [(1000, 3), (1001, 0)]
    assert store.summary()["flows"] == 1
    assert balanced(store.counters)


def test_store_queue_is_bounded_and_says_so() -> None:
    store = EventStore(None, queue_limit=10, batch_seconds=5)
    try:
        with store._writer.database_lock:  # the disk is slow
            taken = [store.add(exchange(n)) for n in range(25)]
            assert taken == [True] * 10 + [False] * 15
            assert store.counters["store_queue_full"] == 15
            assert store.counters["queued"] == 10
            assert balanced(store.counters)
        assert store.flush()
        assert len(store.exchanges(ExchangeQuery())) == 10
        assert balanced(store.counters)
    finally:
        store.close()


def test_store_queue_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.store.writer.QUEUE_BYTES", 50_000)
    store = EventStore(None, batch_seconds=5)
    try:
        with store._writer.database_lock:
            taken = [store.add(exchange(n, prompt="x" * 20_000)) for n in range(4)]
        assert taken == [True, True, False, False]
    finally:
        store.close()


def test_store_after_close_drops_and_counts() -> None:
    store = EventStore(None)
    store.add(exchange(1))
    store.close()
    assert not store.add(exchange(2))
    assert (store.counters["stored"], store.counters["store_closed"]) == (1, 1)
    assert balanced(store.counters)
    store.close()


def test_store_many_threads_lose_nothing(store: EventStore) -> None:
    def work(k: int) -> None:
        for n in range(200):
            store.add(exchange(n, id=f"{k}-{n}"))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.flush()
    assert store.summary()["exchanges"] == 800
    assert balanced(store.counters)


HOSTILE: list[dict[str, Any]] = [
    {"prompt": "lone \ud800 surrogate"},
    {"prompt": "nul \x00 and newline \n and \u2028 and ' \" \\ ; DROP TABLE exchanges; --"},
    {"parameters": {"big": 10**40, "nan": float("nan"), "inf": float("inf")}},
    {"model": "m\n\x00'\ud800" * 500},
    {"input_tokens": 10**30, "output_tokens": -(10**30)},
    {"input_tokens": float("nan"), "output_tokens": "many"},
    {"status": 2**70},
    {"duration_ms": float("inf")},
    {"time": ""},
    {"time": "yesterday"},
    {"time": "9999-12-31T23:59:59+00:00"},
    {"time": "0001-01-01T00:00:00+14:00"},
    {"id": "line\nbreak \x00 '\""},
    {"workload": "a\nb"},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=lambda changes: repr(changes)[:40])
def test_store_hostile_values_are_kept_and_hurt_nobody(store: EventStore, changes: dict[str, Any]) -> None:
    store.add(exchange(1, id="before"))
    store.add(exchange(2, **changes))
    store.add(exchange(3, id="after"))
    store.flush()
    got = store.exchanges(ExchangeQuery())
    assert len(got) == 3
    assert {"before", "after"} <= {x["id"] for x in got}
    assert store.counters["dropped"] == 0
    assert store.summary()["exchanges"] == 3


def test_store_nesting_without_end_is_cut(store: EventStore) -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    assert store.add(exchange(1, parameters={"deep": deep}))
    store.flush()
    (got,) = store.exchanges(ExchangeQuery())
    assert "[nested too deep]" in json.dumps(got["gen_ai"]["request_parameters"])
    assert store.counters["store_cleaned"] == 1
    while isinstance(deep, list):  # freed here step by step: the interpreter would do it recursively
        deep = deep[0]


def test_store_an_enormous_exchange_is_kept_without_its_content(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward.store.rows.JSON_LIMIT", 100_000)
    store.add(exchange(1, prompt="x" * 200_000))
    store.add(exchange(2, time="2" * 200_000))
    store.flush()
    got = store.exchange(exchange(1).id)
    assert got is not None
    assert got["gen_ai"]["input"] == []
    assert got["gen_ai"]["request_model"] == "gpt-4o"
    assert got["evidence"]["truncated"] is True
    assert "store-limit" in got["evidence"]["notes"]
    other = store.exchange(exchange(2).id)
    assert other is not None
    assert len(other["time"]) == 40


def test_store_a_bad_row_takes_no_good_one_along(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from leeward.store import event_store, rows

    def broken(record: Any, now: int) -> rows.Row:
        row = rows.to_row(record, now)
        return msgspec.structs.replace(row, values=b'{"pid": "no number"}') if record.id == "bad" else row

    monkeypatch.setattr(event_store, "to_row", broken)
    for n in range(20):
        store.add(exchange(n, id="bad" if n == 13 else f"good{n}"))
    store.flush()
    assert store.summary()["exchanges"] == 19
    assert store.counters["store_bad_row"] == 1
    assert balanced(store.counters)


class _Broken:
    """A connection that fails as long as `error` is set."""

    def __init__(self, real: Any, error: Exception) -> None:
        self.real, self.error = real, error

    def execute(self, sql: str, *args: Any) -> Any:
        if sql.startswith("INSERT"):
            raise self.error
        return self.real.execute(sql, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_store_goes_on_after_a_write_error(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "s" / "x.duckdb", batch_seconds=0.01)
    try:
        store.add(exchange(1))
        store.flush()
        real = store._database.connection
        store._database.connection = _Broken(real, duckdb.IOException("IO Error: No space left on device"))
        store.add(exchange(2))
        store.flush()
        health = store.health()
        assert not health["ok"]
        assert health["reason"] == "writing failed: No space left on device"
        assert store.counters["store_write_error"] == 1
        store._database.connection = real
        store.add(exchange(3))
        store.flush()
        assert store.health()["ok"]
        assert {x["id"] for x in store.exchanges(ExchangeQuery())} == {exchange(1).id, exchange(3).id}
        assert balanced(store.counters)
    finally:
        store.close()


def test_store_reopens_after_a_fatal_error(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "s" / "x.duckdb", batch_seconds=0.01)
    try:
        store.add(exchange(1))
        store.flush()
        fatal = duckdb.FatalException("FATAL Error: database has been invalidated because of a previous fatal error")
        store._database.connection = _Broken(store._database.connection, fatal)
        store.add(exchange(2))
        store.flush()
        assert store.counters["store_write_error"] == 1
        store.add(exchange(3))
        store.flush()
        assert store.counters["store_reopened"] == 1
        assert store.health()["ok"]
        assert store.summary()["exchanges"] == 2
        assert balanced(store.counters)
    finally:
        store.close()


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=1, max_value=4_102_444_799_999_999))
def test_store_times_survive(us: int) -> None:
    assert parse_iso(iso(us * 1000)) == us


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-11-01T12:00:05Z", moment(5)),
        ("2026-11-01T13:00:05+01:00", moment(5)),
        ("2026-11-01T12:00:05", moment(5)),
        ("2026-11-01T12:00:05.000000123Z", moment(5)),
    ],
)
def test_store_reads_times_of_any_zone(text: str, same_as: str) -> None:
    assert parse_iso(text) == parse_iso(same_as)


FILTERS: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {0, 1, 2, 3, 4, 5}),
    ({"workload": "APP1"}, {1, 4}),
    ({"workload": "usr/bin/app2"}, {2, 5}),
    ({"provider": "Anthropic"}, {3}),
    ({"provider": "anthro"}, set()),
    ({"model": "CLAUDE"}, {3}),
    ({"model": "gpt-4o-2024"}, {0, 1, 2, 4, 5}),
    ({"domain": "anthropic"}, {3}),
    ({"operation": "chat"}, {0, 1, 2, 3, 4, 5}),
    ({"status": "429"}, {4}),
    ({"status": "4xx"}, {4}),
    ({"status": "error"}, {4, 5}),
    ({"since": T0 + timedelta(seconds=2), "until": T0 + timedelta(seconds=4)}, {2, 3}),
    ({"q": "needle"}, {2}),
    ({"q": "NEEDLE"}, {2}),
    ({"q": 'with "quotes"\nand lines'}, {2}),
    ({"q": "needle", "content": False}, set()),
    ({"q": "url-secret", "content": False}, set()),
    ({"q": "/v1/chat", "content": False}, {0, 1, 2, 3, 4, 5}),
    ({"q": "%"}, set()),
    ({"q": "'; DROP TABLE exchanges; --"}, set()),
]


@pytest.fixture(scope="module")
def filled() -> Iterator[EventStore]:
    made = EventStore(None, batch_seconds=0.01)
    changes: dict[int, dict[str, Any]] = {
        2: {"prompt": 'a needle with "quotes"\nand lines'},
        3: {"provider": "anthropic", "model": "claude", "domain": "api.anthropic.com"},
        4: {"status": 429},
        5: {"error": AiError(type="overloaded", message="later")},
    }
    for n in range(6):
        made.add(exchange(n, **changes.get(n, {})))
    for n in range(25):
        made.add(flow(n, pid=n % 5, domain=f"host{n}.example", state="closed" if n % 2 else "open"))
    assert made.flush()
    yield made
    made.close()


@pytest.mark.parametrize(("filters", "expected"), FILTERS, ids=lambda value: str(value)[:50])
def test_store_filters(filled: EventStore, filters: dict[str, Any], expected: set[int]) -> None:
    got = [int(x["id"], 16) for x in filled.exchanges(ExchangeQuery(**filters))]
    assert got == sorted(expected, reverse=True)


def test_store_flow_filters(filled: EventStore) -> None:
    assert [f["id"] for f in filled.flows(FlowQuery(pid=3, state="closed"))] == ["f23", "f13", "f3"]
    assert [f["id"] for f in filled.flows(FlowQuery(domain="HOST7."))] == ["f7"]
    assert len(filled.flows(FlowQuery(since=T0 + timedelta(seconds=20)))) == 5


def test_store_summary(filled: EventStore) -> None:
    summary = filled.summary()
    assert {name: summary[name] for name in ("exchanges", "flows", "coverage", "input_tokens", "errors")} == {
        "exchanges": 6, "flows": 25, "coverage": 0, "input_tokens": 60, "errors": 2,
    }  # fmt: skip
    assert (summary["first"], summary["last"]) == (moment(0), moment(5))
    assert [(row["provider"], row["exchanges"]) for row in summary["by_provider"]] == [("openai", 5), ("anthropic", 1)]
    assert {row["model"] for row in summary["by_model"]} == {"gpt-4o-2024", "claude-2024"}
    assert {row["name"]: row["output_tokens"] for row in summary["by_workload"]} == {"app0": 40, "app1": 40, "app2": 40}


@pytest.mark.parametrize("bad", [{"status": "4x"}, {"status": "abc"}, {"status": "٤٢٩"}, {"limit": 0}, {"limit": 1001}])
def test_store_refuses_bad_questions(filled: EventStore, bad: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        filled.exchanges(ExchangeQuery(**bad))


@settings(max_examples=60, deadline=None)
@given(cursor=st.one_of(st.text(max_size=30), st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)))
def test_store_bad_cursors_are_refused_or_harmless(filled: EventStore, cursor: str) -> None:
    with contextlib.suppress(QueryError):
        assert len(filled.exchanges(ExchangeQuery(cursor=cursor))) <= 6


@settings(max_examples=40, deadline=None)
@given(limit=st.integers(1, 30), seconds=st.lists(st.integers(0, 3), min_size=1, max_size=25))
def test_store_pages_neither_repeat_nor_skip(limit: int, seconds: list[int]) -> None:
    """Even when many exchanges have the same time."""
    store = EventStore(None, batch_seconds=0)
    try:
        for n, second in enumerate(seconds):
            store.add(exchange(n, time=moment(second)))
        store.flush()
        seen: list[tuple[str, str]] = []
        cursor = ""
        for _ in range(len(seconds) + 1):
            page = store.exchanges_page(ExchangeQuery(limit=limit, cursor=cursor))
            items = [msgspec.json.decode(item) for item in page.items]
            assert len(items) <= limit
            seen += [(x["time"], x["id"]) for x in items]
            cursor = page.next
            if not cursor:
                break
        assert seen == sorted(seen, reverse=True)
        assert len(set(seen)) == len(seconds)
    finally:
        store.close()


def test_store_a_page_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.store.query.PAGE_BYTES", 25_000)
    store = EventStore(None, batch_seconds=0.01)
    try:
        for n in range(5):
            store.add(exchange(n, prompt="x" * 10_000))
        store.flush()
        sizes, cursor = [], ""
        while True:
            page = store.exchanges_page(ExchangeQuery(cursor=cursor))
            sizes.append(len(page.items))
            cursor = page.next
            if not cursor:
                break
        assert sizes == [2, 2, 1]
    finally:
        store.close()


def test_store_a_question_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.store.event_store.QUERY_SECONDS", 0.2)
    store = EventStore(None)
    try:
        with pytest.raises(QueryError, match="narrow it"), store._reader() as con:
            con.execute(
                "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE a.range + b.range = 5"
            ).fetchall()
        assert store.exchanges(ExchangeQuery()) == []
    finally:
        store.close()


def test_a_search_of_a_large_table_is_the_same_wherever_it_looks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    store = EventStore(None)
    for n in range(40):
        store.add(exchange(n, prompt="a lamp" if n % 3 else "a shade"))
    assert store.flush()
    whole = pages(store, "shade")
    monkeypatch.setattr(query, "RECENT", 7)
    assert pages(store, "shade") == whole == [f"{n:032x}" for n in range(39, -1, -3)]
    assert pages(store, "nowhere") == []
    store.close()


def pages(store: EventStore, q: str) -> list[str]:
    """All that is found, two a page."""
    found, cursor = [], ""
    while True:
        page = store.exchanges_page(ExchangeQuery(limit=2, cursor=cursor, q=q))
        found += [msgspec.json.decode(item)["id"] for item in page.items]
        if not (cursor := page.next):
            return found
