"""Layer 7: one SQL statement and what the server answered, as the wire parsers leave it."""

from __future__ import annotations

import msgspec


class Column(msgspec.Struct, frozen=True):
    """A column of a result. table: "" where the protocol does not name it (PostgreSQL gives a number only). type: the
    server's name for it, "" for one that is not known here."""

    name: str
    table: str = ""
    type: str = ""


class SqlError(msgspec.Struct, frozen=True):
    """code: SQLSTATE. message: as the server wrote it."""

    code: str
    message: str


class SqlResult(msgspec.Struct, kw_only=True):
    """One statement and its result. `rows` and `parameters` are customers' data as it is: never stored, logged or shown.

    system: "postgresql" | "mysql" (OpenTelemetry's db.system.name). statement: as sent, at most `SqlLimits.statement`
    characters. parameters: of a prepared statement, as text, None for NULL; like values in `rows`. rows: at most
    `SqlLimits.rows` of them and `SqlLimits.held` bytes. row_count: rows that passed, kept or not. size: their bytes on the wire.
    affected: rows changed, as the server says. command: its tag ("SELECT 3", ""). start, end: Unix ns. complete: the server's
    end of the result was seen. truncated: a limit cut statement, parameters or rows. gap: bytes in it were never seen.
    """

    system: str
    version: str = ""
    user: str = ""
    database: str = ""
    statement: str = ""
    parameters: list[str | None] = []
    columns: list[Column] = []
    rows: list[list[str | None]] = []
    row_count: int = 0
    affected: int | None = None
    size: int = 0
    command: str = ""
    error: SqlError | None = None
    start: int = 0
    end: int = 0
    complete: bool = False
    truncated: bool = False
    gap: bool = False
    anomalies: list[str] = []
