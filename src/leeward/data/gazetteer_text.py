"""Capitalised words of a text, where they stand, and what surrounds them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Sequence

import msgspec

# Letters that begin a name: Latin (with Extended-A), Greek and Cyrillic capitals.
UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮİĶĹĻĽŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽȘȚΑ-ΩА-Я"
CAPITAL = re.compile(rf"[{UPPER}][^\W\d_]*")
_ASCII_CAPITAL = re.compile(r"[A-Z][A-Za-z]*")
_ABBREVIATED = re.compile(r"(?:[A-Z]|C[oO])(?:\.[A-Za-z]|/[A-Z])")  # S.A., A/S, Co.Ltd.
_BEFORE = re.compile(rf"([{UPPER}][\w'’]*\.?)(?: | & |-)$")
_WORDS = re.compile(r"[^\W\d_](?:[\w'’-]*[^\W_])?")
_NEAR = 48  # characters in which a phrase is looked for
# Characters that touch a word of a path, an identifier, a web address or an entity, and no word of a sentence.
_GLUE_BEFORE, _GLUE_AFTER = frozenset("._/\\@#$&=~+*%<"), frozenset("_/\\@=~+*(<[{:$")


class Capital(msgspec.Struct, frozen=True, gc=False):
    """A capitalised word at characters start to end."""

    start: int
    end: int
    word: str


class Match(msgspec.Struct, frozen=True, gc=False):
    """What a look-up found in a text: see scanner.Finder."""

    kind: str
    start: int
    end: int
    confidence: float
    detector: str


class Spans:
    """Places that are taken: a sorted list of such as do not overlap."""

    def __init__(self, taken: Iterable[Match] = ()) -> None:
        self._spans: list[tuple[int, int]] = sorted((match.start, match.end) for match in taken)

    def free(self, start: int, end: int) -> bool:
        """Whether nothing of characters start to end is taken."""
        at = bisect_left(self._spans, (end, 0))
        return not at or self._spans[at - 1][1] <= start

    def take(self, start: int, end: int) -> None:
        self._spans.insert(bisect_left(self._spans, (start, end)), (start, end))


class Nearby:
    """Matches by their place; those that may overlap each other too."""

    def __init__(self, found: Iterable[Match]) -> None:
        self._found = sorted(found, key=lambda match: match.start)
        self._starts = [match.start for match in self._found]
        self._longest = max((match.end - match.start for match in self._found), default=0)

    def overlapping(self, start: int, end: int) -> Sequence[Match]:
        """Those that have a character of start to end."""
        first, last = bisect_right(self._starts, start - self._longest), bisect_left(self._starts, end)
        return [match for match in self._found[first:last] if match.end > start]


def best(found: Iterable[Match]) -> list[Match]:
    """Of what overlaps the surest, then the longest; in order."""
    kept, taken = [], Spans()
    for match in sorted(found, key=lambda m: (-m.confidence, m.start - m.end, m.start)):
        if taken.free(match.start, match.end):
            taken.take(match.start, match.end)
            kept.append(match)
    return sorted(kept, key=lambda m: m.start)


def capitals(text: str, wanted: Container[str]) -> list[Capital]:
    """The capitalised words of a text that are wanted and stand by themselves, not in an identifier or a path."""
    return [
        Capital(hit.start(), hit.end(), hit[0])
        for hit in (_ASCII_CAPITAL if text.isascii() else CAPITAL).finditer(text)
        if hit[0] in wanted and (loose(text, hit.start(), hit.end()) or _ABBREVIATED.match(text, hit.start()))
    ]


def word_before(text: str, start: int, small: Container[str]) -> str:
    """The capitalised word right before a place (a blank, a hyphen or & between them); "" if there is none, or a small one."""
    hit = _BEFORE.search(text, max(0, start - 32), start)
    return hit[1] if hit and hit[1] not in small else ""


def loose(text: str, start: int, end: int) -> bool:
    """Whether what is there is a word of its own: `name=Ada`, `<b>Ada</b>` and `"Ada"` are; `torch.Ada`, `/Ada/`, `ada_b` not."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before and (before.isalnum() or before in _GLUE_BEFORE) and not (before == "=" or _abbreviation(text, start)):
        return False
    if after and (after.isalnum() or after in _GLUE_AFTER):
        following = text[end + 1 : end + 2]
        return (after == ":" and following != ":") or (after == "<" and following == "/")
    return not (after == "." and text[end + 1 : end + 2].isalnum())


def _abbreviation(text: str, start: int) -> bool:
    """Without a blank: Dr.Meier."""
    return text[start - 1] == "." and start > 2 and text[start - 3 : start - 1] in ("Dr", "Mr", "Fr", "Hr")


def ends_with(text: str, at: int, phrases: Container[str]) -> bool:
    """Whether the one to four words before a place are one of the phrases (lower case)."""
    words = _WORDS.findall(text[max(0, at - _NEAR) : at].lower())[-4:]
    return any(" ".join(words[-count:]) in phrases for count in range(1, len(words) + 1))


def begins_with(text: str, at: int, phrases: Container[str]) -> bool:
    """The same for what comes behind a place; a genitive 's is a word."""
    rest = text[at : at + _NEAR].lower().replace("’", "'")
    words = _WORDS.findall(rest)[:4]
    if rest.startswith("'s "):
        words = ["'s", *_WORDS.findall(rest[2:])[:3]]
    return any(" ".join(words[:count]) in phrases for count in range(1, len(words) + 1))
