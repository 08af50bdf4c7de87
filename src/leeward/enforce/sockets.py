"""Sockets of other processes, by netlink SOCK_DIAG: which there are, and how to end one.

Invariants: a question is asked inside the network namespace of the process that owns the socket; one that cannot be entered
raises, it is never asked elsewhere. No namespace is held open between calls: that would keep a dead container's network
alive, and entering one costs 0.3 ms. A destroyed socket's owner sees ECONNABORTED at once, in whatever call it waits.
"""

from __future__ import annotations

import ctypes as C
import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from struct import Struct
from typing import Final

import msgspec

from leeward.model.errors import HostError
from leeward.model.net import Endpoint

# Kernel ABI: include/uapi/linux/{netlink,sock_diag,inet_diag}.h, include/net/tcp_states.h.
_NETLINK_SOCK_DIAG: Final = 4
_BY_FAMILY, _DESTROY = 20, 21
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_CLONE_NEWNET: Final = 0x40000000
_NO_COOKIE: Final = (1 << 64) - 1
_HEADER: Final = Struct("=IHHII")  # struct nlmsghdr
_ASKED: Final = Struct("=BBBxI2s2s16s16sIQ")  # struct inet_diag_req_v2
_TOLD: Final = Struct("=BBBB2s2s16s16sIQIIIII")  # struct inet_diag_msg
_ERRNO: Final = Struct("=i")
_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
#: ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT: those that can still carry a byte. UDP: connected.
_ALIVE: Final = sum(1 << state for state in (1, 2, 3, 4, 5, 8))
_LISTEN: Final = 10
_MOST: Final = 1 << 17
_V4_MAPPED: Final = b"\0" * 10 + b"\xff\xff"


class Connection(msgspec.Struct, frozen=True):
    """A socket with a peer. proto: "tcp" | "udp". cookie: the kernel's number for it, the same as in the sensor's events.
    device: the interface that it is bound to, 0 for none. v6: it is an IPv6 socket, perhaps with IPv4 addresses in it.
    inbound: its port is listened on, so its peer opened it."""

    proto: str
    local: Endpoint
    remote: Endpoint
    cookie: int
    inode: int
    device: int
    v6: bool
    inbound: bool = False


def established(pid: int) -> list[Connection]:
    """The TCP and connected UDP sockets that process `pid` has open; none if it is gone."""
    inodes = _socket_inodes(pid)
    if not inodes:
        return []
    diag = _diag_of(pid)
    if diag is None:
        return []
    with diag:
        return [found for proto in _PROTOCOLS for found in _listed(diag, proto) if found.inode in inodes]


def destroy_by_cookie(pid: int, cookie: int) -> bool:
    """Ends the socket of this number, one of those that process `pid` has open. False: it has none."""
    found = next((one for one in established(pid) if one.cookie == cookie), None)
    return found is not None and destroy(pid, found.proto, found.local, found.remote, cookie)


def destroy(pid: int, proto: str, local: Endpoint, remote: Endpoint, cookie: int = 0) -> bool:
    """Ends the socket of these addresses in the network namespace of process `pid`. With a `cookie`, only the socket of that
    number: a later one of the same addresses is left alone. False: there is no such socket (any more), or no such process.
    HostError if the kernel cannot do it."""
    diag = _diag_of(pid)
    if diag is None:
        return False
    with diag:
        v6 = ":" in local.ip or ":" in remote.ip
        if _destroyed(diag, Connection(proto, local, remote, cookie, 0, 0, v6)):
            return True
        # A look-up by addresses does not find sockets that are bound to an interface or have not their last address yet.
        return any(
            _destroyed(diag, found)
            for found in _listed(diag, proto)
            if (found.cookie == cookie if cookie else (found.local, found.remote) == (local, remote))
        )


def can_destroy() -> str:
    """ "" if this kernel can end sockets, else why not. Asked for a socket that cannot exist: it must miss the socket."""
    nowhere = Endpoint("127.0.0.1", 0)
    try:
        destroy(os.getpid(), "tcp", nowhere, nowhere)
    except (HostError, OSError) as error:
        return str(error)
    return ""


def _destroyed(diag: socket.socket, which: Connection) -> bool:
    try:
        for _ in _ask(diag, _DESTROY, _REQUEST | _ACK, which.proto, which.v6, 0, _identity(which)):
            continue
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise HostError("this kernel cannot end sockets: it needs CONFIG_INET_DIAG_DESTROY") from error
        raise
    return True


def _identity(which: Connection) -> tuple[bytes, bytes, bytes, bytes, int, int]:
    local, remote = (_packed(end.ip, which.v6) for end in (which.local, which.remote))
    sport, dport = (end.port.to_bytes(2) for end in (which.local, which.remote))
    return sport, dport, local, remote, which.device, which.cookie or _NO_COOKIE


def _packed(ip: str, v6: bool) -> bytes:
    if ":" in ip:
        return inet_pton(AF_INET6, ip)
    return _V4_MAPPED + inet_pton(AF_INET, ip) if v6 else inet_pton(AF_INET, ip)


def _listed(diag: socket.socket, proto: str) -> list[Connection]:
    """All sockets of the namespace that have a peer."""
    anything = (b"", b"", b"", b"", 0, _NO_COOKIE)
    found, listened = [], set()
    for v6 in (False, True):
        for raw in _ask(diag, _BY_FAMILY, _REQUEST | _DUMP, proto, v6, _ALIVE | 1 << _LISTEN, anything):
            _, state, _, _, sport, dport, src, dst, device, cookie, _, _, _, _, inode = _TOLD.unpack_from(raw)
            local, remote = _endpoint(src, sport, v6), _endpoint(dst, dport, v6)
            if state == _LISTEN:
                listened.add(local.port)
            else:
                found.append(Connection(proto, local, remote, cookie, inode, device, v6))
    return [msgspec.structs.replace(one, inbound=True) if one.local.port in listened else one for one in found]


def _endpoint(address: bytes, port: bytes, v6: bool) -> Endpoint:
    number = int.from_bytes(port)
    if not v6:
        return Endpoint(inet_ntop(AF_INET, address[:4]), number)
    if address.startswith(_V4_MAPPED):
        return Endpoint(inet_ntop(AF_INET, address[12:]), number)
    return Endpoint(inet_ntop(AF_INET6, address), number)


def _ask(
    diag: socket.socket,
    kind: int,
    flags: int,
    proto: str,
    v6: bool,
    states: int,
    identity: tuple[bytes, bytes, bytes, bytes, int, int],
) -> Iterator[bytes]:
    """Sends a request; yields the bodies of what is answered. OSError with the kernel's number if it refuses."""
    body = _ASKED.pack(AF_INET6 if v6 else AF_INET, _PROTOCOLS[proto], 0, states, *identity)
    diag.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
    left = _MOST
    while left > 0:
        data = diag.recv(1 << 16)
        at = 0
        while at + _HEADER.size <= len(data):
            size, answer, *_ = _HEADER.unpack_from(data, at)
            start, at = at + _HEADER.size, at + (size + 3 & ~3)
            if answer == _DONE:
                return
            if answer == _ERROR:
                (number,) = _ERRNO.unpack_from(data, start)
                if number:
                    raise OSError(-number, os.strerror(-number))
                return
            left -= 1
            yield data[start : start + size - _HEADER.size]


def _socket_inodes(pid: int) -> set[int]:
    folder = f"/proc/{pid}/fd"
    try:
        links = [_link(f"{folder}/{fd}") for fd in os.listdir(folder)]
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {int(link[8:-1]) for link in links if link.startswith("socket:[")}


def _link(path: str) -> str:
    """ "" for a descriptor that was closed meanwhile, which needs no end."""
    try:
        return os.readlink(path)
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _diag_of(pid: int) -> socket.socket | None:
    """A SOCK_DIAG socket in the network namespace of `pid`, None if that process is gone."""
    try:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        if os.fstat(fd).st_ino == Path("/proc/thread-self/ns/net").stat().st_ino:
            return _diag()
        return _made_inside(fd)
    finally:
        os.close(fd)


def _diag() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    made.settimeout(5)
    return made


def _made_inside(namespace: int) -> socket.socket:
    """The same in another namespace, which only a thread of its own enters: it stays there until it ends."""
    made: list[socket.socket] = []
    failed: list[int] = []

    def enter() -> None:
        if C.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
            failed.append(C.get_errno())
            return
        try:
            made.append(_diag())
        except OSError as error:
            failed.append(error.errno or errno.EIO)

    thread = threading.Thread(target=enter, name="netns")
    thread.start()
    thread.join()
    if not made:
        raise HostError(f"cannot enter a network namespace: {os.strerror(failed[0])}")
    return made[0]
