"""Undoes content and transfer codings (gzip, deflate, br, zstd) of a body as it arrives.

Invariants: what a piece of input decodes to comes out with that piece (a server-sent event is there when its bytes
are); no stage puts out more than `most` bytes in all, so that a bomb costs memory and time in proportion to `most`,
not to what it claims; nothing here raises on any input: what is odd gets a name in `anomalies`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

import brotli
import zstandard

CODINGS = 4
"""Codings undone on one body; nobody stacks more, and each costs a decoder's state (curl stops at 5)."""
_MEMBERS = 32  # gzip members a body: each restart copies what is left of the input
_ZSTD_WINDOW = 8 << 20  # RFC 9659: "Window_Size of no more than 8 MB" for the zstd content coding
_HELD = 4096  # bytes kept in case they turn out never to have been encoded

ALIASES = {"x-gzip": "gzip"}
"""RFC 9110 §8.4.1.3: "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"."""


class _Stage(Protocol):
    """One coding. `feed` gives what came out and, if it cannot go on, why ("" if it can); "expansion-limit" when more
    than `room` came out. `ended`: the coding's own end was seen."""

    def feed(self, data: bytes, room: int) -> tuple[bytes, str]: ...
    def ended(self) -> bool: ...


class _Gzip:
    def __init__(self) -> None:
        self._z = zlib.decompressobj(31)
        self._members = 1

    def feed(self, data: bytes, room: int) -> tuple[bytes, str]:
        out, trouble = b"", ""
        # the check sum is in the last 8 bytes: if it is wrong, zlib gives nothing at all for the call that holds it
        for part in (data[:-8], data[-8:]):
            while part and not trouble:
                piece, part, trouble = self._step(part, room - len(out))
                out += piece
        return out, trouble

    def _step(self, data: bytes, room: int) -> tuple[bytes, bytes, str]:
        """(what came out, what input is left, trouble)"""
        if self._z.eof:
            data = data.lstrip(b"\0")  # gzip(1) ignores zero padding after a member
            if not data:
                return b"", b"", ""
            # RFC 1952 §2.2: "A gzip file consists of a series of "members""
            if data[0] != 0x1F:
                return b"", b"", "trailing-bytes"
            self._members += 1
            if self._members > _MEMBERS:
                return b"", b"", "gzip-members"
            self._z = zlib.decompressobj(31)
        try:
            out = self._z.decompress(data, room + 1)
        except zlib.error:
            return b"", b"", "bad-gzip"
        return out, self._z.unused_data, "expansion-limit" if len(out) > room else ""

    def ended(self) -> bool:
        return self._z.eof


class _Deflate:
    """RFC 9110 §8.4.1.2: "Some non-conformant implementations send the "deflate" compressed data without the zlib
    wrapper"."""

    def __init__(self) -> None:
        self._z = zlib.decompressobj(zlib.MAX_WBITS)
        self._head: bytes | None = b""

    def feed(self, data: bytes, room: int) -> tuple[bytes, str]:
        if self._head is not None:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return b"", ""
            self._head = None
            # RFC 1950 §2.2: CM = 8, and CMF*256 + FLG is a multiple of 31
            if data[0] & 15 != 8 or int.from_bytes(data[:2], "big") % 31:
                self._z = zlib.decompressobj(-zlib.MAX_WBITS)
        if self._z.eof:
            return b"", "trailing-bytes"
        try:
            out = self._z.decompress(data, room + 1)
        except zlib.error:
            return b"", "bad-deflate"
        if len(out) > room:
            return out, "expansion-limit"
        return out, "trailing-bytes" if self._z.unused_data else ""

    def ended(self) -> bool:
        return self._z.eof


class _Brotli:
    def __init__(self) -> None:
        self._d = brotli.Decompressor()

    def feed(self, data: bytes, room: int) -> tuple[bytes, str]:
        if self._d.is_finished():
            return b"", "trailing-bytes"
        out = b""
        try:
            out += self._d.process(data, output_buffer_limit=room + 1)
            while len(out) <= room and not self._d.can_accept_more_data():
                out += self._d.process(b"", output_buffer_limit=room + 1 - len(out))
        except brotli.error:
            return out, "bad-br"
        return out, "expansion-limit" if len(out) > room else ""

    def ended(self) -> bool:
        return bool(self._d.is_finished())


class _Sink:
    """What a zstd decoder writes into. It does not know the decoder: the library's objects are not found by the garbage
    collector, so a decoder in a cycle would stay for good."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.size = self.room = 0

    def write(self, data: bytes) -> int:
        """Called by the library with each piece of output."""
        self.out.append(bytes(data))
        self.size += len(data)
        if self.size > self.room:
            raise OverflowError
        return len(data)


class _Zstd:
    """Through `stream_writer`, which hands on at most 128 KiB at a time and stops when its writer raises:
    `decompressobj` would put out all that the input says."""

    def __init__(self) -> None:
        self._sink = _Sink()
        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._w = decoder.stream_writer(self._sink, closefd=False)  # type: ignore[arg-type]

    def feed(self, data: bytes, room: int) -> tuple[bytes, str]:
        sink = self._sink
        sink.out, sink.size, sink.room = [], 0, room
        trouble = ""
        try:
            self._w.write(data)
        except zstandard.ZstdError:
            trouble = "bad-zstd"
        except OverflowError:
            trouble = "expansion-limit"
        return b"".join(sink.out), trouble

    def ended(self) -> bool:
        return True  # the library does not say


_STAGES: dict[str, type[_Gzip] | type[_Deflate] | type[_Brotli] | type[_Zstd]] = {
    "gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


class ContentDecoder:
    """Undoes `codings`, given in the order they were applied (RFC 9110 §8.4), at most `most` bytes of output a stage.

    anomalies: "unknown-encoding" (what that coding holds is passed on as it is), "bad-gzip", "bad-deflate", "bad-br",
    "bad-zstd", "trailing-bytes", "gzip-members", "expansion-limit", "short-encoding". stopped: no more will come out.
    """

    def __init__(self, codings: Sequence[str], most: int) -> None:
        self.anomalies: list[str] = []
        self.stopped = False
        self._most = most
        self._stages: list[_Stage] = []
        self._sizes: list[int] = []
        self._fed = 0
        self._held: bytearray | None = bytearray()
        for name in reversed([c for c in codings if c not in ("identity", "")]):
            stage = _STAGES.get(ALIASES.get(name, name))
            if stage is None or len(self._stages) == CODINGS:
                self.anomalies.append("unknown-encoding" if stage is None else "too-many-encodings")
                break
            self._stages.append(stage())
            self._sizes.append(0)

    def feed(self, data: bytes) -> bytes:
        """What `data` decodes to, given all that came before."""
        if not self._stages:
            return data
        if self.stopped or not data:
            return b""
        self._fed += len(data)
        if self._held is not None:
            self._held += data
        for i, stage in enumerate(self._stages):
            room = self._most - self._sizes[i]
            data, trouble = stage.feed(data, room)
            data = data[:room]
            self._sizes[i] += len(data)
            if trouble and not data and self._held is not None and trouble != "expansion-limit":
                return self._never_encoded(trouble)
            if trouble:
                self.anomalies.append(trouble)
                self.stopped = True
            if not data:
                break
        if data or self._fed > _HELD:
            self._held = None
        return data

    def _never_encoded(self, anomaly: str) -> bytes:
        """Nothing was ever decoded and now nothing can be: the header lied, the body is passed on as it is."""
        self.anomalies.append(anomaly)
        raw, self._held, self._stages = bytes(self._held or b""), None, []
        return raw

    def gap(self) -> None:
        """Input is missing: a decoder cannot go on, an identity can."""
        self.stopped = self.stopped or bool(self._stages)

    def end(self) -> bytes:
        """The input ended as it should. Returns what was held back."""
        if self.stopped or not self._fed or all(stage.ended() for stage in self._stages):
            return b""
        if self._held is not None:
            return self._never_encoded("short-encoding")
        self.anomalies.append("short-encoding")
        return b""
