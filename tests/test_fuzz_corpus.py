"""Every input that the fuzzers kept, once more: no exception, whatever has changed since."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from fuzz.targets import TARGETS  # noqa: E402


@pytest.mark.parametrize("name", list(TARGETS))
def test_corpus(name: str) -> None:
    target = TARGETS[name]
    kept = sorted((ROOT / "fuzz/corpus" / name).glob("*"))
    assert kept or not target.seeds
    for data in (*target.seeds, *(path.read_bytes() for path in kept)):
        target.run(data)
