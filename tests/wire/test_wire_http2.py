"""Passive HTTP/2 beside real peers: the h2 package in any interleaving, and nghttpd with h2load."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.model.message import Message
from leeward.wire.http import Answered, ExchangeDone, HttpEvent, Interest, Limits, Skipped
from leeward.wire.http2 import Http2Connection, role_of, sniff

Wire = list[tuple[bool, bytes]]


class Asked(dict[str, object]):
    """path, body, answer (bytes), trailers, skip."""


def full(_request: Message) -> Interest:
    return Interest.FULL


def converse(asked: list[dict[str, object]], order: list[int]) -> Wire:
    """What goes over the wire when the h2 package asks and answers these, pieces interleaved by `order`."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    wire: Wire = []

    def deliver() -> None:
        while True:
            up, down = client.data_to_send(), server.data_to_send()
            if not up and not down:
                return
            if up:
                wire.append((True, up))
                server.receive_data(up)
            if down:
                wire.append((False, down))
                client.receive_data(down)

    client.initiate_connection()
    server.initiate_connection()
    deliver()
    todo: list[Iterator[None]] = [_one(client, server, number, a, deliver) for number, a in enumerate(asked)]
    turn = 0
    while todo:
        at = order[turn % len(order)] % len(todo) if order else 0
        turn += 1
        try:
            next(todo[at])
        except StopIteration:
            del todo[at]
    return wire


def _one(client: object, server: object, number: int, asked: dict[str, object], deliver: object) -> Iterator[None]:
    stream = client.get_next_available_stream_id()  # type: ignore[attr-defined]
    head = [(":method", "POST"), (":scheme", "https"), (":authority", "api.openai.com"), (":path", f"/v1/{number}")]
    body = asked["body"]
    client.send_headers(stream, [*head, ("x-n", str(number)), ("content-type", "application/json")])  # type: ignore[attr-defined]
    deliver()  # type: ignore[operator]
    yield
    for at in range(0, len(body), 700):  # type: ignore[arg-type]
        client.send_data(stream, body[at : at + 700], pad_length=asked["pad"])  # type: ignore[attr-defined,index]
        deliver()  # type: ignore[operator]
        yield
    client.end_stream(stream)  # type: ignore[attr-defined]
    deliver()  # type: ignore[operator]
    yield
    server.send_headers(stream, [(":status", "200"), ("x-n", str(number))])  # type: ignore[attr-defined]
    server.send_data(stream, asked["answer"])  # type: ignore[attr-defined]
    deliver()  # type: ignore[operator]
    yield
    server.send_headers(stream, [("grpc-status", "0")], end_stream=True)  # type: ignore[attr-defined]
    deliver()  # type: ignore[operator]


def hear(
    wire: Wire, sizes: list[int] | None = None, limits: Limits | None = None
) -> tuple[list[HttpEvent], Http2Connection]:
    connection = Http2Connection(limits or Limits(), full)
    events: list[HttpEvent] = []
    turn = 0
    for ts, (to_server, data) in enumerate(wire):
        at = 0
        while at < len(data):
            size = sizes[turn % len(sizes)] if sizes else len(data)
            events += connection.feed(to_server, ts, data[at : at + size])
            at += size
            turn += 1
    events += connection.close(len(wire))
    return events, connection


def done(events: list[HttpEvent]) -> list[tuple[str, bytes, int, bytes, list[tuple[str, str]]]]:
    rows = []
    for event in events:
        if isinstance(event, ExchangeDone):
            assert event.request is not None
            assert event.response is not None
            assert (event.request.complete, event.response.complete) == (True, True)
            row = (event.request.target, event.request.body, event.response.status, event.response.body)
            rows.append((*row, event.response.trailers))
    return sorted(rows)


asks = st.lists(
    st.fixed_dictionaries(
        {"body": st.binary(max_size=2500), "answer": st.binary(max_size=600), "pad": st.sampled_from([0, 0, 1, 50])}
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(asks, st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_any_interleaving_in_any_pieces(asked: list[dict[str, object]], order: list[int], sizes: list[int]) -> None:
    wire = converse(asked, order)
    wanted = sorted((f"/v1/{n}", a["body"], 200, a["answer"], [("grpc-status", "0")]) for n, a in enumerate(asked))
    for cut in (None, sizes, [1]):
        events, connection = hear(wire, cut)
        assert done(events) == wanted
        assert not connection.counters["gaps"]
        request = next(e.request for e in events if isinstance(e, ExchangeDone))
        assert request is not None
        assert request.headers[0] == ("host", "api.openai.com")


@settings(max_examples=60, deadline=None)
@given(asks, st.integers(1, 30), st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_joined_in_mid_connection(asked: list[dict[str, object]], missed: int, order: list[int]) -> None:
    """Exchanges that begin after the join come out whole, but for header fields that refer to what was missed."""
    wire = converse(asked, order)
    missed = min(missed, len(wire) - 1)
    events, _ = hear(wire[missed:])
    opened = {_opens(data) for to_server, data in wire[missed:] if to_server} - {0}
    found = [e.request for e in events if isinstance(e, ExchangeDone) and e.request is not None]
    assert len(found) == len(opened)
    for request in found:
        assert request.target.startswith("/v1/")
        assert request.body == asked[int(request.target[4:])]["body"]


def _opens(data: bytes) -> int:
    return int.from_bytes(data[5:9], "big") if len(data) > 9 and data[3] == 1 else 0


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=120), st.sampled_from([0, 0, 0, 7])), max_size=20))
def test_any_bytes(pieces: list[tuple[bool, bytes, int]]) -> None:
    connection = Http2Connection(Limits(body=500, streams=4, held=2000), full)
    for ts, (to_server, data, hole) in enumerate(pieces):
        connection.feed(to_server, ts, data)
        if hole:
            connection.gap(to_server, ts, hole)
    connection.close(99)


def test_skipped_and_limits() -> None:
    asked: list[dict[str, object]] = [{"body": b"x" * 5000, "answer": b"y", "pad": 0} for _ in range(3)]
    wire = converse(asked, [0])
    connection = Http2Connection(Limits(), lambda r: Interest.SKIP if r.target == "/v1/1" else Interest.FULL)
    events = [e for ts, (to, data) in enumerate(wire) for e in connection.feed(to, ts, data)]
    assert [e.line for e in events if isinstance(e, Skipped)] == [b"POST /v1/1"]
    assert [e.response is not None for e in events if isinstance(e, Answered)] == [True]
    unanswered = Http2Connection(Limits(), lambda r: Interest.SKIP)
    alone = [e for ts, (to, data) in enumerate(wire) if to for e in unanswered.feed(to, ts, data)]
    alone += unanswered.close(9)
    assert [(e.request.target, e.response) for e in alone if isinstance(e, Answered)] == [
        ("/v1/0", None),
        ("/v1/1", None),
        ("/v1/2", None),
    ]
    assert len([e for e in events if isinstance(e, ExchangeDone)]) == 2
    events, _ = hear(wire, limits=Limits(body=100))
    assert all(
        e.request.truncated and len(e.request.body) == 100 for e in events if isinstance(e, ExchangeDone) and e.request
    )


@pytest.mark.parametrize(
    ("fields", "body", "beginning"),
    [
        ({"content-type": "text/html", "content-length": "12"}, b"hello, world", b"hello, world"),
        ({"content-type": "text/html", "content-length": "6000"}, b"hello " * 1000, b"hello " * 341),
        ({"content-type": "text/html", "content-length": "12", "content-encoding": "br"}, b"hello, world", b""),
        ({"content-type": "image/png", "content-length": "12"}, b"hello, world", b""),
        ({"content-type": "text/html"}, b"hello, world", b""),
    ],
)
def test_the_beginning_of_a_skipped_answer(fields: dict[str, str], body: bytes, beginning: bytes) -> None:
    client = h2.connection.H2Connection()
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client.initiate_connection()
    client.send_headers(
        1, [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")], end_stream=True
    )
    asked = client.data_to_send()
    server.initiate_connection()
    server.receive_data(asked)
    server.send_headers(1, [(":status", "200"), *fields.items()])
    answer = server.data_to_send()
    for at in range(0, len(body), 5):
        server.send_data(1, body[at : at + 5], end_stream=at + 5 >= len(body))
    connection = Http2Connection(Limits(), lambda _: Interest.SKIP)
    connection.feed(True, 1, asked)
    told = connection.feed(False, 2, answer) + connection.feed(False, 3, server.data_to_send())
    assert [e.beginning for e in told if isinstance(e, Answered)] == [beginning]


def test_a_known_gap_within_data_loses_no_more_than_it() -> None:
    asked: list[dict[str, object]] = [{"body": b"a" * 700, "answer": b"b" * 300, "pad": 0} for _ in range(2)]
    connection = Http2Connection(Limits(), full)
    events: list[HttpEvent] = []
    for ts, (to_server, data) in enumerate(converse(asked, [0])):
        if to_server and b"a" * 700 in data:
            at = data.index(b"a" * 700)
            events += connection.feed(to_server, ts, data[: at + 100])
            events += connection.gap(to_server, ts, 500)
            events += connection.feed(to_server, ts, data[at + 600 :])
        else:
            events += connection.feed(to_server, ts, data)
    requests = [e.request for e in events if isinstance(e, ExchangeDone)]
    assert [(r.gap, len(r.body)) for r in requests if r] == [(True, 200)] * 2


def test_first_bytes() -> None:
    wire = converse([{"body": b"", "answer": b"", "pad": 0}], [0])
    client = next(data for to, data in wire if to)
    server = next(data for to, data in wire if not to)
    assert (sniff(client), role_of(client)) == (True, "client")
    assert (sniff(server), role_of(server)) == (True, "server")
    assert not sniff(b"POST / HTTP/1.1\r\n")
    assert role_of(b"\x00\x00\x05\x01\x05\x00\x00\x00\x03\x82\x84\x87\x41\x01") == "client"
    assert role_of(b"\x00\x00\x01\x01\x04\x00\x00\x00\x03\x88") == "server"


class Relay:
    """Passes one listening port on to another and writes down what passes, each connection by itself."""

    def __init__(self, port: int) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port, self._to = self.server.getsockname()[1], port
        self.wires: list[Wire] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return  # closed: the test is over
            far = socket.create_connection(("127.0.0.1", self._to))
            wire: Wire = []
            self.wires.append(wire)
            lock = threading.Lock()
            for one, other, to_server in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(one, other, to_server, wire, lock), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket, to_server: bool, wire: Wire, lock: threading.Lock) -> None:
        try:
            while data := one.recv(65536):
                with lock:
                    wire.append((to_server, data))
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            one.close()  # the other end is gone


@pytest.mark.timeout(120)
def test_ten_thousand_interleaved_streams_of_nghttp2(tmp_path: Path) -> None:
    if shutil.which("nghttpd") is None or shutil.which("h2load") is None:
        pytest.skip("nghttpd and h2load are not installed (Debian: nghttp2)")
    answer = json.dumps({"choices": [{"message": {"content": "hi" * 200}}]}).encode()
    (tmp_path / "v1").write_bytes(answer)
    (tmp_path / "asked").write_bytes(b'{"model":"m","messages":[]}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["nghttpd", "--no-tls", "-d", str(tmp_path), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        relay = Relay(port)
        load = ["h2load", "-n", "10000", "-c", "1", "-m", "100", "-d", str(tmp_path / "asked")]
        out = subprocess.run(
            [*load, f"http://127.0.0.1:{relay.port}/v1"], capture_output=True, text=True, timeout=100, check=True
        ).stdout
        assert "10000 succeeded" in out, out
    finally:
        server.kill()
        server.wait()
    relay.server.close()
    exchanges = [row for wire in relay.wires for row in done(hear(wire)[0])]
    assert len(exchanges) == 10000
    assert {(r[0], r[1], r[2], r[3]) for r in exchanges} == {("/v1", b'{"model":"m","messages":[]}', 200, answer)}
