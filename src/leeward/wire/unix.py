"""The streams of UNIX sockets: what system calls handed over, as the two byte streams of each connection; and which database a
path names.

Invariants: bytes come in order, so that a hole is told at once; of a connection that is not seen from its first byte, both
directions begin with one of unknown size. One small entry a connection, at most `limit` of them: the least recently used
leave first and are counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable

from leeward.model.net import Endpoint
from leeward.model.raw import UnixData
from leeward.wire.sql import sniff
from leeward.wire.stream import StreamClosed, StreamData, StreamEvent, StreamGap, StreamOpened

#: How the last part of a path begins → whose socket it is. bpf/unix.h, `names_database`, knows the same.
_NAMES = {".s.PGSQL.": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


def speaks_at(path: str) -> str:
    """ "postgresql" | "mysql" | "": what is spoken at a socket of this path, by its name."""
    name = path.rsplit("/", 1)[-1].removeprefix("@")
    return next((system for start, system in _NAMES.items() if name.startswith(start)), "")


class UnixStreams:
    def __init__(self, limit: int = 16384) -> None:
        self.counters: Counter[str] = Counter()
        self._limit = limit
        #: Per direction: number of the byte that comes next, None if that is not known.
        self._due: OrderedDict[Hashable, dict[bool, int | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def feed(self, data: UnixData, key: Hashable, client: Endpoint, server: Endpoint) -> list[StreamEvent]:
        """key: the connection's name."""
        ts, to_server, events = data.ts, data.written, list[StreamEvent]()
        due = self._due.get(key)
        if due is None:
            from_start = (not data.late and not data.seq) or bool(sniff(to_server, data.data))
            due = self._due[key] = dict.fromkeys((True, False), 0 if from_start else None)
            events.append(StreamOpened(ts, key, client, server, from_start))
            if not from_start:
                events += [StreamGap(ts, key, side, 0) for side in (True, False)]
            if len(self._due) > self._limit:
                self.counters["unix_evicted"] += 1
                events += self.close(next(iter(self._due)), ts)
        self._due.move_to_end(key)
        expected = due[to_server]
        missing = 0 if expected is None else (data.seq - expected) & 0xFFFFFFFF
        if missing:
            self.counters["unix_gaps"] += 1
            events.append(StreamGap(ts, key, to_server, missing))
        if data.data:
            events.append(StreamData(ts, key, to_server, data.data))
        due[to_server] = (data.seq + len(data.data)) & 0xFFFFFFFF
        return events

    def close(self, key: Hashable, ts: int) -> list[StreamEvent]:
        """The connection that was fed under `key` is over."""
        return [StreamClosed(ts, key, "fin")] if self._due.pop(key, None) is not None else []

    def flush(self, ts: int) -> list[StreamEvent]:
        """The observation ends: every connection closes."""
        closed: list[StreamEvent] = [StreamClosed(ts, key, "end") for key in self._due]
        self._due.clear()
        return closed
