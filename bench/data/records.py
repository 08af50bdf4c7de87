"""What passes between the parts of the bench: labelled texts and matches, one JSON object a line.

Offsets count Unicode code points. A text is labelled completely for the kinds that its `labels` name, and for no others: a match
of another kind is left out for every tool. `NEUTRAL` spans are places where any answer is fine (a user name beside a password).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

NEUTRAL = "neutral"
HALVES = ("dev", "held")


class Span(NamedTuple):
    """Gold. kind: DESIGN §6, or NEUTRAL. form: what precisely, for tables (`aws.secret_key`, `de.iban`); not judged."""

    start: int
    end: int
    kind: str
    form: str = ""


class Match(NamedTuple):
    """What a tool said. label: in its own words; confidence: 0 to 1, as it said."""

    start: int
    end: int
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Text:
    """corpus, template: where it comes from. language: ISO 639. labels: kinds (or prefixes) that are labelled completely."""

    id: str
    corpus: str
    template: str
    half: str
    language: str
    text: str
    spans: tuple[Span, ...]
    labels: tuple[str, ...]


def half_of(name: str) -> str:
    """`dev` or `held`, by nothing but the name."""
    return HALVES[hashlib.sha256(name.encode()).digest()[0] & 1]


def covers(labels: Iterable[str], kind: str) -> bool:
    """Whether a kind is one of `labels` or below one (`secret` covers `secret.aws`, `pii` covers `pii.person`)."""
    return any(kind == label or kind.startswith(label + ".") for label in labels)


def write(path: Path, texts: Iterable[Text]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for text in texts:
            out.write(json.dumps({name: getattr(text, name) for name in Text.__slots__}, ensure_ascii=False) + "\n")


def read(path: Path) -> Iterator[Text]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            fields["spans"] = tuple(Span(*span) for span in fields["spans"])
            fields["labels"] = tuple(fields["labels"])
            yield Text(**fields)
