"""What is sensitive for the user: exact data, fingerprints of documents, dictionaries, and the file that names them."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leeward.data import indexfile
from leeward.data.custom import load_custom
from leeward.data.dictionary import DictionaryFinder
from leeward.data.exact import ExactFinder, ExactIndex
from leeward.data.exactfile import build_exact
from leeward.data.fingerprints import DocumentFinder, FingerprintIndex, build_fingerprints, without_licence
from leeward.data.hashing import Keyed
from leeward.data.scanner import Scanner
from leeward.data.shingles import WINDOW, WORDS, hashes_of, spans_of, winnowed, words_of
from leeward.model.errors import InputError

KEYED = Keyed(b"k" * 32)
ROWS = [
    ["C-100777", "Greta Weber", "greta.weber@mail.example", "+49 (30) 7637673", "active"],
    ["C-100778", "Anna Maria Østergård", "amo@mail.example", "+45 12 34 56 78", "active"],
    ["C-100779", "李小龙 Lee", "lee@mail.example", "12", "closed"],
]
ADJECTIVES, NOUNS = ("red", "blue", "old", "new", "tall"), ("house", "tree", "road", "river")
VERBS = ("stands", "falls", "sings", "waits", "burns")
NOVEL = " ".join(f"{a} {b} {c}" for a in ADJECTIVES for b in NOUNS for c in VERBS)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exact") / "customers.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "name", "email", "phone", "state"], *ROWS])
    return path


@pytest.fixture(scope="module")
def exact(table: Path) -> ExactIndex:
    build_exact(table, [], table.with_suffix(".lwx"), KEYED)
    return ExactIndex.load(table.with_suffix(".lwx"), KEYED)


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("customer C-100777 called", "id", "C-100777"),
        ("customer c100777 called", "id", "c100777"),
        ("see GRETA  WEBER", "name", "GRETA  WEBER"),
        ("anna maria østergård", "name", "anna maria østergård"),
        ("<greta.weber@mail.example>", "email", "greta.weber@mail.example"),
        ("call +49 30 7637673 now", "phone", "49 30 7637673"),
        ("call +49(30)7637673 now", "phone", "49(30)7637673"),
        ("12345678 or 4512345678", "phone", "4512345678"),
    ],
)
def test_a_cell_is_known_again(exact: ExactIndex, text: str, column: str, value: str) -> None:
    assert [(c, text[start:end]) for c, start, end, _ in exact.find(text)] == [(column, value)]


@pytest.mark.parametrize("text", ["Greta and Weber", "C-100", "active", "12", "mail.example", "Anna Maria", ""])
def test_other_words_are_not(exact: ExactIndex, text: str) -> None:
    assert exact.find(text) == []


def test_cells_of_one_row_make_each_other_sure(exact: ExactIndex) -> None:
    same = exact.find("Greta Weber has the number C-100777")
    other = exact.find("Greta Weber has the number C-100778")
    assert [confidence for *_, confidence in same] == [0.97, 0.97]
    assert max(confidence for *_, confidence in other) < 0.97
    assert [confidence >= 0.5 for *_, confidence in exact.find("Greta Weber has the number C-100778", together=2)] == [
        False,
        False,
    ]
    assert [confidence >= 0.5 for *_, confidence in exact.find("Greta Weber has the number C-100777", together=2)] == [
        True,
        True,
    ]
    assert [
        confidence >= 0.5 for *_, confidence in exact.find("Greta Weber" + " x" * 300 + " C-100777", together=2)
    ] == [False, False]


def test_a_word_of_letters_alone_needs_company(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,city\nBaker,Mainz\nSmith,Trier\n")
    build_exact(path, [], tmp_path / "t.lwx", KEYED)
    index = ExactIndex.load(tmp_path / "t.lwx", KEYED)
    assert all(confidence < 0.5 for *_, confidence in index.find("a baker in Trier"))
    assert all(confidence > 0.9 for *_, confidence in index.find("Mr Baker of Mainz"))


def test_what_says_nothing_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\n" + "".join(f"same value;id{100000 + n}\n" for n in range(100)) + "true;x1\n")
    built = build_exact(path, [], tmp_path / "t.lwx", KEYED)
    assert built.rows == 101
    assert built.cells == 100
    assert built.left_out == {"common": 101, "short": 1}


def test_columns_are_chosen(table: Path, tmp_path: Path) -> None:
    build_exact(table, ["email"], tmp_path / "t.lwx", KEYED)
    index = ExactIndex.load(tmp_path / "t.lwx", KEYED)
    assert index.find("C-100777") == []
    assert len(index.find("amo@mail.example")) == 1


@pytest.mark.parametrize(
    ("content", "columns", "complaint"),
    [
        ("a,b\n1,2\n", ["c"], ":1: has no column c; it has a, b"),
        ("a,b\n1,2\n", [], "has no cell that could be known again"),
        ("", [], ":1: name 1 to 255 columns"),
        ('a,b\n"' + "x" * 200_000 + "\n", [], "is no CSV"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: str, columns: list[str], complaint: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"t\.csv") as error:
        build_exact(path, columns, tmp_path / "out", KEYED)
    assert complaint in str(error.value)


@pytest.mark.parametrize("raw", [b"a,b\n\xff\xfe,1\n", None])
def test_tables_that_cannot_be_read(tmp_path: Path, raw: bytes | None) -> None:
    path = tmp_path / "t.csv"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(InputError):
        build_exact(path, [], tmp_path / "out", KEYED)


def test_no_text_of_the_table_is_kept(table: Path, exact: ExactIndex) -> None:
    raw = table.with_suffix(".lwx").read_bytes()
    assert len(exact) == 11
    for row in ROWS:
        for cell in row:
            if len(cell) > 3:
                assert cell.encode() not in raw
                assert cell.lower().encode() not in raw
    assert table.with_suffix(".lwx").stat().st_mode & 0o077 == 0


@given(
    st.lists(
        st.sampled_from([*"abc", "greta", "weber", "C-100777", "lee@mail.example", "李小龙", " ", "\n", "-", "\ud800"]),
        max_size=20,
    ).map("".join)
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exact_data_in_any_text(exact: ExactIndex, text: str) -> None:
    at = 0
    for _, start, end, confidence in exact.find(text):
        assert at <= start < end <= len(text)
        assert 0 < confidence < 1
        at = end


# Fingerprints.


@pytest.fixture(scope="module")
def documents() -> FingerprintIndex:
    index = FingerprintIndex(KEYED)
    index.add("novel", NOVEL)
    index.add("other", " ".join(f"word{n} follows word{n + 1}" for n in range(300)))
    return index


@pytest.mark.parametrize(
    "change",
    [
        str,
        str.upper,
        lambda part: part.replace(" ", "\n"),
        lambda part: "> " + part.replace(" ", "  \t"),
        lambda part: part.replace(" ", ", "),
    ],
    ids=["as it is", "upper case", "lines", "indented", "commas"],
)
def test_sixty_words_are_known_again(documents: FingerprintIndex, change: object) -> None:
    part = " ".join(NOVEL.split()[90:150])
    assert callable(change)
    text = f"Please translate this for me: {change(part)} . Thank you very much, that would help."
    ((name, share, start, end),) = documents.find(text)
    assert name == "novel"
    assert 0 < share < 0.4
    assert 20 < start < 120
    assert start < end <= len(text) - 30


def test_the_whole_document_is_all_of_it(documents: FingerprintIndex) -> None:
    ((_, share, start, end),) = documents.find(NOVEL)
    assert share == 1.0
    assert start < 60
    assert end > len(NOVEL) - 60


def test_a_few_words_are_not_enough(documents: FingerprintIndex) -> None:
    assert documents.find(" ".join(NOVEL.split()[90:115])) == []
    assert documents.find("red house stands and the river sings, said the old road to the new tree") == []


def test_what_many_documents_share_says_nothing() -> None:
    index = FingerprintIndex(KEYED)
    for number in range(40):
        index.add(f"d{number}", NOVEL + " " + " ".join(f"own{number}x{n}" for n in range(60)))
    assert index.find(NOVEL) == []
    assert [name for name, *_ in index.find(" ".join(f"own7x{n}" for n in range(60)))] == ["d7"]


def test_a_short_document_is_not_added() -> None:
    index = FingerprintIndex(KEYED)
    assert index.add("short", "a few words only") == 0
    assert len(index) == 0


def test_an_index_is_saved_and_loaded(documents: FingerprintIndex, tmp_path: Path) -> None:
    path = tmp_path / "d.lwf"
    documents.save(path)
    again = FingerprintIndex.load(path, KEYED)
    assert again.find(NOVEL) == documents.find(NOVEL)
    assert b"river" not in path.read_bytes()
    assert path.stat().st_size < 12 * len(set(winnowed(hashes_of(words_of(NOVEL))))) + 8 * 400 + 400


def test_files_and_folders(tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "node_modules").mkdir(parents=True)
    licence = (
        "# Licensed under the Apache License, Version 2.0 (the License)\n" + "# you may not use this file except\n" * 20
    )
    (source / "own.py").write_text(
        licence + "\n".join(f"def function_{n}(argument_{n}): return other_{n} + {n}" for n in range(40))
    )
    (source / "LICENSE").write_text(NOVEL)
    (source / "node_modules" / "x.js").write_text(NOVEL)
    (source / "empty.txt").write_text("")
    (source / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    assert build_fingerprints([source], tmp_path / "x.lwf", KEYED) == (1, 2)
    index = FingerprintIndex.load(tmp_path / "x.lwf", KEYED)
    lines = (source / "own.py").read_text().split("\n")
    assert [name for name, *_ in index.find("\n".join("    " + line for line in lines[-9:-1]))] == ["src/own.py"]
    assert index.find(licence * 3) == []
    assert index.find(NOVEL) == []
    with pytest.raises(InputError):
        build_fingerprints([tmp_path / "nothing"], tmp_path / "y", KEYED)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("# MIT License\n#\n# more\nimport os\n", "import os\n"),
        ("/*\n * Licensed under the Apache License\n */\nint x;", "int x;"),
        ("import os\n", "import os\n"),
        ("# Copyright ACME, confidential\nimport os\n", "# Copyright ACME, confidential\nimport os\n"),
    ],
)
def test_open_licences_are_no_part_of_a_document(text: str, rest: str) -> None:
    assert without_licence(text) == rest


@given(st.lists(st.sampled_from("abcdefgh"), max_size=120), st.lists(st.sampled_from("uvwxyz"), max_size=30))
def test_winnowing_keeps_one_of_each_window(words: list[str], before: list[str]) -> None:
    """Schleimer et al., section 3: a match as long as the guarantee threshold is detected, wherever it stands."""
    kept = winnowed(hashes_of(words))
    assert len(hashes_of(words)) == max(len(words) - WORDS + 1, 0)
    if len(words) >= WORDS + WINDOW - 1:
        assert kept
        assert set(kept) <= set(hashes_of(words))
        moved = set(winnowed(hashes_of(before + words)))
        assert moved & set(kept)
    assert len(spans_of(" ".join(words))) == len(words)


@given(st.text(max_size=200))
def test_words_and_their_places(text: str) -> None:
    assert len(spans_of(text)) == len(words_of(text)) or len(text.lower()) != len(text)


# Index files.


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_broken_indexes_are_refused(table: Path, exact: ExactIndex, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(table.with_suffix(".lwx").read_bytes())
    head = raw.index(b"}}") if b"}}" in raw else 100
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, min(head + 40, len(raw) - 1)))] = data.draw(st.integers(0, 255))
    path = tmp_path / "broken.lwx"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    index = exact
    with contextlib.suppress(InputError):
        index = ExactIndex.load(path, KEYED)
    assert len(index.find("Greta Weber C-100777 greta.weber@mail.example")) <= 3


def test_the_key_of_another_installation_is_refused(table: Path, exact: ExactIndex) -> None:
    with pytest.raises(InputError, match="another installation"):
        ExactIndex.load(table.with_suffix(".lwx"), Keyed(b"z" * 32))


def test_an_index_of_another_sort_is_refused(table: Path, exact: ExactIndex) -> None:
    with pytest.raises(InputError, match="no index of this sort"):
        FingerprintIndex.load(table.with_suffix(".lwx"), KEYED)


def test_an_index_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        indexfile.save(tmp_path / "no" / "x", "m", KEYED, {}, {})


# Dictionaries and the configuration.


@pytest.mark.parametrize(
    ("entries", "text", "found"),
    [
        (["Blue Heron"], "project blue  heron.", ["blue  heron"]),
        (["Blue Heron"], "blueheron blue, green heron", []),
        (["Blue Heron", "Blue"], "Blue Heron and blue", ["Blue Heron", "blue"]),
        (["Übermorgen"], "ÜBERMORGEN!", ["ÜBERMORGEN"]),
        (["x-ray7"], "an X-ray7 x", ["X-ray7"]),
        (["機密計画"], "これは機密計画です。機密計画", ["機密計画", "機密計画"]),
        (["a"], "", []),
    ],
)
def test_dictionaries(entries: list[str], text: str, found: list[str]) -> None:
    finder = DictionaryFinder("words", entries, 0.9, True)
    assert [text[start:end] for _, start, end, _, _ in finder.find(text)] == found


def test_dictionaries_that_tell_case() -> None:
    finder = DictionaryFinder("words", ["Heron"], 0.9, False)
    assert [start for _, start, *_ in finder.find("heron Heron")] == [6]


def test_finders_name_kind_and_detector(exact: ExactIndex, documents: FingerprintIndex) -> None:
    finders = [
        ExactFinder("customers", exact),
        DocumentFinder("papers", documents),
        DictionaryFinder("words", ["blue road"], 0.9, True),
    ]
    found = Scanner([], finders).scan_text(f"Greta Weber: {NOVEL}")
    assert {(match.kind, match.detector) for match in found} == {
        ("custom.customers", "exact:customers.name"),
        ("custom.papers", "document:papers/novel"),
        ("custom.words", "dictionary:words"),
    }


CONFIG = r"""
patterns:
  - {name: project-code, pattern: 'PRJ-\d{5}', examples: ['PRJ-12345']}
  - {name: badge, pattern: '\d{6}', kind: custom.badge_number, confidence: 0.2, with_context: 0.9, context: [badge]}
dictionaries:
  - {name: code-words, words: [Blue Heron], file: words.txt}
exact:
  - {name: customers, index: customers.lwx, together: 1}
hosts: [corp.acme.com, intra]
owners: [ACME Corp]
"""


@pytest.fixture
def folder(table: Path, exact: ExactIndex) -> Path:
    (table.parent / "words.txt").write_text("# words\nRed Kite\n\n")
    (table.parent / "data.yaml").write_text(CONFIG)
    return table.parent


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("see PRJ-12345.", "custom.project-code", "PRJ-12345"),
        ("XPRJ-12345", "", ""),
        ("badge 123456", "custom.badge_number", "123456"),
        ("order 123456", "", ""),
        ("the blue heron", "custom.code-words", "blue heron"),
        ("a red kite", "custom.code-words", "red kite"),
        ("git.corp.acme.com/x", "internal.host", "git.corp.acme.com"),
        ("https://db01.eu.intra:5432", "internal.host", "db01.eu.intra"),
        ("the corp.acme.com page", "", ""),
        ("id C-100777", "custom.customers", "C-100777"),
    ],
)
def test_the_users_own(folder: Path, text: str, kind: str, value: str) -> None:
    custom = load_custom(folder / "data.yaml", KEYED)
    found = Scanner(custom.recognizers, custom.finders).scan_text(text)
    assert [(match.kind, match.value) for match in found] == ([(kind, value)] if kind else [])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("patterns: [{name: a, pattern: '('}]", "bad.yaml:1: a: missing )"),
        ("patterns:\n - {name: a, pattern: 'x(?=y)'}", "bad.yaml:2: a: pattern"),
        ("patterns: [{name: a, pattern: 'x', examples: ['y']}]", "a does not match y"),
        ("patterns: [{name: a, pattern: 'x', check: [nope]}]", "nope"),
        ("patterns: [{name: a, pattern: x1}, {name: a, pattern: x2}]", "a is given twice"),
        ("exact: [{name: q, index: nope.lwx}]", "nope.lwx: cannot be read"),
        ("exact: [{name: q, index: bad.yaml}]", "is no index"),
        ("fingerprints: [{name: q, index: bad.yaml}]", "is no index"),
        ("hosts: ['a b']", "hosts[0]: must match"),
        ("dictionaries: [{name: a}]", "has no words"),
        ("dictionaries: [{name: a, words: ['--']}]", "-- has no letter"),
        ("dictionaries: [{name: a, file: nope.txt}]", "nope.txt cannot be read"),
        ("recognizers: [nope.yaml]", "nope.yaml"),
        ("unknown: 1", "unknown field"),
    ],
)
def test_complaints_name_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_custom(path, KEYED)
    assert complaint in str(error.value)
