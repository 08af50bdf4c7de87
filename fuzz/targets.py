"""The targets: a name, what is done with the fuzzer's bytes, and bytes to begin with.

A target fails by an exception, by more than `fuzz.__main__.MEMORY_MB`, or by taking more than `fuzz.__main__.SECONDS_EACH`.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fuzz.steps import drive, seed, steps
from leeward.ai import jsontext
from leeward.ai.a2a import A2aHttp
from leeward.ai.catalogue import Match, default_catalogue
from leeward.ai.decode import DIALECTS, decode
from leeward.ai.hearing import Hearing
from leeward.ai.mcp_http import McpHttp
from leeward.ai.multipart import MAX_PARTS, read_multipart
from leeward.ai.stdio import StdioSessions
from leeward.identity.cgroup import parse_cgroup
from leeward.identity.procfs import parse_cmdline, parse_stat, parse_uid
from leeward.model.errors import LeewardError
from leeward.model.message import Message
from leeward.model.raw import Piped
from leeward.sensor import packet
from leeward.sensor.elf import Elf, ElfError
from leeward.sensor.libraries import describe
from leeward.wire.content import ContentDecoder
from leeward.wire.decrypt import TlsDecryptor
from leeward.wire.dns import parse_dns
from leeward.wire.dns_stream import DnsConnection
from leeward.wire.eventstream import parse_eventstream
from leeward.wire.grpc import parse_grpc
from leeward.wire.hpack import HpackDecoder
from leeward.wire.http import Interest, Limits, Upgraded, WsClosed, WsMessage
from leeward.wire.http1 import Http1Connection
from leeward.wire.http2 import Http2Connection
from leeward.wire.http2_frames import PREFACE
from leeward.wire.keylog import KeyLog
from leeward.wire.mysql import MysqlConnection
from leeward.wire.mysql_messages import COMPRESS, DEPRECATE_EOF, PROTOCOL_41, QUERY_ATTRIBUTES, ZSTD
from leeward.wire.mysql_values import TYPES as MYSQL_TYPES
from leeward.wire.mysql_values import Kind
from leeward.wire.mysql_values import binary as mysql_binary
from leeward.wire.ndjson import parse_lines
from leeward.wire.postgres import PostgresConnection
from leeward.wire.postgres_values import TYPES, binary
from leeward.wire.protobuf import Reader
from leeward.wire.quic import QuicHellos
from leeward.wire.sql import SqlLimits, about
from leeward.wire.sse import parse_sse
from leeward.wire.tls import parse_client_hello, parse_server_hello
from leeward.wire.websocket import WebSocketConnection

SMALL = Limits(body=4096, head=2048, pending=8, held=16384, early=1024, unsynced=4096)
_CODINGS = (["gzip"], ["deflate"], ["br"], ["zstd"], ["gzip", "br"])


class Target(msgspec.Struct, frozen=True):
    run: Callable[[bytes], Any]
    seeds: tuple[bytes, ...] = ()


def _interest(request: Message) -> Interest:
    return Interest.SKIP if request.target.startswith("/skip") else Interest.FULL


def http1(data: bytes) -> None:
    drive(Http1Connection(SMALL, _interest), data)


def http2(data: bytes) -> None:
    """With the preface (an even first byte) or joined late."""
    connection = Http2Connection(SMALL, _interest)
    if data[:1] and not data[0] & 1:
        connection.feed(True, 0, PREFACE)
    drive(connection, data[1:])


def hpack(data: bytes) -> None:
    """Blocks of one connection, divided by lengths."""
    decoder = HpackDecoder()
    at = 0
    while at < len(data):
        size = data[at]
        headers = decoder.decode(data[at + 1 : at + 1 + size]) or []
        assert sum(len(h[0]) + len(h[1]) for h in headers) < 1 << 20
        at += 1 + size


def websocket(data: bytes) -> None:
    drive(WebSocketConnection(SMALL, "permessage-deflate" if data[:1] > b"\x7f" else ""), data[1:])


_SESSIONS = (
    ("api.openai.com", "/v1/realtime?model=m"),
    ("api.openai.com", "/v1/responses"),
    (
        "generativelanguage.googleapis.com",
        "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    ),
)


def session(data: bytes) -> None:
    """Which API, then messages, one a line; those of the server begin with a space."""
    if not data:
        return
    host, target = _SESSIONS[data[0] % len(_SESSIONS)]
    hearing = Hearing(default_catalogue())
    request = Message(index=0, method="GET", target=target, headers=[("host", host)])
    hearing.session(0, host, 443, Upgraded(request, Message(index=0, status=101)))
    found = []
    for number, line in enumerate(data[1:].split(b"\n")):
        message = WsMessage(not line.startswith(b" "), number, number, True, line, len(line), True)
        found += hearing.session(0, "", 0, message)
    found += hearing.session(0, "", 0, WsClosed(99, 1000, ""))
    msgspec.json.encode([timed.exchange for timed in found])


def rpc(data: bytes) -> None:
    """MCP and A2A over HTTP, MCP over standard input and output: requests and answers, divided by NULs."""
    mcp, a2a = McpHttp(), A2aHttp(default_catalogue())
    stdio = StdioSessions(lambda pid: None, line=4096)
    found = []
    seqs = {True: 0, False: 0}
    for number, part in enumerate(data.split(b"\0")[:16]):
        asked, _, answered = part.partition(b"\x01")
        kind = "text/event-stream" if answered[:1] in b"de" else "application/json"
        headers = [("content-type", "application/json"), ("mcp-session-id", str(number % 3))]
        request = Message(index=number, method="POST", target="/mcp", headers=headers, body=asked, complete=True)
        response = Message(index=number, status=200, headers=[("content-type", kind)], body=answered, complete=True)
        for peer in (mcp, a2a):
            found += peer.exchange(request, response) or []
        for written, piece in ((False, asked), (True, answered)):
            event = Piped(number, 1, 1, seqs[written], written, 0, len(piece), piece)
            found += stdio.feed(event)
            seqs[written] += 1
    found += mcp.close(99)
    found += [timed for _, timed in stdio.finish(99)]
    msgspec.json.encode([timed.exchange for timed in found])


def postgres(data: bytes) -> None:
    """After a startup (an even first byte) or from nothing."""
    connection = PostgresConnection(SqlLimits(rows=50, held=4096, value=512, prepared=8, pending=8))
    if data[:1] and not data[0] & 1:
        connection.feed(True, 0, b"\0\0\0\x10\0\3\0\0user\0a\0\0")
    drive(connection, data[1:])
    binary(sorted(TYPES)[data[0] % len(TYPES)] if data else 0, data[1:])


_MYSQL = (
    0,
    PROTOCOL_41,
    *(PROTOCOL_41 | DEPRECATE_EOF | more for more in (0, QUERY_ATTRIBUTES, COMPRESS, ZSTD, 0x1D << 32)),
)


def mysql(data: bytes) -> None:
    """After a login with one of these capabilities, or from nothing."""
    connection = MysqlConnection(SqlLimits(rows=50, held=4096, value=512, prepared=8, pending=8))
    can = _MYSQL[data[0] % len(_MYSQL)] if data else 0
    if can:
        words = (can & 0xFFFFFFFF).to_bytes(4, "little") + bytes(24) + (can >> 32).to_bytes(4, "little")
        connection.feed(True, 0, b"\x23\0\0\2" + words + b"a\0\0")
        connection.feed(False, 0, b"\x07\0\0\3\0\0\0\2\0\0\0")
    drive(connection, data[1:])
    if data:
        with contextlib.suppress(ValueError, IndexError, struct.error):  # bytes are missing, its docstring says
            code = sorted(MYSQL_TYPES)[data[0] % len(MYSQL_TYPES)]
            mysql_binary(Kind(code, data[0] & 0x60, data[0], data[0] & 31), data, 1, 64)


def quic(data: bytes) -> None:
    """Datagrams of two connections, each after its length in two bytes; the protection is not undone by chance, so the real
    one is in the seeds."""
    hellos = QuicHellos()
    at = number = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        hellos.feed(number % 2, data[at + 2 : at + 2 + size])
        at, number = at + 2 + size, number + 1


def dns_stream(data: bytes) -> None:
    drive(DnsConnection(), data)


def multipart(data: bytes) -> None:
    form, _ = read_multipart(data, "multipart/form-data; boundary=b")
    assert sum(len(v) if isinstance(v, list) else 1 for v in form.values()) <= MAX_PARTS
    msgspec.json.encode(form)


def statement(data: bytes) -> None:
    about(data.decode("utf-8", "replace"))


def content(data: bytes) -> None:
    decoder = ContentDecoder(_CODINGS[data[0] % len(_CODINGS)] if data else [], 1 << 16)
    total = 0
    for _, _, piece in steps(data[1:]):
        total += len(decoder.feed(piece))
    total += len(decoder.end())
    assert total <= max((1 << 16) + 4096, len(data)), total


def tls(data: bytes) -> None:
    parse_client_hello(data)
    parse_server_hello(data)
    decryptor = TlsDecryptor(KeyLog())
    for number, (kind, to_server, piece) in enumerate(steps(data)):
        if kind == "gap":
            decryptor.gap(to_server)
        else:
            decryptor.feed(to_server, number, piece)


def keylog(data: bytes) -> None:
    with contextlib.suppress(LeewardError):  # a key log that cannot be read is the user's error, told in one line
        KeyLog.parse(data)


def frames(data: bytes) -> None:
    counters: Counter[str] = Counter()
    packet.decode((0, 1, 101, 113, 276)[data[0] % 5] if data else 1, 0, data[1:], len(data), counters)


def bodies(data: bytes) -> None:
    list(parse_sse(data))
    list(parse_lines(data))
    list(parse_eventstream(data))
    assert sum(len(f.data) for f in parse_grpc(data, "gzip", 1 << 16)) <= max(len(data), 1 << 16)


def json(data: bytes) -> None:
    read = jsontext.load(data)
    if read.value is not None:
        jsontext.dumps(read.value).encode()


_APIS = sorted(DIALECTS)


def exchange(data: bytes) -> None:
    """Which API, whether streamed, then request and response bodies, divided by a NUL."""
    if len(data) < 3:
        return
    api, kind = _APIS[data[0] % len(_APIS)], data[1] % 6
    asked, _, answered = data[2:].partition(b"\0")
    types = ("application/json", "text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream",
             "application/grpc", "multipart/form-data; boundary=b")  # fmt: skip
    request = Message(index=0, method="POST", target="/v1/x", body=asked, headers=[("content-type", types[kind])])
    response = Message(
        index=0, status=400 if data[1] > 200 else 200, body=answered, headers=[("content-type", types[kind])]
    )
    found = decode(request, response, Match("openai", api, "chat", True))
    if found is not None:
        msgspec.json.encode(found)


def protobuf(data: bytes) -> None:
    from leeward.ai.grpc_bodies import methods

    known = sorted(methods())
    schema, (asked, _) = methods()[known[data[0] % len(known)]] if data else methods()[known[0]]
    msgspec.json.encode(Reader(schema).read(asked, data[1:]))


def elf(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        describe(Path(file.name), "/lib/libssl.so.3")
        with contextlib.suppress(ElfError), Elf(Path(file.name)) as read:
            read.symbol("SSL_write")
            read.function(0x1000)
            read.references({0x1000})


def proc(data: bytes) -> None:
    parse_stat(data)
    parse_uid(data)
    parse_cmdline(data)
    parse_cgroup(data)


def pcap(data: bytes) -> None:
    from leeward.sensor.pcap import Capture

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(LeewardError):  # no capture at all: told in one line
            for _ in Capture(Path(file.name)):
                pass


_REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
_CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
_SSE = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n'

_PCAP = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000") + bytes(8) + b"\x2a\0\0\0" * 2 + bytes(42)
_PCAPNG = bytes.fromhex("0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000") + bytes.fromhex(
    "01000000140000000100000000000000" + "14000000"
)
_DNS = bytes.fromhex(
    "123481800001000200000000" + "03617069066f70656e616903636f6d0000010001" + "c00c00050001000000100002c010"
)


def _program() -> bytes:
    """The beginning of an ELF file, if there is one at hand."""
    path = Path("/bin/true")
    return path.read_bytes()[:8192] if path.exists() else b"\x7fELF\x02\x01"


_HEADERS_FRAME = bytes.fromhex("000000040000000000" + "000004010500000001" + "82868441")
_EVENTS = b"""{"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"text": "a"}]}}
{"type": "response.create"}
 {"type": "response.created", "response": {"id": "r"}}
 {"type": "response.output_text.delta", "response_id": "r", "delta": "b"}
 {"type": "response.done", "response": {"id": "r", "status": "completed", "output": [], "usage": {"input_tokens": 1}}}"""
_TURNS = b"""{"setup": {"model": "models/m"}}
{"clientContent": {"turns": [{"role": "user", "parts": [{"text": "a"}]}], "turnComplete": true}}
 {"serverContent": {"modelTurn": {"parts": [{"text": "b"}]}}}
 {"serverContent": {"turnComplete": true}, "usageMetadata": {"promptTokenCount": 1}}"""
_CALL = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a", "arguments": {}}}'
_RESULT = b'{"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "b"}]}}'
_ROWS = (
    bytes.fromhex("5400000019000161000000000000000000001700040000000000")
    + b"D\0\0\0\x0b\0\1\0\0\0\x011C\0\0\0\x0dSELECT 1\0"
)


def _mysql_packets(first: int, *bodies: str) -> bytes:
    """Numbered from `first` on; bodies are hexadecimal."""
    parts = [bytes.fromhex(body) for body in bodies]
    return b"".join(len(part).to_bytes(3, "little") + bytes([first + n]) + part for n, part in enumerate(parts))


_MYSQL_COLUMN = "03646566 0173 0174 0174 0161 0161 0c 3f00 0b000000 03 0100 00 0000"
_MYSQL_ROWS = _mysql_packets(1, "01", _MYSQL_COLUMN, "023432", "fe000002000000")
_MYSQL_PREPARED = _mysql_packets(1, "00 01000000 0000 0100 00 0000", _MYSQL_COLUMN)
_MYSQL_EXECUTE = _mysql_packets(0, "17 01000000 00 01000000 00 01 0300 05000000")

_FORM = b"""--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b\r
Content-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"""


def _initials() -> list[bytes]:
    """A client's first datagrams, of both versions."""
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.packet import QuicProtocolVersion

    found = []
    for version in (QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2):
        client = QuicConnection(configuration=QuicConfiguration(server_name="a.b", original_version=version))
        client.connect(("10.0.0.1", 443), now=0.0)
        found += [data for data, _ in client.datagrams_to_send(now=0.0)]
    return found


TARGETS: dict[str, Target] = {
    "http1": Target(http1, (seed((True, _REQUEST), (False, _CHUNKED)), seed((True, b"GET /skip HTTP/1.1\r\n\r\n")))),
    "http2": Target(http2, (b"\0" + seed((True, _HEADERS_FRAME)),)),
    "hpack": Target(hpack, (b"\x04\x82\x86\x84\x41",)),
    "websocket": Target(
        websocket, (b"\0" + seed((False, b"\x81\x05Hello"), (True, b"\x81\x85abcd)\x07\x0f\x08\x0e")),)
    ),
    "session": Target(session, (b"\0" + _EVENTS, b"\2" + _TURNS)),
    "rpc": Target(rpc, (_CALL + b"\x01" + _RESULT,)),
    "postgres": Target(postgres, (b"\0" + seed((True, b"Q\0\0\0\x0dselect 1\0"), (False, _ROWS)),)),
    "mysql": Target(
        mysql,
        (
            b"\2" + seed((True, b"\x09\0\0\0\x03select 1"), (False, _MYSQL_ROWS)),
            b"\2" + seed((True, b"\x09\0\0\0\x16select ?"), (False, _MYSQL_PREPARED), (True, _MYSQL_EXECUTE)),
        ),
    ),
    "statement": Target(statement, (b"select a.b from \"c\" d, e where f in (1, 'x') -- g",)),
    "quic": Target(quic, tuple(len(d).to_bytes(2) + d for d in _initials())),
    "multipart": Target(multipart, (_FORM,)),
    "content": Target(content),
    "tls": Target(tls),
    "keylog": Target(keylog, (b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"11" * 48 + b"\n",)),
    "dns": Target(parse_dns, (_DNS,)),
    "dns_stream": Target(
        dns_stream, (seed((True, len(_DNS).to_bytes(2) + _DNS), (False, len(_DNS).to_bytes(2) + _DNS)),)
    ),
    "frames": Target(frames),
    "pcap": Target(pcap, (_PCAP, _PCAPNG)),
    "bodies": Target(bodies, (_SSE, _CHAT + b"\n" + _CHAT, b"\0\0\0\0\x02hi")),
    "json": Target(json, (_CHAT,)),
    "exchange": Target(exchange, tuple(bytes([i, i % 5]) + _CHAT + b"\0" + _SSE for i in range(len(_APIS)))),
    "protobuf": Target(protobuf),
    "elf": Target(elf, (_program(),)),
    "proc": Target(proc, (b"1 (a) S 1 1 1 0 -1 0 0 0", b"0::/system.slice/docker-abc.scope\n")),
}
