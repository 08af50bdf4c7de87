"""Processes and activities for the tests of network detectors."""

from __future__ import annotations

import itertools

import msgspec

from leeward.model.activity import FlowSeen
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Process, Workload

SECOND = 10**9
NOON = 1_790_000_000 * SECOND
_pids = itertools.count(1000)
_ids = itertools.count(1)


def process(
    exe: str = "/usr/bin/python3.11",
    *argv: str,
    workload: str = "systemd:shop.service",
    ancestors: tuple[str, ...] = ("/usr/lib/systemd/systemd",),
) -> Process:
    """A process of its own each time."""
    command = argv or (exe, "/srv/shop/app.py")
    above = tuple(Ancestor(n + 1, one, (one,)) for n, one in enumerate(ancestors))
    return Process(
        next(_pids),
        5,
        exe,
        command,
        "/",
        1000,
        "shop",
        above,
        "",
        Workload(workload, workload.split(":")[-1], "systemd"),
    )


def flow(
    ip: str, port: int = 443, *, ts: int = NOON, proto: str = "tcp", domain: str = "", direction: str = "outbound",
    src: str = "10.0.0.5", source_port: int = 40000, pid: int = 1, provider: str = "",
    l7: str = "",
) -> Flow:  # fmt: skip
    """A flow that has just begun."""
    return Flow(
        id=f"f{next(_ids)}", time=ts, proto=proto, src=Endpoint(src, source_port), dst=Endpoint(ip, port), direction=direction,
        pid=pid, start=ts, domain=domain, domain_from="dns" if domain else "", provider=provider,
        l7=l7,
    )  # fmt: skip


def seen(
    who: Process, of: Flow, ts: int, sent: int = 0, received: int = 0, *, packets: int = 0, back: int = -1,
    began: bool = False, ended: bool = False,
) -> FlowSeen:  # fmt: skip
    """News of a flow, in payload and packets; its totals grow by what is told, with the headers of a kernel's count."""
    packets = packets or (1 + sent // 1400 if sent else 0)
    back = back if back >= 0 else (1 + received // 1400 if received else 0)
    header = 52 if of.proto == "tcp" else 28
    out, into = sent + packets * header, received + back * header
    of.bytes_sent += out
    of.bytes_received += into
    of.packets_sent += packets
    of.packets_received += back
    of.time = ts
    if ended:
        of.state, of.end = "closed", ts
    return FlowSeen(
        ts=ts,
        process=who,
        flow=msgspec.structs.replace(of),
        sent=out,
        received=into,
        packets_out=packets,
        began=began,
        ended=ended,
    )


def connection(who: Process, ip: str, ts: int, *, sent: int = 600, received: int = 800, port: int = 443, domain: str = "",
               proto: str = "tcp", provider: str = "") -> list[FlowSeen]:  # fmt: skip
    """One that begins, says something, hears something and is over 0.2 s later."""
    one = flow(ip, port, ts=ts, domain=domain, proto=proto, pid=who.pid, provider=provider)
    first = seen(who, one, ts, packets=1, began=True)
    return [first, seen(who, one, ts + SECOND // 5, sent, received, packets=5, back=5, ended=True)]
