"""Finding where a library keeps the client random: in this process's own memory, and across sessions."""

import ctypes
import os

import pytest

from leeward.sensor.calibrate import Calibration, Place, find_randoms, place_in, with_place
from leeward.sensor.target import NO_LAYOUT

FIELD, STALE, OTHER = Place(48, 48), Place(24, 700), Place(-1, 16)


def test_one_session_is_not_enough() -> None:
    calibration = Calibration()
    assert calibration.judge({FIELD: b"a" * 32, STALE: b"a" * 32}) == b"a" * 32
    assert calibration.place is None


def test_what_does_not_hold_again_is_dropped() -> None:
    calibration = Calibration()
    calibration.judge({STALE: b"a" * 32, FIELD: b"a" * 32})
    assert calibration.judge({FIELD: b"b" * 32, OTHER: b"a" * 32}) == b"b" * 32
    assert calibration.place == FIELD


def test_the_same_session_seen_twice_counts_once() -> None:
    calibration = Calibration()
    for _ in range(3):  # its two ends, say
        assert calibration.judge({FIELD: b"a" * 32}) == b"a" * 32
    assert calibration.place is None


def test_two_places_that_hold_need_a_third_session() -> None:
    calibration = Calibration()
    for letter in (b"a", b"b"):
        calibration.judge({STALE: letter * 32, FIELD: letter * 32})
    assert calibration.place is None
    calibration.judge({STALE: b"b" * 32, FIELD: b"c" * 32})
    assert calibration.place == FIELD


def test_randoms_of_several_sessions_tell_nothing_yet() -> None:
    assert Calibration().judge({STALE: b"a" * 32, FIELD: b"b" * 32}) == b""


def test_it_gives_up_on_a_library_that_never_fits() -> None:
    calibration = Calibration()
    looks = [calibration.look(2**22 + 1, 0x10000, [b"x" * 32]) for _ in range(300)]  # no such process
    assert looks == [b""] * 300
    assert calibration.place is None


def test_the_layout_says_what_was_found() -> None:
    for place in (FIELD, OTHER):
        assert place_in(with_place(NO_LAYOUT, place, True)) == place


def test_memory_is_searched_one_pointer_deep() -> None:
    random = os.urandom(32)
    inner = ctypes.create_string_buffer(b"\x00" * 100 + random, 1024)
    outer = ctypes.create_string_buffer(2048)
    ctypes.cast(outer, ctypes.POINTER(ctypes.c_uint64))[6] = ctypes.addressof(inner)
    try:
        found = dict(find_randoms(os.getpid(), ctypes.addressof(outer), [os.urandom(32), random]))
    except PermissionError:
        pytest.skip("this process may not read its own memory")
    assert found[Place(48, 100)] == random


def test_an_unmapped_object_is_nothing() -> None:
    assert not list(find_randoms(os.getpid(), 0x10000, [os.urandom(32)]))
