"""The file: who may open it, what survives a kill, what is refused and left alone, what is deleted in time."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import select
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from store_samples import coverage, exchange, flow

from leeward.store.database import wal_path
from leeward.store.errors import StoreError
from leeward.store.event_store import EventStore
from leeward.store.paths import state_dir, write_private
from leeward.store.query import ExchangeQuery, FlowQuery
from leeward.store.retention import Retention
from leeward.store.schema import Column, Table, ddl, migrate, stored_version

DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "leeward.duckdb"


def ids(store: EventStore) -> set[str]:
    found: set[str] = set()
    cursor = ""
    while True:
        page = store.exchanges_page(ExchangeQuery(limit=1000, cursor=cursor))
        found |= {item.split('"id":"', 1)[1].split('"', 1)[0] for item in page.items}
        cursor = page.next
        if not cursor:
            return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_store_file_is_private_and_survives_closing(path: Path) -> None:
    old = os.umask(0)
    try:
        store = EventStore(path)
        store.add(exchange(1))
        store.flush()
        assert mode(path.parent) == 0o700
        assert {p.name: oct(mode(p)) for p in path.parent.iterdir()} == dict.fromkeys(
            ("leeward.duckdb", "leeward.duckdb.wal", "leeward.duckdb.lock"), oct(0o600)
        )
        store.close()
    finally:
        os.umask(old)
    again = EventStore(path)
    assert ids(again) == {exchange(1).id}
    again.close()


def test_store_duckdb_may_not_reach_out(path: Path) -> None:
    store = EventStore(path)
    try:
        with store._reader() as con:
            for sql in (
                "SELECT * FROM read_text('/etc/hostname')",
                "COPY (SELECT 1) TO '/tmp/leeward-out.csv'",
                "INSTALL httpfs",
                "LOAD httpfs",
                "ATTACH '/tmp/other.duckdb'",
                "SET enable_external_access = true",
                "SET autoinstall_known_extensions = true",
            ):
                with pytest.raises(duckdb.Error):
                    con.execute(sql)
    finally:
        store.close()


def test_store_second_opening_is_one_clear_line(path: Path) -> None:
    store = EventStore(path)
    try:
        with pytest.raises(StoreError) as same:
            EventStore(path)
        code = (
            "import sys; from pathlib import Path; from leeward.store.errors import StoreError\n"
            "from leeward.store.event_store import EventStore\n"
            "try: EventStore(Path(sys.argv[1]))\n"
            "except StoreError as error: print(error)"
        )
        other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        for said in (str(same.value), other.stdout.strip()):
            assert said.startswith(f"{path} is in use by another Leeward (process {os.getpid()}): ")
            assert "\n" not in said
    finally:
        store.close()
    EventStore(path).close()


def test_store_held_by_another_duckdb_is_said(path: Path) -> None:
    EventStore(path).close()
    code = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "up\n"
        with pytest.raises(StoreError, match="in use by another process") as error:
            EventStore(path)
        assert str(path) in str(error.value)
        other.communicate()


REFUSED = [
    (b"hello, I am a text file and nothing else", b"", "is not a DuckDB database"),
    (b"", b"", "is not a DuckDB database"),
    (None, b"garbage" * 100, "it is not a DuckDB log"),
    (None, "flip", "cannot replay"),
    ("flip", b"", "cannot open"),
]


@pytest.mark.parametrize(("database", "log", "says"), REFUSED, ids=lambda value: repr(value)[:30])
def test_store_damaged_files_are_refused_and_left_alone(path: Path, database: Any, log: Any, says: str) -> None:
    _with_log(path)
    if isinstance(database, bytes):
        path.write_bytes(database)
    if database == "flip":
        body = bytearray(path.read_bytes())
        body[4096:12288] = bytes(8192)  # both copies of the header that says where everything is
        path.write_bytes(body)
    wal = wal_path(path)
    if log == "flip":
        body = bytearray(wal.read_bytes())
        body[len(body) // 2] ^= 0xFF
        wal.write_bytes(body)
    elif log:
        wal.write_bytes(log)
    else:
        wal.unlink()
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    with pytest.raises(StoreError) as error:
        EventStore(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    after = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    before.pop(path.name + ".lock", None), after.pop(path.name + ".lock", None)
    assert after == before
    for piece in (path, wal):  # what the line says to do works
        piece.unlink(missing_ok=True)
    EventStore(path).close()


def _with_log(path: Path) -> None:
    """A database whose last rows are only in its log, as a kill leaves it."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from leeward.store.event_store import EventStore; from store_samples import exchange\n"
        "store = EventStore(Path(sys.argv[1])); [store.add(exchange(n)) for n in range(50)]; store.flush(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path), str(Path(__file__).parent)], check=True)
    assert wal_path(path).stat().st_size > 1000


def test_store_log_without_its_database_is_refused(path: Path) -> None:
    _with_log(path)
    path.unlink()
    with pytest.raises(StoreError, match="put the database back"):
        EventStore(path)
    assert wal_path(path).exists()


def test_store_torn_log_loses_its_end_and_no_more(path: Path) -> None:
    """A power cut leaves half a record: the rest is replayed, and what is added then survives the next kill."""
    _with_log(path)
    wal = wal_path(path)
    wal.write_bytes(wal.read_bytes()[:-10])
    store = EventStore(path)
    torn = ids(store)
    store.add(exchange(1000))
    store.flush()
    copy = path.parent.parent / "copy" / path.name
    copy.parent.mkdir()
    for name in (path, wal):
        (copy.parent / name.name).write_bytes(name.read_bytes())
    store.close()
    again = EventStore(copy)
    assert ids(again) == torn | {exchange(1000).id}
    again.close()


CHILD = """
import sys, threading, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from leeward.store.event_store import EventStore
from leeward.store.retention import Retention
from store_samples import exchange, flow
store = EventStore(Path(sys.argv[1]), retention=Retention(size_bytes=0), sweep_seconds=0.3)
start, n = int(sys.argv[3]), 0
def tell():
    while True:
        there = start + n
        if store.flush():
            print(there, flush=True)
threading.Thread(target=tell, daemon=True).start()
while True:
    for _ in range(20):
        n += 1
        store.add(exchange(start + n, prompt="words " * 400))
        store.add(flow(n % 50, bytes_sent=n))
    time.sleep(0.01)
"""


def test_store_survives_kill_at_any_moment(path: Path) -> None:
    """Rounds of SIGKILL: every row that was said to be stored is there, the file opens, and earlier rounds are whole."""
    moments = random.Random(20261123)
    rounds, must = 4, 0
    expected: set[str] = set()
    for round_ in range(rounds):
        start = round_ * 1_000_000
        command = [sys.executable, "-c", CHILD, str(path), str(Path(__file__).parent), str(start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            lines = _read_for(child, 1.3 + moments.random() * 0.8)
            child.send_signal(signal.SIGKILL)
            lines += (child.stdout.read() if child.stdout else "").splitlines()
        safe = max((int(line) for line in lines[:-1]), default=start)  # the last may be cut
        expected |= {exchange(n).id for n in range(start + 1, safe + 1)}
        must += safe - start
        store = EventStore(path, retention=Retention(size_bytes=0))
        found = ids(store)
        assert expected <= found
        assert len(store.flows(FlowQuery())) == 50
        assert store.summary()["exchanges"] == len(found)
        store.close()
        expected = found
    assert must > 200 * rounds / 2, "the children were killed before they had done anything worth testing"


def _read_for(child: subprocess.Popen[str], seconds: float) -> list[str]:
    assert child.stdout is not None
    first = child.stdout.readline()  # from here on it is running
    lines, end = [first.strip()], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([child.stdout], [], [], left)[0]:
            lines.append(child.stdout.readline().strip())
    return lines


def test_store_killed_while_it_is_being_created(path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from leeward.store import database\n"
        "real = os.replace; os.replace = lambda *a: os._exit(9)\n"
        "database.Database(Path(sys.argv[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 9
    EventStore(path).close()


def test_store_full_disk_is_counted_said_and_got_over(path: Path) -> None:
    """A file size limit stands in for a full disk: the kernel refuses the write in the same place."""
    store = EventStore(path, batch_seconds=0.01, sweep_seconds=1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        store.add(exchange(1))
        assert store.flush()
        noise = hashlib.sha256(b"noise")
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50_000, hard))
        for n in range(2, 300):
            noise.update(b"more")
            store.add(exchange(n, prompt=noise.hexdigest() * 2000))
        assert store.flush()
        assert store.counters["store_write_error"] > 0
        assert not store.health()["ok"]
        assert "large" in store.health()["reason"] or "write" in store.health()["reason"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        deadline = time.monotonic() + 10
        n = 1000
        while not store.health()["ok"] and time.monotonic() < deadline:
            n += 1
            store.add(exchange(n))
            store.flush()
            time.sleep(0.05)
        assert store.health()["ok"]
        counters = store.counters
        assert counters["added"] == counters["stored"] + counters["dropped"]
        assert store.exchange(exchange(1).id) is not None
        kept = store.summary()["exchanges"]
        assert kept == counters["stored"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.close()
    again = EventStore(path)
    assert again.summary()["exchanges"] == kept
    again.close()


def test_store_deletes_what_is_too_old(path: Path) -> None:
    now = [1_800_000_000.0]
    store = EventStore(path, retention=Retention(days=30, size_bytes=0), sweep_seconds=1000, clock=lambda: now[0])
    try:
        for day in range(40):
            now[0] = 1_800_000_000.0 + day * DAY
            store.add(exchange(day))
            store.add(flow(day))
            store.add(coverage(pid=day))
            store.flush()
        assert store.sweep(now[0]) == {"exchanges": 9, "flows": 9, "coverage": 9}
        assert ids(store) == {exchange(day).id for day in range(9, 40)}
        assert store.counters["expired_exchanges"] == 9
        assert store.sweep(now[0]) == {}
    finally:
        store.close()


def test_store_age_is_since_it_was_stored_not_since_it_happened() -> None:
    store = EventStore(None)
    try:
        store.add(exchange(1, time="2019-01-01T00:00:00Z"))
        store.flush()
        assert store.sweep(time.time()) == {}
        assert len(ids(store)) == 1
    finally:
        store.close()


def test_store_stays_within_its_size(path: Path) -> None:
    """A rolling load of many times the limit: the file stays near it, and what is kept is the newest."""
    limit = 24 * 1024 * 1024
    store = EventStore(path, retention=Retention(size_bytes=limit), batch_seconds=0.01, sweep_seconds=1000)
    noise, n, largest = random.Random(1), 0, 0
    try:
        for _ in range(24):
            for _ in range(400):
                n += 1
                store.add(exchange(n, prompt=noise.randbytes(5000).hex()))
                store.add(flow(n))
            store.flush()
            store.sweep(time.time())
            largest = max(largest, path.stat().st_size)
        assert store.size() <= limit
        assert largest <= limit * 1.5 + 2**18, largest  # DuckDB's files grow by blocks of 256 KiB
        assert n * 5000 > 1.9 * limit
        kept = sorted(int(id_, 16) for id_ in ids(store))
        assert kept == list(range(n - len(kept) + 1, n + 1))
        assert len(kept) > 300
        assert store.counters["expired_exchanges"] == n - len(kept)
        assert {f["id"] for f in store.flows(FlowQuery(limit=5))} == {f"f{k}" for k in range(n - 4, n + 1)}
    finally:
        store.close()


def test_store_in_memory_stays_within_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.store.event_store.IN_MEMORY_BYTES", 8 * 1024 * 1024)
    store = EventStore(None, sweep_seconds=1000, batch_seconds=0.01)
    noise, n = random.Random(2), 0
    try:
        for _ in range(10):
            for _ in range(300):
                n += 1
                store.add(exchange(n, prompt=noise.randbytes(5000).hex()))
            store.flush()
            store.sweep(time.time())
        assert store.size() <= 8 * 1024 * 1024
        assert store.counters["expired_exchanges"] > 0
        assert store.counters["stored"] == n
        assert exchange(n).id in ids(store)
    finally:
        store.close()


OLD = (Table("exchanges", ("id",), (Column("id", "VARCHAR"), Column("json", "VARCHAR"))),)
NEW = (
    Table("exchanges", ("id",), (Column("id", "VARCHAR"), Column("json", "VARCHAR"), Column("size", "BIGINT", 2))),
    Table("notes", ("id",), (Column("id", "VARCHAR", 3), Column("text", "VARCHAR", 3))),
)


def old_database() -> Any:
    con = duckdb.connect(":memory:")
    for statement in ddl(OLD, 1):
        con.execute(statement)
    con.execute("INSERT INTO exchanges VALUES ('a', 'four')")
    return con


def test_store_migrates_forward_in_one_go() -> None:
    con = old_database()
    steps = {2: ["UPDATE exchanges SET size = strlen(json)"]}
    assert migrate(con, "x", NEW, 3, steps) == 1
    assert stored_version(con) == 3
    assert con.execute("SELECT id, json, size FROM exchanges").fetchall() == [("a", "four", 4)]
    assert con.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    assert migrate(con, "x", NEW, 3, steps) == 3


def test_store_failed_migration_changes_nothing() -> None:
    con = old_database()
    with pytest.raises(duckdb.Error):
        migrate(con, "x", NEW, 3, {3: ["SELECT nonsense FROM nowhere"]})
    assert stored_version(con) == 1
    assert con.execute("SELECT * FROM exchanges").fetchall() == [("a", "four")]


def test_store_new_and_migrated_schemas_are_the_same() -> None:
    fresh, old = duckdb.connect(":memory:"), old_database()
    migrate(fresh, "x", NEW, 3)
    migrate(old, "x", NEW, 3)
    sql = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    assert fresh.execute(sql).fetchall() == old.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (
            ["CREATE TABLE meta (key VARCHAR, value VARCHAR)", "INSERT INTO meta VALUES ('schema_version', '99')"],
            "newer",
        ),
        (["CREATE TABLE cats (name VARCHAR)"], "not Leeward's"),
    ],
)
def test_store_refuses_other_databases(path: Path, statements: list[str], says: str) -> None:
    path.parent.mkdir()
    con = duckdb.connect(str(path))
    for statement in statements:
        con.execute(statement)
    con.close()
    with pytest.raises(StoreError, match=says) as error:
        EventStore(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("env", "uid", "expected"),
    [
        ({"LEEWARD_STATE": "/x/y"}, 0, "/x/y"),
        ({}, 0, "/var/lib/leeward"),
        ({"XDG_STATE_HOME": "/h/state"}, 1000, "/h/state/leeward"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, 1000, "/h/.local/state/leeward"),
        ({"HOME": "/h"}, 1000, "/h/.local/state/leeward"),
    ],
)
def test_store_state_dir(env: dict[str, str], uid: int, expected: str) -> None:
    assert state_dir(env, uid) == Path(expected)


def test_store_private_files_are_whole(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_text("old")
    target.chmod(0o644)
    write_private(target, "new")
    assert (target.read_text(), mode(target)) == ("new", 0o600)
    with pytest.raises(StoreError):
        write_private(tmp_path / "missing" / "secret", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
