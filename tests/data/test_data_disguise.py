"""What is hidden is found: encoded, escaped, compressed, disguised by characters, in parts; ordinary text has nothing to undo."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import quopri
import tracemalloc
import urllib.parse
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.data.documents import Text, texts_of
from leeward.data.escapes import escape_edits, quoted_printable
from leeward.data.fold import fold, signs
from leeward.data.inner import inner_path, inner_paths
from leeward.data.labels import Labels
from leeward.data.media import Reader, kind_of
from leeward.data.offsets import Offsets
from leeward.data.pdf import pdf_text
from leeward.data.recognizer import BUILT_IN, load_recognizers
from leeward.data.rewrite import rewrite, windows
from leeward.data.scanner import Scanner
from leeward.data.unwrap import UNWRAP, promising_runs

CARD = "4111 1111 1111 1111"
IBAN = "DE89370400440532013000"
KEY = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
KINDS = {CARD: "financial.card", IBAN: "financial.iban", KEY: "secret.github"}
RECOGNIZERS = r"""
recognizers:
  - id: card
    kind: financial.card
    patterns: ['\b4\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b']
    check: [luhn]
    confidence: 0.8
    with_context: 0.98
    context: [card, pan]
    examples: {match: ['4111111111111111'], not: ['4111']}
  - id: iban
    kind: financial.iban
    patterns: ['\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b']
    check: [stdnum.iban]
    confidence: 0.95
    examples: {match: ['DE89370400440532013000'], not: ['DE']}
  - id: github
    kind: secret.github
    patterns: ['\bghp_[A-Za-z0-9]{36}\b']
    confidence: 0.95
    examples: {match: ['ghp_16C7e42F292c6912E7710c838347Ae178B4a'], not: ['ghp_']}
  - id: member
    kind: custom.member
    patterns: ['\bM\d{6}\b']
    confidence: 0.2
    with_context: 0.9
    context: [member number]
    examples: {match: ['member number M123456'], not: ['M1']}
"""


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Scanner:
    path = tmp_path_factory.mktemp("recognizers") / "few.yaml"
    path.write_text(RECOGNIZERS)
    scanner = Scanner(load_recognizers([path, BUILT_IN / "wrapped.yaml"]))
    scanner.ready()
    return scanner


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: b64(text.encode()),
    "base64-url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64-gzip": lambda text: b64(gzip.compress(text.encode(), mtime=0)),
    "base64-zlib": lambda text: b64(zlib.compress(text.encode())),
    "base64-utf-16": lambda text: b64(text.encode("utf-16-le" if text.isascii() else "utf-16")),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex-0x": lambda text: "0x" + text.encode().hex().upper(),
    "hex-spaced": lambda text: text.encode().hex(" "),
    "hex-array": lambda text: ", ".join(f"0x{c:02x}" for c in text.encode()),
    "percent": lambda text: "".join(f"%{c:02X}" for c in text.encode()),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "entities-hex": lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    "unicode": lambda text: "\\u" + text.encode("utf-16-be").hex("-", 2).replace("-", "\\u"),
    "backslash-x": lambda text: "".join(f"\\x{c:02x}" for c in text.encode()),
    "octal": lambda text: "".join(f"\\{c:03o}" for c in text.encode()),
    "quoted-printable": lambda text: "".join(f"={ord(c):02X}" for c in "\u00e9 ".encode().decode("latin-1") + text),
    "zero-width": lambda text: "\u200b".join(text),
    "soft-hyphens": lambda text: "\u00ad".join(text),
    "tags": lambda text: "".join(chr(0xE0000 + ord(c)) for c in text),
    "selectors": lambda text: "".join(chr(0xFE00 + b if b < 16 else 0xE0100 + b - 16) for b in text.encode()),
}
WHOLE = [name for name in ENCODINGS if name not in ("quoted-printable", "tags")]
STYLES: dict[str, Callable[[str], str]] = {
    "full-width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text),
    "bold": lambda text: "".join(chr(0x1D7CE + int(c)) if c.isdigit() else c for c in text),
    "arabic digits": lambda text: "".join(chr(0x660 + int(c)) if c.isdigit() else c for c in text),
    "circled": lambda text: "".join("⓪①②③④⑤⑥⑦⑧⑨"[int(c)] if c.isdigit() else c for c in text),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "no-break hyphens": lambda text: text.replace(" ", "\u2011"),
    "underlined": lambda text: "\u0332".join(text),
    "Cyrillic": lambda text: text.translate(str.maketrans("DEaecp", "DЕаеср")),
}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("value", KINDS)
def test_one_encoding(scanner: Scanner, name: str, value: str) -> None:
    piece = ENCODINGS[name](value)
    found = scanner.scan_text(f"see {piece} there")
    assert [match.kind for match in found] == [KINDS[value]]
    assert found[0].value == value
    assert (found[0].start, found[0].end)[1] == 4 + len(piece)
    assert ">" in found[0].detector
    assert not found[0].exact


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("value", [CARD, IBAN])
def test_one_style(scanner: Scanner, name: str, value: str) -> None:
    text = STYLES[name](value)
    found = scanner.scan_text(f"see {text} there")
    assert [(match.kind, match.start, match.end) for match in found] == [(KINDS[value], 4, 4 + len(text))]


@given(value=st.sampled_from(list(KINDS)), names=st.lists(st.sampled_from(WHOLE), min_size=1, max_size=3))
@settings(deadline=None, max_examples=150)
def test_any_mixture(scanner: Scanner, value: str, names: list[str]) -> None:
    text = value
    for name in names:
        text = ENCODINGS[name](text)
    found = scanner.scan_text(f"look: {text} end")
    hits = [match for match in found if match.value == value]
    assert hits, names
    assert (hits[0].start, hits[0].end) == (6, 6 + len(text)), names


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("card\\n4111 1111 1111 1111 x", 6, 25),
        ("4111%201111%201111%201111", 0, 25),
        ("?card=4111+1111+1111+1111&x=1", 6, 25),
        ("4111&nbsp;1111&nbsp;1111&nbsp;1111", 0, 34),
        ("4111\\u20111111\\u20111111\\u20111111", 0, 34),
        ("/api/NDExMSAxMTExIDExMTEgMTExMQ==/x", 5, 33),
        ("data:text/plain;base64,NDExMSAxMTExIDExMTEgMTExMQ==", 23, 51),
        (r"data:text\/plain;base64,NDExMSAxMTExIDExMTEgMTExMQ==", 24, 52),
    ],
)
def test_where_it_stands(scanner: Scanner, text: str, start: int, end: int) -> None:
    assert [(match.start, match.end) for match in scanner.scan_text(text)] == [(start, end)]


def test_lines_of_mime(scanner: Scanner) -> None:
    text = base64.encodebytes(("lorem ipsum " * 20 + CARD + " dolor" * 20).encode()).decode().strip()
    found = scanner.scan_text(f"Content:\n\n{text}\n-- \n")
    assert [(match.start, match.end) for match in found] == [(10, 10 + len(text))]


def test_quoted_printable_with_soft_breaks(scanner: Scanner) -> None:
    text = quopri.encodestring(("é" * 22 + " 4111 1111 1111 1111 " + "é" * 30).encode()).decode()
    assert "=\n" in text
    assert [match.value for match in scanner.scan_text(text)] == [CARD]


@pytest.mark.parametrize(
    "text",
    [
        "HOST=192.168.58.1 \\\nPORT=3D00\nNAME=\n",
        "100%ba",
        "<\\%barry@debian.org>",
        "a &unknown; b",
        r"\d+\s*\b",
        "%19 x \\x01",
    ],
)
def test_what_is_no_escape(text: str) -> None:
    assert escape_edits(text) == []
    assert quoted_printable(text) == []


def test_two_values_in_one_piece(scanner: Scanner) -> None:
    found = scanner.scan_text(b64(f"{CARD} and {IBAN}".encode()))
    assert {match.kind for match in found} == {"financial.card", "financial.iban"}


def test_a_letter_of_an_escape_is_no_part_of_the_value(scanner: Scanner) -> None:
    found = scanner.scan_text(json.dumps({"a": f"x\n{KEY}"}))
    assert [match.value for match in found] == [KEY]


def test_what_was_found_as_it_stands_is_not_told_as_hidden(scanner: Scanner) -> None:
    found = scanner.scan_text(f'say \\"hello\\" and {CARD} \\n and more\\u0041')
    assert [match.detector for match in found] == ["card"]


def test_pictures_are_counted_not_searched(scanner: Scanner) -> None:
    before = scanner.counters["data_images_unseen"]
    assert scanner.scan_text("data:image/png;base64," + b64(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)) == []
    assert scanner.counters["data_images_unseen"] == before + 1


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image"),
        (b"GIF89a\1\0", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        (b"\0\0\0\x1cftypavif", "image"),
        (b"\0\0\0\x1cftypisom", "media"),
        (b"ID3\4\0", "media"),
        (b"%PDF-1.7", "pdf"),
        (b"PK\3\4\x14\0", "zip"),
        (b"7z\xbc\xaf\x27\x1c", "archive"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (zlib.compress(b"x"), "zlib"),
        (b"hello", ""),
        (b"x^2 + y", "zlib"),
        (b"", ""),
    ],
)
def test_kinds_of_bytes(raw: bytes, kind: str) -> None:
    assert kind_of(raw) == kind


def test_what_only_begins_like_zlib_is_read_as_text() -> None:
    assert list(Reader(1000, Counter()).read(b"x^2 + y^2")) == [("", "x^2 + y^2")]


def _pdf(lines: list[str]) -> bytes:
    content = zlib.compress(
        b"BT /F1 12 Tf 72 720 Td 14 TL " + b" ".join(b"(%s) Tj T*" % s.encode() for s in lines) + b" ET"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(content) + content + b"\nendstream",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + table + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(out)


def test_the_text_of_a_pdf(scanner: Scanner) -> None:
    piece = b64(_pdf(["Invoice", f"card {CARD}"]))
    found = scanner.scan_text(f"data:application/pdf;base64,{piece}")
    assert [(match.detector, match.start, match.end) for match in found] == [("base64>pdf>card", 28, 28 + len(piece))]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_broken_pdfs_are_counted(data: st.DataObject) -> None:
    raw = bytearray(_pdf(["Invoice", CARD]))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    counters: Counter[str] = Counter()
    text = pdf_text(bytes(raw[: data.draw(st.integers(8, len(raw)))]), 1000, counters)
    assert text is None or len(text) <= 1000


def test_the_text_of_an_office_file(scanner: Scanner) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "word/document.xml", "<w:p><w:t>card 4111 </w:t><w:t>1111 1111 1111</w:t></w:p><w:p>Ann &amp; Bob</w:p>"
        )
        archive.writestr("word/media/image1.png", b"\x89PNG")
    found = scanner.scan_text(b64(buffer.getvalue()))
    assert [match.value for match in found] == [CARD]
    assert [match.detector for match in found] == ["base64>zip>card"]


@pytest.mark.parametrize(
    "bomb", [gzip.compress(b"0" * 50_000_000, mtime=0), zlib.compress(b"\0" * 50_000_000, 9)], ids=["gzip", "zlib"]
)
def test_bombs_stay_small(scanner: Scanner, bomb: bytes) -> None:
    text = " ".join([b64(bomb)] * 4)
    scanner.scan_text("warm \u200bup1")
    before = scanner.counters["data_cut"]
    tracemalloc.start()
    scanner.scan_text(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20
    assert scanner.counters["data_cut"] > before


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_are_read(raw: bytes) -> None:
    reader = Reader(1 << 16, Counter())
    for prefix in (
        b"",
        b"\x1f\x8b\x08",
        b"PK\3\4",
        b"%PDF-1.4\n",
        b"BZh9",
        b"\x28\xb5\x2f\xfd",
        b"\xfd7zXZ\0",
        b"\xff\xfe",
        b"x\x9c",
    ):
        assert all(isinstance(text, str) for _, text in reader.read(prefix + raw))


PIECES = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            [
                *"%&\\=+",
                "%41",
                "&#",
                "&amp;",
                "\\u00e9",
                "\\x",
                "=\n",
                "=41",
                "\u200b",
                "\u0430",
                "a",
                "4",
                "\u2011",
                "\ud800",
            ]
        ),
        st.binary(max_size=30).map(b64),
        st.binary(max_size=30).map(lambda raw: raw.hex()),
    ),
    max_size=20,
).map("".join)


@given(PIECES)
@settings(deadline=None, max_examples=300)
def test_any_text_is_searched(scanner: Scanner, text: str) -> None:
    for match in scanner.scan_text(text, 0.0):
        assert 0 <= match.start < match.end <= len(text)


@given(PIECES)
@settings(deadline=None)
def test_edits_are_in_order_and_their_way_back_is_right(text: str) -> None:
    for edits in ([edit for _, edit in escape_edits(text)], quoted_printable(text)):
        assert all(edit.start < edit.end for edit in edits)
        assert all(one.end <= other.start for one, other in pairwise(edits))
        whole = rewrite(text, edits)
        for at in range(len(whole.text)):
            start, end = whole.span(at, at + 1)
            assert 0 <= start < end <= len(text)
            assert whole.text[at] == text[start] or whole.touched(at, at + 1)
        for window in windows(text, edits):
            assert rewrite(text[window.start : window.end], []).text == text[window.start : window.end]
            assert window.text in whole.text


@given(st.binary(max_size=200), st.integers(0, 200))
def test_runs_end_where_they_begin_or_after(raw: bytes, start: int) -> None:
    for unwrap in UNWRAP.values():
        for piece in unwrap(raw, min(start, len(raw)), Reader(1 << 16, Counter())):
            assert start <= piece.start + 1
            assert piece.start < piece.end <= len(raw)


WORDS = st.one_of(
    st.text("0123456789", min_size=16, max_size=40),
    st.text("0123456789abcdef", min_size=16, max_size=40),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=40),
    st.text("abcXYZ019_-/+", min_size=16, max_size=40),
    st.binary(min_size=12, max_size=30).map(lambda raw: base64.b64encode(raw).decode()),
    st.text(min_size=8, max_size=20).map(lambda text: base64.b64encode(text.encode("utf-8", "replace")).decode()),
    st.text(min_size=8, max_size=20).map(lambda text: "0x" + text.encode("utf-8", "replace").hex()),
)


@given(st.lists(st.tuples(st.sampled_from([" ", ",", "é", "—", "/"]), WORDS), max_size=12))
def test_runs_that_are_refused_hold_nothing(words: list[tuple[str, str]]) -> None:
    data, starts = b"", []
    for before, word in words:
        starts.append(len(data))
        data += before.encode() + word.encode()
    for start in set(starts) - promising_runs(data, starts):
        assert not UNWRAP["run"](data, start, Reader(1 << 16, Counter()))


@given(st.text(max_size=9000), st.integers(0, 9000))
def test_offsets(text: str, at: int) -> None:
    body = text.encode("utf-8", "replace")
    prefix = text[: min(at, len(text))]
    assert Offsets(body).chars(len(prefix.encode("utf-8", "replace"))) == len(prefix)


# Characters that people put into a value to hide it, and what the plain character beside them must be.
HIDERS = st.sampled_from(
    ["", "", "\u200b", "\u2060", "\u00ad", "\u200d\ufeff", "\u202e", "\u0332", "\ufe0f", "\U000e0001"]
)


@given(st.lists(st.tuples(st.sampled_from("0123456789abcxyzABCXYZ-_"), HIDERS), min_size=2, max_size=40))
def test_folding_and_its_way_back(pairs: list[tuple[str, str]]) -> None:
    # a mark needs something plain before it
    pairs = [("a", ""), *pairs, ("b", "")]
    text = "".join(plain + hider for plain, hider in pairs)
    folded = fold(text)
    if folded is None:
        signs = sum(bool(hider) for plain, hider in pairs if plain.isalnum())
        assert not any(hider not in ("", "\u0332") for plain, hider in pairs if plain.isalnum())
        assert signs <= sum(hider == "\u0332" for _, hider in pairs)
        return
    at = 0
    places = []
    for plain, hider in pairs:
        places.append(at)
        at += len(plain) + len(hider)
    plain_text = "".join(plain for plain, _ in pairs)
    if "\u0332" not in text:
        assert folded.text == plain_text
        for number in range(len(plain_text)):
            assert folded.span(number, number + 1) == (places[number], places[number] + 1)
        assert folded.span(0, len(plain_text)) == (0, places[-1] + 1)


ORDINARY = [
    "Plain English, with “quotes” — and dashes… and an emoji 😀❤️ 👨‍👩‍👧.",
    "Привет, это обычный текст про Windows и 10 км, СССР 1991 года, IT-компания, 5км.",
    "Ελληνικό κείμενο με Latin λέξεις και αριθμούς 12.",
    "中文文本，１个，包括标点：你好！ API接口。",
    "日本語テキスト、ｶﾀｶﾅ も。",
    "한국어 텍스트 그리고 영어 text.",
    "Le café coûte 5 € — c’est « cher », n’est-ce pas ?",
    "Łódź, Kraków, Straße, naïve résumé",
    "سلام، می‌خواهم بنویسم",
    "עברית עם‎ סימנים",
    "हिन्दी पाठ और शब्द",
    "ภาษาไทยไม่มีช่องว่าง",
    "Tiếng Việt có dấu",
    "m² and CO₂, footnote¹, ½ cup, №5, ™ © ®",
    "café au lait",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_has_nothing_to_fold(text: str) -> None:
    assert fold(text) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("pаsswоrd", "password"),
        ("４１１１　１１１１", "4111 1111"),
        ("a＠b．com", "a@b.com"),
        ("1️⃣2️⃣3️⃣", "123"),
        ("٤١١١", "4111"),
        ("4\u00b2\u00b2\u00b2", "4222"),
        ("\U0001f150\U0001f151", "AB"),
        ("РL61109010140000071219812874", "PL61109010140000071219812874"),
        ("see \U000e0073\U000e006b\U000e002d\U000e0061 ok", "see  sk-a  ok"),
    ],
)
def test_folded(text: str, plain: str) -> None:
    folded = fold(text)
    assert folded is not None
    assert folded.text == plain


# Values in parts.


def found_in(scanner: Scanner, value: Any) -> list[tuple[str, str]]:
    texts = texts_of(value)
    return [(match.kind, texts[match.text].path) for match in scanner.scan(texts)]


@pytest.mark.parametrize(
    ("value", "kind", "paths"),
    [
        ({"card1": "4111", "card2": "1111", "card3": "1111", "card4": "1111"}, "financial.card", 4),
        ({"a": "4111", "b": "1111", "c": "1111", "d": "1111"}, "financial.card", 4),
        ({"card": ["4111", "1111", "1111", "1111"]}, "financial.card", 4),
        ({"card": [4111, 1111, 1111, 1111]}, "financial.card", 4),
        ({"card_part_1": "41111111", "card_part_2": "11111111"}, "financial.card", 2),
        ({"first": KEY[:20], "second": KEY[20:]}, "secret.github", 2),
        ({"key": [KEY[:10], KEY[10:30], KEY[30:]]}, "secret.github", 3),
        ({"iban_a": IBAN[:12], "iban_b": IBAN[12:]}, "financial.iban", 2),
        ({"country": IBAN[:4], "account": IBAN[4:]}, "financial.iban", 2),
        (
            [
                {"role": "user", "content": "My card number starts with 4111 1111"},
                {"role": "assistant", "content": "Go on."},
                {"role": "user", "content": "and ends with 1111 1111, thanks"},
            ],
            "financial.card",
            2,
        ),
        (
            [
                {"role": "assistant", "content": "What's your card number?"},
                {"role": "user", "content": "4111 1111"},
                {"role": "user", "content": "1111 1111"},
            ],
            "financial.card",
            2,
        ),
        ([{"content": f"first half: {KEY[:19]}"}, {"content": f"second half: {KEY[19:]}"}], "secret.github", 2),
        (
            [{"delta": {"text": piece}} for piece in ("Your card is 41", "11 1111 11", "11 1111", " ok")],
            "financial.card",
            3,
        ),
    ],
)
def test_parts(scanner: Scanner, value: Any, kind: str, paths: int) -> None:
    found = found_in(scanner, value)
    assert [one for one, _ in found] == [kind] * paths
    assert len({path for _, path in found}) == paths


@pytest.mark.parametrize(
    "value",
    [
        {"bbox": [4111, 1111, 1111, 1111]},
        {"bbox": ["4111", "1111", "1111", "1111"]},
        {"q1": 4111, "q2": 1111, "q3": 1111, "q4": 1111},
        {"from": "41111111", "to": "11111111"},
        {"x1": "4111", "y1": "1111", "x2": "1111", "y2": "1111"},
        {"id": "4111111111", "total": "111111"},
        {"years": ["2019", "2020", "2021", "2022"]},
        {"token": "ghp_16C7e42F292c6912", "trace": "E7710c838347Ae178B4a"},
        [{"content": "I ordered 4111 1111 of them"}, {"content": "and 1111 1111 of those"}],
    ],
)
def test_no_parts(scanner: Scanner, value: Any) -> None:
    assert found_in(scanner, value) == []


@given(st.sampled_from([KEY, IBAN]), st.data())
@settings(deadline=None)
def test_any_seam(scanner: Scanner, value: str, data: st.DataObject) -> None:
    cuts = sorted({0, len(value), *data.draw(st.lists(st.integers(4, len(value) - 4), min_size=1, max_size=2))})
    parts = [value[a:b] for a, b in pairwise(cuts)]
    if len(parts) < 2 or any(len(part) < 4 or part.isalpha() for part in parts):
        return
    texts = texts_of({f"part{number}": part for number, part in enumerate(parts)})
    found = scanner.scan(texts)
    assert [(match.text, match.start, match.end) for match in found] == [
        (i, 0, len(part)) for i, part in enumerate(parts)
    ]
    assert {match.value for match in found} == {value}


@given(
    st.recursive(
        st.text("0123456789abcDE-_ ", max_size=12) | st.integers(0, 9999),
        lambda v: st.lists(v, max_size=5) | st.dictionaries(st.sampled_from(["a", "b", "c", "card", "id1", "id2"]), v),
        max_leaves=20,
    )
)
@settings(deadline=None)
def test_a_part_is_never_alone(scanner: Scanner, value: Any) -> None:
    texts = texts_of(value)
    by_value: dict[str, set[int]] = {}
    for match in scanner.split(texts):
        by_value.setdefault(match.value, set()).add(match.text)
        assert texts[match.text].text[match.start : match.end] != match.value
    assert all(len(numbers) > 1 for numbers in by_value.values())


# JSON in strings, and names that stand far away.


@pytest.mark.parametrize(
    ("text", "at", "path"),
    [
        ('{"a":[{"b":"x"},{"c d":"Y"}]}', "x", "$.a[0].b"),
        ('{"a":[{"b":"x"},{"c d":"Y"}]}', "Y", "$.a[1]['c d']"),
        ('  ["p", 12, {"q": null}]', "12", "$[1]"),
        ('{"a": "x1"}\n{"a": "x2"}\n', "x1", "$[0].a"),
        ('{"a": "x1"}\n{"a": "x2"}\n', "x2", "$[1].a"),
        ('{"a": {"b": "cut off he', "he", "$.a.b"),
        ('{"k\\u00e9y": "v"}', "v", "$['k\u00e9y']"),
        ("[INFO] started", "started", ""),
        ("plain text", "text", ""),
        ('{"a": oops "b"}', "b", ""),
        ("[1, 2", "2", "$[1]"),
    ],
)
def test_inner_path(text: str, at: str, path: str) -> None:
    assert inner_path(text, text.rindex(at)) == path


def test_inner_path_of_what_is_nested_deep() -> None:
    assert inner_path("[" * 100_000 + '"a"', 100_001) == ""


JSON = st.recursive(
    st.text(max_size=6) | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 1]))
def test_every_scalar_has_the_path_that_texts_have(value: Any, indent: int | None) -> None:
    if not isinstance(value, dict | list):
        return
    marked, count = _marked(value, 0)
    text = json.dumps(marked, indent=indent)
    starts = [text.index(f'"<{number}>') for number in range(count)]
    expected = {t.text: t.path for t in texts_of(marked)}
    assert inner_paths(text, [start + 1 for start in starts]) == [expected[f"<{number}>"] for number in range(count)]


def _marked(value: Any, count: int) -> tuple[Any, int]:
    """The same value with its scalars numbered."""
    if isinstance(value, list):
        items = []
        for item in value:
            marked, count = _marked(item, count)
            items.append(marked)
        return items, count
    if isinstance(value, dict):
        fields = {}
        for key, item in value.items():
            fields[key], count = _marked(item, count)
        return fields, count
    return f"<{count}>", count + 1


@pytest.mark.parametrize(
    "piece", ["4\u200b2", "12\u201334", "a\u0301b\u0301c\u0301", "\u0420\u0410\u0033\u0034", "pаy"]
)
@pytest.mark.parametrize("at", [0, 2043, 2044, 2045, 2046, 2047, 2048, 4094, 9000])
def test_signs_are_where_they_are_in_a_long_text(piece: str, at: int) -> None:
    before, after = f"{'x' * at} ", f" {'y' * 5000}é {piece}"
    ends = signs(piece.encode())
    assert ends
    again = len(f"{before}{piece}{after}".encode()) - len(piece.encode())
    told = signs(f"{before}{piece}{after}".encode())
    assert told == [len(before) + end for end in ends] + [again + end for end in ends]


@pytest.mark.parametrize(
    ("text", "at", "label"),
    [
        ("id,name,ssn\n1,Ann,078-05\n2,Bob,219-09\n", "219", "ssn"),
        ('id,name,ssn\n1,"Lee, Ann",078-05\n', "078", "ssn"),
        ("id;name;ssn\n1;Ann;078-05\n", "Ann", "name"),
        ("id\tssn\n1\t078-05\n", "078", "ssn"),
        ("| id | ssn |\n|----|-----|\n| 1 | 078-05 |\n", "078", "ssn"),
        (" id | name | ssn\n----+------+-----\n 1 | Ann | 078-05\n", "078", "ssn"),
        ("+----+-----+\n| id | ssn |\n+----+-----+\n| 1 | 078-05 |\n", "078", "ssn"),
        ("INSERT INTO c (id, name, ssn) VALUES (1,'a, b','078-05'),(2,'x','999');\n", "999", "ssn"),
        ("İnsan: insert coin\nInsert\u2003Into c (id, ssn) Values (1, '078-05');\n", "078", "ssn"),
        ("inserted into c (id, ssn) VALUES (1, '078-05');\n", "078", ""),
        ("id,name,\n1,Ann,078-05\n", "078", ""),
        ('{"ssns": ["1", "078-05"]}', "078", "ssns"),
        ("Hello, my name is\nfoo, bar 12\nnext", "12", ""),
        ("no table 078", "078", ""),
    ],
)
def test_labels(text: str, at: str, label: str) -> None:
    assert Labels(text).at(text.index(at)) == label


@given(st.text("ab,;|\t\n\"'() -INSERTOVALUES[]{}:1", max_size=200), st.integers(0, 200))
def test_labels_of_anything(text: str, at: int) -> None:
    assert isinstance(Labels(text).at(min(at, len(text))), str)


def test_the_header_of_a_column_is_context(scanner: Scanner) -> None:
    rows = "".join(f"{n},filler filler filler,M{100000 + n}\n" for n in range(50))
    assert len(scanner.scan_text(f"id,note,member number\n{rows}")) == 50
    assert scanner.scan_text(f"id,note,part number\n{rows}") == []


def test_a_label_and_a_text_are_enough(scanner: Scanner) -> None:
    assert [m.confidence for m in scanner.scan([Text("$.pan", b64(CARD.encode()), "pan")])] == [0.98]


def test_hex_digits_that_say_nothing_cost_nothing(scanner: Scanner) -> None:
    digest = binascii.hexlify(bytes(range(128, 192))).decode()
    before = scanner.counters["data_unwrapped"]
    assert scanner.scan_text(f"sha256:{digest} {urllib.parse.quote('x')}") == []
    assert scanner.counters["data_unwrapped"] == before


def test_repository_has_its_pattern_of_runs() -> None:
    text = Path(BUILT_IN / "wrapped.yaml").read_text()
    assert "{16}" in text
