"""Checks of e-mail addresses and dates of birth, and the list of all checks of contact and health data. See checks.py."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

from leeward.data import checks_health, checks_network, checks_phone

Check = Callable[[str], bool]

_LISTS = Path(__file__).parent / "lists"
_SERVICES = frozenset(["git", "hg", "svn", "aur"])
_BRACKETED = re.compile(r"\s?[\[({<]\s?(?:at|@|arroba|ät|chez|kropka)\s?[\])}>]\s?|\sat\s", re.I)
_DOT = re.compile(
    r"\s?[\[({<]\s?(?:dot|punkt|point|punto|ponto|\.)\s?[\])}>]\s?|\s(?:dot|punkt|point|punto|ponto)\s", re.I
)

_EARLIEST, _LATEST = 1900, 2035
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NUMBER, _WORD = re.compile(r"[0-9]+"), re.compile(r"[^\W\d_]{3,}")

# The first letters that tell a month, January first, in English, German, French, Spanish, Italian, Portuguese, Dutch, Polish,
# Swedish, Danish, Czech, Russian and Turkish.
_MONTHS: tuple[tuple[str, ...], ...] = (
    ("jan", "jän", "gen", "ene", "sty", "led", "янв", "oca"),
    ("feb", "fév", "fev", "lut", "úno", "фев", "şub"),
    ("mar", "mär", "maa", "mrz", "mrt", "bře", "мар"),
    ("apr", "avr", "abr", "kwi", "dub", "апр", "nis"),
    ("may", "mai", "mag", "mei", "maj", "май", "мая", "kvě"),
    ("jun", "juin", "giu", "cze", "červn", "июн", "haz"),
    ("jul", "juil", "lug", "lip", "červenc", "июл", "tem"),
    ("aug", "aoû", "aou", "ago", "sie", "srp", "авг", "ağu"),
    ("sep", "set", "wrz", "zář", "сен", "eyl"),
    ("oct", "okt", "ott", "out", "paź", "říj", "окт", "eki"),
    ("nov", "lis", "ноя", "kas"),
    ("dec", "dez", "dic", "déc", "gru", "pro", "дек", "ara"),
)
_MONTH_OF = {stem: number for number, stems in enumerate(_MONTHS, 1) for stem in stems}


def email(value: str) -> bool:
    """A mailbox in a domain that can have one, and not the account of a service (git@github.com)."""
    local, _, domain = value.rpartition("@")
    labels = domain.lower().split(".")
    return (
        0 < len(local) <= 64
        and len(domain) <= 253
        and local.lower() not in _SERVICES
        and ".." not in local
        and all(label and label[0] != "-" and label[-1] != "-" for label in labels)
        and (labels[-1].startswith("xn--") or labels[-1] in _top_level())
    )


def email_spelled(value: str) -> bool:
    """The same, written `name (at) host (dot) org`."""
    return email(_DOT.sub(".", _BRACKETED.sub("@", value, count=1)))


@functools.cache
def _top_level() -> frozenset[str]:
    lines = (_LISTS / "tlds.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split())


def birth_date(value: str) -> bool:
    """A day of the calendar, in any order of its parts, in the lifetime of somebody who may be alive."""
    numbers = _NUMBER.findall(value)
    word = _WORD.search(value)
    if word is not None:
        month = _month(word.group().lower())
        return len(numbers) == 2 and month > 0 and any(_is_day(y, month, d) for d, y in (numbers, numbers[::-1]))
    if len(numbers) == 1 and len(numbers[0]) == 8:
        digits = numbers[0]
        numbers = [digits[:4], digits[4:6], digits[6:]]
        if not _any_order(numbers):
            numbers = [digits[:2], digits[2:4], digits[4:]]
    return len(numbers) == 3 and _any_order(numbers)


def _any_order(numbers: list[str]) -> bool:
    first, second, third = numbers
    if len(first) == 4:
        return _is_day(first, int(second), third)
    return _is_day(third, int(second), first) or _is_day(third, int(first), second)


def _is_day(year: str, month: int, day: str) -> bool:
    if len(year) == 4:
        known = _EARLIEST <= int(year) <= _LATEST
    else:
        known = len(year) == 2
    return known and 1 <= month <= 12 and len(day) <= 2 and 1 <= int(day) <= _DAYS[month - 1]


def _month(word: str) -> int:
    """The number of a month by the beginning of its name, 0 for another word."""
    return next((_MONTH_OF[word[:size]] for size in (7, 5, 4, 3) if word[:size] in _MONTH_OF), 0)


SIMPLE: dict[str, Check] = {
    "email": email,
    "email_spelled": email_spelled,
    "birth_date": birth_date,
    **checks_phone.SIMPLE,
    **checks_network.SIMPLE,
    **checks_health.SIMPLE,
}
MADE: dict[str, Callable[[str], Check]] = {**checks_phone.MADE}
