"""Where the standard streams of processes lead: through pipes, pairs of UNIX sockets, pseudo-terminals and relays to connections.

What is known: which process has which pipe or socket as its standard input, output or error (one that has it as output writes to
those that have it as input); who made a pseudo-terminal; which flows a process has. What is not known, other descriptors, is
taken so: the end of a pipe that is nobody's standard stream is held by the nearest ancestor whose own stream it is not.

Invariants: bounded (the process, the flow that was longest without news leaves first and is counted); three steps at most.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator

import msgspec

from leeward.model.activity import Ended, FlowSeen, Started, System
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Ancestor, Process
from leeward.model.raw import Stream

_PROCESSES, _SOCKETS, _FLOWS_EACH, _TERMINALS = 16_384, 65_536, 32, 8_192
_DEPTH, _OTHERS = 3, 8
_READS, _WRITES = (0,), (1, 2)
_DOMAIN = 53

#: kind, number, is it written to. UNIX sockets go both ways and have one entry.
_End = tuple[str, int, bool]


class Held(msgspec.Struct, eq=False):
    """A process whose standard streams are known. changed: one of them became something else after its program began."""

    process: Process
    streams: list[Stream]
    since: int
    changed: bool = False


class Lead(msgspec.Struct, frozen=True):
    """A connection that a stream leads to. how: "socket" (it is one) | "stream" (another process's standard streams lead there) |
    "terminal" | "held" (by an ancestor). through: who has the connection. peer: address of its other end, "#number" of a socket
    of which no flow is known yet."""

    how: str
    peer: str
    sock: int = 0
    flow: Flow | None = None
    through: Process | Ancestor | None = None


class _Walk(msgspec.Struct):
    """output: where it goes, else where it comes from. guess, seen: as in `leads`."""

    output: bool
    guess: bool
    seen: set[int]


_NOBODY: set[int] = set()


class Streams:
    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._held: OrderedDict[int, Held] = OrderedDict()
        self._ends: dict[_End, set[int]] = {}
        self._terminals: OrderedDict[tuple[str, int], Process] = OrderedDict()
        self._flows: OrderedDict[int, dict[str, FlowSeen]] = OrderedDict()
        self._by_socket: OrderedDict[int, FlowSeen] = OrderedDict()

    # -- told ------------------------------------------------------------------------------------------------------

    def started(self, activity: Started) -> Held:
        pid = activity.process.pid
        self._forget(pid)
        held = self._held[pid] = Held(activity.process, list(activity.streams), activity.ts)
        for number in range(3):
            self._join(held, number)
        if len(self._held) > _PROCESSES:
            self._forget(next(iter(self._held)))
            self._counters["streams_processes_evicted"] += 1
        return held

    def became(self, activity: System) -> Held | None:
        """A standard stream is something else now. None if nothing is known of the process."""
        held = self._held.get(activity.process.pid)
        if activity.stream is None or not 0 <= activity.number <= 2:
            return held
        if held is None:
            held = self._held[activity.process.pid] = Held(activity.process, [Stream()] * 3, activity.ts)
        self._leave(held)
        held.streams[activity.number], held.changed = activity.stream, True
        for number in range(3):
            self._join(held, number)
        return held

    def terminal(self, activity: System) -> None:
        key = (_mounts(activity.process), activity.number)
        self._terminals.pop(key, None)
        self._terminals[key] = activity.process
        if len(self._terminals) > _TERMINALS:
            self._terminals.popitem(last=False)
            self._counters["streams_terminals_evicted"] += 1

    def flow(self, activity: FlowSeen) -> None:
        pid = activity.process.pid
        flows = self._flows.get(pid)
        if activity.ended:
            if flows is not None:
                flows.pop(activity.flow.id, None)
            return
        if flows is None:
            flows = self._flows[pid] = {}
            if len(self._flows) > _PROCESSES:
                self._flows.popitem(last=False)
                self._counters["streams_flow_processes_evicted"] += 1
        flows[activity.flow.id] = activity
        if len(flows) > _FLOWS_EACH:
            del flows[next(iter(flows))]
        if activity.sock:
            self._by_socket[activity.sock] = activity
            if len(self._by_socket) > _SOCKETS:
                self._by_socket.popitem(last=False)
                self._counters["streams_sockets_evicted"] += 1

    def ended(self, activity: Ended) -> None:
        pid = activity.process.pid
        self._forget(pid)
        self._flows.pop(pid, None)

    # -- asked -----------------------------------------------------------------------------------------------------

    def get(self, pid: int) -> Held | None:
        return self._held.get(pid)

    def flows_of(self, pid: int) -> list[FlowSeen]:
        return list(self._flows.get(pid, {}).values())

    def flow_of_socket(self, number: int) -> Flow | None:
        seen = self._by_socket.get(number)
        return seen.flow if seen is not None else None

    def neighbours(self, held: Held) -> set[int]:
        """Processes that have another end of one of its streams."""
        pids: set[int] = set()
        for number in range(3):
            pids |= self._other_ends(held.streams[number], output=number > 0)
        return pids - {held.process.pid}

    def leads(self, held: Held, output: bool, guess: bool, seen: set[int]) -> dict[str, Lead]:
        """By peer: the connections that what it writes goes to, or what it reads comes from. guess: also through those who are
        only taken to have the other end. seen: is told who was looked at."""
        walk = _Walk(output, guess, {held.process.pid})
        found: dict[str, Lead] = {}
        for number in _WRITES if output else _READS:
            if number == 2 and held.streams[2] == held.streams[1]:
                continue
            for lead in self._follow(held, number, walk, _DEPTH):
                known = found.get(lead.peer)
                if known is None or _ORDER[lead.how] < _ORDER[known.how]:
                    found[lead.peer] = lead
        seen |= walk.seen
        return found

    # -- followed --------------------------------------------------------------------------------------------------

    def _follow(self, held: Held, number: int, walk: _Walk, depth: int) -> Iterator[Lead]:
        stream = held.streams[number]
        if stream.kind == "socket":
            flow = self.flow_of_socket(stream.number)
            peer = other_end(flow).ip if flow is not None else f"#{stream.number}"
            yield Lead("socket", peer, stream.number, flow, held.process)
        elif depth and stream.kind in ("pipe", "unix"):
            yield from self._through(held, stream, walk, depth)
        elif depth and walk.guess and stream.kind == "tty":
            maker = self._terminals.get((_mounts(held.process), stream.number))
            if maker is not None:
                yield from self._of(maker, "terminal", walk, depth)

    def _through(self, held: Held, stream: Stream, walk: _Walk, depth: int) -> Iterator[Lead]:
        others = [self._held[pid] for pid in self._other_ends(stream, walk.output) if pid != held.process.pid]
        for other in others[:_OTHERS]:
            yield from self._of(other.process, "stream", walk, depth)
        if not others and walk.guess:
            holder = self._holder(held, stream)
            if holder is not None:
                yield from self._of(holder, "held", walk, depth)

    def _of(self, who: Process | Ancestor, how: str, walk: _Walk, depth: int) -> Iterator[Lead]:
        """Connections of a process that has the other end, and where its own streams lead on to. Nobody is looked at twice."""
        if who.pid in walk.seen:
            return
        walk.seen.add(who.pid)
        for seen in self._flows.get(who.pid, {}).values():
            if _asks_names(seen.flow):
                continue
            yield Lead(how, other_end(seen.flow).ip, seen.sock, seen.flow, who)
        held = self._held.get(who.pid)
        if held is None:
            return
        for number in _WRITES if walk.output else _READS:
            for lead in self._follow(held, number, walk, depth - 1):
                yield msgspec.structs.replace(lead, how=max(how, lead.how, key=_ORDER.__getitem__))

    def _other_ends(self, stream: Stream, output: bool) -> set[int]:
        """Who reads what is written to it, or writes what is read from it."""
        if stream.kind == "pipe":
            return self._ends.get(("pipe", stream.number, not output), _NOBODY)
        if stream.kind == "unix" and stream.peer:
            return self._ends.get(("unix", stream.peer, False), _NOBODY)
        return _NOBODY

    def _holder(self, held: Held, stream: Stream) -> Ancestor | None:
        for above in held.process.ancestors[:8]:
            known = self._held.get(above.pid)
            if known is None or not any(
                one.kind == stream.kind and one.number == stream.number for one in known.streams
            ):
                return above
        return None

    # -- kept ------------------------------------------------------------------------------------------------------

    def _join(self, held: Held, number: int) -> None:
        end = _end(held.streams[number], number)
        if end is not None:
            self._ends.setdefault(end, set()).add(held.process.pid)

    def _leave(self, held: Held) -> None:
        for number in range(3):
            end = _end(held.streams[number], number)
            pids = self._ends.get(end) if end is not None else None
            if pids is not None and end is not None:
                pids.discard(held.process.pid)
                if not pids:
                    del self._ends[end]

    def _forget(self, pid: int) -> None:
        held = self._held.pop(pid, None)
        if held is not None:
            self._leave(held)


_ORDER = {"socket": 0, "stream": 1, "terminal": 2, "held": 3}
"""From what is seen to what is taken to be so."""


def other_end(flow: Flow) -> Endpoint:
    return flow.src if flow.direction == "inbound" else flow.dst


def _asks_names(flow: Flow) -> bool:
    """Is it a program's way to a resolver, which every relay goes before it connects? Not yet recognised: nothing came back."""
    return flow.l7 == "dns" or (flow.proto == "udp" and flow.dst.port == _DOMAIN and not flow.packets_received)


def _end(stream: Stream, number: int) -> _End | None:
    """Its own end. number: 0 of input, 1 and 2 of output."""
    if stream.kind == "pipe":
        return ("pipe", stream.number, number > 0)
    return ("unix", stream.number, False) if stream.kind == "unix" else None


def _mounts(process: Process) -> str:
    """Minor numbers of pseudo-terminals count anew in each container."""
    return process.container.id if process.container is not None else ""
