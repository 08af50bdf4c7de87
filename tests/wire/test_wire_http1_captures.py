"""Real captures (Zeek's test suite), their TCP payloads fed in naive order: no error, and what is known of them."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from leeward.model.message import Message
from leeward.wire.http import ExchangeDone, HttpEvent, Interest, Limits, Upgraded, WsMessage
from leeward.wire.http1 import Http1Connection

FOLDER = Path(__file__).parents[2].parent / "shared/data/pcap/zeek/http"
CAPTURES = sorted(FOLDER.glob("*.pcap*")) if FOLDER.is_dir() else []
CAPTURES = [path for path in CAPTURES if path.suffix != ".py"]
pytestmark = pytest.mark.skipif(not CAPTURES, reason=f"no captures at {FOLDER}")
MOST = 9000  # packets of a capture


def payloads(path: Path) -> Iterator[tuple[tuple[str, int, str, int], int, int, bytes]]:
    """((src, port, dst, port), ts, seq, payload) of each TCP segment. A SYN takes a sequence number."""
    from scapy.layers.inet import IP, TCP
    from scapy.layers.inet6 import IPv6
    from scapy.utils import PcapReader

    raw = path.read_bytes()
    source = io.BytesIO(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    for packet in PcapReader(source).read_all(MOST):
        network = packet.getlayer(IP) or packet.getlayer(IPv6)
        tcp = packet.getlayer(TCP)
        if network is None or tcp is None:
            continue
        head = len(tcp) - len(tcp.payload)
        size = network.len - network.ihl * 4 - head if isinstance(network, IP) else len(tcp.payload)
        key = (network.src, tcp.sport, network.dst, tcp.dport)
        yield key, int(packet.time * 10**9), tcp.seq + ("S" in tcp.flags), bytes(tcp.payload)[: max(0, size)]


def read(path: Path) -> tuple[list[HttpEvent], Counter[str]]:
    """All connections of a capture; what is seen twice is left out, what is missing is a gap."""
    connections: dict[frozenset[tuple[str, int]], tuple[tuple[str, int], Http1Connection]] = {}
    due: dict[tuple[str, int, str, int], int] = {}
    events: list[HttpEvent] = []
    counters: Counter[str] = Counter()
    ts = 0
    for key, ts, seq, data in payloads(path):
        ends = frozenset({key[:2], key[2:]})
        ahead = (seq - due.setdefault(key, seq) + (1 << 31)) % (1 << 32) - (1 << 31)
        if not data or ahead + len(data) <= 0:
            continue
        if ends not in connections:
            client = key[2:] if data.startswith(b"HTTP/") else key[:2]
            connections[ends] = client, Http1Connection(Limits(), lambda request: Interest.FULL)
        client, connection = connections[ends]
        if ahead > 0:
            events += connection.gap(key[:2] == client, ts, ahead)
        events += connection.feed(key[:2] == client, ts, data[max(0, -ahead) :])
        due[key] = seq + len(data)
    for _, connection in connections.values():
        events += connection.close(ts)
        counters += connection.counters
    return events, counters


def pairs(events: list[HttpEvent]) -> list[tuple[Message | None, Message | None]]:
    return [(e.request, e.response) for e in events if isinstance(e, ExchangeDone)]


@pytest.mark.parametrize("path", CAPTURES, ids=[path.name for path in CAPTURES])
def test_every_capture_is_read(path: Path) -> None:
    events, _ = read(path)
    for request, response in pairs(events):
        assert request is not None
        assert len(request.body) <= request.body_size
        if response is not None:
            assert request.index == response.index
            assert response.start >= request.start


FACTS = [
    # name, what the first exchange is, what its response's body holds
    ("get.pcap", ("GET", "/download/CHANGES.bro-aux.txt", 200, 4705), b"Initial import of bro/aux"),
    ("get_nosyn.pcap", ("GET", "/download/CHANGES.bro-aux.txt", 200, 4705), b"Initial import of bro/aux"),
    ("get-without-fins.pcap", ("GET", "/download/CHANGES.bro-aux.txt", 200, 4705), b"Initial import of bro/aux"),
    ("get-gzip.pcap", ("GET", "/gzip", 200, 197), b'"gzipped": true'),
    ("x-gzip.pcap", ("GET", "/", 200, 19), b""),
    ("100-continue.pcap", ("POST", "/", 200, 60731), b"<"),
    ("post.pcap", ("POST", "/post", 200, 366), b'"data": "hello world"'),
    ("query-method.pcap", ("QUERY", "/users", 200, 58), b"{"),
    ("missing-zlib-header.pcap", ("GET", "/library/dap.js", 200, 13249), b"function"),
    ("proxy.pcap", ("GET", "HTTP://bro.org/", 200, 15961), b"</html>"),
]


@pytest.mark.parametrize(("name", "exchange", "text"), FACTS, ids=[fact[0] for fact in FACTS])
def test_facts(name: str, exchange: tuple[str, str, int, int], text: bytes) -> None:
    request, response = pairs(read(FOLDER / name)[0])[0]
    assert request is not None
    assert response is not None
    assert (request.method, request.target, response.status, response.body_size) == exchange
    assert response.complete
    assert text in response.body


def test_gap_in_an_entity() -> None:
    (_, response), *_ = pairs(read(FOLDER / "entity_gap.pcap")[0])
    assert response is not None
    assert (response.complete, response.gap) == (True, True)
    assert len(response.body) < int(response.header("content-length"))


def test_a_status_line_in_lower_case_is_one() -> None:
    """The capture ends with the response's head."""
    (_, response), *_ = pairs(read(FOLDER / "http-lower-case.pcap")[0])
    assert response is not None
    assert (response.status, response.anomalies, response.complete) == (200, ["odd-head"], False)
    assert response.header("content-encoding") == "gzip"


def test_upgrades() -> None:
    for name in ("websocket.pcap", "docker-http-upgrade.pcap", "connect-with-smtp.pcap"):
        events, counters = read(FOLDER / name)
        assert [type(e) for e in events if isinstance(e, Upgraded)] == [Upgraded], name
        assert counters["bytes_after_upgrade"] > 0 or any(isinstance(e, WsMessage) for e in events), name


def test_a_lost_response_does_not_shift_those_after_it() -> None:
    """1000 requests on one connection, one response missing."""
    events, _ = read(FOLDER / "1000-requests-one-dropped-response.pcap.gz")
    found = pairs(events)
    assert len(found) == 1000
    assert sum(response is None for _, response in found) == 1
    for request, response in found:
        assert request is not None
        if response is not None:
            assert request.end <= response.start


def test_pipelined_requests_get_their_own_responses() -> None:
    kinds = {"css": "text/css", "js": "text/javascript", "png": "image/png"}
    found = pairs(read(FOLDER / "pipelined-requests.pcap")[0])
    assert len(found) == 5
    for request, response in found:
        assert request is not None
        assert response is not None
        assert kinds[request.target.rpartition(".")[2]] in response.header("content-type").replace(
            "application/x-", "text/"
        )


def test_desync_is_counted() -> None:
    """A server that answers more often than it was asked: the surplus belongs to nobody."""
    events, counters = read(FOLDER / "http-desync-request-response-5.pcap")
    assert counters["responses_without_request"] == 2
    assert len(pairs(events)) == 5
