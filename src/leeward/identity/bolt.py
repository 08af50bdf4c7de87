"""A bounded, read-only reader of bbolt databases (containerd's meta.db, libpod's bolt_state.db) beside their writer.

Format: go.etcd.io/bbolt page.go, bucket.go and db.go, file version 2. The writer never overwrites a page of the last
committed transaction before the next one is committed: so what was read counts only if the meta page is still the
same afterwards, else the read is done again. No page, key or value beyond the limits is followed; cycles run into
the depth limit. Whatever the bytes are, the answer is a value, or None and a counter.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from leeward.identity.procfs import Reader

T = TypeVar("T")

MAGIC, VERSION = 0xED0CDAED, 2
_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct(
    "<IIIIQQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, high water, txid, sum
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BUCKET = struct.Struct("<QQ")  # root page (0: the page follows inline), sequence
_BRANCH, _LEAF, _IS_BUCKET = 1, 2, 1

_DEPTH = 24
_PAGES_A_READ = 512
_PAGE_BYTES = 4 << 20
_ATTEMPTS = 2


class BoltError(Exception):
    """The bytes are not what the format allows, or more than the limits."""


def fnv1a(data: bytes) -> int:
    """64-bit FNV-1a (draft-eastlake-fnv), the checksum of a meta page."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


class _Meta:
    def __init__(self, raw: bytes) -> None:
        fields = _META.unpack_from(raw, _PAGE.size)
        magic, version, self.page_size, _, self.root, _, _, self.pages, self.txid, checksum = fields
        body = raw[_PAGE.size : _PAGE.size + _META.size - 8]
        self.valid = (
            magic == MAGIC
            and version == VERSION
            and 1024 <= self.page_size <= 65536
            and self.page_size & (self.page_size - 1) == 0
            and fnv1a(body) == checksum
        )


def _meta(fd: int) -> _Meta:
    """The newest valid one of pages 0 and 1. Without page 0 the page size is unknown: all are tried, as bbolt does."""
    size = _PAGE.size + _META.size
    raw = os.pread(fd, size, 0)
    found = [_Meta(raw)] if len(raw) == size else []
    sizes = [found[0].page_size] if found and found[0].valid else [1024 << n for n in range(7)]
    for page_size in sizes:
        raw = os.pread(fd, size, page_size)
        if len(raw) == size:
            found.append(_Meta(raw))
    valid = [meta for meta in found if meta.valid]
    if not valid:
        raise BoltError("no valid meta page")
    return max(valid, key=lambda meta: meta.txid)


class Bucket:
    """One bucket: keys to values or to buckets. Keys are bytes, in order."""

    def __init__(self, snapshot: Snapshot, page: bytes) -> None:
        self._snapshot, self._page = snapshot, page

    def bucket(self, *names: bytes) -> Bucket | None:
        """The bucket down this way of names; None when there is none."""
        here = self
        for name in names:
            found = here._find(name)
            if found is None or not found[0]:
                return None
            here = here._snapshot.open(found[1])
        return here

    def get(self, key: bytes) -> bytes | None:
        """A value; None when absent or a bucket."""
        found = self._find(key)
        return None if found is None or found[0] else found[1]

    def items(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """The first `limit` values (not buckets)."""
        for is_bucket, key, value in self._leaves(self._page, 0):
            if limit <= 0:
                return
            if not is_bucket:
                limit -= 1
                yield key, value

    def _find(self, key: bytes) -> tuple[bool, bytes] | None:
        page = self._page
        for _ in range(_DEPTH):
            if _flags(page) & _LEAF:
                return next(((b, value) for b, k, value in _leaf_elements(page) if k == key), None)
            child = -1
            for first, page_id in _branch_elements(page):
                if first > key and child >= 0:
                    break
                child = page_id
            page = self._snapshot.page(child)
        raise BoltError("tree too deep")

    def _leaves(self, page: bytes, depth: int) -> Iterator[tuple[bool, bytes, bytes]]:
        if depth > _DEPTH:
            raise BoltError("tree too deep")
        if _flags(page) & _LEAF:
            yield from _leaf_elements(page)
            return
        for _, page_id in _branch_elements(page):
            yield from self._leaves(self._snapshot.page(page_id), depth + 1)


class Snapshot:
    """The last committed transaction of an open file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.meta = _meta(fd)
        self._left = _PAGES_A_READ

    def root(self) -> Bucket:
        return Bucket(self, self.page(self.meta.root))

    def open(self, value: bytes) -> Bucket:
        """The bucket that a leaf's value describes."""
        if len(value) < _BUCKET.size:
            raise BoltError("short bucket")
        root, _ = _BUCKET.unpack_from(value)
        return Bucket(self, self.page(root) if root else _checked(value[_BUCKET.size :]))

    def page(self, page_id: int) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise BoltError("too many pages")
        size = self.meta.page_size
        if not 2 <= page_id < self.meta.pages:
            raise BoltError("page out of range")
        raw = os.pread(self._fd, size, page_id * size)
        if len(raw) < _PAGE.size or _PAGE.unpack_from(raw)[0] != page_id:
            raise BoltError("not the page that was asked for")
        overflow = _PAGE.unpack_from(raw)[3]
        if overflow:
            if (overflow + 1) * size > _PAGE_BYTES:
                raise BoltError("page too large")
            raw = os.pread(self._fd, (overflow + 1) * size, page_id * size)
        return _checked(raw)


def _checked(page: bytes) -> bytes:
    if len(page) < _PAGE.size or _flags(page) not in (_BRANCH, _LEAF):
        raise BoltError("neither branch nor leaf")
    if _PAGE.size + 16 * _PAGE.unpack_from(page)[2] > len(page):  # both kinds of elements take 16 bytes
        raise BoltError("elements beyond the page")
    return page


def _flags(page: bytes) -> int:
    return int(_PAGE.unpack_from(page)[1])


def _branch_elements(page: bytes) -> Iterator[tuple[bytes, int]]:
    for n in range(_PAGE.unpack_from(page)[2]):
        at = _PAGE.size + n * _BRANCH_ELEMENT.size
        position, size, child = _BRANCH_ELEMENT.unpack_from(page, at)
        yield _slice(page, at + position, size), child


def _leaf_elements(page: bytes) -> Iterator[tuple[bool, bytes, bytes]]:
    for n in range(_PAGE.unpack_from(page)[2]):
        at = _PAGE.size + n * _LEAF_ELEMENT.size
        flags, position, key, value = _LEAF_ELEMENT.unpack_from(page, at)
        start = at + position
        yield bool(flags & _IS_BUCKET), _slice(page, start, key), _slice(page, start + key, value)


def _slice(page: bytes, start: int, size: int) -> bytes:
    if start + size > len(page):
        raise BoltError("element beyond the page")
    return page[start : start + size]


def read_bolt(path: Path, question: Callable[[Bucket], T], counters: Counter[str]) -> T | None:
    """What `question` finds in the database at `path`; None (and a counter bolt_*) when it cannot be read.

    `question` is asked again when the database was written meanwhile, and must not keep the bucket."""
    reader = Reader("bolt", counters)
    fd = reader.open(path)
    if fd is None:
        return None
    try:
        for _ in range(_ATTEMPTS):
            try:
                snapshot = Snapshot(fd)
                answer = question(snapshot.root())
                if _meta(fd).txid == snapshot.meta.txid:
                    return answer
                counters["bolt_written_meanwhile"] += 1
            except BoltError:
                counters["bolt_malformed"] += 1
            except OSError as error:
                reader.failed(error)
    finally:
        os.close(fd)
    return None
