"""MySQL's values: binary forms as the server's text would show them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_mysql import lenenc

from leeward.wire.mysql_values import CODECS, TYPES, Kind, binary, text, type_name

TINY, SHORT, INT, FLOAT, DOUBLE, STAMP, BIG, DATE, TIME, MOMENT, YEAR, BIT = 1, 2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 16
UNSIGNED, FILLED = 0x20, 0x40


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        (Kind(TINY), b"\x80", "-128"), (Kind(TINY, UNSIGNED), b"\xff", "255"), (Kind(SHORT), b"\xff\xff", "-1"),
        (Kind(INT, FILLED | UNSIGNED, length=6), struct.pack("<I", 42), "000042"),
        (Kind(9), struct.pack("<i", -8388608), "-8388608"), (Kind(BIG, UNSIGNED), b"\xff" * 8, "18446744073709551615"),
        (Kind(YEAR, UNSIGNED | FILLED, length=4), b"\0\0", "0000"), (Kind(BIT), lenenc(b"\x0a\xaa"), "2730"),
        (Kind(246), lenenc(b"-12.340"), "-12.340"), (Kind(245), lenenc(b"{}"), "{}"),
    ],
)  # fmt: skip
def test_numbers(kind: Kind, data: bytes, shown: str) -> None:
    assert binary(kind, data + b"next", 0, 1000) == (shown, len(data))


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0.1, 31, "0.1"), (-2.5e-7, 31, "-0.00000025"), (1e14, 31, "100000000000000"), (1e15, 31, "1e15"),
        (1e-15, 31, "0.000000000000001"), (1e-16, 31, "1e-16"), (1234567890123456.7, 31, "1234567890123456.8"), (0.0, 31, "0"),
        (-0.0, 31, "0"), (1.25e100, 31, "1.25e100"), (123456789012345678.0, 31, "1.2345678901234568e17"), (2.0, 3, "2.000"),
        (-0.005, 2, "-0.01"), (5e-324, 31, "5e-324"), (1.7976931348623157e308, 31, "1.7976931348623157e308"),
    ],
)  # fmt: skip
def test_doubles(value: float, decimals: int, shown: str) -> None:
    assert binary(Kind(DOUBLE, decimals=decimals), struct.pack("<d", value), 0, 0) == (shown, 8)


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (1.1, 31, "1.1"), (16777216, 31, "16777200"), (3.4e38, 31, "3.4e38"), (1e-45, 31, "1.4013e-45"), (12.345, 2, "12.35"),
        (1234567.8, 31, "1234570"), (99999.95, 31, "100000"), (-0.5, 31, "-0.5"), (0, 31, "0"),
    ],
)  # fmt: skip
def test_floats(value: float, decimals: int, shown: str) -> None:
    assert binary(Kind(FLOAT, decimals=decimals), struct.pack("<f", value), 0, 0) == (shown, 4)


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        (Kind(DATE), b"\4\xe8\7\2\x1d", "2024-02-29"), (Kind(DATE), b"\0", "0000-00-00"),
        (Kind(MOMENT, decimals=0), b"\4\xe8\7\1\2", "2024-01-02 00:00:00"),
        (Kind(MOMENT, decimals=3), b"\0", "0000-00-00 00:00:00.000"),
        (Kind(STAMP, decimals=6), b"\x0b\xe8\7\1\2\3\4\5\x40\xe2\1\0", "2024-01-02 03:04:05.123456"),
        (Kind(MOMENT, decimals=2), b"\7\xe8\7\1\2\3\4\5", "2024-01-02 03:04:05.00"),
        (Kind(MOMENT), b"\x0b\xe8\7\1\2\3\4\5\x40\xe2\1\0", "2024-01-02 03:04:05.123456"),
        (Kind(TIME, decimals=0), b"\x08\1\1\0\0\0\2\3\4", "-26:03:04"), (Kind(TIME, decimals=0), b"\0", "00:00:00"),
        (Kind(TIME, decimals=1), b"\x0c\0\x22\0\0\0\x16\x3b\x3b\xa0\xbb\x0d\0", "838:59:59.9"),
    ],
)  # fmt: skip
def test_times(kind: Kind, data: bytes, shown: str) -> None:
    assert binary(kind, data + b"next", 0, 0) == (shown, len(data))


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        (Kind(253), "né".encode(), "né"), (Kind(253, 0, 8), b"n\xe9", "né"), (Kind(253, 0, 35), "ü".encode("utf-16-be"), "ü"),
        (Kind(252, 0, 63), b"2\nlines", "2\nlines"), (Kind(252, 0, 63), b"\x89PNG", "<4 bytes>"), (Kind(252, 0, 63), b"", ""),
        (Kind(252, 0, 63), "cut in é".encode(), "cut in "), (Kind(252, 0, 63), b"\xff" * 20, "<20 bytes>"),
        (Kind(242, 0, 63), b"AAAABBBB", "<8 bytes>"), (Kind(255, 0, 63), b"ab", "<2 bytes>"),
    ],
)  # fmt: skip
def test_strings(kind: Kind, data: bytes, shown: str) -> None:
    """At most 8 bytes of one."""
    assert binary(kind, lenenc(data) + b"next", 0, 8) == (shown, len(data) + 1)


@given(
    st.sampled_from([*TYPES, 99]), st.integers(0, 0xFFFF), st.sampled_from([8, 45, 63, 35, 500]), st.binary(max_size=40)
)
def test_any_value_is_shown(code: int, flags: int, charset: int, data: bytes) -> None:
    kind = Kind(code, flags, charset, 255, 31)
    assert isinstance(text(kind, data), str)
    try:
        shown, end = binary(kind, data, 0, 10)
    except (struct.error, IndexError, ValueError):
        return
    assert isinstance(shown, str)
    assert end <= len(data)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_reads_back(value: float) -> None:
    shown, _ = binary(Kind(DOUBLE), struct.pack("<d", value), 0, 0)
    assert float(shown) == value
    assert "+" not in shown
    assert len(shown) < 40


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind(INT, UNSIGNED), "int unsigned"), (Kind(DOUBLE, UNSIGNED), "double"), (Kind(253, 0, 63), "varbinary"),
        (Kind(254, 0, 63), "binary"), (Kind(252, 0, 63), "blob"), (Kind(251, 0, 45), "longtext"), (Kind(254, 0x100), "enum"),
        (Kind(254, 0x800), "set"), (Kind(99), ""),
    ],
)  # fmt: skip
def test_type_names(kind: Kind, name: str) -> None:
    assert type_name(kind) == name


def test_every_codec_is_there() -> None:
    assert {"a".encode(codec).strip(b"\0") for codec in CODECS.values()} == {b"a"}
