"""Where a TLS library keeps the client random of a connection, found by looking for those that were seen on the wire.

For libraries whose symbols do not tell (stripped, or without a getter). 32 random bytes that are equal are equal for no other
reason, but they may lie in a buffer that is not the field: what holds for one session is tried on the next, and only what held
for several is given to the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from struct import Struct

import msgspec

from leeward.sensor.layout import TLS_LAYOUT, UNKNOWN_OFFSET

_OBJECT = 2048  # bytes of the library's object that are searched
_BEHIND = 1024  # and of what its pointers lead to
_USER_SPACE = (0x10000, 1 << 47)
_POINTER = Struct("<Q")
_SESSIONS = 3  # a place that held for so many is the field; for two, if it is the only one
_MOST_LOOKS = 256  # of a library; what was not found by then will not be


class Place(msgspec.Struct, frozen=True, order=True):
    """pointer: offset in the object of a pointer to follow, -1 if there is none to follow. field: where the random is."""

    pointer: int
    field: int


class Calibration:
    """What the sessions of one library said. place: the field, once it is certain."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self._held: dict[Place, set[bytes]] = {}
        self._looks = 0

    def look(self, pid: int, tls: int, randoms: Iterable[bytes]) -> bytes:
        """The client random of the object `tls` of process `pid`, one of `randoms`; b"" if it cannot be told."""
        if self.place is not None or self._looks >= _MOST_LOOKS:
            return b""
        self._looks += 1
        return self.judge(dict(find_randoms(pid, tls, randoms)))

    def judge(self, found: dict[Place, bytes]) -> bytes:
        """One session's randoms by place. Returns which of them is its own."""
        if not found:
            return b""
        kept = {place: held | {found[place]} for place, held in self._held.items() if place in found}
        self._held = kept or {place: {random} for place, random in found.items()}
        best = min(self._held, key=lambda place: (-len(self._held[place]), place))
        sessions = len(self._held[best])
        if sessions >= _SESSIONS or (sessions == _SESSIONS - 1 and len(self._held) == 1):
            self.place = best
        return found[best] if sessions > 1 or len(set(found.values())) == 1 else b""


def find_randoms(pid: int, tls: int, randoms: Iterable[bytes]) -> Iterator[tuple[Place, bytes]]:
    """Where in the object `tls` of process `pid`, and one pointer further, one of `randoms` lies."""
    wanted = list(randoms)
    if not wanted:
        return
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return  # it ended
    try:
        whole = _read(memory, tls, _OBJECT)
        yield from _find(-1, whole, wanted)
        for offset in range(0, len(whole) - 7, 8):
            (pointer,) = _POINTER.unpack_from(whole, offset)
            if _USER_SPACE[0] <= pointer < _USER_SPACE[1]:
                yield from _find(offset, _read(memory, pointer, _BEHIND), wanted)
    finally:
        os.close(memory)


def _find(pointer: int, data: bytes, wanted: list[bytes]) -> Iterator[tuple[Place, bytes]]:
    for random in wanted:
        at = data.find(random)
        while at >= 0:
            yield Place(pointer, at), random
            at = data.find(random, at + 1)


def _read(memory: int, address: int, size: int) -> bytes:
    """As much as is mapped of `size` bytes; it may end at a page."""
    for length in (size, -address % 4096):
        try:
            if length:
                return os.pread(memory, min(length, size), address)
        except (OSError, OverflowError):
            continue
    return b""


def place_in(layout: bytes) -> Place:
    """Where the layout (struct tls_layout) says that the random is."""
    pointer, field, *_ = TLS_LAYOUT.unpack(layout)
    return Place(-1 if pointer == UNKNOWN_OFFSET else pointer, field)


def with_place(layout: bytes, place: Place, reused: bool) -> bytes:
    """The layout with what was found, now certain enough to tell by it that an object is `reused`."""
    _, _, *others, _ = TLS_LAYOUT.unpack(layout)
    return TLS_LAYOUT.pack(UNKNOWN_OFFSET if place.pointer < 0 else place.pointer, place.field, *others, reused)
