"""rustls: recognised, so that the coverage can name it. Its calls are inlined into their callers and have no stable form."""

from __future__ import annotations

import re

from leeward.sensor.elf import Elf
from leeward.sensor.target import Unseen

#: The path of a source file in a panic's location, as cargo lays crates out.
_SOURCE = re.compile(rb"/rustls-(\d{1,3}\.\d{1,3}\.\d{1,3})/src/")


def by_pattern(elf: Elf, name: str) -> Unseen | None:
    """The rustls that is linked into the file, by the file names in its panic messages; None if there is none."""
    rodata = elf.section(".rodata")
    match = _SOURCE.search(elf.data, rodata.offset, rodata.offset + rodata.size) if rodata else None
    return Unseen(name, f"rustls {match[1].decode()} is linked in; its calls are not probed") if match else None
