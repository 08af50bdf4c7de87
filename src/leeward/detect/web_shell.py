"""`unexpected-process`: a program that serves others runs questions about its host, one after another, as requests come.

What is structural about it: a web shell (MITRE ATT&CK T1505.003) or a hole through which commands go lets somebody outside look
round. Applications run programs of theirs too, converters and status pages; what these do not do is to ask who they are, and then
other such questions after having heard from outside again. Invariants: bounded by process and by age; whoever runs commands for a
living (agents, runners, notebooks, remote administration), and who talks to models, is left out.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.commands import programs_run
from leeward.detect.detector import occurrence
from leeward.detect.programs import SHELL_HOSTS, SHELL_SHOWS, program, trusted
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, ExchangeSeen, FlowSeen, Started
from leeward.model.finding import Finding
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_RULE = "unexpected-process"
_MOST, _NAMES = 8_192, 32
_WHO = frozenset({"id", "whoami"})
_FOR_A_LIVING = SHELL_HOSTS | SHELL_SHOWS | {"job-runner", "model-server", "service-manager"}


class _Served(msgspec.Struct):
    """A process that others connect to. heard: how often something came. asked: questions → (when first, what was heard by
    then)."""

    heard: int = 0
    asked: dict[str, tuple[int, int]] = {}
    told: bool = False


class WebShell:
    hears: tuple[type[Activity], ...] = (FlowSeen, Started, Ended, ExchangeSeen)
    of_flows = "inbound"

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        settings = rules()[_RULE].settings
        self._questions, self._turns = settings["questions"], settings["turns"]
        self._within_ns = settings["within_seconds"] * 10**9
        self._served: OrderedDict[int, _Served] = OrderedDict()
        self._speakers: OrderedDict[int, None] = OrderedDict()  # processes that talk to models

    def feed(self, activity: Any) -> list[Finding]:
        kind = type(activity)
        if kind is FlowSeen:
            if activity.flow.direction == "inbound" and (activity.began or activity.received):
                self._hear(activity.process.pid)
        elif kind is Started:
            return self._started(activity)
        elif kind is ExchangeSeen:
            self._speakers[activity.process.pid] = None
            if len(self._speakers) > _MOST:
                self._speakers.popitem(last=False)
        else:
            self._served.pop(activity.process.pid, None)
            self._speakers.pop(activity.process.pid, None)
        return []

    def tick(self, ts: int) -> list[Finding]:
        return []

    def _hear(self, pid: int) -> None:
        served = self._served.get(pid)
        if served is None:
            if not pid:
                return
            served = self._served[pid] = _Served(asked={})
            if len(self._served) > _MOST:
                self._served.popitem(last=False)
                self.counters["web_shell_evicted"] += 1
        elif served.asked:
            self._served.move_to_end(pid)
        served.heard += 1

    def _started(self, activity: Started) -> list[Finding]:
        process, ts = activity.process, activity.ts
        holder = next((above for above in process.ancestors[:3] if not program(above).any(("shell",))), None)
        served = self._served.get(holder.pid) if holder is not None else None
        if holder is None or served is None or served.told:
            return []
        names = [made.name for made, _ in programs_run(process.argv) if "recon" in made.kinds]
        if not names or holder.pid in self._speakers or trusted(holder, _FOR_A_LIVING):
            return []
        for name in names:
            served.asked.setdefault(name, (ts, served.heard))
        served.asked = {n: at for n, at in list(served.asked.items())[-_NAMES:] if ts - at[0] <= self._within_ns}
        turns = len({heard for _, heard in served.asked.values()})
        if len(served.asked) < self._questions or turns < self._turns or not _WHO & served.asked.keys():
            return []
        served.told = True
        return [self._finding(process, holder, served, turns, ts)]

    def _finding(self, process: Process, holder: Ancestor, served: _Served, turns: int, ts: int) -> Finding:
        asked, name = sorted(served.asked), program(holder).name
        evidence: dict[str, Any] = {
            "type": "commands", "time": iso(ts), "pid": holder.pid, "exe": holder.exe, "commands": asked, "turns": turns,
            "value": len(asked), "threshold": self._questions, "margin": len(asked) - self._questions,
        }  # fmt: skip
        return occurrence(
            _RULE, process, ts, f"{name}, which others connect to, ran {', '.join(asked)} as requests came",
            same=("served", name), subject={"server": holder.exe, "program": process.exe}, evidence=[evidence],
            severity="medium", confidence=0.6,
        )  # fmt: skip
