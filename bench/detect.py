"""What detection costs: a day of a large host, replayed with its own clock through all detectors and incidents on one core.

    python -m bench detect            (BENCH_FLOWS=1000000 BENCH_WORKLOADS=10000 by default)

Made slice by slice, so that what memory grows is the detectors'. Only the feeding is timed, not the making, in processor time of
this process. Each flow is told three times (began, moved, ended); a quarter have their name asked first, some carry HTTP or an AI
exchange; programs start and end. Then the same number of flows alone, in another process, `DENSE` of them a second: a day of a
million flows has so few a second that most of it is the hourly work for each workload.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from leeward import collector
from leeward.ai.catalogue import load_catalogue
from leeward.detect.detection import detection
from leeward.detect.findings import Findings
from leeward.detect.incidents import Incidents
from leeward.model.activity import Activity, Ended, ExchangeSeen, FlowSeen, HttpSeen, NameAsked, Started
from leeward.model.exchange import ChatMessage, Exchange, GenAI, Key, Network, Tool
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Container, Process, Workload
from leeward.model.times import iso

S = 10**9
T0 = 1_767_571_200 * S  # a Monday, 00:00 UTC
SLICE = 10  # seconds made at once: a replay feeds activities soon after they were made
DENSE = 20_000  # flows in a second, where they are fed alone
MEASURED = 24  # every so many slices is timed call by call
_MODELS = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "mistral-small")
_BY_HOUR = [4, 3, 3, 3, 3, 4, 6, 9, 13, 16, 17, 17, 16, 17, 17, 16, 15, 13, 11, 9, 8, 7, 6, 5]


class Host:
    """Workloads, their processes and their habits. kind: 10 % speak to a model, 2 % crawl, the rest are services and clients."""

    def __init__(self, workloads: int, seed: int = 6) -> None:
        self.rng = rng = random.Random(seed)
        self.processes: list[Process] = []
        self.habits: list[list[tuple[str, Endpoint]]] = []
        sites = [
            (f"{a}.svc{n % 700}.example", f"10.{n % 200}.{n % 250}.{n % 240 + 1}")
            for n, a in enumerate("abcdefgh" * 500)
        ]
        for n in range(workloads):
            image = f"registry.example/team{n % 40}/app{n % 900}:1.{n % 7}"
            container = Container(f"{n:064x}", f"app{n}", image, f"sha256:{n % 900:064x}")
            exe = f"/usr/bin/python3.{n % 4 + 9}"
            self.processes.append(
                Process(
                    1000 + n, n, exe, (exe, "-m", f"app{n}"), "/srv", 1000, "app",
                    (Ancestor(2, "/usr/bin/containerd-shim-runc-v2"),), f"/kubepods/{n}",
                    Workload(f"pod:ns{n % 60}/app{n}/main", f"ns{n % 60}/app{n}", "pod"), container,
                )
            )  # fmt: skip
            chosen = rng.sample(sites, rng.randint(2, 9))
            if n % 10 == 3:
                chosen = [("api.openai.com", "162.159.140.245"), *chosen]
            self.habits.append([(name, Endpoint(ip, rng.choice((443, 443, 5432, 6379, 8080)))) for name, ip in chosen])
        self.number = 0
        self._later: list[Activity] = []

    def span(self, begin: int, seconds: int, flows: int, piece: int = SLICE) -> Iterator[list[Activity]]:
        """The activities of so many seconds from Unix second `begin` on, `piece` seconds at a time, in the order of time."""
        for start in range(begin, begin + seconds, piece):
            acts = self._later
            for _ in range(flows * piece // seconds):
                ts = (start + self.rng.randrange(piece)) * S + self.rng.randrange(S)
                acts += self._flow(min(len(self.processes) - 1, int(len(self.processes) * self.rng.random() ** 3)), ts)
            acts.sort(key=lambda act: act.ts)
            end = bisect_left(acts, (start + piece) * S, key=lambda act: act.ts)
            self._later = acts[end:]
            del acts[end:]
            yield acts

    def _flow(self, n: int, ts: int) -> Iterator[Activity]:
        rng, process = self.rng, self.processes[n]
        self.number += 1
        name, there = rng.choice(self.habits[n])
        if n % 50 == 7 or rng.random() < 0.0005:  # a crawler; or what anybody may do once
            name, there = f"www.site{self.number}.example", Endpoint(f"198.51.{self.number % 256}.{n % 256}", 443)
        here = Endpoint(f"10.250.{n >> 8}.{n & 255}", 32768 + self.number % 28000)
        inbound = n % 3 == 0 and rng.random() < 0.6
        if inbound:
            name, here, there = (
                "",
                Endpoint(f"10.{self.number % 8}.{self.number % 97}.9", here.port),
                Endpoint(here.ip, 8080),
            )
        elif rng.random() < 0.25:
            yield NameAsked(ts=ts, process=process, name=name, size=60)
            yield NameAsked(ts=ts, process=process, name=name, rcode=0, size=110, answers=(there.ip,), records=1)
        flow = Flow(
            f"{self.number:016x}", ts // 10**6, "tcp", here, there, "inbound" if inbound else "outbound", process.pid,
            domain=name, sni=name, l7="tls",
        )  # fmt: skip
        sent, received = int(rng.lognormvariate(7, 1.5)), int(rng.lognormvariate(8, 2))
        yield FlowSeen(ts=ts, process=process, flow=msgspec.structs.replace(flow), began=True)
        flow.bytes_sent, flow.bytes_received = sent + 9 * 52, received + 9 * 52
        flow.packets_sent = flow.packets_received = 9
        yield FlowSeen(
            ts=ts + S,
            process=process,
            flow=msgspec.structs.replace(flow),
            sent=flow.bytes_sent,
            received=flow.bytes_received,
            packets_out=9,
        )
        yield from self._content(n, ts + S, flow, inbound, sent, received)
        flow.state, flow.end = "closed", flow.time + 2000
        yield FlowSeen(ts=ts + 2 * S, process=process, flow=flow, ended=True)
        if rng.random() < 0.03:
            child = msgspec.structs.replace(process, pid=10**6 + self.number, exe="/usr/bin/date", argv=("date",))
            yield Started(ts=ts, process=child)
            yield Ended(ts=ts + S, process=child)

    def _content(self, n: int, ts: int, flow: Flow, inbound: bool, sent: int, received: int) -> Iterator[Activity]:
        rng, process = self.rng, self.processes[n]
        if n % 10 == 3 and not inbound and flow.domain == "api.openai.com":
            said = [
                ChatMessage("system", f"You are app {n}."),
                ChatMessage("user", "word " * int(rng.lognormvariate(5, 0.5))),
            ]
            ai = GenAI(
                provider="openai", operation="chat", request_model=_MODELS[n % 4], input_tokens=sent // 4,
                output_tokens=received // 8, input=said, tools=[Tool("search"), Tool("lookup")][: n % 3],
            )  # fmt: skip
            network = Network(str(flow.src), str(flow.dst), flow.domain, "sni", "outbound")
            key = Key("openai", f"{n:016x}")
            exchange = Exchange(
                id=flow.id, time=iso(ts), workload=process.workload, container=process.container, network=network, gen_ai=ai,
                key=key,
            )  # fmt: skip
            yield ExchangeSeen(ts=ts, process=process, exchange=exchange)
        elif rng.random() < 0.3:
            yield HttpSeen(
                ts=ts, process=process, direction="inbound" if inbound else "outbound", host=flow.domain or "me",
                peer=str(flow.src if inbound else flow.dst), method="GET", path=f"/v1/things/{rng.randrange(50)}",
                status=200 if rng.random() < 0.97 else 404, request_size=sent, response_size=received,
                user_agent="python-requests/2.32", identity=f"{n % 300 + 10**6:016x}",
            )  # fmt: skip


class Bench:
    def __init__(self) -> None:
        self.detection = detection(load_catalogue())
        self.incidents, self.findings = Incidents(), Findings()
        self.seconds, self.ticking = 0.0, 0.0
        self.told: Counter[str] = Counter()
        self.costs: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        self._tick = 0

    def feed(self, acts: list[Activity]) -> None:
        """The common way, with a tick a second of the events' time."""
        began = time.process_time()
        for act in acts:
            if act.ts - self._tick >= S:
                self._tick = act.ts
                before = time.process_time()
                self._ticked(act.ts)
                self.ticking += time.process_time() - before
            self.incidents.heed(act)
            found = self.detection.feed(act)
            if found:
                self._found(found, act.ts)
        self.seconds += time.process_time() - began

    def _ticked(self, ts: int) -> None:
        self._found(self.detection.tick(ts), ts)
        self.incidents.tick(ts)

    def _ticked_measured(self, ts: int) -> None:
        clock = time.thread_time_ns
        for part in (*self.detection.detectors, self.incidents):
            t = clock()
            found = part.tick(ts)
            cost = self.costs[type(part).__name__, "tick"]
            cost[0] += clock() - t
            cost[1] += 1
            if part is not self.incidents:
                self._found(found, ts)

    def feed_measured(self, acts: list[Activity]) -> None:
        """The same, call by call: who takes how long for what. Not part of the rate."""
        clock = time.thread_time_ns
        hearers: list[tuple[Any, str]] = [(d, type(d).__name__) for d in self.detection.detectors]
        for act in acts:
            if act.ts - self._tick >= S:
                self._tick = act.ts
                self._ticked_measured(act.ts)
            kind = type(act).__name__
            for detector, name in hearers:
                if type(act) in detector.hears:
                    t = clock()
                    found = detector.feed(act)
                    cost = self.costs[name, kind]
                    cost[0] += clock() - t
                    cost[1] += 1
                    self._found(found, act.ts)
            t = clock()
            self.incidents.heed(act)
            cost = self.costs["Incidents", kind]
            cost[0] += clock() - t
            cost[1] += 1

    def _found(self, findings: list[Any], ts: int) -> None:
        for finding in findings:
            self.told[f"{finding.rule} {finding.severity}"] += 1
            for told in self.findings.add(finding, ts):
                self.incidents.feed(told, ts)


def rss() -> float:
    """MiB in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def lookup() -> float:
    """ns of processor time: shows how much others share caches and cores with this."""
    known, n = {number: number for number in range(100)}, 10**6
    began = time.process_time_ns()
    for _ in range(n):
        known.get(5)
    return (time.process_time_ns() - began) / n


def _size() -> tuple[int, int]:
    return int(os.environ.get("BENCH_FLOWS", 10**6)), int(os.environ.get("BENCH_WORKLOADS", 10**4))


def alone() -> None:
    """Flows and nothing else."""
    flows, workloads = _size()
    host, bench = Host(workloads), Bench()
    collector.settle()
    fed = 0
    for acts in host.span(T0 // S, flows // DENSE, flows, piece=1):
        seen: list[Activity] = [act for act in acts if type(act) is FlowSeen]
        fed += len(seen)
        bench.feed(seen)
    print(
        f"flows alone, {DENSE:,} a second of {workloads} workloads: {fed / 3 / bench.seconds:,.0f} distinct flows/s on one core, "
        f"{fed / bench.seconds:,.0f} activities/s ({fed // 3} flows; a look-up takes {lookup():.0f} ns; {rss():.0f} MiB)"
    )


def main(_folder: Path) -> None:
    flows, workloads = _size()
    host, bench = Host(workloads), Bench()
    collector.settle()  # as `leeward run` does
    base = rss()
    print(f"detection: {flows} flows of {workloads} workloads over 24 h; {base:.0f} MiB before the first")
    print(f"host: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; a look-up in a loop takes {lookup():.0f} ns")
    kinds: Counter[str] = Counter()
    timed, slices, memory = 0, 0, []
    for hour, share in enumerate(_BY_HOUR):
        for acts in host.span(T0 // S + hour * 3600, 3600, flows * share // sum(_BY_HOUR)):
            kinds.update(type(act).__name__ for act in acts)
            slices += 1
            if slices % MEASURED == 0:
                bench.feed_measured(acts)
            else:
                timed += sum(type(act) is FlowSeen for act in acts)
                bench.feed(acts)
            acts.clear()
        memory.append(rss())
    _report(bench, kinds, timed, host.number, base, memory)
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", "from bench.detect import alone; alone()"], check=True)


def _report(bench: Bench, kinds: Counter[str], timed: int, flows: int, base: float, memory: list[float]) -> None:
    overhead = _clock_cost()
    print(f"host at the end: load {os.getloadavg()[0]:.1f}, a look-up takes {lookup():.0f} ns")
    print(f"activities: {dict(sorted(kinds.items()))}")
    print(
        f"rate: {timed / bench.seconds:,.0f} flow activities/s, {timed / 3 / bench.seconds:,.0f} distinct flows/s on one core"
    )
    print(f"      (all kinds fed; ticks took {bench.ticking:.1f} of {bench.seconds:.1f} s)")
    print("µs a call, by detector and kind:")
    for (name, kind), (spent, calls) in sorted(bench.costs.items()):
        print(f"  {name:24} {kind:14} {max(0.0, spent / calls - overhead) / 1000:7.2f}  of {calls}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"memory: peak {peak:.0f} MiB, {memory[-1] - base:.0f} more than before; by hour: {' '.join(f'{m:.0f}' for m in memory)}"
    )
    half, end = memory[len(memory) // 2], memory[-1]
    print(f"        from hour 12 to hour 24: {end - half:+.0f} MiB ({(end / half - 1) * 100:+.1f} %)")
    print(f"findings told: {dict(bench.told.most_common(12))}")
    print(f"counters: {dict(sorted(bench.detection.totals().items()))}; flows {flows}")


def _clock_cost() -> float:
    """ns that measuring a call takes by itself."""
    clock, n = time.thread_time_ns, 200_000
    began = clock()
    for _ in range(n):
        clock()
    return (clock() - began) / n
