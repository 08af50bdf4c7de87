"""Values one after the other: MySQL's rows in text and binary form, and parameters of statements.

Source: MySQL documentation, "Text Resultset Row", "Binary Protocol Resultset Row", "COM_QUERY", "COM_STMT_EXECUTE"; MariaDB
documentation, "COM_STMT_BULK_EXECUTE". All raise `struct.error`, `IndexError` or `ValueError` where bytes are missing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from leeward.wire.mysql_messages import BadPacket, Field, Reader
from leeward.wire.mysql_values import UNSIGNED, Kind, binary, lenenc, text

_NULL = 0xFB
_AS_TEXT = Kind(253)
_BULK_TYPES = 128  # SEND_TYPES_TO_SERVER, a flag of COM_STMT_BULK_EXECUTE
_UNSIGNED_PARAMETER = 0x80


class Statement(msgspec.Struct):
    """A statement, prepared or not. text: as far as kept; cut: that is not all of it. parameters: how many; kinds: what they
    were when they were last described. fields: its columns, None for one that could not be read. long: parameters that were
    sent ahead. answered: the server knows it, `parameters` is valid."""

    text: str
    cut: bool = False
    parameters: int = 0
    kinds: list[Kind] = []
    fields: list[Field | None] = []
    long: dict[int, bytearray] = {}
    answered: bool = False
    number: int = -1


class Given(msgspec.Struct):
    """Parameters as text, None for NULL. cut: there were more, or longer ones."""

    values: list[str | None] = []
    cut: bool = False


class Most(msgspec.Struct, frozen=True):
    """What is kept of parameters: so many, so many bytes of all, and of one."""

    count: int
    held: int
    value: int


def text_row(data: bytes, fields: Sequence[Field | None], most: int) -> list[str | None]:
    """most: bytes kept of a value."""
    row: list[str | None] = []
    at = 0
    for field in fields:
        if data[at] == _NULL:
            row.append(None)
            at += 1
            continue
        size, at = lenenc(data, at)
        if at + size > len(data):
            raise BadPacket
        kind = field.kind if field is not None else _AS_TEXT
        row.append(text(kind, data[at : at + min(size, most)], size))
        at += size
    if at != len(data):
        raise BadPacket
    return row


def binary_row(data: bytes, fields: Sequence[Field | None], most: int) -> list[str | None]:
    """A NUL, which columns are NULL from the third bit on, then the others' values."""
    nulls, at = data[1:], 1 + (len(fields) + 9) // 8
    row: list[str | None] = []
    for number, field in enumerate(fields, 2):
        if field is None:
            raise BadPacket
        if nulls[number >> 3] >> (number & 7) & 1:
            row.append(None)
            continue
        value, at = binary(field.kind, data, at, most)
        row.append(value)
    if at != len(data):
        raise BadPacket
    return row


def query(payload: bytes, attributes: bool) -> bytes:
    """The words of COM_QUERY. attributes: may come before them (QUERY_ATTRIBUTES); a client does not send them to a server that
    does not know them, whatever it says of itself. Words do not have 1, how many sets of them there are, in second place."""
    reader = Reader(payload, 1)
    if not attributes or not payload[1:]:
        return payload[1:]
    try:
        count = reader.lenenc()
        if reader.lenenc() != 1:
            return payload[1:]
    except BadPacket:
        return payload[1:]
    if count:
        _values(reader, count, [], {}, named=True, most=Most(0, 0, 0))
    return reader.rest()


def execute(payload: bytes, statement: Statement, attributes: bool, most: Most) -> Given:
    """Parameters of COM_STMT_EXECUTE; query attributes among them come last and are left out. Whether a client sends a count of
    them is not sure where the server's greeting was not seen: the way to read them is the one that they fill."""
    if not statement.parameters:
        return Given()
    for named in (True, False) if attributes else (False,):
        reader = Reader(payload, 10)
        count = statement.parameters
        try:
            if named:
                count = reader.lenenc()
            kinds = list(statement.kinds)
            given = _values(reader, count, kinds, statement.long, named=named, most=most)
        except (ValueError, IndexError, struct.error):
            if not named:
                raise
            continue
        if not reader.rest() and count >= statement.parameters:
            given.values = given.values[: statement.parameters]
            statement.kinds = kinds
            return given
    raise BadPacket


def bulk(payload: bytes, statement: Statement, most: Most) -> Given:
    """Parameters of COM_STMT_BULK_EXECUTE, row after row."""
    reader = Reader(payload, 5)
    flags = reader.number(2)
    if flags & _BULK_TYPES:
        statement.kinds = [_kind(reader.number(1), reader.number(1)) for _ in range(statement.parameters)]
    if len(statement.kinds) < statement.parameters or not statement.parameters:
        raise BadPacket
    given, at, held = Given(), reader.at, 0
    while at < len(payload):
        for kind in statement.kinds:
            indicator, before = payload[at], at
            value, at = binary(kind, payload, at + 1, most.value) if indicator == 0 else (None, at + 1)
            held += at - before
            _keep(given, value, held, most)
    return given


def _values(
    reader: Reader, count: int, kinds: list[Kind], ahead: dict[int, bytearray], *, named: bool, most: Most
) -> Given:
    """Which are NULL, whether kinds are given, kinds, values. `kinds` is as it was before, and is brought up to date."""
    nulls = reader.take((count + 7) // 8)
    if reader.number(1):
        kinds.clear()
        for _ in range(count):
            kinds.append(_kind(reader.number(1), reader.number(1)))
            if named:
                reader.string()
    if len(kinds) < count:
        raise BadPacket
    given, held = Given(), 0
    for number in range(count):
        value: str | None = None
        before = reader.at
        if number in ahead:
            sent = bytes(ahead[number])
            value, held = text(kinds[number], sent[: most.value]), held + len(sent)
        elif not nulls[number >> 3] >> (number & 7) & 1:
            value, reader.at = binary(kinds[number], reader.data, reader.at, most.value)
        held += reader.at - before
        _keep(given, value, held, most)
    return given


def _keep(given: Given, value: str | None, held: int, most: Most) -> None:
    if held > most.held or len(given.values) >= most.count:
        given.cut = True
    else:
        given.values.append(value)


def _kind(number: int, flags: int) -> Kind:
    """A parameter's. Bytes are sent as BLOBs, text as strings, by most clients."""
    charset = 63 if 249 <= number <= 252 else 45
    return Kind(number, UNSIGNED if flags & _UNSIGNED_PARAMETER else 0, charset)
