"""A file that looks like the memory of a BPF ring buffer (kernel/bpf/ringbuf.c), and its producer's side."""

from __future__ import annotations

import mmap
import os

PAGE = mmap.PAGESIZE
BUSY = 1 << 31


class RingFile:
    """size: of the data, a power of two, at least a page."""

    def __init__(self, size: int = PAGE) -> None:
        self.size = size
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * size)
        self._memory = mmap.mmap(self.fd, 0)
        self.words = memoryview(self._memory).cast("Q")
        self.produced = 0

    def begin(self, data: bytes) -> int:
        """A record that is still being written; returns where it begins."""
        at = self.produced
        self._put(at, (len(data) | BUSY).to_bytes(8, "little") + data)
        self.produced += (len(data) + 8 + 7) & ~7
        self.words[PAGE // 8] = self.produced
        return at

    def submit(self, at: int) -> None:
        start = 2 * PAGE + at % self.size
        length = int.from_bytes(self._memory[start : start + 4], "little") & ~BUSY
        self._put(at, length.to_bytes(4, "little"))

    def add(self, data: bytes) -> None:
        self.submit(self.begin(data))

    def _put(self, at: int, data: bytes) -> None:
        """The data is there twice in a row, as the kernel maps it."""
        for number, byte in enumerate(data):
            place = 2 * PAGE + (at + number) % self.size
            self._memory[place] = self._memory[place + self.size] = byte

    def close(self) -> None:
        self.words.release()
        self._memory.close()
        os.close(self.fd)
