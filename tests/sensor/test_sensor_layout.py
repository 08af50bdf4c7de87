"""The struct formats of sensor/layout.py against the debug information of the built BPF object."""

from __future__ import annotations

import re
import struct
from functools import cache

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from leeward.sensor import layout, programs
from leeward.sensor.kernel import OBJECT


@cache
def c_structs() -> dict[str, tuple[int, list[int]]]:
    """Struct name → (size, offsets of its members, nested structs and byte arrays not flattened)."""
    found: dict[str, tuple[int, list[int]]] = {}
    with OBJECT.open("rb") as file:
        for unit in ELFFile(file).get_dwarf_info().iter_CUs():
            for die in unit.iter_DIEs():
                if die.tag == "DW_TAG_structure_type" and "DW_AT_name" in die.attributes:
                    name = die.attributes["DW_AT_name"].value.decode()
                    size = die.attributes["DW_AT_byte_size"].value
                    offsets = []
                    for child in die.iter_children():
                        if child.tag == "DW_TAG_member":
                            offsets.append(child.attributes["DW_AT_data_member_location"].value)
                    found[name] = (size, offsets)
    return found


def field_offsets(form: str) -> set[int]:
    """Where each value of a struct format begins."""
    offsets, at = set(), 0
    for count, code in re.findall(r"(\d*)([a-zA-Z?])", form.lstrip("<")):
        size = struct.calcsize("<" + code)
        if code in "sx":
            offsets.add(at)
            at += int(count or 1)
            continue
        for _ in range(int(count or 1)):
            offsets.add(at)
            at += size
    return offsets


@pytest.mark.parametrize("name", sorted(layout.FORMATS))
def test_layout_is_what_the_kernel_writes(name: str) -> None:
    size, offsets = c_structs()[name]
    assert struct.calcsize(layout.FORMATS[name]) == size
    assert set(offsets) <= field_offsets(layout.FORMATS[name])


def test_numbers_of_system_calls_match_the_enum() -> None:
    """Those with a name in C have that of Python; a list of C counts on by itself."""
    body = re.search(r"enum syscall_number \{(.*?)\};", OBJECT.with_name("calls.h").read_text(), re.S)
    assert body is not None
    found, number = {}, 0
    for name, value in re.findall(r"NR_(\w+)(?: = (\d+))?", body.group(1)):
        number = int(value) if value else number + 1
        found[name.lower()] = number
    assert found == programs.SYSTEM_CALLS


def test_counter_names_match_the_enum() -> None:
    header = OBJECT.with_name("events.h").read_text()
    body = re.search(r"enum counter \{(.*?)\};", header, re.S)
    assert body is not None
    names = re.findall(r"[A-Z0-9_]+", body.group(1))
    assert names[-1] == "COUNTERS"
    assert len(names) - 1 == len(layout.COUNTERS)


@given(st.binary(max_size=200), st.integers(0, 2**64 - 1))
def test_line_hash_ends_at_query_and_carriage_return(line: bytes, conn: int) -> None:
    cut = re.split(rb"[?\r]", line[: layout.LINE], maxsplit=1)[0]
    assert layout.line_hash(line, conn) == layout.line_hash(cut, conn)
    assert 0 <= layout.line_hash(line, conn) < 2**64
