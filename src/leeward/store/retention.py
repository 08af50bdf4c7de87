"""What is deleted, and when: by age and by size, oldest first, so that the space is used again.

Invariants: an age counts from the moment a record was stored, so a replayed capture of last year is not gone at once.
A sweep ends: each round deletes rows or stops. Coverage rows count too; the schema's own table never does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.store.database import Database

SWEPT = ("exchanges", "flows", "coverage", "findings", "incidents", "system_events", "triage")
SIZED = ("exchanges", "flows", "system_events")
"""The tables that grow with traffic: by size, only of these. The others are few rows, and are what somebody looks for."""
CHUNK_MIN = 1_000
CHUNK_SHARE = 10
"""A round deletes a tenth of the rows, at least CHUNK_MIN."""


class Retention(msgspec.Struct, frozen=True):
    """days: of age (0: no limit). size_bytes: on disk, log included (0: no limit; default 2 GiB).

    The size of a store in memory is DuckDB's whole memory use.
    """

    days: float = 30.0
    size_bytes: int = 2 * 1024**3


def sweep(database: Database, retention: Retention, now: float) -> dict[str, int]:
    """Delete what is too old at `now` (Unix seconds) or too much. Returns rows deleted by table.

    Deletes below nine tenths of the limit, so that the file (used blocks and free ones) stays within it.
    """
    con = database.connection
    deleted = dict.fromkeys(SWEPT, 0)
    if retention.days > 0:
        cutoff = int((now - retention.days * 86_400) * 1_000_000)
        for table in SWEPT:
            deleted[table] += _delete(con, table, "recorded < make_timestamp(?)", cutoff)
    limit = retention.size_bytes
    if sum(deleted.values()):
        con.execute("CHECKPOINT")
    if limit > 0 and database.size() > limit * 9 // 10:
        con.execute("CHECKPOINT")
        while database.size() > limit * 8 // 10:
            gone = _delete_oldest(con, deleted)
            con.execute("CHECKPOINT")
            if not gone:
                break
    return {table: count for table, count in deleted.items() if count}


def _delete(con: Any, table: str, where: str, *parameters: Any) -> int:
    row = con.execute(f"DELETE FROM {table} WHERE {where}", list(parameters)).fetchone()
    return int(row[0])


def _delete_oldest(con: Any, deleted: dict[str, int]) -> int:
    """One round over the tables that grow, together: the oldest tenth of all goes, whichever table it is in."""
    total = con.execute(f"SELECT {' + '.join(f'(SELECT count(*) FROM {table})' for table in SIZED)}").fetchone()[0]
    if not total:
        return 0
    chunk = max(CHUNK_MIN, total // CHUNK_SHARE)
    ages = " UNION ALL ".join(f"SELECT recorded FROM {table}" for table in SIZED)
    cutoff = con.execute(
        f"SELECT epoch_us(max(recorded)) FROM (SELECT recorded FROM ({ages}) ORDER BY recorded LIMIT ?)", [chunk]
    ).fetchone()[0]
    gone = 0
    for table in SIZED:
        count = _delete(con, table, "recorded <= make_timestamp(?)", cutoff)
        deleted[table] += count
        gone += count
    return gone
