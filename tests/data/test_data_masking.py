"""Hashes, samples, tokens and masks: what may be shown and kept of a value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.data.hashing import Keyed, normal
from leeward.data.masking import hide_values, masked, same_length, sample, token

KEYED = Keyed(bytes(32))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("4111 1111-1111 1111", "4111111111111111"),
        ("Ann.Lee@x.org", "ann.lee@X.ORG"),
        ("GB82 WEST 1234", "gb82west1234"),
    ],
)
def test_the_same_value_written_otherwise_has_the_same_hash(one: str, other: str) -> None:
    assert KEYED.text(one) == KEYED.text(other)


def test_another_value_or_another_key_gives_another_hash() -> None:
    assert len({KEYED.text("4111"), KEYED.text("4112"), Keyed(b"\1" * 32).text("4111")}) == 3
    assert len(KEYED.text("x")) == 16
    assert KEYED.text("...") != KEYED.text("!!!")  # nothing but punctuation has no normal form
    with pytest.raises(ValueError, match="32 bytes"):
        Keyed(b"short")


@given(st.text(min_size=1, max_size=60), st.integers(0, 12), st.integers(0, 12))
def test_a_sample_shows_at_most_a_third(value: str, first: int, last: int) -> None:
    shown = sample(value, (first, last))
    clear = len(shown) - shown.count("*") if "*" not in value else 0
    assert clear <= len(value) // 3
    assert shown != value or "*" in value


@pytest.mark.parametrize(
    ("value", "keep", "shown"),
    [
        ("4111111111111111", (0, 4), "************1111"),
        ("ann@x.org", (1, 0), "a********"),
        ("ab", (4, 4), "***"),
        ("x" * 500, (4, 4), "xxxx" + "*" * 16 + "xxxx"),
    ],
)
def test_samples(value: str, keep: tuple[int, int], shown: str) -> None:
    assert sample(value, keep) == shown


def test_spans_become_tokens() -> None:
    text = "from ann@x.org to bob@x.org"
    spans = [(18, 27, token("pii.email", "bbbbbbbbbbbbbbbb")), (5, 14, token("pii.email", "aaaaaaaaaaaaaaaa"))]
    assert masked(text, spans) == "from [pii.email:aaaaaaaa] to [pii.email:bbbbbbbb]"
    assert masked("abc", [(0, 2, "X"), (1, 3, "Y")]) == "Xc"  # what overlaps is covered once
    assert hide_values("a secret, a secret", [("secret", "[x]")]) == "a [x], a [x]"


@given(st.text(max_size=80))
def test_a_mask_on_the_wire_keeps_length_and_json(value: str) -> None:
    raw = json.dumps(value).encode()
    assert len(same_length(raw[1:-1])) == len(raw) - 2
    shown = json.loads(b'"' + same_length(raw[1:-1]) + b'"')
    assert not any(c.isalnum() for c in shown)
    utf8 = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    assert len(same_length(utf8[1:-1])) == len(utf8) - 2
    json.loads(b'"' + same_length(utf8[1:-1]) + b'"')


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_masked_number_is_a_number(number: float) -> None:
    raw = json.dumps(number).encode()
    assert len(same_length(raw, number=True)) == len(raw)
    assert isinstance(json.loads(same_length(raw, number=True)), int | float)


@given(st.text(max_size=40))
def test_normal_forms_are_stable(value: str) -> None:
    assert normal(normal(value)) == normal(value)
