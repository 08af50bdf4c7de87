"""Bytes of a fuzzer as what a connection's parser is fed: pieces of two directions, gaps, and an end.

A step is one control byte and its argument: bit 0 the direction, bits 1-2 the kind (0, 1: data; 2: a gap; 3: all that is left).
After the control byte comes a length, then for data so many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

DATA, GAP = "data", "gap"


def steps(data: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """(kind, to_server, bytes) of each step; a gap's bytes only stand for their number."""
    at = 0
    while at < len(data):
        control = data[at]
        at += 1
        kind = control >> 1 & 3
        size = len(data) - at if kind == 3 else data[at] if at < len(data) else 0
        at += kind != 3
        if kind == 2:
            yield GAP, bool(control & 1), bytes(size)
            continue
        yield DATA, bool(control & 1), data[at : at + size]
        at += size


def seed(*pieces: tuple[bool, bytes]) -> bytes:
    """The other way round: data steps for these pieces, cut where one is longer than a step holds."""
    out = bytearray()
    for to_server, piece in pieces:
        for at in range(0, len(piece), 255):
            part = piece[at : at + 255]
            out += bytes([int(to_server), len(part)]) + part
    return bytes(out)


class Parser(Protocol):
    def feed(self, to_server: bool, ts: int, data: bytes) -> object: ...
    def gap(self, to_server: bool, ts: int, size: int) -> object: ...
    def close(self, ts: int) -> object: ...


def drive(parser: Parser, data: bytes) -> None:
    """Feeds a parser what `data` says and ends it."""
    for number, (kind, to_server, piece) in enumerate(steps(data)):
        if kind == GAP:
            parser.gap(to_server, number, len(piece))
        else:
            parser.feed(to_server, number, piece)
    parser.close(1 << 20)
