"""The tables as typed column lists, the DDL made from them, and the way from an older schema to this one.

Invariants: a column is written down once. Migrations only go forward, add columns or run named statements, and are one
transaction. There is no PRIMARY KEY: DuckDB 1.5 never gives back the space of deleted rows in a table with an index
(measured: a rolling load doubled the file), so the writer keeps ids unique, and it is the only one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from leeward.store.errors import StoreError

SCHEMA_VERSION = 5
"""Version of the tables below. Raise it with each change; new columns get it as their `since`."""


class Column(msgspec.Struct, frozen=True):
    """name, DuckDB type, and the schema version that brought it. TIMESTAMPs are UTC with microseconds."""

    name: str
    type: str
    since: int = 1


class Table(msgspec.Struct, frozen=True):
    """key: columns that name one row. `json` is the record as JSON, byte for byte what the API gives."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def _columns(text: str) -> tuple[Column, ...]:
    rows = (line.split() for line in text.strip().splitlines())
    return tuple(Column(row[0], row[1], int(row[2]) if len(row) > 2 else 1) for row in rows)


EXCHANGES = Table(
    "exchanges",
    ("id",),
    _columns("""
        id VARCHAR
        time TIMESTAMP
        recorded TIMESTAMP
        workload_id VARCHAR
        workload_name VARCHAR
        workload_kind VARCHAR
        pid BIGINT
        exe VARCHAR
        provider VARCHAR
        operation VARCHAR
        request_model VARCHAR
        response_model VARCHAR
        input_tokens BIGINT
        output_tokens BIGINT
        duration_ms DOUBLE
        ttft_ms DOUBLE
        status BIGINT
        domain VARCHAR
        src VARCHAR
        dst VARCHAR
        url VARCHAR
        key_fingerprint VARCHAR
        error_type VARCHAR
        complete BOOLEAN
        json VARCHAR
        facts VARCHAR 3
        user_agent VARCHAR 4
    """),
)
FLOWS = Table(
    "flows",
    ("id",),
    _columns("""
        id VARCHAR
        time TIMESTAMP
        recorded TIMESTAMP
        pid BIGINT
        proto VARCHAR
        src VARCHAR
        dst VARCHAR
        direction VARCHAR
        state VARCHAR
        domain VARCHAR
        sni VARCHAR
        l7 VARCHAR
        bytes_sent BIGINT
        bytes_received BIGINT
        json VARCHAR
        workload_id VARCHAR 4
        workload_name VARCHAR 4
        exe VARCHAR 4
        provider VARCHAR 4
    """),
)
COVERAGE = Table(
    "coverage",
    ("pid", "exe"),
    _columns("""
        pid BIGINT
        exe VARCHAR
        recorded TIMESTAMP
        workload_id VARCHAR
        visible VARCHAR
        rung VARCHAR
        json VARCHAR
    """),
)
FINDINGS = Table(
    "findings",
    ("id",),
    _columns("""
        id VARCHAR 2
        time TIMESTAMP 2
        recorded TIMESTAMP 2
        rule VARCHAR 2
        severity VARCHAR 2
        confidence DOUBLE 2
        count BIGINT 2
        workload_id VARCHAR 2
        workload_name VARCHAR 2
        title VARCHAR 2
        json VARCHAR 2
    """),
)
INCIDENTS = Table(
    "incidents",
    ("id",),
    _columns("""
        id VARCHAR 5
        time TIMESTAMP 5
        recorded TIMESTAMP 5
        severity VARCHAR 5
        confidence DOUBLE 5
        status VARCHAR 5
        title VARCHAR 5
        workload_id VARCHAR 5
        workload_name VARCHAR 5
        rules VARCHAR 5
        json VARCHAR 5
    """),
)
SYSTEM_EVENTS = Table(
    "system_events",
    ("id",),
    _columns("""
        id VARCHAR 5
        time TIMESTAMP 5
        recorded TIMESTAMP 5
        kind VARCHAR 5
        pid BIGINT 5
        parent BIGINT 5
        exe VARCHAR 5
        label VARCHAR 5
        path VARCHAR 5
        workload_id VARCHAR 5
        workload_name VARCHAR 5
        json VARCHAR 5
    """),
)
TRIAGE = Table(
    "triage",
    ("id",),
    _columns("""
        id VARCHAR 5
        time TIMESTAMP 5
        recorded TIMESTAMP 5
        kind VARCHAR 5
        target VARCHAR 5
        state VARCHAR 5
        who VARCHAR 5
        until TIMESTAMP 5
        json VARCHAR 5
    """),
)
TABLES: tuple[Table, ...] = (EXCHANGES, FLOWS, COVERAGE, FINDINGS, INCIDENTS, SYSTEM_EVENTS, TRIAGE)

STEPS: Mapping[int, Sequence[str]] = {}
"""Version → statements to run after that version's columns were added (fill a new column from `json`, say)."""


def ddl(tables: Sequence[Table] = TABLES, version: int = SCHEMA_VERSION) -> list[str]:
    """CREATE TABLE statements for the schema as it was at `version`."""
    statements = ["CREATE TABLE meta (key VARCHAR, value VARCHAR)"]
    for table in tables:
        columns = [column for column in table.columns if column.since <= version]
        if columns:
            statements.append(f"CREATE TABLE {table.name} ({', '.join(f'{c.name} {c.type}' for c in columns)})")
    return [*statements, f"INSERT INTO meta VALUES ('schema_version', '{version}')"]


def stored_version(con: Any) -> int | None:
    """The schema version of the open database, None when it holds no tables at all."""
    tables = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()}
    if not tables:
        return None
    if "meta" not in tables:
        return 0
    row = con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return int(row[0]) if row and str(row[0]).isdigit() else 0


def migrate(
    con: Any,
    where: str,
    tables: Sequence[Table] = TABLES,
    version: int = SCHEMA_VERSION,
    steps: Mapping[int, Sequence[str]] = STEPS,
) -> int:
    """Bring the open database to `version` and return the version it had (`version` itself when it was empty).

    `where` names the file in errors. A database of a newer Leeward, or one that is not Leeward's, is left alone.
    """
    found = stored_version(con)
    if found == version:
        return version
    if found == 0:
        raise StoreError(f"{where} is a DuckDB database but not Leeward's: name another file or directory")
    if found is not None and found > version:
        raise StoreError(
            f"{where} was written by a newer Leeward (schema {found}, this one: {version}): upgrade, or name another"
        )
    con.execute("BEGIN")
    try:
        for statement in ddl(tables, version) if found is None else _forward(found, tables, version, steps):
            con.execute(statement)
        con.execute("COMMIT")
    except BaseException:
        con.execute("ROLLBACK")
        raise
    return version if found is None else found


def _forward(found: int, tables: Sequence[Table], version: int, steps: Mapping[int, Sequence[str]]) -> list[str]:
    statements: list[str] = []
    for target in range(found + 1, version + 1):
        for table in tables:
            new = [column for column in table.columns if column.since == target]
            if len(new) == len([c for c in table.columns if c.since <= target]) and new:
                statements.append(f"CREATE TABLE {table.name} ({', '.join(f'{c.name} {c.type}' for c in new)})")
            else:
                statements += [f"ALTER TABLE {table.name} ADD COLUMN {c.name} {c.type}" for c in new]
        statements += steps.get(target, ())
    return [*statements, f"UPDATE meta SET value = '{version}' WHERE key = 'schema_version'"]
