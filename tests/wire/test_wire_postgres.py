"""PostgreSQL's protocol, passively: what a server answered comes out with its statement, however the bytes are cut."""

from __future__ import annotations

import random
import struct
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_http1_captures import payloads

from leeward.model.sql import SqlError, SqlResult
from leeward.wire.postgres import PostgresConnection
from leeward.wire.postgres_values import binary
from leeward.wire.sql import Encrypted, NotSql, SqlEvent, SqlLimits, about, sniff

Step = tuple[bool, bytes]


def message(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return kind + struct.pack(">I", len(body) + 4) + body


def text(value: str) -> bytes:
    return value.encode() + b"\0"


STARTUP = message(b"", struct.pack(">I", 0x30000), text("user"), text("ann"), text("database"), text("shop"), b"\0")
WELCOME = message(b"R", bytes(4)) + message(b"S", text("server_version"), text("15.1")) + message(b"Z", b"I")
READY = message(b"Z", b"I")


def described(*columns: tuple[str, int], form: int = 0) -> bytes:
    fields = (text(name) + struct.pack(">IhIhih", 0, 0, oid, -1, -1, form) for name, oid in columns)
    return message(b"T", struct.pack(">H", len(columns)), *fields)


def row(*values: bytes | None) -> bytes:
    parts = (struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in values)
    return message(b"D", struct.pack(">H", len(values)), *parts)


def done(tag: str) -> bytes:
    return message(b"C", text(tag))


def failed(code: str, words: str) -> bytes:
    return message(b"E", b"SERROR\0", b"C", text(code), b"M", text(words), b"\0")


def parse(name: str, statement: str, *types: int) -> bytes:
    return message(b"P", text(name), text(statement), struct.pack(f">H{len(types)}I", len(types), *types))


def bind(
    portal: str, name: str, *values: bytes | None, forms: tuple[int, ...] = (), out: tuple[int, ...] = ()
) -> bytes:
    given = [struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in values]
    return message(
        b"B", text(portal), text(name), struct.pack(f">H{len(forms)}h", len(forms), *forms),
        struct.pack(">H", len(values)), *given, struct.pack(f">H{len(out)}h", len(out), *out),
    )  # fmt: skip


def execute(portal: str = "", most: int = 0) -> bytes:
    return message(b"E", text(portal), struct.pack(">i", most))


SYNC, DESCRIBE = message(b"S"), message(b"D", b"S", text("s1"))
SESSION: list[Step] = [
    (True, STARTUP),
    (True, message(b"p", b"a password, of which nothing is kept\0")),
    (False, WELCOME),
    (True, message(b"Q", text("select id, email from customers"))),
    (False, described(("id", 23), ("email", 25)) + row(b"1", b"a@b.ch") + row(b"2", None) + done("SELECT 2") + READY),
    (True, parse("s1", "update customers set email = $1 where id = $2", 25, 23) + DESCRIBE + SYNC),
    (False, message(b"1") + message(b"t", struct.pack(">HII", 2, 25, 23)) + message(b"n") + READY),
    (True, bind("", "s1", b"c@d.ch", struct.pack(">i", 7), forms=(0, 1)) + execute() + SYNC),
    (False, message(b"2") + done("UPDATE 1") + READY),
    (True, message(b"Q", text("select 1; selct 2"))),
    (False, described(("?column?", 23)) + row(b"1") + done("SELECT 1") + failed("42601", "syntax error") + READY),
    (True, message(b"X")),
]


def run(steps: list[Step], limits: SqlLimits | None = None) -> tuple[list[SqlEvent], PostgresConnection]:
    connection = PostgresConnection(limits or SqlLimits())
    events: list[SqlEvent] = []
    for ts, (to_server, data) in enumerate(steps, 1):
        events += connection.feed(to_server, ts, data)
    return events + connection.close(99), connection


def results(events: list[SqlEvent]) -> list[SqlResult]:
    return [event for event in events if isinstance(event, SqlResult)]


def test_a_session() -> None:
    events, connection = run(SESSION)
    first, second, third, fourth = results(events)
    assert (first.user, first.database, first.version) == ("ann", "shop", "15.1")
    assert [(c.name, c.type) for c in first.columns] == [("id", "int4"), ("email", "text")]
    assert (first.rows, first.row_count, first.command) == ([["1", "a@b.ch"], ["2", None]], 2, "SELECT 2")
    assert (first.start, first.end, first.complete) == (4, 5, True)
    assert second.statement == "update customers set email = $1 where id = $2"
    assert (second.parameters, second.affected) == (["c@d.ch", "7"], 1)
    assert (third.rows, fourth.error) == ([["1"]], SqlError("42601", "syntax error"))
    assert connection.counters["sql_bad_messages"] == 0
    assert "password" not in repr(events)


@given(st.randoms(use_true_random=False))
def test_cut_anywhere_it_is_the_same(rng: random.Random) -> None:
    whole, _ = run(SESSION)
    steps = []
    for to_server, data in SESSION:
        at = 0
        while at < len(data):
            size = rng.choice((1, 3, 10, len(data)))
            steps.append((to_server, data[at : at + size]))
            at += size
    again, _ = run(steps)
    timeless = [[(r.statement, r.rows, r.parameters, r.error, r.complete) for r in results(e)] for e in (whole, again)]
    assert timeless[0] == timeless[1]


def test_a_pipeline_that_fails_in_its_middle() -> None:
    """The server skips what comes after an error, up to Sync."""
    asked = b"".join(parse("", f"select {n}") + bind("", "") + execute() for n in range(3)) + SYNC
    after = parse("", "select 9") + bind("", "") + execute() + SYNC
    answered = (
        message(b"1") + message(b"2") + row(b"0") + done("SELECT 1") + failed("22012", "division by zero") + READY
    )
    again = message(b"1") + message(b"2") + row(b"9") + done("SELECT 1") + READY
    events, _ = run(
        [(True, STARTUP), (False, WELCOME), (True, asked), (True, after), (False, answered), (False, again)]
    )
    found = [(r.statement, r.rows, r.error.code if r.error else "") for r in results(events)]
    assert found == [("select 0", [["0"]], ""), ("select 1", [], "22012"), ("select 9", [["9"]], "")]


def test_a_portal_in_parts() -> None:
    steps = [
        (True, STARTUP),
        (False, WELCOME),
        (True, parse("", "select 1") + bind("p", "", out=(1,)) + execute("p", 1)),
    ]
    steps += [(False, message(b"1") + message(b"2") + row(struct.pack(">i", 5)) + message(b"s"))]
    steps += [(True, execute("p", 1)), (False, row(struct.pack(">i", 6)) + done("SELECT 1"))]
    first, second = results(run(steps)[0])
    assert (first.anomalies, first.row_count, second.command) == (["portal-suspended"], 1, "SELECT 1")


def test_copy_both_ways() -> None:
    lines = [message(b"d", b"1\ta@b.ch\n2\t"), message(b"d", b"\\N\n"), message(b"c")]
    steps = [(True, STARTUP), (False, WELCOME), (True, message(b"Q", text("copy customers to stdout")))]
    steps += [(False, message(b"H", b"\0\0\2" + bytes(4)) + b"".join(lines) + done("COPY 2") + READY)]
    steps += [(True, message(b"Q", text("copy customers from stdin"))), (False, message(b"G", b"\0\0\2" + bytes(4)))]
    steps += [(True, b"".join(lines)), (False, done("COPY 2") + READY)]
    for result in results(run(steps)[0]):
        assert (result.rows, result.affected) == ([["1", "a@b.ch"], ["2", None]], 2)


@pytest.mark.parametrize("code", [80877103, 80877104])
@pytest.mark.parametrize("answer", [b"S", b"G", b"N", failed("0A000", "unsupported")])
def test_encryption(code: int, answer: bytes) -> None:
    events, connection = run([(True, message(b"", struct.pack(">I", code))), (False, answer), (True, STARTUP)])
    wanted = {b"S": [Encrypted(2)], b"G": [NotSql("GSSAPI encryption")]}.get(answer, [])
    assert events == wanted
    assert connection.counters["sql_bad_messages"] == 0


def test_limits_hold() -> None:
    limits = SqlLimits(statement=20, rows=2, held=100, value=10)
    rows = row(b"x" * 50) + row(b"y" * 40) + row(b"z") + row(b"w" * 5000)
    steps = [(True, STARTUP), (False, WELCOME), (True, message(b"Q", text("select " + "a" * 100)))]
    steps += [(False, described(("a", 25)) + rows + done("SELECT 4") + READY)]
    (result,) = results(run(steps, limits)[0])
    assert (len(result.statement), result.row_count, result.truncated) == (20, 4, True)
    assert result.rows == [["x" * 10]]
    many = [(True, message(b"Q", text("select 1")))] * 1000
    _, connection = run([(True, STARTUP), *many], SqlLimits(pending=8))
    assert connection.counters["sql_pipeline_limit"] > 100


def test_a_hole_in_a_row_and_one_anywhere() -> None:
    rows = described(("a", 25)) + row(b"0123456789" * 10) + row(b"after") + done("SELECT 2") + READY
    connection = PostgresConnection(SqlLimits())
    connection.feed(True, 1, STARTUP)
    connection.feed(False, 2, WELCOME)
    connection.feed(True, 3, message(b"Q", text("select a")))
    at = len(described(("a", 25))) + 30
    events = (
        connection.feed(False, 4, rows[:at]) + connection.gap(False, 5, 20) + connection.feed(False, 6, rows[at + 20 :])
    )
    (result,) = results(events)
    assert (result.rows, result.row_count, result.gap, result.complete) == ([["after"]], 2, True, False)
    connection.feed(True, 7, message(b"Q", text("select b")))
    assert [r.complete for r in results(connection.gap(False, 8, 0))] == [False]
    assert connection.feed(False, 9, b"garbage that is no message") == []
    connection.feed(False, 9, READY)
    connection.feed(True, 10, message(b"Q", text("select c")))
    (result,) = results(connection.feed(False, 11, described(("c", 25)) + row(b"1") + done("SELECT 1") + READY))
    assert (result.statement, result.rows) == ("select c", [["1"]])


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["feed", "gap"]), st.binary(max_size=120)), max_size=20),
    st.booleans(),
)
def test_anything_is_taken(steps: list[tuple[bool, str, bytes]], begun: bool) -> None:
    connection = PostgresConnection(SqlLimits(pending=4, prepared=4, held=200))
    if begun:
        connection.feed(True, 1, STARTUP)
        connection.feed(False, 1, WELCOME)
    for to_server, what, data in steps:
        if what == "feed":
            connection.feed(to_server, 2, data)
        else:
            connection.gap(to_server, 2, len(data))
    connection.close(3)


KINDS = st.sampled_from([bytes([b]) for b in b"QPBDECSHdcf123ntTDCEIsZGHdc"])


@given(st.lists(st.tuples(st.booleans(), KINDS, st.binary(max_size=60)), max_size=30))
def test_any_messages_are_taken(messages: list[tuple[bool, bytes, bytes]]) -> None:
    steps: list[Step] = [(True, STARTUP), (False, WELCOME), *((up, message(kind, body)) for up, kind, body in messages)]
    for result in results(run(steps)[0]):
        assert result.row_count >= len(result.rows)


@given(
    st.sampled_from([16, 17, 20, 21, 23, 700, 701, 1007, 1009, 1082, 1083, 1114, 1184, 1700, 2950, 3802, 0]),
    st.binary(max_size=40),
)
def test_any_value_is_shown(oid: int, data: bytes) -> None:
    assert isinstance(binary(oid, data), str)


def test_sniffing() -> None:
    assert sniff(True, STARTUP) == "postgresql"
    assert sniff(True, message(b"", struct.pack(">I", 80877103))) == "postgresql"
    assert sniff(False, b"\x4a\0\0\0\x0a8.0.36\0" + bytes(60)) == "mysql"
    assert sniff(True, b"GET / HTTP/1.1\r\n\r\n") == sniff(False, b"HTTP/1.1 200 OK\r\n") == ""


@pytest.mark.parametrize(
    ("statement", "operation", "tables", "vector"),
    [
        ("SELECT c.email FROM customers c, orders AS o WHERE c.id = 5 AND n = 'x''y'", "SELECT", ("customers", "orders"), False),
        ('select * from "Public"."Users" u join a.b on u.id in (1, 2, 3)', "SELECT", ("public.users", "a.b"), False),
        ("WITH x AS (SELECT 1 FROM t1) INSERT INTO t2 SELECT * FROM x", "INSERT", ("t1", "t2"), False),
        ("UPDATE ONLY foo SET a = $1 -- from nowhere\n WHERE b = $$a;b from c$$", "UPDATE", ("foo",), False),
        ("DELETE FROM `my table` WHERE 1", "DELETE", ("my table",), False),
        ("select id from docs order by embedding <=> $1 limit 5", "SELECT", ("docs",), True),
        ("select id from docs order by embedding <-> '[1,2]' limit 5", "SELECT", ("docs",), True),
        ("select a <=> b from t", "SELECT", ("t",), False),
        ("insert into docs values (1, $1::vector)", "INSERT", ("docs",), True),
        ("COPY t (a, b) FROM STDIN", "COPY", ("t",), False),
        ("SELECT extract(year from ts) from events", "SELECT", ("events",), False),
        ("BEGIN", "BEGIN", (), False),
    ],
)  # fmt: skip
def test_what_a_statement_is_about(statement: str, operation: str, tables: tuple[str, ...], vector: bool) -> None:
    found = about(statement)
    assert (found.operation, found.tables, found.vector) == (operation, tables, vector)
    assert not set("'5;").intersection(found.summary.replace("$1", ""))


@given(st.text(alphabet="'\"`$-/*,.() \nfromjoinWITHas1e", max_size=200))
def test_any_statement_is_read(statement: str) -> None:
    assert len(about(statement).summary) <= len(statement) + 1


FOLDER = Path(__file__).parents[2].parent / "shared/data/pcap/zeek/postgresql"
#: capture → (statement, rows kept, error code) of each result; None: how many results there are
CAPTURES: dict[str, list[tuple[str, int, str]] | int] = {
    "psql-create-insert-select-delete-drop.pcap": [
        ("DROP TABLE IF EXISTS t;", 0, ""), ("CREATE TABLE IF NOT EXISTS t (i int, s varchar, t time);", 0, ""),
        ("INSERT INTO t VALUES (42, 'forty-two', now());", 0, ""), ("INSERT INTO t VALUES (86, 'eighty-six', now());", 0, ""),
        ("SELECT * from t;", 2, ""), ("DELETE FROM t;", 0, ""), ("DROP TABLE t;", 0, ""),
    ],
    "psql-insert-fail-drop-fail.pcap": [
        ("DROP TABLE IF EXISTS t;", 0, ""), ("CREATE TABLE IF NOT EXISTS t (i int, s varchar, t time);", 0, ""),
        ("INSERT INTO t VALUES (now(), now(), now());", 0, "42804"), ("DROP TABLE t;", 0, ""), ("DROP TABLE t;", 0, "42P01"),
    ],
    "psql-aws-ssl-disable.pcap": [("select now()", 1, "")],
    "psql-login-wrong.pcap": [],
    "greenhouse-app.pcap": 84,
}  # fmt: skip


def of_capture(path: Path) -> tuple[list[SqlEvent], Counter[str]]:
    connections: dict[frozenset[tuple[str, int]], tuple[tuple[str, int], PostgresConnection]] = {}
    events: list[SqlEvent] = []
    for key, ts, _, data in payloads(path):
        if data:
            client, connection = connections.setdefault(
                frozenset({key[:2], key[2:]}), (key[:2], PostgresConnection(SqlLimits()))
            )
            events += connection.feed(key[:2] == client, ts, data)
    counters: Counter[str] = Counter()
    for _, connection in connections.values():
        events += connection.close(0)
        counters += connection.counters
    return events, counters


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no captures at {FOLDER}")
@pytest.mark.parametrize("name", CAPTURES)
def test_captures(name: str) -> None:
    events, counters = of_capture(FOLDER / name)
    found = [(r.statement, len(r.rows), r.error.code if r.error else "") for r in results(events)]
    wanted = CAPTURES[name]
    assert found == wanted if isinstance(wanted, list) else len(found) == wanted
    assert counters["sql_bad_messages"] == 0


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no captures at {FOLDER}")
@pytest.mark.parametrize("name", ["http-on-port-5432.pcap", "mysql-on-port-5432.pcap", "bad-startup-message-1.pcap"])
def test_others_on_its_port(name: str) -> None:
    events, _ = of_capture(FOLDER / name)
    assert [type(event) for event in events] == [NotSql]
