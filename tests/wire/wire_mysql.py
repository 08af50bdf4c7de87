"""MySQL's packets, built, and conversations of them: what the tests of its parser feed."""

from __future__ import annotations

import gc
import struct
import zlib
from collections.abc import Iterable

import zstandard

from leeward.model.sql import SqlResult
from leeward.wire.mysql import MysqlConnection
from leeward.wire.mysql_messages import (
    CACHE_METADATA,
    COMPRESS,
    CONNECT_WITH_DB,
    DEPRECATE_EOF,
    EXTENDED_METADATA,
    LENENC_AUTH,
    MORE_RESULTS,
    PLUGIN_AUTH,
    PROTOCOL_41,
    SECURE_CONNECTION,
    SESSION_TRACK,
    ZSTD,
)
from leeward.wire.sql import SqlEvent, SqlLimits

Step = tuple[bool, bytes]
BASE = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | CONNECT_WITH_DB | LENENC_AUTH
LATEST = BASE | DEPRECATE_EOF
EVERYTHING = (1 << 32) - 1 & ~1 | 0x1D << 32  # what a MariaDB server offers, and MySQL's
SCRAMBLE = b"a scramble of 20 by."


def packet(seq: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return len(body).to_bytes(3, "little") + bytes([seq & 255]) + body


def lenenc(data: bytes | int) -> bytes:
    """A number, or a string with its size before it."""
    size = data if isinstance(data, int) else len(data)
    if size < 251:
        head = bytes([size])
    elif size < 1 << 16:
        head = b"\xfc" + size.to_bytes(2, "little")
    else:
        head = b"\xfd" + size.to_bytes(3, "little")
    return head if isinstance(data, int) else head + data


def greeting(capabilities: int = EVERYTHING, version: bytes = b"5.5.5-10.11.6-MariaDB") -> bytes:
    low, high, extended = capabilities & 0xFFFF, capabilities >> 16 & 0xFFFF, capabilities >> 32
    fixed = struct.pack("<HBHHB6xI", low, 45, 2, high, 21, extended)
    return packet(0, b"\x0a", version, b"\0", bytes(4), b"12345678\0", fixed, b"123456789012\0", b"some_plugin\0")


def login(capabilities: int, seq: int = 1, user: bytes = b"ann", database: bytes = b"shop") -> bytes:
    fixed = struct.pack("<IIB19xI", capabilities & 0xFFFFFFFF, 1 << 24, 45, capabilities >> 32)
    return packet(seq, fixed, user, b"\0", lenenc(SCRAMBLE), database, b"\0", b"some_plugin\0")


def ok(affected: int = 0, status: int = 2, *, head: int = 0, more: bytes = b"") -> bytes:
    return bytes([head]) + lenenc(affected) + lenenc(0) + struct.pack("<HH", status, 0) + more


def eof(status: int = 2) -> bytes:
    return b"\xfe" + struct.pack("<HH", 0, status)


def failed(number: int, state: bytes, words: bytes) -> bytes:
    return b"\xff" + number.to_bytes(2, "little") + b"#" + state + words


def column(
    name: bytes,
    code: int,
    table: bytes = b"t",
    flags: int = 0,
    decimals: int = 0,
    charset: int = 0,
    extended: bytes | None = None,
) -> bytes:
    charset = charset or (45 if code in (252, 253, 254) else 63)
    words = b"".join(map(lenenc, (b"def", b"shop", b"alias_of_" + table, table, name, b"orig_" + name)))
    more = b"" if extended is None else lenenc(extended)
    return words + more + b"\x0c" + struct.pack("<HIBHBH", charset, 11, code, flags, decimals, 0)


def text_row(*values: bytes | None) -> bytes:
    return b"".join(b"\xfb" if v is None else lenenc(v) for v in values)


def binary_row(*values: bytes | None) -> bytes:
    nulls = bytearray((len(values) + 9) // 8)
    for number, value in enumerate(values, 2):
        if value is None:
            nulls[number >> 3] |= 1 << (number & 7)
    return b"\0" + nulls + b"".join(v for v in values if v is not None)


def numbered(bodies: Iterable[bytes], first: int = 1) -> bytes:
    return b"".join(packet(first + n, body) for n, body in enumerate(bodies))


def result(
    capabilities: int,
    columns: list[bytes],
    rows: list[bytes],
    *,
    status: int = 2,
    told: bool = True,
    cursor: bool = False,
) -> list[bytes]:
    """The packets of a result set. told: the columns are described. cursor: the rows stay there."""
    count = lenenc(len(columns)) + (bytes([told]) if capabilities & CACHE_METADATA else b"")
    latest = bool(capabilities & DEPRECATE_EOF)
    end = ok(0, status | 0x40 * cursor, head=0xFE) if latest else eof(status | 0x40 * cursor)
    definitions = [count, *(columns if told else [])]
    if latest:
        return [*definitions, *([] if cursor else rows), end]
    return [*definitions, end] if cursor else [*definitions, eof(), *rows, end]


def query(words: bytes) -> bytes:
    return packet(0, b"\x03", words)


def prepare(words: bytes) -> bytes:
    return packet(0, b"\x16", words)


def prepared(capabilities: int, number: int, columns: list[bytes], parameters: int) -> list[bytes]:
    end = [] if capabilities & DEPRECATE_EOF else [eof()]
    out = [b"\0" + struct.pack("<IHHxH", number, len(columns), parameters, 0)]
    if parameters:
        out += [column(b"?", 253)] * parameters + end
    return out + (columns + end if columns else [])


def execute(
    number: int, kinds: list[tuple[int, int]] | None = None, values: bytes = b"", nulls: bytes = b"", flags: int = 0
) -> bytes:
    """kinds: type and flags of each parameter, None: as they were."""
    described = b"" if kinds is None else b"\1" + b"".join(map(bytes, kinds))
    if kinds is None and nulls:
        described = b"\0"
    if kinds is not None and not nulls:
        nulls = bytes((len(kinds) + 7) // 8)
    return packet(0, b"\x17", struct.pack("<IBI", number, flags, 1), nulls, described, values)


def framed(data: bytes, coding: str, first: int, most: int = 200) -> bytes:
    """Compressed frames that hold `data`, as a server cuts it that has small buffers."""
    out = b""
    for number, at in enumerate(range(0, len(data), most)):
        piece = data[at : at + most]
        packed = zlib.compress(piece) if coding == "deflate" else zstandard.ZstdCompressor().compress(piece)
        size = len(piece)
        if len(piece) < 50 or len(packed) >= size:
            packed, size = piece, 0
        out += len(packed).to_bytes(3, "little") + bytes([first + number & 255]) + size.to_bytes(3, "little") + packed
    return out


# -- conversations ---------------------------------------------------------------------------------------------------------

KINDS = {
    "classic": BASE,
    "latest": LATEST,
    "mariadb": LATEST | CACHE_METADATA | EXTENDED_METADATA | SESSION_TRACK,
    "zlib": LATEST | COMPRESS,
    "zstd": LATEST | ZSTD,
}


CODINGS = {"zlib": "deflate", "zstd": "zstd"}


SECRET = b"correct-horse-battery"


def started(capabilities: int) -> list[Step]:
    """Up to the server's OK: a plugin is switched to, a password is sent as it is."""
    return [
        (False, greeting()),
        (True, login(capabilities)),
        (False, packet(2, b"\xfecaching_sha2_password\0", SCRAMBLE, b"\0")),
        (True, packet(3, SCRAMBLE)),
        (False, packet(4, b"\x01\x04")),
        (True, packet(5, SECRET + b"\0")),
        (False, packet(6, ok())),
    ]


def asked(capabilities: int, command: bytes, *answers: list[bytes]) -> list[Step]:
    """A command and its answer, compressed if that was agreed on."""
    coding = next((name for bit, name in ((COMPRESS, "deflate"), (ZSTD, "zstd")) if capabilities & bit), "")
    answer = numbered(body for part in answers for body in part)
    if coding:
        command, answer = framed(command, coding, 0), framed(answer, coding, 1)
    return [(True, command), (False, answer)] if answer else [(True, command)]


def extended(capabilities: int, name: bytes = b"") -> bytes | None:
    """What a server says more of a column to a client that can read it."""
    return None if not capabilities & EXTENDED_METADATA else b"\0" + lenenc(name) if name else b""


def session(capabilities: int) -> list[Step]:
    more = extended(capabilities)
    id_column, mail = column(b"id", 3, extended=more), column(b"email", 253, b"customers", extended=more)
    parameters = execute(7, [(253, 0), (3, 0)], lenenc(b"c@d.ch") + struct.pack("<i", -7))
    rows = [text_row(b"1", b"a@b.ch"), text_row(b"2", None)]
    steps = started(capabilities)
    steps += asked(
        capabilities, query(b"select id, email from customers"), result(capabilities, [id_column, mail], rows)
    )
    steps += asked(
        capabilities, prepare(b"update customers set email = ? where id = ?"), prepared(capabilities, 7, [], 2)
    )
    steps += asked(capabilities, parameters, [ok(1)])
    steps += asked(capabilities, prepare(b"select id from customers"), prepared(capabilities, 8, [id_column], 0))
    binary_rows = [binary_row(struct.pack("<i", n)) for n in range(-1, 40)]
    steps += asked(capabilities, execute(8), result(capabilities, [id_column], binary_rows))
    first = result(capabilities, [id_column], [text_row(b"1")], status=MORE_RESULTS)
    steps += asked(capabilities, query(b"select 1; selct 2"), first, [failed(1064, b"42000", b"syntax error")])
    return steps + asked(capabilities, packet(0, b"\x01"))


def run(steps: list[Step], limits: SqlLimits | None = None) -> tuple[list[SqlEvent], MysqlConnection]:
    connection = MysqlConnection(limits or SqlLimits())
    events: list[SqlEvent] = []
    for ts, (to_server, data) in enumerate(steps, 1):
        events += connection.feed(to_server, ts, data)
    return events + connection.close(99), connection


def results(events: list[SqlEvent]) -> list[SqlResult]:
    return [event for event in events if isinstance(event, SqlResult)]


def opened(capabilities: int = LATEST) -> MysqlConnection:
    """A connection whose client is known."""
    connection = MysqlConnection(SqlLimits())
    for to_server, data in started(capabilities):
        connection.feed(to_server, 1, data)
    return connection


def remembered(root: object) -> bytes:
    """All text and bytes that an object holds."""
    found, seen, todo = [], set[int](), [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type) or callable(thing):
            continue
        seen.add(id(thing))
        if isinstance(thing, str):
            found.append(thing.encode())
        elif isinstance(thing, (bytes, bytearray)):
            found.append(bytes(thing))
        todo += gc.get_referents(thing)
    return b"\n".join(found)
