"""Health data: terms beside words of care, codes, and numbers of patients with their check digits; and lists of terms."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.data import terms
from leeward.data.checks import find_check
from leeward.data.documents import texts_of
from leeward.data.recognizer import BUILT_IN, load_recognizers
from leeward.data.scanner import Scanner
from leeward.model.errors import InputError

FILES = [BUILT_IN / "health_terms.yaml", BUILT_IN / "health_numbers.yaml"]
LISTS = sorted((BUILT_IN.parent / "lists").glob("health_*.txt"))
SENTENCES = [
    "The patient was diagnosed with [type 2 diabetes] and [hypertension].",
    "I've been taking [sertraline] for my [anxiety] since March.",
    "Rx: [Metformin] 500 mg twice daily, [Lisinopril] 10 mg once daily",
    "Discharge diagnosis: [pneumonia], ICD-10 [J18.9]",
    "John tested positive for [HIV] in 2015.",
    "Her mother died of [breast cancer].",
    "He underwent an [appendectomy], then a [colonoscopy], at the hospital.",
    "Hx: [Parkinson’s disease], [post-traumatic\nstress disorder]",
    "Employee on sick leave with [burnout] and [panic disorder].",
    "Der Patient leidet an [Vorhofflimmern] und [Bluthochdruck].",
    "Elle prend de la [lévothyroxine] pour son [hypothyroïdie].",
    "Paciente de 54 años con [hipertensión] y [diabetes tipo 2].",
    "Il paziente soffre di [celiachia].",
    "O paciente toma [losartana] por [insuficiência cardíaca].",
    "Patiënt met [hartfalen] slikt [metoprolol].",
    "U mojej mamy zdiagnozowano [raka piersi].",
]
NOTHING = [
    "The cancer dataset from sklearn has 569 samples.",
    "def insulin_pump_api(self): return self.pump",
    "There is a depression in the loss graph around epoch 40.",
    "A stroke of 2px; a cold start; shock absorbers",
    "What is the chemical structure of metformin?",
    "The economy went into depression in 1929.",
    "ADD COLUMN, ALL TABLES, MS SQL server, ALS ports",
    "E11.9 and P99.9 and V10.25 and B12",
    "class Psoriasis: asthma_flag = load_breast_cancer()",
    "I have a bug: the anxiety of null pointers",
]
NUMBERS = [
    ("MRN: 00123456", "00123456"),
    ("MRN00123456", "00123456"),
    ("medical record number 4471-882.", "4471-882"),
    ("Patient ID: P-204518", "P-204518"),
    ("patientId=8821934", "8821934"),
    ("Patientennummer 4711882", "4711882"),
    ("historia clínica nº 123456", "123456"),
    ("Health Insurance ID: XHB123456789", "XHB123456789"),
    ("MBI 1EG4-TE5-MK73", "1EG4-TE5-MK73"),
    ("DEA# BJ6125341", "BJ6125341"),
    ("NPI number: 1245319599", "1245319599"),
    ("Krankenkasse, KVNR A123456780", "A123456780"),
    ("CNS 700 0000 0000 0005", "700 0000 0000 0005"),
    ("80756000080123456789", "80756000080123456789"),
]


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    scanner = Scanner(load_recognizers(FILES))
    scanner.ready()
    return scanner


@pytest.mark.parametrize("sentence", SENTENCES)
def test_finds_terms_where_they_stand(scanner: Scanner, sentence: str) -> None:
    text, spans = sentence.replace("[", "").replace("]", ""), []
    for i, part in enumerate(sentence.split("[")[1:], 1):
        start = len("".join(sentence.split("[")[:i]).replace("]", ""))
        spans.append((start, start + part.index("]")))
    found = [(match.start, match.end) for match in scanner.scan_text(text) if match.kind == "health.term"]
    assert found == spans


@pytest.mark.parametrize("text", NOTHING)
def test_finds_nothing(scanner: Scanner, text: str) -> None:
    assert [(match.detector, match.value) for match in scanner.scan_text(text)] == []


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_finds_numbers(scanner: Scanner, text: str, value: str) -> None:
    found = [text[match.start : match.end] for match in scanner.scan_text(text) if match.kind == "health.record_number"]
    assert found == [value]


def test_keys_of_json_are_context(scanner: Scanner) -> None:
    texts = texts_of({"diagnosis": ["asthma"], "medication": "atorvastatin", "mrn": 448812})
    found = {(texts[match.text].path, match.kind) for match in scanner.scan(texts)}
    assert found == {
        ("$.diagnosis[0]", "health.term"),
        ("$.medication", "health.term"),
        ("$.mrn", "health.record_number"),
    }
    assert scanner.scan(texts_of({"topic": "asthma"})) == []


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_term_of_a_list_is_found(scanner: Scanner, path: Path) -> None:
    listed = terms.read_terms(path)
    texts = texts_of([f"patient, diagnosed: {term}." for term in listed])
    found = {match.text for match in scanner.scan(texts) if match.kind == "health.term"}
    assert [term for number, term in enumerate(listed) if number not in found] == []


def test_lists_share_no_term() -> None:
    everything = [term.lower() for path in LISTS for term in terms.read_terms(path)]
    assert sorted({term for term in everything if everything.count(term) > 1}) == []


@pytest.mark.parametrize(
    ("check", "head", "tail"),
    [("kvnr", "M31011980", ""), ("dea", "BJ612534", ""), ("npi", "124531959", ""), ("medicare_au", "21234567", "1")],
)
def test_one_check_digit_fits(check: str, head: str, tail: str) -> None:
    assert sum(find_check(check)(f"{head}{digit}{tail}") for digit in range(10)) == 1


@settings(deadline=None)
@given(st.integers(0, 10**14 - 1))
def test_cartao_nacional_de_saude_is_divisible_by_eleven(number: int) -> None:
    digits = f"7{number:014}"
    weighted = sum(int(digit) * weight for digit, weight in zip(digits, range(15, 0, -1), strict=True))
    assert find_check("cns_br")(digits) is (weighted % 11 == 0)


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        *(
            (value, True)
            for value in ("Asthma", "asthmas", "heart-attack", "heart\nattack", "heart  attack", "alzheimer’s")
        ),
        *((value, False) for value in ("asthmatic", "xasthma", "asthma_", "heart", "")),
    ],
)
def test_a_term_is_whole_words_in_any_case(value: str, whole: bool) -> None:
    assert terms.is_term(["asthma", "heart attack", "Alzheimer's"])(value) is whole


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in ("asthma", "(asthma)", "an Asthma.", "asthmas", "ASTHMA!", "heart\nattack")),
        *((text, False) for text in ("asthmatic", "xasthma", "asthma1", "has_asthma", "heart")),
    ],
)
def test_terms_in_a_text(tmp_path: Path, text: str, found: bool) -> None:
    (tmp_path / "list.txt").write_text("# ours\nasthma\n\nheart attack\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        "recognizers:\n  - {id: a, kind: custom.a, terms: list.txt, confidence: 1, examples: {match: [asthma], not: [b]}}\n",
        encoding="utf-8",
    )
    assert bool(Scanner(load_recognizers([tmp_path / "mine.yaml"])).scan_text(text)) is found


@pytest.mark.parametrize(
    ("listed", "extra", "complaint"),
    [
        ("ab\n", "", "needs 3 to 80 characters"),
        ("asthma.\n", "", "a letter or digit first and last"),
        ("# nothing\n", "", "has 0 terms"),
        (None, "", "list.txt"),
        ("asthma\n", "patterns: [x], ", "either patterns or terms"),
    ],
)
def test_complains_about_a_list(tmp_path: Path, listed: str | None, extra: str, complaint: str) -> None:
    if listed is not None:
        (tmp_path / "list.txt").write_text(listed, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        f"recognizers:\n  - {{id: a, kind: custom.a, {extra}terms: list.txt, confidence: 1, "
        "examples: {match: [asthma], not: [b]}}\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"mine.yaml:2: a: .*" + complaint):
        load_recognizers([tmp_path / "mine.yaml"])


@settings(deadline=None)
@given(st.text(alphabet="asthm heart\ndibetsMRN:#0123456789'’é-", max_size=200))
def test_spans_lie_in_the_text(scanner: Scanner, text: str) -> None:
    for match in scanner.scan_text(text, 0):
        assert text[match.start : match.end] == match.value
