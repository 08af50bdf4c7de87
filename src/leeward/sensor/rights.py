"""Whose rights the processes have that began before the sensor, from /proc, for the kernel's table (bpf/rights.h)."""

from __future__ import annotations

import re
from pathlib import Path

from leeward.sensor import layout as L

# proc(5), status: real, effective, saved and file system ids; effective capabilities in hexadecimal
_STATUS = re.compile(rb"\nUid:\t(\d+)\t(\d+)\t.*\nGid:\t(\d+)\t.*\nCapEff:\t([0-9a-f]{1,16})\n", re.DOTALL)


def parse_rights(status: bytes) -> bytes | None:
    """struct rights of /proc/PID/status; None if it is none."""
    match = _STATUS.search(status)
    if match is None:
        return None
    uid, euid, gid = (min(int(match[n]), 0xFFFFFFFF) for n in (1, 2, 3))
    return L.RIGHTS.pack(uid, euid, gid, 0, int(match[4], 16), 0)


def rights_of(pid: int) -> bytes | None:
    """The same of a process; None if it is gone."""
    try:
        return parse_rights(Path(f"/proc/{pid}/status").read_bytes())
    except OSError:
        return None
