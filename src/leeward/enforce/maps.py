"""The kernel's tables of held processes (bpf/hold.h), by their descriptors: what the holder, which loads nothing, does with
them."""

from __future__ import annotations

import ctypes as C
from struct import Struct

from leeward.sensor import layout as L
from leeward.sensor.libbpf import SYS_BPF

_UPDATE, _DELETE = 2, 3  # BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM
_U32, _U64 = Struct("<I"), Struct("<Q")
_ATTRIBUTES = Struct("<I4xQQQ")  # union bpf_attr: map_fd, key, value, flags
HELD, LEFT, SENT = "held", "hold_left", "hold_sent"
#: In the order in which their descriptors are handed over.
NAMES = (HELD, LEFT, SENT, "heartbeat")


class HeldMaps:
    def __init__(self, *descriptors: int) -> None:
        self._fds = dict(zip(NAMES, descriptors, strict=True))
        self._libc = C.CDLL(None, use_errno=True)
        self._libc.syscall.restype = C.c_long

    def _call(self, command: int, name: str, key: bytes, value: bytes = b"") -> bool:
        key_at, value_at = C.create_string_buffer(key, len(key)), C.create_string_buffer(value, max(len(value), 1))
        attributes = _ATTRIBUTES.pack(self._fds[name], C.addressof(key_at), C.addressof(value_at) if value else 0, 0)
        return bool(self._libc.syscall(SYS_BPF, command, attributes, len(attributes)) == 0)

    def put(self, name: str, pid: int, value: int) -> None:
        self._call(_UPDATE, name, _U32.pack(pid), _U32.pack(value))

    def drop(self, name: str, pid: int) -> None:
        self._call(_DELETE, name, _U32.pack(pid))

    def put_connection(self, name: str, tls: int, pid: int, value: int) -> None:
        self._call(_UPDATE, name, L.TLS_KEY.pack(tls, pid, 0), _U32.pack(value))

    def beat(self, now: int, stale: int) -> None:
        """now: monotonic ns; 0: nothing is held any more."""
        self._call(_UPDATE, "heartbeat", _U32.pack(0), L.HEART.pack(now, stale))
