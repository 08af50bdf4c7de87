"""Lists of names: given names, surnames, cities and states, countries, organisations, streets' words, products (lists/*.txt).

A line is a name; lines that begin with # say where the list comes from. A name that ends with ? is also an ordinary word, or used
for other things more often: alone it says nothing.
"""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

_FOLDER = Path(__file__).parent / "lists"


class Gazetteer(msgspec.Struct, frozen=True):
    """Each maps a name, as it is written, to whether it is clear (True) or also an ordinary word (False)."""

    given: dict[str, bool]
    surnames: dict[str, bool]
    places: dict[str, bool]
    countries: dict[str, bool]
    organisations: dict[str, bool]
    streets: dict[str, bool]
    products: dict[str, bool]


@functools.cache
def gazetteer() -> Gazetteer:
    """The lists that come with Leeward."""
    return Gazetteer(
        given=read_list(_FOLDER / "given_names.txt"),
        surnames=read_list(_FOLDER / "surnames.txt"),
        places=read_list(_FOLDER / "places.txt"),
        countries=read_list(_FOLDER / "countries.txt"),
        organisations=read_list(_FOLDER / "organisations.txt"),
        streets=read_list(_FOLDER / "street_words.txt"),
        products=read_list(_FOLDER / "not_persons.txt"),
    )


def read_list(path: Path) -> dict[str, bool]:
    """Names of a file, and whether each is clear."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return {line.rstrip("?"): not line.endswith("?") for line in lines if line and not line.startswith("#")}


def known(names: dict[str, bool], word: str) -> float:
    """1 for a clear name, 0.4 for one that is also a word, 0 for none; of a word in any case."""
    clear = names.get(word)
    if clear is None:
        clear = names.get(word.title())
    return 0.0 if clear is None else 1.0 if clear else 0.4
