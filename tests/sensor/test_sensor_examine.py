"""Files that are looked at for what they can be probed for."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leeward.sensor.kernel import KernelSensor


class Looking(KernelSensor):
    """Nothing of the kernel; tells what it would look at."""

    def __init__(self, meanwhile: Any) -> None:
        self.counters = Counter()
        self._meanwhile, self.seen = meanwhile, []

    def _examine_pinned(self, path: Path, name: str) -> None:
        self._meanwhile()
        self.seen.append((path.read_bytes()[:4], name))


def test_a_program_that_ends_while_it_is_looked_at_is_looked_at_all_the_same(tmp_path: Path) -> None:
    """Its file may even be gone; else it would be known from then on as one that means nothing."""
    program = Path(shutil.copy("/bin/sleep", tmp_path / "short"))
    process = subprocess.Popen([program, "60"])

    def ends() -> None:
        process.kill()
        process.wait()
        program.unlink()

    looking = Looking(ends)
    looking._examine_program(process.pid, str(program))
    assert looking.seen == [(b"\x7fELF", str(program))]


def test_a_program_that_has_ended_is_looked_at_by_its_name_and_counted_if_that_is_gone_too(tmp_path: Path) -> None:
    program = Path(shutil.copy("/bin/sleep", tmp_path / "short"))
    looking = Looking(lambda: None)
    gone = 2**22 + 1  # above PID_MAX_LIMIT: nobody's
    looking._examine_program(gone, str(program))
    assert looking.seen == [(b"\x7fELF", str(program))]
    assert not looking.counters
    before = set(os.listdir("/proc/self/fd"))
    looking._examine_program(gone, str(tmp_path / "never"))
    assert looking.counters == {"library_gone_before_look": 1}
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for /proc/PID/map_files")
@pytest.mark.parametrize("content", [Path(sys.executable).resolve().read_bytes()[:8192], b"\xc3" * 4096])
def test_a_library_that_is_in_memory_only_is_named_and_compiled_code_is_not(content: bytes) -> None:
    looking = Looking(lambda: None)
    fd = os.memfd_create("payload")
    try:
        os.write(fd, content)
        with mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC) as mapped:
            lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:payload" in line]
            address = int(lines[0].split("-")[0], 16)
            expected = "/memfd:payload (deleted)" if content.startswith(b"\x7fELF") else ""
            assert looking._scan_process(os.getpid(), address) == expected
            assert len(mapped) == 4096
    finally:
        os.close(fd)
