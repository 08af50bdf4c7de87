"""From a captured frame to a raw event: link layer, IP, TCP or UDP. Pure; never raises on garbage."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct

from leeward.model.net import Endpoint
from leeward.model.raw import Datagram, Segment

#: The pcap link types that are read (tcpdump.org/linktypes.html) → bytes before the payload's type and how to find it.
ETHERNET, NULL, RAW, LOOP, SLL, IPV4, IPV6, SLL2 = 1, 0, 101, 108, 113, 228, 229, 276
PPP, RAW_BSD = 9, 12
LINK_TYPES = frozenset({ETHERNET, NULL, PPP, RAW, RAW_BSD, LOOP, SLL, IPV4, IPV6, SLL2})
_VLAN = frozenset({0x8100, 0x88A8, 0x9100})  # IEEE 802.1Q, 802.1ad
_EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140})  # RFC 8200 4.1 and IANA: those with a length in units of 8
_FRAGMENT = 44
_TCP, _UDP = 6, 17
_TCP_HEAD = Struct(">HHIIBB")


@lru_cache(maxsize=65536)
def _endpoint(address: bytes, port: int) -> Endpoint:
    return Endpoint(inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address), port)


def _network(link: int, frame: bytes) -> int:
    """Offset of the IP header, -1 if the frame carries none."""
    if link == ETHERNET:
        at, kind = 14, frame[12:14]
        while int.from_bytes(kind) in _VLAN:
            kind, at = frame[at + 2 : at + 4], at + 4
        return at if kind in (b"\x08\x00", b"\x86\xdd") else -1
    if link == SLL:
        return 16 if frame[14:16] in (b"\x08\x00", b"\x86\xdd") else -1
    if link == SLL2:
        return 20 if frame[0:2] in (b"\x08\x00", b"\x86\xdd") else -1
    if link == PPP:  # RFC 1661 2 (protocol), RFC 1662 3.1 (address and control before it, unless they are left out)
        at = 4 if frame[:2] == b"\xff\x03" else 2
        return at if frame[at - 2 : at] in (b"\x00\x21", b"\x00\x57") else -1
    return 4 if link in (NULL, LOOP) else 0


def decode(link: int, ts: int, frame: bytes, size: int, counters: Counter[str]) -> Segment | Datagram | None:
    """The TCP segment or UDP datagram in a frame of which `frame` was captured and `size` bytes were on the wire.

    None: another protocol, a fragment, or nothing that matters (an acknowledgement without data); counted where odd.
    """
    at = _network(link, frame)
    if at < 0 or len(frame) < at + 20:
        counters["not_ip"] += 1
        return None
    version = frame[at] >> 4
    if version == 4:
        return _ip4(ts, frame, at, size, counters)
    if version == 6:
        return _ip6(ts, frame, at, size, counters)
    counters["not_ip"] += 1
    return None


def _ip4(ts: int, frame: bytes, at: int, size: int, counters: Counter[str]) -> Segment | Datagram | None:
    head = (frame[at] & 15) * 4
    length = int.from_bytes(frame[at + 2 : at + 4]) or size - at  # 0: segmentation was left to the network card
    if head < 20 or length < head:
        counters["bad_ip"] += 1
        return None
    if int.from_bytes(frame[at + 6 : at + 8]) & 0x3FFF:
        counters["ip_fragments"] += 1
        return None
    source, target = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    return _transport(ts, frame, at + head, length - head, frame[at + 9], source, target, counters)


def _ip6(ts: int, frame: bytes, at: int, size: int, counters: Counter[str]) -> Segment | Datagram | None:
    if len(frame) < at + 40:
        counters["bad_ip"] += 1
        return None
    length = int.from_bytes(frame[at + 4 : at + 6]) or size - at - 40
    source, target = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    proto, start = frame[at + 6], at + 40
    end = start + length
    for _ in range(8):
        if proto == _FRAGMENT:
            counters["ip_fragments"] += 1
            return None
        if proto not in _EXTENSIONS or len(frame) < start + 2:
            break
        proto, start = frame[start], start + (frame[start + 1] + 1) * 8
    return _transport(ts, frame, start, end - start, proto, source, target, counters)


def _transport(
    ts: int, frame: bytes, at: int, length: int, proto: int, source: bytes, target: bytes, counters: Counter[str]
) -> Segment | Datagram | None:
    """`length`: bytes of the transport header and its payload on the wire."""
    if proto == _TCP:
        if len(frame) < at + 20 or length < 20:
            counters["bad_tcp"] += 1
            return None
        sport, dport, seq, _, offset, flags = _TCP_HEAD.unpack_from(frame, at)
        head = (offset >> 4) * 4
        if head < 20 or head > length:
            counters["bad_tcp"] += 1
            return None
        data, size = frame[at + head : at + length], length - head
        syn, fin, rst = bool(flags & 2), bool(flags & 1), bool(flags & 4)
        if not (size or syn or fin or rst):
            return None
        local, remote = _endpoint(source, sport), _endpoint(target, dport)
        syn_ack = syn and bool(flags & 16)
        return Segment(ts, 0, "tcp", local, remote, True, seq, data, size, syn, fin, rst, syn_ack=syn_ack)
    if proto == _UDP and len(frame) >= at + 8 and length > 8:
        sport, dport = int.from_bytes(frame[at : at + 2]), int.from_bytes(frame[at + 2 : at + 4])
        local, remote = _endpoint(source, sport), _endpoint(target, dport)
        if len(frame) < at + length:
            counters["cut_datagrams"] += 1
        return Datagram(ts, 0, local, remote, True, frame[at + 8 : at + length], length - 8)
    counters["other_protocols"] += 1
    return None
