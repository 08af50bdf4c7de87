"""Tests that need root say so where it is missing; networks of their own in namespaces."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if os.geteuid() != 0 and HERE in item.path.parents and item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with nothing but its loopback."""
    name = f"lw-enforce-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
