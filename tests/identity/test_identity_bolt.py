"""The bbolt reader: what it finds in well-made files, and that nothing else can make it raise, loop or read on."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_bolt import bolt_bytes, meta_page, write_bolt

from leeward.identity.bolt import Bucket, fnv1a, read_bolt

TREE: dict[bytes, Any] = {
    b"v1": {
        b"default": {
            b"containers": {b"c%03d" % n: {b"image": b"img%d" % n, b"labels": {b"k": b"v%d" % n}} for n in range(60)},
            b"big": {b"spec": b"S" * 50_000, b"small": b"s"},
            b"empty": {},
        }
    },
    b"plain": b"value",
}


def ask(path: Path, counters: Counter[str] | None = None) -> dict[str, Any] | None:
    def question(root: Bucket) -> dict[str, Any]:
        found: dict[str, Any] = {"plain": root.get(b"plain"), "none": root.get(b"nope"), "bucket": root.get(b"v1")}
        here = root.bucket(b"v1", b"default")
        if here is None:
            return found
        found["images"] = []
        for n in (0, 1, 31, 59, 60):
            one = here.bucket(b"containers", f"c{n:03}".encode())
            found["images"].append(one.get(b"image") if one else None)
        labels = here.bucket(b"containers", b"c007", b"labels")
        found["labels"] = dict(labels.items(5)) if labels else None
        big = here.bucket(b"big")
        found["big"] = {key: len(value) for key, value in big.items(5)} if big else None
        empty = here.bucket(b"empty")
        found["empty"] = list(empty.items(5)) if empty else None
        return found

    return read_bolt(path, question, Counter() if counters is None else counters)


EXPECTED = {
    "plain": b"value",
    "none": None,
    "bucket": None,
    "images": [b"img0", b"img1", b"img31", b"img59", None],
    "labels": {b"k": b"v7"},
    "big": {b"spec": 50_000, b"small": 1},
    "empty": [],
}


@pytest.mark.parametrize("page_size", [1024, 4096, 65536])
@pytest.mark.parametrize("fanout", [2, 5, 64])
@pytest.mark.parametrize("inline", [True, False])
def test_finds_what_is_there(tmp_path: Path, page_size: int, fanout: int, inline: bool) -> None:
    write_bolt(tmp_path / "db", TREE, page_size=page_size, fanout=fanout, inline=inline)
    assert ask(tmp_path / "db") == EXPECTED


@pytest.mark.parametrize("page_size", [1024, 4096])
def test_a_torn_meta_page_leaves_the_other(tmp_path: Path, page_size: int) -> None:
    data = bytearray(bolt_bytes(TREE, page_size=page_size))
    data[page_size : 2 * page_size] = meta_page(1, page_size, struct.unpack_from("<Q", data, 32)[0], 1000, 5)
    data[40] ^= 1  # page 0's root moved without its checksum
    (tmp_path / "db").write_bytes(data)
    assert ask(tmp_path / "db") == EXPECTED


def test_checksum() -> None:
    assert fnv1a(b"") == 0xCBF29CE484222325
    assert fnv1a(b"foobar") == 0x85944171F73967E8  # draft-eastlake-fnv, test vectors


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"\0" * 8192, bolt_bytes(TREE)[:4096]])
def test_what_is_no_database_is_counted(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "db").write_bytes(data)
    counters: Counter[str] = Counter()
    assert ask(tmp_path / "db", counters) is None
    assert counters == {"bolt_malformed": 2}
    assert ask(tmp_path / "none", counters) is None
    assert counters["bolt_gone"] == 1


def test_a_cycle_ends(tmp_path: Path) -> None:
    """A branch page that is its own child."""
    branch = struct.pack("<QHHI", 3, 1, 1, 0) + struct.pack("<IIQ", 16, 0, 3)
    data = meta_page(0, 4096, 3, 4, 1) + meta_page(1, 4096, 3, 4, 2) + b"\0" * 4096 + branch.ljust(4096, b"\0")
    (tmp_path / "db").write_bytes(data)
    counters: Counter[str] = Counter()
    assert ask(tmp_path / "db", counters) is None
    assert read_bolt(tmp_path / "db", lambda root: list(root.items(5)), counters) is None
    assert counters == {"bolt_malformed": 4}


def test_an_answer_from_between_two_transactions_is_asked_again(tmp_path: Path) -> None:
    path, counters, rounds = tmp_path / "db", Counter[str](), [0]
    data = bytearray(bolt_bytes(TREE))
    path.write_bytes(data)

    def question(root: Bucket) -> bytes | None:
        rounds[0] += 1
        if rounds[0] == 1:
            data[4096:8192] = meta_page(1, 4096, struct.unpack_from("<Q", data, 32)[0], 1000, 8)
            path.write_bytes(data)
        return root.get(b"plain")

    assert read_bolt(path, question, counters) == b"value"
    assert (rounds[0], counters) == (2, {"bolt_written_meanwhile": 1})


_C007 = {b"labels": {b"k": b"v"}, b"image": b"i"}
_SMALL = {b"v1": {b"default": {b"containers": {b"c007": _C007}, b"big": {b"x": b"y"}}}}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(8192, 1024 * 40), st.binary(min_size=1, max_size=8)), max_size=6), st.booleans())
def test_any_damage(tmp_path: Path, damage: list[tuple[int, bytes]], inline: bool) -> None:
    data = bytearray(bolt_bytes(_SMALL, fanout=2, inline=inline))
    for at, junk in damage:
        at %= len(data)
        data[at : at + len(junk)] = junk
    (tmp_path / "db").write_bytes(data)
    ask(tmp_path / "db")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=4096))
def test_any_page(tmp_path: Path, page: bytes) -> None:
    """Valid meta pages, and any bytes as the root page."""
    for flags in (1, 2):
        body = struct.pack("<QHHI", 3, flags, 3, 0) + page
        metas = meta_page(0, 4096, 3, 4, 1) + meta_page(1, 4096, 3, 4, 2)
        (tmp_path / "db").write_bytes(metas + b"\0" * 4096 + body)
        ask(tmp_path / "db")
