"""HPACK: other implementations' stories, late joiners, and any bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from leeward.wire.hpack import UNKNOWN, HpackDecoder

STORIES = Path("/work/shared/data/hpack")
names = st.sampled_from(["content-type", "x-a", "x-b", ":path", "cookie", "user-agent", "x-longer-name-than-most"])
headers = st.lists(st.tuples(names, st.text("abcé 0", max_size=12)), max_size=6)


@pytest.mark.parametrize("folder", sorted(p.name for p in STORIES.glob("*/")) if STORIES.exists() else [])
def test_stories(folder: str) -> None:
    for path in sorted((STORIES / folder).glob("story_*.json")):
        decoder = HpackDecoder()
        for case in json.loads(path.read_text())["cases"]:
            wanted = [next(iter(h.items())) for h in case["headers"]]
            if "header_table_size" in case:
                decoder.allow(case["header_table_size"])
            assert decoder.decode(bytes.fromhex(case["wire"])) == wanted, (path, case["seqno"])


def test_there_are_stories() -> None:
    if not STORIES.exists():
        pytest.skip(f"{STORIES} is absent")
    assert len(list(STORIES.glob("*/story_*.json"))) > 30


@given(st.lists(headers, min_size=1, max_size=12), st.integers(0, 11))
def test_late_joiner(lists: list[list[tuple[str, str]]], join: int) -> None:
    """What is known is right, the rest is said to be unknown; nothing is guessed."""
    encoder, late = Encoder(), HpackDecoder()
    late.lose()
    for number, wanted in enumerate(lists):
        block = encoder.encode([(n.encode(), v.encode()) for n, v in wanted])
        if number < join:
            continue
        found = late.decode(block)
        assert found is not None
        assert len(found) == len(wanted)
        for header, (name, value) in zip(found, wanted, strict=True):
            truth = (name, value.encode().decode("latin-1"))
            assert header in (truth, UNKNOWN, ("", truth[1]))


@given(st.lists(st.binary(max_size=60), max_size=10), st.booleans())
def test_any_bytes(blocks: list[bytes], late: bool) -> None:
    decoder = HpackDecoder(limit=2048)
    if late:
        decoder.lose()
    for block in blocks:
        found = decoder.decode(block)
        assert found is None or sum(len(n) + len(v) for n, v in found) <= 2048


def test_a_reference_bomb_is_cut() -> None:
    """Small references to one large entry: the list's size is what is bounded, not the block's."""
    entry = b"\x40\x01a" + b"\x7f\xe9\x16" + b"x" * 3000
    assert HpackDecoder(limit=8192).decode(entry + b"\xbe" * 100) is None
