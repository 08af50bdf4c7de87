"""ptrace, as little of it as holding needs: threads are seized, stop, go on. x86-64.

Invariants: all calls come from one thread, the tracer (the kernel asks for that). A thread that is seized runs on by itself when
the tracer ends, whatever ended it. Signals that are not the hold's own are handed on unchanged. Numbers:
include/uapi/linux/ptrace.h.
"""

from __future__ import annotations

import ctypes as C
import errno
import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import msgspec

_CONT, _DETACH = 7, 17
_GETREGS, _SETREGS = 12, 13
_GETEVENTMSG, _GETSIGINFO = 0x4201, 0x4202
_SEIZE, _INTERRUPT, _LISTEN = 0x4206, 0x4207, 0x4208
_OPTIONS = 0x02 | 0x04 | 0x08 | 0x10  # TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_STOP = 1, 2, 3, 4, 128
_WALL = 0x40000000
_SI_KERNEL = 0x80
#: The signals that bpf/hold.h sends. Go preempts its goroutines with SIGURG, and one that is pending swallows another: it
#: gets SIGWINCH.
HOLDING = (signal.SIGURG, signal.SIGWINCH)
_STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class Registers(C.Structure):
    """struct user_regs_struct (arch/x86/include/asm/user_64.h)."""

    _fields_ = tuple(
        (name, C.c_uint64)
        for name in [
            "r15",
            "r14",
            "r13",
            "r12",
            "rbp",
            "rbx",
            "r11",
            "r10",
            "r9",
            "r8",
            "rax",
            "rcx",
            "rdx",
            "rsi",
            "rdi",
            "orig_rax",
            "rip",
            "cs",
            "eflags",
            "rsp",
            "ss",
            "fs_base",
            "gs_base",
            "ds",
            "es",
            "fs",
            "gs",
        ]
    )


class _Span(C.Structure):
    """struct iovec."""

    _fields_ = (("base", C.c_void_p), ("size", C.c_size_t))


class Stop(msgspec.Struct, frozen=True):
    """A thread stopped or ended. kind: "held" (by a signal of the hold, if it is ours), "event", "signal", "group" (its whole
    process is stopped) or "ended". number: of the event or signal, or the wait status. kernel: the kernel itself sent the
    signal."""

    tid: int
    kind: str
    number: int = 0
    kernel: bool = False


def _libc() -> C.CDLL:
    libc = C.CDLL(None, use_errno=True)
    libc.ptrace.restype = C.c_long
    libc.ptrace.argtypes = [C.c_long, C.c_long, C.c_void_p, C.c_void_p]
    libc.process_vm_readv.restype = C.c_ssize_t
    libc.process_vm_readv.argtypes = [C.c_int, C.POINTER(_Span), C.c_ulong, C.POINTER(_Span), C.c_ulong, C.c_ulong]
    return libc


_LIBC = _libc()


def _ptrace(request: int, tid: int, address: int = 0, data: int = 0) -> bool:
    """False: the thread is gone, or not stopped."""
    return bool(_LIBC.ptrace(request, tid, address, data) == 0)


def seize(tid: int) -> str:
    """Begins to trace a thread, without stopping it. Returns why it could not be, "" if it could."""
    if _ptrace(_SEIZE, tid, 0, _OPTIONS):
        return ""
    number = C.get_errno()
    return "it is being traced already" if number == errno.EPERM else os.strerror(number)


def resume(tid: int, number: int = 0) -> bool:
    """Lets a stopped thread go on, with this signal."""
    return _ptrace(_CONT, tid, 0, number)


def listen(tid: int) -> bool:
    """Leaves a thread in its group's stop, as job control wants it."""
    return _ptrace(_LISTEN, tid)


def interrupt(tid: int) -> bool:
    """Asks a running thread to stop (EVENT_STOP)."""
    return _ptrace(_INTERRUPT, tid)


def detach(tid: int, number: int = 0) -> bool:
    """Lets a stopped thread go for good, with this signal."""
    return _ptrace(_DETACH, tid, 0, number)


def message(tid: int) -> int:
    """What belongs to the event that a thread is stopped at: the new thread, or the old id of the one that called exec."""
    value = C.c_ulong(0)
    return value.value if _ptrace(_GETEVENTMSG, tid, 0, C.addressof(value)) else 0


def registers(tid: int) -> Registers | None:
    """Of a stopped thread."""
    found = Registers()
    return found if _ptrace(_GETREGS, tid, 0, C.addressof(found)) else None


def set_registers(tid: int, values: Registers) -> bool:
    return _ptrace(_SETREGS, tid, 0, C.addressof(values))


def _from_kernel(tid: int) -> bool:
    """Was the signal that a thread is stopped at sent by the kernel itself? siginfo_t: si_signo, si_errno, si_code."""
    info = (C.c_int * 32)()
    return _ptrace(_GETSIGINFO, tid, 0, C.addressof(info)) and info[2] == _SI_KERNEL


def stops(tid: int = -1) -> Iterator[Stop]:
    """Threads that stopped or ended since the last call; of one thread only if `tid` is given. Does not wait."""
    while True:
        try:
            found, status = os.waitpid(tid, os.WNOHANG | _WALL)
        except ChildProcessError:
            return
        if not found:
            return
        yield _told(found, status)


def _told(tid: int, status: int) -> Stop:
    if not os.WIFSTOPPED(status):
        return Stop(tid, "ended", status)
    number, event = os.WSTOPSIG(status), status >> 16
    if event == EVENT_STOP and number in _STOPPING:
        return Stop(tid, "group", number)
    if event:
        return Stop(tid, "event", event)
    if number in HOLDING:
        return Stop(tid, "held", number, _from_kernel(tid))
    return Stop(tid, "signal", number)


def threads_of(pid: int) -> list[int]:
    """[] if the process is gone."""
    with suppress(OSError):
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    return []


def process_of(tid: int) -> int:
    """The process of a thread, 0 if it is gone."""
    with (
        suppress(OSError, ValueError, StopIteration),
        open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as lines,
    ):
        return int(next(line for line in lines if line.startswith("Tgid:")).split()[1])
    return 0


def read(pid: int, address: int, size: int) -> bytes:
    """Bytes of a process's memory; fewer than asked for if it ends there."""
    buffer = C.create_string_buffer(size)
    ours, theirs = _Span(C.addressof(buffer), size), _Span(address, size)
    count = _LIBC.process_vm_readv(pid, C.byref(ours), 1, C.byref(theirs), 1, 0)
    return buffer.raw[: max(count, 0)]


def write(pid: int, edits: list[tuple[int, bytes]]) -> bool:
    """Writes (address, bytes) each into a process's memory, read-only pages too (they are copied first, as for a debugger)."""
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    except OSError:
        return False
    try:
        return all(os.pwrite(memory, put, at) == len(put) for at, put in edits)
    except OSError:
        return False
    finally:
        os.close(memory)
