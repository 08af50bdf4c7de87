"""Reads a BPF ring buffer (BPF_MAP_TYPE_RINGBUF) through its memory map, without a callback an event.

Invariant: the consumer position is published only after the records were copied out, and in one store: the kernel reads it at
any moment, and takes the ring for full when it sees half of it (`Struct.pack_into` writes zeros first). Layout:
kernel/bpf/ringbuf.c: one page with the consumer's position, one with the producer's, then the data, mapped twice in a row.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

_PAGE = mmap.PAGESIZE
_BUSY, _DISCARD = 1 << 31, 1 << 30


class Ring:
    """One ring. `fd` is the map's descriptor, `size` its max_entries in bytes (a power of two)."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self._mask = size - 1
        self._mine = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._theirs = mmap.mmap(fd, _PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        # views of machine words, which are loaded and stored whole
        self._consumed, self._produced = memoryview(self._mine).cast("Q"), memoryview(self._theirs).cast("Q")
        self._lengths = memoryview(self._theirs).cast("I")
        self._at = self._consumed[0]

    def records(self, limit: int) -> Iterator[tuple[mmap.mmap, int]]:
        """Up to `limit` records that are there now, as (memory, offset of the record's data). Copy before you go on."""
        memory, lengths, mask, at = self._theirs, self._lengths, self._mask, self._at
        end = self._produced[0]
        taken = 0
        while at < end and taken < limit:
            start = _PAGE + (at & mask)
            length = lengths[start >> 2]
            if length & _BUSY:
                break
            if not length & _DISCARD:
                yield memory, start + 8
                taken += 1
            at += ((length & ~_DISCARD) + 8 + 7) & ~7
            self._at = at
        self._consumed[0] = self._at

    @property
    def read(self) -> int:
        """The position up to which records were read."""
        return self._at

    @property
    def begun(self) -> int:
        """The position up to which records were begun. One that is still being written keeps those behind it from being read."""
        return self._produced[0]

    def waiting(self) -> bool:
        """Is there a record that was not read?"""
        return self.begun > self.read

    def close(self) -> None:
        for view in (self._consumed, self._produced, self._lengths):
            view.release()
        self._mine.close()
        self._theirs.close()
