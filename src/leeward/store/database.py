"""The DuckDB file: opening it safely, its limits, and what its errors mean.

Invariants: a new file appears whole (made under another name, then renamed); a file that cannot be used is never
changed or deleted; one process at a time holds the lock; no extension is installed or loaded and, once the file is
attached, DuckDB may touch no other.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import duckdb

from leeward.store import schema
from leeward.store.errors import StoreError
from leeward.store.paths import ensure_private_dir, private_umask

MEMORY_LIMIT = "128MB"
MEMORY_LIMIT_IN_MEMORY = "1GB"
"""DuckDB's own memory; a store without a file has its data in it too."""
THREADS = 2
ROW_GROUP = 8192
"""Rows of a row group (a multiple of 2048). DuckDB gives space back by whole groups, so they are small here."""
_DB_MAGIC = b"DUCK"
_WAL_HEAD = bytes.fromhex("64006265")
"""A write-ahead log of DuckDB 1.5 begins with its version entry. DuckDB takes a file that begins otherwise for a torn
log and writes over it, so we refuse it first."""


class Database:
    """One open database. `connection` is the writer's; every reader makes its own with `cursor()`."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock: int | None = None
        self.connection: Any = None
        if path is not None:
            ensure_private_dir(path.parent)
            self._lock = _take_lock(path)
        try:
            self.open()
        except BaseException:
            self.close()
            raise

    @property
    def where(self) -> str:
        return str(self.path) if self.path else "the in-memory store"

    def open(self) -> None:
        """(Re)open the file. After a fatal error DuckDB wants a new instance."""
        if self.path is not None:
            _check_files(self.path)
            if not self.path.exists():
                _create(self.path)
            try:
                self.path.chmod(0o600)
            except OSError as error:
                raise StoreError(f"cannot make {self.path} private: {error.strerror}: name another file") from error
        with private_umask():
            self.connection = _attach(self.path)
            try:
                schema.migrate(self.connection, self.where)
            except duckdb.Error as error:
                raise StoreError(f"cannot prepare {self.where}: {_line(error)}") from error

    def cursor(self) -> Any:
        """A connection of its own for one reader."""
        cursor = self.connection.cursor()
        cursor.execute("USE lw")
        return cursor

    def size(self) -> int:
        """Bytes in use: blocks that hold data and the write-ahead log; freed blocks are used again and do not count."""
        if self.path is None:
            row = self.connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()
            return int(row[0] or 0)
        row = self.connection.execute(
            "SELECT used_blocks * block_size FROM pragma_database_size() WHERE database_name = 'lw'"
        ).fetchone()
        wal = wal_path(self.path)
        return int(row[0] or 0) + (wal.stat().st_size if wal.exists() else 0)

    def keep_private(self) -> None:
        """DuckDB makes the log anew after a checkpoint, with the process's umask."""
        if self.path is not None:
            wal = wal_path(self.path)
            if wal.exists() and wal.stat().st_mode & 0o077:
                wal.chmod(0o600)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def wal_path(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _take_lock(path: Path) -> int:
    """flock on a file beside the database: unlike DuckDB's own lock it also holds against this same process."""
    name = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"cannot open {name}: {error.strerror}: name another directory with LEEWARD_STATE") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StoreError(
            f"{path} is in use by another Leeward{f' (process {holder})' if holder.isdigit() else ''}: "
            "ask it through its API, stop it, or name another directory with LEEWARD_STATE"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _check_files(path: Path) -> None:
    """Refuse what DuckDB would misread. Files are opened before DuckDB does: closing one later would drop its lock."""
    wal = wal_path(path)
    try:
        if path.exists():
            with path.open("rb") as file:
                head = file.read(12)
            if head[8:12] != _DB_MAGIC:
                raise StoreError(
                    f"{path} is not a DuckDB database: move it aside to start anew, or name another directory with "
                    "LEEWARD_STATE; it was not changed"
                )
        if wal.exists():
            with wal.open("rb") as file:
                head = file.read(4)
            if head and head != _WAL_HEAD and any(head):
                raise _bad_wal(path, "it is not a DuckDB log")
            if not path.exists():
                raise StoreError(f"{wal} is there but {path} is not: put the database back, or move the log aside")
    except OSError as error:
        raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error


def _bad_wal(path: Path, why: str) -> StoreError:
    wal = wal_path(path)
    return StoreError(
        f"cannot replay {wal} ({why}): move it aside to open {path.name} as of its last checkpoint; nothing was deleted"
    )


def _create(path: Path) -> None:
    """Make an empty database under another name first: being killed here must not leave half a file."""
    new = path.with_name(f"{path.name}.new-{os.getpid()}")
    try:
        with private_umask():
            new.unlink(missing_ok=True)
            con = _attach(new)
            schema.migrate(con, str(path))
            con.execute("CHECKPOINT")
            con.close()
        wal_path(new).unlink(missing_ok=True)
        os.replace(new, path)
    except duckdb.Error as error:
        raise StoreError(f"cannot create {path}: {_line(error)}") from error
    except OSError as error:
        raise StoreError(f"cannot create {path}: {error.strerror}") from error


def _attach(path: Path | None) -> Any:
    con = duckdb.connect(
        ":memory:",
        config={
            "threads": THREADS,
            "memory_limit": MEMORY_LIMIT if path else MEMORY_LIMIT_IN_MEMORY,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": f"{path}.tmp" if path else "",
            "max_temp_directory_size": "1GB",
        },
    )
    try:
        if path is None:
            con.execute(f"ATTACH ':memory:' AS lw (ROW_GROUP_SIZE {ROW_GROUP})")
        else:
            quoted = str(path).replace("'", "''")
            con.execute(f"ATTACH '{quoted}' AS lw (ROW_GROUP_SIZE {ROW_GROUP}, STORAGE_VERSION 'v1.2.0')")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        con.execute("USE lw")
    except duckdb.Error as error:
        con.close()
        raise _open_error(path, error) from error
    return con


def _open_error(path: Path | None, error: duckdb.Error) -> StoreError:
    line = _line(error)
    if path is None:
        return StoreError(f"cannot make an in-memory store: {line}")
    if "replaying WAL" in line:
        return _bad_wal(path, line)
    if "set lock" in line:
        return StoreError(f"{path} is in use by another process ({line}): stop it, or name another with LEEWARD_STATE")
    return StoreError(f"cannot open {path}: {line}: restore a copy or move it aside to start anew; nothing was deleted")


def _line(error: BaseException) -> str:
    """The first line of DuckDB's message, without its class."""
    text = str(error).strip().split("\n", 1)[0]
    return text.split(": ", 1)[-1] if text.split(": ", 1)[0].endswith("Error") else text


error_line = _line
