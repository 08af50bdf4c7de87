"""Where a TLS library keeps the client random of a connection, found by looking for one that was seen on the wire.

For libraries whose symbols do not tell (stripped, or without a getter). 32 random bytes that are equal are equal for no other
reason: what is found is proven, and what is not found changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from struct import Struct

import msgspec

from leeward.sensor.layout import TLS_LAYOUT, UNKNOWN_OFFSET

_OBJECT = 2048  # bytes of the library's object that are searched
_BEHIND = 1024  # and of what its pointers lead to
_USER_SPACE = (0x10000, 1 << 47)
_POINTER = Struct("<Q")


class Place(msgspec.Struct, frozen=True):
    """pointer: offset in the object of a pointer to follow, None if there is none to follow. field: where the random is."""

    pointer: int | None
    field: int
    random: bytes


def find_random(pid: int, tls: int, randoms: Iterable[bytes]) -> Place | None:
    """Looks in process `pid` at the object `tls`, and one pointer further, for one of `randoms`."""
    wanted = list(randoms)
    if not wanted:
        return None
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return None  # it ended
    try:
        whole = _read(memory, tls, _OBJECT)
        for random in wanted:
            if (at := whole.find(random)) >= 0:
                return Place(None, at, random)
        for offset in range(0, len(whole) - 7, 8):
            (pointer,) = _POINTER.unpack_from(whole, offset)
            if not _USER_SPACE[0] <= pointer < _USER_SPACE[1]:
                continue
            behind = _read(memory, pointer, _BEHIND)
            for random in wanted:
                if (at := behind.find(random)) >= 0:
                    return Place(offset, at, random)
    finally:
        os.close(memory)
    return None


def _read(memory: int, address: int, size: int) -> bytes:
    """As much as is mapped of `size` bytes; it may end at a page."""
    for length in (size, -address % 4096):
        try:
            if length:
                return os.pread(memory, min(length, size), address)
        except (OSError, OverflowError):
            continue
    return b""


def with_random(layout: bytes, place: Place) -> bytes:
    """The layout (struct tls_layout) with what was found."""
    _, _, rbio, method, number, kind = TLS_LAYOUT.unpack(layout)
    pointer = UNKNOWN_OFFSET if place.pointer is None else place.pointer
    return TLS_LAYOUT.pack(pointer, place.field, rbio, method, number, kind)
