"""Checks of numbers that states give to people. See checks.py.

Most check digits are a weighted sum of digits and a remainder, so a recognizer states them as data: `sum:11:9,8,7,6,5,4,3,2,-1`.
What is left for a function has letters, two steps or a list. Separators in a value never count; a value with fewer digits than
weights is read as if zeros stood before it. No check looks at a clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import mul

from stdnum import verhoeff as _verhoeff
from stdnum.iso7064 import mod_11_10 as _mod_11_10

Check = Callable[[str], bool]
_NOT_DIGIT = re.compile(r"[^0-9]")
_NOT_WORD = re.compile(r"[^0-9A-Za-z&Ñ]")
_RUN = "01234567890123456789"
_BASE36 = {character: number for number, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}


def digits_in(value: str) -> str:
    """The ASCII digits of a value."""
    return value if value.isascii() and value.isdigit() else _NOT_DIGIT.sub("", value)


def letters_in(value: str) -> str:
    """Letters and digits of a value, in upper case."""
    return _NOT_WORD.sub("", value).upper()


# Weighted sums


def weighted_sum(argument: str) -> Check:
    """`sum:M:w1,w2,...`: the weighted digits add up to a multiple of M."""
    modulus, weights = _weights(argument)

    def check(value: str) -> bool:
        digits = digits_in(value).zfill(len(weights))
        return sum(map(mul, weights, map(int, digits))) % modulus == 0

    return check


def weighted_digit(digit: Callable[[int, int], int]) -> Callable[[str], Check]:
    """Of checks whose weighted sum of the first digits gives the next one, by `digit` (sum, M) modulo 10."""

    def make(argument: str) -> Check:
        modulus, weights = _weights(argument)
        at = len(weights)

        def check(value: str) -> bool:
            digits = digits_in(value).zfill(at + 1)
            return int(digits[at]) == digit(sum(map(mul, weights, map(int, digits))), modulus) % 10

        return check

    return make


def _weights(argument: str) -> tuple[int, tuple[int, ...]]:
    modulus, _, weights = argument.partition(":")
    return int(modulus), tuple(map(int, weights.split(",")))


def two_step(value: str) -> bool:
    """Estonia, Lithuania, Kazakhstan: weights 1 to 9 and again, then 3 to 9 and again if the first remainder is 10."""
    digits = list(map(int, digits_in(value)))
    most = len(digits) - 1
    for shift in (0, 2):
        rest = sum((i + shift) % period * digits[i] + digits[i] for i in range(most) for period in [11 if most > 10 else 9])
        if rest % 11 < 10:
            return rest % 11 == digits[most]
    return digits[most] == 0 and most == 10


# Known algorithms


def verhoeff(value: str) -> bool:
    """Verhoeff's check digit (Aadhaar)."""
    return bool(_verhoeff.is_valid(digits_in(value)))


def mod_11_10(value: str) -> bool:
    """ISO/IEC 7064 MOD 11,10 (OIB, Steuer-ID)."""
    return bool(_mod_11_10.is_valid(digits_in(value)))


def mod_11_2(value: str) -> bool:
    """ISO/IEC 7064 MOD 11-2, with X for 10 (resident ids of China, GB 11643)."""
    characters = letters_in(value)
    rest = 0
    for character in characters[:-1]:
        rest = (rest + int(character)) * 2 % 11
    return (rest + _BASE36[characters[-1]] % 23) % 11 == 1


def icao(value: str) -> bool:
    """ICAO 9303 part 3, 4.9: weights 7, 3, 1; letters count from A = 10; the last character is the check digit."""
    characters = letters_in(value)
    return characters[-1:].isdigit() and mrz_digit(characters[:-1]) == int(characters[-1])


def mrz_digit(field: str) -> int:
    """The check digit of a field of a machine-readable zone; `<` counts 0."""
    return sum(_BASE36.get(c, 0) * (7, 3, 1)[i % 3] for i, c in enumerate(field)) % 10


def varied(value: str) -> bool:
    """No placeholder: at least three different digits, and not all of them in a row, as in 123456789."""
    digits = digits_in(value)
    return len(set(digits)) > 2 and digits not in _RUN and digits not in _RUN[::-1]


# One country each


def be_nn(value: str) -> bool:
    """Belgium: 97 minus the rest of nine digits by 97, with 2 before them for those born from 2000."""
    digits = digits_in(value)
    return any(97 - int(century + digits[:-2]) % 97 == int(digits[-2:]) for century in ("", "2"))


def br_cnh(value: str) -> bool:
    """Brazil, driving licence: two digits, the second counts two less if the first overflowed (Contran 511)."""
    digits = list(map(int, digits_in(value)))
    first = sum(map(mul, range(9, 0, -1), digits)) % 11
    second = sum(map(mul, range(1, 10), digits)) % 11 - 2 * (first > 9)
    second += 11 * (second < 0)
    return digits[9:] == [first % 10 if first < 10 else 0, second if second < 10 else 0]


def cl_rut(value: str) -> bool:
    """Chile: weights 2 to 7 from the right, K for 10."""
    characters = letters_in(value)
    total = sum(int(c) * (2 + i % 6) for i, c in enumerate(reversed(characters[:-1])))
    return characters[-1:] == "0K987654321"[total % 11]


def de_idnr(value: str) -> bool:
    """Germany: of the first ten digits one comes twice or three times, no other more than once; and MOD 11,10."""
    first = digits_in(value)[:10]
    return len(set(first)) in (8, 9) and max(map(first.count, first)) == 10 - len(set(first)) + 1 and mod_11_10(value)


def de_vsnr(value: str) -> bool:
    """Germany, number of pension insurance: the letter counts as two digits (VKVV §2, §4)."""
    characters = letters_in(value)
    digits = characters[:8] + f"{_BASE36[characters[8]] - 9:02}" + characters[9:11]
    products = map(mul, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), map(int, digits))
    return sum(p // 10 + p % 10 for p in products) % 10 == int(characters[11])


def es_letter(value: str) -> bool:
    """Spain: the letter is the rest by 23; X, Y and Z at the begin (NIE) count 0, 1 and 2."""
    characters = letters_in(value)
    number = characters[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == characters[-1]


def fi_hetu(value: str) -> bool:
    """Finland: the rest by 31 of date and number as one."""
    characters = value.upper()
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(characters[:6] + characters[7:10]) % 31] == characters[10]


def hk_hkid(value: str) -> bool:
    """Hong Kong: weights 9 (or 8 with one letter) to 1, A for 10."""
    characters = letters_in(value)
    numbers = [36] * (9 - len(characters)) + [_BASE36[c] for c in characters]
    return sum(map(mul, range(9, 0, -1), numbers)) % 11 == 0


def hu_szemelyi(value: str) -> bool:
    """Hungary, personal number: weights 1 to 10, the other way round for those born from 1997."""
    digits = list(map(int, digits_in(value)))
    return any(sum(map(mul, weights, digits)) % 11 == digits[10] for weights in (range(1, 11), range(10, 0, -1)))


def ir_melli(value: str) -> bool:
    """Iran: weights 10 to 2; a rest of 2 or more is taken from 11."""
    digits = list(map(int, digits_in(value)))
    rest = sum(map(mul, range(10, 1, -1), digits)) % 11
    return digits[9] == (rest if rest < 2 else 11 - rest)


def luhn_ten(value: str) -> bool:
    """Luhn over the last ten digits (Sweden, where the century may stand before them)."""
    digits = digits_in(value)[-10:]
    return sum(map(int, digits[1::2])) % 10 == -sum(map(int, "".join(str(int(d) * 2) for d in digits[::2]))) % 10


def lu_matricule(value: str) -> bool:
    """Luxembourg: Luhn and Verhoeff digits, each over the first eleven."""
    digits = digits_in(value)
    doubled = "".join(str(int(d) * 2) if i % 2 else d for i, d in enumerate(reversed("0" + digits[:11]), 1))
    luhn = -sum(map(int, doubled)) % 10
    return int(digits[11]) == luhn and verhoeff(digits[:11] + digits[12])


def mx_rfc(value: str) -> bool:
    """Mexico: the last character of an RFC of a person."""
    characters = letters_in(value)
    alphabet = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ Ñ"
    total = sum(alphabet.index(c) * (13 - i) for i, c in enumerate(characters[:-1]))
    return alphabet[-total % 11] == characters[-1]


def ru_snils(value: str) -> bool:
    """Russia: weights 9 to 1, the rest by 101, 100 counts as 0."""
    digits = digits_in(value)
    return sum(map(mul, range(9, 0, -1), map(int, digits))) % 101 % 100 == int(digits[9:])


def sg_nric(value: str) -> bool:
    """Singapore: weights 2, 7, 6, 5, 4, 3, 2; letters by series."""
    characters = letters_in(value)
    series, letter = characters[0], characters[8]
    total = sum(map(mul, (2, 7, 6, 5, 4, 3, 2), map(int, characters[1:8])))
    if series == "M":
        return "XWUTRQPNJLK"[10 - (total + 3) % 11] == letter
    table = "JZIHGFEDCBA" if series in "ST" else "XWUTRQPNMLK"
    return table[(total + 4 * (series in "TG")) % 11] == letter


def tr_kimlik(value: str) -> bool:
    """Turkey: two digits, of the odd and even places, then of all."""
    digits = list(map(int, digits_in(value)))
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def tw_id(value: str) -> bool:
    """Taiwan: the letter counts as two digits; weights 1, 9, 8, ... 1, 1."""
    characters = letters_in(value)
    letter = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(characters[0])
    total = letter // 10 + letter % 10 * 9 + sum(map(mul, (8, 7, 6, 5, 4, 3, 2, 1, 1), map(int, characters[1:])))
    return total % 10 == 0


def us_ssn(value: str) -> bool:
    """United States: none of the numbers that were printed on sample cards and so are nobody's; no placeholder."""
    return varied(value) and digits_in(value) not in ("078051120", "219099999", "457555462")


# Machine-readable zones (ICAO 9303 parts 4 to 6)


def mrz(value: str) -> bool:
    """All check digits of a machine-readable zone: TD3 and visas (lines of 44), TD2 (36), TD1 (30)."""
    lines = value.split()
    if len(lines[0]) == 30:
        first, second = lines[0], lines[1]
        together = first[5:] + second[:7] + second[8:15] + second[18:29]
        pairs = [(first[5:14], first[14]), (second[:6], second[6]), (second[8:14], second[14]), (together, second[29])]
        return _all_right(pairs)
    last = lines[-1]
    pairs = [(last[:9], last[9]), (last[13:19], last[19]), (last[21:27], last[27])]
    if not value.startswith("V"):
        pairs.append((last[:10] + last[13:20] + last[21:-1], last[-1]))
    return _all_right(pairs)


def _all_right(pairs: list[tuple[str, str]]) -> bool:
    return all(digit.isdigit() and mrz_digit(field) == int(digit) for field, digit in pairs)


SIMPLE: dict[str, Check] = {
    check.__name__: check
    for check in (
        two_step, verhoeff, mod_11_10, mod_11_2, icao, varied, be_nn, br_cnh, cl_rut, de_idnr, de_vsnr, es_letter, fi_hetu,
        hk_hkid, hu_szemelyi, ir_melli, luhn_ten, lu_matricule, mx_rfc, ru_snils, sg_nric, tr_kimlik, tw_id, us_ssn, mrz,
    )
}  # fmt: skip
MADE: dict[str, Callable[[str], Check]] = {
    "sum": weighted_sum,
    "rem": weighted_digit(lambda total, modulus: total % modulus),
    "neg": weighted_digit(lambda total, modulus: -total % modulus),
    "comp": weighted_digit(lambda total, modulus: modulus - total % modulus),
}
