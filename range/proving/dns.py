"""A small authoritative DNS server for the names of the range (RFC 1035, AAAA of RFC 3596), UDP and TCP.

It answers A and AAAA, NODATA with an SOA for other types of a known name, NXDOMAIN with an SOA for any other name, so
that a client in the range finds out at once that the rest of the internet is not there. EDNS (RFC 6891) is echoed with
an empty OPT record; what cannot be parsed is FORMERR, or dropped if it has no id. Any question is logged in memory.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

A, SOA, AAAA, OPT, ANY = 1, 6, 28, 41, 255
_QR, _AA, _RD = 0x8000, 0x0400, 0x0100
_NOERROR, _FORMERR, _NXDOMAIN, _NOTIMP = 0, 1, 3, 4
_TTL = 60


class _Malformed(Exception):
    """The query is not one that this server can read."""


@dataclass
class Zone:
    """`records`: lower-case host name → (IPv4 addresses, IPv6 addresses), in text."""

    records: Mapping[str, tuple[list[str], list[str]]]
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    """(name, type, rcode) of the last 10,000 questions."""

    def answer(self, query: bytes) -> bytes:
        """The response to a query message; empty if it is no query at all."""
        if len(query) < 12:
            return b""
        ident, flags, questions, _, _, extra = struct.unpack_from("!6H", query)
        if flags & _QR:
            return b""
        reply_flags = _QR | _AA | (flags & (_RD | 0x7800))
        if flags & 0x7800:
            return struct.pack("!6H", ident, reply_flags | _NOTIMP, 0, 0, 0, 0)
        try:
            if questions != 1:
                raise _Malformed
            name, end = _read_name(query, 12)
            qtype, _qclass = _unpack(query, "!2H", end)
            edns = extra > 0 and _has_opt(query, end + 4, extra)
        except _Malformed:
            return struct.pack("!6H", ident, reply_flags | _FORMERR, 0, 0, 0, 0)
        question = query[12 : end + 4]
        rcode, answers, authority = self._resolve(name, qtype)
        self.asked.append((name, qtype, rcode))
        del self.asked[:-10_000]
        opt = b"\0" + struct.pack("!HHIH", OPT, 1232, 0, 0) if edns else b""
        header = struct.pack("!6H", ident, reply_flags | rcode, 1, len(answers), len(authority), 1 if edns else 0)
        return header + question + b"".join(answers) + b"".join(authority) + opt

    def _resolve(self, name: str, qtype: int) -> tuple[int, list[bytes], list[bytes]]:
        found = self.records.get(name)
        if found is None:
            return _NXDOMAIN, [], [soa()]
        v4, v6 = found
        answers = [record(A, ipaddress.IPv4Address(a).packed) for a in v4 if qtype in (A, ANY)]
        answers += [record(AAAA, ipaddress.IPv6Address(a).packed) for a in v6 if qtype in (AAAA, ANY)]
        return _NOERROR, answers, [] if answers else [soa()]


def record(rtype: int, data: bytes) -> bytes:
    return struct.pack("!HHHIH", 0xC00C, rtype, 1, _TTL, len(data)) + data  # the name: a pointer to the question's


def soa() -> bytes:
    names = b"\x02ns\x05range\x04test\0" + b"\x05range\x04test\0"
    data = names + struct.pack("!5I", 1, 3600, 600, 86400, _TTL)
    return b"\0" + struct.pack("!HHIH", SOA, 1, _TTL, len(data)) + data


def _unpack(data: bytes, form: str, at: int) -> tuple[int, ...]:
    if at + struct.calcsize(form) > len(data):
        raise _Malformed
    return struct.unpack_from(form, data, at)


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    while True:
        (size,) = _unpack(data, "!B", at)
        at += 1
        if size == 0:
            return ".".join(labels).lower(), at
        if size > 63 or at + size > len(data) or len(labels) > 126:
            raise _Malformed  # a question's name has no reason to be compressed
        labels.append(data[at : at + size].decode("latin-1"))
        at += size


def _has_opt(data: bytes, at: int, records: int) -> bool:
    """Whether an OPT record stands among the additional ones; answer and authority sections of a query are empty."""
    for _ in range(min(records, 4)):
        _name, at = _read_name(data, at)
        rtype, _cls, _ttl, size = _unpack(data, "!HHIH", at)
        if rtype == OPT:
            return True
        at += 10 + size
    return False


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: the selector loop's datagram transport is no subclass of DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        reply = self._answer(data)
        if reply and self._transport is not None:
            self._transport.sendto(reply, addr)


async def serve(zone: Zone, addresses: list[str], port: int = 53) -> None:
    """Listen on UDP and TCP; returns when bound."""
    loop = asyncio.get_running_loop()

    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), 10))
                reply = zone.answer(await asyncio.wait_for(reader.readexactly(size), 10))
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            writer.close()

    for address in addresses:
        await loop.create_datagram_endpoint(lambda: _Udp(zone.answer), local_addr=(address, port))
        await asyncio.start_server(over_tcp, address, port)
