"""Words that say what a name near them is: lists/name_words.yaml, lists/organisation_words.yaml. Their comments explain each."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from leeward.ai.datafile import Schema, load_yaml

_FOLDER = Path(__file__).parent / "lists"
_ANY = Schema({"type": "object"})  # the types below say more


class NameWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Around persons and places."""

    titles: frozenset[str]
    other_titles: frozenset[str]
    greetings: frozenset[str]
    no_names: frozenset[str]
    spoken_titles: frozenset[str]
    where: frozenset[str]
    not_after_person: frozenset[str]
    not_after_place: frozenset[str]
    small: frozenset[str]
    links: frozenset[str]
    several: frozenset[str]


class OrganisationWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In and around organisations."""

    legal: tuple[str, ...]
    family: tuple[str, ...]
    strong: frozenset[str]
    firm: frozenset[str]
    trade: frozenset[str]
    weak: frozenset[str]
    of: frozenset[str]
    first: frozenset[str]
    before: frozenset[str]
    weakly: frozenset[str]
    after: frozenset[str]
    start: frozenset[str]
    never: frozenset[str]


@functools.cache
def name_words() -> NameWords:
    """Those that come with Leeward."""
    return msgspec.convert(load_yaml(_FOLDER / "name_words.yaml", _ANY), NameWords)


@functools.cache
def organisation_words() -> OrganisationWords:
    """Those that come with Leeward."""
    return msgspec.convert(load_yaml(_FOLDER / "organisation_words.yaml", _ANY), OrganisationWords)
