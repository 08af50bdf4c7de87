"""A small world of honest workloads with days, weeks, growth and deploys, as the activities that a detector hears."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import msgspec

from leeward.detect.baseline.detector import BaselineDetector
from leeward.model.activity import Activity, ExchangeSeen, FlowSeen, Started, System
from leeward.model.data import DataMatch
from leeward.model.exchange import ChatMessage, Exchange, GenAI, Key, Tool
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Container, Process, Workload

S = 10**9
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86400 * S
MONDAY = 1_759_708_800 * S  # 2025-10-06 00:00 UTC
PERIOD = 10 * MINUTE


def who(
    name: str, exe: str = "/usr/bin/app", image: str = "", parents: tuple[str, ...] = (), instance: str = "1"
) -> Process:
    container = None
    if image:
        container = Container(f"{name}-{image}-{instance}", name, image, f"sha256:{image}")
    return Process(
        100, 1, exe, (exe,), "/", 1000, "app", tuple(Ancestor(50 - n, p) for n, p in enumerate(parents)), "/x",
        Workload(f"pod:prod/{name}/main", f"prod/{name}", "pod"), container,
    )  # fmt: skip


_ids = iter(range(10**12))


def flow(
    ts: int,
    process: Process,
    to: str,
    sent: int = 2000,
    port: int = 443,
    *,
    inbound: bool = False,
    peer: Process | None = None,
) -> FlowSeen:
    """A short connection, told once. to: a name or an address."""
    is_name = any(c.isalpha() for c in to)
    me, other = Endpoint("10.1.0.5", 40000), Endpoint("198.51.100.7" if is_name else to, port)
    src, dst = (other, Endpoint("10.1.0.5", port)) if inbound else (me, other)
    seen = Flow(
        f"f{next(_ids)}", ts, "tcp", src, dst, "inbound" if inbound else "outbound",
        domain=to if is_name and not inbound else "", bytes_sent=sent,
    )  # fmt: skip
    return FlowSeen(ts=ts, process=process, flow=seen, sent=sent, received=500, began=True, ended=True, peer=peer)


def started(ts: int, process: Process, exe: str, parent: str) -> Started:
    made = msgspec.structs.replace(
        process, pid=777, exe=exe, argv=(exe,), ancestors=(Ancestor(100, parent), *process.ancestors)
    )
    return Started(ts=ts, process=made)


def opened(ts: int, process: Process, label: str) -> System:
    return System(ts=ts, process=process, kind="open", path=f"/x/{label}", label=label)


SYSTEM = "You answer questions about orders."


def asked(
    ts: int,
    process: Process,
    *,
    model: str = "gpt-4o-mini",
    size: int = 2000,
    system: str = SYSTEM,
    tools: tuple[str, ...] = ("lookup_order",),
    provider: str = "openai",
    kinds: tuple[str, ...] = (),
    messages: int = 2,
    tokens: int = 600,
    key: str = "k1",
) -> ExchangeSeen:
    said = [
        ChatMessage("system", system),
        *[ChatMessage("user", "x" * (size // max(1, messages - 1)))] * (messages - 1),
    ]
    ai = GenAI(
        provider=provider, operation="chat", request_model=model, input_tokens=tokens, output_tokens=100, input=said,
        tools=[Tool(name) for name in tools],
    )  # fmt: skip
    data = [
        DataMatch(kind=k, path="$", start=0, end=1, confidence=1.0, detector="d", sample="*", hash="h") for k in kinds
    ]
    return ExchangeSeen(ts=ts, process=process, exchange=Exchange(gen_ai=ai, data=data, key=Key(provider, key)))


def busy(ts: int) -> float:
    """1 at noon of a working day, 0.15 at night, half as much at the weekend."""
    hour, day = ts // HOUR % 24, (ts - MONDAY) // DAY % 7
    return (1.0 if 8 <= hour < 19 else 0.15) * (1.0 if day < 5 else 0.5)


def service(seed: int, start: int, days: float, process: Process, growth: float = 1.0) -> Iterator[Activity]:
    """A service: its database, a queue, one partner; day and night, spread, growth (times a day)."""
    rng = random.Random(seed)
    for ts in range(start, start + int(days * DAY), PERIOD):
        scale = busy(ts) * growth ** ((ts - start) / DAY) * rng.lognormvariate(0, 0.4)
        for n, name in enumerate(("db.prod.internal", "queue.prod.internal", "api.partner.com")):
            yield flow(ts + n * S, process, name, int(60_000 * scale) + 300, (5432, 5672, 443)[n])
        for n in range(min(40, int(8 * scale))):
            yield flow(ts + (10 + n) * S, process, "10.2.3.4", int(20_000 * scale), 8080, inbound=True)


def assistant(seed: int, start: int, days: float, process: Process) -> Iterator[Activity]:
    """A service that asks a model: one system prompt with the date in it, prompts of 1 to 3 kB."""
    rng = random.Random(seed)
    for ts in range(start, start + int(days * DAY), PERIOD):
        for n in range(1 + int(3 * busy(ts) * rng.random())):
            size = int(2000 * rng.lognormvariate(0, 0.3))
            system = f"You answer questions about orders. Today is 2025-10-{1 + ts // DAY % 28:02d}."
            yield flow(ts + n * S, process, "api.openai.com", size + 1500)
            yield asked(ts + n * S, process, size=size, system=system, tokens=size // 4)


def crawler(seed: int, start: int, days: float, process: Process) -> Iterator[Activity]:
    """New sites in every period."""
    rng = random.Random(seed)
    for ts in range(start, start + int(days * DAY), PERIOD):
        for n in range(6):
            yield flow(ts + n * S, process, f"www.site{rng.randrange(10**6)}.com", 3000)


def job(start: int, days: float, process: Process, every: int, at: int, name: str = "backup") -> Iterator[Activity]:
    """Something that runs by the clock inside a workload: its own program, destination, and much data."""
    for ts in range(start - start % every + at, start + int(days * DAY), every):
        if ts < start:
            continue
        yield started(ts, process, f"/opt/{name}/run", "/usr/sbin/cron")
        yield opened(ts + S, process, "cloud-credentials")
        for n in range(6):
            yield flow(ts + (5 + 60 * n) * S, process, f"{name}.s3.eu-west-1.amazonaws.com", 80_000_000)


@cache
def _grown(days: float, image: str, seed: int) -> bytes:
    detector = BaselineDetector()
    told(detector, service(seed, MONDAY, days, who("shop", image=image)))
    return detector.snapshot()


def grown(days: float, image: str = "", seed: int = 8) -> BaselineDetector:
    """One that has known the service "shop" for so many days from MONDAY."""
    detector = BaselineDetector()
    detector.restore(_grown(days, image, seed))
    return detector


def told(detector: BaselineDetector, activities: Iterator[Activity]) -> list[Finding]:
    """In the order of time, with a tick a minute."""
    found: list[Finding] = []
    tick = 0
    for act in sorted(activities, key=lambda a: a.ts):
        if act.ts - tick >= MINUTE:
            tick = act.ts
            found += detector.tick(tick)
        found += detector.feed(act)
    return found


def worst(findings: list[Finding]) -> str:
    return max((f.severity for f in findings), key=SEVERITIES.index, default="")
