"""Activities at APIs in few words, for the tests of their detectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from leeward.detect.detector import Detector
from leeward.model.activity import Activity, ExchangeSeen, FlowSeen, HttpSeen, Started
from leeward.model.exchange import ChatMessage, Exchange, GenAI, Http, Key, Network, Observer, ProcessRef
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Container, Process, Workload
from leeward.model.raw import FoundKey

SECOND = 10**9
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
T0 = 1_790_000_000 * SECOND
INSIDE, OUTSIDE = "10.1.2.3", "203.0.113.7"


def process(
    exe: str = "/usr/bin/python3.11",
    *argv: str,
    workload: str = "systemd:shop.service",
    parents: Iterable[str] = (),
    image: str = "",
    user: str = "app",
    pid: int = 4711,
) -> Process:
    kind = workload.partition(":")[0]
    kinds = {"systemd": "systemd", "exe": "executable", "container": "container", "pod": "pod"}
    ancestors = tuple(Ancestor(100 + n, parent) for n, parent in enumerate(parents))
    container = Container("c" * 64, image=image) if image else None
    named = Workload(workload, workload.partition(":")[2], kinds[kind])
    return Process(pid, pid, exe, (exe, *argv), "/", 1000, user, ancestors, "", named, container)


SHOP = process("/usr/bin/python3.11", "/srv/shop/app.py")


def http(
    at: float,
    path: str = "/",
    status: int = 200,
    *,
    peer: str = OUTSIDE,
    method: str = "GET",
    identity: str = "",
    agent: str = "agent/1",
    who: Process = SHOP,
    direction: str = "inbound",
    **more: Any,
) -> HttpSeen:
    """at: seconds since T0."""
    return HttpSeen(
        ts=T0 + int(at * SECOND), process=who, direction=direction, peer=f"{peer}:40000", path=path, status=status,
        method=method, identity=identity, user_agent=agent, **more,
    )  # fmt: skip


def call(
    at: float,
    *,
    who: Process = SHOP,
    provider: str = "openai",
    host: str = "api.openai.com",
    operation: str = "chat",
    model: str = "gpt-4o",
    status: int = 200,
    key: Key | None = None,
    tokens: tuple[int, int] | None = None,
    said: str = "hello",
    src: str = INSIDE,
    dst: str = "162.159.1.1",
    direction: str = "outbound",
    server: Process | None = None,
    **parameters: Any,
) -> ExchangeSeen:
    """An AI exchange. server: its server, if that is on this host too."""
    given, made = tokens or (None, None)
    ai = GenAI(
        provider=provider, operation=operation, request_model=model, input_tokens=given, output_tokens=made,
        input=[ChatMessage("user", said)], request_parameters=parameters,
    )  # fmt: skip
    exchange = Exchange(
        id=f"x{at}", gen_ai=ai, key=key, http=Http("POST", f"https://{host}/", status),
        network=Network(f"{src}:50000", f"{dst}:443", host, "sni", direction),
    )  # fmt: skip
    if server is not None:
        exchange.observers = [Observer(ProcessRef(server.pid), server.workload)]
    return ExchangeSeen(ts=T0 + int(at * SECOND), process=who, exchange=exchange)


def flow(at: float, who: Process, **fields: Any) -> FlowSeen:
    base: dict[str, Any] = {
        "id": "f", "time": T0, "proto": "tcp", "src": Endpoint(INSIDE, 50000), "dst": Endpoint("162.159.1.1", 443),
        "direction": "outbound",
    }  # fmt: skip
    return FlowSeen(ts=T0 + int(at * SECOND), process=who, flow=Flow(**(base | fields)), began=True)


def listening(at: float, who: Process, address: str, port: int) -> FlowSeen:
    return flow(
        at, who, src=Endpoint("0.0.0.0", 0), dst=Endpoint(address, port), direction="inbound", state="listening"
    )


def started(at: float, who: Process, *keys: FoundKey, **variables: str) -> Started:
    return Started(ts=T0 + int(at * SECOND), process=who, keys=keys, variables=tuple(variables.items()))


def told(detector: Detector, *activities: Activity | Iterable[Activity], until: float = 0) -> list[Finding]:
    """What a detector says to these, in their order, and to ticks after them up to `until` seconds."""
    found: list[Finding] = []
    last = T0
    for activity in _flat(activities):
        found += detector.feed(activity)
        last = activity.ts
    end = T0 + int(until * SECOND)
    while last < end:
        last += MINUTE
        found += detector.tick(last)
    return found


def _flat(activities: Iterable[Activity | Iterable[Activity]]) -> Iterator[Activity]:
    for activity in activities:
        if isinstance(activity, Activity):
            yield activity
        else:
            yield from activity


def worst(found: Iterable[Finding], rule: str = "") -> str:
    """The highest severity told (of a rule), "" for none."""
    return max((f.severity for f in found if not rule or f.rule == rule), key=SEVERITIES.index, default="")
