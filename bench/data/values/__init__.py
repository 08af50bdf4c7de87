"""Generators of values, one module a family. Those that need no Faker run in every environment, so that tests reach them."""

from __future__ import annotations

from pathlib import Path


def listed(name: str) -> tuple[str, ...]:
    """The lines of `lists/<name>.txt`."""
    return tuple((Path(__file__).parent / "lists" / f"{name}.txt").read_text(encoding="utf-8").splitlines())
