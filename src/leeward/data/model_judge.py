"""What the network found, judged together with what the lists know: what is kept, and how sure it is.

Pure. Confidence is a logistic function of the network's odds and of what the candidate looks like (its features). The weights are
in model_confidence.json: fitted on made-up and on technical texts; other such texts, made of other templates, say how they hold.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from leeward.data.gazetteer import Gazetteer, known
from leeward.data.gazetteer_finder import NameLists
from leeward.data.gazetteer_text import Match, Nearby, Spans, best, loose
from leeward.data.gazetteer_words import name_words
from leeward.data.model_spans import ADDRESS, LOCATION, PERSON, Candidate, candidates
from leeward.data.model_words import Words

DETECTOR = "model:rampart"
_WEIGHTS = Path(__file__).parent / "model_confidence.json"
_LETTERS = re.compile(r"[^\W\d_]+")
_CODE_MARKS = frozenset("{}()[];=<>_/\\|$#*`")
# A label of a field, right before its value.
_PLACE_LABEL, _ORGANISATION_LABEL = (
    re.compile(rf"(?i)(?:\b|_)(?:{words})(?:[ _-]?name)?[\"'\]]?[ \t]*[:=>|][ \t]*[\"'“]?$")
    for words in (
        "city|town|ort|stadt|ville|ciudad|città|citta|cidade|plaats|miasto|stad|country|land|pays|país|pais|paese|state",
        "company|employer|organi[sz]ation|firm|vendor|supplier|firma|arbeitgeber|unternehmen|entreprise|société|empresa|azienda|bedrijf",
    )
)
_MOST_SURE = 0.99
_PRODUCT = 0.3  # a word alone that is mostly a program's name
_MOST_REPEATED = 32  # persons whose other mentions are looked for


class Weights(msgspec.Struct, frozen=True):
    """For each kind: feature to weight. source: what they were fitted on, and how they did."""

    source: str
    kinds: dict[str, dict[str, float]]


@functools.cache
def weights() -> Weights:
    """Those that come with Leeward."""
    return msgspec.json.decode(_WEIGHTS.read_bytes(), type=Weights)


def judged(text: str, words: Words, lists: NameLists, names: Gazetteer) -> list[Match]:
    """Everything in a text, in order, without overlaps."""
    models = candidates(text, words, names)
    found = lists.matches(text, _surnames(text, models))
    taken = Spans(m for m in found if m.kind == "pii.organisation" and m.confidence >= 0.5)
    around = Nearby(found)
    sure = []
    for candidate in models:
        beside = around.overlapping(candidate.start, candidate.end)
        placed = _placed(text, candidate, beside) if taken.free(candidate.start, candidate.end) else None
        if placed is not None:
            sure.append(_match(text, placed, beside, names))
    kept = best([*found, *sure])
    return best([*kept, *_repeated(text, kept, names)])


def _surnames(text: str, models: Sequence[Candidate]) -> frozenset[str]:
    """Capitalised words that the network takes for parts of a person's name."""
    spans = (text[c.start : c.end] for c in models if c.kind == PERSON and c.odds >= 0.5)
    return frozenset(word for span in spans for word in _LETTERS.findall(span) if word[0].isupper())


def _placed(text: str, candidate: Candidate, beside: Sequence[Match]) -> Candidate | None:
    """The candidate, as what its label says it is; None for what is no person and no place at all."""
    before = text[max(0, candidate.start - 32) : candidate.start]
    if _ORGANISATION_LABEL.search(before):
        return None
    if candidate.kind == PERSON and _PLACE_LABEL.search(before):
        candidate = msgspec.structs.replace(candidate, kind=LOCATION)
    span = text[candidate.start : candidate.end]
    if candidate.kind == ADDRESS and not any(c.isdigit() for c in span):
        country = any(m.kind == LOCATION and m.start <= candidate.start and m.end >= candidate.end for m in beside)
        candidate = msgspec.structs.replace(candidate, kind=LOCATION) if country else candidate
    return candidate


def _match(text: str, candidate: Candidate, beside: Sequence[Match], names: Gazetteer) -> Match:
    start, end = candidate.start, candidate.end
    for other in beside:  # a list knows where a name ends
        if (
            other.kind == candidate.kind == PERSON
            and other.confidence >= 0.7
            and "\n" not in text[min(start, other.start) : other.end]
        ):
            start, end = min(start, other.start), max(end, other.end)
    features = describe(text, candidate, beside, names)
    sure = confidence(weights().kinds[candidate.kind], features)
    if candidate.kind == PERSON and names.products.get(text[start:end].title()):
        sure = min(sure, _PRODUCT)
    return Match(candidate.kind, start, end, sure, DETECTOR)


def confidence(kind: dict[str, float], features: dict[str, float]) -> float:
    """The logistic function of the weighted features, to two digits."""
    total = kind["bias"] + sum(kind.get(name, 0.0) * value for name, value in features.items())
    return min(_MOST_SURE, round(1 / (1 + math.exp(-max(-30.0, min(30.0, total)))), 2))


def describe(text: str, candidate: Candidate, beside: Sequence[Match], names: Gazetteer) -> dict[str, float]:
    """The features of a candidate, by which it is judged."""
    odds = min(max(candidate.odds, 0.01), 0.995)
    found = {"odds": math.log(odds / (1 - odds)), "code": _code(text, candidate.start, candidate.end)}
    span = text[candidate.start : candidate.end]
    words = [word for word in _LETTERS.findall(span) if word.lower() not in name_words().links] or [span]
    found[_shape(words)] = 1.0
    if not loose(text, candidate.start, candidate.end) or (
        any(c.isdigit() for c in span) and candidate.kind != ADDRESS
    ):
        found["glued"] = 1.0
    listed = max((m.confidence for m in beside if m.kind == candidate.kind), default=0.0)
    found["listed"] = listed
    if candidate.kind == PERSON:
        known_as = [max(known(names.given, w), known(names.surnames, w)) for w in words]
        found["known"] = max(known_as)
        found["many"] = float(len(words) > 1)
        found["place"] = float(
            any(known(names.places, w) + known(names.countries, w) > 0.9 for w in words) and max(known_as) < 0.9
        )
        found["product"] = float(len(words) == 1 and words[0].title() in names.products)
    elif candidate.kind == ADDRESS:
        parts = set(candidate.parts)
        found["number"] = float("BUILDING_NUMBER" in parts)
        found["street"] = float("STREET_NAME" in parts)
        found["city"] = float("CITY" in parts)
        found["zip"] = float("ZIP_CODE" in parts)
        found["digit"] = float(any(c.isdigit() for c in span))
    else:
        found["known"] = known(names.places, span) or known(names.countries, span)
        found["person"] = float(any(known(names.given, w) or known(names.surnames, w) for w in words))
    return found


def _shape(words: Sequence[str]) -> str:
    """How the words are written: Title, lower, UPPER, or mixed like an identifier."""
    if all(w.islower() for w in words):
        return "lower" if len(words) > 1 else "lower-one"
    if all(w.isupper() for w in words):
        return "upper"
    if any(
        re.search(r"[a-zß-ÿ][A-Z]", w) and not w.startswith(("Mc", "Mac", "De", "Di", "La", "Le", "O")) for w in words
    ):
        return "mixed"
    return "title" if all(w[0].isupper() for w in words) else "part"


def _code(text: str, start: int, end: int) -> float:
    """The share of marks of code around a place, times ten: 0 to 10."""
    around = text[max(0, start - 40) : start] + text[end : end + 40]
    return 10 * sum(c in _CODE_MARKS for c in around) / max(len(around), 20)


def _repeated(text: str, kept: Sequence[Match], names: Gazetteer) -> Iterator[Match]:
    """Other mentions of persons who were surely named in full: `Ada Lovelace ... Lovelace said`."""
    full = [m for m in kept if m.kind == PERSON and m.confidence >= 0.9 and " " in text[m.start : m.end]]
    seen: set[str] = set()
    for person in full[:_MOST_REPEATED]:
        for word in _LETTERS.findall(text[person.start : person.end]):
            clear = names.given.get(word, names.surnames.get(word, True))
            if len(word) < 3 or not word[0].isupper() or word in seen or not clear or word in names.places:
                continue
            seen.add(word)
            for hit in re.finditer(rf"(?<![\w.-]){word}(?![\w-])", text):
                if loose(text, hit.start(), hit.end()):
                    yield Match(PERSON, hit.start(), hit.end(), 0.75, "person-again")
