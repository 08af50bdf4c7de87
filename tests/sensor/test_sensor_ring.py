"""The ring buffer as its consumer reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing import get_context

import pytest

from leeward.sensor.ring import Ring
from ring_file import RingFile


@pytest.fixture
def ring_file() -> Iterator[RingFile]:
    made = RingFile()
    yield made
    made.close()


def _read(ring: Ring, limit: int = 100) -> list[bytes]:
    return [bytes(memory[at : at + 4]) for memory, at in ring.records(limit)]


def test_records_are_read_once_and_round_the_end(ring_file: RingFile) -> None:
    ring = Ring(ring_file.fd, ring_file.size)
    for number in range(2000):
        ring_file.add(number.to_bytes(4, "little"))
        assert _read(ring) == [number.to_bytes(4, "little")]
    assert ring_file.words[0] == ring_file.produced == 2000 * 16
    assert not ring.waiting()
    ring.close()


def test_a_record_that_is_being_written_keeps_those_behind_it(ring_file: RingFile) -> None:
    ring = Ring(ring_file.fd, ring_file.size)
    busy = ring_file.begin(b"one.")
    ring_file.add(b"two.")
    assert _read(ring) == []
    assert (ring.read, ring.begun) == (0, 32)
    ring_file.submit(busy)
    assert _read(ring) == [b"one.", b"two."]
    ring.close()


def _watch(fd: int, size: int) -> None:
    """Reads records as they come, for as long as there are some."""
    ring = Ring(fd, size)
    while ring.read < 64 * 4096:
        _read(ring)
    os._exit(0)


def test_the_kernel_never_sees_half_a_position(ring_file: RingFile) -> None:
    """It would take the ring for full: a call would not be held, an event would be lost."""
    context = get_context("fork")
    reader = context.Process(target=_watch, args=(ring_file.fd, ring_file.size))
    for number in range(64):
        ring_file.add(number.to_bytes(4, "little"))
    reader.start()
    last = backwards = 0
    words, add = ring_file.words, ring_file.add
    while reader.is_alive() and last < 64 * 4096:
        seen = words[0]
        backwards += seen < last or seen > ring_file.produced
        last = max(last, min(seen, ring_file.produced))
        if ring_file.produced - last < 64:
            add(b"data")
    reader.join(20)
    assert reader.exitcode == 0
    assert backwards == 0
