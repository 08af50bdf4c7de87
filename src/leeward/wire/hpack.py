"""HPACK for an observer: header blocks of one direction of one connection, also when their beginning was missed.

Source: RFC 7541. Invariants: never raises; table, list and strings are bounded. A decoder that joined late (or lost bytes) does
not know the entries made before: references to them come out as `UNKNOWN`, references to entries that it saw being made are
right, since indices count from the newest.
"""

from __future__ import annotations

import functools
from collections import deque

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Header = tuple[str, str]
UNKNOWN: Header = ("", "")
STATIC: tuple[Header, ...] = tuple((n.decode(), v.decode()) for n, v in HeaderTable.STATIC_TABLE)
_LARGEST_TABLE = 1 << 16  # octets; peers use 4096, browsers 65536
_OVERHEAD = 32  # RFC 7541 §4.1: an entry's size is that of its name and value plus 32
_DEFAULT_TABLE = 4096  # RFC 9113 §6.5.2, SETTINGS_HEADER_TABLE_SIZE
_HEADERS = 1024  # a block


class Malformed(Exception):
    """A header block that cannot be read on; the connection's table is lost with it."""


@functools.lru_cache(maxsize=4096)
def _huffman(data: bytes) -> str:
    try:
        return decode_huffman(data).decode("latin-1")
    except HPACKDecodingError as error:
        raise Malformed(str(error)) from error


class HpackDecoder:
    """limit: octets of names and values of one block. unknown: references so far to entries that were never seen."""

    def __init__(self, limit: int = 64 << 10) -> None:
        self.unknown = 0
        self._limit = limit
        self._table: deque[tuple[Header, int]] = deque()
        self._size = 0
        self._most = _DEFAULT_TABLE
        self._late = False  # the table had entries before the first that was seen

    def lose(self) -> None:
        """What is in the table is not known any more (joined late, or bytes are missing)."""
        self._table.clear()
        self._size = 0
        self._late = True

    def decode(self, block: bytes) -> list[Header] | None:
        """The headers of a whole block; None if it is malformed or too large: then the table is lost too."""
        try:
            return self._decode(block)
        except (Malformed, IndexError):
            self.lose()
            return None

    def _decode(self, block: bytes) -> list[Header]:
        headers: list[Header] = []
        at, size, total = 0, len(block), 0
        while at < size:
            first = block[at]
            if first & 0x80:  # §6.1 indexed
                index, at = _integer(block, at, 7)
                header = self._at(index)
            elif first & 0xE0 == 0x20:  # §6.3 table size update
                most, at = _integer(block, at, 5)
                self._resize(most)
                continue
            else:  # §6.2: literal, with incremental indexing if 01, by a four-bit index otherwise
                indexed = first & 0xC0 == 0x40
                index, at = _integer(block, at, 6 if indexed else 4)
                if index:
                    name = self._at(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                header = (name, value)
                if indexed:
                    self._insert(header)
            total += len(header[0]) + len(header[1]) + _OVERHEAD
            if total > self._limit or len(headers) >= _HEADERS:
                raise Malformed("too many headers")
            headers.append(header)
        return headers

    def _at(self, index: int) -> Header:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        place = index - len(STATIC) - 1
        if 0 <= place < len(self._table):
            return self._table[place][0]
        if not self._late or not index or place * _OVERHEAD > _LARGEST_TABLE:
            raise Malformed("no such entry")
        self.unknown += 1
        return UNKNOWN

    def _insert(self, header: Header) -> None:
        size = len(header[0]) + len(header[1]) + _OVERHEAD
        if header[0] == "" and self._late:
            size = _OVERHEAD  # its name is one that was never seen; how long it is cannot be known
        self._table.appendleft((header, size))
        self._size += size
        self._evict()

    def _resize(self, most: int) -> None:
        if most > _LARGEST_TABLE:
            raise Malformed("table too large")
        self._most = most
        self._evict()

    def _evict(self) -> None:
        while self._size > self._most and self._table:
            self._size -= self._table.pop()[1]

    def allow(self, most: int) -> None:
        """The other side's SETTINGS_HEADER_TABLE_SIZE. An encoder that is to use less says so in its next block (§4.2); one that
        may use more need not, so a larger table is kept where the late joiner could not know."""
        if self._late:
            self._most = max(self._most, min(most, _LARGEST_TABLE))


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """§5.1: (value, where it ends). IndexError: it is cut."""
    mask = (1 << bits) - 1
    value = data[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        byte = data[at]
        at += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 28:
            raise Malformed("integer too large")


def _string(data: bytes, at: int) -> tuple[str, int]:
    """§5.2: (text, where it ends)."""
    packed = data[at] & 0x80
    length, at = _integer(data, at, 7)
    end = at + length
    if end > len(data):
        raise Malformed("cut string")
    raw = data[at:end]
    return (_huffman(raw) if packed else raw.decode("latin-1")), end
