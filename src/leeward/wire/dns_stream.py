"""DNS over TCP (RFC 7766): the bytes of a connection in, its messages out, each behind its length in two bytes (RFC 1035 4.2.2).

Invariants: never raises, never looks for a boundary. A message that cannot be read is told as such and passed over, since its
length says where the next begins; many of them in a row, or lost bytes, end the reading of their direction. A direction keeps
at most one message that is not whole yet.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from leeward.wire.dns import DnsMessage, parse_dns

PORT = 53
_MOST_BAD = 16  # in a row: a resolver may go on after a bad message, so one alone must not end the reading
_OTHERS = (b"POST", b"GET ", b"PUT ", b"HTTP", b"HEAD", b"PATC", b"DELE", b"OPTI", b"CONN", b"PRI ", b"{")


class DnsSaid(msgspec.Struct, frozen=True):
    """A message. message: None if it cannot be read. size: its bytes, without its length."""

    ts: int
    message: DnsMessage | None
    size: int


class NotDns(msgspec.Struct, frozen=True):
    """Nothing more will come out of this connection."""

    reason: str


DnsEvent = DnsSaid | NotDns


def begins_dns(data: bytes) -> bool:
    """Is what a connection to or from port 53 begins with taken for DNS? Not if it looks like HTTP, TLS or JSON (the kernel
    decides the same, bpf/sockets.h)."""
    return not data.startswith(_OTHERS) and not (data[:2] == b"\x16\x03" and data[5:6] == b"\x01")


class DnsReader:
    """One direction."""

    __slots__ = ("_bad", "_buffer", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._buffer = bytearray()
        self._bad = 0

    def feed(self, data: bytes) -> list[tuple[DnsMessage | None, int]]:
        """(message or None, its size) of all that are whole by now."""
        if self.ended:
            return []
        buffer, at = self._buffer, 0
        buffer += data
        found: list[tuple[DnsMessage | None, int]] = []
        while at + 2 <= len(buffer) and not self.ended:
            end = at + 2 + int.from_bytes(buffer[at : at + 2])
            if end > len(buffer):
                break
            message = parse_dns(bytes(buffer[at + 2 : end]))
            found.append((message, end - at - 2))
            self._bad = self._bad + 1 if message is None else 0
            self.ended = self._bad >= _MOST_BAD
            at = end
        del buffer[:at]
        if self.ended:
            self.end()
        return found

    def end(self) -> None:
        """What comes from here on is not read."""
        self.ended = True
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes that wait for the rest of their message."""
        return len(self._buffer)


class DnsConnection:
    """Both directions. counters: `dns_gaps`, directions ended by lost bytes; `dns_ended`, by what is no DNS."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._sides = {True: DnsReader(), False: DnsReader()}
        self._spoken = False

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[DnsEvent]:
        side = self._sides[to_server]
        if side.ended:
            return []
        events: list[DnsEvent] = [DnsSaid(ts, message, size) for message, size in side.feed(data)]
        self._spoken = self._spoken or any(type(e) is DnsSaid and e.message is not None for e in events)
        if side.ended:
            self.counters["dns_ended"] += 1
            events += self._over()
        return events

    def gap(self, to_server: bool, ts: int, size: int) -> list[DnsEvent]:
        side = self._sides[to_server]
        if side.ended:
            return []
        side.end()
        self.counters["dns_gaps"] += 1
        return self._over()

    def close(self, ts: int, clean: bool = True) -> list[DnsEvent]:
        """The connection ended: of a message that is not whole nothing is told."""
        return []

    def _over(self) -> list[DnsEvent]:
        both = all(side.ended for side in self._sides.values())
        return [NotDns("not readable as DNS")] if both or not self._spoken else []
