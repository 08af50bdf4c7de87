"""Event logs: what the detectors were fed, in a file, so that they can be run again with the events' own clock.

A gzip file of JSON lines: a head, then processes (each once, by number) and activities that name them by number.
Invariants: reading is bounded (bytes unpacked, line length, number of lines) and strict: whatever is not such a log is an
InputError with file and line; the same log makes the same bytes.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from leeward.model.activity import Activity, AnyActivity
from leeward.model.errors import InputError
from leeward.model.process import NOBODY, Process

SUFFIX = ".events.gz"
_FORMAT = 1
_UNPACKED, _LINE, _LINES = 1 << 28, 1 << 22, 2_000_000
_LONGEST_NS, _MARGIN_NS = 31 * 24 * 3600 * 10**9, 600 * 10**9
_PEOPLE = ("process", "peer", "target")
"""Fields of activities that hold a process (of some, an address: text)."""


class Loop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the log that stands for something that goes on. start, end: Unix ns."""

    name: str
    start: int
    end: int


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """name: of what was recorded. boot: Unix ns at which the host started, which processes' start_ns count from. start, end:
    Unix ns of the observation. marks: moments by name ("attack": it begins). loops: what may be repeated."""

    format: int
    name: str
    boot: int
    start: int
    end: int
    marks: dict[str, int] = {}
    loops: tuple[Loop, ...] = ()


class EventLog(msgspec.Struct, frozen=True):
    head: Head
    activities: tuple[Activity, ...]


def head(name: str, boot: int, start: int, end: int, marks: dict[str, int], loops: Iterable[Loop]) -> Head:
    """Of a log in this program's format."""
    return Head(_FORMAT, name, boot, start, end, marks, tuple(loops))


def write_log(path: Path, log: EventLog) -> None:
    """Replaces the file. Activities are put in the order of their times."""
    lines = b"\n".join(_lines(log)) + b"\n"
    path.write_bytes(gzip.compress(lines, 9, mtime=0))


def _lines(log: EventLog) -> Iterator[bytes]:
    yield msgspec.json.encode(log.head)
    numbers: dict[Process, int] = {NOBODY: 0}
    for activity in sorted(log.activities, key=lambda a: a.ts):
        record = msgspec.to_builtins(activity)
        for field in _PEOPLE:
            process = getattr(activity, field, None)
            if not isinstance(process, Process):
                continue
            number = numbers.get(_hashable(process))
            if number is None:
                number = numbers[_hashable(process)] = len(numbers)
                yield msgspec.json.encode({"number": number, "is": process})
            record[field] = number
        yield msgspec.json.encode(record)


def _hashable(process: Process) -> Process:
    """A container's labels are a dictionary, which has no hash: nothing else tells two containers of one id apart."""
    if process.container is None:
        return process
    return msgspec.structs.replace(process, container=msgspec.structs.replace(process.container, labels=_NO_LABELS))


class _Labels(dict[str, str]):
    def __hash__(self) -> int:  # type: ignore[override]
        return 0


_NO_LABELS = _Labels()


def read_log(path: Path) -> EventLog:
    """Raises InputError, with the line, for a file that is not an event log."""
    lines = _unpacked(path).split(b"\n")
    if len(lines) > _LINES:
        raise InputError(f"{path}: more than {_LINES} lines: not an event log")
    if lines[-1]:
        raise InputError(f"{path}:{len(lines)}: cut off")
    head = _head(path, lines[0])
    processes: list[Process] = [NOBODY]
    activities: list[Activity] = []
    for number, line in enumerate(lines[1:-1], 2):
        try:
            record = _record(line)
            if "is" in record:
                processes.append(_process(record, len(processes)))
            else:
                activities.append(_activity(record, processes))
                _in_time(head, activities)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: {error}") from None
    return EventLog(head, tuple(activities))


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(path.read_bytes())) as file:
            data = file.read(_UNPACKED + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: {error}") from None
    if len(data) > _UNPACKED:
        raise InputError(f"{path}: unpacks to more than {_UNPACKED >> 20} MiB: not an event log")
    return data


def _head(path: Path, line: bytes) -> Head:
    try:
        head = msgspec.json.decode(line, type=Head)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{path}:1: not the head of an event log: {error}") from None
    if head.format != _FORMAT:
        raise InputError(f"{path}:1: format {head.format}: this Leeward reads {_FORMAT}: record it again")
    if not 0 <= head.end - head.start <= _LONGEST_NS:
        raise InputError(f"{path}:1: an observation of {(head.end - head.start) / 1e9:.0f} s")
    if any(loop.end <= loop.start for loop in head.loops):
        raise InputError(f"{path}:1: a loop ends before it starts")
    return head


def _in_time(head: Head, activities: list[Activity]) -> None:
    """The last one is not before the one before it and not far from the observation."""
    ts = activities[-1].ts
    if not head.start - _MARGIN_NS <= ts <= head.end + _MARGIN_NS:
        raise ValueError("not in the time of the observation")
    if len(activities) > 1 and ts < activities[-2].ts:
        raise ValueError("before what stands before it")


def _record(line: bytes) -> dict[str, Any]:
    if len(line) > _LINE:
        raise ValueError(f"a line of {len(line)} bytes")
    record = msgspec.json.decode(line)
    if not isinstance(record, dict):
        raise ValueError("not an object")
    return record


def _process(record: dict[str, Any], number: int) -> Process:
    if record.get("number") != number:
        raise ValueError(f"process {record.get('number')} where {number} comes next")
    return msgspec.convert(record["is"], Process)


def _activity(record: dict[str, Any], processes: list[Process]) -> Activity:
    people: dict[str, Process] = {}
    for field in _PEOPLE:
        number = record.get(field)
        if number is not None and not isinstance(number, str):
            del record[field]
            if type(number) is not int or not 0 <= number < len(processes):
                raise ValueError(f"{field}: no process {number}")
            people[field] = processes[number]
    activity: Activity = msgspec.convert(record, AnyActivity)
    unknown = people.keys() - set(activity.__struct_fields__)
    if unknown:
        raise ValueError(f"{type(activity).__name__} has no {', '.join(sorted(unknown))}")
    return msgspec.structs.replace(activity, **people)
