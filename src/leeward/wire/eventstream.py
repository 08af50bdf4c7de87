"""AWS event streams (application/vnd.amazon.eventstream): binary frames with headers, a payload and two checksums.

Source: Smithy 2.0, "Amazon Event Stream Specification": total length (4, big endian), headers length (4), CRC32 of these 8 bytes,
headers, payload, CRC32 of everything before. Invariant: never raises; ends at the first frame that is not one.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from struct import Struct
from uuid import UUID

import msgspec

_PRELUDE = Struct(">III")
_CRC = 4
_LARGEST = 24 << 20  # the specification allows 16 MiB of payload and 128 KiB of headers
_FIXED = {2: (1, True), 3: (2, True), 4: (4, True), 5: (8, True), 8: (8, True)}  # byte, short, integer, long, timestamp
Value = str | bytes | int | bool


class EventFrame(msgspec.Struct, frozen=True):
    """headers: by name. end: offset in the body after the frame. whole: nothing is missing and the checksum is right."""

    headers: dict[str, Value]
    payload: bytes
    end: int
    whole: bool

    def text(self, name: str) -> str:
        """The header `name` if it is a string, else ""."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


def parse_eventstream(body: bytes) -> Iterator[EventFrame]:
    """The frames of `body` in order, the last one perhaps cut."""
    at = 0
    while at + _PRELUDE.size <= len(body):
        total, headers, crc = _PRELUDE.unpack_from(body, at)
        if crc != binascii.crc32(body[at : at + 8]) or not _PRELUDE.size + headers + _CRC <= total <= _LARGEST:
            return
        start, end = at + _PRELUDE.size, at + total
        read = _headers(body[start : start + headers])
        if read is None:
            return
        payload = body[start + headers : min(end - _CRC, len(body))]
        whole = end <= len(body) and binascii.crc32(body[at : end - _CRC]) == int.from_bytes(
            body[end - _CRC : end], "big"
        )
        yield EventFrame(read, payload, min(end, len(body)), whole)
        at = end


def _headers(data: bytes) -> dict[str, Value] | None:
    """Name and value pairs; None if they are not well formed."""
    found: dict[str, Value] = {}
    at = 0
    while at < len(data):
        size = data[at]
        name, at = data[at + 1 : at + 1 + size].decode("utf-8", "replace"), at + 1 + size
        if at >= len(data):
            return None
        kind, at = data[at], at + 1
        length = {0: 0, 1: 0, 9: 16}.get(kind, _FIXED.get(kind, (0, True))[0])
        if kind in (6, 7):
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        raw, at = data[at : at + length], at + length
        if len(raw) < length or kind > 9 or at > len(data):
            return None
        found[name] = _value(kind, raw)
    return found


def _value(kind: int, raw: bytes) -> Value:
    if kind in _FIXED:
        return int.from_bytes(raw, "big", signed=True)
    if kind == 7:
        return raw.decode("utf-8", "replace")
    if kind == 9:
        return str(UUID(bytes=raw))
    return raw if kind == 6 else kind == 0
