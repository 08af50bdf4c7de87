"""The audit log: who decided or changed what. Lines of JSON, each with the hash of the one before.

Invariants: a line is written whole, appended and on the disk before `append` returns. `seq` goes up by one, over rotations
too. What is changed, taken out or put in between is found by `verify`; only lines cut off at the end are not, so keep `head`
elsewhere too. Bounded: the file is renamed at `limit` bytes, and only `keep` of them stay. It holds no payloads: that is the
caller's part.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from leeward.model.errors import InputError, LeewardError

LIMIT = 64 << 20
KEEP = 8
FIRST = "0" * 64
_LONGEST = 64 << 10


class AuditError(LeewardError):
    """The log cannot be written."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """prev: SHA-256 of the line before, in hex. time: ISO 8601. actor: a token's name, a user, or "policy". event: what
    happened."""

    seq: int
    prev: str
    time: str
    actor: str
    event: str
    detail: dict[str, Any] = {}


class Verified(msgspec.Struct, frozen=True):
    """lines: how many are good. first, last: their numbers, 0 for none. head: hash of the last. wrong: "" or what is, and
    where."""

    lines: int
    first: int = 0
    last: int = 0
    head: str = FIRST
    wrong: str = ""


class Audit:
    """One log. Other processes may write to it too: each append takes a lock and goes on from the last line."""

    def __init__(self, path: Path, limit: int = LIMIT, keep: int = KEEP) -> None:
        self.path, self._limit, self._keep = path, limit, keep

    def append(self, time: str, actor: str, event: str, detail: Mapping[str, Any]) -> Entry:
        """Raises AuditError: what cannot be written down ought not to be done."""
        return self.extend([(time, actor, event, detail)])[0]

    def extend(self, events: Iterable[tuple[str, str, str, Mapping[str, Any]]]) -> list[Entry]:
        """Many of (time, actor, event, detail), on the disk together. Raises AuditError."""
        try:
            with self._locked():
                if self.path.exists() and self.path.stat().st_size >= self._limit:
                    self._rotate()
                last = self._last_line()
                seq = msgspec.json.decode(last, type=Entry).seq if last else 0
                lines: list[bytes] = []
                entries: list[Entry] = []
                for number, (time, actor, event, detail) in enumerate(events, seq + 1):
                    prev = _hash(last) if last else FIRST
                    entry = Entry(seq=number, prev=prev, time=time, actor=actor, event=event, detail=dict(detail))
                    last = msgspec.json.encode(entry)
                    if len(last) > _LONGEST:
                        entry = msgspec.structs.replace(entry, detail={"cut": len(last)})
                        last = msgspec.json.encode(entry)
                    entries.append(entry)
                    lines.append(last + b"\n")
                self._write(b"".join(lines))
                return entries
        except OSError as error:
            raise AuditError(f"cannot write {self.path}: {error.strerror}: make room, or give another path") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AuditError(
                f"{self.path}: the last line is no entry: leeward policy audit verify says where it broke"
            ) from error

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(28, "the disk is full")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _last_line(self) -> bytes:
        """Without its end; of the newest file that has one."""
        for path in (self.path, rotated(self.path, 1)):
            try:
                with path.open("rb") as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(0, size - 2 * _LONGEST))
                    lines = file.read().rstrip(b"\n").split(b"\n")
            except FileNotFoundError:
                continue
            if lines[-1]:
                return lines[-1]
        return b""

    def _rotate(self) -> None:
        rotated(self.path, self._keep).unlink(missing_ok=True)
        for number in range(self._keep - 1, 0, -1):
            if rotated(self.path, number).exists():
                rotated(self.path, number).rename(rotated(self.path, number + 1))
        self.path.rename(rotated(self.path, 1))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(
            self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def rotated(path: Path, number: int) -> Path:
    """The name of the file that was renamed `number` times."""
    return path.with_name(f"{path.name}.{number}")


def verify(path: Path) -> Verified:
    """The log with what was renamed of it, oldest first. Raises InputError if it cannot be read."""
    files = [path]
    while rotated(path, len(files)).exists():
        files.append(rotated(path, len(files)))
    state = Verified(0)
    for file in reversed(files):
        try:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    state = _next(state, line, f"{file}:{number}")
                    if state.wrong:
                        return state
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    return state


def _next(state: Verified, line: bytes, where: str) -> Verified:
    def wrong(what: str) -> Verified:
        return msgspec.structs.replace(state, wrong=f"{where}: {what}")

    if not line.endswith(b"\n"):
        return wrong("the line was not written whole")
    line = line[:-1]
    try:
        entry = msgspec.json.decode(line, type=Entry, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return wrong(f"no entry: {error}")
    if state.lines and entry.seq != state.last + 1:
        return wrong(f"number {entry.seq} comes after {state.last}: lines are missing")
    if state.lines and entry.prev != state.head:
        return wrong(f"entry {state.last} is not the one that was written, or this one was put there")
    if entry.seq == 1 and entry.prev != FIRST:
        return wrong("the first entry names one before it")
    return Verified(state.lines + 1, state.first or entry.seq, entry.seq, _hash(line))


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
