"""What the SQL parsers share: limits, events, which protocol a connection begins with, and what a statement is about.

A statement is not parsed: its verb, its tables and a form without literals come from its words. That is enough to say where
data came from, costs one pass, and holds for every dialect.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from typing import Protocol

import msgspec

from leeward.model.sql import SqlResult


class SqlLimits(msgspec.Struct, frozen=True):
    """What one connection may cost. statement: characters kept of one. rows, held: kept of a result, in rows and bytes of
    values. value: bytes kept of one value. prepared: statements and portals remembered. pending: statements that await their
    answer."""

    statement: int = 64 << 10
    rows: int = 1000
    held: int = 1 << 20
    value: int = 64 << 10
    prepared: int = 1024
    pending: int = 256


class Encrypted(msgspec.Struct, frozen=True):
    """Both sides go on in TLS: what follows in the stream is a client hello."""

    ts: int


class NotSql(msgspec.Struct, frozen=True):
    """This connection is something else: nothing more will come out."""

    reason: str


SqlEvent = SqlResult | Encrypted | NotSql


class SqlConnection(Protocol):
    """The parser of one connection. Never raises on any bytes; `counters` tell what was dropped or odd."""

    counters: Counter[str]

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[SqlEvent]:
        """`data` was seen at `ts`, right after what was fed of this direction before."""
        ...

    def gap(self, to_server: bool, ts: int, size: int) -> list[SqlEvent]:
        """`size` bytes of this direction were never seen (0: an unknown number)."""
        ...

    def close(self, ts: int, clean: bool = True) -> list[SqlEvent]:
        """The connection ended: what is unfinished comes out."""
        ...


#: The words with which a PostgreSQL client begins: protocol 3.0 and 3.2, SSLRequest, GSSENCRequest, CancelRequest.
POSTGRES_STARTS = frozenset((0x30000, 0x30002, 80877103, 80877104, 80877102))
_MOST_STARTUP = 10_000  # PostgreSQL's MAX_STARTUP_PACKET_LENGTH


def sniff(to_server: bool, data: bytes) -> str:
    """ "postgresql" | "mysql" | "", from the first bytes of a connection, or of what TLS hides of it."""
    if to_server and len(data) >= 8:
        size, word = struct.unpack_from(">II", data)
        if 8 <= size <= _MOST_STARTUP and word in POSTGRES_STARTS:
            return "postgresql"
        # MySQL's HandshakeResponse41: packet 1 or 2; after capabilities, largest packet and character set comes a filler
        size = int.from_bytes(data[:3], "little")
        return "mysql" if size >= 32 and data[3] in (1, 2, 3) and len(data) > 36 and not any(data[13:32]) else ""
    if not to_server and len(data) >= 7 and data[3:5] == b"\x00\x0a":
        # MySQL's greeting, protocol 10: packet 0, then the server's version as text, ended by a NUL
        end = data.find(b"\0", 5, 5 + 256)
        size = int.from_bytes(data[:3], "little")
        return "mysql" if end > 5 and 30 < size < 1024 and data[5:6].isdigit() and data[5:end].isascii() else ""
    return ""


# Literals and comments; a quoted identifier ("x", `x`) is none. Dollar quoting is PostgreSQL's.
_LITERAL = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<quoted>\"(?:[^\"]|\"\")*\"|`[^`]*`)"
    r"|(?P<literal>\$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)"
    r"|[eEbBxXnN]?'(?:[^'\\]|''|\\.)*(?:'|\Z)"
    r"|(?<![\w$.])[-+]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w.]))",
    re.DOTALL,
)
_SPACES = re.compile(r"\s+")
_LIST = re.compile(r"\(\?(?:, ?\?)+\)")
_NAME = r"(?:\"(?:[^\"]|\"\")+\"|`[^`]+`|[^\W\d][\w$]*)"
_TABLE = re.compile(
    rf"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|COPY|CALL)\s+(?:ONLY\s+|IF\s+(?:NOT\s+)?EXISTS\s+|LATERAL\s+)?"
    rf"(?P<names>{_NAME}(?:\s*\.\s*{_NAME})*(?:\s+(?:AS\s+)?(?!WHERE|SET|ON|USING|JOIN|LEFT|RIGHT|INNER|ORDER|GROUP|LIMIT)[^\W\d]\w*)?"
    rf"(?:\s*,\s*{_NAME}(?:\s*\.\s*{_NAME})*(?:\s+(?:AS\s+)?[^\W\d]\w*)?)*)",
    re.IGNORECASE,
)
_FIRST_NAME = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)")
_VERB = re.compile(r"[\s(]*([A-Za-z]+)")
_CTE = re.compile(
    rf"(?:\bWITH\s+(?:RECURSIVE\s+)?|,\s*)({_NAME})\s*(?:\([^)]*\)\s*)?AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(",
    re.IGNORECASE,
)
_AFTER_CTE = re.compile(r"\)\s*(SELECT|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
_VECTOR = re.compile(
    r"::\s*(?:half|sparse)?vec(?:tor)?\b|\bVEC_FromText\b|\bVEC_DISTANCE|\bSTRING_TO_VECTOR\b|\bDISTANCE\s*\(",
    re.IGNORECASE,
)
_DISTANCE = ("<->", "<#>", "<=>", "<+>")  # pgvector's; <-> is geometry's as well, <=> MySQL's equality
_WORDS = frozenset(("select", "lateral", "unnest", "values", "set", "dual", "only", "where", "stdin", "stdout"))
_FROM_IN_CALL = re.compile(r"\b(?:EXTRACT|SUBSTRING|TRIM|OVERLAY)\s*\([^()]*\)", re.IGNORECASE)
_MOST = 16 << 10  # characters of a statement that are looked at


class About(msgspec.Struct, frozen=True):
    """operation: the verb, upper case. tables: lower case, without quotes, in order. summary: without literals and comments.
    vector: it compares vectors (pgvector's operators, MariaDB's and MySQL's functions)."""

    operation: str
    tables: tuple[str, ...]
    summary: str
    vector: bool


def about(statement: str) -> About:
    """What a statement is about, by its words."""
    bare = _LITERAL.sub(_without, statement[:_MOST])
    bare = _LIST.sub("(?)", _SPACES.sub(" ", bare)).strip()
    compares = any(sign in bare for sign in _DISTANCE) and ("$" in bare or "'[" in statement[:_MOST])
    vector = compares or _VECTOR.search(bare) is not None
    verb = _VERB.match(bare)
    operation = verb[1].upper() if verb else ""
    if operation == "WITH" and (after := _AFTER_CTE.search(bare)) is not None:
        operation = after[1].upper()
    inner = {_plain(name) for name in _CTE.findall(bare)} if "with" in bare[:200].lower() else set()
    found: dict[str, None] = {}
    for match in _TABLE.finditer(_FROM_IN_CALL.sub("?", bare)):
        for part in match["names"].split(","):
            name = _FIRST_NAME.match(part)
            plain = _plain(name[1]) if name else ""
            if plain and plain not in inner and plain not in _WORDS:
                found[plain] = None
    return About(operation, tuple(found)[:32], bare, vector)


def _without(match: re.Match[str]) -> str:
    if match["comment"] is not None:
        return " "
    return match[0] if match["quoted"] is not None else "?"


def _plain(name: str) -> str:
    """`Public."Users"` → `public.users`"""
    return ".".join(part.strip().strip('"`') for part in name.split(".")).lower()
