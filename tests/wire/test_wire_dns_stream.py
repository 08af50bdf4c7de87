"""DNS over TCP: messages behind their lengths, however the stream is cut; what is no DNS ends the reading."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.wire.dns import DnsMessage
from leeward.wire.dns_stream import DnsConnection, DnsReader, DnsSaid, NotDns, begins_dns


def question(name: str, ident: int = 7) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", ident, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\x10\0\x01"


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def names(found: list[tuple[DnsMessage | None, int]]) -> list[str]:
    return [message.questions[0][0] if message else "" for message, _ in found]


BAD = framed(question("a.example")[:-3])
label = st.from_regex(r"[a-z0-9]{1,30}", fullmatch=True)


@given(st.lists(label, min_size=1, max_size=12), st.lists(st.integers(0, 700), max_size=20))
def test_any_cut_gives_the_same_messages(labels: list[str], cuts: list[int]) -> None:
    asked = [f"{word}.example" for word in labels]
    stream = b"".join(framed(question(name)) for name in asked)
    reader, found = DnsReader(), []
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    for start, end in zip([0, *ends], ends, strict=False):
        found += reader.feed(stream[start:end])
    assert names(found) == asked
    assert [size for _, size in found] == [len(question(name)) for name in asked]
    assert len(reader) == 0
    assert not reader.ended


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_garbage_never_raises_and_memory_is_bounded(pieces: list[bytes]) -> None:
    reader = DnsReader()
    for piece in pieces:
        reader.feed(piece)
        assert len(reader) <= 65_536
        assert not reader.ended or len(reader) == 0


def test_one_message_that_is_not_whole_is_all_that_is_kept() -> None:
    reader = DnsReader()
    reader.feed(b"\xff\xff" + bytes(65_534))
    assert len(reader) == 65_536
    assert [size for _, size in reader.feed(b"\0" + framed(question("a.example")))] == [
        65_535,
        len(question("a.example")),
    ]
    assert len(reader) == 0


def test_a_bad_message_is_passed_over() -> None:
    stream = BAD + framed(b"short") + framed(b"") + framed(question("b.example"))
    reader = DnsReader()
    assert names(reader.feed(stream)) == ["", "", "", "b.example"]
    assert not reader.ended


@pytest.mark.parametrize("bad", [BAD, framed(b"eleven byte"), b"\0\0"], ids=["questions", "too short", "empty"])
def test_many_bad_messages_end_the_reading(bad: bytes) -> None:
    reader = DnsReader()
    assert len(reader.feed(bad * 40)) == 16
    assert reader.ended
    assert reader.feed(framed(question("b.example"))) == []
    assert len(reader) == 0


def test_lost_bytes_end_their_direction_only() -> None:
    connection = DnsConnection()
    (said,) = connection.feed(True, 1, framed(question("a.example")))
    assert isinstance(said, DnsSaid)
    assert connection.gap(True, 2, 10) == []
    assert connection.feed(True, 3, framed(question("b.example"))) == []
    assert len(connection.feed(False, 4, framed(question("a.example")))) == 1
    assert connection.gap(False, 5, 0) == [NotDns("not readable as DNS")]
    assert connection.gap(False, 6, 0) == []
    assert connection.counters == {"dns_gaps": 2}


def test_a_stream_that_never_was_dns_is_left_at_once() -> None:
    connection = DnsConnection()
    *said, last = connection.feed(True, 1, bytes(100))
    assert [event for event in said if isinstance(event, DnsSaid) and event.message is not None] == []
    assert last == NotDns("not readable as DNS")
    assert connection.counters == {"dns_ended": 1}


@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans())
def test_a_connection_never_raises(first: bytes, second: bytes, gap: bool) -> None:
    connection = DnsConnection()
    connection.feed(True, 1, first)
    if gap:
        connection.gap(True, 2, 0)
    connection.feed(False, 3, second)
    connection.feed(True, 4, second)
    connection.close(5)


@pytest.mark.parametrize(
    ("data", "dns"),
    [
        (framed(question("a.example")), True),
        (b"\0", True),
        (b"\x16\x03", True),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", False),
        (b"GET / HTTP/1.1\r\n", False),
        (b"PRI * HTTP/2.0\r\n", False),
        (b'{"method":"login"', False),
    ],
)
def test_what_a_connection_to_port_53_begins_with(data: bytes, dns: bool) -> None:
    assert begins_dns(data) is dns
