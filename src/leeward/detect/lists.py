"""Lists that detectors know names, ports and programs by: `lists/*.yaml`, groups whose use is explained beside them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from leeward.ai.datafile import Schema, load_yaml
from leeward.model.errors import InputError

_HERE = Path(__file__).parent


@functools.cache
def groups(name: str) -> Mapping[str, tuple[str, ...]]:
    """The groups of one of the lists that come with Leeward, by name."""
    return load_groups(_HERE / "lists" / f"{name}.yaml")


def load_groups(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Raises InputError with file and line."""
    found: dict[str, tuple[str, ...]] = {}
    for group in load_yaml(path, Schema.read(_HERE / "lists.schema.json"))["groups"]:
        if group["name"] in found:
            raise InputError(f"{path}:{group.line}: name: {group['name']} stands here twice")
        found[group["name"]] = tuple(group["members"])
    return found
