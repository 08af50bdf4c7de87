"""Reads a BPF ring buffer (BPF_MAP_TYPE_RINGBUF) through its memory map, without a callback an event.

Invariant: the consumer position is published only after the records were copied out. Layout: kernel/bpf/ringbuf.c:
one page with the consumer's position, one with the producer's, then the data, mapped twice in a row.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from struct import Struct

_PAGE = mmap.PAGESIZE
_POSITION = Struct("<Q")
_LENGTH = Struct("<I")
_BUSY, _DISCARD = 1 << 31, 1 << 30


class Ring:
    """One ring. `fd` is the map's descriptor, `size` its max_entries in bytes (a power of two)."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self._mask = size - 1
        self._mine = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._theirs = mmap.mmap(fd, _PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._at = _POSITION.unpack_from(self._mine)[0]

    def records(self, limit: int) -> Iterator[tuple[mmap.mmap, int]]:
        """Up to `limit` records that are there now, as (memory, offset of the record's data). Copy before you go on."""
        memory, mask, at = self._theirs, self._mask, self._at
        end = _POSITION.unpack_from(memory)[0]
        taken = 0
        while at < end and taken < limit:
            start = _PAGE + (at & mask)
            length = _LENGTH.unpack_from(memory, start)[0]
            if length & _BUSY:
                break
            if not length & _DISCARD:
                yield memory, start + 8
                taken += 1
            at += ((length & ~_DISCARD) + 8 + 7) & ~7
            self._at = at
        _POSITION.pack_into(self._mine, 0, self._at)

    def waiting(self) -> bool:
        """Is there a record that was not read?"""
        return bool(_POSITION.unpack_from(self._theirs)[0] > self._at)

    def close(self) -> None:
        self._mine.close()
        self._theirs.close()
