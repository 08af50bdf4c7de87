"""The queue in front of the database and the one thread that empties it.

Invariants: `put` never waits for the disk. Counts and bytes waiting are bounded. added == stored + dropped + queued at
every moment that the lock is free, and dropped is the sum of the named reasons. A batch is committed at latest
`batch_seconds` after its first record arrived, plus the time of the commit. An error of the database loses at most the
batch it happened in, is counted and said by `health`, and the next batch is tried again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import duckdb

from leeward.store.database import Database, error_line
from leeward.store.errors import StoreError
from leeward.store.insert import insert
from leeward.store.retention import Retention, sweep
from leeward.store.rows import Row

BATCH_ROWS = 2_000
BATCH_BYTES = 8 * 1024 * 1024
QUEUE_BYTES = 64 * 1024 * 1024
REOPEN_SECONDS = 1.0
_BROKEN = (duckdb.FatalException, duckdb.InternalException, duckdb.ConnectionException)
_NOT_THE_ROWS = (*_BROKEN, duckdb.IOException, duckdb.TransactionException, duckdb.InterruptException)
"""Errors that say nothing about the rows: splitting the batch would not help."""


class Writer:
    """Owns the write connection. `lock` guards the queue and the counters, `database_lock` the connection."""

    def __init__(
        self,
        database: Database,
        *,
        retention: Retention,
        batch_seconds: float,
        queue_limit: int,
        sweep_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.database_lock = threading.Lock()
        self._database = database
        self._retention = retention
        self._batch_seconds = batch_seconds
        self._queue_limit = queue_limit
        self._sweep_seconds = sweep_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[Row] = deque()
        self._queued_bytes = 0
        self._writing = 0
        self._hurry = 0
        self._handled = 0
        self._accepted = 0
        self._closing = False
        self._error = ""
        self._error_at = 0.0
        self._committed_at = 0.0
        self._broken_until = 0.0
        self._thread = threading.Thread(target=self._run, name="leeward-store", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> bool:
        """Queue a row. False, and counted, when there is no room or the writer is closing."""
        with self._changed:
            self.counters["added"] += 1
            if row.cleaned:
                self.counters["store_cleaned"] += 1
            if self._closing:
                self._drop("store_closed", 1)
                return False
            if len(self._queue) + self._writing >= self._queue_limit or self._queued_bytes + row.size > QUEUE_BYTES:
                self._drop("store_queue_full", 1)
                return False
            self._queue.append(row)
            self._queued_bytes += row.size
            self._accepted += 1
            if len(self._queue) in (1, BATCH_ROWS):
                self._changed.notify_all()
            return True

    def refuse(self, name: str) -> None:
        """Count a record that could not become a row."""
        with self._changed:
            self.counters["added"] += 1
            self._drop(name, 1)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put before is stored or dropped. False when `timeout` seconds were not enough."""
        deadline = time.monotonic() + timeout
        with self._changed:
            target = self._accepted
            self._hurry += 1
            self._changed.notify_all()
            try:
                while self._handled < target:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._thread.is_alive():
                        return False
                    self._changed.wait(left)
            finally:
                self._hurry -= 1
        return True

    def close(self, timeout: float) -> bool:
        """Stop taking rows, write what is queued, end the thread. False when `timeout` seconds were not enough."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def snapshot(self) -> dict[str, int]:
        """The counters and what is queued, at one moment."""
        with self._changed:
            return {**self.counters, "queued": len(self._queue) + self._writing, "queued_bytes": self._queued_bytes}

    def health(self) -> dict[str, Any]:
        """ok, and if not, why: the last batch or sweep failed, or the thread is gone."""
        with self._changed:
            reason = self._error
            if not self._thread.is_alive() and not self._closing:
                reason = reason or "the writer has stopped"
            return {"ok": not reason, "reason": reason, "reason_at": self._error_at, "committed_at": self._committed_at}

    def sweep(self, now: float) -> dict[str, int]:
        """Apply the retention as of `now` (Unix seconds). Rows deleted by table."""
        with self.database_lock:
            deleted = sweep(self._database, self._retention, now)
            self._database.keep_private()
        with self._changed:
            for table, count in deleted.items():
                self.counters[f"expired_{table}"] += count
        return deleted

    def _drop(self, name: str, count: int) -> None:
        if count:
            self.counters[name] += count
            self.counters["dropped"] += count

    def _run(self) -> None:
        next_sweep = time.monotonic() + self._sweep_seconds
        while True:
            batch = self._next_batch(next_sweep)
            if batch:
                self._write(batch)
            elif self._closing:
                return
            if time.monotonic() >= next_sweep:
                self._sweep_now()
                next_sweep = time.monotonic() + self._sweep_seconds

    def _next_batch(self, next_sweep: float) -> list[Row]:
        """Wait for rows, then up to `batch_seconds` more for company. Empty: a sweep is due or it is time to go."""
        with self._changed:
            while not self._queue and not self._closing:
                left = next_sweep - time.monotonic()
                if left <= 0:
                    return []
                self._changed.wait(left)
            deadline = time.monotonic() + self._batch_seconds
            while len(self._queue) < BATCH_ROWS and not self._closing and not self._hurry:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch: list[Row] = []
            size = 0
            while self._queue and len(batch) < BATCH_ROWS and (not batch or size + self._queue[0].size <= BATCH_BYTES):
                row = self._queue.popleft()
                size += row.size
                batch.append(row)
            self._writing = len(batch)
            return batch

    def _write(self, batch: list[Row]) -> None:
        stored = duplicate = bad = failed = 0
        error = ""
        with self.database_lock:
            todo = [batch]
            while todo:
                rows = todo.pop()
                problem = self._ready()
                if problem:
                    failed, error = failed + len(rows), problem
                    continue
                try:
                    result = insert(self._database.connection, rows, int(self._clock() * 1_000_000))
                except duckdb.Error as raised:
                    if not isinstance(raised, _NOT_THE_ROWS) and len(rows) > 1:
                        todo += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
                    elif isinstance(raised, _NOT_THE_ROWS):
                        failed, error = failed + len(rows), error_line(raised)
                        self._note_broken(raised)
                    else:
                        bad, error = bad + 1, error_line(raised)
                else:
                    stored, duplicate = stored + result.stored, duplicate + result.duplicate
            self._database.keep_private()
        with self._changed:
            self.counters["stored"] += stored
            self._drop("store_duplicate", duplicate)
            self._drop("store_bad_row", bad)
            self._drop("store_write_error", failed)
            self._queued_bytes -= sum(row.size for row in batch)
            self._writing = 0
            self._handled += len(batch)
            if not failed:
                self._committed_at = self._clock()
            self._say(f"writing failed: {error}" if failed else "")
            self._changed.notify_all()

    def _say(self, reason: str) -> None:
        if reason:
            self._error_at = self._clock()
        self._error = reason

    def _note_broken(self, error: duckdb.Error) -> None:
        if isinstance(error, _BROKEN) or "invalidated" in str(error):
            self._broken_until = time.monotonic()

    def _ready(self) -> str:
        """Reopen after a fatal error, at most once in REOPEN_SECONDS. "" or why there is no database now."""
        if not self._broken_until:
            return ""
        if time.monotonic() < self._broken_until:
            return self._error.removeprefix("writing failed: ") or "the database is closed after an error"
        self._broken_until = time.monotonic() + REOPEN_SECONDS
        try:
            self._database.connection.close()
            self._database.open()
        except (duckdb.Error, StoreError) as error:
            return error_line(error)
        self._broken_until = 0.0
        with self._changed:
            self.counters["store_reopened"] += 1
        return ""

    def _sweep_now(self) -> None:
        try:
            self.sweep(self._clock())
        except duckdb.Error as error:
            with self._changed:
                self.counters["store_sweep_error"] += 1
                self._say(f"deleting old records failed: {error_line(error)}")
            self._note_broken(error)
