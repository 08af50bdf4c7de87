"""TCP reassembly: whatever order, repetition or splitting, the same two streams; what is missing is a gap."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.model.net import Endpoint
from leeward.model.raw import Segment
from leeward.wire.stream import StreamClosed, StreamData, StreamEvent, StreamGap, StreamOpened
from leeward.wire.tcp import TcpLimits, TcpStreams

CLIENT, SERVER = Endpoint("10.0.0.1", 50000), Endpoint("10.0.0.2", 443)


def segment(up: bool, seq: int, data: bytes = b"", *, ts: int = 1, size: int | None = None, flags: str = "") -> Segment:
    local, remote = (CLIENT, SERVER) if up else (SERVER, CLIENT)
    length = len(data) if size is None else size
    syn, fin, rst, ack = (letter in flags for letter in "sfra")
    return Segment(
        ts, 0, "tcp", local, remote, True, seq & 0xFFFFFFFF, data, length, syn, fin, rst, syn_ack=syn and ack
    )


def run(segments: list[Segment], limits: TcpLimits | None = None) -> tuple[list[StreamEvent], TcpStreams]:
    streams = TcpStreams(limits)
    events = [event for s in segments for event in streams.feed(s)]
    return events + streams.flush(9), streams


def stream(events: list[StreamEvent], up: bool) -> bytes:
    return b"".join(e.data for e in events if isinstance(e, StreamData) and e.to_server is up)


@given(
    st.binary(min_size=1, max_size=2000),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 200), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_any_order_and_repetition_gives_the_stream(data: bytes, isn: int, cuts: list[int], rng: random.Random) -> None:
    pieces, at = [], 0
    while at < len(data):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append((at, data[at : at + size]))
        at += size
    shuffled = pieces + rng.sample(pieces, min(3, len(pieces)))
    rng.shuffle(shuffled)
    # never more than the bounds hold back
    limits = TcpLimits(held_segments=10000)
    segments = [segment(True, isn, flags="s"), *(segment(True, isn + 1 + at, part) for at, part in shuffled)]
    events, _ = run(segments, limits)
    assert stream(events, True) == data
    assert not any(isinstance(e, StreamGap) for e in events)


@given(st.binary(min_size=10, max_size=300), st.integers(1, 9), st.integers(0, 8))
def test_overlaps_come_out_once(data: bytes, step: int, extra: int) -> None:
    segments = [segment(True, 100 + at, data[at : at + step + extra]) for at in range(0, len(data), step)]
    events, _ = run([segment(True, 99, flags="s"), *segments])
    assert stream(events, True) == data


def test_both_directions_and_the_end() -> None:
    events, _ = run(
        [
            segment(True, 1, flags="s"),
            segment(False, 500, flags="sa"),
            segment(True, 2, b"GET /"),
            segment(False, 501, b"HTTP/1.1"),
            segment(True, 7, flags="f"),
            segment(False, 509, flags="f"),
        ]
    )
    assert events[0] == StreamOpened(1, events[0].conn, CLIENT, SERVER, True)
    assert (stream(events, True), stream(events, False)) == (b"GET /", b"HTTP/1.1")
    assert isinstance(events[-1], StreamClosed)
    assert events[-1].reason == "fin"


@pytest.mark.parametrize(
    ("first", "client"),
    [
        (segment(False, 5, b"HTTP/1.1 200 OK\r\n"), CLIENT),
        (segment(True, 5, b"POST /v1 HTTP/1.1\r\n"), CLIENT),
        (segment(False, 5, b"\x17\x03\x03rest"), CLIENT),  # the higher port is the client's
    ],
)
def test_joined_in_the_middle(first: Segment, client: Endpoint) -> None:
    events, _ = run([first])
    assert isinstance(events[0], StreamOpened)
    assert (events[0].client, events[0].from_start) == (client, False)


@pytest.mark.parametrize(("first", "client"), [("s", SERVER), ("sa", CLIENT)])
def test_a_syn_says_who_opened_whatever_the_ports(first: str, client: Endpoint) -> None:
    events, _ = run([segment(False, 5, flags=first)])
    assert isinstance(events[0], StreamOpened)
    assert (events[0].client, events[0].from_start) == (client, True)


def test_a_hole_that_never_fills_is_a_gap() -> None:
    limits = TcpLimits(held_segments=2)
    late = [segment(True, 100 + 10 * n, b"x" * 10) for n in range(2, 6)]
    events, streams = run([segment(True, 99, flags="s"), segment(True, 100, b"a" * 10), *late], limits)
    gaps = [e for e in events if isinstance(e, StreamGap)]
    assert [(g.to_server, g.size) for g in gaps] == [(True, 10)]
    assert stream(events, True) == b"a" * 10 + b"x" * 40
    assert streams.counters["tcp_gaps"] == 1


def test_a_cut_segment_is_a_gap() -> None:
    events, _ = run([segment(True, 1, b"abc", size=10), segment(True, 11, b"def")])
    assert [(e.size) for e in events if isinstance(e, StreamGap)] == [7]
    assert stream(events, True) == b"abcdef"


def test_the_same_addresses_again_are_another_connection() -> None:
    one = [segment(True, 1, flags="s"), segment(True, 2, b"a"), segment(True, 3, flags="r")]
    two = [segment(True, 9000, flags="s"), segment(True, 9001, b"b")]
    events, _ = run(one + two)
    opened = [e.conn for e in events if isinstance(e, StreamOpened)]
    assert len(set(opened)) == 2


def test_connections_are_bounded() -> None:
    streams = TcpStreams(TcpLimits(connections=100))
    for port in range(1000):
        streams.feed(Segment(1, 0, "tcp", Endpoint("10.0.0.1", 1000 + port), SERVER, True, 1, b"x", 1))
    assert len(streams) == 100
    assert streams.counters["tcp_evicted"] == 900


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.integers(0, 2**32 - 1), st.binary(max_size=20), st.sampled_from(["", "s", "f", "r"])
        ),
        max_size=40,
    )
)
def test_anything_is_taken(pieces: list[tuple[bool, int, bytes, str]]) -> None:
    events, _ = run([segment(up, seq, data, flags=flags) for up, seq, data, flags in pieces])
    closed = [e.conn for e in events if isinstance(e, StreamClosed)]
    opened = [e.conn for e in events if isinstance(e, StreamOpened)]
    assert sorted(map(str, closed)) == sorted(map(str, opened))
