"""Organisations by the form of their names (a legal form, a word that only organisations carry, the names of owners as in
`Smith, Jones and Brown` or `Hansen-Lopez`), by a list of the well known, and by what is said around them.

No model has a label for them here. Confidence says how often a form was right on texts that were made up for that purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from leeward.data.gazetteer import Gazetteer
from leeward.data.gazetteer_text import UPPER, Capital, Match, begins_with, best, ends_with, word_before
from leeward.data.gazetteer_words import OrganisationWords

KIND = "pii.organisation"
_W = rf"(?:[{UPPER}][\w'’+-]{{0,30}}[\w+]|[{UPPER}]\.?|\d{{1,2}}[{UPPER}]\w{{0,30}}|St\.)"
_AND = r"(?:and|und|et|y|e|i|en|og|och|&|\+)"
_VAN = r"(?:(?:van|von|de|di|del|van der|van den|van de|de la) )?"
_OWNERS = rf"{_W}(?:, {_W}){{1,2}},? {_AND} {_W}"
_NAME = rf"(?:{_OWNERS}|{_W} {_AND} {_W}|{_W}(?:(?: [&+] | ?& ?| ){_W}){{0,5}})"
# The longest name that ends where the text does.
_BACK = re.compile(rf"(?<![\w.'’&-]){_NAME}[ ,]*$")
_AHEAD = re.compile(rf"{_W}(?: {_W}|(?: of| and| the| de| del| della| di| du| des| la| für| i| &){{1,3}} {_W}){{0,4}}")
_OWNER_FORMS = re.compile(
    rf"(?<![\w.'’&-])(?:(?P<list>{_OWNERS})|(?P<pair>{_VAN}{_W} & {_VAN}{_W})|(?P<hyphen>{_W}-{_W}))(?![\w&-])"
)
# How the legal forms begin that have no capitalised word by which they are found.
_OTHER_LEGAL = re.compile(
    r" (?=[sadkovepmgil][.pGlbnt ])(?:s\.[rpna]|sp\. |sp\.j|a\.s|d\.[od]"
    r"|k\.s|o\.p|v\.o|e\. ?[VG]|e (?:fig|hij)|plc|mbH|gGmbH|eG|inc\.|ltd\.)"
)
_MOST_WORDS = 6
_MOST_LEGAL = 2_000  # in a text
# Such short forms are also the names of states, behind a comma or before a postal code.
_STATE_LIKE = frozenset(["AS", "SA", "NV", "AB", "SE", "AG", "KG", "UG", "Ab"])
_COMPANY = re.compile(
    r"(?:,| -| –)? (?:is|was|are|,) (?:an?|the|our) (?:[\w-]+ ){0,4}"
    r"(?:company|firm|agency|bank|supplier|customer|manufacturer|retailer|insurer|start-?up|organi[sz]ation|non-?profit|charity|brand)\b"
)

# How often a form is right, rounded down from what was measured on made-up and technical texts: without context, behind a word
# that stands before organisations and others (weakly), with a context that only organisations have.
_SURE: dict[str, tuple[float, float, float]] = {
    "legal": (0.93, 0.95, 0.97),
    "family": (0.88, 0.9, 0.95),
    "strong": (0.75, 0.85, 0.92),
    "firm": (0.6, 0.7, 0.9),
    "owner": (0.8, 0.85, 0.93),
    "weak": (0.3, 0.4, 0.75),
    "of": (0.75, 0.85, 0.92),
    "first": (0.75, 0.8, 0.9),
    "known": (0.85, 0.88, 0.93),
    "known-word": (0.3, 0.4, 0.75),
    "owners-list": (0.55, 0.65, 0.9),
    "owners-pair": (0.7, 0.75, 0.9),
    "owners-hyphen": (0.3, 0.5, 0.85),
}


class Organisations:
    """Finds organisations among the capitalised words of a text."""

    def __init__(self, names: Gazetteer, words: OrganisationWords, several: frozenset[str]) -> None:
        self._names, self._words, self._several = names, words, several
        forms = sorted([*words.legal, *words.family], key=len, reverse=True)
        self._suffix = re.compile(r"(?<=[ ,])(?:" + "|".join(map(re.escape, forms)) + r")(?![\w&])")
        self._family = frozenset(words.family)
        self._heads = frozenset(_first_word(form) for form in forms) - {""}
        self._known: dict[str, list[str]] = {}
        for name in sorted(names.organisations, key=len, reverse=True):
            self._known.setdefault(_first_word(name) or name, []).append(name)
        self.triggers = (
            self._heads
            | words.strong
            | words.firm
            | words.weak
            | words.of
            | words.first
            | frozenset(self._known)
            | frozenset(names.surnames)
        )

    def find(self, text: str, capitals: Sequence[Capital], surnames: frozenset[str] = frozenset()) -> list[Match]:
        """All of a text, without overlaps. surnames: words that are surnames here, beside those of the list."""
        found: list[Match] = []
        for capital in capitals:
            word = capital.word
            if word in self._heads:
                found += self._by_suffix(text, capital)
            if word in self._words.strong or word in self._words.firm or word in self._words.weak:
                found += self._by_head(text, capital, surnames)
            if word in self._words.of or word in self._words.first:
                found += self._by_beginning(text, capital)
            if word in self._known:
                found += self._by_list(text, capital)
            if word in self._names.surnames or word in surnames:
                found += self._by_owners(text, capital, surnames)
        for hit in islice(_OTHER_LEGAL.finditer(text), _MOST_LEGAL):
            suffix = self._suffix.match(text, hit.start() + 1)
            if suffix is not None:
                found += self._suffixed(text, suffix)
        return best(found)

    def _by_suffix(self, text: str, capital: Capital) -> Iterator[Match]:
        for hit in self._suffix.finditer(text, max(0, capital.start - 6), capital.end + 24):
            yield from self._suffixed(text, hit)

    def _suffixed(self, text: str, hit: re.Match[str]) -> Iterator[Match]:
        """The name before a legal form, with it."""
        start, end = hit.span()
        if hit[0] in _STATE_LIKE and (text[start - 2] == "," or _CODE.match(text, end)):
            return
        begin = self._name_start(text, start)
        if begin is not None:
            yield self._made(text, begin, end, "family" if hit[0] in self._family else "legal")

    def _name_start(self, text: str, end: int) -> int | None:
        low = max(0, end - 80)
        hit = _BACK.search(text, low, end)
        if hit is None:
            return None
        start = hit.start()
        while True:  # words that begin the sentence are no part of the name
            word = _W_AT.match(text, start, end)
            if word is None or word[0] not in self._words.start:
                return start if word is not None else None
            start = word.end() + len(text[word.end() : end]) - len(text[word.end() : end].lstrip(" ,"))

    def _by_head(self, text: str, capital: Capital, surnames: frozenset[str]) -> Iterator[Match]:
        """`Mount Sinai Hospital`, `Bluewater Capital Partners`."""
        start = self._name_start(text, capital.start) if text[capital.start - 1 : capital.start] == " " else None
        if start is None or text[capital.end : capital.end + 2] == " &":
            return
        end = capital.end
        for _ in range(_MOST_WORDS):  # to the last capitalised word: First National Bank of Omaha
            more = _MORE.match(text, end)
            if more is None:
                break
            end = more.end()
        form = (
            "strong" if capital.word in self._words.strong else "firm" if capital.word in self._words.firm else "weak"
        )
        before = text[start : capital.start].strip(" ,")
        if _NUMBERED.search(text, max(0, start - 3), start):
            return  # a house number: a street
        if form != "strong" and (self._names.surnames.get(before) or before in surnames):
            form = "owner"
        elif form == "weak" and before.rpartition(" ")[2] in self._words.trade and " " in before:
            form = "firm"
        if text[start:end] not in self._words.never:
            yield self._made(text, start, end, form)

    def _by_beginning(self, text: str, capital: Capital) -> Iterator[Match]:
        """`University of Michigan`, `Grupo Ávila`."""
        of = _OF.match(text, capital.end) if capital.word in self._words.of else None
        start = capital.start
        name = _AHEAD.match(text, of.end() if of else capital.end + 1)
        if name is None or (of is None and (capital.word not in self._words.first or text[capital.end] != " ")):
            return
        before = self._name_start(text, start) if of and text[start - 1 : start] == " " else None
        yield self._made(text, start if before is None else before, name.end(), "of" if of else "first")

    def _by_list(self, text: str, capital: Capital) -> Iterator[Match]:
        for name in self._known[capital.word]:
            end = capital.start + len(name)
            if text.startswith(name, capital.start) and not _MORE_WORD.match(text, end):
                beside = word_before(text, capital.start, self._words.start)
                clear = self._names.organisations[name] and not beside
                yield self._made(text, capital.start, end, "known" if clear else "known-word")
                return

    def _by_owners(self, text: str, capital: Capital, surnames: frozenset[str]) -> Iterator[Match]:
        """`Smith, Jones and Brown`, `van Dam & Smith`, `Hansen-Lopez`."""
        if text[capital.end : capital.end + 2] not in (", ", " &") and text[capital.end : capital.end + 1] != "-":
            return
        van = _VAN_BEFORE.search(text, max(0, capital.start - 10), capital.start)
        start = van.start(1) if van else capital.start
        hit = _OWNER_FORMS.match(text, start)
        if hit is None:
            return
        form = f"owners-{hit.lastgroup}"
        words = [word for word in _LETTERS.findall(hit[0]) if word not in _LITTLE]
        own = sum(word in self._names.surnames or word in surnames for word in words)
        given = any(word in self._names.given and word not in self._names.surnames for word in words)
        if own < (1 if form == "owners-pair" else 2) or given or words[0] in self._words.start:
            return
        if (form == "owners-hyphen" and self._after_given(text, start)) or (
            form == "owners-list" and (text[start - 2 : start] == ", " or ends_with(text, start, self._several))
        ):
            return
        made = self._made(text, start, hit.end(), form)
        if made.confidence >= _SURE[form][2] or not all(word in self._names.given for word in words):
            yield made

    def _after_given(self, text: str, start: int) -> bool:
        """`Ada Hansen-Lopez` is a person."""
        before = re.search(r"([^\W\d_]+)\.? $", text[max(0, start - 24) : start])
        return before is not None and before[1][0].isupper() and before[1] not in self._words.start

    def _made(self, text: str, start: int, end: int, form: str) -> Match:
        bare, weakly, sure = _SURE[form]
        confidence = bare
        if (
            ends_with(text, start, self._words.before)
            or begins_with(text, end, self._words.after)
            or _COMPANY.match(text, end)
        ):
            confidence = sure
        elif ends_with(text, start, self._words.weakly):
            confidence = weakly
        return Match(KIND, start, end, confidence, f"organisation-{form}")


_VAN_BEFORE = re.compile(r"(?<!\w)((?:van|von|de|di|del|van der|van den|van de|de la) )$")
_LETTERS = re.compile(r"[^\W\d_]+")
_MORE_WORD = re.compile(r"[\w-]")
_NUMBERED = re.compile(r"\d[a-zA-Z]? $")
_CODE = re.compile(r",? \d{4}")
_W_AT = re.compile(_W)
_OF = re.compile(r" (?:of the|of|de la|de los|de las|de|del|della|dei|di|do|da|du|des|für|van|i|w)(?= [^\W\d_]) ")
_MORE = re.compile(rf"(?: of| for| and| &| de)? {_W}")
_LITTLE = frozenset(
    ["and", "und", "et", "y", "e", "i", "en", "og", "och", "van", "von", "de", "di", "del", "der", "den", "la"]
)


def _first_word(form: str) -> str:
    """The capitalised word of a form by which it is looked up; "" if it has none."""
    hit = re.search(rf"[{UPPER}][^\W\d_]*", form)
    return hit[0] if hit else ""
