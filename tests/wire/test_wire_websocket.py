"""WebSocket, passively: what wsproto says is what comes out, however it is cut; what is odd is counted, never an error."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_http1_captures import read
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from leeward.wire.http import HttpEvent, Interest, Limits, Upgraded, WsClosed, WsMessage
from leeward.wire.http1 import Http1Connection
from leeward.wire.websocket import WebSocketConnection, deflates

PACKED = "permessage-deflate"
MESSAGES = st.one_of(
    st.text(max_size=300).map(lambda s: TextMessage(s)),
    st.binary(max_size=70_000).map(lambda b: BytesMessage(data=b)),
    st.sampled_from([Ping(b"p"), Pong(b"q" * 125)]),
)


def peers(extensions: str) -> dict[bool, Connection]:
    """A client's and a server's wsproto connection after the handshake."""
    found = {}
    for to_server, kind in ((True, ConnectionType.CLIENT), (False, ConnectionType.SERVER)):
        extension = PerMessageDeflate()
        if extensions and to_server:
            extension.offer()
            extension.finalize(extensions)
        elif extensions:
            extension.accept(extensions)
        found[to_server] = Connection(kind, [extension] if extensions else [])
    return found


def of(event: Event) -> tuple[bool, bytes]:
    return (True, event.data.encode()) if isinstance(event, TextMessage) else (False, bytes(event.data))


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        size = rng.choice((1, 2, 7, 100, 5000, len(data)))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def messages(events: list[HttpEvent]) -> list[WsMessage]:
    return [event for event in events if isinstance(event, WsMessage)]


def frame(payload: bytes, opcode: int = 1, *, first: int = 0x80, mask: bytes = b"") -> bytes:
    size = len(payload)
    long = struct.pack(">BH", 126, size)[:3] if size > 125 else bytes([size])
    marked = bytes([long[0] | (0x80 if mask else 0)]) + long[1:]
    body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload
    return bytes([first | opcode]) + marked + mask + body


@given(
    st.lists(st.tuples(st.booleans(), MESSAGES), max_size=8),
    st.sampled_from(
        [
            "",
            PACKED,
            f"{PACKED}; server_no_context_takeover; client_no_context_takeover",
            f"{PACKED}; server_max_window_bits=9",
        ]
    ),
    st.randoms(use_true_random=False),
)
def test_what_was_sent_comes_out(said: list[tuple[bool, Event]], extensions: str, rng: random.Random) -> None:
    both, passive = peers(extensions), WebSocketConnection(Limits(), extensions)
    events: list[HttpEvent] = []
    for ts, (to_server, event) in enumerate(said, 1):
        for piece in cut(both[to_server].send(event), rng):
            events += passive.feed(to_server, ts, piece)
    got = [(m.to_server, m.text, m.data) for m in messages(events)]
    wanted = [(s, *of(e)) for s, e in said if isinstance(e, TextMessage | BytesMessage)]
    assert got == wanted
    assert all(m.complete and m.size == len(m.data) for m in messages(events))
    assert passive.close(9) == [WsClosed(9, 1006, "")]


def test_fragments_with_a_ping_between_them() -> None:
    passive = WebSocketConnection(Limits(), "")
    mask = b"\x01\x02\x03\x04"
    events = passive.feed(True, 1, frame(b"Hel", first=0, mask=mask))
    events += passive.feed(True, 2, frame(b"!", 9, mask=mask) + frame(b"lo", 0, first=0, mask=mask))
    events += passive.feed(True, 3, frame(b"", 0, mask=mask))
    assert [(m.data, m.start, m.end, m.complete) for m in messages(events)] == [(b"Hello", 1, 3, True)]
    assert passive.counters["ws_pings"] == 1


def test_the_first_close_frame_is_told() -> None:
    both, passive = peers(""), WebSocketConnection(Limits(), "")
    passive.feed(False, 1, both[False].send(CloseConnection(code=1013, reason="try again")))
    passive.feed(True, 2, both[True].send(CloseConnection(code=1000)))
    assert passive.close(5) == [WsClosed(5, 1013, "try again")]
    assert passive.close(6) == []


def with_a_hole(at: int) -> tuple[list[WsMessage], WebSocketConnection]:
    """Two messages of which two bytes are missing."""
    stream = frame(b"0123456789abcdef") + frame(b"second", 2)
    passive = WebSocketConnection(Limits(), "")
    events = passive.feed(False, 1, stream[:at]) + passive.gap(False, 2, 2) + passive.feed(False, 3, stream[at + 2 :])
    return messages(events), passive


def test_a_hole_inside_a_payload_is_counted_over() -> None:
    got, _ = with_a_hole(12)
    assert [(m.data, m.gap, m.complete, m.size) for m in got] == [
        (b"0123456789cdef", True, False, 16),
        (b"second", False, True, 6),
    ]


def test_a_hole_in_a_head_ends_the_direction() -> None:
    got, passive = with_a_hole(18)
    assert [m.data for m in got] == [b"0123456789abcdef"]
    assert passive.counters["ws_lost_gap"] == 1


def test_a_message_that_is_cut_comes_out_at_the_end() -> None:
    passive = WebSocketConnection(Limits(), "")
    assert passive.feed(False, 1, frame(b"half of it")[:6]) == []
    (message, closed) = passive.close(4)
    assert isinstance(message, WsMessage)
    assert (message.data, message.complete, message.anomalies) == (b"half", False, ["cut-message"])
    assert isinstance(closed, WsClosed)


def test_limits_hold() -> None:
    limits = Limits(body=1000, expansion=4)
    passive = WebSocketConnection(limits, "")
    (message,) = messages(passive.feed(False, 1, frame(b"x" * 3000)))
    assert (len(message.data), message.size, message.truncated, message.complete) == (1000, 3000, True, True)
    z = zlib.compressobj(wbits=-15)
    bomb = z.compress(b"\0" * 10_000_000) + z.flush(zlib.Z_SYNC_FLUSH)
    packed = WebSocketConnection(limits, PACKED)
    (message,) = messages(packed.feed(False, 1, frame(bomb[:-4], first=0xC0)))
    assert len(message.data) == 1000
    assert message.size <= 4000 + (1 << 16)
    assert message.anomalies == ["expansion-limit"]
    (after,) = messages(packed.feed(False, 2, frame(bomb[:100], first=0xC0)))
    assert (after.data, after.anomalies) == (b"", ["window-lost"])


@pytest.mark.parametrize(
    "bad", [b"\x83\x00", b"\xb1\x00", b"\x89\x7e\x00\x80", b"\x09\x00", b"\xc1\x00", b"\x82\x7f" + b"\xff" * 8]
)
def test_what_is_no_frame_ends_the_direction(bad: bytes) -> None:
    passive = WebSocketConnection(Limits(), "")
    assert passive.feed(True, 1, bad + b"rest") == []
    assert passive.counters["ws_lost_bad_frame"] == 1
    assert messages(passive.feed(False, 1, frame(b"still read")))[0].data == b"still read"


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["feed", "gap"]), st.binary(max_size=200)), max_size=30),
    st.sampled_from(["", PACKED]),
)
def test_anything_is_taken(steps: list[tuple[bool, str, bytes]], extensions: str) -> None:
    limits = Limits(body=256)
    passive = WebSocketConnection(limits, extensions)
    events: list[HttpEvent] = []
    for to_server, what, data in steps:
        events += passive.feed(to_server, 1, data) if what == "feed" else passive.gap(to_server, 1, len(data))
    events += passive.close(2)
    assert all(len(m.data) <= limits.body for m in messages(events))
    assert isinstance(events[-1], WsClosed)


def test_extensions() -> None:
    assert deflates("foo, permessage-deflate; Server_No_Context_Takeover") == {True: True, False: False}
    assert deflates("x-webkit-deflate-frame") is None


def test_http_hands_over() -> None:
    """What follows the answer's head in the same piece is the first frame."""
    http = Http1Connection(Limits(), lambda request: Interest.FULL)
    http.feed(True, 1, b"GET /realtime HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"
    events = http.feed(False, 2, answer + frame(b"welcome"))
    events += http.feed(True, 3, frame(b"hello", mask=b"abcd"))
    events += http.close(4)
    assert isinstance(events[0], Upgraded)
    assert [m.data for m in messages(events)] == [b"welcome", b"hello"]
    assert isinstance(events[-1], WsClosed)


FOLDER = Path(__file__).parents[2].parent / "shared/data/pcap/zeek/websocket"
#: capture → messages to the server, from it, what the last of them begins with, the close frame's code
CAPTURES = {
    "two-binary-fragments.pcap": (1, 1, b"Hello there!", 1000),
    "reply-ping-coalesced.pcap": (1, 1, b"Hello there!", 1000),
    "reply-ping-separate.pcap": (1, 1, b"Hello there!", 1000),
    "fragmented-http-reply.pcap": (1, 1, b"HTTP/1.1 200 OK", 1000),
    "oversized-close-frame.pcapng": (0, 0, b"", 1006),
}


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no captures at {FOLDER}")
@pytest.mark.parametrize("name", CAPTURES)
def test_captures(name: str) -> None:
    events, _ = read(FOLDER / name)
    got = messages(events)
    up, down, last, code = CAPTURES[name]
    assert (sum(m.to_server for m in got), sum(not m.to_server for m in got)) == (up, down)
    assert all(m.complete for m in got)
    assert (got[-1].data if got else b"").startswith(last)
    assert [e.code for e in events if isinstance(e, WsClosed)] == [code]


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no captures at {FOLDER}")
def test_a_tunnel_is_whole() -> None:
    """SSH through wstunnel: its two banners are the first messages, and no frame is lost."""
    events, _ = read(FOLDER / "wstunnel-ssh.pcap")
    got = messages(events)
    assert [m.data[:8] for m in got[:2]] == [b"SSH-2.0-", b"SSH-2.0-"]
    assert all(m.complete and not m.text for m in got)
    assert sum(m.size for m in got) > 20_000
