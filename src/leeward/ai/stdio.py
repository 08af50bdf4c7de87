"""MCP over the standard input and output of a server process: which processes speak it, and what they say.

Fed what each process reads and writes there; yields exchanges. Invariants: a process whose first bytes are not MCP is told to the
source once and costs nothing afterwards; sessions are bounded, the least recently used leave first and are counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

import msgspec

from leeward.ai.mcp_session import McpSession, sniff
from leeward.model.exchange import TimedExchange
from leeward.model.raw import Piped

_SNIFFED = 8192  # bytes after which what is not MCP is taken for something else


class _Process(msgspec.Struct):
    """session None: not known yet what it speaks; `held`: what came until then."""

    session: McpSession | None = None
    held: list[Piped] = []
    next_seq: dict[bool, int] = {}


class StdioSessions:
    """`quiet(pid)` tells the source not to look at this process's standard input and output any more."""

    def __init__(self, quiet: Callable[[int], None], *, line: int, most: int = 4096) -> None:
        self.counters: Counter[str] = Counter()
        self._quiet, self._line, self._most = quiet, line, most
        self._processes: OrderedDict[int, _Process] = OrderedDict()

    def feed(self, event: Piped) -> list[TimedExchange]:
        known = self._processes.get(event.pid)
        if known is None:
            known = self._processes[event.pid] = _Process()
            if len(self._processes) > self._most:
                self._processes.popitem(last=False)
                self.counters["stdio_sessions_evicted"] += 1
        self._processes.move_to_end(event.pid)
        if known.session is None:
            known.held.append(event)
            return self._decide(event.pid, known)
        return self._read(known, known.session, event)

    def _decide(self, pid: int, known: _Process) -> list[TimedExchange]:
        """Is it MCP? Held bytes are read again once that is known."""
        for written in (False, True):
            if sniff(b"".join(e.data for e in known.held if e.written is written)):
                known.session = McpSession("stdio", self._line)
                held, known.held = known.held, []
                return [exchange for event in held for exchange in self._read(known, known.session, event)]
        if sum(len(e.data) for e in known.held) > _SNIFFED:
            self.counters["stdio_not_mcp"] += 1
            del self._processes[pid]
            self._quiet(pid)
        return []

    def _read(self, known: _Process, session: McpSession, event: Piped) -> list[TimedExchange]:
        found: list[TimedExchange] = []
        to_server = not event.written
        expected = known.next_seq.get(event.written, event.seq)
        if event.offset == 0 and event.seq > expected:
            self.counters["stdio_gaps"] += event.seq - expected
            found += session.gap(to_server)
        known.next_seq[event.written] = event.seq + 1
        found += session.feed(to_server, event.ts, event.data)
        return found

    def exited(self, pid: int, ts: int) -> list[TimedExchange]:
        """The process is gone."""
        known = self._processes.pop(pid, None)
        if known is None or known.session is None:
            return []
        last = known.session.close(ts)
        self.counters.update(known.session.counters)
        return last

    def finish(self, ts: int) -> list[tuple[int, TimedExchange]]:
        """The observation ends."""
        return [(pid, exchange) for pid in list(self._processes) for exchange in self.exited(pid, ts)]
