"""What the slots of templates become: `{{person#a}}`, `{{id:de.idnr}}`, `{{uuid}}`. Sensitive ones carry their label."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random

from bench.data.grammar import render
from bench.data.pieces import Context, Maker, Piece, joined, labelled, neutral
from bench.data.values import documents, finance, harmless, health, national, network, people, secrets


def _persona(context: Context, key: str) -> people.Persona:
    def make() -> people.Persona:
        return people.persona(context.locale, context.random)

    value = context.remembered(f"persona{key}", make) if key else make()
    assert isinstance(value, people.Persona)
    return value


def _of_persona(field: str, kind: str) -> Maker:
    def make(context: Context, _: str, key: str) -> Piece:
        return labelled(getattr(_persona(context, key), field), kind, field)

    return make


def _lower_person(context: Context, _: str, key: str) -> Piece:
    return labelled(_persona(context, key).full.lower(), "pii.person", "lower")


def _of_locale(make: Callable[[str, Random], str], kind: str, form: str = "") -> Maker:
    return lambda context, argument, key: labelled(make(context.locale, context.random), kind, form)


def _of_random(make: Callable[[Random], str], kind: str, form: str) -> Maker:
    return lambda context, argument, key: labelled(make(context.random), kind, form)


@cache
def companies(path: Path) -> tuple[str, ...]:
    """The names of real companies that come with presidio-evaluator."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return tuple(row["organization"].strip() for row in csv.DictReader(file, delimiter="\t") if row["organization"])


def organisation(context: Context, argument: str, key: str) -> Piece:
    """Half of Faker's kind, half real ones with a legal form, if the corpus has brought a list."""
    known = context.part.get("companies")
    if isinstance(known, str) and context.random.random() < 0.5:
        return labelled(context.random.choice(companies(Path(known))), "pii.organisation", "real")
    return labelled(people.company(context.locale, context.random), "pii.organisation", "faker")


def _birth(context: Context, argument: str, key: str) -> Piece:
    text = people.date_of_birth(context.locale, context.random)
    if argument == "compact":
        text = f"{people.birthday(context.random):%Y%m%d}"
    return labelled(text, "pii.date_of_birth", argument)


def _identifier(context: Context, argument: str, key: str) -> Piece:
    form = national.BY_NAME[argument]
    return labelled(form.make(context.random), form.kind, form.name)


def _card(context: Context, argument: str, key: str) -> Piece:
    random = context.random
    brand = argument or random.choice(
        ("visa", "visa", "visa", "mastercard", "mastercard", "amex", "discover", "diners", "jcb", "maestro")
    )
    return labelled(finance.written_card(finance.card_of(brand, random), random), "financial.card", f"card.{brand}")


def _iban(context: Context, argument: str, key: str) -> Piece:
    country = argument or context.locale[-2:]
    country = (
        country if country in finance.IBANS else context.random.choice(("DE", "FR", "GB", "NL", "ES", "IT", "IE", "BE"))
    )
    return labelled(finance.iban_of(country, context.random), "financial.iban", f"iban.{country.lower()}")


def _passport(context: Context, argument: str, key: str) -> Piece:
    return labelled(documents.passport(argument, context.random), "pii.passport", f"passport.{argument}")


def _licence(context: Context, argument: str, key: str) -> Piece:
    return labelled(documents.licence(argument, context.random), "pii.driver_licence", f"licence.{argument}")


def _zone(context: Context, argument: str, key: str) -> Piece:
    """A machine-readable zone; the names in its first line are labelled as one person."""
    surname, given = (render("[B-DF-HJ-NP-TV-Z][AEIOU][LMNRST][AEIOU](|[LMNRST])", context.random) for _ in range(2))
    country = context.random.choice(("us", "gb", "de", "fr", "it", "es", "nl", "pl"))
    first, second, number = documents.mrz(country, surname, given, context.random)
    return joined(
        [neutral(first), "\n", labelled(number, "pii.passport", "passport.mrz"), neutral(second[len(number) :])]
    )


def _connection(context: Context, argument: str, key: str) -> Piece:
    return secrets.connection(argument, context.random)


def _password(context: Context, argument: str, key: str) -> Piece:
    return labelled(secrets.password(context.random), "secret.password", "password.prompt")


def _integer(context: Context, argument: str, key: str) -> str:
    low, _, high = argument.partition("-")
    return str(context.random.randint(int(low), int(high)))


def _some_day(context: Context, argument: str, key: str) -> str:
    day = date(2025, 1, 1) + timedelta(days=context.random.randrange(700))
    return people.written_date(day, context.locale, context.random)


def _letters(alphabet: str) -> Maker:
    return lambda context, argument, key: render(f"[{alphabet}]{{{argument}}}", context.random)


def _harmless(make: Callable[[Random], str]) -> Maker:
    return lambda context, argument, key: make(context.random)


MAKERS: dict[str, Maker] = {name: _harmless(make) for name, make in harmless.MAKERS.items()} | {
    "person": _of_persona("full", "pii.person"),
    "first": _of_persona("first", "pii.person"),
    "last": _of_persona("last", "pii.person"),
    "lower.person": _lower_person,
    "email": _of_persona("email", "pii.email"),
    "phone": _of_locale(people.phone, "pii.phone"),
    "address": _of_locale(people.address, "pii.address", "full"),
    "street": _of_locale(people.street, "pii.address", "street"),
    "city": _of_locale(people.city, "pii.location", "city"),
    "country": _of_locale(people.country, "pii.location", "country"),
    "org": organisation,
    "job": lambda context, argument, key: people.job(context.locale, context.random),
    "dob": _birth,
    "date": _some_day,
    "id": _identifier,
    "card": _card,
    "iban": _iban,
    "aba": _of_random(finance.aba, "financial.account", "account.aba"),
    "account": _of_random(finance.us_account, "financial.account", "account.us"),
    "bic": _of_random(finance.bic, "financial.account", "account.bic"),
    "passport": _passport,
    "licence": _licence,
    "mrz": _zone,
    "mrn": _of_random(health.record_number, "health.record_number", "mrn"),
    "diagnosis": lambda context, argument, key: labelled(
        context.random.choice(health.DIAGNOSES), "health.term", "diagnosis"
    ),
    "drug": lambda context, argument, key: labelled(context.random.choice(health.DRUGS), "health.term", "drug"),
    "icd": lambda context, argument, key: labelled(context.random.choice(health.ICD), "health.term", "icd"),
    "ip": _of_random(network.ipv4, "pii.ip", "ip.v4"),
    "ip6": _of_random(network.ipv6, "pii.ip", "ip.v6"),
    "privateip": _of_random(network.ipv4_private, "pii.ip", "ip.private"),
    "mac": _of_random(network.mac, "pii.mac", "mac"),
    "host": _of_random(network.internal_host, "internal.host", "host"),
    "password": _password,
    "conn": _connection,
    "int": _integer,
    "hex": _letters("0-9a-f"),
    "alnum": _letters("A-Za-z0-9"),
}
