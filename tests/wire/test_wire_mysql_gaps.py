"""MySQL's protocol with bytes missing, and with too many of them: what is lost is said, and what comes after is read."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from wire_mysql import (
    BASE,
    CODINGS,
    KINDS,
    LATEST,
    asked,
    binary_row,
    column,
    execute,
    framed,
    lenenc,
    numbered,
    ok,
    opened,
    packet,
    prepare,
    prepared,
    query,
    remembered,
    result,
    results,
    run,
    started,
    text_row,
)

from leeward.wire.mysql import MysqlConnection
from leeward.wire.mysql_packets import plausible_frame
from leeward.wire.sql import SqlLimits


def test_a_hole_in_a_row_and_one_anywhere() -> None:
    rows = [text_row(b"0123456789" * 10), text_row(b"after")]
    answer = numbered(result(LATEST, [column(b"a", 253)], rows))
    connection = opened()
    connection.feed(True, 3, query(b"select a"))
    at = answer.index(b"0123456789") + 30
    events = (
        connection.feed(False, 4, answer[:at])
        + connection.gap(False, 5, 20)
        + connection.feed(False, 6, answer[at + 20 :])
    )
    (found,) = results(events)
    assert (found.rows, found.row_count, found.gap, found.complete) == ([["after"]], 2, True, False)
    assert (found.truncated, connection.counters["sql_rows_unread"]) == (False, 0)
    connection.feed(True, 7, query(b"select b"))
    assert [r.complete for r in results(connection.gap(False, 8, 0))] == [False]
    assert connection.feed(False, 9, b"garbage that is no message") == []
    connection.feed(False, 9, answer)  # of what, nobody knows
    connection.feed(True, 10, query(b"select c"))
    assert connection.feed(False, 10, numbered([text_row(b"late"), ok(head=0xFE)], 9)) == []  # of an answer before
    (found,) = results(connection.feed(False, 11, answer))
    assert (found.statement, found.rows) == ("select c", [["0123456789" * 10], ["after"]])


def test_a_hole_where_a_row_begins() -> None:
    """What follows looks like the end of the rows."""
    connection = opened(BASE)
    connection.feed(True, 2, query(b"select a"))
    before, after = numbered(result(BASE, [column(b"a", 252)], [b"\5\xfe\0\0\2\0", text_row(b"b")])).split(b"\5\xfe", 1)
    connection.feed(False, 3, before)
    connection.gap(False, 4, 1)
    (found,) = results(connection.feed(False, 5, b"\xfe" + after))
    assert (found.rows, found.row_count, found.gap, found.complete) == ([["b"]], 2, True, False)


def test_a_hole_in_what_a_column_is() -> None:
    """Its text is read nevertheless; its binary form cannot be."""
    for binary in (False, True):
        connection = opened()
        columns, row = [column(b"a", 3)], binary_row(bytes(4)) if binary else text_row(b"1")
        if binary:
            connection.feed(True, 2, prepare(b"select a"))
            connection.feed(False, 2, numbered(prepared(LATEST, 1, columns, 0)))
        connection.feed(True, 3, execute(1) if binary else query(b"select a"))
        answer = numbered(result(LATEST, columns, [row]))
        connection.feed(False, 4, answer[:15])
        connection.gap(False, 5, 10)
        (found,) = results(connection.feed(False, 6, answer[25:]))
        assert (found.rows, found.row_count, found.gap, found.complete) == ([] if binary else [["1"]], 1, True, False)
        assert connection.counters["sql_rows_unread"] == binary


def test_a_packet_that_nobody_expects() -> None:
    """A number that is none of the next ones: bytes are missing that no gap told of. A client's is no command."""
    answer = [packet(n, body) for n, body in enumerate(result(LATEST, [column(b"a", 253)], [text_row(b"1")] * 5), 1)]
    steps = [*started(LATEST), (True, query(b"select a")), (False, b"".join(answer[:4])), (False, answer[6])]
    steps += [
        (True, query(b"select b")),
        (False, b"".join(answer)),
        (True, packet(3, b"\x03select c")),
        (False, answer[0]),
    ]
    steps += [(True, query(b"select d")), (False, b"".join(answer))]
    events, connection = run(steps)
    found = [(r.statement, r.row_count, r.complete) for r in results(events)]
    assert found == [("select a", 2, False), ("select b", 5, True), ("select d", 5, True)]
    assert connection.counters["sql_bad_messages"] == 2


def test_a_login_whose_end_was_not_seen() -> None:
    steps = [*started(LATEST)[:-1], *asked(LATEST, query(b"select 1"), [ok(1)])]
    assert [(r.statement, r.affected, r.complete) for r in results(run(steps)[0])] == [("select 1", 1, True)]


@pytest.mark.parametrize("kind", CODINGS)
def test_a_hole_in_a_login_before_compression(kind: str) -> None:
    can, coding = KINDS[kind], CODINGS[kind]
    connection = MysqlConnection(SqlLimits())
    for to_server, data in started(can)[:-1]:
        connection.feed(to_server, 1, data)
    connection.gap(False, 2, 0)
    connection.feed(False, 3, b"\2\0\0\0 the rest of something that is no frame")
    connection.feed(True, 4, framed(query(b"select a"), coding, 0))
    answer = numbered(result(can, [column(b"a", 3)], [text_row(b"1")]))
    (found,) = results(connection.feed(False, 5, framed(answer, coding, 1)))
    assert (found.statement, found.rows, found.complete) == ("select a", [["1"]], True)


def test_a_file_that_does_not_end() -> None:
    steps = [*started(LATEST), (True, query(b"load data")), (False, packet(1, b"\xfbname")), (True, packet(2, b"1\n"))]
    events, _ = run([*steps, *asked(LATEST, query(b"select 1"), [ok(1)])])
    assert [(r.statement, r.complete) for r in results(events)] == [("load data", False), ("select 1", True)]


def test_a_hole_in_what_the_client_says() -> None:
    connection = opened()
    connection.feed(True, 2, query(b"select " + b"x" * 100)[:50])
    connection.gap(True, 2, 0)
    connection.feed(True, 3, b"x" * 30)
    answer = numbered(result(LATEST, [column(b"a", 253)], [text_row(b"a")]))
    assert connection.feed(False, 4, answer) == []
    connection.feed(True, 5, query(b"select b"))
    (found,) = results(connection.feed(False, 6, answer))
    assert (found.statement, found.rows, found.complete) == ("select b", [["a"]], True)


def test_an_answer_whose_end_was_not_seen() -> None:
    """The next answer's number says that it is another one."""
    first = result(LATEST, [column(b"a", 253)], [text_row(b"1"), text_row(b"2")])
    steps = [*started(LATEST), (True, query(b"select 1")), (False, numbered(first[:-1])), (True, query(b"select 2"))]
    one, two = results(run([*steps, (False, numbered(first))])[0])
    assert (one.complete, one.row_count, two.complete, two.row_count) == (False, 2, True, 2)


@pytest.mark.parametrize("kind", CODINGS)
@pytest.mark.parametrize("cut", [9, 60, 150])
def test_a_hole_in_a_frame(kind: str, cut: int) -> None:
    """What is missing of a frame is known, so that what comes after it is read: the row's end, the next one's."""
    can, coding = KINDS[kind], CODINGS[kind]
    rng = random.Random(4)
    long = bytes(rng.choice(b"0123456789abcdef") for _ in range(600))
    answer = numbered(result(can, [column(b"a", 253)], [text_row(b"first"), text_row(long), text_row(b"after")]))
    at = answer.index(long)
    frames = framed(answer[: at + 100], coding, 1, 4000)
    holed = framed(answer[at + 100 : at + 500], coding, 2, 4000)
    rest = framed(answer[at + 500 :], coding, 3, 4000)
    connection = MysqlConnection(SqlLimits())
    for to_server, data in [
        *started(can),
        (True, framed(query(b"select a"), coding, 0)),
        (False, frames),
        (False, holed[:cut]),
    ]:
        connection.feed(to_server, 1, data)
    connection.gap(False, 2, 20)
    connection.feed(False, 3, holed[cut + 20 :])
    (found,) = results(connection.feed(False, 4, rest))
    assert (found.rows, found.row_count, found.gap) == ([["first"], ["after"]], 3, True)
    connection.feed(True, 5, framed(query(b"select b"), coding, 0))
    assert [r.complete for r in results(connection.gap(False, 6, 0))] == [False]
    connection.feed(False, 6, b"the rest of something")
    connection.feed(True, 7, framed(query(b"select c"), coding, 0))
    answer = numbered(result(can, [column(b"a", 253)], [text_row(b"first"), text_row(long), text_row(b"after")]), 5)
    (found,) = results(
        connection.feed(False, 8, framed(answer, coding, 1))
    )  # its packets may have other numbers than its frames
    assert (found.statement, found.row_count, found.complete) == ("select c", 3, True)


def test_frames_that_are_none() -> None:
    """A bomb, a frame that holds less than it says, one that is no zlib: counted, and the next one is read."""
    can = KINDS["zlib"]
    bomb = zlib.compress(bytes(1 << 22))
    for packed, claimed in (
        (bomb, 100),
        (zlib.compress(numbered(result(can, [column(b"a", 3)], []))), 4000),
        (b"no zlib at all" * 10, 500),
        (b"", 70),
    ):
        frame = len(packed).to_bytes(3, "little") + b"\1" + claimed.to_bytes(3, "little") + packed
        steps = [*started(can), (True, framed(query(b"select a"), "deflate", 0)), (False, frame)]
        steps += asked(can, query(b"select b"), result(can, [column(b"b", 3)], [text_row(b"1")]))
        last = results(run(steps)[0])[-1]
        assert (last.statement, last.rows, last.complete) == ("select b", [["1"]], True)


@pytest.mark.parametrize(
    ("data", "first", "found"),
    [
        (b"\5\0\0\1\0\0\0", 1, True), (b"\5\0\0\1\x09\0\0", 1, True), (b"\5\0\0\2\0\0\0", 1, False),
        (b"\5\0\0\1\4\0\0", 1, False), (b"\0\0\0\1\0\0\0", 1, False), (b"\5\0\0\1\0\0", 1, False),
    ],
)  # fmt: skip
def test_what_may_be_a_frame(data: bytes, first: int, found: bool) -> None:
    assert plausible_frame(data, first) is found


FULL = (1 << 24) - 1


@pytest.mark.parametrize("head", [b"\xfd" + (FULL - 4).to_bytes(3, "little"), b"\xfe" + struct.pack("<Q", FULL + 1)])
def test_a_packet_that_goes_on_in_the_next(head: bytes) -> None:
    """A row of 16 MiB less one byte and one of 10 more: a packet that is full, and its rest, which may be nothing."""
    row = head + b"v" * (FULL - 4 if head[0] == 0xFD else FULL + 1)
    bodies = [lenenc(1), column(b"a", 253), row[:FULL], row[FULL:], text_row(b"b"), ok(head=0xFE)]
    answer = numbered(bodies)
    steps = [*started(LATEST), (True, query(b"select a"))]
    steps += [(False, answer[at : at + (1 << 20)]) for at in range(0, len(answer), 1 << 20)]
    (found,) = results(run(steps)[0])
    assert (found.row_count, found.size, found.truncated, found.complete) == (2, len(row) + 2, True, True)
    assert found.rows == []  # the first ones are kept, and the first was too long


def test_limits_hold() -> None:
    limits = SqlLimits(statement=20, rows=2, held=100, value=10)
    rows = [text_row(b"x" * 50), text_row(b"y" * 40), text_row(b"z"), text_row(b"w" * 5000)]
    steps = [*started(LATEST), *asked(LATEST, query(b"select " + b"a" * 60), result(LATEST, [column(b"a", 253)], rows))]
    events, connection = run(steps, limits)
    (found,) = results(events)
    assert (len(found.statement), found.row_count, found.truncated, found.complete) == (20, 4, True, True)
    assert found.rows == [["x" * 10], ["y" * 10]]
    assert b"www" not in remembered(connection)
    steps = [*started(LATEST), *asked(LATEST, query(b"select " + b"a" * 60), [ok()])]
    assert [r.truncated for r in results(run(steps, limits)[0])] == [True]
    _, connection = run([*started(LATEST), *[(True, query(b"select " + b"x" * 900))] * 50], SqlLimits(held=1000))
    assert connection.counters["sql_pipeline_limit"] > 5
    assert len(remembered(connection)) < 10_000
    _, connection = run([*started(LATEST), *[(True, query(b"select 1"))] * 1000], SqlLimits(pending=8))
    assert connection.counters["sql_pipeline_limit"] > 100
    many = [asked(LATEST, prepare(b"select %d" % n), prepared(LATEST, n, [], 0)) for n in range(9)]
    steps = [*started(LATEST), *(step for steps in many for step in steps)]
    steps += asked(LATEST, execute(0), [ok()]) + asked(LATEST, execute(8), [ok()])
    events, connection = run(steps, SqlLimits(prepared=4))
    assert [r.statement for r in results(events)] == ["", "select 8"]
    assert connection.counters["sql_statements_forgotten"] == 5


def test_statements_weigh() -> None:
    """A thousand large ones are not remembered, nor what is sent ahead for ever."""
    steps = started(LATEST)
    for number in range(400):
        steps += asked(LATEST, prepare(b"select " + b"x" * 60_000), prepared(LATEST, number, [], 1))
    steps += [(True, packet(0, b"\x18", struct.pack("<IH", 399, n), bytes(50_000))) for n in range(200)]
    _, connection = run(steps)
    assert len(remembered(connection)) < 12 << 20
    assert connection.counters["sql_statements_forgotten"] > 200
    steps = [*started(LATEST), *asked(LATEST, prepare(b"select ?"), prepared(LATEST, 399, [], 1)), *steps[-200:]]
    _, connection = run(steps, SqlLimits(held=100_000))
    assert len(remembered(connection)) < 200_000


def test_rows_that_are_not_kept_are_not_held() -> None:
    """Once a result has its rows, of the next one only so much is held as tells what it is."""
    connection = MysqlConnection(SqlLimits(rows=1))
    for to_server, data in started(LATEST):
        connection.feed(to_server, 1, data)
    connection.feed(True, 2, query(b"select a"))
    rows = [text_row(b"first"), text_row(b"second"), text_row(b"v" * 50_000)]
    connection.feed(False, 3, numbered(result(LATEST, [column(b"a", 253)], rows))[:-1000])
    assert b"first" in remembered(connection)
    assert b"v" * 2000 not in remembered(connection)
