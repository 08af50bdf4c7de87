"""Conversations over UNIX sockets: what system calls handed over in, statements out, with whose they are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_connections import Quiet, world
from test_wire_mysql import KINDS, session
from test_wire_postgres import SESSION

from leeward.model.net import Endpoint
from leeward.model.raw import SocketOpened, SocketStats, UnixData
from leeward.model.sql import SqlResult
from leeward.wire.connections import Connection, Connections, Heard
from leeward.wire.flows import FlowTable
from leeward.wire.stream import StreamClosed, StreamData, StreamGap, StreamOpened
from leeward.wire.unix import UnixStreams, speaks_at

PATH = "/run/postgresql/.s.PGSQL.5432"
HERE, THERE = Endpoint("", 0), Endpoint(PATH, 0)
SOCK = 1 << 63 | 77


def opened(flows: FlowTable, sock: int = SOCK, pid: int = 11, path: str = PATH) -> None:
    flows.opened(SocketOpened(0, sock, pid, "client", "unix", HERE, Endpoint(path, 0)))


def calls(steps: list[tuple[bool, bytes]], sock: int = SOCK, pid: int = 11, *, late: bool = False) -> list[UnixData]:
    """The steps as a source tells of them."""
    at, events = {True: 0, False: 0}, []
    for ts, (written, data) in enumerate(steps, 1):
        events.append(UnixData(ts, sock, pid, written, at[written], data, late))
        at[written] += len(data)
    return events


def hear(connections: Connections, events: list[UnixData]) -> list[Heard]:
    return [heard for event in events for heard in connections.unix_data(event)]


def results(heard: list[Heard]) -> list[tuple[Connection, SqlResult]]:
    return [(connection, event) for connection, event in heard if isinstance(event, SqlResult)]


@pytest.mark.parametrize(
    ("path", "system"),
    [
        (PATH, "postgresql"),
        ("/cloudsql/a:b:c/.s.PGSQL.5432", "postgresql"),
        ("@/abstract/.s.PGSQL.1", "postgresql"),
        ("/var/run/mysqld/mysqld.sock", "mysql"),
        ("/tmp/mysql.sock", "mysql"),
        ("./mariadb.sock", "mysql"),
        ("@mysql", "mysql"),
        ("/mysql/other.sock", ""),
        ("/run/docker.sock", ""),
        ("10.0.0.1", ""),
        ("", ""),
    ],
)
def test_a_path_says_what_is_spoken(path: str, system: str) -> None:
    assert speaks_at(path) == system


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (THERE, PATH),
        (HERE, ""),
        (Endpoint("@name", 0), "@name"),
        (Endpoint("10.0.0.1", 80), "10.0.0.1:80"),
        (Endpoint("::1", 80), "[::1]:80"),
    ],
)
def test_an_endpoint_reads_as_what_it_is(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text


@pytest.mark.parametrize("path", [PATH, "/run/of.another.name"])
def test_a_session_from_its_first_byte(path: str) -> None:
    connections, flows, _ = world()
    opened(flows, path=path)
    found = results(hear(connections, calls(SESSION)))
    assert [result.statement for _, result in found][:1] == ["select id, email from customers"]
    assert [(c.pid, c.source, c.joined, c.from_start) for c, _ in found] == [(11, "plaintext", "socket", True)] * 4
    assert found[0][1].database == "shop"
    socket = found[0][0].socket
    assert socket is not None
    flow = socket.flow
    assert (flow.proto, flow.direction, flow.src, flow.dst.ip, flow.l7) == (
        "unix",
        "outbound",
        HERE,
        path,
        "postgresql",
    )


def test_mysql_greets_first_and_may_be_read_by_its_head() -> None:
    """Some clients read a packet's four bytes, then the rest: the path says what it is."""
    connections, flows, _ = world()
    opened(flows, path="/run/mysqld/mysqld.sock")
    steps = [step for up, data in session(KINDS["classic"]) for step in ((up, data[:4]), (up, data[4:])) if step[1]]
    found = results(hear(connections, calls(steps)))
    assert found
    assert found[0][1].system == "mysql"


def test_two_clients_that_begin_alike_are_two() -> None:
    connections, flows, quiet = world()
    opened(flows, SOCK, 11)
    opened(flows, SOCK + 1, 12)
    pairs = zip(calls(SESSION, SOCK, 11), calls(SESSION, SOCK + 1, 12), strict=True)
    found = results(hear(connections, [event for pair in pairs for event in pair]))
    assert sorted(connection.pid for connection, _ in found) == [11] * 4 + [12] * 4
    assert quiet.told == []


def test_a_child_asks_on_its_parents_connection() -> None:
    connections, flows, _ = world()
    opened(flows)
    events = calls(SESSION)
    parents = hear(connections, events[:5])
    children = hear(connections, [UnixData(e.ts, e.sock, 12, e.written, e.seq, e.data) for e in events[5:]])
    assert {connection.pid for connection, _ in results(children)} == {12}
    assert len(results(parents)) == 1


def test_a_connection_that_is_older_is_joined_in_its_middle() -> None:
    connections, flows, _ = world()
    opened(flows)
    middle = [(True, SESSION[3][1][3:]), *SESSION[3:]]  # the first piece is the end of a message
    found = results(hear(connections, calls(middle, late=True)))
    assert "select id, email from customers" in [result.statement for _, result in found]
    assert not found[0][0].from_start


def test_late_but_from_its_first_message_on_it_is_whole() -> None:
    connections, flows, _ = world()
    opened(flows)
    found = results(hear(connections, calls(SESSION, late=True)))
    assert [result.database for _, result in found] == ["shop"] * 4


def test_of_an_older_mysql_connection_the_reason_is_told() -> None:
    connections, flows, quiet = world()
    opened(flows, path="/run/mysqld/mysqld.sock")
    assert hear(connections, calls([(True, b"\x09\0\0\0\x03select 1")], late=True)) == []
    assert [c.reason for c in connections.all()] == ["mysql connection older than Leeward"]
    assert quiet.told == [("socket", SOCK, None)]


def test_what_was_lost_is_a_gap_and_the_next_statement_is_read() -> None:
    connections, flows, _ = world()
    opened(flows)
    events = calls([*SESSION[:-1], *SESSION[3:5]])
    found = results(hear(connections, events[:4] + events[5:]))
    assert connections.unix.counters["unix_gaps"] == 1
    assert (found[-1][1].statement, found[-1][1].complete) == ("select id, email from customers", True)


def test_its_end_brings_out_what_is_unfinished() -> None:
    connections, flows, _ = world()
    opened(flows)
    assert results(hear(connections, calls(SESSION[:4]))) == []
    ((_, result),) = results(connections.socket_closed(SOCK, 9))
    assert (result.statement, result.complete) == ("select id, email from customers", False)
    assert len(connections) == len(connections.unix) == 0
    socket = flows.stats(SocketStats(9, SOCK, 5, 6, 0, 0, True))
    assert socket is not None
    assert (socket.flow.state, socket.flow.bytes_sent, socket.flow.bytes_received) == ("closed", 5, 6)


def test_bytes_of_a_socket_that_was_not_told_are_counted() -> None:
    connections, _, _ = world()
    assert hear(connections, calls(SESSION)) == []
    assert connections.counters["unix_data_of_unknown_socket"] == len(SESSION)


def test_quiet_goes_to_the_socket() -> None:
    connections, flows, quiet = world()
    opened(flows)
    ((connection, _), *_) = hear(connections, calls(SESSION[:5]))
    connections.quiet(connection)
    assert isinstance(quiet, Quiet)
    assert quiet.told == [("socket", SOCK, None)]


def test_streams_are_bounded() -> None:
    streams = UnixStreams(limit=2)
    ends = [
        event
        for number in range(5)
        for event in streams.feed(UnixData(number, number, 1, True, 0, b"x"), number, HERE, THERE)
        if isinstance(event, StreamClosed)
    ]
    assert [event.conn for event in ends] == [0, 1, 2]
    assert (len(streams), streams.counters["unix_evicted"]) == (2, 3)


pieces = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=8), st.booleans()), max_size=30)


@given(pieces, st.integers(0, 2**32 - 1))
def test_each_direction_is_its_bytes_and_its_holes(told: list[tuple[bool, bytes, bool]], start: int) -> None:
    """Pieces with some of them lost, of a connection that began anywhere, also where numbers wrap: bytes and holes are as long as
    what passed."""
    streams, at, last = UnixStreams(), {True: start, False: start}, {True: start, False: start}
    seen: dict[bool, list[bytes | int]] = {True: [], False: []}
    expected: dict[bool, list[bytes | int]] = {True: [], False: []}
    first = True
    for up, data, lost in told:
        if not lost:
            hole = (at[up] - last[up]) & 0xFFFFFFFF
            known = not first and bool(expected[up])
            expected[up] += ([hole] if hole and known else []) + [data]
            events = streams.feed(UnixData(1, 1, 1, up, at[up] & 0xFFFFFFFF, data, True), 1, HERE, THERE)
            assert isinstance(events[0], StreamOpened) == first
            first = False
            for event in events:
                if isinstance(event, StreamData):
                    seen[event.to_server].append(event.data)
                elif isinstance(event, StreamGap) and event.size:
                    seen[event.to_server].append(event.size)
            last[up] = at[up] + len(data)
        at[up] += len(data)
    assert seen == expected
    assert all(isinstance(a, bytes) or isinstance(b, bytes) for side in seen.values() for a, b in pairwise(side))
