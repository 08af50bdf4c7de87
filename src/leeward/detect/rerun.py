"""Runs the detectors again over an event log, with the events' own clock; and repeats parts of a log, with theirs.

Invariants: thresholds and detectors are those of the live pipeline; the same log gives the same findings. A repeated part is
other processes and other flows each time, but for those that were there before it: their totals go on growing.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from leeward.ai.catalogue import Catalogue
from leeward.detect.detection import detection
from leeward.detect.eventlog import EventLog, Loop
from leeward.detect.findings import Findings
from leeward.detect.incidents import Incidents
from leeward.model.activity import Activity, ExchangeSeen, FlowSeen
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.model.net import Flow
from leeward.model.process import Process
from leeward.model.times import iso

SECOND = 10**9
_CLOCK = 10**7  # ns: a tick of the clock by which a process's start is told
_PIDS = 4_194_304  # pids that Linux can give (PID_MAX_LIMIT, include/linux/threads.h): fresh ones begin above it


class Told(msgspec.Struct, frozen=True):
    """What came out. findings, incidents: as they are at the end, by id. first: when each finding was first told, Unix ns.
    closest: of each rule, how near to its threshold (1) the nearest came that a detector kept account of."""

    findings: dict[str, Finding]
    incidents: dict[str, Incident]
    first: dict[str, int]
    closest: dict[str, float]
    activities: int
    counters: dict[str, int]


def rerun(activities: Iterable[Activity], catalogue: Catalogue, *, until: int = 0) -> Told:
    """Feeds all detectors, ticks every second of event time, also in silence. until: Unix ns at which the observation ends, if
    that is after the last activity."""
    run = _Run(catalogue)
    for activity in activities:
        run.feed(activity)
    run.silence(until)
    return run.told()


class _Run:
    def __init__(self, catalogue: Catalogue) -> None:
        self._detection, self._found, self._incidents = detection(catalogue), Findings(), Incidents()
        self._findings: dict[str, Finding] = {}
        self._chains: dict[str, Incident] = {}
        self._first: dict[str, int] = {}
        self._tick = self._fed = 0

    def feed(self, activity: Activity) -> None:
        self.silence(activity.ts)
        self._fed += 1
        self._incidents.heed(activity)
        self._add(self._detection.feed(activity), activity.ts)

    def silence(self, until: int) -> None:
        """The seconds that pass until then."""
        self._tick = self._tick or until
        while self._tick + SECOND <= until:
            self._tick += SECOND
            self._add(self._detection.tick(self._tick), self._tick)
            self._tell(self._found.tick(self._tick), self._tick)
            self._keep(self._incidents.tick(self._tick))

    def _add(self, findings: list[Finding], ts: int) -> None:
        for finding in findings:
            self._tell(self._found.add(finding, ts), ts)

    def _tell(self, findings: list[Finding], ts: int) -> None:
        for finding in findings:
            self._findings[finding.id] = finding
            self._first.setdefault(finding.id, ts)
            self._keep(self._incidents.feed(finding, ts))

    def _keep(self, incidents: list[Incident]) -> None:
        self._chains.update((incident.id, incident) for incident in incidents)

    def told(self) -> Told:
        self._tell(self._found.tick(self._tick), self._tick)
        self._keep(self._incidents.finish(self._tick))
        counters = self._detection.totals() + self._found.counters + self._incidents.counters
        closest: dict[str, float] = {}
        for detector in self._detection.detectors:
            for rule, share in getattr(detector, "closest", {}).items():
                closest[rule] = max(share, closest.get(rule, 0.0))
        return Told(self._findings, self._chains, self._first, closest, self._fed, dict(counters))


class Repeat(msgspec.Struct, frozen=True):
    """How a loop goes on. every: seconds from one round to the next, 0: as long as it is in the log. jitter: each of these
    intervals differs by up to this share, evenly distributed."""

    every: float = 0.0
    jitter: float = 0.0


def repeated(log: EventLog, seconds: float, repeats: dict[str, Repeat]) -> Iterator[Activity]:
    """The log with its loops going on until `seconds` after its start. What stands after the last loop comes at the end."""
    head = log.head
    end = head.start + int(seconds * SECOND)
    last, away = _tail(log, seconds)
    once = [a for a in log.activities if not any(_in(loop, a) for loop in head.loops)]
    streams: list[Iterator[Activity]] = [iter([a for a in once if a.ts < last])]
    streams.append(_Shift(away, "", frozenset(), {}).all(a for a in once if a.ts >= last))
    streams += [_rounds(log, loop, repeats.get(loop.name, Repeat()), end) for loop in head.loops]
    return heapq.merge(*streams, key=lambda activity: activity.ts)


def moment(log: EventLog, seconds: float, ts: int) -> int:
    """When something of the log happens in `repeated`, if it is in no loop."""
    last, away = _tail(log, seconds)
    return ts + away if ts >= last else ts


def _tail(log: EventLog, seconds: float) -> tuple[int, int]:
    """Where the part after the last loop begins, and how much later it comes."""
    last = max((loop.end for loop in log.head.loops), default=log.head.end)
    return last, max(0, log.head.start + int(seconds * SECOND) - last)


def _in(loop: Loop, activity: Activity) -> bool:
    return loop.start <= activity.ts < loop.end


def _rounds(log: EventLog, loop: Loop, repeat: Repeat, end: int) -> Iterator[Activity]:
    part = [a for a in log.activities if _in(loop, a)]
    born = _born(part, log.head.boot, loop.start)
    growth = _growth(log.activities, loop)
    every = int(repeat.every * SECOND) or loop.end - loop.start
    chance = random.Random(loop.name)
    due, number = loop.start, 0
    while due + (loop.end - loop.start) <= end or not number:
        yield from _Shift(due - loop.start, f"{loop.name}{number}", born, growth, number).all(part)
        due += max(loop.end - loop.start, int(every * (1 + repeat.jitter * chance.uniform(-1, 1))))
        number += 1


def _born(part: list[Activity], boot: int, since: int) -> frozenset[int]:
    """Pids of the processes that began in this part (the kernel tells when by ticks of 10 ms)."""
    everybody = (p for a in part for p in (a.process, getattr(a, "peer", None), getattr(a, "target", None)))
    people = [p for p in everybody if isinstance(p, Process)]
    return frozenset(p.pid for p in people if p.pid and boot + p.start_ns + 2 * _CLOCK > since)


def _growth(activities: Iterable[Activity], loop: Loop) -> dict[str, tuple[int, ...]]:
    """How much flows that were open before the loop move in one round."""
    before: dict[str, tuple[int, ...]] = {}
    after: dict[str, tuple[int, ...]] = {}
    for activity in activities:
        if type(activity) is FlowSeen:
            totals = _totals(activity.flow)
            if activity.ts < loop.start:
                before[activity.flow.id] = totals
            elif activity.ts < loop.end and activity.flow.id in before:
                after[activity.flow.id] = totals
    return {flow: tuple(b - a for a, b in zip(before[flow], after[flow], strict=True)) for flow in after}


_TOTALS = ("bytes_sent", "bytes_received", "packets_sent", "packets_received")


def _totals(flow: Flow) -> tuple[int, ...]:
    return tuple(getattr(flow, name) for name in _TOTALS)


class _Shift:
    """Activities at another time. label: of this round, in the ids of what is new in it. born: pids of processes that begin in
    it. growth: of flows that were there before."""

    def __init__(
        self, away: int, label: str, born: frozenset[int], growth: dict[str, tuple[int, ...]], number: int = 0
    ) -> None:
        self._away, self._label, self._born, self._growth, self._number = away, label, born, growth, number
        self._known: dict[int, tuple[Process, Process]] = {}

    def all(self, activities: Iterable[Activity]) -> Iterator[Activity]:
        if not self._away:
            yield from activities
            return
        for activity in activities:
            yield self._one(activity)

    def _one(self, activity: Activity) -> Activity:
        changed: dict[str, Any] = {"ts": activity.ts + self._away, "process": self._who(activity.process)}
        for field in ("peer", "target"):
            process = getattr(activity, field, None)
            if isinstance(process, Process):
                changed[field] = self._who(process)
        if isinstance(activity, FlowSeen):
            changed["flow"] = self._flow(activity.flow)
        elif isinstance(activity, ExchangeSeen):
            old = activity.exchange
            times = {"id": old.id + self._label, "time": iso(changed["ts"])}
            changed["exchange"] = msgspec.structs.replace(old, **times)
        return msgspec.structs.replace(activity, **changed)

    def _flow(self, flow: Flow) -> Flow:
        later = {name: getattr(flow, name) + self._away for name in ("time", "end") if getattr(flow, name)}
        growth = self._growth.get(flow.id)
        if growth is None:
            label = {"id": flow.id + self._label, "start": flow.start + self._away, "pid": self._pid(flow.pid)}
            return msgspec.structs.replace(flow, **later, **label)
        grown = {name: getattr(flow, name) + self._number * more for name, more in zip(_TOTALS, growth, strict=True)}
        return msgspec.structs.replace(flow, **later, **grown)

    def _pid(self, pid: int) -> int:
        return pid + _PIDS * self._number if pid in self._born else pid

    def _who(self, process: Process) -> Process:
        known = self._known.get(id(process))
        if known is not None:
            return known[1]
        new = process
        if process.pid in self._born:
            new = msgspec.structs.replace(new, pid=self._pid(process.pid), start_ns=process.start_ns + self._away)
        if any(a.pid in self._born for a in process.ancestors):
            above = tuple(msgspec.structs.replace(a, pid=self._pid(a.pid)) for a in process.ancestors)
            new = msgspec.structs.replace(new, ancestors=above)
        self._known[id(process)] = (process, new)
        return new
