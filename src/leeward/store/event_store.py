"""The store's face: `add` for the pipeline, questions for the API. The package's docstring says what always holds."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from leeward.policy.seen import Seen
from leeward.store import graph, history
from leeward.store import query as questions
from leeward.store.database import Database, error_line
from leeward.store.errors import QueryError
from leeward.store.query import ExchangeQuery, FindingQuery, FlowQuery, IncidentQuery, Page, SystemQuery, TriageQuery
from leeward.store.retention import Retention
from leeward.store.rows import Record, to_row
from leeward.store.writer import Writer

READERS = 4
"""Questions answered at once; more wait their turn."""
QUERY_SECONDS = 15.0
IN_MEMORY_BYTES = 512 * 1024 * 1024
"""Bound of a store without a file: it lives within DuckDB's memory limit."""
CLOSE_SECONDS = 30.0


class EventStore:
    """Exchanges, flows, findings, incidents, system events, triage and coverage, on disk at `path` or in memory (None).

    add() may be called from any thread and never blocks on the disk. Questions run on cursors of their own, at most
    READERS at once, each at most QUERY_SECONDS. clock: Unix seconds, for `recorded` and the periodic sweep only.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        retention: Retention | None = None,
        batch_seconds: float = 0.2,
        queue_limit: int = 50_000,
        sweep_seconds: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        retention = retention or Retention()
        if path is None:
            smaller = min(retention.size_bytes or IN_MEMORY_BYTES, IN_MEMORY_BYTES)
            retention = msgspec.structs.replace(retention, size_bytes=smaller)
        self.retention = retention
        self.path = path
        self._clock = clock
        self._database = Database(path)
        self._readers = threading.BoundedSemaphore(READERS)
        self._writer = Writer(
            self._database,
            retention=retention,
            batch_seconds=batch_seconds,
            queue_limit=queue_limit,
            sweep_seconds=sweep_seconds,
            clock=clock,
        )

    def add(self, record: Record) -> bool:
        """Queue a record. False when it was dropped (counted: store_queue_full, store_closed, store_unencodable).

        The record is written out here, so it may change afterwards without the store noticing.
        """
        try:
            row = to_row(record, int(self._clock() * 1_000_000))
        except (TypeError, ValueError):
            self._writer.refuse("store_unencodable")
            return False
        return self._writer.put(row)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything added before is stored or dropped. False when `timeout` seconds were not enough."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what is queued and close the file. Records added from now on are dropped and counted."""
        if self._writer.close(CLOSE_SECONDS):
            with self._writer.database_lock:
                self._database.close()

    @property
    def counters(self) -> Counter[str]:
        """added, stored, dropped, queued, queued_bytes; each reason for a drop; expired_*, store_cleaned ..."""
        return Counter(self._writer.snapshot())

    def health(self) -> dict[str, Any]:
        """ok: records get to the disk. reason: why not. reason_at, committed_at: Unix seconds, 0.0 for never."""
        return self._writer.health()

    def sweep(self, now: float) -> dict[str, int]:
        """Apply the retention as of `now` (Unix seconds). Rows deleted by table. Also done every `sweep_seconds`."""
        return self._writer.sweep(now)

    def size(self) -> int:
        """Bytes in use on disk (or in memory)."""
        with self._writer.database_lock:
            return self._database.size()

    def exchanges_page(self, query: ExchangeQuery) -> Page:
        """Newest first, as JSON text, with the cursor of the next page."""
        with self._reader() as con:
            return questions.exchanges_page(con, query)

    def exchanges(self, query: ExchangeQuery) -> list[dict[str, Any]]:
        return [msgspec.json.decode(item) for item in self.exchanges_page(query).items]

    def exchange_json(self, id_: str) -> str | None:
        return self._one("exchanges", id_)

    def exchange(self, id_: str) -> dict[str, Any] | None:
        text = self.exchange_json(id_)
        return None if text is None else msgspec.json.decode(text)

    def flows_page(self, query: FlowQuery) -> Page:
        with self._reader() as con:
            return questions.flows_page(con, query)

    def flows(self, query: FlowQuery) -> list[dict[str, Any]]:
        return [msgspec.json.decode(item) for item in self.flows_page(query).items]

    def findings_page(self, query: FindingQuery) -> Page:
        with self._reader() as con:
            return questions.findings_page(con, query)

    def findings(self, query: FindingQuery) -> list[dict[str, Any]]:
        return [msgspec.json.decode(item) for item in self.findings_page(query).items]

    def finding_json(self, id_: str) -> str | None:
        return self._one("findings", id_)

    def incidents_page(self, query: IncidentQuery) -> Page:
        with self._reader() as con:
            return questions.incidents_page(con, query)

    def incidents(self, query: IncidentQuery) -> list[dict[str, Any]]:
        return [msgspec.json.decode(item) for item in self.incidents_page(query).items]

    def incident_json(self, id_: str) -> str | None:
        return self._one("incidents", id_)

    def system_page(self, query: SystemQuery) -> Page:
        with self._reader() as con:
            return questions.system_page(con, query)

    def triage_page(self, query: TriageQuery) -> Page:
        with self._reader() as con:
            return questions.triage_page(con, query)

    def _one(self, table: str, id_: str) -> str | None:
        with self._reader() as con:
            return questions.record_json(con, table, id_)

    def coverage_json(self) -> list[str]:
        with self._reader() as con:
            return questions.coverage_json(con)

    def coverage(self) -> list[dict[str, Any]]:
        """The latest row of each (pid, exe), newest first."""
        return [msgspec.json.decode(item) for item in self.coverage_json()]

    def combinations(self, names: Collection[str], since: datetime | None, until: datetime | None) -> list[Seen]:
        """What was seen, by distinct combinations of these facts (policy.facts)."""
        with self._reader() as con:
            return list(history.combinations(con, names, since, until))

    def connections(self, since: datetime | None, until: datetime | None) -> list[history.Connected]:
        """Where workloads with exchanges connected to."""
        with self._reader() as con:
            return history.connections(con, since, until)

    def drawn(self, since: datetime | None, until: datetime | None) -> dict[str, Any]:
        """The map of who talked to whom."""
        with self._reader() as con:
            return graph.drawn(con, since, until)

    def assets(self, since: datetime | None, until: datetime | None) -> dict[str, Any]:
        """The AI assets that were seen."""
        with self._reader() as con:
            return graph.assets(con, since, until)

    def over_time(self, since: datetime | None, until: datetime | None) -> dict[str, Any]:
        """Numbers over time."""
        with self._reader() as con:
            return graph.over_time(con, since, until)

    def summary(self) -> dict[str, Any]:
        """Counts, tokens and errors, first and last time, the same by provider, model and workload; size_bytes."""
        with self._reader() as con:
            result = questions.summary(con)
        return {**result, "size_bytes": self.size()}

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        with self._readers:
            con = self._cursor()
            timer = threading.Timer(QUERY_SECONDS, con.interrupt)
            timer.daemon = True
            timer.start()
            try:
                yield con
            except duckdb.InterruptException:
                raise QueryError(
                    f"the question took more than {QUERY_SECONDS:.0f} seconds: narrow it with since, until or a filter"
                ) from None
            except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.ConnectionException) as error:
                raise QueryError(f"the store cannot answer: {error_line(error)}: ask for less") from error
            finally:
                timer.cancel()
                con.close()

    def _cursor(self) -> Any:
        try:
            return self._database.cursor()
        except duckdb.Error as error:
            raise QueryError(f"the store cannot answer now: {error_line(error)}") from error
