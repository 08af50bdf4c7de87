"""The finder that knows names by lists and forms: persons, places, organisations, without a model.

Invariant: a text without a word of the lists costs one pass over its capitalised words.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from leeward.data.gazetteer import gazetteer
from leeward.data.gazetteer_text import Match, Spans, capitals
from leeward.data.gazetteer_words import name_words, organisation_words

if TYPE_CHECKING:
    from leeward.data.gazetteer_names import Names
    from leeward.data.gazetteer_organisations import Organisations

_MOST = 100_000  # characters of a text that are looked at
_MOST_WORDS = 5_000  # and of its words those that are in a list


class NameLists:
    """A scanner.Finder. `cut` counts texts of which only the first part was looked at. The lists are read for the first text."""

    kinds = ("pii.person", "pii.location", "pii.organisation")
    passages = False

    def __init__(self) -> None:
        self.cut = 0

    @functools.cached_property
    def _organisations(self) -> Organisations:
        from leeward.data.gazetteer_organisations import Organisations  # its expressions take long to compile

        return Organisations(gazetteer(), organisation_words(), name_words().several)

    @functools.cached_property
    def _names(self) -> Names:
        from leeward.data.gazetteer_names import Names

        return Names(gazetteer(), name_words())

    @functools.cached_property
    def _triggers(self) -> frozenset[str]:
        return self._organisations.triggers | self._names.triggers

    @classmethod
    def default(cls) -> NameLists:
        """The one with the lists that come with Leeward; made once."""
        return _default()

    def find(self, text: str) -> Iterator[tuple[str, int, int, float, str]]:
        """(kind, start, end, confidence, detector) of each."""
        for match in self.matches(text):
            yield match.kind, match.start, match.end, match.confidence, match.detector

    def matches(self, text: str, surnames: frozenset[str] = frozenset()) -> list[Match]:
        """The same; without persons and places inside organisations. surnames: words that are surnames in this text."""
        if len(text) > _MOST:
            self.cut += 1
            text = text[:_MOST]
        words = capitals(text, self._triggers | surnames if surnames else self._triggers)
        if len(words) > _MOST_WORDS:
            self.cut += 1
            words = words[:_MOST_WORDS]
        found = self._organisations.find(text, words, surnames)
        taken = Spans(match for match in found if match.confidence >= 0.5)
        return found + [match for match in self._names.find(text, words) if taken.free(match.start, match.end)]


@functools.cache
def _default() -> NameLists:
    return NameLists()
