"""Routes and network devices of this network namespace, as the kernel tells of their changes (rtnetlink(7)).

Invariants: the parser takes any bytes, and what is malformed is left out and counted; a device is told once, when it is new;
the socket never blocks. What happens in other network namespaces is not seen.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import Counter
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from typing import Final

import msgspec

from leeward.model.raw import SystemCalled

RTMGRP_LINK, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE = 0x1, 0x40, 0x400
NEW_LINK, GONE_LINK, NEW_ROUTE, GONE_ROUTE = 16, 17, 24, 25
_HEADER = Struct("=IHHII")  # struct nlmsghdr
_LINK = Struct("=BxHiII")  # struct ifinfomsg
_ROUTE = Struct("=8BI")  # struct rtmsg
_ATTRIBUTE = Struct("=HH")  # struct rtattr
_INDEX = Struct("=I")
_IFNAME, _LINKINFO, _INFO_KIND = 3, 18, 1
_DST, _OIF, _GATEWAY, _TABLE = 1, 4, 5, 15
_LOCAL_TABLE, _UNICAST, _CLONED = 255, 1, 0x200
_ADDRESS: Final = {AF_INET: 4, AF_INET6: 16}
_MOST_DEVICES, _MOST_DATAGRAMS = 16384, 64


class Device(msgspec.Struct, frozen=True):
    """A network device. kind: "" of those that hardware has, else as `ip -d link` calls it."""

    index: int
    name: str
    kind: str
    gone: bool


class Route(msgspec.Struct, frozen=True):
    """A route to `destination` (address/prefix) by `gateway`, "" if there is none, and the device of this index."""

    destination: str
    gateway: str
    device: int
    gone: bool


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of the netlink messages in a datagram; ends at the first that is malformed."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            break
        found[kind & 0x3FFF] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def parse(kind: int, body: bytes) -> Device | Route | None:
    """What a message tells; None if that is nothing for us, or malformed."""
    if kind in (NEW_LINK, GONE_LINK) and len(body) >= _LINK.size:
        return _device(body, kind == GONE_LINK)
    if kind in (NEW_ROUTE, GONE_ROUTE) and len(body) >= _ROUTE.size:
        return _route(body, kind == GONE_ROUTE)
    return None


def _name(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _device(body: bytes, gone: bool) -> Device | None:
    family, _, index, *_ = _LINK.unpack_from(body)
    attributes = _attributes(body[_LINK.size :])
    if family or index <= 0 or _IFNAME not in attributes:
        return None  # a bridge's ports are told with a family of their own
    kind = _attributes(attributes.get(_LINKINFO, b"")).get(_INFO_KIND, b"")
    return Device(index, _name(attributes[_IFNAME]), _name(kind), gone)


def _route(body: bytes, gone: bool) -> Route | None:
    family, prefix, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(body)
    attributes = _attributes(body[_ROUTE.size :])
    size = _ADDRESS.get(family)
    if size is None or kind != _UNICAST or flags & _CLONED or prefix > size * 8:
        return None
    number = attributes.get(_TABLE, b"")
    table = _INDEX.unpack(number)[0] if len(number) == 4 else table
    to, gateway = attributes.get(_DST, bytes(size)), attributes.get(_GATEWAY, b"")
    if table == _LOCAL_TABLE or len(to) != size or len(gateway) not in (0, size):
        return None
    device = attributes.get(_OIF, b"")
    return Route(
        f"{inet_ntop(family, to)}/{prefix}",
        inet_ntop(family, gateway) if gateway else "",
        _INDEX.unpack(device)[0] if len(device) == 4 else 0,
        gone,
    )


class Routes:
    """Hears of changes from its construction on. Counters: routes_lost (the socket's buffer was full), routes_odd."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._devices = dict(socket.if_nameindex())
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE))

    def events(self, ts: int) -> list[SystemCalled]:
        """What changed since the last call."""
        found: list[SystemCalled] = []
        for _ in range(_MOST_DATAGRAMS):
            try:
                data, sender = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.counters["routes_lost"] += 1
                continue
            if sender[0]:  # not the kernel
                self.counters["routes_odd"] += 1
                continue
            for kind, body in messages(data):
                found += self._told(parse(kind, body), ts)
        return found

    def _told(self, change: Device | Route | None, ts: int) -> list[SystemCalled]:
        match change:
            case Device(index=index, gone=True):
                self._devices.pop(index, None)
            case Device(index=index, name=name, kind=kind) if index not in self._devices:
                if len(self._devices) < _MOST_DEVICES:
                    self._devices[index] = name
                return [SystemCalled(ts, 0, "device", source=name, label=kind or _tunnel(name))]
            case Device(index=index, name=name):
                self._devices[index] = name
            case Route(destination=to, gateway=gateway, device=device, gone=gone):
                through = " ".join(part for part in (gateway, self._devices.get(device, "")) if part)
                return [SystemCalled(ts, 0, "route", to, through, "removed" if gone else "added")]
        return []

    def close(self) -> None:
        self._socket.close()


def _tunnel(name: str) -> str:
    """ "tun" of a device whose driver says no kind, but whose file in sysfs only these have."""
    return "tun" if os.path.exists(f"/sys/class/net/{os.path.basename(name)}/tun_flags") else ""
