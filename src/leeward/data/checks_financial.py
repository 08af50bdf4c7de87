"""Checks of cards, accounts and banks. See checks.py.

Knowledge is in tables: issuers of cards by range and length, lengths of IBANs that the registry of SWIFT does not list, version
bytes of wallets. Separators in a value never count.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable

from leeward.data.stdnums import by_stdnum

Check = Callable[[str], bool]
_SEPARATOR = re.compile(r"[^0-9A-Z]")
_COUNTRY = re.compile(r"[A-Z]{2}")
_iban = by_stdnum("stdnum.iban", check_country=False)

# Payment cards

# First and last six digits of an issuer's range, lengths, and whether the last digit is a Luhn digit (ISO/IEC 7812-1 annex B).
# Sources: the brands' own range tables, and those of the national schemes. Sorted; a narrower range stands behind the wider one.
_SIXTEEN, _LONG, _MAESTRO = (16,), (16, 17, 18, 19), tuple(range(12, 20))
ISSUERS: tuple[tuple[int, int, tuple[int, ...], bool], ...] = (
    (194600, 194699, (16, 18, 19), True),  # GPN, Indonesia
    (220000, 220499, _LONG, True),  # Mir
    (220500, 220599, _SIXTEEN, True),  # Borica
    (222100, 272099, _SIXTEEN, True),  # Mastercard
    (286900, 286900, _SIXTEEN, True),  # Carnet
    (300000, 305999, (14, 16, 17, 18, 19), True),  # Diners Club
    (309500, 309599, (14, 16, 17, 18, 19), True),
    (340000, 349999, (15,), True),  # American Express
    (352800, 358999, _LONG, True),  # JCB
    (360000, 369999, (14, 15, 16, 17, 18, 19), True),  # Diners Club
    (370000, 379999, (15,), True),  # American Express
    (380000, 399999, (14, 16, 17, 18, 19), True),  # Diners Club
    (400000, 499999, (13, 16, 19), True),  # Visa, and Elo, Dankort and Switch in its range
    (500000, 506098, _MAESTRO, True),  # Maestro, Elo, Dankort, RuPay, Carnet
    (506099, 506198, (16, 18, 19), False),  # Verve
    (506199, 507864, _MAESTRO, True),  # Elo, Meeza
    (507865, 507964, (16, 18, 19), False),  # Verve
    (507965, 509999, _MAESTRO, True),
    (510000, 559999, _SIXTEEN, True),  # Mastercard
    (560000, 561399, _MAESTRO, True),  # Maestro, Bankcard
    (561400, 561499, _SIXTEEN, False),  # Uzcard
    (561500, 589999, _MAESTRO, True),  # Maestro, Naranja, Cabal
    (600000, 619999, _MAESTRO, True),  # Discover, RuPay, Hipercard, UkrCard, Cabal, Maestro
    (620000, 629999, _LONG, True),  # UnionPay
    (630000, 639999, _MAESTRO, True),  # Maestro, Elo, Carnet, InstaPayment, InterPayment
    (640000, 659999, _LONG, True),  # Discover, RuPay, Troy, Elo, BC Card
    (670000, 679999, _MAESTRO, True),  # Maestro, Bancontact
    (810000, 829999, _LONG, True),  # UnionPay, RuPay
    (860000, 860099, _SIXTEEN, False),  # Uzcard
    (970400, 970499, (16, 19), False),  # Napas
    (979200, 979299, _SIXTEEN, True),  # Troy
    (986000, 986099, _SIXTEEN, False),  # Humo
)
_LOW = [low for low, _, _, _ in ISSUERS]


def digits_in(value: str) -> str:
    """The ASCII digits of a value."""
    return "".join(c for c in value if "0" <= c <= "9")


def luhn_digit_right(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    doubled = "".join(str(int(c) * 2) for c in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(map(int, doubled))) % 10 == 0


def _issued(digits: str) -> bool | None:
    """Whether a number of that range and length ends with a Luhn digit; None for one that no issuer has."""
    row = bisect_right(_LOW, int(digits[:6] or 0)) - 1
    if row < 0 or int(digits[:6]) > ISSUERS[row][1] or len(digits) not in ISSUERS[row][2]:
        return None
    return ISSUERS[row][3]


def card(value: str) -> bool:
    """A card number: range and length of an issuer, and its Luhn digit."""
    digits = digits_in(value)
    return _issued(digits) is True and luhn_digit_right(digits)


def card_without_luhn(value: str) -> bool:
    """A card number of an issuer whose check digit is not published."""
    return _issued(digits_in(value)) is False


# Accounts

# Lengths that central banks of these countries use without an entry in the registry.
_UNREGISTERED = {
    "AO": 25, "BF": 28, "BJ": 28, "CF": 27, "CG": 27, "CI": 28, "CM": 27, "CV": 25, "DZ": 26, "GA": 27, "GQ": 27, "GW": 25,
    "IR": 26, "KM": 27, "MA": 28, "MG": 27, "ML": 28, "MZ": 25, "NE": 28, "NI": 28, "SN": 28, "TD": 27, "TG": 28,
}  # fmt: skip


def iban(value: str) -> bool:
    """ISO 13616: the country's length and form, the rest by 97 is 1."""
    number = _SEPARATOR.sub("", value.upper())
    if not 15 <= len(number) <= 34 or not number[2:4].isdigit() or not _COUNTRY.match(number):
        return False
    if int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 != 1:
        return False
    return len(number) == _UNREGISTERED.get(number[:2]) or _iban(number)


# ISO 3166-1, of which the fifth and sixth letter of a BIC are one (ISO 9362), and XK.
_COUNTRIES = (
    "AD AE AF AG AI AL AM AO AR AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ CA CD CF CG CH "
    "CI CK CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH "
    "GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR "
    "KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA "
    "NC NE NG NI NL NO NP NR NZ OM PA PE PF PG PH PK PL PM PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SI SK "
    "SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN VU "
    "WF WS XK YE YT ZA ZM ZW "
)


def bic(value: str) -> bool:
    """ISO 9362: the country is one."""
    return value[4:6].upper() in _COUNTRIES.split()


def pl_account(value: str) -> bool:
    """Poland, NRB: an IBAN without its country."""
    return iban("PL" + value)


def hu_account(value: str) -> bool:
    """Hungary: weights 9, 7, 3, 1; bank and branch by themselves, then the account."""
    digits = digits_in(value)
    return len(digits) in (16, 24) and all(
        sum(int(d) * (9, 7, 3, 1)[i % 4] for i, d in enumerate(part)) % 10 == 0 for part in (digits[:8], digits[8:])
    )


# Wallets

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE = str.maketrans("rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz", _BASE58)
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
# Length of what is encoded, and the bytes it begins with.
_WALLETS: tuple[tuple[int, tuple[bytes, ...]], ...] = (
    # Bitcoin (two), Litecoin (two), Dogecoin (two), Dash (two), Tron
    (21, (b"\x00", b"\x05", b"\x30", b"\x32", b"\x1e", b"\x16", b"\x4c", b"\x10", b"\x41")),
    (22, (b"\x1c\xb8", b"\x1c\xbd")),  # Zcash
    (23, (b"\x06\xa1\x9f", b"\x06\xa1\xa1", b"\x06\xa1\xa4", b"\x02\x5a\x79")),  # Tezos
)


def base58check(value: str) -> bool:
    """An address of Bitcoin and those like it: version, hash, four bytes of a double SHA-256."""
    content = _base58_content(value)
    return content is not None and any(len(content) == size and content.startswith(begin) for size, begin in _WALLETS)


def ripple(value: str) -> bool:
    """An account of the XRP Ledger: the same in another alphabet, version 0."""
    content = _base58_content(value.translate(_RIPPLE))
    return content is not None and len(content) == 21 and content[0] == 0


def _base58_content(value: str) -> bytes | None:
    """What a base58check text says; None when its checksum is wrong."""
    if not 25 <= len(value) <= 40:
        return None
    number = 0
    for character in value:
        place = _BASE58.find(character)
        if place < 0:
            return None
        number = number * 58 + place
    zeros = len(value) - len(value.lstrip("1"))
    raw = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
    content, check = raw[:-4], raw[-4:]
    right = hashlib.sha256(hashlib.sha256(content).digest()).digest()[:4] == check
    return content if right else None


def bech32(value: str) -> bool:
    """BIP 173 and BIP 350: the checksum of an address with a prefix of letters (bc1..., ltc1..., addr1...)."""
    if value not in (value.lower(), value.upper()):
        return False
    prefix, _, data = value.lower().rpartition("1")
    if not prefix or len(data) < 6 or any(c not in _BECH32 for c in data):
        return False
    rest = 1
    for number in (*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *map(_BECH32.index, data)):
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << 5 ^ number
        for i, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            rest ^= term if top >> i & 1 else 0
    return rest in (1, 0x2BC830A3)


def stellar(value: str) -> bool:
    """Stellar, SEP 23: base32 of a version byte, a key and its CRC-16/XMODEM, low byte first."""
    try:
        raw = base64.b32decode(value)
    except ValueError:
        return False
    return raw[:1] == b"\x30" and binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:], "little")


def ton(value: str) -> bool:
    """TON, TEP 2: base64url of 34 bytes and their CRC-16/XMODEM."""
    try:
        raw = base64.b64decode(value.translate(str.maketrans("-_", "+/")), validate=True)
    except ValueError:
        return False
    return len(raw) == 36 and binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:])


SIMPLE: dict[str, Check] = {
    check.__name__: check
    for check in (
        card, card_without_luhn, iban, bic, pl_account, hu_account, base58check, ripple, bech32, stellar, ton,
    )
}  # fmt: skip
MADE: dict[str, Callable[[str], Check]] = {}
