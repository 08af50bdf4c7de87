"""Processes and activities in few words, for tests of detectors."""

from __future__ import annotations

import itertools
import shlex
from typing import Any

from leeward.model.activity import Activity, Ended, ExchangeSeen, FlowSeen, Started, System
from leeward.model.exchange import ChatMessage, Exchange, GenAI, ProcessRef, ToolCall
from leeward.model.finding import Finding
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Container, Process, Workload
from leeward.model.raw import Stream

SECOND = 10**9
T0 = 1_790_000_000 * SECOND
_pids = itertools.count(1000)

TTY = (Stream("tty", 3),) * 3
NULL = (Stream("null"),) * 3


def sock(number: int) -> Stream:
    """An inet socket as a standard stream."""
    return Stream("socket", number)


def pipe(number: int) -> Stream:
    return Stream("pipe", number)


def unix(number: int, peer: int) -> Stream:
    return Stream("unix", number, peer)


def tty(minor: int) -> Stream:
    return Stream("tty", minor)


FILE = Stream("file", 7)
DEVNULL = Stream("null")


def proc(command: str, parent: Process | None = None, *, exe: str = "", cwd: str = "/root", uid: int = 0, user: str = "",
         workload: str = "", container: Container | None = None, pid: int = 0) -> Process:  # fmt: skip
    """A process that runs `command` (its words as a shell would split them). exe: /usr/bin/ and the first word if not given.
    Workload and container are the parent's if not given."""
    argv = tuple(shlex.split(command))
    first = argv[0].lstrip("-")
    exe = exe or (first if first.startswith("/") else f"/usr/bin/{first}")
    above = () if parent is None else (Ancestor(parent.pid, parent.exe, parent.argv), *parent.ancestors)
    belongs = Workload(workload, workload, "systemd") if workload else (
        parent.workload if parent else Workload(f"exe:{exe}", first, "executable"))  # fmt: skip
    number = pid or next(_pids)
    return Process(number, number * 10**7, exe, argv, cwd, uid, user or str(uid), above, "", belongs,
                   container or (parent.container if parent else None))  # fmt: skip


def box(name: str = "web", image: str = "docker.io/acme/web:1", namespace: str = "") -> Container:
    return Container("c" * 64, name, image, pod_namespace=namespace)


def started(process: Process, streams: tuple[Stream, Stream, Stream] = NULL, at: float = 0.0, **more: Any) -> Started:
    """at: seconds after T0."""
    return Started(ts=T0 + int(at * SECOND), process=process, streams=streams, **more)


def ended(process: Process, at: float = 0.0) -> Ended:
    return Ended(ts=T0 + int(at * SECOND), process=process)


def system(process: Process, kind: str, at: float = 0.0, **more: Any) -> System:
    return System(ts=T0 + int(at * SECOND), process=process, kind=kind, **more)


def flow(process: Process, remote: str, at: float = 0.0, *, number: int = 0, inbound: bool = False, l7: str = "",
         provider: str = "", domain: str = "", sent: int = 0, received: int = 0, began: bool = True,
         ended: bool = False, proto: str = "tcp", id: str = "") -> FlowSeen:  # fmt: skip
    """remote: "ip:port" of the other end. number: of the socket."""
    ip, _, port = remote.rpartition(":")
    ours, theirs = Endpoint("10.0.0.5", 40000), Endpoint(ip, int(port))
    made = Flow(id or f"f{number or process.pid}-{remote}", T0, proto, theirs if inbound else ours, ours if inbound else theirs,
                "inbound" if inbound else "outbound", process.pid, T0, l7=l7, provider=provider, domain=domain,
                bytes_sent=sent, bytes_received=received)  # fmt: skip
    return FlowSeen(ts=T0 + int(at * SECOND), process=process, flow=made, sent=sent, received=received, began=began,
                    ended=ended, sock=number)  # fmt: skip


def exchange(process: Process, says: str = "", at: float = 0.0, *, calls: tuple[tuple[str, str], ...] = (), asked: str = "",
             provider: str = "anthropic", id: str = "x1", tools: tuple[str, ...] = ()) -> ExchangeSeen:  # fmt: skip
    """The model says this and calls these tools (name, arguments as JSON)."""
    from leeward.model.exchange import Tool

    made = [ToolCall(f"call{i}", name, arguments) for i, (name, arguments) in enumerate(calls)]
    ai = GenAI(provider=provider, operation="chat", request_model="m", input=[ChatMessage("user", asked)],
               output=[ChatMessage("assistant", says, tool_calls=made)], tool_calls=made,
               tools=[Tool(name) for name in tools])  # fmt: skip
    ref = ProcessRef(process.pid, process.exe, list(process.argv), process.user, process.cwd, process.start_ns)
    return ExchangeSeen(ts=T0 + int(at * SECOND), process=process,
                        exchange=Exchange(id=id, gen_ai=ai, process=ref, workload=process.workload))  # fmt: skip


def found(detector: Any, *activities: Activity, until: float = 0.0) -> list[Finding]:
    """All that the detector says of these, ticks included: one a second from the last activity to `until` (seconds after T0)."""
    findings = [
        finding
        for activity in activities
        if isinstance(activity, detector.hears)
        for finding in detector.feed(activity)
    ]
    last = max((a.ts for a in activities), default=T0)
    for second in range(1, max(1, int(until - (last - T0) / SECOND) + 1)):
        findings += detector.tick(last + second * SECOND)
    return findings


def worst(findings: list[Finding]) -> str:
    """The severity of the worst, "" if there are none."""
    order = ("info", "low", "medium", "high", "critical")
    return max((f.severity for f in findings), key=order.index, default="")
