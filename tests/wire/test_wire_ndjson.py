"""Lines of newline-delimited JSON and where each ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.wire.ndjson import parse_lines

CASES = [
    (b"", []),
    (b"\n\n", []),
    (b'{"a":1}\n{"b":2}\n', [(b'{"a":1}', 8), (b'{"b":2}', 16)]),
    (b'{"a":1}\r\n{"b":', [(b'{"a":1}', 9), (b'{"b":', 14)]),
    (b"1\n\n 2 \n", [(b"1", 2), (b"2", 7)]),
]


@pytest.mark.parametrize(("body", "lines"), CASES)
def test_lines(body: bytes, lines: list[tuple[bytes, int]]) -> None:
    assert parse_lines(body) == lines


@settings(deadline=None, derandomize=True)
@given(st.lists(st.binary(min_size=1, max_size=9).map(lambda b: b"[" + b.replace(b"\n", b"") + b"]"), max_size=20))
def test_what_is_sent_comes_out(lines: list[bytes]) -> None:
    body = b"\n".join(lines)
    found = parse_lines(body)
    assert [line for line, _ in found] == lines
    assert all(body[:end].rstrip(b"\n").endswith(line) for line, end in found)


def test_count_is_bounded() -> None:
    assert len(parse_lines(b"1\n" * 50, most=20)) == 20
