"""Policies at work on a live host: whose writes are held, which destinations are refused, what became of it, and the audit log.

Invariants: nothing is held and nobody belongs to a class unless a policy that is enforced says so. A policy file that is
wrong never replaces a good one. Every decision that stopped or changed something is in the audit log.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from leeward.ai.catalogue import Catalogue
from leeward.enforce import sockets
from leeward.enforce.connect import TABLES, ConnectRung
from leeward.enforce.enforcer import Enforcer
from leeward.enforce.messages import Decided, Who
from leeward.enforce.rules import Rule
from leeward.identity.processes import ProcessTable
from leeward.identity.users import Users
from leeward.model.exchange import ProcessRef
from leeward.model.net import Endpoint
from leeward.model.process import Process
from leeward.model.raw import CallJudged, Denied, ProcessExec, ProcessExited, ProgramJudged, RawEvent
from leeward.model.times import iso
from leeward.policy.audit import Audit
from leeward.policy.facts import facts_of_connection
from leeward.policy.policies import Policies, Scoped, policy_files
from leeward.policy.reload import Reloader
from leeward.sensor import host
from leeward.sensor.kernel import KernelSensor

_LOOK_NS = 2 * 10**9  # between two looks at the policy files
_MOST_CLASSES = 4096
_MOST_KNOWN = 4096
_BATCH = 256  # events a round: a program that begins must not wait for what others have sent
_STOPS = ("block", "kill")
_CHANGES = ("redact", "block", "kill")
#: Programs that people sit at: never held, whatever a policy says. What they start is looked at by itself.
_SHELLS = frozenset("sh bash dash zsh fish ksh ash busybox tcsh csh login sshd tmux screen systemd init".split())  # noqa: SIM905


class Enforced(msgspec.Struct, frozen=True):
    """paths: policy files and folders. key, config: for finding sensitive data. audit: where decisions are written
    down. name_of: the SNI that was seen on the socket of a cookie."""

    paths: tuple[Path, ...]
    key: bytes
    config: Path | None = None
    audit: Audit | None = None
    name_of: Callable[[int], str] = lambda _cookie: ""


class Guard:
    def __init__(self, sensor: KernelSensor, processes: ProcessTable, catalogue: Catalogue, policies: Enforced) -> None:
        """Raises InputError for policies that are none, HostError where they cannot be enforced."""
        self.counters: Counter[str] = Counter()
        self._paths, self._audit = list(policies.paths), policies.audit
        self._reloader = Reloader(self._paths)
        self._processes, self._catalogue, self._users = processes, catalogue, Users()
        self._sensor, self._key, self._config = sensor, policies.key, policies.config
        self._enforcer: Enforcer | None = None
        self._rung = ConnectRung({name: sensor.map(name) for name in TABLES}, catalogue, name_of=policies.name_of)
        self._classes: dict[tuple[tuple[str, ...], tuple[Endpoint, ...]], int] = {}  # refused hosts, gateways
        self._denied: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._looked = time.monotonic_ns()
        self._ours = {os.getpid(), os.getppid(), 1}
        self._complaint = ""
        self._news: list[ProgramJudged] = []
        self._plain: dict[int, list[Callable[[], None]]] = {}
        self._closing = ThreadPoolExecutor(1)
        self._begin()

    @property
    def policies(self) -> Policies:
        """Those in force."""
        return self._reloader.policies

    def _begin(self) -> None:
        """Holding needs processes of its own: only where a policy asks for it."""
        for line in self.policies.warnings:
            print(f"level=warning event=policy what={line!r}", file=sys.stderr)
        holds = any(self._holds(policy.name) for policy in self.policies.policies)
        if holds and self._enforcer is None:
            self._sensor.batch = _BATCH
            self._enforcer = Enforcer(self._sensor, self._paths, self._key, self._config)
            self._enforcer.ready()
            self._sensor.helpers(self._enforcer.pids().values())
        self._write_down([("policies-loaded", self._loaded())])

    def _loaded(self) -> dict[str, Any]:
        """Which policies those are, and whose files: for the audit log."""
        files = {}
        for path in policy_files(self._paths):
            try:
                status, content = path.stat(), path.read_bytes()
            except OSError as error:
                files[str(path)] = {"error": error.strerror or ""}
                continue
            owner, digest = self._users.name(status.st_uid), hashlib.sha256(content).hexdigest()
            files[str(path)] = {"owner": owner, "changed": iso(status.st_mtime_ns), "sha256": digest}
        return {
            "files": files,
            "policies": {p.name: p.mode for p in self.policies.policies},
            "user": self._users.name(os.getuid()),
        }

    def _holds(self, name: str) -> bool:
        policy = next(p for p in self.policies.policies if p.name == name)
        return policy.mode == "enforce" and any(
            rule.stage != "connect" and rule.action in _CHANGES for rule in policy.rules
        )

    # -- who ---------------------------------------------------------------------------------------------------------

    def follow(self, pid: int) -> None:
        """This process, which is about to run a command, and its children: held from before its first instruction."""
        if self._enforcer is None:
            return
        process = self._processes.get(pid, time.time_ns())
        self._enforcer.hold(who_is(process, pid, Scoped(hold=True)))
        end = time.monotonic() + 5
        while not self._enforcer.counters["taken"] and pid not in self._enforcer.refused and time.monotonic() < end:
            self._enforcer.poll()
            time.sleep(0.005)

    def consider(self, pid: int, ts: int) -> None:
        """Which policies are about this process?"""
        if pid in self._ours or (self._enforcer is not None and pid in self._enforcer.pids().values()):
            return
        process = self._processes.get(pid, ts)
        if not process.exe:  # a thread of the kernel, or gone
            return
        labels = process.container.labels if process.container else {}
        scoped = self.policies.scope(process.workload, labels)
        if scoped.process and self._program(process, ts):
            return
        if scoped.connect:
            self._classify(process, ts, tuple(sorted(scoped.gateways, key=str)))
        if self._enforcer is None:
            return
        shell = process.exe.rsplit("/", 1)[-1] in _SHELLS
        family = (pid, *(above.pid for above in process.ancestors[:1]))
        followed = any(one in self._enforcer.held for one in family)
        if (scoped.hold or scoped.process) and (not shell or followed):
            self._enforcer.hold(who_is(process, pid, scoped))
            self._look_at_plain(pid)
        elif followed:
            self._enforcer.release(pid)

    def _look_at_plain(self, pid: int) -> None:
        """HTTP in the clear of this process is held too."""
        self._let_plain(pid)
        self._plain[pid] = self._sensor.watch_plain(pid)

    def _let_plain(self, pid: int) -> None:
        for detach in self._plain.pop(pid, ()):
            self._closing.submit(detach)  # the kernel takes some 50 ms

    def _program(self, process: Process, ts: int) -> bool:
        """May this program run in its workload? Where its parent is held it has not run its first instruction yet. True: it was
        ended."""
        for decision in self.policies.decide("process", facts_of_connection(process, "", "", 0, "", ts)):
            ended = decision.action in _STOPS
            if ended:
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    self.counters["programs_gone"] += 1
                self.counters["programs_killed"] += 1
            self._news.append(ProgramJudged(ts, process.pid, "kill" if ended else "", msgspec.to_builtins(decision)))
            self._write_down([("program", {"pid": process.pid, "exe": process.exe, "workload": process.workload.id,
                                           "action": "kill" if ended else "alert", "policy": decision.policy,
                                           "rule": decision.rule})])  # fmt: skip
            return ended
        return False

    def consider_all(self) -> None:
        """The processes that run now."""
        now = time.time_ns()
        for name in os.listdir("/proc"):
            if name.isdigit():
                self.consider(int(name), now)

    def _classify(self, process: Process, ts: int, gateways: tuple[Endpoint, ...]) -> None:
        """The class of what this process may not connect to."""
        key = (process.workload.id, process.exe, process.user, process.container.image if process.container else "")
        denied = self._denied.get(key)
        if denied is None:
            if len(self._denied) >= _MOST_KNOWN:
                self._denied.clear()
            denied = self._denied[key] = tuple(self._refused_hosts(process, ts))
        if not denied:
            self._rung.release(process.pid)
            return
        number = self._classes.get((denied, gateways))
        if number is None:
            if len(self._classes) >= _MOST_CLASSES:
                self.counters["too_many_classes"] += 1
                return
            number = self._classes[denied, gateways] = len(self._classes) + 1
            self._rung.rules(
                Rule(n, "deny", names=names, doh=True, passes=passes) for (names, passes), n in self._classes.items()
            )
        self._rung.assign(process.pid, number)
        if process.container is not None and process.container.id in process.cgroup:
            try:  # what is started in the container from outside is of its class from its first instruction on
                self._rung.assign_cgroup((host.cgroup2() / process.cgroup.lstrip("/")).stat().st_ino, number)
            except OSError:
                self.counters["containers_without_cgroup"] += 1

    def _refused_hosts(self, process: Process, ts: int) -> Iterator[str]:
        """Hosts of the catalogue's providers, as patterns, that the policies refuse this process."""
        for provider in self._catalogue.providers.values():
            for pattern in provider.hosts:
                domain = pattern.replace("*", "any")
                facts = facts_of_connection(process, domain, "", 443, provider.id, ts)
                if any(decision.action in _STOPS for decision in self.policies.decide("connect", facts)):
                    yield pattern

    def names_of(self, ip: str) -> list[str]:
        """The names that an address was asked for by."""
        return self._rung.names_of(ip)

    def first(self, event: RawEvent) -> None:
        """One of the sensor's events, before the pipeline hears it."""
        self._rung.feed(event)

    def feed(self, event: RawEvent) -> None:
        """One of the sensor's events, after the pipeline knows it. What a child is it has from its parent until it runs
        another program, and so have its class in the kernel and the holder."""
        match event:
            case Denied():
                self._write_down([("refused", {"pid": event.pid, "name": event.name, "dst": str(event.remote),
                                               "reason": event.reason})])  # fmt: skip
            case ProcessExec(pid=pid, ts=ts):
                self.consider(pid, ts)
            case ProcessExited(pid=pid) if self._enforcer is not None:
                self._enforcer.exited(pid)
                self._let_plain(pid)

    # -- what became of it -------------------------------------------------------------------------------------------

    def step(self) -> list[CallJudged | ProgramJudged]:
        """What was decided since the last call."""
        self._reload()
        news, self._news = self._news, []
        if self._enforcer is None:
            return [*news]
        decided = self._enforcer.poll()
        self._sensor.helpers(self._enforcer.pids().values())
        self._write_down([("verdict", verdict_entry(one)) for one in decided])
        return [*news, *(CallJudged(d.ts, d.pid, d.tls, d.action, d.held_us, d.why, d.decided) for d in decided)]

    def stopped(self, pid: int, sock: int) -> None:
        """A call of this process on this socket was stopped: the connection ends."""
        self.counters["sockets_ended"] += sockets.destroy_by_cookie(pid, sock)

    def writes_held(self, pid: int) -> str:
        """Are the writes of a process held? As Coverage.held."""
        if self._enforcer is None:
            return ""
        if pid in self._enforcer.held:
            return "yes"
        if pid in self._enforcer.refused:
            return self._enforcer.refused[pid]
        process = self._processes.get(pid, time.time_ns())
        labels = process.container.labels if process.container else {}
        wanted = self.policies.scope(process.workload, labels).hold
        return "the process was not known when it wrote" if wanted else ""

    def _reload(self) -> None:
        now = time.monotonic_ns()
        if now - self._looked < _LOOK_NS:
            return
        self._looked = now
        changed = self._reloader.poll()
        if self._reloader.complaint != self._complaint:
            self._complaint = self._reloader.complaint
            if self._complaint:
                print(f"level=error event=policies_refused what={self._complaint!r}", file=sys.stderr)
                self._write_down([("policies-refused", {"complaint": self._complaint[:4096]})])
        if changed:
            self._classes.clear()
            self._denied.clear()
            self._rung.rules([])
            if self._enforcer is not None:
                self._enforcer.reload(self._paths)
            self._begin()
            self.consider_all()

    def _write_down(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        if self._audit is not None and events:
            now = iso(time.time_ns())
            self._audit.extend((now, "policy", name, detail) for name, detail in events)

    def totals(self) -> dict[str, int]:
        total = self.counters + Counter({f"connect_{n}": c for n, c in self._rung.counters.items()})
        if self._enforcer is not None:
            total += Counter({f"hold_{n}": c for n, c in self._enforcer.totals().items()})
        return dict(sorted((total + self._reloader.counters).items()))

    def close(self) -> None:
        self._closing.shutdown(cancel_futures=True)
        if self._enforcer is not None:
            self._enforcer.close()


def who_is(process: Process, pid: int, scoped: Scoped) -> Who:
    """A process as the judge is told of it."""
    reference = ProcessRef(
        pid=pid, exe=process.exe, argv=list(process.argv), user=process.user, cwd=process.cwd, start_ns=process.start_ns,
        ancestors=[{"pid": a.pid, "exe": a.exe} for a in process.ancestors],
    )  # fmt: skip
    return Who(pid, reference, process.workload, process.container, scoped.deadline_ms, scoped.fail)


def verdict_entry(decided: Decided) -> dict[str, Any]:
    """A decision as the audit log keeps it: no payload."""
    told = decided.decided or {}
    decision, exchange = told.get("decision") or {}, told.get("exchange") or {}
    return {
        "pid": decided.pid, "action": decided.action, "why": decided.why, "held_us": decided.held_us, "bytes": decided.size,
        "policy": decision.get("policy", ""), "rule": decision.get("rule", ""),
        "workload": ((exchange.get("workload") or {}).get("id") or ""),
        "domain": (exchange.get("network") or {}).get("domain", ""),
        "kinds": sorted({match["kind"] for match in exchange.get("data") or ()}),
    }  # fmt: skip
