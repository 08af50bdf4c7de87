"""The network of a scenario: this host at 10.77.0.10, everything else on the other side of one cable.

The other side answers for every address of 10.77.1.0-10.77.255.255 (the inside, where nothing listens a port is closed), of the
documentation networks 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 (RFC 5737; they stand for the internet) and
169.254.169.254. Nothing leads out of the two namespaces.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from proving import netns

US, GATEWAY, RESOLVER = "10.77.0.10", "10.77.0.1", "10.77.1.53"
OURS = tuple(f"10.77.0.{n}" for n in range(10, 20))
"""Addresses of this host: services of it may listen on any."""
_BEYOND = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "169.254.169.254/32")
_INSIDE = tuple(f"10.77.{n}.0/24" for n in (1,)) + tuple(
    f"10.77.{start}.0/{24 - bits}" for start, bits in ((2, 1), (4, 2), (8, 3), (16, 4), (32, 5), (64, 6), (128, 7))
)
_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


class Field:
    """The two namespaces, from `__enter__` to `__exit__`. ours: file of this host's."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)
        self._here, self._there = f"{netns.PREFIX}{self.id}-cli", f"{netns.PREFIX}{self.id}-srv"
        self.ours = netns.MOUNTS / self._here
        self._record = netns.STATE / f"{self.id}.json"

    def __enter__(self) -> Field:
        netns.STATE.mkdir(parents=True, exist_ok=True)
        pid = os.getpid()
        self._record.write_text(json.dumps({"pid": pid, "start": netns.start_ticks(pid)}))
        try:
            self._build()
        except BaseException:
            netns.remove(self.id)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        netns.remove(self.id)

    def _build(self) -> None:
        for name in (self._here, self._there):
            netns.ip("netns", "add", name)
            netns.ip("-n", name, "link", "set", "lo", "up")
        netns.ip("-n", self._there, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self._here)
        ours = [f"addr add {address}/16 dev eth0" for address in OURS]
        self._batch(self._here, [*ours, "link set eth0 up", f"route add default via {GATEWAY}"])
        theirs = [f"route add local {network} dev eth0" for network in (*_INSIDE, *_BEYOND)]
        self._batch(self._there, [f"addr add {GATEWAY}/16 dev eth0", "link set eth0 up", *theirs])

    @staticmethod
    def _batch(name: str, lines: list[str]) -> None:
        netns.ip("-n", name, "-batch", "-", text="\n".join([*lines, ""]))

    def beyond(self, work: Callable[[], _T]) -> _T:
        """Does the work in a thread on the other side, and waits for it. Threads and sockets that it makes stay there."""
        return self._in(self._there, work)

    def here(self, work: Callable[[], _T]) -> _T:
        """The same on this host's side."""
        return self._in(self._here, work)

    def _in(self, name: str, work: Callable[[], _T]) -> _T:
        done: list[Any] = []
        failed: list[BaseException] = []

        def there() -> None:
            try:
                with (netns.MOUNTS / name).open() as file:
                    if _libc.setns(file.fileno(), _NEWNET):
                        raise OSError(ctypes.get_errno(), f"setns {name}")
                done.append(work())
            except BaseException as error:  # handed to the one who waits
                failed.append(error)

        thread = threading.Thread(target=there, daemon=True)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        result: _T = done[0]
        return result


def resolver_file(directory: Path) -> Path:
    """The resolv.conf of this host."""
    path = directory / "resolv.conf"
    path.write_text(f"nameserver {RESOLVER}\noptions timeout:2 attempts:2\n")
    return path
