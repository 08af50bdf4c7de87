"""Checks of credentials: placeholders, checksums that issuers put into their tokens. See checks.py."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[str], bool]

SIMPLE: dict[str, Check] = {}
MADE: dict[str, Callable[[str], Check]] = {}
