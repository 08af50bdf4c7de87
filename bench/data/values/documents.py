"""Passports and driving licences by the formats that the issuers publish; they have few checksums, so the words around count."""

from __future__ import annotations

from random import Random

from bench.data.grammar import render
from bench.data.values.national_europe import birthday

PASSPORTS = {
    "us": "([0-9]{9}|[A-Z][0-9]{8})",
    "gb": "[0-9]{9}",
    "de": "[CFGHJK][CFGHJKLMNPRTVWXYZ0-9]{8}",
    "fr": "[0-9]{2}[A-Z]{2}[0-9]{5}",
    "it": "[A-Z]{2}[0-9]{7}",
    "es": "[A-Z]{3}[0-9]{6}",
    "nl": "[A-NP-Z]{2}[A-NP-Z0-9]{6}[0-9]",
    "pl": "[A-Z]{2}[0-9]{7}",
    "pt": "[A-Z]{2}[0-9]{6}",
    "in": "[A-PR-WY][1-9][0-9]{5}[1-9]",
    "ca": "[A-Z]{2}[0-9]{6}",
    "au": "[NPE][A-Z]?[0-9]{7}".replace("?", "{0,1}"),
    "jp": "[TM][A-Z][0-9]{7}",
    "cn": "E[A-HJ-NP-Z0-9][0-9]{7}",
    "kr": "M[0-9]{8}",
    "br": "[A-Z]{2}[0-9]{6}",
}
PASSPORT_WORDS = {
    "us": ("passport number", "US passport", "Passport No."),
    "gb": ("passport number", "UK passport no", "British passport"),
    "de": ("Reisepassnummer", "Passnummer", "Reisepass-Nr."),
    "fr": ("numéro de passeport", "passeport n°"),
    "it": ("numero di passaporto", "passaporto n."),
    "es": ("número de pasaporte", "pasaporte"),
    "nl": ("paspoortnummer", "paspoort nr."),
    "pl": ("numer paszportu", "paszport nr"),
    "pt": ("número do passaporte", "passaporte"),
    "in": ("passport number", "Indian passport no."),
    "ca": ("passport number", "Canadian passport"),
    "au": ("passport number", "Australian passport"),
    "jp": ("passport number", "旅券番号"),
    "cn": ("passport number", "护照号码"),
    "kr": ("passport number", "여권번호"),
    "br": ("número do passaporte", "passaporte"),
}
LICENCES = {
    "us": "([A-Z][0-9]{7}|[A-Z][0-9]{12}|[0-9]{8}|[A-Z][0-9]{3}-[0-9]{4}-[0-9]{4}|[A-Z][0-9]{14}|[A-Z]{2}[0-9]{6}[A-Z])",
    "de": "[A-Z0-9][0-9]{2}[A-Z0-9]{6}[0-9][A-Z0-9]",
    "fr": "[0-9]{2}[01][0-9][0-9]{8}",
    "it": "[A-Z]{2}[0-9]{7}[A-Z]",
    "es": "[0-9]{8}[A-Z]",
    "nl": "[1-9][0-9]{9}",
    "ca": "([A-Z][0-9]{4}-[0-9]{5}-[0-9]{5}|[0-9]{6}-[0-9]{3})",
    "au": "[0-9]{8,9}",
    "in": "[A-Z]{2}[0-9]{2} (19|20)[0-9]{2}[0-9]{7}",
}
LICENCE_WORDS = {
    "us": ("driver's license number", "DL#", "driver license", "Driver's License"),
    "gb": ("driving licence number", "driving licence", "DVLA licence no."),
    "de": ("Führerscheinnummer", "Führerschein-Nr."),
    "fr": ("numéro de permis de conduire", "permis de conduire n°"),
    "it": ("numero patente", "patente di guida n."),
    "es": ("permiso de conducir", "carnet de conducir nº"),
    "nl": ("rijbewijsnummer", "rijbewijs nr."),
    "ca": ("driver's licence number", "driver's licence"),
    "au": ("driver licence number", "driver's licence"),
    "in": ("driving licence number", "DL No."),
}
COUNTRIES_OF_LICENCES = tuple(LICENCE_WORDS)


def passport(country: str, random: Random) -> str:
    return render(PASSPORTS[country], random)


def licence(country: str, random: Random) -> str:
    return _uk_licence(random) if country == "gb" else render(LICENCES[country], random)


def _uk_licence(random: Random) -> str:
    """DVLA: five of the surname, decade, month (50 more for women), day, year, initials, and characters of DVLA's own."""
    born = birthday(random)
    surname = render("[BCDFGHJKLMNPRSTVW][AEIOU][LMNRST][KTSDN](9|[AEIOR])", random)
    month = born.month + random.choice((0, 50))
    year = f"{born:%y}"
    return (
        f"{surname}{year[0]}{month:02d}{born:%d}{year[1]}{render('[A-HJ-NPR-TW][A-HJ-NPR-TW9][0-9][A-Z]{2}', random)}"
    )


def mrz_check(text: str) -> str:
    """ICAO 9303: weights 7 3 1."""
    values = (0 if character == "<" else int(character, 36) for character in text)
    return str(sum(value * (7, 3, 1)[at % 3] for at, value in enumerate(values)) % 10)


def mrz(country: str, surname: str, given: str, random: Random) -> tuple[str, str, str]:
    """The two lines of a passport's machine-readable zone and the number that stands in the second."""
    code = {"us": "USA", "gb": "GBR", "de": "D<<", "fr": "FRA", "it": "ITA", "es": "ESP", "nl": "NLD", "pl": "POL"}[
        country
    ]
    number = passport(country, random)[:9].ljust(9, "<")
    born, until = f"{birthday(random):%y%m%d}", f"{random.randint(26, 35)}{random.randint(1, 12):02d}15"
    sex = random.choice("MF")
    optional = "<" * 14
    first = f"P<{code}{surname.upper()}<<{given.upper()}".ljust(44, "<")[:44]
    head = f"{number}{mrz_check(number)}"
    birth, expiry, more = f"{born}{mrz_check(born)}", f"{until}{mrz_check(until)}", f"{optional}{mrz_check(optional)}"
    last = mrz_check(head + birth + expiry + more)
    return first, f"{head}{code}{birth}{sex}{expiry}{more}{last}", number.rstrip("<")
