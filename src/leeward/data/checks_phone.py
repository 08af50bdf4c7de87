"""Telephone numbers: is a piece of text, whose form a pattern has judged already, a number that a country's plan allows?

The plans are those of the library phonenumbers (Google's libphonenumber); its parser is not used, since a recognizer's pattern
has taken the number apart, and matching lengths and prefixes costs a tenth of it. Nothing of a number is kept.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata

Check = Callable[[str], bool]

_EXTENSION = re.compile(r"[\s,;]*(?:\bx|ext|extension|#|durchwahl|dw|poste|interno|int|ramal|anexo|wew|доб)[\s.:]*[0-9]{1,6}$", re.I)
_GLUED = re.compile(r"(?<=[0-9])x[0-9]{1,6}$", re.I)
_NOT_DIGIT = re.compile(r"[^0-9]")
_DATE = re.compile(
    r"(?<![0-9])(?:[0-3]?[0-9][./ -][0-3]?[0-9][./ -](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[./ -][01]?[0-9][./ -][0-3]?[0-9])(?![0-9])"
)
_COMPACT_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_EPOCH = re.compile(r"1[0-9]{9}(?:[0-9]{3})?")  # seconds or milliseconds since 1970, of 2001 to 2033
_COUNTED = "012345678901234567890"  # a placeholder, when nothing stands between the digits
_LONGEST = 15  # digits, ITU-T E.164


def phone_international(value: str) -> bool:
    """Begins with + (or 00, or 011) and a country's code, with as many digits behind it as that country has."""
    if not _plausible(value):
        return False
    number = _without_extension(value)
    digits = _NOT_DIGIT.sub("", number)
    if "+" not in number:
        digits = digits.removeprefix("011") if digits.startswith("011") else digits.removeprefix("00")
    for size in (1, 2, 3):
        plans = _plans(int(digits[:size] or 0))
        if plans:
            return any(_possible(digits[size:], plan) for plan in plans)
    return False


def phone_loose(value: str) -> bool:
    """Could be a number somewhere: where a word beside it says that it is one."""
    number = _without_extension(value)
    other = _EPOCH.fullmatch(value) or _COMPACT_DATE.fullmatch(value) or value in _COUNTED
    return _plausible(value) and not other and 6 <= len(_NOT_DIGIT.sub("", number)) <= _LONGEST


def phone_long(value: str) -> bool:
    """Has so many digits that hardly anything else of this form does: without a word beside it."""
    return 9 <= len(_NOT_DIGIT.sub("", _without_extension(value))) <= 13


def phone_short(value: str) -> bool:
    """Has as many digits as national numbers have."""
    return 7 <= len(_NOT_DIGIT.sub("", _without_extension(value))) <= 13


def of_regions(argument: str) -> Check:
    """Valid as dialled within one of these countries (`DE,AT`)."""
    regions = tuple(argument.split(","))

    def check(value: str) -> bool:
        digits = _NOT_DIGIT.sub("", _without_extension(value))
        return _plausible(value) and any(_valid(digits, region) for region in regions)

    return check


def _without_extension(value: str) -> str:
    return _EXTENSION.sub("", _GLUED.sub("", value))


def _plausible(value: str) -> bool:
    """Brackets in pairs, more than two different digits, no date, no bytes (01 02 03)."""
    digits = _NOT_DIGIT.sub("", value)
    return (
        value.count("(") == value.count(")")
        and len(set(digits)) > 2
        and not digits.startswith("010203")
        and not _DATE.search(value)
    )


@functools.lru_cache(maxsize=512)
def _plans(country_code: int) -> tuple[PhoneMetadata, ...]:
    """The plans of the countries that share this code, the main one first; empty: nobody has it."""
    import phonenumbers

    found = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(country_code, ())[:2]:
        plan = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
        if plan is not None:
            found.append(plan)
    return tuple(found)


def _possible(national: str, plan: PhoneMetadata) -> bool:
    """Has a length that the plan knows, with or without the trunk prefix, as in +49 (0)30."""
    lengths = plan.general_desc.possible_length if plan.general_desc else ()
    if len(national) < 7 and len(national) not in lengths[:1]:
        return False
    prefix = plan.national_prefix
    return len(national) in lengths or bool(prefix and national.startswith(prefix) and len(national) - len(prefix) in lengths)


@functools.lru_cache(maxsize=512)
def _numbers(region: str) -> tuple[re.Pattern[str], str]:
    """What the numbers of a country look like, and its trunk prefix."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None:
        raise ValueError(f"{region} is no country with telephones")
    kinds = (plan.fixed_line, plan.mobile, plan.toll_free, plan.shared_cost, plan.premium_rate, plan.voip, plan.uan)
    forms = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return re.compile("|".join(f"(?:{form})" for form in forms)), plan.national_prefix or ""


def _valid(digits: str, region: str) -> bool:
    numbers, prefix = _numbers(region)
    if prefix and digits.startswith(prefix) and numbers.fullmatch(digits, len(prefix)):
        return True
    return numbers.fullmatch(digits) is not None


SIMPLE: dict[str, Check] = {"phone_international": phone_international, "phone_loose": phone_loose, "phone_long": phone_long, "phone_short": phone_short}
MADE: dict[str, Callable[[str], Check]] = {"phone": of_regions}
