"""Persons, addresses, organisations, phones and dates of birth by Faker, in many locales; only in `.venv-presidio`."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from random import Random

import phonenumbers
from faker import Faker

from bench.data.values.national_europe import birthday

# Locales by the language of the template.
LOCALES: dict[str, tuple[str, ...]] = {
    "en": (
        "en_US",
        "en_US",
        "en_GB",
        "en_CA",
        "en_AU",
        "en_IN",
        "en_IE",
        "en_NZ",
        "de_DE",
        "fr_FR",
        "es_ES",
        "it_IT",
        "pl_PL",
        "sv_SE",
    ),
    "de": ("de_DE", "de_DE", "de_AT", "de_CH"),
    "fr": ("fr_FR", "fr_FR", "fr_CA", "fr_CH"),
    "es": ("es_ES", "es_ES", "es_MX", "es_AR", "es_CO", "es_CL"),
    "it": ("it_IT",),
    "pt": ("pt_BR", "pt_PT"),
    "nl": ("nl_NL", "nl_BE"),
    "pl": ("pl_PL",),
    "sv": ("sv_SE",),
    "da": ("da_DK",),
    "no": ("no_NO",),
    "fi": ("fi_FI",),
    "cs": ("cs_CZ",),
    "ro": ("ro_RO",),
    "tr": ("tr_TR",),
    "ru": ("ru_RU",),
    "uk": ("uk_UA",),
    "el": ("el_GR",),
    "ja": ("ja_JP",),
    "zh": ("zh_CN",),
    "ko": ("ko_KR",),
}
SURNAME_FIRST = ("ja_JP", "zh_CN", "ko_KR")
# Where the names of presidio-evaluator's templates come from.
NAMES = (
    "en_US",
    "en_US",
    "en_GB",
    "en_CA",
    "en_AU",
    "en_IN",
    "en_IE",
    "de_DE",
    "fr_FR",
    "es_ES",
    "es_MX",
    "it_IT",
    "pt_BR",
    "nl_NL",
)
NAMES += ("pl_PL", "sv_SE", "da_DK", "no_NO", "fi_FI", "cs_CZ", "ro_RO", "hu_HU", "tr_TR")
MAIL_HOSTS = (
    "gmail.com",
    "outlook.com",
    "yahoo.com",
    "gmx.de",
    "proton.me",
    "icloud.com",
    "web.de",
    "orange.fr",
    "libero.it",
    "wp.pl",
)


@functools.cache
def _faker(locale: str) -> Faker:
    return Faker(locale)


def faker(locale: str, random: Random) -> Faker:
    """The generator of a locale, its next values decided by `random`."""
    made = _faker(locale)
    made.seed_instance(random.getrandbits(63))
    return made


@dataclass(frozen=True, slots=True)
class Persona:
    first: str
    last: str
    full: str
    email: str


def _ascii(text: str) -> str:
    plain = text.translate(
        str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae", "ı": "i", "đ": "d"})
    )
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "info"


def persona(locale: str, random: Random) -> Persona:
    source = faker(locale, random)
    first, last = source.first_name(), source.last_name()
    host = random.choice(MAIL_HOSTS) if random.random() < 0.5 else source.domain_name()
    user = random.choice(
        (
            f"{_ascii(first)}.{_ascii(last)}",
            f"{_ascii(first)[0]}{_ascii(last)}",
            f"{_ascii(last)}{random.randint(1, 99)}",
        )
    )
    full = f"{last}{' ' if locale == 'ja_JP' else ''}{first}" if locale in SURNAME_FIRST else f"{first} {last}"
    return Persona(first, last, full, f"{user}@{host}")


def address(locale: str, random: Random) -> str:
    """A whole postal address, on lines as the locale writes it or, more often here, on one."""
    text = faker(locale, random).address().strip()
    return text if random.random() < 0.3 else re.sub(r"\s*\n\s*", ", ", text)


def city(locale: str, random: Random) -> str:
    return str(faker(locale, random).city()).strip()


def country(locale: str, random: Random) -> str:
    return str(faker(locale, random).country()).strip()


def street(locale: str, random: Random) -> str:
    return str(faker(locale, random).street_address()).replace("\n", " ").strip()


def company(locale: str, random: Random) -> str:
    return str(faker(locale, random).company()).strip()


def job(locale: str, random: Random) -> str:
    return str(faker(locale, random).job()).lower()


def phone(locale: str, random: Random) -> str:
    """As Faker's locale writes it, or a number that numbering plans allow, written in one of the ways that people use."""
    if random.random() < 0.4:
        return str(faker(locale, random).phone_number()).strip()
    number = _valid_number(locale[-2:], random)
    formats = phonenumbers.PhoneNumberFormat
    choice = random.choice((formats.E164, formats.INTERNATIONAL, formats.INTERNATIONAL, formats.NATIONAL))
    text = phonenumbers.format_number(number, choice)
    if random.random() < 0.2:
        text = re.sub(r"[ -]", random.choice((".", "-")), text)
    return text


def _valid_number(region: str, random: Random) -> phonenumbers.PhoneNumber:
    kind = random.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
    example = phonenumbers.example_number_for_type(region, kind)
    text = phonenumbers.national_significant_number(example)
    for _ in range(200):
        keep = random.randint(2, 4)
        changed = text[:keep] + "".join(random.choice("0123456789") for _ in text[keep:])
        zero = True if changed.startswith("0") else None  # Italy's belongs to the number
        number = phonenumbers.PhoneNumber(example.country_code, int(changed), italian_leading_zero=zero)
        if phonenumbers.is_valid_number(number):
            return number
    return example


_DATE_FORMS = {
    "en_US": ("%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%m-%d-%Y"),
    "en": ("%d/%m/%Y", "%Y-%m-%d", "%d %B %Y"),
    "de": ("%d.%m.%Y", "%Y-%m-%d"),
    "fr": ("%d/%m/%Y", "%Y-%m-%d"),
    "nl": ("%d-%m-%Y", "%Y-%m-%d"),
    "sv": ("%Y-%m-%d",),
    "pl": ("%d.%m.%Y", "%Y-%m-%d"),
    "cs": ("%d.%m.%Y",),
}


def written_date(day: date, locale: str, random: Random) -> str:
    forms = _DATE_FORMS.get(locale) or _DATE_FORMS.get(locale[:2]) or ("%d/%m/%Y", "%Y-%m-%d")
    return day.strftime(random.choice(forms))


def date_of_birth(locale: str, random: Random) -> str:
    return written_date(birthday(random, 1935, 2012), locale, random)
