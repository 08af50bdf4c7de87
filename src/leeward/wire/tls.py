"""TLS hellos from the first bytes of a stream (RFC 8446, RFC 5246). Pure; never raises on garbage."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

_HANDSHAKE = 22  # RFC 8446 5.1 ContentType
_CLIENT_HELLO, _SERVER_HELLO = 1, 2  # RFC 8446 4
_MOST = 1 << 16
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS, _ECH = 0, 16, 43, 0xFE0D  # IANA TLS ExtensionType Values
_RETRY_RANDOM = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")  # RFC 8446 4.1.3


class NeedMore(msgspec.Struct, frozen=True):
    """The hello is not whole yet."""


class ClientHello(msgspec.Struct, frozen=True):
    """client_random: 32 bytes. sni: lower case, "" if none. versions: offered. extensions: ids in order of appearance."""

    client_random: bytes
    session_id: bytes
    sni: str
    alpn: tuple[str, ...]
    versions: tuple[int, ...]
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    ech: bool


class ServerHello(msgspec.Struct, frozen=True):
    """version: negotiated (0x0303 is TLS 1.2, 0x0304 is 1.3). retry: a HelloRetryRequest."""

    server_random: bytes
    version: int
    cipher: int
    extensions: tuple[int, ...]
    retry: bool


class _Short(Exception):
    """A field goes beyond its container."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise _Short
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def _message(data: bytes) -> tuple[int, bytes] | NeedMore | None:
    """Type and body of the first handshake message, which may be spread over records. None: there is none."""
    body = bytearray()
    at = 0
    while True:
        if len(data) - at < 5:
            return NeedMore() if len(data) < _MOST else None
        if data[at] != _HANDSHAKE or data[at + 1] != 3:
            return None
        length = int.from_bytes(data[at + 3 : at + 5])
        if length == 0 or length > 0x4000 + 256:
            return None
        part = data[at + 5 : at + 5 + length]
        body += part
        if len(body) >= 4:
            size = int.from_bytes(body[1:4])
            if size > _MOST:
                return None
            if len(body) >= 4 + size:
                return body[0], bytes(body[4 : 4 + size])
        if len(part) < length:
            return NeedMore()
        at += 5 + length


def _extensions(reader: _Reader) -> Iterator[tuple[int, bytes]]:
    if not reader.left:
        return
    inner = _Reader(reader.vector(2))
    while inner.left:
        yield inner.number(2), inner.vector(2)


def _name(raw: bytes) -> str:
    return "".join(
        c if c.isprintable() and c not in " \\" else f"\\x{ord(c):02x}" for c in raw.decode("latin-1").lower()
    )


def parse_client_hello(data: bytes) -> ClientHello | NeedMore | None:
    """From the stream's first bytes. None: it does not begin with a ClientHello that can be read."""
    found = _message(data)
    if not isinstance(found, tuple):
        return found
    return client_hello(found[1]) if found[0] == _CLIENT_HELLO else None


def client_hello(body: bytes) -> ClientHello | None:
    """A ClientHello's body."""
    try:
        return _client_hello(_Reader(body))
    except _Short:
        return None


def _client_hello(reader: _Reader) -> ClientHello:
    legacy = reader.number(2)
    random, session = reader.take(32), reader.vector(1)
    ciphers = reader.vector(2)
    reader.vector(1)  # compression methods
    sni, alpn, versions, ids, ech = "", [], [legacy], [], False
    for kind, body in _extensions(reader):
        ids.append(kind)
        inner = _Reader(body)
        if kind == _SERVER_NAME and body:  # RFC 6066 3
            names = _Reader(inner.vector(2))
            if names.number(1) == 0:
                sni = _name(names.vector(2))
        elif kind == _ALPN:  # RFC 7301 3.1
            protocols = _Reader(inner.vector(2))
            while protocols.left:
                alpn.append(_name(protocols.vector(1)))
        elif kind == _SUPPORTED_VERSIONS:
            listed = inner.vector(1)
            versions = [int.from_bytes(listed[i : i + 2]) for i in range(0, len(listed) - 1, 2)]
        elif kind == _ECH:
            ech = True
    pairs = tuple(int.from_bytes(ciphers[i : i + 2]) for i in range(0, len(ciphers) - 1, 2))
    return ClientHello(random, session, sni, tuple(alpn), tuple(versions), pairs, tuple(ids), ech)


def parse_server_hello(data: bytes) -> ServerHello | NeedMore | None:
    """The same for the server's side."""
    found = _message(data)
    if not isinstance(found, tuple):
        return found
    return server_hello(found[1]) if found[0] == _SERVER_HELLO else None


def server_hello(body: bytes) -> ServerHello | None:
    """A ServerHello's body."""
    reader = _Reader(body)
    try:
        version, random = reader.number(2), reader.take(32)
        reader.vector(1)
        cipher = reader.number(2)
        reader.take(1)
        ids = []
        for kind, value in _extensions(reader):
            ids.append(kind)
            if kind == _SUPPORTED_VERSIONS and len(value) == 2:
                version = int.from_bytes(value)
    except _Short:
        return None
    return ServerHello(random, version, cipher, tuple(ids), random == _RETRY_RANDOM)
