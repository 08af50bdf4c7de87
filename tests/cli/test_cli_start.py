"""What a start does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("command", "later"),
    [("exec", ["duckdb", "yaml", "stdnum", "leeward.data.custom"]), ("classify", ["duckdb", "yaml", "fastapi"])],
)
def test_what_only_some_starts_need_is_loaded_by_them(command: str, later: list[str]) -> None:
    code = f"import sys, leeward.cli.{command}; print(*[name for name in {later} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
