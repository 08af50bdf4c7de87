"""MySQL's and MariaDB's protocol, passively: what a server answered comes out with its statement, however the bytes are cut."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_postgres import SESSION as POSTGRES
from wire_mysql import (
    BASE,
    CODINGS,
    KINDS,
    LATEST,
    SCRAMBLE,
    SECRET,
    Step,
    asked,
    column,
    eof,
    execute,
    extended,
    failed,
    framed,
    greeting,
    lenenc,
    login,
    ok,
    packet,
    prepare,
    prepared,
    query,
    remembered,
    result,
    results,
    run,
    session,
    started,
    text_row,
)

from leeward.model.sql import SqlError
from leeward.wire.mysql import MysqlConnection
from leeward.wire.mysql_messages import (
    CACHE_METADATA,
    COMPRESS,
    SESSION_TRACK,
    SSL,
)
from leeward.wire.sql import Encrypted, NotSql, SqlLimits, sniff

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_a_session(kind: str) -> None:
    events, connection = run(session(KINDS[kind]))
    first, second, third, fourth, fifth = results(events)
    assert len(events) == 5
    assert (first.system, first.user, first.database, first.version) == ("mysql", "ann", "shop", "10.11.6-MariaDB")
    assert [(c.name, c.table, c.type) for c in first.columns] == [("id", "t", "int"), ("email", "customers", "varchar")]
    assert (first.rows, first.row_count, first.affected) == ([["1", "a@b.ch"], ["2", None]], 2, None)
    assert (first.start, first.end, first.complete) == (8, 9, True)
    assert second.statement == "update customers set email = ? where id = ?"
    assert (second.parameters, second.affected) == (["c@d.ch", "-7"], 1)
    assert (third.statement, third.rows) == ("select id from customers", [[str(n)] for n in range(-1, 40)])
    assert (fourth.rows, fifth.error, fifth.complete) == ([["1"]], SqlError("42000", "syntax error"), True)
    assert fourth.statement == fifth.statement == "select 1; selct 2"
    assert set(connection.counters) == {"sql_results"}


@given(st.randoms(use_true_random=False), st.sampled_from(sorted(KINDS)))
def test_cut_anywhere_it_is_the_same(rng: random.Random, kind: str) -> None:
    whole, _ = run(session(KINDS[kind]))
    steps = []
    for to_server, data in session(KINDS[kind]):
        at = 0
        while at < len(data):
            size = rng.choice((1, 3, 10, len(data)))
            steps.append((to_server, data[at : at + size]))
            at += size
    again, connection = run(steps)
    shown = [
        [(r.statement, r.columns, r.rows, r.parameters, r.error, r.complete) for r in results(e)]
        for e in (whole, again)
    ]
    assert shown[0] == shown[1]
    assert set(connection.counters) == {"sql_results"}


@each_kind
def test_nothing_is_kept_of_who_a_client_is(kind: str) -> None:
    """Byte after byte: neither the scramble nor the password is there once its packet is over, nor before where it is one."""
    connection = MysqlConnection(SqlLimits())
    steps = started(KINDS[kind])
    for to_server, data in steps:
        for at in range(len(data)):
            assert connection.feed(to_server, 1, data[at : at + 1]) == []
            assert SECRET[:8] not in remembered(connection)
        assert SCRAMBLE not in remembered(connection)
    assert b"shop" in remembered(connection)


def test_another_user() -> None:
    change = packet(0, b"\x11bob\0", lenenc(SCRAMBLE), b"kb\0", b"\x2d\0some_plugin\0")
    steps = [*started(LATEST), *asked(LATEST, prepare(b"select 1"), prepared(LATEST, 1, [], 0)), (True, change)]
    steps += [(False, packet(1, b"\xfeother\0", SCRAMBLE)), (True, packet(2, SECRET)), (False, packet(3, ok()))]
    steps += asked(LATEST, query(b"do 1"), [ok()]) + asked(LATEST, execute(1), [failed(1243, b"HY000", b"unknown")])
    events, connection = run(steps)
    first, second = results(events)
    assert (first.user, first.database, first.statement) == ("bob", "kb", "do 1")
    assert (second.statement, second.error) == (
        "",
        SqlError("HY000", "unknown"),
    )  # his are not the statements of before
    assert connection.counters["sql_bad_messages"] == 0
    assert SCRAMBLE not in remembered(connection)


def test_where_tls_begins_and_what_it_hides() -> None:
    """The client's first packet comes again in TLS, with the next number; the greeting was before."""
    request = packet(1, struct.pack("<IIB23x", LATEST | SSL, 1 << 24, 45))
    assert run([(False, greeting()), (True, request)])[0] == [Encrypted(2)]
    first = login(LATEST | SSL, 2)
    assert sniff(True, first) == "mysql"
    steps = [(True, first), (False, packet(3, b"\x01\x03")), (False, packet(4, ok()))]
    (found,) = results(
        run([*steps, *asked(LATEST, query(b"select 1"), result(LATEST, [column(b"1", 3)], [text_row(b"1")]))])[0]
    )
    assert (found.user, found.version, found.rows, found.complete) == ("ann", "", [["1"]], True)


@pytest.mark.parametrize("parameters", [0, 1])
def test_a_server_that_ends_definitions_as_before(parameters: int) -> None:
    """A client may claim DEPRECATE_EOF of a server that does not know it; only the greeting would have told."""
    steps: list[Step] = [(True, login(LATEST, 2)), (False, packet(3, ok()))]
    if parameters:
        steps += asked(BASE, prepare(b"select ?"), prepared(BASE, 1, [column(b"a", 3)], parameters))
        steps += asked(BASE, execute(1, [(3, 0)], bytes(4)), [ok(7)])
    steps += asked(BASE, query(b"select a"), result(BASE, [column(b"a", 3)], [text_row(b"1")]))
    steps += asked(BASE, query(b"select b"), result(BASE, [column(b"b", 3)], []))
    events, connection = run(steps)
    *before, first, second = results(events)
    assert [(r.statement, r.parameters, r.affected) for r in before] == [("select ?", ["0"], 7)] * parameters
    assert connection.counters["sql_bad_messages"] == 0
    assert (first.statement, first.rows, first.complete, second.row_count, second.complete) == (
        "select a",
        [["1"]],
        True,
        0,
        True,
    )


def test_a_file_that_the_server_asks_for() -> None:
    load = query(b"load data local infile '/etc/passwd' into table t")
    steps = [*started(LATEST), (True, load), (False, packet(1, b"\xfb/etc/passwd"))]
    steps += [(True, packet(2, b"root:x:0:0\n" * 20)), (True, packet(3, SECRET)), (True, packet(4))]
    steps += [(False, packet(5, ok(21))), *asked(LATEST, query(b"select 1"), [ok()])]
    events, connection = run(steps)
    first, second = results(events)
    assert (first.size, first.affected, first.anomalies, first.complete) == (
        220 + len(SECRET),
        21,
        ["local-infile"],
        True,
    )
    assert second.statement == "select 1"
    assert connection.counters["sql_local_infile"] == 1
    assert b"root:x" not in remembered(events) + remembered(connection)


def test_the_current_database() -> None:
    track = LATEST | SESSION_TRACK
    moved = ok(0, 0x4002, more=lenenc(b"") + lenenc(b"\1" + lenenc(lenenc(b"third"))))
    steps = [*started(track), *asked(track, packet(0, b"\x02first"), [ok()]), *asked(track, query(b"do 1"), [ok()])]
    steps += asked(track, query(b"USE `sec``ond`;"), [ok()]) + asked(track, query(b"do 2"), [ok()])
    steps += asked(track, query(b"prepare_use()"), [moved]) + asked(track, query(b"do 3"), [ok()])
    steps += asked(track, packet(0, b"\x02fourth"), [failed(1049, b"42000", b"no")]) + asked(
        track, query(b"do 4"), [ok()]
    )
    found = {r.statement: r.database for r in results(run(steps)[0]) if r.statement.startswith("do ")}
    assert found == {"do 1": "first", "do 2": "sec`ond", "do 3": "third", "do 4": "third"}


def test_progress_is_no_failure() -> None:
    can = LATEST
    report = b"\xff\xff\xff\1\1\2" + bytes(3) + lenenc(b"copy to tmp table")
    events, connection = run([*started(can), *asked(can, query(b"alter table t engine=x"), [report, report, ok(5)])])
    (found,) = results(events)
    assert (found.error, found.affected, connection.counters["sql_progress_reports"]) == (None, 5, 2)


OTHERS = {
    b"\x04t\0": [column(b"a", 3) + b"\xfb", eof()],  # FIELD_LIST
    b"\x09": [b"Uptime: 5"],
    b"\x0a": result(BASE, [column(b"Id", 8)], [text_row(b"1")]),  # PROCESS_INFO
    b"\x0e": [ok()],
    b"\x1b\0\0": [eof()],  # SET_OPTION
    b"\x1f": [ok()],
}


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_are_answered_and_counted(command: bytes) -> None:
    steps = [*started(BASE), *asked(BASE, packet(0, command), OTHERS[command]), *asked(BASE, query(b"do 1"), [ok()])]
    events, connection = run(steps)
    assert [(r.statement, r.complete) for r in results(events)] == [("do 1", True)]
    assert connection.counters["sql_other_commands"] == (command != b"\x1f")
    assert connection.counters["sql_bad_messages"] == 0


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (POSTGRES, "not MySQL"),
        ([(False, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100) * 10000)], ""),
        ([(False, packet(0, b"\x09" + b"3.2\0" + bytes(20)))], "not MySQL"),
        (
            [(False, greeting()), (True, packet(1, struct.pack("<HB", 5, 0), b"ann\0pw\0"))],
            "MySQL's protocol before version 4.1",
        ),
        ([(False, greeting()), (True, packet(1, bytes(64)))], "MySQL's protocol before version 4.1"),
        (
            [*started(LATEST), (True, packet(0, b"\x12", bytes(10))), (False, packet(1, b"\0binlog"))],
            "replication (command 18)",
        ),
    ],
)
def test_what_is_none(steps: list[Step], reason: str) -> None:
    assert [event.reason for event in run(steps)[0] if isinstance(event, NotSql)] == [reason] * bool(reason)


@pytest.mark.parametrize(
    "steps",
    [
        [(False, packet(0, b"\xff\x10\4Too many"))],
        [*started(LATEST)[:-1], (False, packet(6, failed(1045, b"28000", b"no")))],
    ],
)
def test_a_login_that_is_refused(steps: list[Step]) -> None:
    events, connection = run(steps)
    assert events == []
    assert connection.counters == {"sql_logins_refused": 1}


def test_what_the_server_does_not_offer_is_not_agreed_on() -> None:
    """A client may ask for more, MariaDB's extensions of MySQL among it."""
    steps: list[Step] = [
        (False, greeting(BASE | 1 | 0x1D << 32)),
        (True, login(LATEST | COMPRESS | CACHE_METADATA)),
        (False, packet(2, ok())),
    ]
    steps += asked(BASE, query(b"select a"), result(BASE, [column(b"a", 3)], [text_row(b"1")]))
    (found,) = results(run(steps)[0])
    assert (found.rows, found.complete) == ([["1"]], True)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["feed", "gap"]), st.binary(max_size=120)), max_size=20),
    st.sampled_from(["", *sorted(KINDS)]),
)
def test_anything_is_taken(steps: list[tuple[bool, str, bytes]], kind: str) -> None:
    connection = MysqlConnection(SqlLimits(pending=4, prepared=4, held=200))
    for to_server, data in started(KINDS[kind]) if kind else []:
        connection.feed(to_server, 1, data)
    for to_server, what, data in steps:
        if what == "feed":
            connection.feed(to_server, 2, data)
        else:
            connection.gap(to_server, 2, len(data))
    connection.close(3)


FIRSTS = st.sampled_from([bytes([b]) for b in b"\0\1\2\3\x16\x17\x18\x19\x1a\x1c\x11\xfa\xfb\xfe\xff\x0a\4"])


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 4), FIRSTS, st.binary(max_size=40)), max_size=30),
)
def test_any_packets_are_taken(kind: str, packets: list[tuple[bool, int, bytes, bytes]]) -> None:
    can = KINDS[kind]
    steps = [
        *started(can),
        *asked(can, prepare(b"select ?"), prepared(can, 0, [column(b"a", 253, extended=extended(can))], 1)),
    ]
    for up, seq, first, body in packets:
        data = packet(0 if up else seq, first, body)
        steps.append((up, framed(data, CODINGS[kind], 0 if up else 1) if kind in CODINGS else data))
    for found in results(run(steps)[0]):
        assert found.row_count >= len(found.rows)


def test_sniffing() -> None:
    assert sniff(False, greeting()) == sniff(True, login(LATEST)) == sniff(True, login(KINDS["mariadb"], 2)) == "mysql"
    assert sniff(True, query(b"select 1, 2, 3, 4, 5, 6, 7, 8, 9, 10")) == ""
