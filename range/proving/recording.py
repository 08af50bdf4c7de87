"""Runs a scenario under the real sensor and keeps what the detectors were fed, and what they found.

This module and `judge` know the product; worlds and scenarios do not. One thread turns the sensor, another acts.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from leeward.ai.catalogue import load_catalogue
from leeward.detect import eventlog
from leeward.detect.eventlog import EventLog, Loop
from leeward.live import Live
from leeward.model.activity import Activity
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.pipeline import Record
from leeward.sensor.kernel import Options
from leeward.sensor.libraries import command_libraries
from proving.files import client_python
from proving.scenario import Scenario
from proving.world import ScenarioError, World

_BEFORE_S, _AFTER_S = 0.3, 1.5  # so that what it does is between two rounds of the sensor
_LONGEST_S = 600.0


@dataclass
class Recorded:
    """log: what the detectors were fed. findings: what they found meanwhile, by id, and first: when each was told, Unix ns.
    lost: what the sensor lost."""

    log: EventLog
    findings: dict[str, Finding] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


class _Watch:
    """The sensor, which is told of processes by another thread."""

    def __init__(self) -> None:
        self.activities: list[Activity] = []
        self.recorded = Recorded(EventLog(eventlog.head("", 0, 0, 1, {}, ()), ()))
        self._new: list[tuple[int, threading.Event]] = []
        self._tree: set[int] = set()
        libraries = {*command_libraries(client_python()), *command_libraries(Path("/usr/bin/curl"))}
        self.live = Live(
            Options(only_tracked=True),
            load_catalogue(),
            tree=self._tree,
            libraries=sorted(libraries),
            record=self.activities.append,
        )

    def follow(self, pid: int) -> None:
        """Called by the acting thread; returns when the process is watched."""
        seen = threading.Event()
        self._new.append((pid, seen))
        if not seen.wait(10):
            raise ScenarioError("the sensor does not turn")

    def turn(self) -> None:
        while self._new:
            pid, seen = self._new.pop(0)
            self._tree.add(pid)
            self.live.sensor.track(pid)
            seen.set()
        for record in self.live.step(0.01):
            self.keep(record)

    def keep(self, record: Record) -> None:
        if isinstance(record, Finding):
            self.recorded.findings[record.id] = record
            self.recorded.first.setdefault(record.id, time.time_ns())
        elif isinstance(record, Incident):
            self.recorded.incidents[record.id] = record


def record(scenario: Scenario) -> Recorded:
    """Raises ScenarioError if it did not do what it says."""
    watch = _Watch()
    try:
        with World(watch.follow) as world:
            start = time.time_ns()
            failed = _act(scenario, world, watch)
            end = time.time_ns()
            for kept in watch.live.finish():
                watch.keep(kept)
            recorded, loops = watch.recorded, [Loop(*loop) for loop in world.loops]
            recorded.lost = {name: count for name, count in watch.live.losses().items() if count}
            head = eventlog.head(scenario.name, _boot(), start, end, world.marks, loops)
    finally:
        watch.live.close()
    if failed:
        raise failed[0]
    # What the sensor found of before the scenario, the sockets that were open, is not of its doing.
    recorded.log = EventLog(head, tuple(sorted(watch.activities, key=lambda a: a.ts)))
    return recorded


def _act(scenario: Scenario, world: World, watch: _Watch) -> list[BaseException]:
    """Turns the sensor until the scenario is over, and a little longer."""
    failed: list[BaseException] = []

    def act() -> None:
        try:
            time.sleep(_BEFORE_S)
            scenario.run(world)
        except BaseException as error:  # told by the main thread
            failed.append(error)

    thread = threading.Thread(target=act, daemon=True, name=f"scenario-{secrets.token_hex(2)}")
    thread.start()
    until = time.monotonic() + _LONGEST_S
    while thread.is_alive():
        watch.turn()
        if time.monotonic() > until:
            return [ScenarioError(f"not over after {_LONGEST_S:.0f} s")]
    until = time.monotonic() + _AFTER_S
    while time.monotonic() < until:
        watch.turn()
    return failed


def _boot() -> int:
    """Unix ns at which this host started."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
