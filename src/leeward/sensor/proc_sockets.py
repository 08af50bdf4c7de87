"""The TCP sockets that exist already, and whose they are, from /proc: for connections older than the sensor."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct

from leeward.model.net import Endpoint
from leeward.model.raw import SocketOpened

_WORDS4, _WORDS16 = Struct("=I"), Struct("=4I")
_MOST = 65536


def _endpoint(text: str) -> Endpoint:
    """`0100007F:1F90` (address in host-order words, RFC-less: net/ipv4/tcp_ipv4.c) to an endpoint."""
    address, port = text.split(":")
    raw = bytes.fromhex(address)
    if len(raw) == 4:
        return Endpoint(inet_ntop(AF_INET, _WORDS4.pack(int.from_bytes(raw))), int(port, 16))
    words = [int.from_bytes(raw[i : i + 4]) for i in range(0, 16, 4)]
    packed = _WORDS16.pack(*words)
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):
        return Endpoint(inet_ntop(AF_INET, packed[12:]), int(port, 16))
    return Endpoint(inet_ntop(AF_INET6, packed), int(port, 16))


def _table(path: Path) -> dict[int, tuple[Endpoint, Endpoint, bool]]:
    """inode → (local, remote, listening) of one network namespace's table."""
    found: dict[int, tuple[Endpoint, Endpoint, bool]] = {}
    try:
        lines = path.read_text().splitlines()[1 : _MOST + 1]
    except OSError:
        return found
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[3] in ("01", "0A"):  # TCP_ESTABLISHED, TCP_LISTEN
            found[int(fields[9])] = (_endpoint(fields[1]), _endpoint(fields[2]), fields[3] == "0A")
    return found


def open_sockets(ts: int) -> list[SocketOpened]:
    """One event a socket: role "listener", "server" if its local port is listened on, else "client"."""
    tables: dict[str, dict[int, tuple[Endpoint, Endpoint, bool]]] = {}
    events = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        base = Path("/proc") / entry
        try:
            netns = os.readlink(base / "ns/net")
            links = [os.readlink(base / "fd" / fd) for fd in os.listdir(base / "fd")]
        except OSError:
            continue  # the process has gone, or is the kernel's
        inodes = {int(link[8:-1]) for link in links if link.startswith("socket:[")}
        if not inodes:
            continue
        if netns not in tables:
            tables[netns] = _table(base / "net/tcp") | _table(base / "net/tcp6")
        table = tables[netns]
        listened = {local.port for local, _, listening in table.values() if listening}
        for inode in inodes & table.keys():
            local, remote, listening = table[inode]
            role = "listener" if listening else "server" if local.port in listened else "client"
            events.append(SocketOpened(ts, 0, int(entry), role, "tcp", local, remote))
    return events


def owner(local: Endpoint, remote: Endpoint, likely: Iterable[int] = ()) -> int:
    """The process on this host, in our network namespace, that has the connected TCP socket with these ends; 0: none that may be
    looked at. likely: processes that are looked at first."""
    base = Path("/proc/self/net")
    inodes = {
        inode for name in ("tcp", "tcp6") for inode, ends in _table(base / name).items() if ends[:2] == (local, remote)
    }
    wanted = {f"socket:[{inode}]" for inode in inodes if inode}
    if not wanted:
        return 0
    for entry in (*map(str, likely), *os.listdir("/proc")):
        if entry.isdigit() and not wanted.isdisjoint(_links(f"/proc/{entry}/fd")):
            return int(entry)
    return 0


def _links(folder: str) -> set[str]:
    """What a process's descriptors are; those that are gone meanwhile, or someone else's, are left out."""
    found = set()
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                found.add(os.readlink(f"{folder}/{name}"))
    return found
