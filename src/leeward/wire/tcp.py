"""TCP reassembly: segments of many connections in, the two byte streams of each out, in order, once.

Invariants: no byte comes out twice; what is missing is told as a gap, never skipped in silence; buffers are bounded per
direction and the number of connections in all, and what leaves for that is counted. Sequence numbers wrap (RFC 9293 3.4).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable

import msgspec

from leeward.model.net import Endpoint
from leeward.model.raw import Segment
from leeward.wire.sql import sniff
from leeward.wire.stream import StreamClosed, StreamData, StreamEvent, StreamGap, StreamOpened

_HALF = 1 << 31
_METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"\x16\x03")


class TcpLimits(msgspec.Struct, frozen=True):
    """held_bytes, held_segments: out of order, a direction; then the hole is told as a gap. connections: in all."""

    held_bytes: int = 1 << 18
    held_segments: int = 128
    connections: int = 65536


class _Direction:
    __slots__ = ("ended", "held", "held_bytes", "next")

    def __init__(self) -> None:
        self.next: int | None = None  # sequence number of the byte that comes next
        self.held: dict[int, tuple[int, bytes, int]] | None = None  # seq → (ts, data, size)
        self.held_bytes = 0
        self.ended = False


class _Connection:
    __slots__ = ("client", "down", "key", "last", "server", "up")

    def __init__(self, key: Hashable, client: Endpoint, server: Endpoint) -> None:
        self.key, self.client, self.server = key, client, server
        self.up, self.down = _Direction(), _Direction()
        self.last = 0


def _ahead(seq: int, of: int) -> int:
    """How far `seq` is ahead of `of` (negative: behind), modulo 2**32."""
    return ((seq - of + _HALF) & 0xFFFFFFFF) - _HALF


class TcpStreams:
    def __init__(self, limits: TcpLimits | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self._limits = limits or TcpLimits()
        self._connections: OrderedDict[Hashable, _Connection] = OrderedDict()
        self._reused: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def feed(self, segment: Segment, key: Hashable | None = None, client: Endpoint | None = None) -> list[StreamEvent]:
        """key: the connection's name, the pair of addresses if not given. client: who opened it, if that is known."""
        source, target = (segment.local, segment.remote) if segment.sent else (segment.remote, segment.local)
        place: Hashable = (
            key if key is not None else (min(_order(source), _order(target)), max(_order(source), _order(target)))
        )
        events: list[StreamEvent] = []
        connection = self._connections.get(place)
        if connection is not None and segment.syn and self._anew(connection, source, segment):
            events += self._close(place, segment.ts, "evicted")
            connection = None
        if connection is None:
            if not segment.data and not segment.syn:
                return events  # the last acknowledgements of something that is over, or idle
            connection = self._open(place, key, segment, source, target, client, events)
        else:
            self._connections.move_to_end(place)
        connection.last = segment.ts
        to_server = source == connection.client
        side = connection.up if to_server else connection.down
        if segment.syn:
            side.next = (segment.seq + 1) & 0xFFFFFFFF
        if segment.data or segment.size:
            seq = (segment.seq + 1) & 0xFFFFFFFF if segment.syn else segment.seq
            self._take(connection, to_server, segment.ts, seq, segment.data, segment.size, events)
        if segment.rst:
            events += self._close(place, segment.ts, "rst")
        elif segment.fin:
            side.ended = True
            if connection.up.ended and connection.down.ended:
                events += self._close(place, segment.ts, "fin")
        return events

    def _anew(self, connection: _Connection, source: Endpoint, segment: Segment) -> bool:
        """Does this SYN begin another connection between the same addresses?"""
        side = connection.up if source == connection.client else connection.down
        begun = side.next is not None and _ahead(segment.seq, side.next) != -1
        return begun and (connection.up.ended or connection.down.ended or source == connection.client)

    def _open(
        self,
        place: Hashable,
        key: Hashable | None,
        segment: Segment,
        source: Endpoint,
        target: Endpoint,
        client: Endpoint | None,
        events: list[StreamEvent],
    ) -> _Connection:
        if client is None:
            client = source if _opens(segment, source, target) else target
        server = target if client == source else source
        if key is None:
            number = self._reused.get(place, 0)
            self._reused[place] = number + 1
            if len(self._reused) > 4 * self._limits.connections:
                self._reused.pop(next(iter(self._reused)))
            key = (place, number)
        connection = _Connection(key, client, server)
        self._connections[place] = connection
        events.append(StreamOpened(segment.ts, key, client, server, segment.syn))
        if len(self._connections) > self._limits.connections:
            self.counters["tcp_evicted"] += 1
            events += self._close(next(iter(self._connections)), segment.ts, "evicted")
        return connection

    def _take(
        self,
        connection: _Connection,
        to_server: bool,
        ts: int,
        seq: int,
        data: bytes,
        size: int,
        events: list[StreamEvent],
    ) -> None:
        side = connection.up if to_server else connection.down
        if side.next is None:
            side.next = seq
        ahead = _ahead(seq, side.next)
        if ahead > 0:
            self._hold(connection, to_server, ts, seq, data, size, events)
            return
        self._deliver(connection, to_server, ts, seq, data, size, events)
        self._drain(connection, to_server, events)

    def _deliver(
        self,
        connection: _Connection,
        to_server: bool,
        ts: int,
        seq: int,
        data: bytes,
        size: int,
        events: list[StreamEvent],
    ) -> None:
        """A segment that begins at or before the byte that is due."""
        side = connection.up if to_server else connection.down
        assert side.next is not None
        old = -_ahead(seq, side.next)
        if old >= size:
            self.counters["tcp_retransmitted"] += 1
            return
        fresh = data[old:]
        if fresh:
            events.append(StreamData(ts, connection.key, to_server, fresh, (seq + old) & 0xFFFFFFFF))
        cut = size - max(old, len(data))
        if cut > 0:
            self.counters["tcp_cut_segments"] += 1
            events.append(StreamGap(ts, connection.key, to_server, cut))
        side.next = (seq + size) & 0xFFFFFFFF

    def _hold(
        self,
        connection: _Connection,
        to_server: bool,
        ts: int,
        seq: int,
        data: bytes,
        size: int,
        events: list[StreamEvent],
    ) -> None:
        side = connection.up if to_server else connection.down
        if side.held is None:
            side.held = {}
        known = side.held.get(seq)
        if known is None or known[2] < size:
            side.held_bytes += len(data) - (len(known[1]) if known else 0)
            side.held[seq] = (ts, data, size)
        self.counters["tcp_out_of_order"] += 1
        if side.held_bytes > self._limits.held_bytes or len(side.held) > self._limits.held_segments:
            self._give_up_hole(connection, to_server, events)

    def _give_up_hole(self, connection: _Connection, to_server: bool, events: list[StreamEvent]) -> None:
        """What is missing before the first held segment will not come: a gap."""
        side = connection.up if to_server else connection.down
        if not side.held or side.next is None:
            return
        due = side.next
        first = min(side.held, key=lambda s: _ahead(s, due))
        self.counters["tcp_gaps"] += 1
        events.append(StreamGap(side.held[first][0], connection.key, to_server, _ahead(first, side.next)))
        side.next = first
        self._drain(connection, to_server, events)

    def _drain(self, connection: _Connection, to_server: bool, events: list[StreamEvent]) -> None:
        side = connection.up if to_server else connection.down
        while side.held:
            assert side.next is not None
            due = side.next
            first = min(side.held, key=lambda s: _ahead(s, due))
            if _ahead(first, due) > 0:
                return
            ts, data, size = side.held.pop(first)
            side.held_bytes -= len(data)
            self._deliver(connection, to_server, ts, first, data, size, events)
        side.held = None

    def _close(self, place: Hashable, ts: int, reason: str) -> list[StreamEvent]:
        connection = self._connections.pop(place, None)
        if connection is None:
            return []
        events: list[StreamEvent] = []
        for to_server in (True, False):
            side = connection.up if to_server else connection.down
            while side.held:
                self._give_up_hole(connection, to_server, events)
        events.append(StreamClosed(ts, connection.key, reason))
        return events

    def close(self, key: Hashable, ts: int) -> list[StreamEvent]:
        """The connection that was fed under `key` is over."""
        return self._close(key, ts, "fin")

    def flush(self, ts: int) -> list[StreamEvent]:
        """The observation ends: every connection closes, reason "end"."""
        events: list[StreamEvent] = []
        for place in list(self._connections):
            events += self._close(place, ts, "end")
        return events


def _order(endpoint: Endpoint) -> tuple[str, int]:
    return endpoint.ip, endpoint.port


def _opens(segment: Segment, source: Endpoint, target: Endpoint) -> bool:
    """Is the sender of a connection's first segment the client? A SYN says so, else the payload, else the higher port."""
    if segment.syn:
        return not segment.syn_ack
    if segment.data.startswith(_METHODS):
        return True
    if segment.data.startswith(b"HTTP/1.") or sniff(False, segment.data):
        return False
    if sniff(True, segment.data):
        return True
    return source.port > target.port if source.port != target.port else True
