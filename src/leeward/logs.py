"""Log files looked through for AI services' keys: whoever reads logs has the keys that stand in them.

A file that is called as logs are and opened for writing (class "log" of sensor/files.yaml) is opened for reading at once, so that
what it gets is seen although it is renamed or its writer ends. Invariants: at most `_FILES` are open, `_LOOK` bytes of one and
`_SECOND` of all are read in a look, which is once a second; only regular files; of what was read keys' fingerprints are kept.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from leeward.ai.keys import KeyForms, fingerprint
from leeward.keyfinder import OVERLAP, KeyFinder
from leeward.model.raw import SystemCalled

LABEL = "log"
_FILES, _KEYS = 256, 16  # open files; keys told of one
_BEFORE = 64 << 10  # bytes at the end of what a file had before it was opened
_LOOK, _SECOND = 256 << 10, 4 << 20
_FIRST_NS, _AGAIN_NS, _QUIET_NS = 2 * 10**9, 10 * 10**9, 3600 * 10**9
_MOST_DESCRIPTORS = 1024  # of a process


class _Log(msgspec.Struct):
    """at: bytes read. grown: when it last had more. told: fingerprints of the keys in it."""

    fd: int
    pid: int
    path: str
    at: int
    due: int
    grown: int
    told: set[str]


class Logs:
    """forms: of keys. on_host: does a process that is gone have this host's files, and not a container's?"""

    def __init__(self, forms: KeyForms, on_host: Callable[[int, int], bool], proc: Path = Path("/proc")) -> None:
        self.counters: Counter[str] = Counter()
        self._finder, self._on_host, self._proc = KeyFinder(forms, self.counters), on_host, proc
        self._files: OrderedDict[tuple[int, int], _Log] = OrderedDict()
        self._recent: OrderedDict[tuple[int, str], int] = OrderedDict()

    def running(self, pids: Iterable[int], label: Callable[[str, bool], str], ts: int) -> None:
        """Files that processes had open for writing before anybody looked. label: a file's class."""
        for pid in list(pids):
            for descriptor, path in self._descriptors(pid):
                if label(path, True) == LABEL and self._writes(pid, descriptor):
                    self._add(pid, path, self._readable(self._proc / f"{pid}/fd/{descriptor}", follow=True), ts)

    def opened(self, event: SystemCalled) -> None:
        """A file of the class was opened, renamed or removed."""
        if event.kind != "open" or not event.number:
            return
        known = (event.pid, event.path)
        if event.ts - self._recent.get(known, -_FIRST_NS) < _FIRST_NS:
            return  # one that opens it for every line
        self._recent[known] = event.ts
        self._recent.move_to_end(known)
        if len(self._recent) > 4 * _FILES:
            self._recent.popitem(last=False)
        self._add(event.pid, event.path, self._open(event), event.ts)

    def look(self, ts: int, last: bool = False) -> Iterator[SystemCalled]:
        """Keys that files were given since the last look: kind "key-written" each. last: nothing will be read later."""
        left = _SECOND
        for identity, log in list(self._files.items()):
            if left <= 0:
                return
            if log.due <= ts or last:
                data = self._read(log, min(left, _LOOK), ts, last)
                left -= len(data)
                for provider, secret in self._finder.found(data):
                    known = fingerprint(secret)
                    if known not in log.told and len(log.told) < _KEYS:
                        log.told.add(known)
                        yield SystemCalled(ts, log.pid, "key-written", path=log.path, source=known, label=provider)
                if ts - log.grown > _QUIET_NS:
                    self._drop(identity)

    def close(self) -> None:
        for identity in list(self._files):
            self._drop(identity)

    # -- files -----------------------------------------------------------------------------------------------------

    def _add(self, pid: int, path: str, fd: int, ts: int) -> None:
        if fd < 0:
            self.counters["logs_not_opened"] += 1
            return
        about = os.fstat(fd)
        identity = (about.st_dev, about.st_ino)
        known = self._files.pop(identity, None)
        if known is None:
            at = max(0, about.st_size - _BEFORE)
            known = _Log(fd, pid, path, at, ts + _FIRST_NS, ts, set())
        else:
            os.close(fd)
            known.pid, known.path, known.due = pid, path, min(known.due, ts + _FIRST_NS)
        self._files[identity] = known
        if len(self._files) > _FILES:
            self.counters["logs_evicted"] += 1
            self._drop(next(iter(self._files)))

    def _drop(self, identity: tuple[int, int]) -> None:
        os.close(self._files.pop(identity).fd)

    def _open(self, event: SystemCalled) -> int:
        """The file as its process sees it; -1 if that cannot be told any more, or if it is no file."""
        gone = True
        for descriptor, path in self._descriptors(event.pid):
            gone = False
            if path == event.path:
                return self._readable(self._proc / f"{event.pid}/fd/{descriptor}", follow=True)
        if not event.path.startswith("/"):
            return -1
        if not gone:
            return self._readable(self._proc / f"{event.pid}/root{event.path}")
        return self._readable(Path(event.path)) if self._on_host(event.pid, event.ts) else -1

    def _descriptors(self, pid: int) -> Iterator[tuple[str, str]]:
        folder = self._proc / f"{pid}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            return
        for name in names[:_MOST_DESCRIPTORS]:
            try:
                yield name, os.readlink(folder / name)
            except OSError:
                continue  # closed meanwhile

    def _writes(self, pid: int, descriptor: str) -> bool:
        try:
            lines = (self._proc / f"{pid}/fdinfo/{descriptor}").read_text().splitlines()
            flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
        except (OSError, StopIteration, ValueError, IndexError):
            return False
        return flags & os.O_ACCMODE != os.O_RDONLY

    @staticmethod
    def _readable(path: Path, follow: bool = False) -> int:
        """A descriptor of a regular file, -1 if it is none: to open a device or a pipe may do something. A link at the end of
        a path is not followed: a container's may lead to this host's files."""
        try:
            if not stat.S_ISREG(os.stat(path, follow_symlinks=follow).st_mode):
                return -1
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
        except OSError:
            return -1
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return -1

    def _read(self, log: _Log, most: int, ts: int, last: bool) -> bytes:
        """What was added, with the end of what was read before; of much the last. A line that has not ended yet is read when it
        has."""
        log.due = ts + _AGAIN_NS
        try:
            size = os.fstat(log.fd).st_size
            if size < log.at:
                log.at = 0  # it was cut
            if size == log.at:
                return b""
            if size - log.at > most:
                self.counters["log_bytes_skipped"] += size - log.at - most
                log.at = size - most
            start = max(0, log.at - OVERLAP)  # for what lies across two pieces
            data = os.pread(log.fd, size - start, start)
            whole = data.rfind(b"\n") + 1
            if not last and start + whole > log.at:
                data = data[:whole]
        except OSError:
            self.counters["logs_unreadable"] += 1
            return b""
        log.at, log.grown = start + len(data), ts
        return data
