"""Cards, accounts and wallets: valid ones are found at the right span, those with a wrong check digit are not."""

from __future__ import annotations

import hashlib
import itertools
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum import luhn

from leeward.data import checks_financial
from leeward.data.checks import find_check
from leeward.data.recognizer import BUILT_IN, load_recognizers
from leeward.data.scanner import Scanner

# Brand, first digits, length.
CARDS = [
    ("visa", "4", 16),
    ("mastercard", "51", 16),
    ("mastercard", "55", 16),
    ("mastercard 2", "2221", 16),
    ("mastercard 2", "2720", 16),
    ("amex", "34", 15),
    ("amex", "37", 15),
    ("discover", "6011", 16),
    ("discover", "645", 16),
    ("discover", "65", 16),
    ("jcb", "3528", 16),
    ("jcb", "3589", 16),
    ("unionpay", "62", 16),
    ("mir", "2204", 16),
]
RARE_CARDS = [
    ("visa", "4", 13),
    ("visa", "4", 19),
    ("diners", "305", 14),
    ("diners", "36", 14),
    ("diners", "39", 16),
    ("maestro", "6759", 18),
    ("maestro", "5018", 12),
    ("unionpay", "62", 19),
    ("rupay", "508", 16),
    ("rupay", "60", 16),
    ("elo", "636297", 16),
    ("hipercard", "606282", 16),
    ("troy", "9792", 16),
    ("bancontact", "6703", 17),
]


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    files = [*BUILT_IN.glob("national_*.yaml"), BUILT_IN / "documents.yaml", BUILT_IN / "financial.yaml"]
    scanner = Scanner(load_recognizers(sorted(files)))
    scanner.ready()
    return scanner


def spans(scanner: Scanner, text: str, kind: str) -> list[tuple[int, int]]:
    return [(f.start, f.end) for f in scanner.scan_text(text) if f.kind == kind]


def card(first: str, size: int, chance: random.Random) -> str:
    body = first + "".join(chance.choice(string.digits) for _ in range(size - len(first) - 1))
    return body + luhn.calc_check_digit(body)


def grouped(number: str, separator: str) -> str:
    """In fours; American Express and Diners Club as they print them."""
    if len(number) in (14, 15):
        return separator.join((number[:4], number[4:10], number[10:]))
    return separator.join(number[i : i + 4] for i in range(0, len(number), 4))


@pytest.mark.parametrize(("brand", "first", "size"), CARDS, ids=[f"{b}-{f}" for b, f, _ in CARDS])
def test_cards_need_no_word(scanner: Scanner, brand: str, first: str, size: int) -> None:
    chance = random.Random(first)
    for _ in range(10):
        number = card(first, size, chance)
        for written in (number, grouped(number, " "), grouped(number, "-"), grouped(number, ".")):
            text = f"paid: {written}, thanks"
            assert spans(scanner, text, "financial.card") == [(6, 6 + len(written))]
        wrong = number[:-1] + str((int(number[-1]) + chance.randrange(1, 10)) % 10)
        for written in (wrong, grouped(wrong, " "), grouped(wrong, "-")):
            assert spans(scanner, f"card {written}", "financial.card") == []


@pytest.mark.parametrize(("brand", "first", "size"), RARE_CARDS, ids=[f"{b}-{f}-{s}" for b, f, s in RARE_CARDS])
def test_rare_cards_need_one(scanner: Scanner, brand: str, first: str, size: int) -> None:
    chance = random.Random(first)
    for _ in range(10):
        number = card(first, size, chance)
        text = f"card number {number}"
        assert spans(scanner, text, "financial.card") == [(12, 12 + size)]


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111 1111",
        "1234 4111 1111 1111 1111",
        "41111111111111111",
        "0.4111111111111111",
        "x = 4111111111111111.25",
        "4111-1111 1111.1111",
        "imei 378282246310005",
        "id 550e8400-4111-1111-1111-111111111111",
        "9999 9999 9999 9995",
        "1711324567890123",
    ],
)
def test_no_cards(scanner: Scanner, text: str) -> None:
    assert spans(scanner, text, "financial.card") == []


@given(st.sampled_from(CARDS), st.randoms(use_true_random=False))
def test_issuers_and_luhn(row: tuple[str, str, int], chance: random.Random) -> None:
    number = card(row[1], row[2], chance)
    assert checks_financial.card(number)
    assert not checks_financial.card(number[:-1] + str((int(number[-1]) + 5) % 10))


def iban(country: str, chance: random.Random) -> str:
    """A valid one of the form that the registry gives a country."""
    (_, info), *_ = stdnum_iban._ibandb.info(f"{country}00")
    body = ""
    for part in info["bban"].replace("!", "").replace("n", "n ").replace("a", "a ").replace("c", "c ").split():
        alphabet = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}[
            part[-1]
        ]
        body += "".join(chance.choice(alphabet) for _ in range(int(part[:-1])))
    return country + stdnum_iban.calc_check_digits(f"{country}00{body}") + body


COUNTRIES = [
    "AD",
    "AE",
    "AL",
    "AT",
    "AZ",
    "BA",
    "BE",
    "BG",
    "BH",
    "BR",
    "BY",
    "CH",
    "CR",
    "CY",
    "CZ",
    "DE",
    "DK",
    "DO",
    "EE",
    "EG",
    "ES",
    "FI",
    "FO",
    "FR",
    "GB",
    "GE",
    "GI",
    "GL",
    "GR",
    "GT",
    "HR",
    "HU",
    "IE",
    "IL",
    "IQ",
    "IS",
    "IT",
    "JO",
    "KW",
    "KZ",
    "LB",
    "LC",
    "LI",
    "LT",
    "LU",
    "LV",
    "LY",
    "MC",
    "MD",
    "ME",
    "MK",
    "MR",
    "MT",
    "MU",
    "NL",
    "NO",
    "PK",
    "PL",
    "PS",
    "PT",
    "QA",
    "RO",
    "RS",
    "SA",
    "SC",
    "SE",
    "SI",
    "SK",
    "SM",
    "ST",
    "SV",
    "TL",
    "TN",
    "TR",
    "UA",
    "VA",
    "VG",
    "XK",
]


@pytest.mark.parametrize("country", COUNTRIES)
def test_ibans(scanner: Scanner, country: str) -> None:
    chance = random.Random(country)
    for _ in range(5):
        number = iban(country, chance)
        for written in (number, grouped_iban(number, " "), number.lower(), grouped_iban(number, "-")):
            text = f"Pay to {written}. Thanks"
            assert spans(scanner, text, "financial.iban") == [(7, 7 + len(written))], written
        digit = str((int(number[3]) + chance.randrange(1, 10)) % 10)
        wrong = number[:3] + digit + number[4:]
        assert spans(scanner, f"IBAN {wrong}", "financial.iban") == []
        assert spans(scanner, f"IBAN {grouped_iban(wrong, ' ')}", "financial.iban") == []


def grouped_iban(number: str, separator: str) -> str:
    return separator.join(number[i : i + 4] for i in range(0, len(number), 4))


def test_an_iban_ends_where_its_country_says(scanner: Scanner) -> None:
    text = "IBAN DE89 3704 0044 0532 0130 00 BIC ABCD EFGH IJKL"
    assert spans(scanner, text, "financial.iban") == [(5, 32)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Account number: 31926819", "31926819"),
        ("acct no 0048-2917-36, thanks", "0048-2917-36"),
        ("Kontonummer 532013000", "532013000"),
        ("numéro de compte 00201048291", "00201048291"),
        ("número de cuenta: 0182453621", "0182453621"),
        ("口座番号は4827193です", "4827193"),
        ("银行账号：6228480402564890", "6228480402564890"),
        ('{"bankAccountNumber": "50100284719364"}', "50100284719364"),
        ("BIC: DEUTDEFF500", "DEUTDEFF500"),
        ("SWIFT code PSSTFRPP", "PSSTFRPP"),
        ("routing number 021000021", "021000021"),
        ("sort code 20-45-77", "20-45-77"),
        ("BSB 062-184", "062-184"),
        ("CLABE 032180000118359719", "032180000118359719"),
        ("IFSC: HDFC0001234", "HDFC0001234"),
        ("BLZ 37040044", "37040044"),
        ("nr konta 61 1090 1014 0000 0712 1981 2874", "61 1090 1014 0000 0712 1981 2874"),
        ("číslo účtu 19-2000145399/0800", "19-2000145399/0800"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
    ],
)
def test_accounts(scanner: Scanner, text: str, value: str) -> None:
    start = text.index(value)
    assert (start, start + len(value)) in spans(scanner, text, "financial.account")


@pytest.mark.parametrize(
    "text",
    [
        "31926819",
        "account number 12345678",
        "routing number 021000022",
        "021000021",
        "20-45-77",
        "the FUNCTION of SWIFT",
        "CLABE 032180000118359718",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp",
        "0x0000000000000000000000000000000000000000",
        "sha1 3b33ce9a4d5f6071829304a5b6c7d8e9f0a1b2c3",
        "C/C++ 2006-2022",
    ],
)
def test_no_accounts(scanner: Scanner, text: str) -> None:
    assert spans(scanner, text, "financial.account") == []


@given(st.binary(min_size=20, max_size=20), st.sampled_from([0, 5, 0x30, 0x1E, 0x41]))
def test_wallets_have_their_checksum(hash160: bytes, version: int) -> None:
    content = bytes([version]) + hash160
    raw = content + hashlib.sha256(hashlib.sha256(content).digest()).digest()[:4]
    address = "1" * (len(raw) - len(raw.lstrip(b"\0"))) + _base58(int.from_bytes(raw))
    assert checks_financial.base58check(address)
    assert not checks_financial.base58check(address[:-1] + ("2" if address[-1] != "2" else "3"))


def _base58(number: int) -> str:
    digits = ""
    while number:
        number, place = divmod(number, 58)
        digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[place] + digits
    return digits


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ("bech32", "A12UEL5L", "A12UEL5M"),
        ("bech32", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxx"),
        ("bech32", "A1LQFN3A", "A1LQFN3Q"),
        ("bech32", "a12uel5l", "a12uEl5l"),
        ("ripple", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTj"),
        (
            "stellar",
            "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ",
            "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGA",
        ),
        ("ton", "EQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p4q2", "EQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p4q3"),
        ("iban", "DE89370400440532013000", "DE89370400440532013001"),
        ("iban", "MA64011519000001205000534921", "MA640115190000012050005349"),
        ("bic", "DEUTDEFF", "DEUTQQFF"),
        ("hu_account", "11773016-11111018-00000000", "11773016-11111019-00000000"),
        ("pl_account", "61 1090 1014 0000 0712 1981 2874", "62 1090 1014 0000 0712 1981 2874"),
        ("card_without_luhn", "5061020317482936", "4111111111111111"),
    ],
)
def test_published_examples(check: str, right: str, wrong: str) -> None:
    assert find_check(check)(right)
    assert not find_check(check)(wrong)


@given(st.text(max_size=60))
def test_checks_never_raise(value: str) -> None:
    for check in checks_financial.SIMPLE.values():
        assert check(value) in (True, False)


def test_ranges_are_sorted_and_apart() -> None:
    """The search for an issuer takes the last range that begins at or before a number."""
    ranges = [(low, high) for low, high, _, _ in checks_financial.ISSUERS]
    assert ranges == sorted(ranges)
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(ranges))
