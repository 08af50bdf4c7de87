"""A small stage for incidents: processes, what they do, and findings about them, with one clock."""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.detect.findings import Findings, identity
from leeward.detect.incidents import Incidents
from leeward.model.activity import Activity, Ended, ExchangeSeen, FlowSeen, Started, System
from leeward.model.exchange import ChatMessage, Exchange, GenAI, Key, Network, ProcessRef, ToolCall
from leeward.model.finding import Finding, Tags
from leeward.model.incident import Incident
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Container, Process, Workload
from leeward.model.raw import Stream
from leeward.model.times import iso

T0 = 1_795_000_000 * 10**9
BOOT = T0 - 30 * 86_400 * 10**9
S = 10**9
POD = Workload("pod:prod/summariser/app", "summariser", "pod")
OTHER = Workload("pod:prod/billing/app", "billing", "pod")
IMAGE = "registry.example/summariser:2"

TECHNIQUES = {
    "indirect-prompt-injection": Tags(atlas=["AML.T0051.001"]),
    "agent-command-execution": Tags(atlas=["AML.T0053"], attack=["T1059"]),
    "shell-in-model-server": Tags(attack=["T1059.004"]),
    "reverse-shell": Tags(atlas=["AML.T0072"], attack=["T1059.004"]),
    "beaconing": Tags(attack=["T1071"]),
    "data-exfiltration": Tags(atlas=["AML.T0025"], attack=["T1041"]),
    "credential-access": Tags(attack=["T1552.001"]),
    "agent-config-tampering": Tags(atlas=["AML.T0081"], attack=["T1546"]),
    "unexpected-process": Tags(attack=["T1059"]),
    "data-leak": Tags(atlas=["AML.T0057"], attack=["T1567"]),
    "new-ai-destination": Tags(atlas=["AML.T0040"]),
    "ai-key-misdirected": Tags(atlas=["AML.T0055"], attack=["T1528"]),
    "llmjacking": Tags(atlas=["AML.T0034"], attack=["T1496"]),
    "token-spike": Tags(atlas=["AML.T0034"]),
    "port-scan": Tags(attack=["T1046"]),
    "privilege-escalation": Tags(attack=["T1548"]),
    "baseline-deviation": Tags(),
}


class Stage:
    """now: Unix ns; every deed moves it on by 10 ms."""

    def __init__(self, incidents: Incidents | None = None) -> None:
        self.incidents = incidents or Incidents()
        self.findings = Findings()
        self.now = T0
        self.pid = 1000
        self.told: list[Incident] = []
        self.acts: list[Activity] = []

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * S)
        for told in self.findings.tick(self.now):
            self.told += self.incidents.feed(told, self.now)
        self.told += self.incidents.tick(self.now)

    def process(self, exe: str, *argv: str, parent: Process | None = None, workload: Workload = POD, age: float = 0.0,
                start: bool = True, streams: tuple[Stream, Stream, Stream] | None = None) -> Process:  # fmt: skip
        """age: seconds that it runs already. start: tell that it started (now)."""
        self.pid += 1
        above = (Ancestor(parent.pid, parent.exe, parent.argv), *parent.ancestors) if parent else ()
        container = Container("c" * 64, "app", IMAGE, "sha256:" + "1" * 64, "containerd")
        process = Process(self.pid, self.now - int(age * S) - BOOT, exe, (exe.rsplit("/", 1)[-1], *argv), "/", 1000, "app",
                          above, "/kubepods/x", workload, container)  # fmt: skip
        if start and not age:
            self.act(Started(ts=self.now, process=process, streams=streams or (Stream(), Stream(), Stream())))
        return process

    def act(self, activity: Activity) -> None:
        self.acts.append(activity)
        self.incidents.heed(activity)
        self.now += S // 100

    def system(self, process: Process, kind: str, **fields: Any) -> None:
        self.act(System(ts=self.now, process=process, kind=kind, **fields))

    def flow(self, process: Process, ip: str, port: int = 443, *, domain: str = "", sent: int = 500, received: int = 900,
             provider: str = "", peer: Process | None = None, ended: bool = False, number: int = 0) -> None:  # fmt: skip
        flow = Flow(f"f{process.pid}-{ip}-{number}", self.now, "tcp", Endpoint("10.0.0.9", 40000 + number), Endpoint(ip, port),
                    "outbound", process.pid, domain=domain, provider=provider, bytes_sent=sent)  # fmt: skip
        self.act(
            FlowSeen(
                ts=self.now,
                process=process,
                flow=flow,
                sent=sent,
                received=received,
                began=True,
                ended=ended,
                peer=peer,
            )
        )

    def exchange(self, process: Process, *, calls: tuple[str, ...] = (), results: int = 0) -> str:
        id_ = identity("exchange", self.now, process.pid)
        exchange = Exchange(
            id=id_, time=iso(self.now), workload=process.workload, process=ProcessRef(pid=process.pid, exe=process.exe),
            network=Network(dst="192.0.2.7:443", domain="api.openai.com"),
            gen_ai=GenAI(provider="openai", operation="chat", request_model="gpt-4o",
                         input=[ChatMessage("tool", "a page") for _ in range(results)],
                         tool_calls=[ToolCall("c", name, "{}") for name in calls]),
            key=Key("openai", "00112233aabbccdd"),
        )  # fmt: skip
        self.act(ExchangeSeen(ts=self.now, process=process, exchange=exchange))
        return id_

    def end(self, process: Process) -> None:
        self.act(Ended(ts=self.now, process=process))

    def find(self, rule: str, process: Process, severity: str = "medium", *, title: str = "", confidence: float = 0.8,
             evidence: dict[str, Any] | None = None, **subject: str) -> str:  # fmt: skip
        """One occurrence, told as the pipeline tells it. Its id."""
        finding = Finding(
            id=identity(rule, process.workload.id, *sorted(subject.items()), title), rule=rule,
            title=f"{title or rule}: {', '.join(subject.values()) or process.exe}", severity=severity, confidence=confidence,
            time=iso(self.now), workload=process.workload, container=process.container, image=IMAGE, subject=subject,
            process=ProcessRef(pid=process.pid, exe=process.exe, argv=list(process.argv), start_ns=process.start_ns,
                               ancestors=[{"pid": a.pid, "exe": a.exe} for a in process.ancestors]),
            evidence=[{"type": "process", "time": iso(self.now), "pid": process.pid, "start_ns": process.start_ns,
                       **(evidence or {})}],
            tags=TECHNIQUES[rule],
        )  # fmt: skip
        for told in self.findings.add(finding, self.now):
            self.told += self.incidents.feed(told, self.now)
        self.now += S // 100
        return finding.id

    def last(self) -> dict[str, Incident]:
        """Every incident in its last state; what is known only by id has been merged."""
        self.told += self.incidents.finish(self.now)
        return {incident.id: incident for incident in self.told}

    def open(self) -> list[Incident]:
        return [incident for incident in self.last().values() if incident.status == "open"]

    def one(self) -> Incident:
        """The only incident that is open."""
        [incident] = self.open()
        return msgspec.convert(msgspec.to_builtins(incident), Incident)
