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

_EXTENSION = re.compile(
    r"(?:[\s,;]*(?:\bx|ext|extension|#|durchwahl|dw|poste|interno|int|ramal|anexo|wew|доб)[\s.:]*|(?<=[0-9])x)[0-9]{1,6}$",
    re.I,
)
_NOT_DIGIT = re.compile(r"[^0-9]")
_DATE = re.compile(
    r"(?<![0-9])(?:[0-3]?[0-9][./ -][0-3]?[0-9][./ -](?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}[./ -][01]?[0-9][./ -][0-3]?[0-9])(?![0-9])"
)
_COMPACT_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_EPOCH = re.compile(r"1[0-9]{9}(?:[0-9]{3})?")  # seconds or milliseconds since 1970, of 2001 to 2033
_COUNTED = "012345678901234567890"  # a placeholder, when nothing stands between the digits
_SHORTEST, _LONGEST = 6, 15  # digits: behind a country's code; of all (ITU-T E.164)
_REGION = re.compile(r"[A-Z]{2}")


def phone_international(value: str) -> bool:
    """Begins with + (or 00, or 011) and a country's code, with as many digits behind it as that country has."""
    digits = _digits(value)
    if "+" not in value:
        digits = digits.removeprefix("011") if digits.startswith("011") else digits.removeprefix("00")
    plans = next(filter(None, (_plans(digits[:size]) for size in (1, 2, 3))), ())
    return _plausible(value) and any(_possible(digits, plan) for plan in plans)


def phone_loose(value: str) -> bool:
    """Could be a number somewhere: where its form, or a word beside it, says that it is one."""
    other = _EPOCH.fullmatch(value) or _COMPACT_DATE.fullmatch(value) or value in _COUNTED
    return _plausible(value) and not other and 6 <= len(_digits(value)) <= _LONGEST


def phone_long(value: str) -> bool:
    """Has so many digits that hardly anything else of this form does: without a word beside it."""
    return 9 <= len(_digits(value)) <= 13


def phone_short(value: str) -> bool:
    """Has as many digits as national numbers have."""
    return 7 <= len(_digits(value)) <= 13


def of_regions(argument: str) -> Check:
    """Valid as dialled within one of these countries (`DE,AT`, ISO 3166-1). Raises ValueError for no list of countries."""
    regions = tuple(argument.split(","))
    if not all(_REGION.fullmatch(region) for region in regions):
        raise ValueError(f"{argument} is no list of countries such as DE,AT")

    def check(value: str) -> bool:
        digits = _digits(value)
        return _plausible(value) and any(_valid(digits, region) for region in regions)

    return check


def _digits(value: str) -> str:
    """Those of a number, without its extension."""
    return _NOT_DIGIT.sub("", _EXTENSION.sub("", value))


def _plausible(value: str) -> bool:
    """Brackets in pairs, more than two different digits, no date, no bytes (01 02 03)."""
    digits = _digits(value)
    return (
        value.count("(") == value.count(")")
        and len(set(digits)) > 2
        and not digits.startswith("010203")
        and not _DATE.search(value)
    )


@functools.lru_cache(maxsize=1200)
def _plans(country_code: str) -> tuple[PhoneMetadata, ...]:
    """The plans of the countries that share this code (1 to 3 digits), the main one first; empty: nobody has it."""
    import phonenumbers  # takes 60 ms: only for texts with numbers

    code = int(country_code or 0)
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ())[:2]
    plans = (phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region) for region in regions)
    return tuple(plan for plan in plans if plan is not None)


def _possible(digits: str, plan: PhoneMetadata) -> bool:
    """The digits behind the country's code are as many as the plan has, with or without the trunk prefix, as in +49 (0)30."""
    national = digits[len(str(plan.country_code)) :]
    lengths = plan.general_desc.possible_length if plan.general_desc else ()
    trunk = len(plan.national_prefix or "") if national.startswith(plan.national_prefix or "-") else 0
    return len(national) >= _SHORTEST and (len(national) in lengths or len(national) - trunk in lengths)


@functools.lru_cache(maxsize=512)
def _numbers(region: str) -> tuple[re.Pattern[str], str]:
    """What the numbers of a country look like, and its trunk prefix."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None:
        return re.compile("(?!)"), ""
    kinds = (plan.fixed_line, plan.mobile, plan.toll_free, plan.shared_cost, plan.premium_rate, plan.voip, plan.uan)
    forms = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return re.compile("|".join(f"(?:{form})" for form in forms)), plan.national_prefix or ""


def _valid(digits: str, region: str) -> bool:
    numbers, trunk = _numbers(region)
    if trunk and digits.startswith(trunk) and numbers.fullmatch(digits, len(trunk)):
        return True
    return numbers.fullmatch(digits) is not None


SIMPLE: dict[str, Check] = {
    check.__name__: check for check in (phone_international, phone_loose, phone_long, phone_short)
}
MADE: dict[str, Callable[[str], Check]] = {"phone": of_regions}
