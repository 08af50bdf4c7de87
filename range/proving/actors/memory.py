"""Reaches into another process: memory.py ptrace|write PID. ptrace: attaches, looks at one word, lets it go. write: writes into
the buffer whose address the other process printed (memory.py victim prints it and waits)."""

import ctypes
import os
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
ATTACH, DETACH, POKEDATA, PEEKDATA = 16, 17, 5, 2  # sys/ptrace.h


class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


if sys.argv[1] == "victim":
    libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, any: for hosts with Yama
    buffer = ctypes.create_string_buffer(b"original", 64)
    print(ctypes.addressof(buffer), flush=True)
    for _ in range(100):
        time.sleep(0.1)
        if buffer.value != b"original":
            break
    print(buffer.value.decode(), flush=True)
    sys.exit()

pid, address = int(sys.argv[2]), int(sys.argv[3])
if sys.argv[1] == "write":
    text = ctypes.create_string_buffer(b"injected")
    ours, theirs = Piece(ctypes.addressof(text), 9), Piece(address, 9)
    check(libc.process_vm_writev(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0), "process_vm_writev")
else:
    check(libc.ptrace(ATTACH, pid, None, None), "attach")
    os.waitpid(pid, 0x40000000)  # __WALL
    check(libc.ptrace(POKEDATA, pid, address, int.from_bytes(b"injected", "little")), "poke")
    check(libc.ptrace(DETACH, pid, None, None), "detach")
