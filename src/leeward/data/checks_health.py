"""Checksums of the numbers that health systems give to people and to those who treat them. See checks.py."""

from __future__ import annotations

import re
from collections.abc import Callable

Check = Callable[[str], bool]

_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]")
_MEDICARE_AU = (1, 3, 7, 9, 1, 3, 7, 9)


def _compact(value: str) -> str:
    return _NOT_ALNUM.sub("", value).upper()


def _digit_sum(number: int) -> int:
    return number // 10 + number % 10


def dea(value: str) -> bool:
    """Registration of a prescriber with the US Drug Enforcement Administration: two characters, six digits and a check digit."""
    d = [int(c) for c in _compact(value)[2:] if c.isdecimal()]
    return len(d) == 7 and any(d) and (d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10 == d[6]


def npi(value: str) -> bool:
    """US National Provider Identifier: ten digits, Luhn over them with 80840 in front (45 CFR 162.406)."""
    digits = _compact(value)
    if len(digits) != 10 or digits[0] not in "12" or not digits.isdecimal():
        return False
    numbers = [int(c) for c in "80840" + digits]
    return (sum(numbers[-1::-2]) + sum(_digit_sum(n * 2) for n in numbers[-2::-2])) % 10 == 0


def kvnr(value: str) -> bool:
    """German Krankenversichertennummer (§ 290 SGB V): a letter, eight digits, and a check digit as in the Luhn scheme."""
    compact = _compact(value)
    if len(compact) != 10 or not compact[1:].isdecimal() or not "A" <= compact[0] <= "Z":
        return False
    numbers = [int(c) for c in f"{ord(compact[0]) - 64:02}{compact[1:9]}"]
    return sum(_digit_sum(n * (1 + i % 2)) for i, n in enumerate(numbers)) % 10 == int(compact[9])


def medicare_au(value: str) -> bool:
    """Australian Medicare card number: eight digits, a check digit, the issue."""
    digits = _compact(value)
    if len(digits) not in (10, 11) or not digits.isdecimal() or digits[0] not in "23456":
        return False
    return sum(w * int(c) for w, c in zip(_MEDICARE_AU, digits, strict=False)) % 10 == int(digits[8])


def cns_br(value: str) -> bool:
    """Brazilian Cartão Nacional de Saúde: 15 digits, weighted sum divisible by eleven."""
    digits = _compact(value)
    if len(digits) != 15 or not digits.isdecimal() or digits[0] not in "12789":
        return False
    return sum(int(c) * (15 - i) for i, c in enumerate(digits)) % 11 == 0


def record_number(value: str) -> bool:
    """Four digits or more, not all the same, and no year."""
    digits = [c for c in value if c.isdecimal()]
    return len(digits) >= 4 and len(set(digits)) > 1 and not re.fullmatch(r"(?:19|20)[0-9]{2}", value)


SIMPLE: dict[str, Check] = {check.__name__: check for check in (dea, npi, kvnr, medicare_au, cns_br, record_number)}
