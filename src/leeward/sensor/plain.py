"""Where a process's libc writes to sockets.

Invariant: an offset comes from the file's own symbol table. A process that has its libc elsewhere, or none, is not seen here.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from leeward.sensor.elf import Elf, ElfError

#: function → the program's name for what it is given (layout.CALLS)
_CALLS = {
    "send": "on_plain",
    "sendto": "on_plain",
    "write": "on_plain",
    "writev": "on_plain_vector",
    "sendmsg": "on_plain_message",
}
_PLACES = (
    "lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "lib64/libc.so.6",
    "usr/lib64/libc.so.6",
    "lib/libc.so.6",
    "lib/ld-musl-x86_64.so.1",
)


def libraries_of(pid: int) -> Iterator[tuple[Path, tuple[tuple[str, int], ...]]]:
    """Each libc under the root of a process, once: its path for us, and (program, offset) of its calls."""
    seen: set[tuple[int, int]] = set()
    for place in _PLACES:
        path = Path(f"/proc/{pid}/root/{place}")
        try:
            status = path.stat()
        except OSError:
            continue
        key = (status.st_dev, status.st_ino)
        if key not in seen:
            seen.add(key)
            calls = _calls(key, str(path), status.st_mtime_ns)
            if calls:
                yield path, calls


@functools.lru_cache(maxsize=256)
def _calls(_key: tuple[int, int], path: str, _changed: int) -> tuple[tuple[str, int], ...]:
    """Two names of one function (write, __write) are one call."""
    found: dict[int, str] = {}
    try:
        with Elf(Path(os.path.realpath(path))) as elf:
            for name, program in _CALLS.items():
                address = elf.symbol(name)
                if address is not None:
                    found[elf.offset(address)] = program
    except (ElfError, OSError):
        return ()
    return tuple((program, at) for at, program in found.items())
