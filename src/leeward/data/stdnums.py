"""Checks of python-stdnum. Each is loaded when the first value needs it: a start needs none of the many that recognizers name."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

_CHECK = re.compile(rb"^(?:def is_valid\(|from .* import .*\bis_valid\b)", re.MULTILINE)


def by_stdnum(name: str, **options: bool) -> Callable[[str], bool]:
    """The check of a module (`stdnum.us.ssn`). Raises ValueError when there is none."""
    if not _has_check(name):
        raise ValueError(f"python-stdnum has no {name}")
    return lambda value: bool(_check(name)(value, **options))


@functools.cache
def _check(name: str) -> Callable[..., bool]:
    check: Callable[..., bool] = importlib.import_module(name).is_valid
    return check


def _has_check(name: str) -> bool:
    """By the module's source: finding out by loading it would load the rest too."""
    path = _folder().joinpath(*name.split(".")[1:]).with_suffix(".py")
    return path.exists() and _CHECK.search(path.read_bytes()) is not None


@functools.cache
def _folder() -> Path:
    found = importlib.util.find_spec("stdnum")
    if found is None or found.origin is None:
        raise ValueError("python-stdnum is not installed")
    return Path(found.origin).parent
