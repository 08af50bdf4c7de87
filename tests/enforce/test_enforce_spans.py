"""Where strings stand in JSON's bytes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leeward.data.documents import texts_of
from leeward.data.masking import same_length
from leeward.enforce.spans import bytes_of, places

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.booleans(), st.sampled_from([None, 0, 2]), st.data())
def test_each_string_is_found_where_it_stands(value: Any, plain: bool, indent: int | None, data: st.DataObject) -> None:
    raw = json.dumps(value, ensure_ascii=plain, indent=indent).encode()
    texts = texts_of(value)
    found = places(raw, {text.path for text in texts})
    assert set(found) == {text.path for text in texts}
    for text in texts:
        start, end, bare = found[text.path]
        assert bare == text.number
        first = data.draw(st.integers(0, len(text.text)))
        last = data.draw(st.integers(first, len(text.text)))
        ((low, high),) = bytes_of(raw, start, end, [(first, last)])
        piece = raw[low:high].decode()
        assert (piece if bare else json.loads(f'"{piece}"', strict=False)) == text.text[first:last]


@given(JSON, st.booleans(), st.data())
def test_a_masked_document_is_the_same_but_for_the_mask(value: Any, plain: bool, data: st.DataObject) -> None:
    raw = json.dumps(value, ensure_ascii=plain).encode()
    strings = [text for text in texts_of(value) if not text.number]
    if not strings:
        return
    text = data.draw(st.sampled_from(strings))
    start, end, _ = places(raw, {text.path})[text.path]
    ((low, high),) = bytes_of(raw, start, end, [(0, len(text.text))])
    masked = raw[:low] + same_length(raw[low:high]) + raw[high:]
    assert len(masked) == len(raw)
    after = {one.path: one.text for one in texts_of(json.loads(masked))}
    for one in texts_of(value):
        if one.path != text.path:
            assert after[one.path] == one.text


@given(st.binary(max_size=60))
def test_any_bytes(raw: bytes) -> None:
    for start, end, _ in places(raw, {"$", "$.a", "$[0]", "$.a[0]"}).values():
        assert 0 <= start <= end <= len(raw)
        ((low, high),) = bytes_of(raw, start, end, [(0, 2)])
        assert start <= low <= high <= end
