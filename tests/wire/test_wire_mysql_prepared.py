"""MySQL's prepared statements and what else changes how a result looks: parameters, cursors, columns told once."""

from __future__ import annotations

import struct

import pytest
from wire_mysql import (
    BASE,
    LATEST,
    Step,
    asked,
    binary_row,
    column,
    eof,
    execute,
    failed,
    lenenc,
    login,
    numbered,
    ok,
    packet,
    prepare,
    prepared,
    query,
    result,
    results,
    run,
    started,
    text_row,
)

from leeward.wire.mysql_messages import (
    CACHE_METADATA,
    EXTENDED_METADATA,
    OPTIONAL_METADATA,
    QUERY_ATTRIBUTES,
)
from leeward.wire.mysql_rows import query as words_of


@pytest.mark.parametrize("classic", [True, False])
def test_a_cursor(classic: bool) -> None:
    can = BASE if classic else LATEST
    columns = [column(b"id", 8)]
    rows = [binary_row(struct.pack("<q", n)) for n in range(3)]
    end = eof if classic else lambda status: ok(0, status, head=0xFE)
    steps = [*started(can), *asked(can, prepare(b"select id from t"), prepared(can, 3, columns, 0))]
    steps += asked(can, execute(3, flags=1), result(can, columns, [], cursor=True))
    steps += asked(can, packet(0, b"\x1c", struct.pack("<II", 3, 2)), [*rows[:2], end(0x40)])
    steps += asked(can, packet(0, b"\x1c", struct.pack("<II", 3, 2)), [*rows[2:], end(0x80)])
    steps += asked(can, packet(0, b"\x1a", struct.pack("<I", 3)), [ok()])
    found = [
        (r.statement, r.rows, [c.name for c in r.columns], r.anomalies, r.complete) for r in results(run(steps)[0])
    ]
    assert found == [
        ("select id from t", [], ["id"], ["cursor-open"], True),
        ("select id from t", [["0"], ["1"]], ["id"], ["cursor-open"], True),
        ("select id from t", [["2"]], ["id"], [], True),
    ]


def test_parameters() -> None:
    """Described once, NULL, sent ahead in pieces, forgotten with the statement; a query's attributes are none."""
    can = LATEST | QUERY_ATTRIBUTES
    described = b"\1" + b"\x03\x80\0" + b"\xfd\0\0" + b"\xfc\0\0" + b"\xfd\0" + lenenc(b"traceparent")
    piece = struct.pack("<IH", 5, 2)
    steps = [*started(can), *asked(can, prepare(b"insert into t values (?, ?, ?)"), prepared(can, 5, [], 3))]
    steps += [(True, packet(0, b"\x18", piece, b"a long ")), (True, packet(0, b"\x18", piece, b"one"))]
    values = struct.pack("<I", 1 << 31) + lenenc("né".encode()) + lenenc(b"00-ab")
    start = struct.pack("<IBI", 5, 8, 1) + lenenc(4)
    steps += asked(can, packet(0, b"\x17", start, b"\0", described, values), [ok(1)])
    again = struct.pack("<IBI", 5, 0, 1) + lenenc(3) + b"\2\0" + struct.pack("<I", 5) + lenenc(b"\x00\xff")
    steps += asked(can, packet(0, b"\x17", again), [ok(1)])
    steps += [(True, packet(0, b"\x19", struct.pack("<I", 5)))]
    steps += asked(can, packet(0, b"\x17", again), [failed(1243, b"HY000", b"unknown")])
    events, connection = run(steps)
    found = [(r.statement, r.parameters) for r in results(events)]
    assert found == [
        ("insert into t values (?, ?, ?)", ["2147483648", "né", "a long one"]),
        ("insert into t values (?, ?, ?)", ["5", None, "<2 bytes>"]),
        ("", []),
    ]
    assert connection.counters["sql_statement_unknown"] == 1
    assert connection.counters["sql_parameters_unread"] == 0


def test_a_statement_that_is_run_before_it_is_known() -> None:
    """MariaDB's clients do not wait: number -1 is the statement prepared last."""
    run_it = execute(0xFFFFFFFF, [(8, 0)], struct.pack("<q", 41))
    steps = [*started(LATEST), (True, prepare(b"select ? + 1") + run_it + query(b"select 2"))]
    steps += [(False, numbered(prepared(LATEST, 9, [column(b"x", 8)], 1)))]
    steps += [(False, numbered(result(LATEST, [column(b"x", 8)], [binary_row(struct.pack("<q", 42))])))]
    steps += [(False, numbered(result(LATEST, [column(b"2", 3)], [text_row(b"2")])))]
    first, second = results(run(steps)[0])
    assert (first.statement, first.parameters, first.rows) == ("select ? + 1", ["41"], [["42"]])
    assert (second.statement, second.rows) == ("select 2", [["2"]])


def test_many_rows_at_once() -> None:
    rows = [b"\0" + struct.pack("<i", 1) + b"\0" + lenenc(b"one"), b"\0" + struct.pack("<i", 2) + b"\1"]
    bulk = packet(0, b"\xfa", struct.pack("<IH", 4, 128), b"\x03\0\xfd\0", *rows)
    steps = [*started(LATEST), *asked(LATEST, prepare(b"insert into t values (?, ?)"), prepared(LATEST, 4, [], 2))]
    (found,) = results(run([*steps, *asked(LATEST, bulk, [ok(2)])])[0])
    assert (found.statement, found.parameters, found.affected) == (
        "insert into t values (?, ?)",
        ["1", "one", "2", None],
        2,
    )


@pytest.mark.parametrize("capability", [CACHE_METADATA, OPTIONAL_METADATA])
def test_columns_that_are_not_told_again(capability: int) -> None:
    can = LATEST | capability
    columns = [column(b"id", 3), column(b"name", 253)]
    row = binary_row(struct.pack("<i", 5), lenenc(b"five"))
    flagged = lenenc(2) + b"\1"
    steps = [*started(can), *asked(can, prepare(b"select * from t"), prepared(can, 2, columns, 0))]
    steps += asked(can, execute(2), [flagged, *columns, row, ok(head=0xFE)])
    steps += asked(can, execute(2), [lenenc(2) + b"\0", row, ok(head=0xFE)])
    steps += asked(can, query(b"select 5, 'five'"), [lenenc(2) + b"\0", text_row(b"5", b"five"), ok(head=0xFE)])
    first, second, third = results(run(steps)[0])
    assert first.rows == second.rows == third.rows == [["5", "five"]]
    assert first.columns == second.columns
    assert [column.name for column in third.columns] == ["", ""]
    assert (third.complete, third.truncated, third.gap) == (True, False, False)


def test_types_as_mariadb_names_them() -> None:
    can = LATEST | EXTENDED_METADATA
    both = b"\0\4uuid\1\4json\7\1x"
    columns = [
        column(b"a", 252, extended=b"\1\4json"),
        column(b"b", 254, extended=b""),
        column(b"c", 254, extended=both),
    ]
    (found,) = results(
        run([*started(can), *asked(can, query(b"select a, b, c"), result(can, columns, [text_row(b"{}", b"", b"")]))])[
            0
        ]
    )
    assert [(c.name, c.type) for c in found.columns] == [("a", "json"), ("b", "char"), ("c", "uuid")]


@pytest.mark.parametrize(
    ("body", "statement"),
    [
        (b"\0\1select 1", "select 1"),
        (b"\2\1" + b"\0" + b"\1" + b"\xfd\0\2n1" + b"\x08\0\2n2" + b"\5value" + bytes(8) + b"select 2", "select 2"),
        (b"\1\1" + b"\1" + b"\1" + b"\xfd\0\2n1" + b"select 3", "select 3"),
        (b"select 4", "select 4"),
        (b"", ""),
    ],
)
def test_query_attributes(body: bytes, statement: str) -> None:
    """A client that can send them does not to a server that cannot read them."""
    assert words_of(b"\x03" + body, attributes=True).decode() == statement
    can = LATEST | QUERY_ATTRIBUTES
    (found,) = results(run([*started(can), *asked(can, packet(0, b"\x03", body), [ok()])])[0])
    assert found.statement == statement


@pytest.mark.parametrize("count", [5, 6, 7, 8, 30])
def test_many_columns(count: int) -> None:
    columns = [column(b"c%d" % n, 3) for n in range(count)]
    row = [None if n % 3 else struct.pack("<i", n) for n in range(count)]
    steps = [*started(LATEST), *asked(LATEST, prepare(b"select *"), prepared(LATEST, 1, columns, 0))]
    steps += asked(LATEST, execute(1), result(LATEST, columns, [binary_row(*row), binary_row(*row) + b"more"]))
    events, connection = run(steps)
    (found,) = results(events)
    assert found.rows == [[None if n % 3 else str(n) for n in range(count)]]
    assert (found.row_count, found.truncated, connection.counters["sql_rows_unread"]) == (2, True, 1)


def test_parameters_without_the_count_that_was_promised() -> None:
    """QUERY_ATTRIBUTES in TLS, to a server that does not know them."""
    can = LATEST | QUERY_ATTRIBUTES
    steps: list[Step] = [(True, login(can, 2)), (False, packet(3, ok()))]
    steps += asked(can, prepare(b"do ?, ?"), prepared(can, 1, [], 2))
    steps += asked(can, execute(1, [(3, 0), (253, 0)], struct.pack("<i", 6) + lenenc(b"seven")), [ok()])
    assert [r.parameters for r in results(run(steps)[0])] == [["6", "seven"]]


def test_a_statement_whose_columns_are_not_told() -> None:
    """MySQL's resultset_metadata=NONE: binary rows are counted."""
    can = LATEST | OPTIONAL_METADATA
    steps = [*started(can), *asked(can, prepare(b"select 1"), [b"\0" + struct.pack("<IHHxHB", 1, 1, 1, 0, 0)])]
    rows = [lenenc(1) + b"\0", binary_row(bytes(4)), ok(head=0xFE)]
    (found,) = results(run([*steps, *asked(can, execute(1, [(3, 0)], bytes(4)), rows)])[0])
    assert (found.statement, found.parameters, found.rows, found.row_count) == ("select 1", ["0"], [], 1)
    assert (found.truncated, found.complete, found.gap) == (True, True, False)
