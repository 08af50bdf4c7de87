"""Checks that a value must pass beyond its pattern: checksums, registers of prefixes, randomness.

A check is named in a recognizer's file: a function here (`luhn`, `entropy:3.5`), or the module of python-stdnum for a number
(`stdnum.us.ssn`). Checks are pure, take the value as text and never raise.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from leeward.data import checks_contact, checks_financial, checks_national, checks_secrets
from leeward.data.checks_secrets import entropy
from leeward.data.stdnums import by_stdnum

Check = Callable[[str], bool]
_STDNUM = re.compile(r"stdnum(\.[a-z_0-9]+){1,2}")
_NOT_DIGIT = re.compile(r"[^0-9]")


def find_check(name: str) -> Check:
    """The check of that name. Raises ValueError for one that does not exist."""
    if _STDNUM.fullmatch(name):
        return by_stdnum(name)
    base, _, argument = name.partition(":")
    if base in SIMPLE and not argument:
        return SIMPLE[base]
    if base in MADE and argument:
        return MADE[base](argument)
    known = ", ".join(sorted([*SIMPLE, *(f"{key}:..." for key in MADE)]))
    raise ValueError(f"{name} is no check; known are {known}, stdnum.*")


def digits_of(value: str) -> str:
    """The ASCII digits of a value."""
    return _NOT_DIGIT.sub("", value)


def luhn(value: str) -> bool:
    """ISO/IEC 7812-1 annex B: the check digit of payment cards."""
    numbers = [int(c) for c in digits_of(value)]
    doubled = [n * 2 - 9 * (n > 4) for n in numbers[-2::-2]]
    return bool(numbers) and (sum(numbers[-1::-2]) + sum(doubled)) % 10 == 0


def at_least_entropy(argument: str) -> Check:
    least = float(argument)
    return lambda value: entropy(value) >= least


_PARTS = (checks_contact, checks_financial, checks_national, checks_secrets)
SIMPLE: dict[str, Check] = {"luhn": luhn} | {name: check for part in _PARTS for name, check in part.SIMPLE.items()}
MADE: dict[str, Callable[[str], Check]] = {"entropy": at_least_entropy} | {
    name: make for part in _PARTS for name, make in part.MADE.items()
}
