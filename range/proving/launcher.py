"""Starts the processes of a scenario in its namespaces, each held before its execve until it is told to go.

A program of its own (standard library only) and a child of init, so that the processes of a scenario descend from nothing
that knows of the product. Speaks lines of JSON on its standard input and output:
    {"start": n, "argv": [], "env": {}, "cwd": "", "uid": 0, "gid": 0, "unit": "", "out": PATH, "in": PATH} → {"pid": n, "of": n}
    {"go": pid} … → {"ended": pid, "code": c}
Arguments: network namespace's file, resolv.conf, and pairs SOURCE=TARGET to bind. When its standard input closes it kills
what it started (each with its process group) and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

_NEWNS, _NEWNET = 0x00020000, 0x40000000  # linux/sched.h
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18  # sys/mount.h
_UNIFIED = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, flags: int) -> None:
    _check(_libc.mount(source.encode(), target.encode(), None, flags, None), f"mount {source} {target}")


def _enter(namespace: str, binds: list[str]) -> None:
    """This process into the network, with files of its own."""
    with open(namespace) as file:
        _check(_libc.setns(file.fileno(), _NEWNET), namespace)
    _check(_libc.unshare(_NEWNS), "unshare")
    _mount("none", "/", _REC | _PRIVATE)
    for bind in binds:
        source, target = bind.split("=", 1)
        _mount(source, target, _BIND)


def unit_group() -> Path:
    """The cgroup of systemd's services."""
    return next(p for p in _UNIFIED if (p / "cgroup.procs").exists()) / "system.slice"


def _join(unit: str) -> None:
    """A cgroup as systemd makes them for a service."""
    group = unit_group() / unit
    group.mkdir(parents=True, exist_ok=True)
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _child(order: dict[str, Any], namespace: str, binds: list[str], gate: int, ready: int) -> None:
    try:
        os.setsid()
        if order.get("unit"):
            _join(order["unit"])
        for number, path, flags in (
            (0, order.get("in") or "/dev/null", os.O_RDONLY),
            (1, order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        ):
            opened = os.open(path, flags, 0o600)
            os.dup2(opened, number)
            os.close(opened)
        os.dup2(1, 2)
        _enter(namespace, binds)
        os.chdir(order.get("cwd") or "/")
        if order.get("uid"):
            os.setgroups([])
            os.setgid(order.get("gid") or order["uid"])
            os.setuid(order["uid"])
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.close(ready)  # all that is not the scenario's own doing is done: whoever watches may begin
        if os.read(gate, 1):
            os.closerange(3, 256)
            os.execve(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        print(f"launcher: {order['argv'][0]}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def _say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


def main() -> None:
    namespace, binds = sys.argv[1], sys.argv[2:]
    if os.fork():
        os._exit(0)  # what goes on is a child of init
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gates: dict[int, int] = {}
    alive: set[int] = set()
    rest = b""
    try:
        while True:
            ready, _, _ = select.select([0], [], [], 0.02)
            if ready:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for order in map(json.loads, lines):
                    if "go" in order:
                        gate = gates.pop(order["go"])
                        with contextlib.suppress(BrokenPipeError):  # it failed already, and says why
                            os.write(gate, b"g")
                        os.close(gate)
                        continue
                    inner, outer = os.pipe()
                    waiting, ready = os.pipe()
                    pid = os.fork()
                    if not pid:
                        os.close(outer)
                        _child(order, namespace, binds, inner, ready)
                    os.close(inner)
                    os.close(ready)
                    os.read(waiting, 1)  # ends when it is ready, or gone
                    os.close(waiting)
                    gates[pid] = outer
                    alive.add(pid)
                    _say(pid=pid, of=order["start"])
            while alive:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid in alive:
                    alive.remove(pid)
                    _say(ended=pid, code=os.waitstatus_to_exitcode(status))
    finally:
        for pid in alive:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


if __name__ == "__main__":
    main()
