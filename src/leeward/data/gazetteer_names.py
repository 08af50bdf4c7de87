"""Persons and places by the lists: a given name beside a surname, a title or a greeting before a name, a country, a city.

What a single word says depends on what it is beside: `Paris` alone is a city, in `Paris Hilton` and `Bank of Paris` it is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leeward.data.gazetteer import Gazetteer
from leeward.data.gazetteer_text import UPPER, Capital, Match, Spans, begins_with, best, ends_with, word_before
from leeward.data.gazetteer_words import NameWords

PERSON, LOCATION = "pii.person", "pii.location"
_LINK = (
    "(?:(?:van|von|vom|zu|zur|der|den|de|del|della|di|da|do|dos|das|du|la|le|el|al|bin|ibn|ben|ter|ten|y|af|av) ){0,3}"
)
_NAME = rf"(?:[{UPPER}]['’]?[^\W\d_]*[^\W\d_A-Z](?:-[{UPPER}][^\W\d_]+)?|[{UPPER}]\.)"
# Behind a given name: initials and particles, then the surname.
_SURNAME = re.compile(
    rf"(?: [{UPPER}]\.?)? {_LINK}"
    rf"((?:O['’]|Mc|Mac|D['’]|Al-|El-)?[{UPPER}][^\W\d_]+(?:[-'’][{UPPER}][^\W\d_]+)?)(?![\w@])"
)
_MORE_GIVEN = re.compile(rf"[ -]([{UPPER}][^\W\d_]+)(?= [{UPPER}a-z])")
_MOST_GIVEN = 4
_TITLED = re.compile(
    r"(?:ssa)?\.? (?:(?:Dr|Prof|Med|Ing|Dipl|Mag|Univ|med|h\.c)\.?-?(?:Ing)?\.? ){0,3}"
    rf"({_LINK}{_NAME}(?: {_LINK}{_NAME}){{0,3}})(?![\w@])"
)
_GREETED = re.compile(rf",? ({_NAME}(?: {_LINK}{_NAME}){{0,2}})(?=[,!.\n:]|$)")
_LINE_START = re.compile(r"(?:^|[\n\"'“„>:] ?)$")
_MORE_WORD = re.compile(r"[\w/@-]")
_SECOND = re.compile(rf" ([{UPPER}][^\W\d_]+)(?![\w@])")
# A house number, or a word that begins the name of a street, before a name.
_STREET = re.compile(
    r"(?i:\d[a-z]?,? |\b(?:rue|avenue|av\.|boulevard|bd|place|chemin|allée|impasse|quai|cours|calle|c/|avenida|avda\.|plaza|"
    r"paseo|camino|pasaje|ronda|glorieta|rambla|via|viale|piazza|corso|largo|vicolo|rotonda|rua|travessa|praça|alameda|estrada|ul\.|ulica|al\.|aleja|"
    r"pl\.|plac|os\.|straße|strasse|platz|weg)(?: de| da| do| di| del| della| la| des| du| dos)? )$"
)
# How often right, by whether given name and surname are known: 1 clear, 2 also a word, 0 not at all.
_SURE = {(1, 1): 0.92, (1, 2): 0.85, (1, 0): 0.75, (2, 1): 0.75, (2, 2): 0.4, (2, 0): 0.25}


class Names:
    """Persons and places among the capitalised words of a text."""

    def __init__(self, lists: Gazetteer, words: NameWords) -> None:
        self._lists, self._words = lists, words
        self._titles = dict.fromkeys(words.titles, 0.9) | dict.fromkeys(words.other_titles, 0.75)
        self._places: dict[str, list[tuple[str, bool, bool]]] = {}
        for names, country in ((lists.places, False), (lists.countries, True)):
            for name, clear in names.items():
                self._places.setdefault(_first(name), []).append((name, clear, country))
        for entries in self._places.values():
            entries.sort(key=lambda entry: -len(entry[0]))
        self.triggers = frozenset(lists.given) | frozenset(self._places) | frozenset(self._titles) | words.greetings

    def find(self, text: str, capitals: Sequence[Capital]) -> list[Match]:
        """All of a text; persons before the places that their words also name."""
        found = [*self._announced(text, capitals), *self._persons(text, capitals)]
        taken = Spans(best(match for match in found if match.confidence >= 0.5))
        return found + [place for place in self._located(text, capitals) if taken.free(place.start, place.end)]

    def _announced(self, text: str, capitals: Sequence[Capital]) -> Iterator[Match]:
        """`Mr. Ito`, `Frau Dr. Krause`, `Dear Ana,`."""
        end = 0
        for capital in capitals:
            title = self._titles.get(capital.word)
            if capital.start < end or (title is None and capital.word not in self._words.greetings):
                continue
            hit = (_GREETED if title is None else _TITLED).match(text, capital.end)
            if hit is None or not self._words.no_names.isdisjoint(hit[1].split()) or hit[1].split()[0] in self._titles:
                continue
            end = hit.end()
            if title is None:
                sure = self._greeted(text, capital, hit[1])
                yield Match(PERSON, hit.start(1), hit.end(1), sure, "person-greeting")
            elif not (capital.word == "Dr" and text[capital.end] == " " and self._beside(text, capital.start)):
                yield Match(
                    PERSON, hit.start(1), hit.end(1), title, "person-title"
                )  # else a street: 45 Oak Dr Springfield

    def _greeted(self, text: str, greeting: Capital, name: str) -> float:
        first = name.split()[0].split("-")[0]
        if first in self._lists.given and first not in self._words.greetings:
            return 0.85
        begins = _LINE_START.search(text, max(0, greeting.start - 2), greeting.start) is not None
        return 0.7 if begins and greeting.word != "Thanks" else 0.4

    def _persons(self, text: str, capitals: Sequence[Capital]) -> Iterator[Match]:
        end = 0
        for capital in capitals:
            clear = self._lists.given.get(capital.word)
            if clear is None or capital.start < end or text[capital.start - 1 : capital.start] in ("-", "'"):
                continue
            last = self._given_names(text, capital)
            hit = _SURNAME.match(text, last)
            if hit is None:
                continue
            confidence = self._likely(text, capital.start, hit, clear)
            if confidence > 0:
                end = hit.end()
                yield Match(PERSON, capital.start, hit.end(), confidence, "person-names")

    def _given_names(self, text: str, capital: Capital) -> int:
        """Where the given names end that begin with one: Anna Maria, Jean-Pierre."""
        last = capital.end
        for _ in range(_MOST_GIVEN):
            more = _MORE_GIVEN.match(text, last)
            if (
                more is None
                or more[1] not in self._lists.given
                or (more[1] in self._lists.surnames and text[last] == " ")
            ):
                break
            last = more.end()
        return last

    def _likely(self, text: str, start: int, hit: re.Match[str], clear: bool) -> float:
        surname = hit[1].split("-")[0]
        known = self._lists.surnames.get(surname)
        other = surname in self._lists.places or surname.lower() in self._words.not_after_person or surname.isupper()
        if (known is None and other) or _STREET.search(text, max(0, start - 24), start):
            return 0.0
        confidence = _SURE[(1 if clear else 2), 0 if known is None else 1 if known else 2]
        if surname in self._lists.streets:
            confidence *= 0.6
        if begins_with(text, hit.end(), self._words.not_after_person):
            confidence *= 0.4
        if ends_with(text, start, self._words.spoken_titles):
            confidence = max(confidence, 0.9)
        return confidence

    def _located(self, text: str, capitals: Sequence[Capital]) -> Iterator[Match]:
        end = 0
        for capital in capitals:
            if capital.start < end:
                continue
            for name, clear, country in self._places.get(capital.word, ()):
                stop = capital.start + len(name)
                if text.startswith(name, capital.start) and not _MORE_WORD.match(text, stop):
                    confidence = self._there(text, capital.start, stop, clear, country)
                    end = stop
                    yield Match(LOCATION, capital.start, stop, confidence, "country-list" if country else "place-list")
                    break

    def _there(self, text: str, start: int, stop: int, clear: bool, country: bool) -> float:
        """How likely a name from a list is a place here."""
        told = ends_with(text, start, self._words.where)
        beside = self._beside(text, start)
        following = _SECOND.match(text, stop)
        if beside or (following is not None and following[1] not in self._places):
            return 0.3 if beside or not told else 0.45
        if begins_with(text, stop, self._words.not_after_person) or begins_with(
            text, stop, self._words.not_after_place
        ):
            return 0.3
        if not clear:
            return 0.6 if told else 0.25
        if country:
            return 0.9 if told else 0.8
        return 0.85 if told else 0.65

    def _beside(self, text: str, start: int) -> bool:
        """Whether a capitalised word stands right before a place."""
        return word_before(text, start, self._words.small) != ""


def _first(name: str) -> str:
    """The capitalised word by which a name of several words is looked up."""
    hit = re.match(r"[^\W\d_]+", name)
    return hit[0] if hit else name
