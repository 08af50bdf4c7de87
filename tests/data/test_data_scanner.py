"""The engine: spans in any text, context, what overlaps, and text made to cost time."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.jsontext import load
from leeward.data import scanner as engine
from leeward.data.documents import Buffer, Text, apart, texts_of
from leeward.data.found import Found, resolve
from leeward.data.recognizer import Expression, Recognizer, built_in, load_recognizers, words
from leeward.data.scanner import Scanner
from leeward.data.standard import standard_scanner
from leeward.model.errors import InputError

WORD = Recognizer("word", "custom.word", (r"\bxyzzy\b",), 0.9, 0.9)
NUMBER = Recognizer(
    "number", "custom.number", (r"\b\d{6}\b",), 0.3, 0.95, context=words(["badge", "kenn*"]), against=words(["order"])
)


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner([WORD, NUMBER])


@given(st.text(max_size=60), st.text(max_size=60))
def test_spans_are_in_characters_of_any_text(before: str, after: str) -> None:
    scanner = Scanner([WORD])
    text = f"{before} xyzzy {after}"
    found = [f for f in scanner.scan_text(text) if f.start == len(before) + 1]
    assert [text[f.start : f.end] for f in found] == ["xyzzy"]


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("badge 123456", 0.95),
        ("the BADGE no. is 123456", 0.95),
        ("123456 is on the badge", 0.95),
        ("badgeNumber=123456", 0.95),
        ("user_badge: 123456", 0.95),
        ("Kennnummer 123456", 0.95),
        ("badger 123456", 0.3),
        ("badge " + "x " * 60 + "123456", 0.3),
        ("order 123456", 0.3 * 0.3),
        ("badge of order 123456", 0.95 * 0.3),
    ],
)
def test_the_words_around_decide(scanner: Scanner, text: str, confidence: float) -> None:
    assert [round(f.confidence, 4) for f in scanner.scan_text(text, 0.0)] == [round(confidence, 4)]


def test_a_key_is_context_and_texts_do_not_run_into_each_other(scanner: Scanner) -> None:
    found = scanner.scan(texts_of({"badge": 123456, "a": ["xyz", "zy"], "b": {"order_badge": ["654321"]}}))
    assert [(f.text, f.value) for f in found] == [(0, "123456"), (3, "654321")]


def test_decimals_are_no_numbers(scanner: Scanner) -> None:
    assert scanner.scan_text("badge 0.123456") == []
    assert len(scanner.scan_text("badge no.123456")) == 1


def test_paths() -> None:
    value = {"a": [{"b c": "x"}], "it's": {"1": "y"}, "n": 1.5, "t": True, "e": ""}
    assert [(t.path, t.text, t.label) for t in texts_of(value)] == [
        ("$.a[0]['b c']", "x", "b c"),
        (r"$['it\'s']['1']", "y", "1"),
        ("$.n", "1.5", "n"),
    ]
    assert apart("customerSsn2Id") == "customer ssn2 id"


@given(st.lists(st.text(max_size=20), max_size=8), st.data())
def test_a_buffer_knows_the_way_back(values: list[str], data: st.DataObject) -> None:
    texts = [Text("$", value, "label" if i % 2 else "") for i, value in enumerate(values)]
    buffer = Buffer(texts)
    start = data.draw(st.integers(0, len(buffer.data)))
    end = data.draw(st.integers(start, len(buffer.data)))
    place = buffer.locate(start, end)
    piece = buffer.data[start:end]
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return
    if place is not None and text:
        number, first, last = place
        assert values[number].encode("utf-8", "replace").decode()[first:last] == text


def match(start: int, end: int, confidence: float, kind: str = "a.b", near: int = 80) -> Found:
    return Found(kind, 0, start, end, confidence, "d", "v", near=near)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([(0, 5, 0.9), (3, 8, 0.8)], [(0, 5)]),
        ([(0, 5, 0.8), (3, 8, 0.9)], [(3, 8)]),
        ([(0, 18, 0.8), (8, 18, 0.9)], [(0, 18)]),  # what contains it is nearly as sure
        ([(0, 18, 0.5), (8, 18, 0.9)], [(8, 18)]),
        ([(0, 5, 0.9), (5, 8, 0.5), (9, 10, 0.5)], [(0, 5), (5, 8), (9, 10)]),
    ],
)
def test_what_overlaps(found: list[tuple[int, int, float]], kept: list[tuple[int, int]]) -> None:
    for order in (found, found[::-1]):
        assert [(f.start, f.end) for f in resolve([match(*f) for f in order])] == kept


def test_the_nearer_word_wins() -> None:
    [kept] = resolve([match(0, 6, 0.9, "a.far", near=70), match(0, 6, 0.9, "a.near", near=3)])
    assert kept.kind == "a.near"


def test_text_made_to_cost_time_is_left_where_it_stands(scanner: Scanner) -> None:
    """After so many wrong ones in a stretch no more are tried there; the next stretch is looked at again."""
    flood = "123456 " * (3 * engine._STRETCH // 7)
    before = scanner.counters["data_spots_left"]
    found = scanner.scan_text(f"{flood}\nmy badge is 654321")
    assert [f.value for f in found] == ["654321"]
    assert scanner.counters["data_spots_left"] > before


def test_too_many_reports_are_looked_at_in_windows() -> None:
    eager = Recognizer("eager", "custom.eager", ("a",), 0.1, 0.1)
    scanner = Scanner([eager, WORD])
    assert [f.value for f in scanner.scan_text("a" * 200_000 + " xyzzy")] == ["xyzzy"]
    assert scanner._matcher.cut > 0


def test_a_flood_of_one_family_hides_nothing_of_another() -> None:
    eager = Recognizer("eager", "custom.eager", ("a",), 0.1, 0.1, source="/x/eager.yaml:1")
    word = msgspec.structs.replace(WORD, source="/x/word.yaml:1")
    scanner = Scanner([eager, word])
    flood = "a" * 100_000
    assert [f.value for f in scanner.scan_text(f"{flood} xyzzy {flood}")] == ["xyzzy"]
    assert scanner._matcher.cut > 0


@pytest.mark.parametrize("size", [10, 3_000, 30_000])
def test_a_match_starts_where_it_starts_however_far(size: int) -> None:
    scanner = Scanner([Recognizer("far", "custom.far", (r"begin [^.]*\.",), 0.9, 0.9)])
    value = f"begin {'y ' * (size // 2)}."
    assert [f.value for f in scanner.scan_text(f"{'x ' * 40_000}{value} begin no. {'x ' * 40_000}")] == [
        value,
        "begin no.",
    ]


SIGNED = Recognizer("signed", "custom.signed", (r"\b[A-Z]\d{3}[A-Z]{4}\b",), 0.9, 0.9, signs=(r"\d{3}",), reach=8)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A123BCDE", ["A123BCDE"]),
        ("A123BCDE F456GHIJ", ["A123BCDE", "F456GHIJ"]),
        ("x" * 50_000 + " A123BCDE " + "é" * 50_000 + " F456GHIJ", ["A123BCDE", "F456GHIJ"]),
        ("é" * 9 + "A123BCDE", ["A123BCDE"]),
        ("A12BCDE", []),
        ("123 A12 BCDE", []),
        ("_" * 9 + "A123BCDE" + "_" * 9, []),
        ("A123BCDE" + "_" * 9, []),
    ],
)
def test_what_has_a_sign_is_looked_for_near_it(text: str, values: list[str]) -> None:
    assert [f.value for f in Scanner([SIGNED]).scan_text(text)] == values


@pytest.mark.parametrize("recognizer", [r for r in built_in() if r.signs], ids=lambda r: r.id)
def test_signs_change_nothing_but_the_time(recognizer: Recognizer) -> None:
    plain = Scanner([msgspec.structs.replace(recognizer, signs=(), reach=0)])
    signed = Scanner([recognizer])
    examples = [*recognizer.match, *recognizer.never]
    for text in (*examples, " ".join(examples), "\n\n".join("x" * 200 + f" {example}," for example in examples)):
        assert signed.scan_text(text, 0.0) == plain.scan_text(text, 0.0)


class Passages:
    """A Finder that remembers what it was asked."""

    kinds = ("custom.passage",)
    passages = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, text: str) -> list[tuple[str, int, int, float, str]]:
        self.asked.append(text)
        return [("custom.passage", 0, len(text), 0.9, "passage")]


def test_passages_are_looked_for_in_what_is_encoded_not_in_what_is_rewritten() -> None:
    finder = Passages()
    inner = "this was hidden in a piece of text"
    text = f"caf%C3%A9 {base64.b64encode(inner.encode()).decode()}"
    decoder = next(r for r in built_in() if r.unwrap == "run")
    Scanner([decoder], [finder]).scan_text(text)
    assert set(finder.asked) == {text, inner}


@pytest.mark.parametrize(
    "text",
    ["a" * 300_000, "7" * 300_000, "[" * 100_000, '"' * 300_000, "\\" * 100_000, "=" * 300_000, "\u200b" * 100_000],
)
def test_evil_texts_end(text: str) -> None:
    """pytest's time limit is the assertion: anything that is not linear takes hours here."""
    assert Scanner.default().scan_text(text) == []


def test_deep_json_is_read_as_far_as_it_goes() -> None:
    text = "[" * 100_000 + '"card 4111 1111 1111 1111"' + "]" * 100_000
    assert isinstance(texts_of(load(text).value), list)
    assert [f.kind for f in Scanner.default().scan_text(text)] == ["financial.card"]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("patterns", ["(?<=a)b"], "pattern"),
        ("exact", "(", "exact"),
        ("check", ["no_such_check"], "no_such_check is no check"),
        ("keep", [1], "keep: needs two numbers"),
        ("context", ["x"], "with_context"),
        ("around", [1, 1], "around: needs exact"),
        ("confidence", 2, "confidence"),
        ("kind", "nothing", "kind"),
        ("colour", "red", "colour: unknown field"),
        ("signs", ["x"], "signs: needs reach"),
        ("reach", 8, "signs: needs reach"),
    ],
)
def test_a_recognizer_with_an_error_is_named(tmp_path: Path, field: str, value: object, complaint: str) -> None:
    fields = {"id": "mine", "kind": "custom.mine", "patterns": [r"\bx\b"], "confidence": 0.5,
              "examples": {"match": ["x"], "not": ["y"]}}  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"recognizers": [fields | {field: value}]}))
    with pytest.raises(InputError, match=rf"mine.yaml:\d+: .*{complaint}"):
        Scanner(load_recognizers([path])).ready()


@pytest.mark.parametrize("between", ["", "x", "é", "x" * 900, "x" * 5000, "é" * 5000])
def test_starts_in_a_long_text(between: str) -> None:
    """Near the ends, and where one is farther away, everywhere."""
    span = Recognizer("span", "custom.span", (r"\bbegin[^!]*!", "¡[^!]{2}!"), 0.9, 0.9)
    text = f"{'é lorem ipsum ' * 2000}xbegin! begin{between}! {'¡' * 9}!{'dolor sit é' * 3000}¡é¡! ¡12"
    found = Scanner([span]).scan_text(text)
    assert [text[f.start : f.end] for f in found] == [f"begin{between}!", "¡¡¡!", "¡é¡!"]


def test_exact_is_searched_in_the_tail() -> None:
    exact = Expression.of(r"^.*?(?P<value>bo?rn?\w* \d+)$")
    tailed = Recognizer("tailed", "custom.tailed", (r"\bborn[^\d]*\d+\b",), 0.9, 0.9, exact=exact, tail=16)
    for between in ("x " * 500, "é " * 500, "é" * 501):
        text = f"born {between}born 1974."
        assert [text[f.start : f.end] for f in Scanner([tailed]).scan_text(text)] == ["born 1974"]
    assert Scanner([tailed]).scan_text("born a long time before, as one may see, 1974.") == []


CARD, KEY, PERSON = "4111 1111 1111 1111", "AKIAZ7DN5XRVUQH3TBKE", "Mr. John Smith"
ENCODED = base64.b64encode(f"the key is {KEY}, please keep it".encode()).decode()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("financial.card", [(0, "financial.card")]),
        ("secret.aws", [(1, "secret.aws_access_key_id"), (3, "secret.aws_access_key_id")]),
        ("pii.person", [(2, "pii.person")]),
        ("custom.", []),
    ],
)
def test_only_kinds_that_are_wanted(wanted: str, expected: list[tuple[int, str]]) -> None:
    texts = texts_of([f"card {CARD}", f"key {KEY}", f"Ask {PERSON} in Paris, France.", ENCODED])
    every = {(f.text, f.kind) for f in standard_scanner().scan(texts)}
    assert every > set(expected)
    found = standard_scanner(kinds=lambda kind: kind.startswith(wanted)).scan(texts)
    assert [(f.text, f.kind) for f in found] == expected


def test_all_expressions_are_made_when_asked_for() -> None:
    made = []

    def make() -> re.Pattern[str]:
        made.append(1)
        return re.compile("x")

    scanner = Scanner([Recognizer("seldom", "custom.seldom", ("seldom",), 0.9, 0.9, exact=Expression(make))])
    scanner.ready()
    assert not made
    scanner.make_expressions()
    scanner.scan_text("seldom")
    assert len(made) == 1
