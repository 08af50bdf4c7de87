"""From what the network says of words to persons, addresses and locations.

Pure: text and odds in, candidates out, each with what its confidence is judged by (model_confidence.py). A given name and the
surname beside it are one person; a street with its number, city, state and code is one address; a city or state alone is a
location; a number or a postal code alone is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from leeward.data.gazetteer import Gazetteer, known
from leeward.data.model_words import LABELS, Words

PERSON, ADDRESS, LOCATION = "pii.person", "pii.address", "pii.location"
_LEAST = 0.25  # odds of a label below which a word is no part of anything
_AT = {label: number for number, label in enumerate(LABELS)}
_PERSON = slice(_AT["GIVEN_NAME"], _AT["SURNAME"] + 1)
_PLACE = slice(_AT["BUILDING_NUMBER"], _AT["ZIP_CODE"] + 1)
_JOINT = re.compile(r"[ \t]{0,2}|[-'’]|\.[ \t]?")  # between the parts of one name
_BRIDGE = re.compile(
    r" (?:(?:van|von|vom|zu|zur|der|den|de|del|della|di|da|do|dos|das|du|la|le|les|el|al|bin|ibn|ben|abu|ter|ten|y|e|af|av|"
    r"St\.?|O['’]|Mc|Mac|[A-ZÀ-Þ]\.?) ?){1,3}"
)
# Between the parts of one address: blanks, commas, a line break or two; a comma without a blank is a table's.
_PLACE_JOINT = re.compile(
    r"[ \t]{0,3}|[ ,]{0,3}\n{0,2}[> \t]{0,8}|,? ?\r?\n[> \t]{0,8}|, {0,2}|,? ?[-/.'’]\s?|"
    r"[ ,]{1,3}(?:No|Nr|nº|n°|N°|#)\.? ?|,? [A-Z]{2},? |"
    r"[ ,\n>]{1,8}(?i:apt|suite|ste|unit|flat|level|studio|floor|room|piso|puerta|edif|depto|interior|interno)\.?[ #]{0,2}"
)
_UNIT = re.compile(r"\A\.? ?#?\d{1,5}[A-Za-z]?(?![\w])")
_CODE_BEHIND = re.compile(r",? {1,2}\d{5}(?:-\d{4})?(?![\w-])")  # a postal code that the network missed behind a state
_PARTICLE = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")


class Candidate(msgspec.Struct):
    """Characters start to end of the text. odds: the network's, mean over the words. parts: labels of its words, in order."""

    kind: str
    start: int
    end: int
    odds: float
    parts: tuple[str, ...]


class _Word(msgspec.Struct):
    start: int
    end: int
    label: str
    odds: float
    person: bool


def candidates(text: str, words: Words, names: Gazetteer) -> list[Candidate]:
    """All that may be something in a text, in order, without overlaps."""
    marked = list(_marked(words))
    found = [*_persons(text, marked, names), *_places(text, marked)]
    found.sort(key=lambda c: (c.start, -c.end))
    kept: list[Candidate] = []
    for candidate in found:
        if kept and candidate.start < kept[-1].end:
            if candidate.odds > kept[-1].odds:
                kept[-1] = candidate
        else:
            kept.append(candidate)
    return kept


def _marked(words: Words) -> Iterator[_Word]:
    """Words that may be part of a name or an address, each with its likeliest label."""
    if not len(words.starts):
        return
    person = words.odds[:, _PERSON].sum(axis=1)
    place = words.odds[:, _PLACE].sum(axis=1)
    for row in ((person > _LEAST) | (place > _LEAST)).nonzero()[0].tolist():
        is_person = bool(person[row] >= place[row])
        part = _PERSON if is_person else _PLACE
        label = LABELS[part.start + int(words.odds[row, part].argmax())]
        odds = float(person[row] if is_person else place[row])
        yield _Word(int(words.starts[row]), int(words.ends[row]), label, odds, is_person)


def _persons(text: str, marked: Sequence[_Word], names: Gazetteer) -> Iterator[Candidate]:
    run: list[_Word] = []
    for word in marked:
        if not word.person:
            continue
        if run and not _joined(text[run[-1].end : word.start]):
            yield from _person(text, run, names)
            run = []
        run.append(word)
    if run:
        yield from _person(text, run, names)


def _joined(between: str) -> bool:
    return _JOINT.fullmatch(between) is not None or _BRIDGE.fullmatch(between) is not None


def _person(text: str, run: Sequence[_Word], names: Gazetteer) -> Iterator[Candidate]:
    spoken = _trimmed(text, [w for w in run if text[w.start].isalpha()])
    if not spoken:
        return
    start, end = _whole(text, spoken[0].start, spoken[-1].end)
    end = _with_surname(text, spoken[-1], end, names)
    size = sum(w.end - w.start for w in spoken)
    odds = sum(w.odds * (w.end - w.start) for w in spoken) / size
    yield Candidate(PERSON, start, end, odds, tuple(w.label for w in spoken))


def _trimmed(text: str, run: Sequence[_Word]) -> Sequence[_Word]:
    """Without words of lower case and marks at the ends, if some of it is capitalised: `Legendre habite` is Legendre."""
    if not any(text[w.start].isupper() for w in run):
        return run
    first, last = 0, len(run)
    while not (
        text[run[first].start].isupper() or text[run[first].start].isdigit() or run[first].label == "STREET_NAME"
    ):
        first += 1
    while last > first + 1 and not (text[run[last - 1].start].isupper() or text[run[last - 1].start].isdigit()):
        if run[last - 1].label in ("STREET_NAME", "SECONDARY_ADDRESS") and run[first].label in _FIRST:
            break
        last -= 1
    return run[first:last]


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """To the ends of the written word: O'Neil, Garcia-Lopez; not the s of a genitive."""
    while start and (
        text[start - 1].isalpha() or (text[start - 1] in "-'’" and start > 1 and text[start - 2].isalpha())
    ):
        start -= 1
    rest = _PARTICLE.match(text, end - 1) if end and text[end - 1].isalpha() else None
    if rest is not None:
        end = rest.end()
    if text[end - 2 : end] in ("'s", "’s", "'S"):
        end -= 2
    return start, end


def _with_surname(text: str, last: _Word, end: int, names: Gazetteer) -> int:
    """A surname that the network missed, right behind a given name."""
    if last.label != "GIVEN_NAME" or text[end : end + 1] != " ":
        return end
    following = _PARTICLE.match(text, end + 1)
    if following is not None and following[0][0].isupper() and known(names.surnames, following[0]):
        return following.end()
    return end


def _places(text: str, marked: Sequence[_Word]) -> Iterator[Candidate]:
    run: list[_Word] = []
    for word in marked:
        if word.person:
            continue
        if run and not _beside(text, run, word):
            yield from _place(text, run)
            run = []
        run.append(word)
    if run:
        yield from _place(text, run)


_FIRST = frozenset(["BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS"])
_LAST = frozenset(["CITY", "STATE", "ZIP_CODE"])


def _beside(text: str, run: Sequence[_Word], word: _Word) -> bool:
    """Whether a word goes on with an address. Behind its city and a break, a street begins another one."""
    between = text[run[-1].end : word.start]
    if run[-1].label == "SECONDARY_ADDRESS":
        between = _UNIT.sub("", between, count=1)  # its number, when the network took it for something else
    if not _PLACE_JOINT.fullmatch(between) or (between == "," and not word.label.startswith("ZIP")):
        return False
    return not ("\n" in between and word.label in _FIRST and run[-1].label in _LAST)


def _place(text: str, run: Sequence[_Word]) -> Iterator[Candidate]:
    """One address if a street is in the run, else its cities and states, each by itself."""
    labels = {w.label for w in run}
    if labels & {"STREET_NAME", "SECONDARY_ADDRESS"} and len(run) > 1:
        yield _made(text, ADDRESS, run)
        return
    group: list[_Word] = []
    for word in run:
        if word.label not in ("CITY", "STATE"):
            continue
        if group and (text[group[-1].end : word.start].strip(" -'’.") or word.label != group[-1].label):
            yield _made(text, LOCATION, group)
            group = []
        group.append(word)
    if group:
        yield _made(text, LOCATION, group)


def _made(text: str, kind: str, run: Sequence[_Word]) -> Candidate:
    run = _trimmed(text, run)
    start, end = run[0].start, run[-1].end
    if text[start].isalpha() and text[end - 1].isalpha():
        start, end = _whole(text, start, end)
    if kind == ADDRESS and run[-1].label == "STATE":
        code = _CODE_BEHIND.match(text, end)
        end = code.end() if code else end
    odds = sum(w.odds * (w.end - w.start) for w in run) / sum(w.end - w.start for w in run)
    return Candidate(kind, start, end, odds, tuple(w.label for w in run))
