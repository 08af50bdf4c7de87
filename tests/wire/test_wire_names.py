"""TLS hellos and DNS messages: where names come from."""

from __future__ import annotations

import contextlib
import ssl

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR

from leeward.wire.dns import NameTable, parse_dns
from leeward.wire.tls import ClientHello, NeedMore, parse_client_hello, parse_server_hello

SECOND = 10**9


def real_hello(name: str, alpn: list[str]) -> bytes:
    """A client hello of this Python's OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):  # it waits for an answer that nobody gives
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def test_a_real_hello() -> None:
    data = real_hello("API.OpenAI.com", ["h2", "http/1.1"])
    hello = parse_client_hello(data)
    assert isinstance(hello, ClientHello)
    assert hello.sni == "api.openai.com"
    assert hello.alpn == ("h2", "http/1.1")
    assert 0x0304 in hello.versions
    assert hello.client_random in data
    assert len(hello.client_random) == 32
    for end in range(len(data)):
        assert isinstance(parse_client_hello(data[:end]), NeedMore)
    assert parse_client_hello(data + b"more") == hello


def test_a_hello_over_several_records() -> None:
    data = real_hello("example.com", ["h2"])
    body = data[5:]
    parts = [body[:7], body[7:100], body[100:]]
    split = b"".join(b"\x16\x03\x01" + len(p).to_bytes(2) + p for p in parts)
    assert parse_client_hello(split) == parse_client_hello(data)


@given(st.binary(max_size=400))
def test_garbage_is_no_hello(data: bytes) -> None:
    parse_client_hello(data)
    parse_server_hello(data)
    parse_client_hello(b"\x16\x03\x01" + len(data).to_bytes(2) + data)
    assert parse_client_hello(b"GET / HTTP/1.1\r\n" + data) is None


@given(st.integers(0, 600), st.integers(0, 255))
def test_a_damaged_hello_never_raises(at: int, byte: int) -> None:
    data = bytearray(real_hello("example.com", ["h2"]))
    data[at % len(data)] = byte
    parse_client_hello(bytes(data))


def answer(name: str, records: list[DNSRR]) -> bytes:
    return bytes(DNS(id=7, qr=1, qd=DNSQR(qname=name), an=records))


def test_the_asked_name_is_the_connections_name() -> None:
    records = [
        DNSRR(rrname="api.openai.com", type="CNAME", ttl=60, rdata="api.openai.com.cdn.example.net"),
        DNSRR(rrname="api.openai.com.cdn.example.net", type="A", ttl=60, rdata="192.0.2.7"),
        DNSRR(rrname="api.openai.com.cdn.example.net", type="AAAA", ttl=60, rdata="2001:db8::7"),
        DNSRR(rrname="unrelated.example", type="A", ttl=60, rdata="192.0.2.99"),
    ]
    message = parse_dns(answer("API.openai.com", records))
    assert message is not None
    names = NameTable()
    names.learn(0, message)
    assert names.name_for("192.0.2.7", SECOND) == "api.openai.com"
    assert names.name_for("2001:db8::7", SECOND) == "api.openai.com"
    assert names.name_for("192.0.2.99", SECOND) == ""
    assert names.name_for("192.0.2.7", 3600 * SECOND) == ""


def test_what_was_read_before_the_damage_stands() -> None:
    whole = answer("a.example", [DNSRR(rrname="a.example", type="A", ttl=60, rdata=f"192.0.2.{n}") for n in (1, 2)])
    for cut, data, damaged in ((0, ["192.0.2.1", "192.0.2.2"], False), (1, ["192.0.2.1"], True), (30, [], True)):
        message = parse_dns(whole[: len(whole) - cut])
        assert message is not None
        assert ([a.data for a in message.answers], message.damaged) == (data, damaged)


def test_questions_teach_nothing_and_the_table_is_bounded() -> None:
    names = NameTable(limit=10)
    for n in range(50):
        message = parse_dns(
            answer(f"h{n}.example", [DNSRR(rrname=f"h{n}.example", type="A", ttl=9, rdata=f"192.0.2.{n}")])
        )
        assert message is not None
        names.learn(0, message)
    assert names.counters["names_evicted"] == 40
    question = parse_dns(bytes(DNS(qd=DNSQR(qname="q.example"))))
    assert question is not None
    assert not question.response
    assert question.questions == (("q.example", 1),)


def test_compression_loops_end() -> None:
    loop = b"\0\1\x80\0\0\1\0\0\0\0\0\0" + b"\xc0\x0c" + b"\0\1\0\1"
    assert parse_dns(loop) is None


@given(st.binary(max_size=300))
def test_dns_garbage_never_raises(data: bytes) -> None:
    parse_dns(data)
    parse_dns(b"\0\1\x80\0\0\1\0\5\0\0\0\0" + data)
