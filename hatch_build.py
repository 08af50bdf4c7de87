"""Build hook: compiles the BPF programs, so that the wheel carries the objects. Also run as a script by `make setup`.

The compiler is the `ziglang` package; no system clang, kernel headers or bpftool are needed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "src/leeward/sensor/bpf"
FLAGS = ["-target", "bpfel-freestanding", "-O2", "-g", "-Wall", "-Werror", "-Wno-unused-variable"]


def compile_bpf() -> list[Path]:
    """Builds NAME.bpf.o beside each NAME.bpf.c and returns the objects. Raises CalledProcessError when the compiler does."""
    objects = []
    for source in sorted(SOURCES.glob("*.bpf.c")):
        target = source.with_suffix(".o")
        base = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-fno-asynchronous-unwind-tables"]
        subprocess.run([*base, "-c", str(source), "-o", str(target)], check=True)
        objects.append(target)
    return objects


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, where hatchling need not be
    pass
else:

    class BpfBuildHook(BuildHookInterface):  # type: ignore[type-arg]
        """Runs before the wheel (and the editable install) is put together."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            for built in compile_bpf():
                build_data["artifacts"].append(str(built.relative_to(self.root)))


if __name__ == "__main__":
    for path in compile_bpf():
        print(path)
