"""Requests of no interest: their heads come out, and where their server is on this host, the source goes on showing heads."""

from __future__ import annotations

import pytest

from leeward.model.message import Message
from leeward.model.net import Endpoint
from leeward.model.raw import HeadsSeen, Segment, SocketOpened
from leeward.wire.connections import Connection, Connections, Heard
from leeward.wire.dns import NameTable
from leeward.wire.flows import FlowTable
from leeward.wire.http import Answered, Interest, Limits
from leeward.wire.http1_head import whole_lines

CLIENT, SERVER = Endpoint("10.0.0.1", 50000), Endpoint("10.0.0.2", 60000)
REQUEST = b"GET /v1/users/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer made-up\r\n\r\n"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
LINE = b"GET /v1/users/7 HTTP/1.1"


class Source:
    """Remembers what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def quiet_tls(self, pid: int, tls: int, line: bytes | None) -> None:
        self.told.append(("quiet", pid, tls, line))

    def quiet_socket(self, sock: int, line: bytes | None) -> None:
        self.told.append(("quiet", sock, line))

    def glance_tls(self, pid: int, tls: int, line: bytes) -> None:
        self.told.append(("glance", pid, tls, line))

    def glance_socket(self, sock: int, line: bytes) -> None:
        self.told.append(("glance", sock, line))

    def quiet_stdio(self, pid: int) -> None:
        self.told.append(("stdio", pid))

    def forget_tls(self, pid: int, tls: int) -> None:
        self.told.append(("forget", pid, tls))


def world(*roles: str) -> tuple[Connections, Source]:
    """A host with these ends of one connection: socket 1 the client's, 2 the server's."""
    source, flows = Source(), FlowTable("test", NameTable())
    for sock, (role, local, remote) in enumerate((("client", CLIENT, SERVER), ("server", SERVER, CLIENT)), 1):
        if role in roles:
            flows.opened(SocketOpened(0, sock, 10 + sock, role, "tcp", local, remote))

    def skip(_: Connection, __: Message) -> Interest:
        return Interest.SKIP

    return Connections(flows, skip, limits=Limits(), quiet=source), source


class Wire:
    """Bytes of one connection, as segments at one of its sockets."""

    def __init__(self, connections: Connections, sock: int) -> None:
        self._connections, self._sock = connections, sock
        self._seq = {True: 1, False: 1}

    def __call__(self, to_server: bool, data: bytes) -> list[Heard]:
        local, remote = (CLIENT, SERVER) if self._sock == 1 else (SERVER, CLIENT)
        sent, seq = to_server == (self._sock == 1), self._seq[to_server]
        self._seq[to_server] += len(data)
        return self._connections.segment(Segment(seq, self._sock, "tcp", local, remote, sent, seq, data, len(data)))


def answers(heard: list[Heard]) -> list[tuple[str, int, int]]:
    return [(e.request.target, e.response.status, e.stands) for _, e in heard if isinstance(e, Answered)]


def test_a_client_of_a_far_server_is_left_alone_once_it_was_answered() -> None:
    connections, source = world("client")
    wire = Wire(connections, 1)
    wire(True, REQUEST)
    assert source.told == []
    assert answers(wire(False, REFUSAL)) == [("/v1/users/7", 403, 1)]
    assert source.told == [("quiet", 1, LINE)]


@pytest.mark.parametrize("field", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked", b"Content-Length: x"])
def test_an_upload_is_not_copied_for_its_answers_sake(field: bytes) -> None:
    connections, source = world("client")
    Wire(connections, 1)(True, b"PUT /big HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
    assert source.told == [("quiet", 1, b"PUT /big HTTP/1.1")]


def test_a_server_of_this_host_is_glanced_at_once_it_has_answered() -> None:
    connections, source = world("server")
    wire = Wire(connections, 2)
    assert wire(True, REQUEST)
    assert source.told == []
    assert answers(wire(False, REFUSAL)) == [("/v1/users/7", 403, 1)]
    assert source.told == [("glance", 2, LINE)]


def test_both_ends_here_are_glanced_at_from_the_clients() -> None:
    connections, source = world("client", "server")
    near, far = Wire(connections, 1), Wire(connections, 2)
    near(True, REQUEST)
    far(True, REQUEST)
    far(False, REFUSAL)
    assert answers(near(False, REFUSAL)) == [("/v1/users/7", 403, 1)]
    assert source.told == [("quiet", 2, None), ("glance", 1, LINE)]
    (_, event), *_ = connections.heads(HeadsSeen(9, 11, 1, 0, REQUEST, REFUSAL, 12))
    assert isinstance(event, Answered)
    assert (event.request.header("authorization"), event.response.status, event.stands) == ("Bearer made-up", 403, 12)


def test_a_server_that_is_heard_of_before_it_has_accepted_is_known_later() -> None:
    flows = FlowTable("test", NameTable())
    flows.opened(SocketOpened(0, 1, 11, "client", "tcp", CLIENT, SERVER))
    flows.opened(SocketOpened(0, 2, 0, "unknown", "tcp", SERVER, CLIENT))
    connections = Connections(flows, lambda _, __: Interest.SKIP, limits=Limits(), quiet=Source())
    near, far = Wire(connections, 1), Wire(connections, 2)
    heard = near(True, REQUEST)
    far(True, REQUEST)
    assert heard[0][0].seen_by() == []
    flows.opened(SocketOpened(3, 2, 12, "server", "tcp", SERVER, CLIENT))
    assert heard[0][0].seen_by() == [12]


def test_a_server_behind_translated_addresses_is_glanced_at_when_it_shows_up() -> None:
    source, flows = Source(), FlowTable("test", NameTable())
    inside = Endpoint("172.17.0.2", 80)
    flows.opened(SocketOpened(0, 1, 11, "client", "tcp", CLIENT, SERVER))
    connections = Connections(flows, lambda _, __: Interest.SKIP, limits=Limits(), quiet=source)
    upload = b"PUT /v1/users/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    Wire(connections, 1)(True, upload)
    assert source.told == [("quiet", 1, b"PUT /v1/users/7 HTTP/1.1")]
    flows.opened(SocketOpened(1, 2, 12, "server", "tcp", inside, CLIENT))
    connections.segment(Segment(2, 2, "tcp", inside, CLIENT, False, 1, upload, len(upload)))
    assert source.told[1:] == [("quiet", 2, None), ("glance", 1, b"PUT /v1/users/7 HTTP/1.1")]


def test_requests_that_nobody_answers_do_not_keep_a_connection_open() -> None:
    connections, source = world("server")
    wire = Wire(connections, 2)
    for _ in range(9):
        wire(True, REQUEST)
    assert source.told == [("glance", 2, LINE)]


def test_a_glance_shows_the_beginning_of_a_text() -> None:
    connections, source = world("server")
    wire = Wire(connections, 2)
    wire(True, REQUEST)
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<p>hello</p>"
    assert wire(False, page[:-3]) == []
    assert source.told == []  # it is copied until its beginning is there
    ((_, event),) = wire(False, page[-3:])
    assert isinstance(event, Answered)
    assert event.beginning == b"<p>hello</p>"
    assert source.told == [("glance", 2, LINE)]
    ((_, event),) = connections.heads(HeadsSeen(9, 12, 2, 0, REQUEST, page[:-4], 3))
    assert isinstance(event, Answered)
    assert (event.beginning, event.stands) == (b"<p>", 3)
    ((_, event),) = connections.heads(HeadsSeen(9, 12, 2, 0, REQUEST, REFUSAL))
    assert isinstance(event, Answered)
    assert event.beginning == b"no"


def test_heads_of_what_is_not_known_are_counted() -> None:
    connections, _ = world("server")
    assert connections.heads(HeadsSeen(9, 11, 5, 0, REQUEST, REFUSAL)) == []
    Wire(connections, 2)(True, REQUEST)
    assert connections.heads(HeadsSeen(9, 12, 2, 0, b"\x00\x01", REFUSAL)) == []
    assert connections.counters["heads_of_unknown_connection"] == 1
    assert connections.counters["heads_unreadable"] == 1


def test_a_head_that_was_cut_is_its_whole_lines() -> None:
    assert whole_lines(REQUEST + b"body") == REQUEST
    assert whole_lines(REQUEST[:45]) == b"GET /v1/users/7 HTTP/1.1\r\nHost: a\r\n\r\n"
    connections, _ = world("server")
    Wire(connections, 2)(True, REQUEST)
    (_, event), *_ = connections.heads(HeadsSeen(9, 12, 2, 0, REQUEST[:45], REFUSAL))
    assert isinstance(event, Answered)
    assert event.request.anomalies == ["cut-head"]
