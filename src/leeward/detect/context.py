"""What happened lately, kept small, so that findings can be linked and the way from one to the next be told.

Invariants: bounded in every direction (processes, destinations of each, files, exchanges), the oldest leave first and are
counted; no payload and no raw secret in it. A process is known by (pid, start_ns); an ancestor, of which only the pid is given,
by the process that had this pid last.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from leeward.model.activity import Activity, Ended, ExchangeSeen, FlowSeen, Started, System
from leeward.model.exchange import Exchange, ToolCall
from leeward.model.net import Endpoint
from leeward.model.process import Process

Key = tuple[int, int]

_PROCESSES = 16_384
_DESTINATIONS = 8  # of a process
_LINKS = 16  # of a process
_FILES = 8_192
_PIPES = 4_096
_EXCHANGES = 4_096
_NAMES = 32_768
_MANY = 4  # workloads that talk to an address: more are not told apart
_SERVICES = 1_024
_NO_SERVICE = ("", "openai_compatible")  # what an unknown host says of itself by speaking like one
_ARGUMENTS = 5  # of a command line that may name the program's file
_STARTUPS = 512  # installations of Python
_HOOKS = 4  # of an installation
_INSTALLATION = re.compile(r"(.*)/lib(?:64)?/(?:python|pypy)[^/]*/(?:site|dist)-packages/")
_UP = 6  # generations
_NAMED = 60  # characters of a command line, where it stands for the process
_PIPED_NS = 60 * 10**9  # both ends of a pipe begin together: a shell starts them
_FILE_NS = 24 * 3600 * 10**9
_YOUNG_NS = 600 * 10**9
"""A process that is older than this when something is found in it or below it was there before the attack: a service, a shell of
long ago. What comes from it need not belong together."""


class Destination(msgspec.Struct):
    """What a process sent to one address. first, last, sent, received: of all its connections there; opened: how many."""

    address: str
    name: str
    provider: str
    first: int
    last: int
    opened: int = 0
    sent: int = 0
    received: int = 0


class Link(msgspec.Struct, frozen=True):
    """What two processes have to do with each other beside descent. kind: "file" | "pipe" | "memory" | "flow". what: a person
    reads it. path: of the file."""

    other: Key
    kind: str
    ts: int
    what: str
    path: str = ""


class Node(msgspec.Struct):
    """A process. since: when it began, as far as is known; else when it was seen first."""

    key: Key
    exe: str
    argv: tuple[str, ...]
    workload: str
    parent: Key | None
    since: int
    known: bool = False
    ended: int = 0
    to: dict[Endpoint, Destination] = {}
    links: list[Link] = []

    def old_at(self, ts: int) -> bool:
        """Was it there long before `ts`? pid 1 always was."""
        return self.key[0] == 1 or not self.known or ts - self.since > _YOUNG_NS

    def named(self) -> str:
        """As a person reads it: command line, pid."""
        line = " ".join(self.argv) or self.exe
        return f"{line if len(line) <= _NAMED else line[: _NAMED - 1] + '…'} ({self.key[0]})"


class Talk(msgspec.Struct, frozen=True):
    """An AI exchange, without its words. calls: names of the tools that the model asked for; results: how many tool results it
    was given."""

    ts: int
    process: Key
    provider: str
    model: str
    host: str
    operation: str
    calls: tuple[str, ...]
    results: int
    key: str


class Context:
    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._boot = 0  # about when the host started: the least that a process's first program was after `start_ns`
        self._nodes: OrderedDict[Key, Node] = OrderedDict()
        self._last: dict[int, Key] = {}  # pid → who had it last
        self._written: OrderedDict[str, tuple[Key, int]] = OrderedDict()
        self._startups: OrderedDict[str, tuple[str, ...]] = (
            OrderedDict()
        )  # folder of a Python → files that it runs at start
        self._pipes: OrderedDict[int, tuple[Key, int, int]] = OrderedDict()
        self._talks: OrderedDict[str, Talk] = OrderedDict()
        self._services: OrderedDict[str, None] = OrderedDict()  # names of AI services
        self._callers: OrderedDict[str, tuple[str, ...]] = OrderedDict()  # destination → workloads, at most four
        self._handlers: dict[type[Activity], Callable[[Any], None]] = {
            FlowSeen: self._flow,
            Started: self._started,
            System: self._system,
            ExchangeSeen: self._exchange,
            Ended: self._ended,
        }

    def heed(self, activity: Activity) -> None:
        handler = self._handlers.get(type(activity))
        if handler is not None:
            handler(activity)

    # -- asked by those who link and tell ------------------------------------------------------------------------------

    def node(self, key: Key) -> Node | None:
        return self._nodes.get(key)

    def ancestors(self, key: Key) -> list[Node]:
        """The process and those above it that are known, nearest first."""
        found: list[Node] = []
        at: Key | None = key
        while at is not None and len(found) <= _UP and (node := self._nodes.get(at)) is not None:
            found.append(node)
            at = node.parent if node.parent != at else None
        return found

    def learn(self, process: Process, ts: int) -> Node | None:
        """The node of a process that something is found in."""
        return self._node(process, ts) if process.pid else None

    def key_of(self, pid: int, start_ns: int) -> Key | None:
        """start_ns 0: whoever had this pid last."""
        return (pid, start_ns) if start_ns else self._last.get(pid)

    def talk(self, exchange: str) -> Talk | None:
        return self._talks.get(exchange)

    def callers(self, name: str) -> int:
        """How many workloads talk to this destination, up to four, as an AI service always has; 0 if none was seen to."""
        return _MANY if name in self._services else len(self._callers.get(name, ()))

    def called(self, key: Key) -> Iterator[Destination]:
        node = self._nodes.get(key)
        return iter(node.to.values() if node is not None else ())

    # -- what happens ------------------------------------------------------------------------------------------------

    def _flow(self, activity: FlowSeen) -> None:
        process, flow = activity.process, activity.flow
        if flow.direction == "inbound" or not process.pid:
            return
        node = self._nodes.get((process.pid, process.start_ns))
        if node is None:
            node = self._node(process, activity.ts)
        to = node.to.get(flow.dst)
        if to is None:
            to = self._destination(node, activity)
        to.last = activity.ts
        to.sent += activity.sent
        to.received += activity.received
        if activity.began:
            to.opened += 1
            if activity.peer is not None and activity.peer.pid:
                self._link_flow(node, activity)

    def _destination(self, node: Node, activity: FlowSeen) -> Destination:
        flow = activity.flow
        if len(node.to) >= _DESTINATIONS:
            del node.to[min(node.to, key=lambda dst: (node.to[dst].sent, node.to[dst].last))]  # what moved least
            self.counters["incident_destinations_evicted"] += 1
        name = flow.domain or flow.sni
        to = node.to[flow.dst] = Destination(str(flow.dst), name, flow.provider, activity.ts, activity.ts)
        for known in {flow.dst.ip, name.lower()} - {""}:
            self._called(known, node.workload)
        return to

    def _called(self, name: str, workload: str) -> None:
        callers = self._callers.pop(name, ())
        if workload not in callers and len(callers) < _MANY:
            callers = (*callers, workload)
        self._callers[name] = callers
        if len(self._callers) > _NAMES:
            self._callers.popitem(last=False)
            self.counters["incident_names_evicted"] += 1

    def _link_flow(self, node: Node, activity: FlowSeen) -> None:
        assert activity.peer is not None
        other = self._node(activity.peer, activity.ts)
        if other is not node:
            self._join(node, other, "flow", activity.ts, f"{node.named()} connected to {other.named()}")

    def _started(self, activity: Started) -> None:
        process, ts = activity.process, activity.ts
        if not process.pid:
            return
        self._boot = min(self._boot or ts, ts - process.start_ns)
        fresh = (process.pid, process.start_ns) not in self._nodes
        node = self._node(process, ts)
        if fresh:
            node.known, node.since = True, ts
        node.exe, node.argv = process.exe, process.argv[:12]  # exec in the same process
        for path in dict.fromkeys((process.exe, *process.argv[1:_ARGUMENTS])):
            if path.startswith("/"):
                self._used(node, path, "was run as", ts)
        if self._startups and posixpath.basename(process.exe).startswith(("python", "pypy")):
            self._ran_at_start(node, process, ts)
        for number, stream in enumerate(activity.streams):
            if stream.kind == "pipe" and stream.number:
                self._piped(node, stream.number, number, process.ancestors[0].pid if process.ancestors else 0, ts)

    def _ran_at_start(self, node: Node, process: Process, ts: int) -> None:
        """Python runs these by itself (site.py), which no event tells. A virtual environment's is known by its first argument:
        the file there leads to another installation's program."""
        for called in dict.fromkeys((process.exe, *process.argv[:1])):
            for path in self._startups.get(posixpath.dirname(posixpath.dirname(called)), ()):
                self._used(node, path, "is run at every start of Python, by", ts)

    def _piped(self, node: Node, pipe: int, end: int, parent: int, ts: int) -> None:
        """The other end of this pipe is another process's, begun by the same parent: curl | sh."""
        held = self._pipes.pop(pipe, None)
        other = (
            self._nodes.get(held[0]) if held is not None and held[1] == parent and ts - held[2] < _PIPED_NS else None
        )
        if other is not None and other is not node:
            writer, reader = (other, node) if end == 0 else (node, other)
            self._join(writer, reader, "pipe", ts, f"what {writer.named()} wrote went into {reader.named()}")
        self._pipes[pipe] = (node.key, parent, ts)
        if len(self._pipes) > _PIPES:
            self._pipes.popitem(last=False)

    def _ended(self, activity: Ended) -> None:
        node = self._nodes.get((activity.process.pid, activity.process.start_ns))
        if node is not None:
            node.ended = activity.ts

    def _system(self, activity: System) -> None:
        process, path = activity.process, activity.path
        if not process.pid or activity.failed:
            return
        kind = activity.kind
        if kind in ("rename", "chmod") or (kind == "open" and activity.number):
            self._wrote(self._node(process, activity.ts), path, activity.ts)
            if activity.label == "python-startup":
                self._hooked(path)
        elif kind == "open":
            self._used(self._node(process, activity.ts), path, "was read by", activity.ts)
        elif kind in ("ptrace", "vm-write") and activity.target is not None and activity.target.pid:
            node, other = self._node(process, activity.ts), self._node(activity.target, activity.ts)
            self._join(node, other, "memory", activity.ts, f"{node.named()} reached into the memory of {other.named()}")

    def _wrote(self, node: Node, path: str, ts: int) -> None:
        if not path.startswith("/"):
            return
        self._written.pop(path, None)
        self._written[path] = (node.key, ts)
        if len(self._written) > _FILES:
            self._written.popitem(last=False)
            self.counters["incident_files_evicted"] += 1

    def _hooked(self, path: str) -> None:
        found = _INSTALLATION.match(path)
        if found is None:
            return
        paths = self._startups.pop(found[1], ())
        self._startups[found[1]] = (*(known for known in paths if known != path), path)[-_HOOKS:]
        if len(self._startups) > _STARTUPS:
            self._startups.popitem(last=False)
            self.counters["incident_startups_evicted"] += 1

    def _used(self, node: Node, path: str, how: str, ts: int) -> None:
        held = self._written.get(path)
        if held is None or held[0] == node.key or ts - held[1] > _FILE_NS:
            return
        writer = self._nodes.get(held[0])
        if writer is not None:
            self._join(writer, node, "file", ts, f"{path}, written by {writer.named()}, {how} {node.named()}", path)

    def _join(self, one: Node, other: Node, kind: str, ts: int, what: str, path: str = "") -> None:
        """Both get the link; so do the young processes above them: what a helper wrote, its script wrote."""
        for node, end in ((one, other), (other, one)):
            for above in self.ancestors(node.key)[:3]:
                if above is not node and above.old_at(ts):
                    break
                if any(link.other == end.key and link.kind == kind and link.path == path for link in above.links):
                    continue
                above.links = [*above.links[1 - _LINKS :], Link(end.key, kind, ts, what, path)]

    def _exchange(self, activity: ExchangeSeen) -> None:
        exchange, process = activity.exchange, activity.process
        if process.pid:
            self._node(process, activity.ts)
        if exchange.network.domain and exchange.gen_ai.provider not in _NO_SERVICE:
            self._services[exchange.network.domain.lower()] = None
            if len(self._services) > _SERVICES:
                self._services.popitem(last=False)
        self._talks.pop(exchange.id, None)
        self._talks[exchange.id] = _talk(exchange, activity)
        if len(self._talks) > _EXCHANGES:
            self._talks.popitem(last=False)
            self.counters["incident_exchanges_evicted"] += 1

    def _node(self, process: Process, ts: int) -> Node:
        """Its node, now the youngest."""
        key = (process.pid, process.start_ns)
        node = self._nodes.get(key)
        if node is not None:
            self._nodes.move_to_end(key)
            if node.parent is None and process.ancestors:
                node.parent = self._above(process)
            return node
        since = min(ts, self._boot + process.start_ns) if self._boot else ts
        node = Node(
            key, process.exe, process.argv[:12], process.workload.id, self._above(process), since, bool(self._boot)
        )
        self._nodes[key] = node
        self._last[process.pid] = key
        if len(self._nodes) > _PROCESSES:
            gone, _ = self._nodes.popitem(last=False)
            if self._last.get(gone[0]) == gone:
                del self._last[gone[0]]
            self.counters["incident_processes_evicted"] += 1
        return node

    def _above(self, process: Process) -> Key | None:
        """Its parent, if that was seen. A process is no older than its parent; else the pid was given again."""
        parent = self._last.get(process.ancestors[0].pid) if process.ancestors else None
        return parent if parent is not None and parent[1] <= process.start_ns else None


def _talk(exchange: Exchange, activity: ExchangeSeen) -> Talk:
    ai = exchange.gen_ai
    calls: list[ToolCall] = ai.tool_calls or [call for message in ai.output for call in message.tool_calls]
    return Talk(
        activity.ts,
        (activity.process.pid, activity.process.start_ns),
        ai.provider,
        ai.response_model or ai.request_model,
        exchange.network.domain or exchange.network.dst,
        ai.operation,
        tuple(dict.fromkeys(call.name for call in calls))[:5],
        sum(message.role == "tool" for message in ai.input),
        exchange.key.fingerprint if exchange.key is not None else "",
    )
