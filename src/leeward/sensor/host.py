"""What this host offers the sensor, found by trying (a listed config option proves nothing), and the mounts it needs.

Invariant: changes to the host are the two standard pseudo file systems only: tracefs where it belongs, cgroup v2 in a
private place when no mount of it exists.
"""

from __future__ import annotations

import ctypes as C
import os
from pathlib import Path

from leeward.model.errors import HostError

_TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_PRIVATE_CGROUP = Path("/run/leeward/cgroup2")


def need_root() -> None:
    """HostError with one line if this process cannot load BPF programs and attach uprobes."""
    if os.geteuid() != 0:
        raise HostError(
            "the live sensor needs root (CAP_SYS_ADMIN for uprobes): run it with sudo; "
            "`leeward replay` and `leeward doctor` work without"
        )
    if not Path("/sys/kernel/btf/vmlinux").exists():
        raise HostError(
            "this kernel carries no BTF (/sys/kernel/btf/vmlinux), so BPF programs cannot be fitted to it: use a kernel "
            "built with CONFIG_DEBUG_INFO_BTF; `leeward replay` works without"
        )


def _mount(kind: str, where: str) -> None:
    libc = C.CDLL(None, use_errno=True)
    if libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
        number = C.get_errno()
        raise HostError(f"cannot mount {kind} on {where}: {os.strerror(number)}: mount it, then start again")


def tracefs() -> Path:
    """Where tracefs is mounted; mounts it in its standard place if it is nowhere."""
    for place in _TRACEFS:
        if os.path.isdir(f"{place}/events"):
            return Path(place)
    if not os.path.isdir(_TRACEFS[0]):
        raise HostError("this kernel has no tracefs: build it with CONFIG_FTRACE")
    _mount("tracefs", _TRACEFS[0])
    return Path(_TRACEFS[0])


def cgroup2() -> Path:
    """The root of the cgroup v2 hierarchy: where /proc/mounts says, else mounted privately."""
    for line in Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "cgroup2":
            return Path(fields[1])
    _PRIVATE_CGROUP.mkdir(parents=True, exist_ok=True)
    _mount("cgroup2", str(_PRIVATE_CGROUP))
    return _PRIVATE_CGROUP
