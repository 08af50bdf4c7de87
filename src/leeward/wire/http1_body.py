"""HTTP/1 bodies as they arrive: the chunked coding, and keeping what was decoded within bounds.

Invariants: work is linear in the bytes fed; at most the limits' bytes are kept, and all are counted.
"""

from __future__ import annotations

import enum
import re
from typing import Protocol

from leeward.model.message import Message
from leeward.wire.content import ContentDecoder
from leeward.wire.http import Limits


class Budget:
    """Bytes that a connection's unfinished messages hold together."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = 0


class Keeps(Protocol):
    """What is fed the bytes of a body, transfer framing undone."""

    def add(self, data: bytes) -> None: ...


class Keeper:
    """Decodes and keeps the body of one message; the message's fields are brought up to date by `mark` and `end`."""

    __slots__ = ("_budget", "_decoder", "_kept", "_limits", "_message", "_size", "_told")

    def __init__(self, message: Message, codings: tuple[str, ...], limits: Limits, budget: Budget) -> None:
        self._message, self._limits, self._budget = message, limits, budget
        self._decoder = ContentDecoder(codings, limits.body * limits.expansion) if codings else None
        self._kept = bytearray()
        self._size = 0
        self._told = 0

    def add(self, data: bytes) -> None:
        """Bytes of the body, transfer framing undone."""
        if self._decoder is not None:
            data = self._decoder.feed(data)
            self._hear(self._decoder)
        self._size += len(data)
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        room = min(self._limits.body - len(self._kept), self._limits.held - self._budget.used)
        if len(data) > room:
            self._message.truncated = True
            data = data[: max(room, 0)]
        self._kept += data
        self._budget.used += len(data)

    def _hear(self, decoder: ContentDecoder) -> None:
        for name in decoder.anomalies[self._told :]:
            self._message.anomalies.append(name)
            self._message.truncated |= name == "expansion-limit"
        self._told = len(decoder.anomalies)

    def mark(self, ts: int) -> None:
        """An arrival is over: notes how many bytes are there by now."""
        marks, size = self._message.marks, self._size
        before = marks[-1][0] if marks else 0
        if size == before:
            return
        # the last place is written over, so that the end's time is kept as well as the beginning's
        if marks and (marks[-1][1] == ts or len(marks) >= self._limits.marks):
            marks.pop()
        marks.append((size, ts))

    def gap(self) -> None:
        """Bytes of the body are missing here."""
        if self._decoder is not None:
            self._decoder.gap()

    def end(self, ts: int, complete: bool) -> None:
        """No more comes: the message gets its body."""
        if self._decoder is not None and complete:
            rest = self._decoder.end()
            self._size += len(rest)
            self._keep(rest)
            self._hear(self._decoder)
        self.mark(ts)
        self._message.body, self._message.body_size = bytes(self._kept), self._size
        self._kept = bytearray()


class _Chunk(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    AFTER = enum.auto()
    TRAILER = enum.auto()


_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r]*)?\Z")  # RFC 9112 §7.1: chunk-size [ chunk-ext ]
_LINE = 8192  # bytes of a chunk's line; extensions are "a total length limit of which MUST be" set (§7.1.1)


class Chunks:
    """Undoes the chunked transfer coding. done: its end was seen. bad: why it cannot go on, "" if it can.

    left: bytes of the current chunk's data still to come.
    """

    __slots__ = ("_limit", "_line", "_state", "_trailers", "bad", "bare_lf", "done", "left")

    def __init__(self, trailer_limit: int) -> None:
        self.done, self.bad, self.left, self.bare_lf = False, "", 0, False
        self._line = b""
        self._state = _Chunk.SIZE
        self._limit, self._trailers = trailer_limit, 0

    def feed(self, data: bytes, position: int, keep: Keeps | None) -> int:
        """Reads `data` from `position`; returns where it stopped, which is the end unless done or bad."""
        size = len(data)
        while position < size and not self.done and not self.bad:
            if self._state is _Chunk.DATA:
                end = min(size, position + self.left)
                if keep is not None:
                    keep.add(data[position:end])
                self.skip(end - position)
                position = end
                continue
            newline = data.find(b"\n", position, position + _LINE)
            if newline < 0:
                self._line += data[position : position + _LINE]
                position = min(size, position + _LINE)
                if len(self._line) >= _LINE:
                    self.bad = "bad-chunk"
                continue
            line = self._line + data[position:newline]
            self._line, position = b"", newline + 1
            if len(line) >= _LINE:
                self.bad = "bad-chunk"
                continue
            if not line.endswith(b"\r"):
                self.bare_lf = True
            self._take(line.removesuffix(b"\r"))
        return position

    def skip(self, count: int) -> None:
        """`count` bytes of chunk data have passed, seen or not; at most `left`."""
        self.left -= count
        if not self.left:
            self._state = _Chunk.AFTER

    def in_data(self) -> bool:
        return self._state is _Chunk.DATA

    def _take(self, line: bytes) -> None:
        match self._state:
            case _Chunk.SIZE:
                found = _SIZE.match(line)
                if found is None or (left := int(found[1], 16)) >> 63:
                    self.bad = "bad-chunk"
                    return
                self.left = left
                self._state = _Chunk.DATA if left else _Chunk.TRAILER
            case _Chunk.AFTER:
                self._state = _Chunk.SIZE
                if line:
                    self.bad = "bad-chunk"
            case _:
                # §7.1.2: trailer fields are not merged into the head; nothing that Leeward reads travels in them
                self._trailers += len(line) + 2
                self.done = not line
                if self._trailers > self._limit:
                    self.bad = "trailer-limit"
