"""Every recognizer finds what its examples say, and nothing in what they say is none."""

from __future__ import annotations

import pytest

from leeward.data.recognizer import Recognizer, built_in
from leeward.data.scanner import Scanner

RECOGNIZERS = built_in()
EXAMPLES = [(r, text) for r in RECOGNIZERS for text in r.match if not r.unwrap]
OTHERS = [(r, text) for r in RECOGNIZERS for text in r.never if not r.unwrap]


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner(RECOGNIZERS)


@pytest.mark.parametrize(("recognizer", "text"), EXAMPLES, ids=[f"{r.id}-{i}" for i, (r, _) in enumerate(EXAMPLES)])
def test_finds(scanner: Scanner, recognizer: Recognizer, text: str) -> None:
    assert recognizer.kind in {found.kind for found in scanner.scan_text(text)}, text


@pytest.mark.parametrize(("recognizer", "text"), OTHERS, ids=[f"{r.id}-{i}" for i, (r, _) in enumerate(OTHERS)])
def test_does_not_find(scanner: Scanner, recognizer: Recognizer, text: str) -> None:
    assert recognizer.id not in {found.detector for found in scanner.scan_text(text)}, text


@pytest.mark.parametrize("recognizer", RECOGNIZERS, ids=lambda r: r.id)
def test_its_own_examples_need_it(recognizer: Recognizer) -> None:
    """Alone it finds them as well: no other recognizer helps."""
    if recognizer.unwrap:
        pytest.skip("a decoder of text in text finds nothing by itself")
    alone = Scanner([recognizer])
    for text in recognizer.match:
        assert alone.scan_text(text), text
