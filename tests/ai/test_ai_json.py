"""Tolerant JSON: what is valid stays as it is, what is cut or broken is read as far as it goes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.jsontext import Slice, clean, dumps, load, repair

SUITE = Path(__file__).parents[3] / "shared" / "data" / "json" / "test_parsing"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=12,
)
CUTS = [
    (
        '{"model":"gpt","messages":[{"role":"user","content":"Hel',
        {"model": "gpt", "messages": [{"role": "user", "content": "Hel"}]},
    ),
    ('{"a":1,"b":{"c":[1,2,', {"a": 1, "b": {"c": [1, 2]}}),
    ('{"a":1,"b":12', {"a": 1}),
    ('{"a":1,"b":tru', {"a": 1}),
    ('{"a":1,"b":', {"a": 1}),
    ('{"a":1,"b"', {"a": 1}),
    ('{"a":1,"bc', {"a": 1}),
    ('{"a":1,', {"a": 1}),
    ('{"a":"x\\', {"a": "x"}),
    ('{"a":"x\\\\', {"a": "x\\"}),
    ('{"a":"x\\u00', {"a": "x"}),
    ('{"a":"x\\ud83d', {"a": "x"}),
    ('{"a":"x\\ud83d\\ude0', {"a": "x"}),
    ('{"a":"\\\\ud83d', {"a": "\\ud83d"}),
    ('{"a":"q\\"', {"a": 'q"'}),
    ("{", {}),
    ("[[[", [[[]]]),
    ('"abc', "abc"),
    ("", None),
    ("<html>", None),
    ('{"a":1}}', {"a": 1}),
    ('{"a":1} trailing', {"a": 1}),
    ('{"a":1 "b":2}', {"a": 1}),
    ('{"a":[1,,2],"b":3}', {"a": [1]}),
    ('{"a":NaN,"b":-Infinity,"c":1e999,"d":2}', {"a": None, "b": None, "c": None, "d": 2}),
    ('{"a":"\\ud800 x","b":"\\x"}', {"a": "\ufffd x", "b": "\\x"}),
    ('{"a":"tab\there"}', {"a": "tab\there"}),
    ('\ufeff{"a":1}', {"a": 1}),
]


@pytest.mark.parametrize(("text", "value"), CUTS)
def test_cut_and_broken_documents(text: str, value: Any) -> None:
    assert load(text).value == value


def test_utf8_cut_in_the_middle_of_a_character() -> None:
    body = '{"a":"é😀'.encode()
    assert [load(body[:-back]).value for back in (1, 2, 3, 4)] == [{"a": "é"}] * 4
    assert load(body[:-5]).value == {"a": ""}


def test_huge_numbers_and_depth_bombs() -> None:
    assert load(b'{"n":1' + b"0" * 9000 + b',"m":2}').value == {"n": None, "m": 2}
    for opener in (b"[", b'{"a":'):
        found = load(opener * 100_000)
        assert found.value is not None
        assert msgspec.json.encode(found.value)
    deep = load(b"[" * 900 + b"]" * 900).value
    assert len(dumps(deep)) < 200
    assert clean(deep, 2) == [[None]]


@given(VALUES)
def test_valid_json_is_read_as_it_is(value: Any) -> None:
    text = json.dumps(value)
    found = load(text)
    if found.exact:
        assert found.value == json.loads(text)
    again = load(repair(text.encode())).value
    assert again == found.value or not isinstance(value, dict | list)


@given(VALUES, st.integers(0, 400), st.booleans())
def test_every_prefix_can_be_read(value: Any, cut: int, ascii_only: bool) -> None:
    body = json.dumps({"v": value, "w": [value]}, ensure_ascii=ascii_only).encode("utf-8", "replace")[:cut]
    found = load(body)
    assert msgspec.json.encode(found.value) is not None
    assert found.value is None or isinstance(found.value, dict)


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    msgspec.json.encode(load(body).value)
    msgspec.json.encode(load(b'{"a":[' + body).value)


@given(st.text(alphabet='{}[]:,"\\u0d8e1-.ntf ', max_size=60))
def test_repair_gives_json_or_nothing(text: str) -> None:
    mended = repair(text.encode())
    if mended:
        json.loads(mended)


def test_slices_are_the_original_text() -> None:
    text = b'{"m": [ {"input": {"b" : 1.0,  "a":"\\u00e9"} }, 2 ]}'
    assert Slice(text).at("m", 0, "input").text() == '{"b" : 1.0,  "a":"\\u00e9"}'
    assert Slice(text).at("m", 7, "input").text() == ""
    assert Slice(text).at("x").text() == ""
    assert Slice(b"{broken").at("x").text() == ""


@pytest.mark.skipif(not SUITE.is_dir(), reason="shared/data/json is absent")
def test_json_test_suite() -> None:
    seen = 0
    for path in sorted(SUITE.glob("*.json")):
        body = path.read_bytes()
        found = load(body)
        msgspec.json.encode(found.value)
        seen += 1
        if path.name.startswith("y_"):
            assert found.value == json.loads(body) or not found.exact, path.name
        if path.name.startswith("n_") and not path.name.startswith("n_structure_100000"):
            assert not found.exact, path.name
    assert seen > 300


def test_repair_is_linear() -> None:
    """A megabyte that is all escapes, all tokens or one open string: seconds would mean that it is not."""
    for body in (
        b'{"a":"' + b'\\"' * 500_000,
        b"[" + b"1," * 500_000,
        b'{"a":"' + b"x" * 1_000_000,
        b'{"a":"' + b"\\" * 999_999,
    ):
        began = time.perf_counter()
        load(body)
        assert time.perf_counter() - began < 5
