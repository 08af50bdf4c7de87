"""What the corpus `ids` asks for, one thing at a time: a value, and what people call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from bench.data.pieces import Piece, labelled
from bench.data.values import documents, finance, health, national, network, people


@dataclass(frozen=True, slots=True)
class Item:
    """name: `family.form`, which decides the half. bare: whether the value is known without a word. locale: of its words."""

    name: str
    words: tuple[str, ...]
    make: Callable[[Random], Piece]
    bare: bool
    locale: str = "en_US"


_CARD = (
    "card number",
    "credit card",
    "credit card number",
    "Kreditkartennummer",
    "numéro de carte",
    "número de tarjeta",
    "payment card",
)
_IBAN = ("IBAN", "bank account (IBAN)", "account", "Kontonummer", "compte bancaire", "conto")
_PHONES = ("phone number", "mobile", "telephone", "contact number", "phone", "cell")
_BIRTH = {
    "en_US": ("date of birth", "DOB", "birthdate", "birthday"),
    "en_GB": ("date of birth", "DOB", "D.O.B."),
    "de_DE": ("Geburtsdatum", "geboren am", "Geburtstag"),
    "fr_FR": ("date de naissance", "né le", "née le"),
    "es_ES": ("fecha de nacimiento", "nacido el"),
    "it_IT": ("data di nascita", "nato il"),
    "pt_BR": ("data de nascimento", "nascido em"),
    "nl_NL": ("geboortedatum", "geboren op"),
    "pl_PL": ("data urodzenia", "ur."),
}
_REGIONS = [
    "en_US",
    "en_GB",
    "en_CA",
    "en_AU",
    "en_IN",
    "en_IE",
    "de_DE",
    "de_AT",
    "de_CH",
    "fr_FR",
    "es_ES",
    "es_MX",
    "it_IT",
    "pt_BR",
    "pt_PT",
    "nl_NL",
    "pl_PL",
    "sv_SE",
    "da_DK",
    "cs_CZ",
    "tr_TR",
]


def _as(kind: str, form: str, make: Callable[[Random], str]) -> Callable[[Random], Piece]:
    return lambda random: labelled(make(random), kind, form)


def _national() -> Iterator[Item]:
    for form in national.FORMS:
        yield Item(f"national.{form.name}", form.words, _as(form.kind, form.name, form.make), form.bare)


def _financial() -> Iterator[Item]:
    def card(brand: str) -> Callable[[Random], str]:
        return lambda random: finance.written_card(finance.card_of(brand, random), random)

    for brand in finance.BRANDS:
        yield Item(f"card.{brand}", _CARD, _as("financial.card", f"card.{brand}", card(brand)), True)
    documented = _as(
        "financial.card",
        "card.documented",
        lambda random: finance.written_card(random.choice(finance.DOCUMENTED), random),
    )
    yield Item("card.documented", _CARD, documented, True)
    for country in finance.IBANS:

        def iban(random: Random, country: str = country) -> str:
            return finance.iban_of(country, random)

        yield Item(f"iban.{country.lower()}", _IBAN, _as("financial.iban", f"iban.{country.lower()}", iban), True)
    accounts: tuple[tuple[str, tuple[str, ...], Callable[[Random], str]], ...] = (
        ("aba", ("routing number", "ABA routing number", "ABA", "routing transit number"), finance.aba),
        ("us", ("account number", "bank account number", "checking account", "acct no"), finance.us_account),
        ("uk", ("account number", "bank account no", "UK account number"), finance.uk_account),
        ("sort_code", ("sort code", "bank sort code"), finance.sort_code),
        ("bic", ("BIC", "SWIFT code", "SWIFT/BIC"), finance.bic),
    )
    for name, words, make in accounts:
        yield Item(f"account.{name}", words, _as("financial.account", f"account.{name}", make), False)


def _personal() -> Iterator[Item]:
    for locale in _REGIONS:

        def phone(random: Random, locale: str = locale) -> str:
            return people.phone(locale, random)

        yield Item(f"phone.{locale}", _PHONES, _as("pii.phone", f"phone.{locale[-2:].lower()}", phone), False, locale)
    for locale, words in _BIRTH.items():

        def born(random: Random, locale: str = locale) -> str:
            return people.date_of_birth(locale, random)

        yield Item(f"birth.{locale}", words, _as("pii.date_of_birth", f"birth.{locale[:2]}", born), False, locale)
    mail = ("e-mail", "email address", "contact", "user", "E-Mail-Adresse", "correo electrónico")
    yield Item("email", mail, _as("pii.email", "email", lambda random: people.persona("en_US", random).email), True)
    record = ("MRN", "medical record number", "patient ID", "patient number", "chart number", "hospital number")
    yield Item("record", record, _as("health.record_number", "mrn", health.record_number), False)


def _documents() -> Iterator[Item]:
    for country, words in documents.PASSPORT_WORDS.items():

        def passport(random: Random, country: str = country) -> str:
            return documents.passport(country, random)

        yield Item(f"passport.{country}", words, _as("pii.passport", f"passport.{country}", passport), False)
    for country, words in documents.LICENCE_WORDS.items():

        def licence(random: Random, country: str = country) -> str:
            return documents.licence(country, random)

        yield Item(f"licence.{country}", words, _as("pii.driver_licence", f"licence.{country}", licence), False)


def _machines() -> Iterator[Item]:
    yield Item("ip.v4", ("IP", "IP address", "client IP", "source"), _as("pii.ip", "ip.v4", network.ipv4), True)
    yield Item("ip.private", ("IP", "host address", "server"), _as("pii.ip", "ip.private", network.ipv4_private), True)
    yield Item("ip.v6", ("IPv6", "IP address", "client"), _as("pii.ip", "ip.v6", network.ipv6), True)
    yield Item("mac", ("MAC", "MAC address", "hardware address", "device"), _as("pii.mac", "mac", network.mac), True)
    yield Item(
        "host", ("hostname", "server", "host", "upstream"), _as("internal.host", "host", network.internal_host), True
    )


# How many texts of each item the whole corpus has, by the family of its name.
TIMES = {
    "national": 30,
    "card": 36,
    "iban": 12,
    "account": 70,
    "phone": 26,
    "birth": 30,
    "email": 200,
    "record": 260,
    "passport": 20,
}
TIMES |= {"licence": 40, "ip": 120, "mac": 320, "host": 240}


def items() -> tuple[Item, ...]:
    return (*_national(), *_financial(), *_personal(), *_documents(), *_machines())
