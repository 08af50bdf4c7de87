"""PostgreSQL's values as text: the binary forms of the common types as the server's text form would show them.

Source: PostgreSQL documentation, "Frontend/Backend Protocol: Formats and Format Codes", and the types' send functions in
src/backend/utils/adt. Never raises: a value that is not what its type says is shown by its size.
"""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL counts from there
_NUMERIC_SIGNS = {0x0000: "", 0x4000: "-"}
_MOST_ARRAY = 1000  # elements shown

#: pg_type.dat: OID → name. Extensions' types (vector) have OIDs of their own on every server.
TYPES = {
    16: "bool", 17: "bytea", 18: "char", 19: "name", 20: "int8", 21: "int2", 23: "int4", 25: "text", 26: "oid", 114: "json",
    142: "xml", 700: "float4", 701: "float8", 790: "money", 829: "macaddr", 869: "inet", 650: "cidr", 1000: "_bool",
    1005: "_int2", 1007: "_int4", 1009: "_text", 1015: "_varchar", 1016: "_int8", 1028: "_oid", 1021: "_float4", 1022: "_float8",
    1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz", 1186: "interval",
    1266: "timetz", 1560: "bit", 1700: "numeric", 2249: "record", 2278: "void", 2950: "uuid", 2951: "_uuid", 3802: "jsonb",
}  # fmt: skip


def _numeric(data: bytes) -> str:
    """Base 10000 digits: how many, the first's weight, the sign, digits after the point; then the digits."""
    count, weight, sign, scale = struct.unpack_from(">hhHh", data)
    if sign == 0xC000:
        return "NaN"
    if sign in (0xD000, 0xF000):
        return "Infinity" if sign == 0xD000 else "-Infinity"
    digits = struct.unpack_from(f">{count}h", data, 8)
    if not -100 < weight < 1000 or not 0 <= scale < 1000:
        raise ValueError("numeric")
    whole = "".join(f"{digits[i] if i < count else 0:04d}" for i in range(weight + 1)).lstrip("0") or "0"
    shift = weight + 1
    after = "".join(f"{digits[i] if 0 <= i < count else 0:04d}" for i in range(shift, shift + scale // 4 + 1))[:scale]
    return f"{_NUMERIC_SIGNS[sign]}{whole}{'.' + after if scale else ''}"


def _timestamp(data: bytes) -> str:
    (micros,) = struct.unpack(">q", data)
    if abs(micros) == 2**63 - 1 or micros == -(2**63):
        return "infinity" if micros > 0 else "-infinity"
    when = _EPOCH + timedelta(microseconds=micros)
    return when.strftime("%Y-%m-%d %H:%M:%S") + (f".{when.microsecond:06d}".rstrip("0") if when.microsecond else "")


def _date(data: bytes) -> str:
    return (date(2000, 1, 1) + timedelta(days=struct.unpack(">i", data)[0])).isoformat()


def _time(data: bytes) -> str:
    since = datetime.combine(date(2000, 1, 1), time()) + timedelta(microseconds=struct.unpack(">q", data)[0])
    text = since.time().isoformat()
    return text.rstrip("0") if "." in text else text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _size(data: bytes) -> str:
    return f"<{len(data)} bytes>"


def _array(data: bytes) -> str:
    """Dimensions, whether there are NULLs, the elements' type; for each dimension its length and first index."""
    dimensions, _, oid = struct.unpack_from(">iii", data)
    if dimensions == 0:
        return "{}"
    if dimensions != 1:
        return _size(data)
    count, at, shown = struct.unpack_from(">i", data, 12)[0], 20, []
    for _ in range(min(count, _MOST_ARRAY)):
        (length,) = struct.unpack_from(">i", data, at)
        at += 4
        shown.append("NULL" if length < 0 else binary(oid, data[at : at + length]))
        at += max(0, length)
    return "{" + ",".join(shown) + ("…" if count > _MOST_ARRAY else "") + "}"


def _number(form: str) -> Callable[[bytes], str]:
    return lambda data: str(struct.unpack(form, data)[0])


def _finite(value: float, form: Callable[[float], str]) -> str:
    return form(value) if math.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")


def _float4(data: bytes) -> str:
    """The shortest text that reads back as the same float4."""
    (value,) = struct.unpack(">f", data)
    return _finite(
        value, lambda v: next(t for n in range(6, 10) if struct.pack(">f", float(t := f"{v:.{n}g}")) == data or n == 9)
    )


_BINARY: dict[str, Callable[[bytes], str]] = {
    "bool": lambda data: "t" if data == b"\x01" else "f",
    "int2": _number(">h"),
    "int4": _number(">i"),
    "int8": _number(">q"),
    "oid": _number(">I"),
    "float4": _float4,
    "float8": lambda data: _finite(struct.unpack(">d", data)[0], lambda value: repr(value).removesuffix(".0")),
    "numeric": _numeric,
    "uuid": lambda data: str(uuid.UUID(bytes=data)),
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": lambda data: _timestamp(data) + "+00",
    "jsonb": lambda data: _text(data[1:]),
    "bytea": _size,
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "char", "json", "xml"), _text),
    **dict.fromkeys((name for name in TYPES.values() if name.startswith("_")), _array),
}


def binary(oid: int, data: bytes) -> str:
    """A value in its type's binary form. Of a type that is not known: its text, if it is one."""
    read = _BINARY.get(TYPES.get(oid, ""))
    try:
        if read is not None:
            return read(data)
        text = data.decode()
    except (struct.error, ValueError, KeyError, OverflowError):
        return _size(data)
    return text if text.isprintable() else _size(data)


def shown(oid: int, form: int, data: bytes) -> str:
    """A value as text. form: 0 text, 1 binary."""
    if form == 1:
        return binary(oid, data)
    if oid == 17:
        return f"<{max(0, len(data) - 2) // 2} bytes>" if data.startswith(b"\\x") else _size(data)
    return _text(data)
