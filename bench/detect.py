"""Flow activities per second through all detectors on one core, and the memory that they keep: 1,000,000 distinct flows of 10,000
workloads, made up but like a busy cluster's: databases and services inside, what comes in, known services, the open internet.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from leeward.ai.catalogue import load_catalogue
from leeward.detect.detection import detection
from leeward.detect.detector import Detection, Detector
from leeward.detect.reach import Reach
from leeward.model.activity import FlowSeen
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Process, Workload

FLOWS, WORKLOADS, PIECE = 1_000_000, 10_000, 20_000
_SECOND = 10**9
_PROGRAMS = ("/usr/bin/python3.11", "/usr/local/bin/server", "/usr/bin/node", "/usr/bin/java", "/usr/bin/nginx")
_KNOWN = (
    "api.openai.com",
    "o1.ingest.sentry.io",
    "s3.eu-west-1.amazonaws.com",
    "registry.npmjs.org",
    "login.example.com",
)


def _processes() -> list[Process]:
    chance = random.Random(1)
    found = []
    for number in range(WORKLOADS):
        name = f"pod:shop/app-{number}/main"
        exe = chance.choice(_PROGRAMS)
        above = (Ancestor(1, "/usr/bin/containerd-shim-runc-v2"),)
        workload = Workload(name, f"app-{number}", "pod")
        found.append(Process(1000 + number, 5, exe, (exe, "/srv/app.py"), "/", 1000, "app", above, "", workload))
    return found


def _other_side(chance: random.Random, number: int) -> tuple[str, str, int, str]:
    """Direction, address, port and name of a flow's other end."""
    kind = chance.random()
    if kind < 0.35:
        return "outbound", f"10.{chance.randrange(4)}.{chance.randrange(256)}.{chance.randrange(256)}", 8080, ""
    if kind < 0.5:
        return "outbound", f"10.0.1.{chance.randrange(200)}", chance.choice((5432, 6379, 9092)), ""
    if kind < 0.7:
        return "inbound", f"10.9.{number >> 8 & 255}.{number & 255}", 8080, ""
    if kind < 0.9:
        return "outbound", f"198.51.100.{chance.randrange(256)}", 443, chance.choice(_KNOWN)
    return (
        "outbound",
        f"198.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        443,
        f"h{number % 300_000}.example{number % 7}.org",
    )


def activities(flows: int) -> Iterator[FlowSeen]:
    """Three of each flow: it began, moved, ended; 20,000 begin in a second."""
    chance, processes = random.Random(2), _processes()
    waiting: list[tuple[Process, Flow]] = []
    for number in range(flows):
        ts = 1_790_000_000 * _SECOND + number * _SECOND // 20_000
        process = processes[chance.randrange(WORKLOADS)]
        direction, ip, port, name = _other_side(chance, number)
        here, there = Endpoint("10.0.0.5", 32768 + number % 28000), Endpoint(ip, port)
        src, dst = (here, there) if direction == "outbound" else (there, here)
        flow = Flow(f"{number:024x}", ts, "tcp", src, dst, direction, process.pid, ts, domain=name)
        yield FlowSeen(ts=ts, process=process, flow=flow, sent=60, packets_out=1, began=True)
        waiting.append((process, flow))
        if len(waiting) > 1000:
            old, moved = waiting.pop(0)
            moved.bytes_sent, moved.bytes_received, moved.packets_sent, moved.packets_received = 2400, 9000, 9, 9
            yield FlowSeen(ts=ts, process=old, flow=moved, sent=2340, received=9000, packets_out=8)
            moved.state = "closed"
            yield FlowSeen(ts=ts, process=old, flow=moved, sent=52, received=52, packets_out=1, ended=True)


def _timed(detection: Detection | Detector, flows: int) -> tuple[int, float]:
    """How many activities, and the seconds that they took; making them is not in it."""
    source, count, taken = activities(flows), 0, 0.0
    while piece := list(itertools.islice(source, PIECE)):
        start = time.process_time()
        for activity in piece:
            detection.feed(activity)
        detection.tick(piece[-1].ts)
        taken += time.process_time() - start
        count += len(piece)
    return count, taken


def _all() -> None:
    """In a process of its own, for its memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    made = detection(load_catalogue())
    count, taken = _timed(made, FLOWS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    evicted = {name: number for name, number in made.totals().items() if number}
    print(f"{count} activities of {FLOWS} flows, {WORKLOADS} workloads: {count / taken:,.0f}/s of processor time;")
    print(f"  {peak:.0f} MiB resident at most, {before:.0f} before")
    print(f"  evicted: {evicted or 'nothing'}")


def _each() -> None:
    made: list[Detector | Reach] = [*detection(load_catalogue()).detectors, Reach()]
    for detector in made:
        if FlowSeen not in detector.hears:
            continue
        if isinstance(detector, Reach):
            count, taken = 0, 0.0
            source = activities(100_000)
            while piece := list(itertools.islice(source, PIECE)):
                start = time.process_time()
                for activity in piece:
                    detector.feed(activity)
                taken += time.process_time() - start
                count += len(piece)
        else:
            count, taken = _timed(detector, 100_000)
        print(f"  {type(detector).__name__:14} {taken / count * 1e6:5.2f} µs a flow activity")


def main(_folder: Path) -> None:
    command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), sys.executable, "-m", "bench.detect"]
    subprocess.run([*command, "all"], check=True)
    subprocess.run([*command, "each"], check=True)


if __name__ == "__main__":
    {"all": _all, "each": _each}[sys.argv[1]]()
