"""Persons, places and organisations: by lists and forms, by the network's words, and by both together."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.data import model_weights
from leeward.data.gazetteer import gazetteer, known, read_list
from leeward.data.gazetteer_finder import NameLists
from leeward.data.gazetteer_text import Match, Nearby, Spans, best, capitals, loose
from leeward.data.gazetteer_words import name_words, organisation_words
from leeward.data.model import MOST, NameModel, why_not
from leeward.data.model_judge import confidence, judged, weights
from leeward.data.model_spans import candidates
from leeward.data.model_weights import PACKAGE, Unusable, read_weights
from leeward.data.model_words import LABELS, WINDOW, Words, judge, windows

FLOOR = 0.5


def told(matches: Sequence[Match], text: str, kind: str) -> list[str]:
    return [
        text[m.start : m.end]
        for m in sorted(matches, key=lambda m: m.start)
        if m.kind == kind and m.confidence >= FLOOR
    ]


ORGANISATIONS = [
    ("Shares of Campbell PLC fell.", ["Campbell PLC"]),
    ("Our supplier Baker Hughes Company is late", ["Baker Hughes Company"]),
    ("Rechnung der Dr. Oetker GmbH & Co. KG vom Mai", ["Oetker GmbH & Co. KG"]),
    ("pracuje w Słyk sp. z o.o. od maja", ["Słyk sp. z o.o."]),
    ("la Monicelli-Avogadro s.r.l. ha vinto", ["Monicelli-Avogadro s.r.l."]),
    ("PKN Orlen S.A. och Randstad N.V.", ["PKN Orlen S.A.", "Randstad N.V."]),
    ("She studied at the University of Michigan and left", ["University of Michigan"]),
    ("admitted to Mount Sinai Hospital on Monday", ["Mount Sinai Hospital"]),
    ("First National Bank of Omaha", ["First National Bank of Omaha"]),
    ("the invoice of Torres, Mcdonald and Espinoza", ["Torres, Mcdonald and Espinoza"]),
    ("She works for Hansen-Lopez now", ["Hansen-Lopez"]),
    ("Gordon and Sons reported a loss", ["Gordon and Sons"]),
    ("Deutsche Bank announced a merger", ["Deutsche Bank"]),
    ("I work for Google in Zurich", ["Google"]),
    ("Grupo Valdivia y Hermanos", ["Grupo Valdivia"]),
    ("North Joseph, AS 78192", []),
    ("Ada Hansen-Lopez is here", []),
    ("open it in Google Chrome or Microsoft Word", []),
    ("Design Systems, Operating Systems and Terms of Service", []),
    ("the founders Smith, Jones and Brown met", []),
    ("980 Johnson Center", []),
    ("def Inc(self): return GmbH", []),
]


@pytest.mark.parametrize(("text", "expected"), ORGANISATIONS, ids=[t for t, _ in ORGANISATIONS])
def test_organisations(text: str, expected: list[str]) -> None:
    found = told(NameLists.default().matches(text), text, "pii.organisation")
    assert [name for name in found if any(e in name or name in e for e in expected)] == found
    assert len(found) == len(expected)


PERSONS = [
    ("Ask Anna Maria Kowalska about it", ["Anna Maria Kowalska"]),
    ("Jean-Pierre Dupont est là", ["Jean-Pierre Dupont"]),
    ("by Ludwig van der Meer.", ["Ludwig van der Meer"]),
    ("Sehr geehrte Frau Dr. Krause,", ["Krause"]),
    ("Mr. O'Neil called", ["O'Neil"]),
    ("Dear Xiomayra,", ["Xiomayra"]),
    ("Hi Marta, can you", ["Marta"]),
    ("author: Denis Mills", ["Denis Mills"]),
    ("Dear Team,", []),
    ("Hi Claude, write a poem", []),
    ("from torch.Anna import Smith_Jones", []),
    ("8326 Wilson Manor", []),
    ("12 rue Antoine Petit", []),
    ("45 Oak Dr Springfield", []),
    ("Mark Up and Will Power", []),
]


@pytest.mark.parametrize(("text", "expected"), PERSONS, ids=[t for t, _ in PERSONS])
def test_persons_by_lists(text: str, expected: list[str]) -> None:
    assert told(NameLists.default().matches(text), text, "pii.person") == expected


PLACES = [
    ("I was born in Zimbabwe.", ["Zimbabwe"]),
    ("In Cuba they sing", ["Cuba"]),
    ("er wohnt in München", ["München"]),
    ("We moved to New York last year", ["New York"]),
    ("Faroe Islands", ["Faroe Islands"]),
    ("America/New_York", []),
    ("Paris Hilton sings", []),
    ("the Boston Globe", []),
    ("import Georgia.font", []),
]


@pytest.mark.parametrize(("text", "expected"), PLACES, ids=[t for t, _ in PLACES])
def test_places_by_lists(text: str, expected: list[str]) -> None:
    assert told(NameLists.default().matches(text), text, "pii.location") == expected


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("ask Ada now", "Ada", True),
        ('"Ada"', "Ada", True),
        ("<b>Ada</b>", "Ada", True),
        ("name=Ada", "Ada", True),
        ("Ada: hi", "Ada", True),
        ("Dr.Ada", "Ada", True),
        ("torch.Ada", "Ada", False),
        ("/Ada/x", "Ada", False),
        ("Ada_x", "Ada", False),
        ("Ada::x", "Ada", False),
        ("Ada(1)", "Ada", False),
        ("user@Ada", "Ada", False),
        ("Ada.x", "Ada", False),
        ("the end is Ada.", "Ada", True),
    ],
)
def test_words_of_code_are_not_loose(text: str, word: str, expected: bool) -> None:
    at = text.index(word)
    assert loose(text, at, at + len(word)) is expected
    assert bool(capitals(text, {word})) is expected


PIECES = (
    *("Anna", "Smith", "Bank", "of", "S.A.", "GmbH", "Inc", "University", "Dr", "Paris"),
    *(" ", ", ", " & ", "-", ".", "é", "王", "x", "9", "\n"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=80))
def test_lists_find_only_what_is_there(text: str) -> None:
    for match in NameLists.default().matches(text):
        assert 0 <= match.start < match.end <= len(text)
        assert 0 < match.confidence < 1
        assert not text[match.start].isspace()
        assert not text[match.end - 1].isspace()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.sampled_from([0.2, 0.5, 0.9])), max_size=25))
def test_of_what_overlaps_the_surest_is_kept(drawn: list[tuple[int, int, float]]) -> None:
    found = [Match("k", start, start + size, sure, "d") for start, size, sure in drawn]
    kept = best(found)
    assert all(a.end <= b.start for a, b in pairwise(kept))
    for match in found:
        rivals = [k for k in kept if k.start < match.end and k.end > match.start]
        assert rivals
        assert max(k.confidence for k in rivals) >= match.confidence
        assert list(Nearby(kept).overlapping(match.start, match.end)) == rivals
        assert not Spans(kept).free(match.start, match.end)


def test_lists_say_where_they_come_from() -> None:
    folder = Path(model_weights.__file__).parent / "lists"
    for name in ("given_names", "surnames", "places", "countries", "organisations", "street_words", "not_persons"):
        assert (folder / f"{name}.txt").read_text(encoding="utf-8").startswith("# "), name
        assert len(read_list(folder / f"{name}.txt")) > 100, name


def test_an_ordinary_word_weighs_less_than_a_clear_name() -> None:
    names = gazetteer()
    assert known(names.given, "katarzyna") == known(names.given, "KATARZYNA") == 1.0
    assert 0 < known(names.given, "Rose") < 1
    assert known(names.given, "Xqz") == 0


def test_words_around_names_do_not_contradict_each_other() -> None:
    words, organisations = name_words(), organisation_words()
    assert words.titles.isdisjoint(words.greetings)
    assert organisations.strong.isdisjoint(organisations.weak | organisations.firm)
    assert organisations.firm.isdisjoint(organisations.weak)


def test_a_long_text_is_cut_and_counted() -> None:
    lists = NameLists()
    assert not lists.matches("x " * 60_000 + "Anna Smith")
    assert lists.cut == 1


# What the network says, made by hand: `word:LABEL` or a word alone; odds 0.9.


def said(marked: str, odds: float = 0.9) -> tuple[str, Words]:
    text, starts, ends, rows = "", [], [], []
    for token in marked.split(" "):
        word, _, label = token.partition(":")
        word = word.replace("␤", "\n")
        if not word.strip("\n"):
            text += word
            continue
        text += "" if not text or text.endswith(("\n", "-", "'")) or word in (",", ".", "-", "'") else " "
        starts.append(len(text))
        text += word
        ends.append(len(text))
        row = np.zeros(len(LABELS), np.float32)
        if label:
            row[LABELS.index(label)] = odds
        rows.append(row)
    return text, Words(np.array(starts), np.array(ends), np.array(rows))


G, S, B, R, X, C, T, Z = (
    "GIVEN_NAME",
    "SURNAME",
    "BUILDING_NUMBER",
    "STREET_NAME",
    "SECONDARY_ADDRESS",
    "CITY",
    "STATE",
    "ZIP_CODE",
)
SPANS = [
    (f"ask Tom:{G} Amble:{S} now", [("pii.person", "Tom Amble")]),
    (f"Ann:{G} and Bob:{G}", [("pii.person", "Ann"), ("pii.person", "Bob")]),
    (f"Ada:{G} Nowak , London", [("pii.person", "Ada Nowak")]),
    (f"Ann:{G} Garcia:{S} - Lopez", [("pii.person", "Ann Garcia-Lopez")]),
    (f"Ludwig:{G} van der Meer:{S}", [("pii.person", "Ludwig van der Meer")]),
    (f"Monsieur Legendre:{S} habite:{S} ici", [("pii.person", "Legendre")]),
    (f"Ann:{G} ␤ Bob:{G}", [("pii.person", "Ann"), ("pii.person", "Bob")]),
    (
        f"at 5:{B} Oak:{R} Street:{R} , Reno:{C} , NV:{T} 89501:{Z} now",
        [("pii.address", "5 Oak Street, Reno, NV 89501")],
    ),
    (
        f"5:{B} Oak:{R} Street:{R} ␤ Reno:{C} ␤ 6:{B} Elm:{R} Street:{R}",
        [("pii.address", "5 Oak Street\nReno"), ("pii.address", "6 Elm Street")],
    ),
    (f"in Reno:{C} today", [("pii.location", "Reno")]),
    (f"from Reno:{C} , Paris:{C}", [("pii.location", "Reno"), ("pii.location", "Paris")]),
    (f"code 89501:{Z} only", []),
    (f"number 5:{B} only", []),
    ("nothing at all", []),
]


@pytest.mark.parametrize(("marked", "expected"), SPANS, ids=[m for m, _ in SPANS])
def test_parts_become_one(marked: str, expected: list[tuple[str, str]]) -> None:
    text, words = said(marked)
    assert [(c.kind, text[c.start : c.end]) for c in candidates(text, words, gazetteer())] == expected


def found_in(marked: str, odds: float = 0.9) -> dict[str, tuple[str, float]]:
    text, words = said(marked, odds)
    return {
        text[m.start : m.end]: (m.kind, m.confidence) for m in judged(text, words, NameLists.default(), gazetteer())
    }


def test_a_name_inside_an_organisation_is_no_person() -> None:
    assert found_in(f"invoice of Zorblax:{S} GmbH")["Zorblax GmbH"][0] == "pii.organisation"
    assert "Zorblax" not in found_in(f"invoice of Zorblax:{S} GmbH")


def test_owners_that_no_list_knows_are_known_by_the_network() -> None:
    assert found_in(f"shares of Zorb:{S} - Quuxel:{S} fell")["Zorb-Quuxel"][0] == "pii.organisation"


def test_a_label_says_what_a_value_is() -> None:
    assert found_in(f"ort = Ternitz:{S}")["Ternitz"][0] == "pii.location"
    assert "Ternitz" not in found_in(f"company = Ternitz:{S}")


def test_code_and_products_are_less_sure_than_names() -> None:
    name = found_in(f"ask Katarzyna:{G} about it")["Katarzyna"][1]
    for other in (f"ask Kafka:{G} about it", f"call x_katarzyna:{G} about it", f"ask katarzyna:{G} about it"):
        assert max(sure for _, sure in found_in(other).values()) < name


def test_a_person_named_in_full_is_known_again() -> None:
    again = found_in(f"Katarzyna:{G} Nowak:{S} left. Then Nowak wept", 0.99)
    assert again["Nowak"][0] == "pii.person"


@pytest.mark.parametrize("kind", sorted(weights().kinds))
def test_confidence_grows_with_the_odds(kind: str) -> None:
    steps = [
        confidence(weights().kinds[kind], {"odds": math.log(p / (1 - p))}) for p in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
    ]
    assert steps == sorted(steps)
    assert 0 <= steps[0] < steps[-1] < 1


def test_there_are_weights_for_every_kind() -> None:
    assert set(weights().kinds) == {"pii.person", "pii.address", "pii.location"}


@given(st.lists(st.integers(1, 9), max_size=200))
def test_windows_cover_every_token_and_cut_no_word(sizes: list[int]) -> None:
    ids: list[int | None] = [word for word, size in enumerate(sizes) for _ in range(size)]
    pieces = windows(0, ids)
    assert {i for p in pieces for i in range(p.first, p.last)} == set(range(len(ids)))
    for piece in pieces:
        assert 0 < piece.last - piece.first <= WINDOW - 2
        assert piece.first == 0 or ids[piece.first] != ids[piece.first - 1]
    assert len(pieces) <= 1 + len(ids) // 100


def test_one_word_longer_than_a_window_comes_to_an_end() -> None:
    pieces = windows(0, [0] * 3000)
    assert pieces[-1].last == 3000
    assert all(p.last - p.first <= WINDOW - 2 for p in pieces)


class FakeEncoding:
    """One token a character."""

    def __init__(self, text: str) -> None:
        self.ids = [10 + ord(c) % 7 for c in text]
        self.offsets = [(i, i + 1) for i in range(len(text))]
        self.word_ids: list[int | None] = [text[:i].count(" ") for i in range(len(text))]


class FakeSession:
    """Says of a token that its label is its id less ten."""

    def __init__(self) -> None:
        self.widest = 0

    def run(self, _: None, inputs: dict[str, Any]) -> list[Any]:
        ids = inputs["input_ids"]
        self.widest = max(self.widest, ids.shape[1])
        logits = np.zeros((*ids.shape, 1 + 2 * len(LABELS)), np.float32)
        rows, columns = np.indices(ids.shape)
        logits[rows, columns, np.clip(1 + 2 * (ids - 10), 0, None)] = 9.0
        return [logits]


@given(st.lists(st.text("abcdefg ", min_size=1, max_size=700), min_size=1, max_size=4))
def test_every_word_is_judged_whatever_the_window(texts: list[str]) -> None:
    session = FakeSession()
    words = judge(session, [FakeEncoding(text) for text in texts], texts)
    assert session.widest <= WINDOW
    for text, said_of in zip(texts, words, strict=True):
        alone = judge(FakeSession(), [FakeEncoding(text)], [text])[0]
        assert np.array_equal(alone.odds, said_of.odds)
        if len(text) > 1 and any(text[i : i + 2].isalpha() for i in range(len(text) - 1)) and len(text) < WINDOW:
            assert (said_of.odds.sum(axis=1) > 0.5).all()


def test_weights_that_are_not_ours_are_not_loaded(tmp_path: Path) -> None:
    for name, size, _ in (model_weights.NETWORK, model_weights.TOKENIZER):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0" * size)
    with pytest.raises(Unusable, match="SHA-256"):
        read_weights(tmp_path)
    assert NameModel.load(tmp_path) is None
    assert "SHA-256" in why_not(tmp_path)


def test_missing_weights_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be read" in why_not(tmp_path)
    monkeypatch.setattr(model_weights.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in why_not()
    assert NameModel.load() is None


@pytest.fixture(scope="module")
def model() -> NameModel:
    """`make setup` installs what it needs."""
    assert why_not() == ""
    loaded = NameModel.load()
    assert loaded is not None
    return loaded


P, A, L, ORG = "pii.person", "pii.address", "pii.location", "pii.organisation"
TOGETHER = [
    (
        "My manager Janusz Kowalski works at Zorblax Ltd in Kraków.",
        {"Janusz Kowalski": P, "Zorblax Ltd": ORG, "Kraków": L},
    ),
    ("hi my name is maria gonzalez", {"maria gonzalez": P}),
    ("Ship it to 45 Oak Street, Springfield, IL 62704.", {"45 Oak Street, Springfield, IL 62704": A}),
    (
        "Der Patient Jürgen Müller wohnt in der Hauptstraße 5, 80331 München.",
        {"Jürgen Müller": P, "Hauptstraße 5, 80331 München": A},
    ),
    ("def total(items):\n    return sum(i.price for i in items)\n", {}),
    ("ERROR Worker Thread-3 died: Broken pipe; Warning: retry", {}),
    ("Hi Claude, restart Jenkins and Kafka", {}),
]


@pytest.mark.parametrize(("text", "expected"), TOGETHER, ids=[t[:30] for t, _ in TOGETHER])
def test_network_and_lists_together(model: NameModel, text: str, expected: dict[str, str]) -> None:
    (found,) = model.find([text])
    assert {text[start:end]: kind for kind, start, end, sure, _ in found if sure >= FLOOR} == expected


def test_the_package_of_the_weights_is_not_imported(model: NameModel) -> None:
    model.find(["Anna Smith"])
    assert PACKAGE not in sys.modules


def test_a_label_is_read_and_not_reported(model: NameModel) -> None:
    (found,) = model.find(["Zofia"], ["first_name"])
    assert [(kind, start, end) for kind, start, end, _, _ in found] == [("pii.person", 0, 5)]


def test_same_texts_same_answers_in_their_order(model: NameModel) -> None:
    texts = ["Anna Smith", "", "x", "Live in Berlin, Anna", "Zofia Nowak left."] * 8
    first = model.find(texts)
    assert first == model.find(texts)
    assert len(first) == len(texts)
    assert first[:5] == first[5:10]


def test_what_is_too_long_is_cut_and_counted(model: NameModel) -> None:
    before = model.counters["characters_beyond"]
    (found,) = model.find(["1 " * (MOST // 2) + "Anna Smith"])
    assert found == []
    assert model.counters["characters_beyond"] == before + len("Anna Smith")
