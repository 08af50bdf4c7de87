"""The coverage ledger: of each process that talks to an AI service, what is seen of it, and why not more.

Invariant: a process that talks to an AI service has a row, whether or not its content was ever seen; "nothing seen" is
never silence. Rows are bounded; the oldest leave first and are counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable

import msgspec

from leeward.model.coverage import Coverage
from leeward.model.process import Process

_PATIENCE_NS = 3 * 10**9  # a connection to an AI host may take so long to show content before it counts as unseen


class Blindness(msgspec.Struct, frozen=True):
    """Why the content of a process is not seen, and what would mend it. library: the TLS library it uses, if known."""

    reason: str
    remedy: str = ""
    library: str = ""


#: What can be said of a process that is gone.
GONE = Blindness("the process ended before its TLS library could be looked at")


class Unseen(msgspec.Struct, frozen=True):
    """A connection to an AI host has had its time and shows no content. flow: as it was given to `suspect`."""

    flow: Hashable
    reason: str
    row: Coverage


Explain = Callable[[int], Blindness]


class _Suspect(msgspec.Struct):
    """early: why its content might not be seen, as it looked when the connection was new: the process may be short-lived."""

    pid: int
    host: str
    since: int
    early: Blindness
    reason: str = ""


class Ledger:
    """Fed what is seen (exchanges) and what ought to be (connections to AI hosts); yields rows that changed."""

    def __init__(self, describe: Callable[[int, int], Process], explain: Explain, limit: int = 4096) -> None:
        self.counters: Counter[str] = Counter()
        self._describe, self._explain, self._limit = describe, explain, limit
        self._rows: OrderedDict[tuple[int, str], Coverage] = OrderedDict()
        self._suspects: OrderedDict[Hashable, _Suspect] = OrderedDict()
        self._seen: OrderedDict[Hashable, bool] = OrderedDict()

    def rows(self) -> list[Coverage]:
        return list(self._rows.values())

    def exchange(self, flow: Hashable, pid: int, ts: int, host: str, rung: str, library: str) -> Coverage:
        """An exchange's content was seen."""
        self._suspects.pop(flow, None)
        self._seen[flow] = True
        while len(self._seen) > self._limit * 4:
            self._seen.popitem(last=False)
        row = self._row(pid, ts)
        row.exchanges += 1
        row.visible, row.rung, row.library = "content", rung, library or row.library
        row.reason = row.remedy = ""
        self._serve(row, host)
        return row

    def suspect(self, flow: Hashable, pid: int, ts: int, host: str, reason: str = "") -> None:
        """A connection to the AI host `host` exists; if its content does not show up, the ledger will say why."""
        if flow in self._seen:
            return
        known = self._suspects.get(flow)
        if known is None:
            known = self._suspects[flow] = _Suspect(pid, host, ts, self._explain(pid) if pid else GONE)
        known.pid = known.pid or pid
        known.reason = reason or known.reason
        if len(self._suspects) > self._limit * 4:
            self._suspects.popitem(last=False)
            self.counters["suspects_evicted"] += 1

    def tick(self, ts: int, everything: bool = False) -> list[Unseen]:
        """Connections that have had their time (`everything`: the observation ends)."""
        changed = []
        due = [k for k, s in self._suspects.items() if everything or ts - s.since > _PATIENCE_NS]
        for key in due:
            suspect = self._suspects.pop(key)
            row = self._row(suspect.pid, ts)
            self._serve(row, suspect.host)
            blindness = Blindness(suspect.reason) if suspect.reason else self._explain(suspect.pid)
            blindness = suspect.early if blindness == GONE else blindness
            if row.visible != "content":
                row.visible, row.rung = "metadata", "sni"
            row.reason, row.remedy = blindness.reason, blindness.remedy
            row.library = blindness.library or row.library
            changed.append(Unseen(key, blindness.reason, row))
        return changed

    def _serve(self, row: Coverage, host: str) -> None:
        if host and host not in row.services and len(row.services) < 64:
            row.services.append(host)

    def _row(self, pid: int, ts: int) -> Coverage:
        process = self._describe(pid, ts)
        key = (pid, process.exe)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Coverage(pid=pid, exe=process.exe, workload=process.workload, visible="nothing")
            if len(self._rows) > self._limit:
                self._rows.popitem(last=False)
                self.counters["coverage_rows_evicted"] += 1
        return row
