"""What is in MySQL's packets: greeting, the client's answer, OK, ERR, EOF, column definitions.

Source: MySQL documentation, "Client/Server Protocol"; MariaDB documentation, "Client/Server Protocol", for what is its own
(extended capabilities, type names, progress reports). Every reader raises `BadPacket` for bytes that are too few, and nothing
else. What proves who a client is is passed over.
"""

from __future__ import annotations

import struct

import msgspec

from leeward.model.sql import SqlError
from leeward.wire.mysql_values import Kind

#: Capabilities, "Capabilities Flags"; from 1 << 32 on MariaDB's extended ones.
LONG_PASSWORD, CONNECT_WITH_DB, COMPRESS, PROTOCOL_41, SSL = 1, 1 << 3, 1 << 5, 1 << 9, 1 << 11
SECURE_CONNECTION, PLUGIN_AUTH, CONNECT_ATTRS, LENENC_AUTH = 1 << 15, 1 << 19, 1 << 20, 1 << 21
SESSION_TRACK, DEPRECATE_EOF, OPTIONAL_METADATA, ZSTD, QUERY_ATTRIBUTES = 1 << 23, 1 << 24, 1 << 25, 1 << 26, 1 << 27
EXTENDED_METADATA, CACHE_METADATA = 1 << 35, 1 << 36

#: Status flags, "SERVER_STATUS_flags_enum".
MORE_RESULTS, CURSOR_EXISTS, STATE_CHANGED = 0x0008, 0x0040, 0x4000

MOST_COLUMNS = 4096
"""MySQL documentation, "Limits on Table Column Count"; MariaDB's limit is the same."""
_MOST_NAME = 256  # characters; an alias is no longer
_TRACKED_SCHEMA = 1  # SESSION_TRACK_SCHEMA
_PROGRESS_REPORT = 0xFFFF  # the error number of one


class BadPacket(ValueError):
    """There are fewer bytes than a packet of this sort has."""


class Reader:
    """Fields one after the other."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self.at + size
        if end > len(self.data):
            raise BadPacket
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self, size: int) -> int:
        """int<size>"""
        return int.from_bytes(self.take(size), "little")

    def lenenc(self) -> int:
        """int<lenenc>; there is none that begins with 0xfb (NULL) or 0xff."""
        first = self.number(1)
        if first < 0xFB:
            return first
        if first in (0xFB, 0xFF):
            raise BadPacket
        return self.number({0xFC: 2, 0xFD: 3, 0xFE: 8}[first])

    def string(self) -> bytes:
        """string<lenenc>"""
        return self.take(self.lenenc())

    def terminated(self) -> bytes:
        """string<NUL>; at the end of a packet the NUL may be missing."""
        end = self.data.find(b"\0", self.at)
        piece = self.data[self.at : end if end >= 0 else len(self.data)]
        self.at += len(piece) + 1
        return piece

    def rest(self) -> bytes:
        return self.data[self.at :]


class Greeting(msgspec.Struct, frozen=True):
    """HandshakeV10. version: as clients show it, without the "5.5.5-" that MariaDB puts before its own."""

    version: str
    capabilities: int


class Login(msgspec.Struct, frozen=True):
    """SSLRequest (no user yet), HandshakeResponse41 or COM_CHANGE_USER."""

    capabilities: int
    charset: int
    user: str = ""
    database: str = ""


class Done(msgspec.Struct, frozen=True):
    """OK or EOF. database: the one that is current from here on, None if that is not said."""

    affected: int | None = None
    status: int = 0
    database: str | None = None


class Field(msgspec.Struct, frozen=True):
    """A column definition. type: MariaDB's name for it, "" if it gave none."""

    name: str
    table: str
    type: str
    kind: Kind


class Prepared(msgspec.Struct, frozen=True):
    """COM_STMT_PREPARE_OK."""

    number: int
    columns: int
    parameters: int
    metadata: bool


def greeting(payload: bytes) -> Greeting:
    reader = Reader(payload, 1)
    version = name(reader.terminated())
    reader.take(4 + 8 + 1)
    low = reader.number(2)
    if not reader.rest():
        return Greeting(version, low)
    reader.take(1 + 2)
    capabilities = low | reader.number(2) << 16
    reader.take(1 + 6)
    extended = reader.number(4)
    if not capabilities & LONG_PASSWORD:  # "CLIENT_MYSQL": MariaDB's servers leave it out
        capabilities |= extended << 32
    return Greeting(version.removeprefix("5.5.5-") if "MariaDB" in version else version, capabilities)


def login(payload: bytes) -> Login:
    """SSLRequest or HandshakeResponse41, which begins with the same."""
    reader = Reader(payload)
    capabilities = reader.number(4)
    if not capabilities & PROTOCOL_41:
        return Login(capabilities, 0)
    reader.take(4)
    charset = reader.number(1)
    reader.take(19)
    extended = reader.number(4)
    if not capabilities & LONG_PASSWORD:
        capabilities |= extended << 32
    if capabilities & SSL and not reader.rest():
        return Login(capabilities, charset)
    user = name(reader.terminated())
    if capabilities & LENENC_AUTH:
        reader.string()
    elif capabilities & SECURE_CONNECTION:
        reader.take(reader.number(1))
    else:
        reader.terminated()
    database = name(reader.terminated()) if capabilities & CONNECT_WITH_DB else ""
    return Login(capabilities, charset, user, database)


def change_user(payload: bytes, capabilities: int) -> Login:
    reader = Reader(payload, 1)
    user = name(reader.terminated())
    if capabilities & SECURE_CONNECTION:
        reader.take(reader.number(1))
    else:
        reader.terminated()
    return Login(capabilities, 0, user, name(reader.terminated()))


def done(payload: bytes, capabilities: int) -> Done:
    """An OK packet (0x00, or 0xfe where that stands for EOF)."""
    reader = Reader(payload, 1)
    affected = reader.lenenc()
    reader.lenenc()
    status = reader.number(2)
    database = None
    if capabilities & SESSION_TRACK and status & STATE_CHANGED:
        reader.take(2)
        reader.string()
        changes = Reader(reader.string())
        while changes.rest():
            kind, what = changes.number(1), changes.string()
            if kind == _TRACKED_SCHEMA:
                database = name(Reader(what).string())
    return Done(affected, status, database)


def end_of_file(payload: bytes) -> Done:
    """EOF: what stands at the end of definitions and rows without DEPRECATE_EOF."""
    return Done(None, Reader(payload, 3).number(2) if len(payload) >= 5 else 0)


def error(payload: bytes) -> SqlError | None:
    """ERR; None for a report of progress, which MariaDB sends as one."""
    reader = Reader(payload, 1)
    number = reader.number(2)
    if number == _PROGRESS_REPORT:
        return None
    state = ""
    if reader.rest()[:1] == b"#":
        state = name(reader.take(6)[1:])
    return SqlError(state, name(reader.rest(), 4096))


def definition(payload: bytes, capabilities: int) -> Field:
    """ColumnDefinition41."""
    reader = Reader(payload)
    reader.string()  # catalogue: "def"
    reader.string()
    reader.string()
    table, label = name(reader.string()), name(reader.string())
    reader.string()
    kind_name = ""
    if capabilities & EXTENDED_METADATA:
        more = Reader(reader.string())
        while more.rest():  # 0: the type's name, 1: its format
            what, text = more.number(1), more.string()
            kind_name = kind_name or name(text) if what in (0, 1) else kind_name
    fixed = Reader(reader.string())
    try:
        charset, length, code, flags, decimals = struct.unpack_from("<HIBHB", fixed.data)
    except struct.error as short:
        raise BadPacket from short
    return Field(label, table, kind_name, Kind(code, flags, charset, length, decimals))


def prepared(payload: bytes, capabilities: int) -> Prepared:
    reader = Reader(payload, 1)
    number, columns, parameters = reader.number(4), reader.number(2), reader.number(2)
    has_flag = capabilities & OPTIONAL_METADATA and len(payload) > 12
    return Prepared(number, columns, parameters, not has_flag or payload[12] == 1)


def name(data: bytes, most: int = _MOST_NAME) -> str:
    """A short text of the protocol itself: names and messages are UTF-8."""
    return data[: 4 * most].decode("utf-8", "replace")[:most]
