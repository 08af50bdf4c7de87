"""MySQL's values as text: the binary forms as the server's text protocol would show them.

Source: MySQL documentation, "Binary Protocol Value", "Column Types", "Column Definition Flags"; how numbers are written: the
text protocol's results of MySQL and MariaDB servers. Strings are shown in the column's character set; bytes that are no text by
their number; BIT as a number. `binary` raises `struct.error`, `IndexError` or `ValueError` where bytes are missing, `text` never.
"""

from __future__ import annotations

import codecs
import math
import struct
from collections.abc import Callable

import msgspec

BINARY_SET = 63
"""The character set of what has none: numbers, times, bytes."""
UNSIGNED, ZEROFILL, ENUM, SET = 0x20, 0x40, 0x100, 0x800
_FREE = 31  # decimals of a number without a fixed number of them
_BIT, _VECTOR, _GEOMETRY = 16, 242, 255
_STRINGS = frozenset((15, 247, 248, 249, 250, 251, 252, 253, 254))
_OF_BYTES = {"varchar": "varbinary", "char": "binary"}

#: enum_field_types: number → SQL's name, of the text kind where there is one of bytes beside it.
TYPES = {
    0: "decimal", 1: "tinyint", 2: "smallint", 3: "int", 4: "float", 5: "double", 6: "null", 7: "timestamp", 8: "bigint",
    9: "mediumint", 10: "date", 11: "time", 12: "datetime", 13: "year", 14: "date", 15: "varchar", 16: "bit", 17: "timestamp",
    18: "datetime", 19: "time", 242: "vector", 245: "json", 246: "decimal", 247: "enum", 248: "set", 249: "tinytext",
    250: "mediumtext", 251: "longtext", 252: "text", 253: "varchar", 254: "char", 255: "geometry",
}  # fmt: skip

_SPANS = {
    "cp1252": "5 8 15 31 47-49 94", "cp1250": "26 34 44 66 99", "cp1251": "14 23 50-52", "cp1256": "57 67", "cp1257": "29 58 59",
    "latin-1": "3 69", "iso8859-2": "2 9 21 27 77", "iso8859-7": "25 70", "iso8859-8": "16 71", "iso8859-9": "30 78",
    "iso8859-13": "20 41 42 79", "koi8-r": "7 74", "koi8-u": "22 75", "cp850": "4 80", "cp852": "40 81", "cp866": "36 68",
    "mac-roman": "39 53", "mac-latin2": "38 43", "big5": "1 84", "gb2312": "24 86", "gbk": "28 87", "gb18030": "248-250",
    "shift-jis": "13 88", "cp932": "95 96", "euc-jp": "12 91 97 98", "euc-kr": "19 85", "tis-620": "18 89",
    "utf-16-be": "35 54 55 90 101-124 128-151 159", "utf-16-le": "56 62", "utf-32-be": "60 61 160-183",
}  # fmt: skip
#: Number of a collation (information_schema.COLLATIONS) → Python's codec. All others are UTF-8 or ASCII.
CODECS = {
    number: codec
    for codec, spans in _SPANS.items()
    for span in spans.split()
    for number in range(int(span.split("-")[0]), int(span.split("-")[-1]) + 1)
}


class Kind(msgspec.Struct, frozen=True):
    """What a value is. type: enum_field_types. flags: of the column. charset: number of its collation. length: characters that
    it takes at most. decimals: after the point, of seconds too; 31: as many as there are."""

    type: int
    flags: int = 0
    charset: int = 45
    length: int = 0
    decimals: int = _FREE


def type_name(kind: Kind) -> str:
    """As in CREATE TABLE, without sizes."""
    known = TYPES.get(kind.type, "")
    if kind.type in _STRINGS:
        if kind.flags & (ENUM | SET):
            return "enum" if kind.flags & ENUM else "set"
        if kind.charset == BINARY_SET:
            return _OF_BYTES.get(known, known.replace("text", "blob"))
        return known
    return f"{known} unsigned" if kind.flags & UNSIGNED and known.endswith("int") else known


def text(kind: Kind, data: bytes, whole: int = 0) -> str:
    """A value of the text protocol, or a string of the binary one. whole: its size if `data` is only its beginning."""
    if kind.type in (_VECTOR, _GEOMETRY):
        return f"<{whole or len(data)} bytes>"
    if kind.type == _BIT:
        return str(int.from_bytes(data[:8], "big"))
    if kind.type in _STRINGS and kind.charset == BINARY_SET:
        return _of_bytes(data, whole)
    return data.decode(CODECS.get(kind.charset, "utf-8"), "replace")


def _of_bytes(data: bytes, whole: int) -> str:
    """Bytes that are a text are shown as it; a character that was cut at the end does not count."""
    shown = codecs.getincrementaldecoder("utf-8")("replace").decode(data, final=whole <= len(data))
    if "\ufffd" not in shown and shown.translate({9: None, 10: None, 13: None}).isprintable():
        return shown
    return f"<{whole or len(data)} bytes>"


# -- the binary protocol ---------------------------------------------------------------------------------------------------

#: type → struct format; the capital letter is the unsigned one
_WHOLE = {1: "<b", 2: "<h", 3: "<i", 8: "<q", 9: "<i", 13: "<h"}


def _number(kind: Kind, data: bytes, at: int) -> tuple[str, int]:
    form = _WHOLE[kind.type]
    form = form.upper() if kind.flags & UNSIGNED else form
    (value,) = struct.unpack_from(form, data, at)
    return _filled(kind, str(value)), at + struct.calcsize(form)


def _filled(kind: Kind, shown: str) -> str:
    return shown.zfill(min(kind.length, 255)) if kind.flags & ZEROFILL else shown


def _float(kind: Kind, data: bytes, at: int) -> tuple[str, int]:
    """Single precision is shown with 6 digits at most (FLT_DIG)."""
    (value,) = struct.unpack_from("<f", data, at)
    return _filled(kind, _real(value, kind.decimals, "{:.5e}")), at + 4


def _double(kind: Kind, data: bytes, at: int) -> tuple[str, int]:
    (value,) = struct.unpack_from("<d", data, at)
    return _filled(kind, _real(value, kind.decimals, "{!r}")), at + 8


def _real(value: float, decimals: int, form: str) -> str:
    """form: how its significant digits are found. Where the point is shifted far, an exponent is written: below 1e-15, and from
    1e15 on for what has no digits after the point."""
    if not math.isfinite(value):
        return str(value)
    if decimals < _FREE:
        return f"{value:.{decimals}f}"
    sign, digits, point = _digits(form.format(value))
    if not digits:
        return "0"
    if point < -14 or (point > 15 and len(digits) <= point):
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    whole, rest = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}{'.' if rest else ''}{rest}"


def _digits(shown: str) -> tuple[str, str, int]:
    """`-1.50e-07` → ("-", "15", -6): sign, significant digits, and where among them the point is."""
    mantissa, _, exponent = shown.lstrip("-").partition("e")
    whole, _, rest = mantissa.partition(".")
    digits = (whole + rest).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + rest) - len(digits))
    return "-" if shown.startswith("-") else "", digits.rstrip("0"), point


def _moment(kind: Kind, data: bytes, at: int) -> tuple[str, int]:
    """DATE, DATETIME, TIMESTAMP: as many fields as are not zero."""
    size = data[at]
    fields = data[at + 1 : at + 1 + size]
    if len(fields) != size or size not in (0, 4, 7, 11):
        raise ValueError("a date's size")
    year, month, day, hour, minute, second, micros = struct.unpack("<HBBBBBI", fields.ljust(11, b"\0"))
    shown = f"{year:04d}-{month:02d}-{day:02d}"
    if kind.type not in (10, 14):
        shown += f" {hour:02d}:{minute:02d}:{second:02d}{_fraction(micros, kind.decimals)}"
    return shown, at + 1 + size


def _span(kind: Kind, data: bytes, at: int) -> tuple[str, int]:
    """TIME: sign, days, hours, minutes, seconds, microseconds."""
    size = data[at]
    fields = data[at + 1 : at + 1 + size]
    if len(fields) != size or size not in (0, 8, 12):
        raise ValueError("a time's size")
    minus, days, hour, minute, second, micros = struct.unpack("<BIBBBI", fields.ljust(12, b"\0"))
    sign = "-" if minus == 1 else ""
    return f"{sign}{days * 24 + hour:02d}:{minute:02d}:{second:02d}{_fraction(micros, kind.decimals)}", at + 1 + size


def _fraction(micros: int, decimals: int) -> str:
    """Of a second. A parameter does not say how many digits it has."""
    if decimals > 6:
        return f".{micros:06d}" if micros else ""
    return f".{micros:06d}"[: decimals + 1] if decimals else ""


_FIXED: dict[int, Callable[[Kind, bytes, int], tuple[str, int]]] = {
    **dict.fromkeys(_WHOLE, _number),
    4: _float,
    5: _double,
    **dict.fromkeys((7, 10, 12, 14), _moment),
    11: _span,
}


def binary(kind: Kind, data: bytes, at: int, most: int) -> tuple[str, int]:
    """The value at `at`, of which at most `most` bytes are shown, and where the next one is."""
    if kind.type == 6:
        return "", at
    fixed = _FIXED.get(kind.type)
    if fixed is not None:
        return fixed(kind, data, at)
    size, at = lenenc(data, at)
    if at + size > len(data):
        raise ValueError("a string's size")
    return text(kind, data[at : at + min(size, most)], size), at + size


def lenenc(data: bytes, at: int) -> tuple[int, int]:
    """int<lenenc> that is no NULL, and what follows it."""
    size = data[at]
    if size < 0xFB:
        return size, at + 1
    if size in (0xFB, 0xFF):
        raise ValueError("no size")
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[size]
    if at + 1 + width > len(data):
        raise ValueError("no size")
    return int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width
