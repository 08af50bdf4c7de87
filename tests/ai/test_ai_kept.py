"""What is kept for the next start: never believed when it is broken, not ours alone, or made from something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leeward.ai import datafile
from leeward.ai.datafile import Record, Schema, load_yaml
from leeward.ai.kept import cache_folder, keep, read_kept
from leeward.model.errors import InputError

TEXT = "a: 1\nb:\n  - x: [p, q]\n    y: 0.5\n  - z\n"
SCHEMA = Schema({"type": "object"})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache; documents in `ours` are taken for those that come with Leeward."""
    monkeypatch.setenv("LEEWARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datafile, "_OURS", tmp_path / "ours")
    (tmp_path / "ours").mkdir()
    return tmp_path / "cache"


def document(cache: Path, text: str = TEXT) -> Path:
    path = cache.parent / "ours" / "some.yaml"
    path.write_text(text)
    return path


def same(one: object, other: object) -> bool:
    """Equal, and every mapping at the same lines."""
    if isinstance(one, Record) and isinstance(other, Record):
        lines = (one.line, one.lines) == (other.line, other.lines)
        return lines and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_a_kept_document_is_the_parsed_one(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = document(cache)
    parsed = load_yaml(path, SCHEMA)
    monkeypatch.setattr(datafile, "parse_yaml", lambda *_: pytest.fail("parsed again"))
    assert same(load_yaml(path, SCHEMA), parsed)


@pytest.mark.parametrize("harm", [b"", b"\0\0\0\0\x90", b"changed", None])
def test_a_broken_file_is_no_file(cache: Path, harm: bytes | None) -> None:
    path = document(cache)
    parsed = load_yaml(path, SCHEMA)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] if harm is None else harm)
    assert same(load_yaml(path, SCHEMA), parsed)
    assert kept.read_bytes() == whole


def test_another_text_or_schema_is_parsed(cache: Path) -> None:
    path = document(cache)
    load_yaml(path, SCHEMA)
    assert load_yaml(document(cache, "a: 2"), SCHEMA) == {"a": 2}
    with pytest.raises(InputError, match=r"some.yaml:1: a: must be of type string"):
        load_yaml(path, Schema({"type": "object", "properties": {"a": {"type": "string"}}}))


def test_documents_of_the_user_are_not_kept(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    load_yaml(path, SCHEMA)
    assert not cache.exists()


def test_what_others_can_write_is_not_read(cache: Path) -> None:
    assert cache_folder() == cache
    path = cache / "some-1.x"
    keep(path, b"text", 9)
    assert read_kept(path) == b"text"
    path.chmod(0o620)
    assert read_kept(path) is None
    cache.chmod(0o770)
    assert cache_folder() is None


def test_the_longest_unused_leave(cache: Path) -> None:
    cache_folder()
    for number in range(5):
        keep(cache / f"some-{number}.x", b"text", 3)
        os.utime(cache / f"some-{number}.x", (number, number))
    keep(cache / "other-1.x", b"text", 1)
    assert sorted(path.name for path in cache.iterdir()) == ["other-1.x", "some-2.x", "some-3.x", "some-4.x"]
