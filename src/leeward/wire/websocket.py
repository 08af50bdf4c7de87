"""A passive WebSocket parser (RFC 6455) with permessage-deflate (RFC 7692) over both directions of one connection.

Invariants: never raises on any bytes. A direction holds at most one message of `Limits.body` bytes, one frame's head and one
control frame; what a message unpacks to is bounded by `Limits.body` times `Limits.expansion`. After bytes were lost a
direction goes on if the hole lies inside a payload; otherwise nobody knows where its next frame begins, and the rest of it
is counted, not read.
"""

from __future__ import annotations

import zlib
from collections import Counter

from leeward.wire.http import HttpEvent, Limits, WsClosed, WsMessage

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_CONTROLS = {_CLOSE: "ws_closes", _PING: "ws_pings", _PONG: "ws_pongs"}
_MOST_CONTROL = 125  # RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less"
_TAIL = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.2: taken off by the sender of a message, put back by its receiver
_STEP = 1 << 16
_NO_CODE = 1006  # RFC 6455 §7.1.5: "The WebSocket Connection Close Code is considered to be 1006"


def deflates(extensions: str) -> dict[bool, bool] | None:
    """What the server's Sec-WebSocket-Extensions says of permessage-deflate: to_server → is a message's window kept for the
    next one? None: messages are not packed."""
    for offer in extensions.split(","):
        name, *parameters = (part.strip().lower() for part in offer.split(";"))
        if name == "permessage-deflate":
            who = {True: "client", False: "server"}
            return {side: f"{name}_no_context_takeover" not in parameters for side, name in who.items()}
    return None


class _Inflater:
    """The packed messages of one direction. lost: its window is not known any more."""

    def __init__(self, keeps: bool) -> None:
        self._keeps, self.lost = keeps, False
        self._z = zlib.decompressobj(-zlib.MAX_WBITS)
        self._out = 0

    def feed(self, data: bytes, most: int) -> tuple[bytes, str]:
        """What came out, and why no more will. most: bytes that a message may unpack to."""
        pieces: list[bytes] = []
        while data and not self.lost:
            try:
                pieces.append(self._z.decompress(data, _STEP))
            except zlib.error:
                self.lost = True
                return b"".join(pieces), "bad-deflate"
            data = self._z.unconsumed_tail
            self._out += len(pieces[-1])
            if self._out > most:
                self.lost = True
                return b"".join(pieces), "expansion-limit"
        return b"".join(pieces), "window-lost" if self.lost else ""

    def next(self) -> None:
        """A message has ended."""
        self._out = 0
        if not self._keeps or self._z.eof:
            self._z, self.lost = zlib.decompressobj(-zlib.MAX_WBITS), False


class _Direction:
    """What is read of one direction. left: payload bytes of the frame still to come, None while its head is due."""

    def __init__(self, to_server: bool, inflater: _Inflater | None) -> None:
        self.to_server, self.inflater = to_server, inflater
        self.head = bytearray()
        self.began = 0
        self.left: int | None = None
        self.mask = b""
        self.opcode = 0
        self.final = False
        self.control = bytearray()
        self.message: WsMessage | None = None
        self.packed = False
        self.pieces: list[bytes] = []
        self.held = 0
        self.lost = ""


class WebSocketConnection:
    """An `HttpConnection` after its upgrade. extensions: Sec-WebSocket-Extensions as the server answered."""

    def __init__(self, limits: Limits, extensions: str) -> None:
        self.counters: Counter[str] = Counter()
        self._limits = limits
        packed = deflates(extensions)
        inflater = {side: _Inflater(packed[side]) if packed is not None else None for side in (True, False)}
        self._sides = {side: _Direction(side, inflater[side]) for side in (True, False)}
        self._code, self._reason = _NO_CODE, ""
        self._over = False

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[HttpEvent]:
        """`data` was seen at `ts`, right after what was fed of this direction before."""
        side, at = self._sides[to_server], 0
        out: list[HttpEvent] = []
        while at < len(data):
            if side.lost or self._over:
                self.counters["ws_bytes_unread"] += len(data) - at
                break
            if side.left is None:
                at = self._read_head(side, ts, data, at, out)
            else:
                at = self._read_payload(side, ts, data, at, out)
        return out

    def gap(self, to_server: bool, ts: int, size: int) -> list[HttpEvent]:
        """`size` bytes of this direction were never seen (0: an unknown number)."""
        side = self._sides[to_server]
        out: list[HttpEvent] = []
        self.counters["gaps"] += 1
        if side.lost or self._over:
            return out
        if side.left is None or not 0 < size <= side.left:
            self._lose(side, ts, "gap", out)
            return out
        if side.message is not None and side.opcode not in _CONTROLS:
            side.message.gap = True
            side.message.size += size
            if side.inflater is not None and side.packed:
                side.inflater.lost = True
        self._advance(side, size)
        if not side.left:
            self._end_frame(side, ts, out)
        return out

    def close(self, ts: int, clean: bool = True) -> list[HttpEvent]:
        """The connection ended."""
        out: list[HttpEvent] = []
        if self._over:
            return out
        for side in self._sides.values():
            self._cut(side, ts, out)
        self._over = True
        out.append(WsClosed(ts, self._code, self._reason))
        return out

    # -- frames ----------------------------------------------------------------------------------------------------

    def _read_head(self, side: _Direction, ts: int, data: bytes, at: int, out: list[HttpEvent]) -> int:
        """Takes what belongs to a frame's head (RFC 6455 §5.2); returns where to go on."""
        head = side.head
        if not head:
            side.began = ts
        while True:
            wanted = 2
            if len(head) >= 2:
                short = head[1] & 0x7F
                wanted += (2 if short == 126 else 8 if short == 127 else 0) + (4 if head[1] & 0x80 else 0)
            if len(head) >= wanted:
                break
            if at == len(data):
                return at
            taken = data[at : at + wanted - len(head)]
            head += taken
            at += len(taken)
        short = head[1] & 0x7F
        ends = 4 if short == 126 else 10 if short == 127 else 2
        size = int.from_bytes(head[2:ends], "big") if ends > 2 else short
        side.mask = bytes(head[ends : ends + 4])
        first = head[0]
        head.clear()
        self._frame(side, ts, first, size, out)
        return at

    def _frame(self, side: _Direction, ts: int, first: int, size: int, out: list[HttpEvent]) -> None:
        """A frame begins: what its head says is checked, and its message begins or goes on."""
        side.final, side.opcode, packed = bool(first & 0x80), first & 0x0F, bool(first & 0x40)
        control = side.opcode in _CONTROLS
        bad = (
            first & 0x30
            or size >> 63
            or (side.opcode > _BINARY and not control)
            or (control and (size > _MOST_CONTROL or not side.final))
            or (packed and (side.inflater is None or control or side.opcode == _CONTINUATION))
        )
        if bad:
            self._lose(side, ts, "bad-frame", out)
            return
        self.counters["ws_frames"] += 1
        if control:
            side.control.clear()
        elif side.opcode == _CONTINUATION:
            if side.message is None:
                self.counters["ws_continuations_of_nothing"] += 1
        else:
            self._cut(side, ts, out)
            side.message = WsMessage(side.to_server, side.began, ts, side.opcode == _TEXT)
            side.packed = packed
        side.left = size
        if not size:
            self._end_frame(side, ts, out)

    def _read_payload(self, side: _Direction, ts: int, data: bytes, at: int, out: list[HttpEvent]) -> int:
        assert side.left is not None
        end = min(len(data), at + side.left)
        piece = data[at:end]
        if side.opcode in _CONTROLS:
            side.control += _unmasked(piece, side.mask)
        elif side.message is not None:
            self._keep(side, side.message, piece)
        self._advance(side, end - at)
        if not side.left:
            self._end_frame(side, ts, out)
        return end

    def _advance(self, side: _Direction, size: int) -> None:
        assert side.left is not None
        side.left -= size
        turn = size % 4
        side.mask = side.mask[turn:] + side.mask[:turn]

    def _keep(self, side: _Direction, message: WsMessage, piece: bytes) -> None:
        """A piece of a message's payload."""
        if side.inflater is None or not side.packed:
            message.size += len(piece)
            room = self._limits.body - side.held
            if room > 0:
                side.pieces.append(_unmasked(piece[:room], side.mask))
                side.held += len(side.pieces[-1])
            message.truncated = message.size > self._limits.body
            return
        self._unpack(side, side.inflater, message, _unmasked(piece, side.mask))

    def _unpack(self, side: _Direction, inflater: _Inflater, message: WsMessage, piece: bytes) -> None:
        fresh, trouble = inflater.feed(piece, self._limits.body * self._limits.expansion)
        message.size += len(fresh)
        side.pieces.append(fresh[: max(0, self._limits.body - side.held)])
        side.held += len(side.pieces[-1])
        message.truncated = message.size > self._limits.body
        if trouble and trouble not in message.anomalies:
            message.anomalies.append(trouble)

    def _end_frame(self, side: _Direction, ts: int, out: list[HttpEvent]) -> None:
        side.left = None
        if side.opcode in _CONTROLS:
            self.counters[_CONTROLS[side.opcode]] += 1
            if side.opcode == _CLOSE and self._code == _NO_CODE and len(side.control) >= 2:
                self._code = int.from_bytes(side.control[:2], "big")
                self._reason = side.control[2:].decode("utf-8", "replace")
        elif side.final and side.message is not None:
            message = side.message
            if side.inflater is not None and side.packed and not side.inflater.lost:
                self._unpack(side, side.inflater, message, _TAIL)
            message.complete = not message.gap and not message.anomalies
            self._emit(side, message, ts, out)

    def _cut(self, side: _Direction, ts: int, out: list[HttpEvent]) -> None:
        """A message whose end will not come."""
        if side.message is not None:
            side.message.anomalies.append("cut-message")
            self._emit(side, side.message, ts, out)

    def _emit(self, side: _Direction, message: WsMessage, ts: int, out: list[HttpEvent]) -> None:
        message.data, message.end = b"".join(side.pieces), ts
        side.pieces, side.held, side.message = [], 0, None
        if side.inflater is not None and side.packed:
            side.inflater.next()
        self.counters["ws_messages"] += 1
        out.append(message)

    def _lose(self, side: _Direction, ts: int, why: str, out: list[HttpEvent]) -> None:
        """Where the next frame of this direction begins is not known."""
        if side.message is not None and why == "gap":
            side.message.gap = True
        self._cut(side, ts, out)
        side.lost = why
        self.counters[f"ws_lost_{why.replace('-', '_')}"] += 1


def _unmasked(data: bytes, mask: bytes) -> bytes:
    """RFC 6455 §5.3, in one step: the bytes as one number, xor the mask as often as it fits."""
    size = len(data)
    if not mask or not size:
        return data
    long_mask = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(long_mask, "little")).to_bytes(size, "little")
