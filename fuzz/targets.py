"""The targets: a name, what is done with the fuzzer's bytes, and bytes to begin with.

A target fails by an exception, by more than `fuzz.__main__.MEMORY_MB`, or by taking more than `fuzz.__main__.SECONDS_EACH`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fuzz.steps import drive, seed, steps
from leeward.ai import jsontext
from leeward.ai.catalogue import Match
from leeward.ai.decode import DIALECTS, decode
from leeward.identity.cgroup import parse_cgroup
from leeward.identity.procfs import parse_cmdline, parse_stat, parse_uid
from leeward.model.errors import LeewardError
from leeward.model.message import Message
from leeward.sensor import packet
from leeward.sensor.elf import Elf, ElfError
from leeward.sensor.libraries import describe
from leeward.wire.content import ContentDecoder
from leeward.wire.decrypt import TlsDecryptor
from leeward.wire.dns import parse_dns
from leeward.wire.grpc import parse_grpc
from leeward.wire.http import Interest, Limits
from leeward.wire.http1 import Http1Connection
from leeward.wire.keylog import KeyLog
from leeward.wire.ndjson import parse_lines
from leeward.wire.protobuf import Reader
from leeward.wire.sse import parse_sse
from leeward.wire.tls import parse_client_hello, parse_server_hello

SMALL = Limits(body=4096, head=2048, pending=8, held=16384, early=1024, unsynced=4096)
_CODINGS = (["gzip"], ["deflate"], ["br"], ["zstd"], ["gzip", "br"])


class Target(msgspec.Struct, frozen=True):
    run: Callable[[bytes], Any]
    seeds: tuple[bytes, ...] = ()


def _interest(request: Message) -> Interest:
    return Interest.SKIP if request.target.startswith("/skip") else Interest.FULL


def http1(data: bytes) -> None:
    drive(Http1Connection(SMALL, _interest), data)


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


TARGETS: dict[str, Target] = {
    "http1": Target(http1, (seed((True, _REQUEST), (False, _CHUNKED)), seed((True, b"GET /skip HTTP/1.1\r\n\r\n")))),
    "content": Target(content),
    "tls": Target(tls),
    "keylog": Target(keylog, (b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"11" * 48 + b"\n",)),
    "dns": Target(parse_dns, (_DNS,)),
    "frames": Target(frames),
    "pcap": Target(pcap, (_PCAP, _PCAPNG)),
    "bodies": Target(bodies, (_SSE, _CHAT + b"\n" + _CHAT, b"\0\0\0\0\x02hi")),
    "json": Target(json, (_CHAT,)),
    "exchange": Target(exchange, tuple(bytes([i, i % 5]) + _CHAT + b"\0" + _SSE for i in range(len(_APIS)))),
    "protobuf": Target(protobuf),
    "elf": Target(elf, (_program(),)),
    "proc": Target(proc, (b"1 (a) S 1 1 1 0 -1 0 0 0", b"0::/system.slice/docker-abc.scope\n")),
}
