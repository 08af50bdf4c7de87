"""The messages in a gRPC body: length-prefixed, each compressed or not.

Source: gRPC over HTTP2 (grpc/grpc doc/PROTOCOL-HTTP2.md): a flag (1 byte: compressed), a length (4, big endian), the message.
Invariant: never raises; output is bounded by `most` whatever a message claims.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct

import msgspec

_PREFIX = Struct(">BI")
_WINDOW = {"gzip": 31, "deflate": 15}


class Frame(msgspec.Struct, frozen=True):
    """data: the message, decompressed. end: offset in the body after it. whole: nothing of it is missing."""

    data: bytes
    end: int
    whole: bool


def parse_grpc(body: bytes, encoding: str = "", most: int = 4 << 20) -> Iterator[Frame]:
    """Messages of `body` in order, the last one perhaps cut. encoding: the value of grpc-encoding.

    Ends at a flag that the protocol does not know: what follows is not gRPC."""
    at = 0
    while at + _PREFIX.size <= len(body):
        flag, size = _PREFIX.unpack_from(body, at)
        if flag > 1:
            return
        start = at + _PREFIX.size
        data = body[start : start + size]
        at = start + size
        whole = at <= len(body)
        if flag:
            data, whole = _expand(data, encoding, most, whole)
        most = max(0, most - len(data))
        yield Frame(data, min(at, len(body)), whole)


def _expand(data: bytes, encoding: str, most: int, whole: bool) -> tuple[bytes, bool]:
    """(the message as far as it can be had, whether that is all)"""
    window = _WINDOW.get(encoding.strip().lower())
    if window is None:
        return b"", False
    engine = zlib.decompressobj(window)
    try:
        out = engine.decompress(data, most + 1)
    except zlib.error:
        return b"", False
    return out[:most], whole and engine.eof and len(out) <= most
