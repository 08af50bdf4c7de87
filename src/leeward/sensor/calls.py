"""From the kernel's records of system calls (bpf/calls.h) to events: the path put together, the file's class, who the target is.

Invariants: a record of a file that is of no class yields None; any bytes of names are taken. /proc is read only for what the
kernel cannot tell: whom a number in another PID namespace means, and which namespaces are the host's.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from posixpath import normpath
from typing import Any

import msgspec

from leeward.model.raw import SystemCalled
from leeward.sensor import decode
from leeward.sensor import layout as L
from leeward.sensor.files import Files

_FILES = frozenset(["open", "rename", "unlink", "chmod"])
_SETUID = 0o4000
# include/uapi/linux/sched.h
_NAMESPACES = {
    0x00000080: "time",
    0x00020000: "mnt",
    0x02000000: "cgroup",
    0x04000000: "uts",
    0x08000000: "ipc",
    0x10000000: "user",
    0x20000000: "pid",
    0x40000000: "net",
}
_HOW = {"s": "setns", "u": "unshare", "c": "clone"}
_RIGHTS = {"n": "user-namespace", "e": "exec", "c": "call"}
_FAMILIES = {17: "packet", 44: "xdp"}
_SOCK_RAW = 3
_MOST_PROCESSES = 65536


class Call(msgspec.Struct, frozen=True):
    """struct ev_system. chain: the path that a file or folder has."""

    ts: int
    pid: int
    kind: str
    number: int
    target: int
    flags: int
    level: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    stream: tuple[int, ...]
    label: str
    name: str
    other: str
    chain: str


def parse(memory: mmap.mmap | bytes, at: int, epoch: int) -> Call:
    values = L.SYSTEM.unpack_from(memory, at)
    ts, _, pid, number, kind, target, flags, level = values[:8]
    uid, euid, gid, _, caps, uid2, euid2, gid2, _, caps2 = values[8:18]
    name, other, chain, length, label = values[22:]
    text = at + L.SYSTEM.size
    raw = bytes(memory[text : text + min(length, 2560)])
    parts = (raw[:name], raw[name : name + other], raw[name + other : name + other + chain])
    kind = L.SYSTEM_KINDS[kind] if kind < len(L.SYSTEM_KINDS) else ""
    before = (uid, euid, gid, caps) if kind == "identity" else ()
    after = (uid2, euid2, gid2, caps2) if kind == "identity" else ()
    components = [c for c in parts[2].rstrip(b"\0").split(b"\0") if c]
    return Call(
        ts + epoch, pid, kind, number, target, flags, level, before, after, values[18:22], _text(label), _text(parts[0]),
        _text(parts[1]), "/" + _text(b"/".join(reversed(components))),
    )  # fmt: skip


def _text(raw: bytes) -> str:
    return decode.text(raw.split(b"\0", 1)[0])


def whole(name: str, start: str) -> str:
    """A path as it was given, made absolute and simple. Its links are not followed."""
    path = normpath(name if name.startswith("/") else f"{start}/{name}")
    return "/" + path.lstrip("/")


class SystemCalls:
    """files: which are of interest. process_in: whom a thread's number means in the PID namespace of a process, `level` steps
    down."""

    def __init__(self, files: Files, process_in: Callable[[int, int, int], int] | None = None) -> None:
        self._files, self._process_in = files, process_in or process_in_namespace
        self._hosts = host_namespaces()
        self._fields: dict[str, Callable[[Call], dict[str, Any]]] = {
            "memfd": lambda c: {"source": c.name.removeprefix("memfd:")},
            "mount": lambda c: {
                "path": whole(c.name, c.chain),
                "source": c.other,
                "label": c.label,
                "number": c.number,
            },
            "chroot": lambda c: {"path": whole(c.name, c.chain)},
            "module": lambda c: {"path": "" if c.chain == "/" else c.chain},
            "bpf": lambda c: {"source": c.name, "number": c.number},
            "stream": lambda c: {"number": c.number, "stream": decode.stream(c.stream)},
            "namespace": self._namespace,
            "socket": _socket,
            "identity": lambda c: {"before": c.before, "after": c.after, "label": _RIGHTS.get(c.label, "")},
        }

    def event(self, memory: mmap.mmap | bytes, at: int, epoch: int) -> SystemCalled | None:
        """The event of the record at `at`; None of a file that is of no interest after all."""
        call = parse(memory, at, epoch)
        if call.kind in _FILES:
            return self._on_file(call)
        fields = self._fields.get(call.kind, _numbered)(call)
        target = call.target
        if target and call.flags & L.TARGET_IN_NAMESPACE:
            target = self._process_in(call.pid, target, call.level)
            if target == call.pid:
                return None
        return SystemCalled(call.ts, call.pid, call.kind, target=target, **fields)

    def _on_file(self, call: Call) -> SystemCalled | None:
        path = whole(call.name, call.chain) if call.name else call.chain
        source = whole(call.other, call.chain) if call.other else ""
        write = call.kind != "open" or bool(call.number)
        label = self._files.label(path, write) or (self._files.label(source, True) if source else "")
        if not label and call.flags & L.ON_BLOCK_DEVICE:
            label = "device"
        if not label and call.kind == "chmod" and call.number & _SETUID:
            label = "setuid"
        if not label:
            return None
        return SystemCalled(call.ts, call.pid, call.kind, path, source, label, call.number, call.target)

    def _namespace(self, call: Call) -> dict[str, Any]:
        inode = call.stream[0]
        kind = _NAMESPACES.get(call.number, "")
        return {
            "number": call.number,
            "label": _HOW.get(call.label, ""),
            "source": f"{kind}:[{inode}]" if inode else "",
            "path": "host" if inode and inode in self._hosts else "",
        }


def _numbered(call: Call) -> dict[str, Any]:
    return {"number": call.number}


def _socket(call: Call) -> dict[str, Any]:
    """number: protocol, family and type of socket(2), in 32, 16 and 16 bits."""
    protocol, family, kind = call.number & 0xFFFFFFFF, call.number >> 32 & 0xFFFF, call.number >> 48
    return {"number": protocol, "label": _FAMILIES.get(family) or ("raw" if kind == _SOCK_RAW else "icmp")}


def host_namespaces(proc: Path = Path("/proc")) -> frozenset[int]:
    """Inode numbers of the namespaces of process 1; of our own where we may not look at its."""
    found = set()
    for kind in _NAMESPACES.values():
        for whose in ("1", "self"):
            with suppress(OSError):
                found.add(os.stat(proc / whose / "ns" / kind).st_ino)
                break
    return frozenset(found)


def process_in_namespace(pid: int, number: int, level: int, proc: Path = Path("/proc")) -> int:
    """The process of which a thread has this number in the PID namespace of `pid`, `level` steps below ours; 0 if it is gone."""
    if not level:
        status = _status(proc / str(number))
        return int(status["Tgid"][0]) if status.get("Tgid") else 0
    try:
        space = os.readlink(proc / str(pid) / "ns/pid")
        entries = [e for e in os.listdir(proc) if e.isdigit()][:_MOST_PROCESSES]
    except OSError:
        return 0
    for entry in entries:
        numbers = _status(proc / entry).get("NStgid", [])
        with suppress(OSError):
            if len(numbers) > level and numbers[level] == str(number) and os.readlink(proc / entry / "ns/pid") == space:
                return int(entry)
    return 0


def _status(folder: Path) -> dict[str, list[str]]:
    """/proc/PID/status (proc(5)); empty when the process is gone."""
    try:
        text = (folder / "status").read_text(errors="replace")
    except OSError:
        return {}
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in text.splitlines())}
