"""Which bytes belong to which connection, and who speaks for it: scripts of raw events in, HTTP events out."""

from __future__ import annotations

import pytest
from test_wire_postgres import SESSION
from wire_mysql import BASE, KINDS, asked, login, ok, packet, query
from wire_mysql import session as mysql_session

from leeward.model.message import Message
from leeward.model.net import Endpoint
from leeward.model.raw import Plaintext, Segment, SocketOpened, TlsClosed, TlsOpened
from leeward.model.sql import SqlResult
from leeward.wire.connections import Connection, Connections, Heard
from leeward.wire.dns import NameTable
from leeward.wire.flows import FlowTable
from leeward.wire.http import ExchangeDone, Interest, Limits
from leeward.wire.tls import ClientHello

CLIENT, SERVER = Endpoint("10.0.0.1", 50000), Endpoint("10.0.0.2", 60000)
RANDOM = bytes(range(32))
REQUEST = b"POST /v1/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECOND = 10**9


class Quiet:
    """Remembers what the source was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def quiet_tls(self, pid: int, tls: int, line: bytes | None) -> None:
        self.told.append(("tls", pid, tls, line))

    def quiet_socket(self, sock: int, line: bytes | None) -> None:
        self.told.append(("socket", sock, line))

    def forget_tls(self, pid: int, tls: int) -> None:
        self.told.append(("forget", pid, tls))


def world(*, skip: bool = False) -> tuple[Connections, FlowTable, Quiet]:
    quiet, flows = Quiet(), FlowTable("test", NameTable())

    def interest(_: Connection, __: Message) -> Interest:
        return Interest.SKIP if skip else Interest.FULL

    return Connections(flows, interest, limits=Limits(), quiet=quiet), flows, quiet


def both_ends(flows: FlowTable) -> None:
    """One connection, both of whose sockets are on this host; the TLS hello passed both."""
    hello = ClientHello(RANDOM, b"", "api.openai.com", (), (), (), (), False)
    for sock, pid, role, local, remote in ((1, 11, "client", CLIENT, SERVER), (2, 22, "server", SERVER, CLIENT)):
        flows.hello(flows.opened(SocketOpened(0, sock, pid, role, "tcp", local, remote)), hello)


def said(pid: int, tls: int, seq: int, written: bool, data: bytes, **more: object) -> Plaintext:
    return Plaintext(seq + 1, pid, pid, tls, 0, seq, written, 0, len(data), data, **more)  # type: ignore[arg-type]


def done(heard: list[Heard]) -> list[tuple[int, bytes, bytes]]:
    """(pid, request body, response body) of each exchange."""
    rows = []
    for connection, event in heard:
        if isinstance(event, ExchangeDone) and event.request:
            rows.append((connection.pid, event.request.body, event.response.body if event.response else b""))
    return rows


def test_the_client_speaks_for_a_session_that_both_ends_show() -> None:
    for server_first in (True, False):
        connections, flows, quiet = world()
        both_ends(flows)
        openings = [TlsOpened(1, 22, 200, 0, RANDOM), TlsOpened(1, 11, 100, 0, RANDOM)]
        heard = [h for e in (openings if server_first else openings[::-1]) for h in connections.tls_opened(e)]
        heard += connections.plaintext(said(22, 200, 0, False, REQUEST))
        heard += connections.plaintext(said(11, 100, 0, True, REQUEST))
        heard += connections.plaintext(said(22, 200, 1, True, RESPONSE))
        heard += connections.plaintext(said(11, 100, 1, False, RESPONSE))
        heard += connections.finish(9)
        assert done(heard) == [(11, b"{}", b"ok")]
        assert heard[0][0].observers == [22]
        assert heard[0][0].joined == "client-random"
        assert ("tls", 22, 200, None) in quiet.told


def test_a_server_whose_client_is_not_seen_speaks_after_a_while() -> None:
    connections, flows, _ = world()
    both_ends(flows)
    heard = connections.tls_opened(TlsOpened(1, 22, 200, 0, RANDOM))
    heard += connections.plaintext(said(22, 200, 0, False, REQUEST))
    heard += connections.plaintext(said(22, 200, 1, True, RESPONSE))
    assert heard == []
    assert done(connections.tick(1 + 3 * SECOND)) == [(22, b"{}", b"ok")]


def test_a_server_that_ends_while_its_client_is_waited_for_speaks() -> None:
    for ends in ("exit", "free", "end"):
        connections, flows, _ = world()
        both_ends(flows)
        heard = connections.tls_opened(TlsOpened(1, 22, 200, 0, RANDOM))
        heard += connections.plaintext(said(22, 200, 0, False, REQUEST))
        heard += connections.plaintext(said(22, 200, 0, True, RESPONSE))
        heard += {
            "exit": lambda c: c.process_exited(22, 5),
            "free": lambda c: c.tls_closed(TlsClosed(5, 22, 200, 0)),
            "end": lambda c: c.finish(5),
        }[ends](connections)
        assert done(heard) == [(22, b"{}", b"ok")]
        assert len(connections) == 0


def test_a_lost_call_is_a_gap() -> None:
    connections, _, _ = world()
    connections.tls_opened(TlsOpened(1, 11, 100, 0, RANDOM))
    long = RESPONSE.replace(b": 2", b": 9")
    heard = connections.plaintext(said(11, 100, 0, True, REQUEST))
    heard += connections.plaintext(said(11, 100, 0, False, long))
    heard += connections.plaintext(said(11, 100, 2, False, b"tail"))
    heard += connections.tls_closed(TlsClosed(9, 11, 100, 0))
    ((_, _, body),) = done(heard)
    assert b"ok" in body
    assert connections.counters["plaintext_gaps"] == 1


def test_what_is_of_no_interest_is_told_to_the_source_with_its_line() -> None:
    connections, _, quiet = world(skip=True)
    connections.tls_opened(TlsOpened(1, 11, 100, 0, RANDOM))
    assert done(connections.plaintext(said(11, 100, 0, True, REQUEST.replace(b"/v1/chat", b"/v1/chat?x=1")))) == []
    assert quiet.told == []  # its answer is looked at
    assert done(connections.plaintext(said(11, 100, 0, False, RESPONSE))) == []
    assert quiet.told == [("tls", 11, 100, b"POST /v1/chat")]


def test_a_connection_that_woke_begins_anew() -> None:
    connections, _, _ = world()
    connections.tls_opened(TlsOpened(1, 11, 100, 0, RANDOM))
    connections.plaintext(said(11, 100, 0, True, REQUEST[:30]))  # its rest was never copied
    heard = connections.plaintext(said(11, 100, 5, True, REQUEST, woke=True))
    heard += connections.plaintext(said(11, 100, 6, False, RESPONSE))
    assert done(heard) == [(11, b"{}", b"ok")]


def test_plaintext_packets_seen_at_both_sockets_count_once() -> None:
    connections, flows, quiet = world()
    flows.opened(SocketOpened(0, 1, 11, "client", "tcp", CLIENT, SERVER))
    flows.opened(SocketOpened(0, 2, 0, "unknown", "tcp", SERVER, CLIENT))
    heard: list[Heard] = []
    for data, up, seq in ((REQUEST, True, 100), (RESPONSE, False, 900)):
        for sock, local, remote in ((1, CLIENT, SERVER), (2, SERVER, CLIENT)):
            sent = up == (sock == 1)
            heard += connections.segment(Segment(1, sock, "tcp", local, remote, sent, seq, data, len(data)))
    assert done(heard) == [(11, b"{}", b"ok")]
    assert ("socket", 2, None) in quiet.told


SQL = {
    "postgresql": (SESSION, 4, "select id, email from customers"),
    "mysql": (mysql_session(KINDS["mariadb"]), 5, "select id, email from customers"),
}


@pytest.mark.parametrize("system", SQL)
@pytest.mark.parametrize("role", ["client", "unknown"])
@pytest.mark.parametrize("first", [0, 1])
def test_sql_seen_at_both_sockets_counts_once(role: str, first: int, system: str) -> None:
    """The server's port is the higher one, and it has not accepted yet when the first bytes are there."""
    session, count, statement = SQL[system]
    connections, flows, _ = world()
    flows.opened(SocketOpened(0, 1, 11, role, "tcp", CLIENT, SERVER))
    flows.opened(SocketOpened(0, 2, 0, "unknown", "tcp", SERVER, CLIENT))
    heard: list[Heard] = []
    seqs = {True: 100, False: 900}
    for up, data in session:
        ends = [(1, CLIENT, SERVER), (2, SERVER, CLIENT)]
        for sock, local, remote in ends if first == 0 else reversed(ends):
            sent = up == (sock == 1)
            heard += connections.segment(Segment(1, sock, "tcp", local, remote, sent, seqs[up], data, len(data)))
        seqs[up] += len(data)
    results = [event for _, event in heard if isinstance(event, SqlResult)]
    assert len(results) == count
    assert (results[0].system, results[0].statement) == (system, statement)
    socket = flows.find(1)
    assert socket is not None
    assert socket.flow.l7 == system


def test_mysql_in_tls_at_a_librarys_calls() -> None:
    """What TLS hides begins with the client's second packet: who wrote it is the client."""
    connections, _, _ = world()
    connections.tls_opened(TlsOpened(1, 11, 100, 0, RANDOM))
    heard: list[Heard] = []
    seqs = {True: 0, False: 0}
    steps = [(True, login(BASE, 2)), (False, packet(3, ok())), *asked(BASE, query(b"select 1"), [ok(3)])]
    for to_server, data in steps:
        heard += connections.plaintext(said(11, 100, seqs[to_server], to_server, data))
        seqs[to_server] += 1
    (found,) = [event for _, event in heard if isinstance(event, SqlResult)]
    assert (found.system, found.user, found.statement, found.affected) == ("mysql", "ann", "select 1", 3)


def test_a_process_that_dies_leaves_its_unfinished_exchange_and_no_name() -> None:
    connections, _, quiet = world()
    connections.tls_opened(TlsOpened(1, 11, 100, 0, RANDOM))
    connections.plaintext(said(11, 100, 0, True, REQUEST))
    assert done(connections.process_exited(11, 5)) == [(11, b"{}", b"")]
    assert ("forget", 11, 100) in quiet.told
    assert len(connections) == 0


def test_what_a_parser_found_odd_is_counted_when_its_connection_ends() -> None:
    connections, _, _ = world(skip=True)
    for port, data in ((1, b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), (2, b"\x05nothing at all\r\n\r\n")):
        client = Endpoint("10.0.0.1", port)
        connections.segment(Segment(1, 0, "tcp", client, SERVER, True, 0, b"", 0, True))
        connections.segment(Segment(2, 0, "tcp", client, SERVER, True, 1, data, len(data)))
    connections.finish(9)
    assert connections.counters["http_odd_bad_content_length"] == 1
    assert connections.counters["http_bytes_of_nothing"] > 0


def test_what_is_no_dns_at_its_port_is_left_alone() -> None:
    connections, flows, quiet = world()
    resolver = Endpoint("192.0.2.53", 53)
    flows.opened(SocketOpened(1, 70, 7, "client", "tcp", CLIENT, resolver))
    connections.segment(Segment(2, 70, "tcp", CLIENT, resolver, True, 1, bytes(100), 100))
    assert quiet.told == [("socket", 70, None)]
