"""HTTP/2 frames of one direction, as bytes arrive (RFC 9113 §4), and where frames begin when the connection was joined late.

Invariant: at most one frame's payload is held, and none longer than `LONGEST`; DATA is handed on in the pieces in which it comes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 §3.4
HEAD = 9
LONGEST = 1 << 18  # of a frame that is not DATA; its sender may send 2^14 unless told otherwise, and nobody is
_LARGEST = (1 << 24) - 1
_SCAN = 1 << 16  # bytes looked through for the beginning of a frame


class Kind(enum.IntEnum):
    """RFC 9113 §6."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_FLAGS = {  # those that are defined for a kind of frame
    Kind.DATA: END_STREAM | PADDED,
    Kind.HEADERS: END_STREAM | END_HEADERS | PADDED | PRIORITY,
    Kind.PRIORITY: 0,
    Kind.RST_STREAM: 0,
    Kind.SETTINGS: ACK,
    Kind.PUSH_PROMISE: END_HEADERS | PADDED,
    Kind.PING: ACK,
    Kind.GOAWAY: 0,
    Kind.WINDOW_UPDATE: 0,
    Kind.CONTINUATION: END_HEADERS,
}
_SIZES = {Kind.PRIORITY: 5, Kind.RST_STREAM: 4, Kind.PING: 8, Kind.WINDOW_UPDATE: 4}
_ON_CONNECTION = (Kind.SETTINGS, Kind.PING, Kind.GOAWAY)
_USUAL = 1 << 14  # RFC 9113 §6.5.2: the initial SETTINGS_MAX_FRAME_SIZE


class Frame(msgspec.Struct, frozen=True):
    """A frame, or a piece of a DATA frame's data (padding left out). last: its last piece."""

    kind: int
    flags: int
    stream: int
    data: bytes
    last: bool = True


class FrameReader:
    """Fed one direction, the client's without its preface. lost: the beginning of a frame is looked for; `skipped` counts bytes
    passed over meanwhile."""

    def __init__(self, *, lost: bool) -> None:
        self.lost = lost
        self.skipped = 0
        self._buffer = bytearray()
        self._head: tuple[int, int, int] | None = None  # kind, flags, stream of the DATA frame that is coming
        self._left = self._padding = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        if not data:
            return
        position = 0
        while True:
            if self._head is not None:
                position, frame = self._more_data(data, position)
                if frame is not None:
                    yield frame
                if self._head is not None:
                    return
            self._buffer += data[position:]
            position, data = 0, b""
            if self.lost and not self._find():
                return
            frame = self._take()
            if frame is not None:
                yield frame
            if self._head is not None:  # the rest of the buffer belongs to it
                data, self._buffer = bytes(self._buffer), bytearray()
            elif frame is None:
                return

    def gap(self, size: int) -> int:
        """`size` bytes are missing. Returns the stream whose DATA they were within, 0 if the direction is lost."""
        if self._head is not None and 0 < size < self._left:
            self._left -= size
            return self._head[2]
        self.lost, self._head = True, None
        self.skipped += len(self._buffer)
        self._buffer.clear()
        return 0

    def _more_data(self, data: bytes, position: int) -> tuple[int, Frame | None]:
        """Data of a DATA frame from `position` on: (where it stopped, the piece)."""
        assert self._head is not None
        kind, flags, stream = self._head
        end = min(len(data), position + self._left)
        if end == position and self._left:
            return position, None
        piece = data[position:end]
        self._left -= end - position
        if self._left < self._padding:  # RFC 9113 §6.1: padding comes last
            piece = piece[: max(0, len(piece) - (self._padding - self._left))]
            self._padding = min(self._padding, self._left)
        if not self._left:
            self._head = None
        return end, Frame(kind, flags, stream, piece, self._head is None)

    def _take(self) -> Frame | None:
        """A whole frame of the buffer's beginning, or the start of a DATA frame; None if it has to wait."""
        buffer = self._buffer
        while True:
            if len(buffer) < HEAD:
                return None
            size = int.from_bytes(buffer[:3], "big")
            kind, flags = buffer[3], buffer[4]
            stream = int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
            if kind == Kind.DATA:
                padded = flags & PADDED and size > 0
                if padded and len(buffer) < HEAD + 1:
                    return None
                self._padding = min(buffer[HEAD], size - 1) if padded else 0
                self._left = size - bool(padded)
                del buffer[: HEAD + bool(padded)]
                self._head = (kind, flags, stream)
                if not self._left:
                    self._head = None
                    return Frame(kind, flags, stream, b"")
                return None
            if size > LONGEST:
                self.lost = True
                self.skipped += len(buffer)
                buffer.clear()
                return None
            if len(buffer) < HEAD + size:
                return None
            payload = bytes(buffer[HEAD : HEAD + size])
            del buffer[: HEAD + size]
            return Frame(kind, flags, stream, payload)

    def _find(self) -> bool:
        """Drops bytes up to what looks like the beginning of a frame; False if there is none yet."""
        buffer = self._buffer
        for at in range(max(0, min(len(buffer) - HEAD + 1, _SCAN))):
            begins = plausible(buffer, at)
            if begins is False:
                continue
            self.skipped += at
            del buffer[:at]
            self.lost = begins is None and len(buffer) <= _SCAN
            return not self.lost
        if len(buffer) >= HEAD:
            self.skipped += len(buffer) - HEAD + 1
            del buffer[: len(buffer) - HEAD + 1]
        return False


def plausible(data: bytes | bytearray, at: int) -> bool | None:
    """Do frames begin here: a head that makes sense, and where it says that the next one begins, again? None: more bytes are
    needed to tell."""
    for number in range(3):
        if at + HEAD > len(data):
            return True if number and at == len(data) else None
        size = int.from_bytes(data[at : at + 3], "big")
        kind, flags = data[at + 3], data[at + 4]
        stream = int.from_bytes(data[at + 5 : at + 9], "big")
        if kind > Kind.CONTINUATION or stream >> 31 or flags & ~_FLAGS[Kind(kind)] or size > _USUAL:
            return False
        if _SIZES.get(Kind(kind), size) != size or (kind in _ON_CONNECTION) != (
            stream == 0 and kind != Kind.WINDOW_UPDATE
        ):
            return False
        if kind == Kind.SETTINGS and size % 6:
            return False
        at += HEAD + size
        if at > len(data):
            return True if number or kind in (Kind.DATA, Kind.HEADERS) else None
    return True
