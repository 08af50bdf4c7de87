"""DNS over TCP becomes what DNS over UDP becomes: names learned and asked, at the side that asks."""

from __future__ import annotations

import random
import struct

import pytest
from msgspec import structs

from leeward.ai.catalogue import load_catalogue
from leeward.model.activity import Activity, HttpSeen, NameAsked
from leeward.model.net import Endpoint
from leeward.model.process import NOBODY, Process
from leeward.model.raw import ProcessExec, ProcessExited, ProcessStarted, Segment, SocketOpened, SocketStats
from leeward.pipeline import Pipeline, Settings

HERE, RESOLVER = Endpoint("10.0.0.1", 50000), Endpoint("192.0.2.53", 53)


def message(name: str, address: str = "") -> bytes:
    """A question for A, or its answer."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    head = struct.pack(">6H", 7, 0x8180 if address else 0x0100, 1, bool(address), 0, 0)
    body = labels + b"\0\0\x01\0\x01"
    if address:
        body += b"\xc0\x0c\0\x01\0\x01" + struct.pack(">IH", 60, 4) + bytes(map(int, address.split(".")))
    return head + body


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


class Everybody:
    """Processes of which no more is known than their number."""

    def feed(self, event: ProcessStarted | ProcessExec | ProcessExited) -> None: ...

    def get(self, pid: int, ts: int) -> Process:
        return structs.replace(NOBODY, pid=pid)

    def stdio_client(self, pid: int, pipe: int, ts: int) -> int:
        return 0


class Host:
    """A pipeline that is fed the segments of one socket, or of two whose connection it is."""

    def __init__(self) -> None:
        self.acts: list[Activity] = []
        self.pipeline = Pipeline(Settings("x", record=self.acts.append), load_catalogue(), Everybody())
        self._next: dict[tuple[Endpoint, Endpoint], int] = {}
        self.ts = 1

    def opened(self, sock: int, pid: int, role: str, local: Endpoint = HERE, remote: Endpoint = RESOLVER) -> None:
        self.pipeline.feed(SocketOpened(self.ts, sock, pid, role, "tcp", local, remote))

    def send(self, data: bytes, *socks: int, asks: bool = True, lost: int = 0) -> None:
        """socks: the client's, then the server's; 0: a capture."""
        ends = (HERE, RESOLVER) if asks else (RESOLVER, HERE)
        seq = self._next.get(ends, 1) + lost
        self._next[ends] = seq + len(data)
        for sock in socks:
            local, remote = ends if not sock else (HERE, RESOLVER) if sock == socks[0] else (RESOLVER, HERE)
            self.ts += 1
            sent = True if not sock else local == ends[0]
            self.pipeline.feed(Segment(self.ts, sock, "tcp", local, remote, sent, seq, data, len(data)))

    def asked(self) -> list[NameAsked]:
        return [act for act in self.acts if isinstance(act, NameAsked)]


def test_a_question_and_its_answer() -> None:
    host = Host()
    host.opened(70, 7, "client")
    asked, answered = message("api.openai.com"), message("api.openai.com", "192.0.2.7")
    host.send(framed(asked)[:1], 70)
    host.send(framed(asked)[1:], 70)
    host.send(framed(answered), 70, asks=False)
    first, second = host.asked()
    assert (first.process.pid, first.name, first.rcode, first.size, first.server) == (
        7, "api.openai.com", -1, len(asked), RESOLVER,
    )  # fmt: skip
    assert (second.rcode, second.size, second.answers) == (0, len(answered), ("192.0.2.7",))
    assert host.pipeline.names.name_for("192.0.2.7", host.ts) == "api.openai.com"
    socket = host.pipeline.flows.find(70)
    assert socket is not None
    assert socket.flow.l7 == "dns"


def test_the_side_that_asks_is_told_once() -> None:
    host = Host()
    host.opened(70, 7, "client")
    host.opened(80, 8, "server", RESOLVER, HERE)
    for number in range(3):
        host.send(framed(message(f"n{number}.example")), 70, 80)
        host.send(framed(message(f"n{number}.example", "192.0.2.7")), 70, 80, asks=False)
    assert [(a.process.pid, a.name, a.rcode) for a in host.asked()] == [
        (7, f"n{number}.example", rcode) for number in range(3) for rcode in (-1, 0)
    ]


def test_a_resolver_here_asks_nothing_by_being_asked() -> None:
    host = Host()
    host.opened(80, 8, "server", RESOLVER, HERE)
    host.pipeline.feed(Segment(2, 80, "tcp", RESOLVER, HERE, False, 1, framed(message("a.example")), 29))
    assert host.asked() == []
    assert host.pipeline.totals().get("bad_dns") is None


def test_in_a_capture() -> None:
    host = Host()
    host.send(framed(message("a.example")), 0)
    host.send(framed(message("a.example", "192.0.2.7")), 0, asks=False)
    assert [(a.name, a.rcode, a.server) for a in host.asked()] == [
        ("a.example", -1, RESOLVER),
        ("a.example", 0, RESOLVER),
    ]
    socket = host.pipeline.flows.find(0, HERE, RESOLVER)
    assert socket is not None
    assert socket.flow.l7 == "dns"


@pytest.mark.parametrize("sock", [70, 0])
def test_a_message_as_long_as_a_hellos_first_bytes_say(sock: int) -> None:
    host = Host()
    if sock:
        host.opened(sock, 7, "client")
    long = message("a.example") + bytes(0x1603 - len(message("a.example")))
    for _ in range(2):
        host.send(framed(long), sock)
    assert [a.size for a in host.asked()] == [0x1603, 0x1603]


def test_bad_messages_are_counted_and_lost_bytes_end_it() -> None:
    host = Host()
    host.opened(70, 7, "client")
    host.send(framed(message("a.example")[:-2]), 70)
    host.send(framed(message("b.example")), 70)
    host.send(framed(message("d.example"))[:10], 70)
    host.send(b"e" * 10, 70, lost=5)
    host.pipeline.feed(SocketStats(host.ts, 70, 1, 1, 1, 1, True))
    totals = host.pipeline.totals()
    assert [a.name for a in host.asked()] == ["b.example"]
    assert (totals["bad_dns"], totals["dns_gaps"]) == (1, 1)


def test_http_at_this_port_is_http() -> None:
    host = Host()
    host.opened(70, 7, "client")
    host.send(b"GET /a HTTP/1.1\r\nHost: b.example\r\n\r\n", 70)
    host.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 70, asks=False)
    (http,) = [act for act in host.acts if isinstance(act, HttpSeen)]
    assert (http.host, http.path) == ("b.example", "/a")


def test_a_tunnel_is_found() -> None:
    host = Host()
    host.opened(70, 7, "client")
    rng = random.Random(1)
    records = []
    for _ in range(400):
        name = (
            ".".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=50)) for _ in range(3))
            + ".evil-zone.com"
        )
        data = framed(message(name))
        host.ts += 10**7
        seq = 1 + len(records) * len(data)
        records.append(host.pipeline.feed(Segment(host.ts, 70, "tcp", HERE, RESOLVER, True, seq, data, len(data))))
    rules = {getattr(record, "rule", "") for fed in records for record in fed}
    assert "dns-tunnel" in rules
