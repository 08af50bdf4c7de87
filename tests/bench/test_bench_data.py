"""The bench of sensitive data: its scorer by tables, its generators by checksums, and that labels stand where values are."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import sys
import zlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.data import mapping, misses, report, scoring  # noqa: E402
from bench.data.grammar import render  # noqa: E402
from bench.data.pieces import Context, Piece, fill, joined, json_escaped, labelled, mapped, on_lines  # noqa: E402
from bench.data.records import HALVES, NEUTRAL, Match, Span, Text, covers, half_of, read, write  # noqa: E402
from bench.data.templates import load  # noqa: E402
from bench.data.values import documents, finance, harmless, keyfiles, national, network, secrets  # noqa: E402

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TIMES = 40


def text(
    content: str,
    *spans: tuple[int, int, str],
    labels: tuple[str, ...] = ("pii", "secret", "financial"),
    half: str = "dev",
) -> Text:
    return Text("t", "prompts", "t", half, "en", content, tuple(Span(*span) for span in spans), labels)


# ---- scorer

HITS = [
    ("the same", (10, 20), (10, 20), True),
    ("half of it", (10, 20), (10, 15), True),
    ("less than half", (10, 20), (10, 14), False),
    ("beside", (10, 20), (20, 30), False),
    ("whole, and more around", (10, 20), (0, 40), True),
    ("whole, and far too much", (10, 20), (0, 20 + scoring.SLACK + 11), False),
    ("half, and much beside", (10, 20), (15, 40), False),
    ("most, and little beside", (10, 20), (12, 22), True),
    ("a long one, not whole", (0, 100), (60, 160), False),
]


@pytest.mark.parametrize(("name", "gold", "found", "expected"), HITS, ids=[case[0] for case in HITS])
def test_a_span_is_found_by_enough_of_it(
    name: str, gold: tuple[int, int], found: tuple[int, int], expected: bool
) -> None:
    assert scoring.hits(Span(*gold, "pii.person"), *found) is expected


# gold spans, matches (start, end, label, confidence), then: found golds, verdicts (None: left out)
JUDGED = [
    ("right", [(0, 5, "pii.email")], [(0, 5, "pii.email", 0.9)], [True], [True]),
    ("another kind", [(0, 5, "pii.email")], [(0, 5, "pii.phone", 0.9)], [False], [False]),
    ("nothing there", [], [(3, 9, "pii.phone", 0.9)], [], [False]),
    ("below the threshold", [(0, 5, "pii.email")], [(0, 5, "pii.email", 0.4)], [False], []),
    ("another issuer", [(0, 9, "secret.aws")], [(0, 9, "secret.github", 0.9)], [True], [True]),
    ("another country", [(0, 9, "pii.national_id.de")], [(0, 9, "pii.national_id.fr", 0.9)], [True], [True]),
    ("a place is a place", [(0, 9, "pii.address")], [(0, 9, "pii.location", 0.9)], [True], [True]),
    ("a city in an address", [(0, 30, "pii.address")], [(20, 28, "pii.location", 0.9)], [False], [None]),
    ("a phone in an address", [(0, 30, "pii.address")], [(20, 28, "pii.phone", 0.9)], [False], [False]),
    ("a founder in a company", [(0, 30, "pii.organisation")], [(0, 9, "pii.person", 0.9)], [False], [None]),
    ("neutral", [(0, 9, NEUTRAL)], [(2, 7, "pii.person", 0.9)], [], [None]),
    ("not labelled here", [(0, 9, "code.source")], [(0, 9, "code.source", 0.9)], [], []),
    ("beside what is not labelled", [(0, 9, "code.source")], [(2, 7, "pii.person", 0.9)], [], [None]),
    (
        "two pieces of a name",
        [(0, 9, "pii.person")],
        [(0, 4, "pii.person", 0.9), (5, 9, "pii.person", 0.6)],
        [True],
        [True],
    ),
    ("said twice", [(0, 9, "pii.email")], [(0, 9, "pii.email", 0.9)] * 2, [True], [True]),
]
CONTENT = "aaaa bbbb, cccc dddd eeee ffff gggg"


@pytest.mark.parametrize(("name", "golds", "matches", "found", "right"), JUDGED, ids=[case[0] for case in JUDGED])
def test_judging(
    name: str,
    golds: list[tuple[int, int, str]],
    matches: list[tuple[int, int, str, float]],
    found: list[bool],
    right: list[object],
) -> None:
    example = text(CONTENT, *golds)
    judged = scoring.judge(example, scoring.answers("leeward", example, [Match(*match) for match in matches], 0.5))
    assert [hit for _, hit, _ in judged.golds] == found
    assert [verdict.right for verdict in judged.verdicts] == right


def test_whose_it_is_counts_apart() -> None:
    assert mapping.names("secret.azure_openai", "secret.azure_openai_key")
    assert mapping.names("secret.aws", "secret.aws.access_key")
    assert not mapping.names("secret.aws", "secret.github")
    assert not mapping.names("pii.national_id.de", "pii.national_id.fr")


PRESIDIO = [
    ("presidio", "LOCATION", (0, 9, "pii.address"), True),
    ("presidio", "LOCATION", (0, 9, "pii.location"), True),
    ("presidio", "US_SSN", (0, 9, "pii.national_id.us"), True),
    ("presidio", "UK_NHS", (0, 9, "health.record_number"), True),
    ("presidio-all", "+PL_PESEL", (0, 9, "pii.national_id.pl"), True),
    ("presidio", "+PL_PESEL", (0, 9, "pii.national_id.pl"), None),
    ("presidio", "DATE_TIME", (0, 9, "pii.date_of_birth"), None),
    ("detect-secrets", "Secret Keyword", (0, 9, "secret.stripe"), True),
    ("detect-secrets", "AWS Access Key", (0, 9, "pii.phone"), False),
]


@pytest.mark.parametrize(
    ("tool", "label", "gold", "right"), PRESIDIO, ids=[f"{case[0]} {case[1]}" for case in PRESIDIO]
)
def test_what_the_labels_of_the_peers_mean(
    tool: str, label: str, gold: tuple[int, int, str], right: bool | None
) -> None:
    example = text(CONTENT, gold, labels=("pii", "secret", "health"))
    judged = scoring.judge(example, scoring.answers(tool, example, [Match(0, 9, label, 0.9)], 0.5))
    assert [verdict.right for verdict in judged.verdicts] == ([] if right is None else [right])


def test_presidio_answers_once_for_a_place() -> None:
    """As its own anonymizer resolves what overlaps."""
    example = text(CONTENT, (0, 9, "pii.phone"))
    said = [Match(0, 9, "PHONE_NUMBER", 0.6), Match(0, 7, "US_SSN", 0.5), Match(10, 14, "PERSON", 0.85)]
    assert [answer.kinds[0] for answer in scoring.answers("presidio", example, said, 0.4)] == [
        "pii.phone",
        "pii.person",
    ]


def test_scores_and_the_bar() -> None:
    texts = [text(CONTENT, (0, 9, "pii.phone")) for _ in range(report.ENOUGH)]
    texts = [Text(str(at), *[getattr(one, name) for name in Text.__slots__[1:]]) for at, one in enumerate(texts)]
    ours = {
        one.id: [Match(0, 9, "pii.phone", 0.9)] if int(one.id) % 2 else [Match(12, 20, "pii.phone", 0.9)]
        for one in texts
    }
    theirs = {one.id: [Match(0, 9, "PHONE_NUMBER", 0.7)] for one in texts}
    outcome = report.results(texts, {"leeward": ours, "presidio": theirs}, 0.5)
    found = scoring.score(outcome["leeward"][0].tally, HALVES, ["pii.phone"])
    assert (found.n, found.precision, found.recall, found.f1) == (report.ENOUGH, 0.5, 0.5, 0.5)
    assert report.verdict(outcome, HALVES, "pii.phone") == "BELOW 0.50 of presidio"
    assert report.verdict(outcome, ("held",), "pii.phone").startswith("few")
    assert outcome["leeward"][0].bins[0.9] == [report.ENOUGH, report.ENOUGH // 2]


def test_false_alarms_are_counted_by_text_and_confidence() -> None:
    benign = [Text(str(at), "benign", "t", "dev", "en", CONTENT, (), ("pii",)) for at in range(3)]
    said = {
        "0": [Match(0, 4, "pii.phone", 0.55), Match(5, 9, "pii.phone", 0.95)],
        "1": [Match(0, 4, "code.source", 0.9)],
        "2": [],
    }
    alarms = report.evaluate("leeward", benign, said, 0.5).alarms
    assert (alarms.total, alarms.texts[0.5], alarms.texts[0.95]) == (3, 1, 1)
    assert dict(alarms.rows) == {("pii.phone", 0.5): 1, ("pii.phone", 0.95): 1}
    assert dict(alarms.unlabelled) == {"code.source": 1}


def test_misses_of_held_are_not_shown() -> None:
    with pytest.raises(ValueError, match="dev only"):
        misses.show([], {}, "held", "", 0.5, 10)


# ---- texts and their places


@given(st.lists(st.tuples(st.text(max_size=6), st.booleans()), max_size=8))
def test_places_move_with_the_text(parts: list[tuple[str, bool]]) -> None:
    piece = joined([labelled(part, "pii.person") if marked else part for part, marked in parts])
    wanted = [part for part, marked in parts if marked]
    assert [piece.text[span.start : span.end] for span in piece.spans] == wanted
    escaped = json_escaped(piece)
    assert [json.loads(f'"{escaped.text[span.start : span.end]}"') for span in escaped.spans] == wanted
    shouted = mapped(piece, lambda character: character * 2)
    assert [shouted.text[span.start : span.end] for span in shouted.spans] == [
        "".join(c * 2 for c in part) for part in wanted
    ]
    quoted = on_lines(piece, "> ")
    assert [quoted.text[span.start : span.end].replace("\n> ", "\n") for span in quoted.spans] == wanted


def test_slots() -> None:
    made = iter("12345")
    makers = {"n": lambda context, argument, key: labelled(next(made) + argument, "pii.phone")}
    piece = fill("{{n#a}} {{n}} {{n#a}} {{n:x}} {{fixed}}", makers, Context(Random(1), "en_US", {"fixed": "{{n}}"}))
    assert piece.text == "1 2 1 3x {{n}}"
    assert [(span.start, span.end) for span in piece.spans] == [(0, 1), (2, 3), (4, 5), (6, 8)]
    spared = fill("is {{~low blood pressure}}", makers, Context(Random(1), "en_US"))
    assert spared == Piece("is low blood pressure", (Span(3, 21, NEUTRAL),))
    with pytest.raises(KeyError):
        fill("{{unknown}}", makers, Context(Random(1), "en_US"))
    with pytest.raises(ValueError, match="not a slot"):
        fill("{{ n }}", makers, Context(Random(1), "en_US"))


FILES = ("english", "languages", "machines", "ids", "secrets", "passwords", "snippets", "benign")


def test_templates_can_be_read() -> None:
    templates = {file: load(file) for file in FILES}
    own = [template for file in ("english", "languages", "machines") for template in templates[file]]
    assert len(own) >= 60
    assert {"en", "de", "fr", "es", "it", "pt", "nl", "pl"} <= {template.language for template in own}
    assert all(
        "{{value}}" in template.text
        for file in ("ids", "secrets", "passwords", "snippets")
        for template in templates[file]
    )
    assert all({half_of(f"{file}.{t.name}") for t in templates[file]} == set(HALVES) for file in FILES)
    assert not [
        t.name
        for t in templates["benign"]
        if re.search(r"\{\{(person|email|phone|card|iban|id:|secret|password\})", t.text)
    ]


def test_records_survive_the_file(tmp_path: Path) -> None:
    texts = [text("naïve \u2028 “x”\n", (0, 5, "pii.person")), text("", labels=())]
    write(tmp_path / "t.jsonl", texts)
    assert list(read(tmp_path / "t.jsonl")) == texts


@pytest.mark.parametrize(
    ("kind", "covered"),
    [("secret.aws", True), ("secret", True), ("secrets.aws", False), ("pii.email", True), ("pii.person", False)],
)
def test_labels_cover_what_is_below_them(kind: str, covered: bool) -> None:
    assert covers(("secret", "pii.email"), kind) is covered


# ---- generators


def values_of(form: national.Form) -> list[str]:
    return [form.make(Random(f"{form.name} {at}")) for at in range(TIMES)]


def luhn_total(number: str) -> int:
    """ISO/IEC 7812-1: from the right, every second digit doubled."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number)))
    return sum(value - 9 * (value > 9) for value in doubled)


def weighted(number: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True))


def rvnr(value: str) -> bool:
    digits = f"{value[:8]}{ord(value[8]) - 64:02d}{value[9:11]}"
    products = (int(digit) * weight for digit, weight in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return sum(int(digit) for product in products for digit in str(product)) % 10 == int(value[11])


def nric(value: str) -> bool:
    total = weighted(value[1:8], (2, 7, 6, 5, 4, 3, 2)) + 4 * (value[0] in "TG")
    return ("JZIHGFEDCBA" if value[0] in "ST" else "XWUTRQPNMLK")[total % 11] == value[8]


def hkid(value: str) -> bool:
    check = 10 if value[8] == "A" else int(value[8])
    return (324 + (ord(value[0]) - 55) * 8 + weighted(value[1:7], (7, 6, 5, 4, 3, 2)) + check) % 11 == 0


def taiwan(value: str) -> bool:
    letter = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(value[0]) + 10
    return (letter // 10 + letter % 10 * 9 + weighted(value[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))) % 10 == 0


# What python-stdnum does not know: an example that is published, and the rule, which must hold for both it and ours.
RULES = {
    "au.medicare": ("2123456701", lambda value: weighted(value[:8], (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(value[8])),
    "de.rvnr": ("15070649C103", rvnr),
    "gb.nino": (
        "AB123456C",
        lambda value: bool(re.fullmatch("[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]", value)),
    ),
    "hk.hkid": ("A123456(3)", hkid),
    "hu.anum": ("123456788", lambda value: weighted(value[:8], (3, 7) * 4) % 10 == int(value[8])),
    "sg.nric": ("S1234567D", nric),
    "tw.id": ("A123456789", taiwan),
}


def test_there_are_enough_countries_and_forms() -> None:
    assert len({form.kind for form in national.FORMS}) >= 30
    assert len(finance.IBANS) >= 30
    assert len({form.name.split(".")[0] for form in secrets.forms()}) >= 60
    assert len(set(national.BY_NAME)) == len(national.FORMS)


KNOWN = [form for form in national.FORMS if form.stdnum]


@pytest.mark.parametrize("form", KNOWN, ids=[form.name for form in KNOWN])
def test_national_identifiers_by_python_stdnum(form: national.Form) -> None:
    pytest.importorskip("stdnum", reason="python-stdnum is not installed")
    module = importlib.import_module(f"stdnum.{form.stdnum}")
    if form.name == "cn.ric":  # it knows few of the counties
        assert [value for value in values_of(form) if module.calc_check_digit(value) != value[-1]] == []
    else:
        assert [value for value in values_of(form) if not module.is_valid(value)] == []


def test_national_identifiers_by_rule() -> None:
    assert set(RULES) == {form.name for form in national.FORMS if not form.stdnum}
    for name, (example, rule) in RULES.items():
        assert rule(example), name
        assert [value for value in values_of(national.BY_NAME[name]) if not rule(re.sub("[ -]", "", value))] == []


@pytest.mark.parametrize("form", national.FORMS, ids=[form.name for form in national.FORMS])
def test_national_identifiers_are_many(form: national.Form) -> None:
    assert len(set(values_of(form))) > TIMES * 0.9


@pytest.mark.parametrize("brand", finance.BRANDS)
def test_cards(brand: str) -> None:
    for at in range(TIMES):
        number = finance.card_of(brand, Random(at))
        assert luhn_total(number) % 10 == 0
        assert number.startswith(finance.BRANDS[brand][0])
        assert re.sub("[ -]", "", finance.written_card(number, Random(at))) == number


def test_what_only_looks_like_a_card_fails_the_check() -> None:
    assert all(luhn_total(re.sub(" ", "", harmless.not_luhn(Random(at)))) % 10 for at in range(TIMES))


@pytest.mark.parametrize("country", finance.IBANS)
def test_ibans(country: str) -> None:
    for at in range(TIMES):
        number = finance.iban_of(country, Random(at)).replace(" ", "")
        turned = number[4:] + number[:4]
        assert int("".join(str(int(character, 36)) for character in turned)) % 97 == 1
        assert number[:2] == country


def test_routing_numbers() -> None:
    for at in range(TIMES):
        number = finance.aba(Random(at))
        assert sum(int(d) * w for d, w in zip(number, (3, 7, 1) * 3, strict=True)) % 10 == 0


def test_machine_readable_zones() -> None:
    """The example of ICAO 9303 part 4, and lines of the right length."""
    assert documents.mrz_check("L898902C3") == "6"
    assert documents.mrz_check("740812") == "2"
    first, second, number = documents.mrz("fr", "MARTIN", "SARAH", Random(1))
    assert (len(first), len(second)) == (44, 44)
    assert second.startswith(number)


def test_tokens_with_a_checksum() -> None:
    """A token of GitHub's that has been public for years, then ours."""
    alphabet = "0123456789" + LETTERS + LETTERS.lower()
    for token in (
        "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",
        *(secrets.token_with_checksum("npm_", Random(at)) for at in range(TIMES)),
    ):
        entropy, check = token[4:34], token[34:]
        number = 0
        for character in check:
            number = number * 62 + alphabet.index(character)
        assert number == zlib.crc32(entropy.encode())


def test_signed_tokens() -> None:
    head, claims, signature = (part + "=" * (-len(part) % 4) for part in secrets.jwt(Random(1), "user").split("."))
    assert json.loads(base64.urlsafe_b64decode(head)) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(claims))["role"] == "user"
    assert len(base64.urlsafe_b64decode(signature)) == hashlib.sha256().digest_size


@pytest.mark.parametrize("form", secrets.forms(), ids=[form.name for form in secrets.forms()])
def test_secrets_are_their_span(form: secrets.Form) -> None:
    piece = form.make(Random(form.name))
    assert piece.spans == (Span(0, len(piece.text), secrets.kind_of(form.name), form.name),)
    assert piece.text == piece.text.strip()
    assert piece.text != form.make(Random("another")).text


@pytest.mark.parametrize("name", secrets.snippets())
def test_snippets_hold_secrets(name: str) -> None:
    piece = secrets.snippets()[name](Random(name))
    found = [piece.text[span.start : span.end] for span in piece.spans if span.kind != NEUTRAL]
    assert found
    assert all(value == value.strip() and value for value in found)
    ends = [0, *(at for span in piece.spans for at in (span.start, span.end)), len(piece.text)]
    assert ends == sorted(ends)


@pytest.mark.parametrize("name", sorted(set(keyfiles.KINDS) - {"putty", "pgp", "encrypted"}))
def test_private_keys_are_whole_files(name: str) -> None:
    lines = keyfiles.KINDS[name](Random(name)).splitlines()
    label = lines[0].removeprefix("-----BEGIN ").removesuffix("-----")
    assert lines[-1] == f"-----END {label}-----"
    data = base64.b64decode("".join(lines[1:-1]), validate=True)
    if name == "openssh":
        assert data.startswith(b"openssh-key-v1\0")
    else:  # DER: the length says where the outer sequence ends
        size = data[1] if data[1] < 0x80 else int.from_bytes(data[2 : 2 + (data[1] & 0x7F)], "big")
        assert data[0] == 0x30
        assert len(data) == size + 2 + (data[1] & 0x7F if data[1] >= 0x80 else 0)


GRAMMAR = [
    ("AKIA[A-Z2-7]{16}", r"AKIA[A-Z2-7]{16}"),
    ("(a|b[0-9]){3}x", r"(?:a|b[0-9]){3}x"),
    ("sk\\.[a-z_-]{2,4}", r"sk\.[a-z_-]{2,4}"),
    ("x(|-2)", r"x(?:|-2)"),
]


@pytest.mark.parametrize(("pattern", "expected"), GRAMMAR, ids=[case[0] for case in GRAMMAR])
def test_patterns_give_what_they_say(pattern: str, expected: str) -> None:
    assert all(re.fullmatch(expected, render(pattern, Random(at))) for at in range(TIMES))


@pytest.mark.parametrize("pattern", ["a.b", "(a", "a)", "a+", "[a-z]*", "x$"])
def test_patterns_that_are_not_known(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(pattern)):
        render(pattern, Random(1))


def test_hosts_and_addresses() -> None:
    assert all(re.fullmatch(r"[a-z0-9.-]+\.[a-z]+", network.internal_host(Random(at))) for at in range(TIMES))
    assert not {network.ipv4(Random(at)) for at in range(TIMES)} & set(network.HARMLESS_IPV4)


def test_halves_are_about_half() -> None:
    names = [f"secret.{form.name}" for form in secrets.forms()]
    assert 0.35 < sum(half_of(name) == "dev" for name in names) / len(names) < 0.65


def test_a_piece_has_no_places_by_itself() -> None:
    assert Piece("x").spans == ()
