"""Recognizers that need a word are looked for where a word can reach, and what is left out could not be told."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from leeward.data.documents import Buffer, Text, plain
from leeward.data.found import Found, resolve
from leeward.data.recognizer import BUILT_IN, load_recognizers
from leeward.data.scanner import Scanner

RECOGNIZERS = load_recognizers(sorted([*BUILT_IN.glob("national_*.yaml"), BUILT_IN / "financial.yaml"]))
WORDS = sorted({word.removesuffix("*") for recognizer in RECOGNIZERS for word in recognizer.words})
EXAMPLES = sorted({text for recognizer in RECOGNIZERS for text in (*recognizer.match, *recognizer.never)})
SCANNER = Scanner(RECOGNIZERS)
SCANNER.ready()


def without_windows(text: str) -> list[Found]:
    """What is found when everything is looked at everywhere, and then only what is told."""
    return resolve([found for found in SCANNER.each(plain(text), 0.0) if found.confidence >= 0.5])


_PIECE = st.one_of(
    st.sampled_from(EXAMPLES),
    st.sampled_from(WORDS),
    st.integers(10**6, 10**14).map(str),
    st.sampled_from(["customerSsn", "name,age", '"a": [', "]", "\n\n", "lorem ipsum dolor sit amet " * 4]),
)
_SENTENCES = st.lists(st.tuples(_PIECE, st.sampled_from([" ", "\n", ", ", ": ", "_", " = "])), max_size=12).map(
    lambda pieces: "".join(piece + separator for piece, separator in pieces)
)
_NUMBERS = st.lists(st.integers(10**8, 10**12).map(str), min_size=12, max_size=12)


@st.composite
def _tables(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(WORDS), min_size=3, max_size=3))
    numbers = draw(_NUMBERS)
    rows = [",".join(numbers[at : at + 3]) for at in range(0, 12, 3)]
    return "\n".join([",".join(names), *rows, ""])


@st.composite
def _arrays(draw: st.DrawFn) -> str:
    return json.dumps({draw(st.sampled_from(WORDS)): draw(_NUMBERS)}, ensure_ascii=False)


@given(st.one_of(_SENTENCES, _tables(), _arrays()))
def test_windows_leave_nothing_out(text: str) -> None:
    told = {(f.kind, f.start, f.end) for f in SCANNER.scan_text(text) if f.near < 60}
    every = {(f.kind, f.start, f.end) for f in without_windows(text) if f.near < 60}
    assert every <= told


def test_numbers_without_words_are_not_looked_at() -> None:
    text = "\n".join(str(10**10 + 7919 * n) for n in range(20_000))
    assert len(SCANNER._matcher.spots(Buffer(plain(text)))) < 200


def test_a_word_in_a_header_reaches_every_row() -> None:
    rows = "".join(f"person {n},219{n:02}9998,x\n" for n in range(10, 60))
    found = SCANNER.scan_text(f"name,ssn,note\n{rows}")
    assert len([f for f in found if f.kind == "pii.national_id.us"]) == 50


def test_a_label_reaches_its_text() -> None:
    found = SCANNER.scan([Text("$.a", "219099998", "ssn"), Text("$.b", "219099997", "height")])
    assert [f.text for f in found if f.kind == "pii.national_id.us"][:1] == [0]


def test_words_cannot_make_it_forget() -> None:
    """A text of nothing but words is one window, and is read to its end."""
    found = SCANNER.scan_text("tin " * 50_000 + "ssn 219099998")
    assert [f.kind for f in found] == ["pii.national_id.us"]
