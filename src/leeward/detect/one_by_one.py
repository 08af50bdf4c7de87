"""Commands that a program runs one by one for a connection of its own: `while cmd = peer.gets; peer.print(`cmd`)`.

No shell waits here; each command is a process whose output the program takes and sends on. Any job worker looks like that,
so what tells is who does it (an interpreter given its program on the command line, which says that it connects and runs) or
what is asked (who am I, and where). Over HTTP, which carries everything, one question more is needed, to a host outside that
is in no list, and something must have come between the questions: who takes stock of a machine asks all at once. Invariants:
bounded by program and by age.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection

import msgspec

from leeward.detect.destinations import address_kind, service_of
from leeward.detect.programs import Program, program, program_of
from leeward.detect.streams import Held, Streams
from leeward.model.activity import FlowSeen
from leeward.model.process import Ancestor

_SECOND = 10**9
_MOST, _KEEP = 8_192, 120 * _SECOND
_WHO = frozenset({"id", "whoami", "w", "who", "groups"})
_CONNECTS = re.compile(
    r"socket|/inet/(?:tcp|udp)|fsockopen|net\.(?:connect|Socket|create)|IO::Socket|stream_socket_client|Dial\("
)
_RUNS = re.compile(r"system|exec|popen|spawn|subprocess|\|&|getline|`|\bsh\b|Command")


class Asked(msgspec.Struct, frozen=True):
    """What was asked (names of commands) for which connection by whom. needed: how many of them had to be."""

    commands: list[str]
    needed: int
    by: Ancestor
    flow: FlowSeen


class OneByOne:
    def __init__(
        self, counters: Counter[str], needed: int, ports: Collection[int], excused: Callable[[Ancestor], bool]
    ) -> None:
        """needed: different questions. ports: of services that send no commands. excused: who runs commands for a living."""
        self._counters, self._needed, self._ports, self._excused = counters, needed, ports, excused
        # pid → name → when, after how much was heard
        self._asked: OrderedDict[int, dict[str, tuple[int, str]]] = OrderedDict()

    def started(self, held: Held, ts: int, streams: Streams) -> Asked | None:
        holder = next((above for above in held.process.ancestors[:3] if not program(above).any(("shell",))), None)
        if holder is None or not _captured(held, holder, streams):
            return None
        needed, asks = self._needed_of(program(holder), holder), _asks(held)
        if needed and "recon" not in asks.kinds:
            return None
        flows = streams.flows_of(holder.pid)
        flow = next((seen for seen in flows if self._is_raw(seen)), None)
        web = flow is None
        if web:
            flow, needed = next((seen for seen in flows if _is_web(seen)), None), self._needed + 1
            if "recon" not in asks.kinds:
                return None
        if flow is None or self._excused(holder):
            return None
        recent, orders = self._note(holder.pid, asks.name, ts, flow)
        if needed and (len(recent) < needed or not _WHO & set(recent) or (web and orders < needed)):
            return None
        self._asked.pop(holder.pid, None)
        return Asked(recent, max(needed, 1), holder, flow)

    def forget(self, pid: int) -> None:
        self._asked.pop(pid, None)

    def _needed_of(self, made: Program, holder: Ancestor) -> int:
        """0: its own program says what it is. A program that was typed in (no file) may ask one question less."""
        script = made.script
        if script is None or "interpreter" not in made.kinds or script.kind not in ("code", ""):
            return self._needed
        text = " ".join(holder.argv[1:])
        return 0 if _CONNECTS.search(text) and _RUNS.search(text) else max(1, self._needed - 1)

    def _note(self, pid: int, name: str, ts: int, seen: FlowSeen) -> tuple[list[str], int]:
        """What was asked lately, and how often something was heard before."""
        asked = self._asked.setdefault(pid, {})
        asked[name] = (ts, f"{seen.flow.id} {seen.flow.bytes_received}")
        if len(self._asked) > _MOST:
            self._asked.popitem(last=False)
            self._counters["one_by_one_evicted"] += 1
        recent = {name: heard for name, (at, heard) in asked.items() if ts - at < _KEEP}
        return sorted(recent), len(set(recent.values()))

    def _is_raw(self, seen: FlowSeen) -> bool:
        flow = seen.flow
        outward = flow.direction == "outbound" and flow.proto == "tcp" and not flow.l7 and not flow.provider
        return outward and flow.dst.port not in self._ports


def _is_web(seen: FlowSeen) -> bool:
    """Outward, HTTP or TLS, to a name or address that is neither inside nor a known service's."""
    flow = seen.flow
    outside = flow.direction == "outbound" and address_kind(flow.dst.ip) == "public" and not flow.provider
    return outside and flow.l7 in ("tls", "http") and not (flow.domain and service_of(flow.domain))


def _asks(held: Held) -> Program:
    """The command itself, without the shell that it is given to."""
    made = program(held.process)
    if made.script is not None and made.script.kind == "code" and "shell" in made.kinds:
        return program_of("", tuple(held.process.argv[-1].split()[:1]))
    return made


def _captured(held: Held, holder: Ancestor, streams: Streams) -> bool:
    """Does its output go to the holder, not where the holder's own goes?"""
    out, own = held.streams[1], streams.get(holder.pid)
    return out.kind in ("pipe", "unix") and (own is None or out not in own.streams)
