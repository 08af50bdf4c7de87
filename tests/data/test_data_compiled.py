"""Compiled databases: kept in a file, several together, and compiled again where it cannot be read."""

from __future__ import annotations

from pathlib import Path

import hyperscan
import pytest

from leeward.data import compiled
from leeward.data.compiled import databases

SEVERAL = [[("cat", 0, 0), ("dog", 0, 0)], [("bird", 0, 0)]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compiled, "_SMALL", 0)
    tmp_path.chmod(0o700)
    return tmp_path


def reports(database: hyperscan.Database, data: bytes) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    database.scan(data, match_event_handler=lambda number, _start, end, _flags, _context: found.append((number, end)))
    return found


def test_several_are_kept_in_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    databases(SEVERAL, folder)
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(compiled, "compile_all", None)
    first, second = databases(SEVERAL, folder)
    assert reports(first, b"a dog, a cat, a bird") == [(1, 5), (0, 12)]
    assert reports(second, b"a dog, a cat, a bird") == [(0, 20)]


@pytest.mark.parametrize("content", [b"", b"no such thing", b"\x91\xa4text", b"\x92\xc4\x01x\xc4\x01y"])
def test_what_cannot_be_read_is_compiled_again(folder: Path, content: bytes) -> None:
    databases(SEVERAL, folder)
    [path] = folder.iterdir()
    path.write_bytes(content)
    first, _ = databases(SEVERAL, folder)
    assert reports(first, b"cat") == [(0, 3)]
