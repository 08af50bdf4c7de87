"""A directory that looks like /proc, and runtimes' state, for tests. Boot is at BOOT."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from leeward.identity.processes import ProcessTable
from leeward.identity.runtimes import RuntimeReaders
from leeward.identity.state import StateReader
from leeward.identity.users import Users

BOOT = 1_700_000_000 * 10**9
SECOND = 10**9
TICK = 10**9 // os.sysconf("SC_CLK_TCK")
ROOT_ONLY = b"4:memory:/\n0::/\n"


def at(seconds: float) -> int:
    """Unix ns of a moment after boot."""
    return BOOT + int(seconds * SECOND)


class Host:
    """A host in a directory: `host.process(...)` makes one run, `host.gone(pid)` ends it."""

    def __init__(self, root: Path) -> None:
        self.root, self.proc = root, root / "proc"
        self.proc.mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n")

    def process(
        self,
        pid: int,
        ppid: int = 1,
        start: float = 1.0,
        argv: tuple[str, ...] = ("/bin/prog",),
        exe: str | None = None,
        cwd: str = "/",
        uid: int = 0,
        cgroup: bytes = ROOT_ONLY,
        comm: str = "prog (x) y",
        flags: int = 0,
        state: str = "S",
        threads: int = 1,
    ) -> None:
        folder = self.proc / str(pid)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        ticks = round(start * SECOND) // TICK
        stat = f"{pid} ({comm}) {state} {ppid} 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 {ticks} 1 2 3\n"
        (folder / "stat").write_text(stat)
        (folder / "status").write_text(f"Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t0\n")
        (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))
        (folder / "cgroup").write_bytes(cgroup)
        (folder / "exe").symlink_to(exe or argv[0])
        (folder / "cwd").symlink_to(cwd)

    def gone(self, pid: int) -> None:
        shutil.rmtree(self.proc / str(pid))

    def json(self, path: str, value: Any) -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value))
        return target

    def users(self) -> Users:
        return Users(self.root / "etc/passwd")

    def runtimes(self, limit: int = 4096) -> RuntimeReaders:
        return RuntimeReaders(root=self.root, limit=limit)

    def table(self, limit: int = 65536) -> ProcessTable:
        return ProcessTable(self.proc, self.runtimes(), limit, boot_offset=BOOT, users=self.users())


def state_reader() -> StateReader:
    return StateReader(Counter())
