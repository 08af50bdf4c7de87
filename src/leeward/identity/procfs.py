"""Reading /proc and runtimes' state files: every read bounded, every failure that the observed side can cause counted.

Invariant: a file that is gone, denied, a link or not a regular file yields None and a counter; nothing blocks, since
files are opened without following a last symbolic link and without waiting for a FIFO's writer. Parsers take any bytes.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
from collections import Counter
from pathlib import Path
from types import TracebackType

import msgspec

FILE_LIMIT = 64 << 10
"""Bytes read of a file in /proc/PID. cmdline may be longer (up to the stack limit): it is cut."""

ARGV_LIMIT = 4096
"""Bytes read of /proc/PID/cmdline: more than the sensor carries, enough to tell a program from its arguments."""

PF_KTHREAD = 0x00200000
"""include/linux/sched.h: the task is a kernel thread."""

_EXPECTED = {
    errno.ENOENT: "gone",
    errno.ESRCH: "gone",
    errno.ESTALE: "gone",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ENOTDIR: "odd_path",
    errno.ELOOP: "odd_path",
    errno.ENAMETOOLONG: "odd_path",
    errno.ENXIO: "odd_path",
    errno.EIO: "unreadable",
    errno.ENOTCONN: "unreadable",
}
"""What a process or a user can make a read fail with. Anything else (EMFILE, ENOMEM) is ours, and raised."""


class Stat(msgspec.Struct, frozen=True):
    """/proc/PID/stat (proc(5)). start_ticks: field 22, clock ticks since boot."""

    comm: str
    state: str
    ppid: int
    kernel_thread: bool
    threads: int
    start_ticks: int


def text(raw: bytes) -> str:
    """Valid Unicode of any bytes; each undecodable byte is "?", as in the sensor's events."""
    return raw.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()


def parse_stat(raw: bytes) -> Stat | None:
    """None when malformed. The name in parentheses may itself hold spaces and parentheses: the last one closes it."""
    opened, closed = raw.find(b"("), raw.rfind(b")")
    fields = raw[closed + 1 :].split()
    if opened < 0 or closed < opened or len(fields) < 20:
        return None
    try:
        ppid, flags, threads, start = (int(fields[n]) for n in (1, 6, 17, 19))
    except ValueError:
        return None
    if not (0 <= ppid < 1 << 31 and 0 <= start < 1 << 63):
        return None
    return Stat(text(raw[opened + 1 : closed]), text(fields[0]), ppid, bool(flags & PF_KTHREAD), threads, start)


def parse_uid(status: bytes) -> int:
    """The real user id from /proc/PID/status, -1 when absent."""
    at = status.find(b"\nUid:")
    words = status[at + 5 : at + 80].split(None, 1) if at >= 0 else []
    if not words or not words[0].isdigit():
        return -1
    return min(int(words[0]), 0xFFFFFFFF)


def parse_cmdline(raw: bytes) -> tuple[str, ...]:
    """The words of /proc/PID/cmdline, split as the sensor splits them (empty last words are lost)."""
    raw = raw.rstrip(b"\0")
    return tuple(text(word) for word in raw.split(b"\0")) if raw else ()


def parse_link(raw: str) -> str:
    """A link target in /proc/PID without what the kernel adds to it: " (deleted)" and "(unreachable)"."""
    target = text(os.fsencode(raw))
    return target.removesuffix(" (deleted)").removeprefix("(unreachable)")


class Reader:
    """Bounded reads. `area` is the prefix of the counters: `<area>_gone`, `<area>_denied`, `<area>_odd_path`, ..."""

    def __init__(self, area: str, counters: Counter[str]) -> None:
        self._area, self._counters = area, counters

    def failed(self, error: OSError) -> None:
        """Counts an expected failure; raises any other."""
        reason = _EXPECTED.get(error.errno or 0)
        if reason is None:
            raise error
        self._counters[f"{self._area}_{reason}"] += 1

    def file(self, path: str | Path, limit: int, dir_fd: int | None = None) -> bytes | None:
        """At most `limit` bytes of a regular file; None when it cannot be read."""
        fd = self.open(path, dir_fd)
        if fd is None:
            return None
        try:
            return self._all(fd, limit)
        except OSError as error:
            self.failed(error)
            return None
        finally:
            os.close(fd)

    def open(self, path: str | Path, dir_fd: int | None = None) -> int | None:
        """A descriptor of a regular file that the caller closes; None when it cannot be opened or is something else."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=dir_fd)
        except OSError as error:
            self.failed(error)
            return None
        if not stat_module.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            self._counters[f"{self._area}_odd_path"] += 1
            return None
        return fd

    def _all(self, fd: int, limit: int) -> bytes:
        chunks: list[bytes] = []
        while limit > 0 and (chunk := os.read(fd, min(limit, 1 << 20))):
            chunks.append(chunk)
            limit -= len(chunk)
        return b"".join(chunks)

    def link(self, path: str, dir_fd: int | None = None) -> str:
        """A link's target, "" when it cannot be read."""
        try:
            return parse_link(os.readlink(path, dir_fd=dir_fd))
        except OSError as error:
            self.failed(error)
            return ""

    def names(self, path: str | Path, limit: int) -> list[str]:
        """At most `limit` names in a directory, [] when it cannot be read."""
        found: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if len(found) == limit:
                        self._counters[f"{self._area}_too_many"] += 1
                        break
                    found.append(entry.name)
        except OSError as error:
            self.failed(error)
        return found

    def stamp(self, path: str | Path) -> tuple[int, int, int]:
        """What changes when a file is written or replaced: inode, mtime, size; zeros when it is not there."""
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError as error:
            self.failed(error)
            return (0, 0, 0)
        return (status.st_ino, status.st_mtime_ns, status.st_size)


class ProcessFiles:
    """The files of one process through a descriptor of its directory: once it is gone they fail, even if its pid
    names another process by then. Use as a context manager."""

    def __init__(self, reader: Reader, fd: int) -> None:
        self._reader, self._fd = reader, fd

    def __enter__(self) -> ProcessFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)

    def _read(self, name: str, limit: int = FILE_LIMIT) -> bytes:
        return self._reader.file(name, limit, self._fd) or b""

    def stat(self) -> Stat | None:
        return parse_stat(self._read("stat", 4096))

    def uid(self) -> int:
        """-1 when unknown."""
        return parse_uid(self._read("status"))

    def cgroup(self) -> bytes:
        return self._read("cgroup")

    def argv(self) -> tuple[str, ...]:
        return parse_cmdline(self._read("cmdline", ARGV_LIMIT))

    def environ(self) -> bytes:
        """The environment as it was at exec; a program may have written over it."""
        return self._read("environ")

    def descriptor(self, number: int) -> str:
        """What a descriptor is: "pipe:[inode]", "socket:[inode]" or a path; "" if it cannot be told."""
        return self._reader.link(f"fd/{number}", self._fd)

    def exe(self) -> str:
        return self._reader.link("exe", self._fd)

    def cwd(self) -> str:
        return self._reader.link("cwd", self._fd)


class ProcFs:
    """A mounted proc file system (or a tree that looks like one). Counters have the prefix "proc"."""

    def __init__(self, root: Path, counters: Counter[str]) -> None:
        self._root = str(root)
        self._reader = Reader("proc", counters)

    def process(self, pid: int) -> ProcessFiles | None:
        """None when there is no such process."""
        try:
            fd = os.open(f"{self._root}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self._reader.failed(error)
            return None
        return ProcessFiles(self._reader, fd)

    def pids(self, limit: int) -> list[int]:
        """The processes there are now, at most `limit`."""
        names = self._reader.names(self._root, limit + 4096)
        return sorted(int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 11)[:limit]
