"""Which BPF programs there are, and what each is attached to.

Invariant: tracepoints cost every process on the host, also those of no interest; the programs of the calls on sockets are
attached only when there is a socket that they are for (bpf/unix.h).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from leeward.sensor import host
from leeward.sensor.libbpf import BpfError, Object

OBJECT = Path(__file__).with_name("bpf") / "leeward.bpf.o"
_ALWAYS = ("read", "write", "readv", "writev")  # one program each at entry, one for all at their exits
_ON_DEMAND = ("recvfrom", "sendto", "recvmsg", "sendmsg")
_TRACEPOINTS = (
    *("on_fork", "on_exec", "on_exit", "on_state"),
    *("on_mmap_enter", "on_mmap_exit", "on_accept4", "on_accept"),
    *("on_listen", "on_connect_enter", "on_connect_exit", "on_signal", "on_called"),
    *(f"on_{call}" for call in _ALWAYS),
)
_TRACEPOINTS_ON_DEMAND = ("on_close", *(f"on_{call}" for call in _ON_DEMAND))
_CGROUP = (
    "on_connect4",
    "on_connect6",
    "on_sendmsg4",
    "on_sendmsg6",
    "on_release",
    "on_egress",
    "on_ingress",
    "on_create",
    "on_established",
)
#: System calls that are looked at when they succeed (bpf/calls.h), by their numbers (arch/x86/entry/syscalls/syscall_64.tbl).
SYSTEM_CALLS: Final = {
    "open": 2, "creat": 85, "openat": 257, "openat2": 437, "dup": 32, "dup2": 33, "dup3": 292, "fcntl": 72, "socket": 41,
    "connect": 42,
    "rename": 82, "renameat": 264, "renameat2": 316, "unlink": 87, "unlinkat": 263, "chmod": 90, "fchmod": 91,
    "fchmodat": 268, "fchmodat2": 452, "ptrace": 101, "process_vm_writev": 311, "memfd_create": 319, "chroot": 161,
    "pivot_root": 155, "mount": 165, "move_mount": 429, "init_module": 175, "finit_module": 313, "bpf": 321, "keyctl": 250,
    "settimeofday": 164, "clock_settime": 227, "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114,
    "setresuid": 117, "setresgid": 119, "capset": 126, "unshare": 272, "setns": 308,
}  # fmt: skip
_UPROBES = ("on_call", "on_done", "on_go_call", "on_go_done", "on_plain", "on_plain_done")


def told_bits() -> list[int]:
    """SYSTEM_CALLS as the kernel's settings have them: one bit a call, in eight words."""
    words = [0] * 8
    for number in SYSTEM_CALLS.values():
        words[number >> 6] |= 1 << (number & 63)
    return words


def load(sizes: dict[str, int]) -> tuple[Object, bool]:
    """The sensor's object, and whether its uprobes attach by uprobe_multi links (kernel 6.6), which come and go ten times
    faster than links of their own."""
    try:
        made = Object(str(OBJECT), sizes, _UPROBES)
        if made.has_uprobe_multi("on_call"):
            return made, True
        made.close()
    except BpfError:
        return Object(str(OBJECT), sizes), False  # refused for the attach type, or for what this one says then
    return Object(str(OBJECT), sizes), False


def attach(program: Object) -> None:
    """Everything but the uprobes and what waits for `attach_calls`."""
    _attach(program, _TRACEPOINTS, _ALWAYS)
    fd = os.open(host.cgroup2(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in _CGROUP:
            program.attach_cgroup(name, fd)
    finally:
        os.close(fd)


def attach_calls(program: Object) -> None:
    """The programs of the system calls on sockets, for databases behind UNIX sockets."""
    _attach(program, _TRACEPOINTS_ON_DEMAND, _ON_DEMAND)


def _attach(program: Object, names: Sequence[str], calls: Sequence[str]) -> None:
    for call in calls:
        program.attach_tracepoint("on_descriptor_exit", "syscalls", f"sys_exit_{call}")
    for name in names:
        program.attach(name)


def missing_programs(names: Sequence[str] = (*_TRACEPOINTS, *_TRACEPOINTS_ON_DEMAND)) -> list[str]:
    """Names of tracing programs that cannot be attached here (for `leeward doctor`)."""
    refused = []
    program = Object(str(OBJECT))
    try:
        for name in names:
            try:
                program.attach(name)
            except BpfError as error:
                refused.append(f"{name}: {error}")
    finally:
        program.close()
    return refused
