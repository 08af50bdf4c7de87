"""MySQL's packets out of one direction's bytes, and the compressed frames that may be around them.

Source: MySQL documentation, "MySQL Packets" and "Compression"; MariaDB documentation, "0-packet" (the same). Invariants: never
raises on any bytes; of a packet no more is kept than its reader asked for; a frame is unpacked as it arrives and never to more
than the 16 MiB it may claim; what is missing of a frame is known to the byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from leeward.wire.content import ContentDecoder

FULL = 0xFFFFFF
"""A packet of this size goes on in the next one ("Sending More Than 16Mb")."""
_FRAME_HEAD = 7


class Packet(msgspec.Struct):
    """seq, last: numbers of its first and its last part. size: bytes of payload that passed. payload: as far as kept. cut: it is
    not whole because of what its reader asked for. gap: bytes of it were never seen; headless: its first one is among them."""

    seq: int
    last: int
    size: int = 0
    payload: bytes = b""
    cut: bool = False
    gap: bool = False
    headless: bool = False


Keep = Callable[[int], int]
"""How many bytes of a packet with this number are wanted."""


class Packets:
    """Cuts bytes into packets."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._kept = bytearray()
        self._under_way: Packet | None = None
        self._room = self._left = 0
        self._goes_on = False  # the part under way is not the last one

    @property
    def between(self) -> bool:
        """Nothing of a packet has been seen yet."""
        return self._under_way is None and not self._head

    def next(self, data: bytes, at: int, keep: Keep) -> tuple[int, Packet | None]:
        """Reads on at `at`: where it stopped, and the packet that ended there, if one did."""
        if self.between and (whole := _whole(data, at, keep)) is not None:
            return at + 4 + whole.size, whole
        if not self._left:
            at = self._read_head(data, at, keep)
            if self._head:
                return at, None
        packet = self._under_way
        if packet is None:
            return at, None
        end = min(len(data), at + self._left)
        kept = min(end, at + max(0, self._room - len(self._kept)))
        self._kept += data[at:kept]
        packet.cut |= kept < end
        self._left -= end - at
        return end, self._part_over() if not self._left else None

    def gap(self, size: int) -> tuple[bool, Packet | None]:
        """`size` bytes are missing. (they are all of the packet under way; the packet that ended with them)"""
        if self._under_way is None or self._head or not 0 < size <= self._left:
            return False, None
        self._under_way.gap = True
        self._under_way.headless |= not self._kept
        self._left -= size
        return True, self._part_over() if not self._left else None

    def reset(self) -> None:
        """What was under way is lost."""
        self._head.clear()
        self._kept.clear()
        self._under_way, self._left, self._goes_on = None, 0, False

    def _read_head(self, data: bytes, at: int, keep: Keep) -> int:
        piece = data[at : at + 4 - len(self._head)]
        self._head += piece
        if len(self._head) == 4:
            size, seq = int.from_bytes(self._head[:3], "little"), self._head[3]
            self._head.clear()
            if self._under_way is None:
                self._under_way, self._room = Packet(seq, seq), keep(seq)
            self._under_way.last = seq
            self._under_way.size += size
            self._left, self._goes_on = size, size == FULL
        return at + len(piece)

    def _part_over(self) -> Packet | None:
        packet = self._under_way
        if self._goes_on or packet is None:
            return None
        packet.payload = bytes(self._kept)
        self.reset()
        return packet


def _whole(data: bytes, at: int, keep: Keep) -> Packet | None:
    """The packet that begins at `at`, if all of it is there: most are, and this is quicker."""
    head = data[at : at + 4]
    size = int.from_bytes(head[:3], "little")
    if len(head) < 4 or size == FULL or at + 4 + size > len(data):
        return None
    seq = head[3]
    kept = data[at + 4 : at + 4 + min(size, keep(seq))]
    return Packet(seq, seq, size, kept, len(kept) < size)


class Frames:
    """Unpacks compressed frames (7 bytes of head: size, number, size unpacked; 0: it is not compressed)."""

    def __init__(self, coding: str, counters: Counter[str]) -> None:
        self._coding, self._counters = coding, counters
        self._head = bytearray()
        self._left = self._owed = 0  # bytes still to come, packed and unpacked
        self._decoder: ContentDecoder | None = None
        self._broken = False

    def next(self, data: bytes, at: int) -> tuple[int, bytes, int]:
        """Reads on at `at`: where it stopped, what that unpacks to, and how many bytes are missing after it."""
        if not self._left:
            piece = data[at : at + _FRAME_HEAD - len(self._head)]
            self._head += piece
            if len(self._head) == _FRAME_HEAD:
                self._begin()
            return at + len(piece), b"", 0 if self._left else self._owe()
        end = min(len(data), at + self._left)
        self._left -= end - at
        if self._decoder is None:
            return end, data[at:end], 0
        clear = b"" if self._broken else self._decoder.feed(data[at:end])
        if self._decoder.anomalies and not self._broken:
            self._counters["sql_bad_compression"] += 1
            self._broken = True
            return end, b"", self._owe()
        self._owed -= len(clear)
        return end, clear, 0 if self._left else self._owe()

    def gap(self, size: int) -> tuple[bool, int]:
        """`size` bytes are missing. (they are all of the frame under way; so many bytes are missing of what it holds)"""
        if not 0 < size <= self._left:
            return False, 0
        self._left -= size
        if self._decoder is None:
            return True, size
        self._broken = True
        return True, self._owe()

    def reset(self) -> None:
        """What was under way is lost."""
        self._head.clear()
        self._left = self._owed = 0

    def _begin(self) -> None:
        size, owed = int.from_bytes(self._head[:3], "little"), int.from_bytes(self._head[4:], "little")
        self._head.clear()
        self._left, self._owed, self._broken = size, owed, False
        self._decoder = ContentDecoder([self._coding], owed) if owed else None

    def _owe(self) -> int:
        owed, self._owed = self._owed, 0
        return owed


def plausible(data: bytes, first: int | None, begins: Callable[[int], bool], step: int) -> bool:
    """Does `data` begin with packets? Three are looked at. first: the number of the first one, None: any. begins: may a packet
    begin with this byte? step: between the numbers of packets that follow each other."""
    at, seq = 0, first
    for _ in range(3):
        if at >= len(data):
            break
        if len(data) - at < 5:
            return at > 0
        size, found = int.from_bytes(data[at : at + 3], "little"), data[at + 3]
        if not size or (seq is not None and found != seq) or not begins(data[at + 4]):
            return False
        seq = (found + step) & 255
        at += 4 + size
    return True


def plausible_frame(data: bytes, first: int) -> bool:
    """Does `data` begin with a compressed frame of this number? What would not get smaller is not compressed."""
    if len(data) < _FRAME_HEAD or data[3] != first:
        return False
    size, clear = int.from_bytes(data[:3], "little"), int.from_bytes(data[4:7], "little")
    return size > 0 and (not clear or clear > size)
