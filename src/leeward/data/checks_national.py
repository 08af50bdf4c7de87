"""Checks of numbers that states give to people. See checks.py.

Most check digits are a weighted sum of digits and a remainder, so a recognizer states them as data: `sum:11:9,8,7,6,5,4,3,2,-1`.
What is left for a function has letters, two steps or a list. Separators in a value never count; a value with fewer digits than
weights is read as if zeros stood before it. No check looks at a clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import mul

from leeward.data.stdnums import by_stdnum

Check = Callable[[str], bool]
SIMPLE: dict[str, Check] = {}
MADE: dict[str, Callable[[str], Check]] = {}
_NOT_DIGIT = re.compile(r"[^0-9]")
_verhoeff = by_stdnum("stdnum.verhoeff")
_mod_11_10 = by_stdnum("stdnum.iso7064.mod_11_10")
_SEPARATOR = re.compile(r"[^0-9A-Z&Ñ]")
_LINES = re.compile(r"(?:\s|\\n)+")
_RUN = "01234567890123456789"
_BASE36 = {character: number for number, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}


def digits_in(value: str) -> str:
    """The ASCII digits of a value."""
    return value if value.isascii() and value.isdigit() else _NOT_DIGIT.sub("", value)


def compact(value: str) -> str:
    """Letters and digits of a value, in upper case."""
    return _SEPARATOR.sub("", value.upper())


def total(weights: Iterable[int], digits: str) -> int:
    """The sum of digits by their weights; what has no partner does not count."""
    result: int = sum(map(mul, weights, map(int, digits)))
    return result


def of(form: str) -> Callable[[Check], Check]:
    """Makes a named check of a function that takes values of this form only, without separators; others do not pass."""
    fits = re.compile(form).fullmatch

    def named(right: Check) -> Check:
        def check(value: str) -> bool:
            number = compact(value)
            return fits(number) is not None and right(number)

        SIMPLE[right.__name__] = check
        return check

    return named


# Weighted sums


def weighted_sum(argument: str) -> Check:
    """`sum:M:w1,w2,...`: the weighted digits add up to a multiple of M."""
    modulus, weights = _weights(argument)

    def check(value: str) -> bool:
        digits = digits_in(value).zfill(len(weights))
        return total(weights, digits) % modulus == 0

    return check


def weighted_digit(digit: Callable[[int, int], int]) -> Callable[[str], Check]:
    """Of checks whose weighted sum of the first digits gives the next one, by `digit` (sum, M) modulo 10."""

    def make(argument: str) -> Check:
        modulus, weights = _weights(argument)
        at = len(weights)

        def check(value: str) -> bool:
            digits = digits_in(value).zfill(at + 1)
            return int(digits[at]) == digit(total(weights, digits), modulus) % 10

        return check

    return make


def _weights(argument: str) -> tuple[int, tuple[int, ...]]:
    modulus, _, weights = argument.partition(":")
    return int(modulus), tuple(map(int, weights.split(",")))


MADE["sum"] = weighted_sum
MADE["rem"] = weighted_digit(lambda summed, modulus: summed % modulus)
MADE["neg"] = weighted_digit(lambda summed, modulus: -summed % modulus)
MADE["comp"] = weighted_digit(lambda summed, modulus: modulus - summed % modulus)


# Algorithms of several countries


@of(r"[0-9]{2,}")
def verhoeff(number: str) -> bool:
    """Verhoeff's check digit (Aadhaar)."""
    return _verhoeff(number)


@of(r"[0-9]{2,}")
def mod_11_10(number: str) -> bool:
    """ISO/IEC 7064 MOD 11,10 (OIB, Steuer-ID)."""
    return _mod_11_10(number)


@of(r"[0-9]+[0-9X]")
def mod_11_2(number: str) -> bool:
    """ISO/IEC 7064 MOD 11-2, with X for 10 (resident ids of China, GB 11643)."""
    rest = 0
    for digit in number[:-1]:
        rest = (rest + int(digit)) * 2 % 11
    return (rest + "0123456789X".index(number[-1])) % 11 == 1


@of(r"[0-9A-Z]+[0-9]")
def icao(number: str) -> bool:
    """ICAO 9303 part 3, 4.9: weights 7, 3, 1; letters count from A = 10; the last character is the check digit."""
    return mrz_digit(number[:-1]) == int(number[-1])


@of(r"[0-9]{11,12}")
def two_step(number: str) -> bool:
    """Estonia, Lithuania (11 digits), Kazakhstan (12): weights 1, 2, 3, ...; beginning with 3 where the rest by 11 is 10."""
    last = len(number) - 1
    around = 9 if last == 10 else 11
    for shift in (0, 2):
        rest = sum(((i + shift) % around + 1) * int(number[i]) for i in range(last)) % 11
        if rest < 10:
            return rest == int(number[last])
    return last == 10 and number[last] == "0"


@of(r"[0-9]{10}|[0-9]{12}")
def luhn_ten(number: str) -> bool:
    """Luhn over the last ten digits (Sweden, where the century may stand before them)."""
    digits = number[-10:]
    doubled = "".join(str(int(digit) * 2) for digit in digits[::2])
    return (sum(map(int, digits[1::2])) + sum(map(int, doubled))) % 10 == 0


@of(r".*")
def varied(number: str) -> bool:
    """No placeholder: at least three different digits, and not all of them in a row, as in 123456789."""
    digits = digits_in(number)
    return len(set(digits)) > 2 and digits not in _RUN and digits not in _RUN[::-1]


# One country each


@of(r"[0-9]{11}")
def be_nn(number: str) -> bool:
    """Belgium: 97 minus the rest of nine digits by 97, with 2 before them for those born from 2000."""
    centuries = ("", "2") if number < "4" else ("",)
    return any(97 - int(century + number[:-2]) % 97 == int(number[-2:]) for century in centuries)


@of(r"[0-9]{11}")
def br_cnh(number: str) -> bool:
    """Brazil, driving licence: two digits, the second counts two less if the first overflowed (Contran 511)."""
    digits = list(map(int, number))
    first = total(range(9, 0, -1), number) % 11
    second = total(range(1, 10), number) % 11 - 2 * (first > 9)
    second += 11 * (second < 0)
    return digits[9:] == [first if first < 10 else 0, second if second < 10 else 0]


@of(r"[0-9]{7,8}[0-9K]")
def cl_rut(number: str) -> bool:
    """Chile: weights 2 to 7 from the right, K for 10."""
    summed = sum(int(c) * (2 + i % 6) for i, c in enumerate(reversed(number[:-1])))
    return number[-1] == "0K987654321"[summed % 11]


@of(r"[0-9]{11}")
def de_idnr(number: str) -> bool:
    """Germany: of the first ten digits one comes twice or three times, no other more than once; and MOD 11,10."""
    first = number[:10]
    return len(set(first)) in (8, 9) and max(map(first.count, first)) == 11 - len(set(first)) and mod_11_10(number)


@of(r"[0-9]{8}[A-Z][0-9]{3}")
def de_vsnr(number: str) -> bool:
    """Germany, number of pension insurance: the letter counts as two digits (VKVV §2, §4)."""
    digits = number[:8] + f"{_BASE36[number[8]] - 9:02}" + number[9:11]
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    products = [weight * int(digit) for weight, digit in zip(weights, digits, strict=False)]
    return sum(p // 10 + p % 10 for p in products) % 10 == int(number[11])


@of(r"[0-9XYZ]?[0-9]{7}[A-Z]")
def es_letter(number: str) -> bool:
    """Spain: the letter is the rest by 23; X, Y and Z at the begin (NIE) count 0, 1 and 2."""
    digits = number[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1]


@of(r"[0-9]{12}")
def es_nss(number: str) -> bool:
    """Spain, social security: the rest by 97 of province and number; seven digits of it when the eighth would be 0."""
    return int(number[:2] + number[2:10].removeprefix("0")) % 97 == int(number[10:])


@of(r"[0-9]{6}[A-Z]?[0-9]{3}[0-9A-Z]")
def fi_hetu(number: str) -> bool:
    """Finland: the rest by 31 of date and number as one."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number[:6] + number[-4:-1]) % 31] == number[-1]


@of(r"[A-Z]{1,2}[0-9]{6}[0-9A]")
def hk_hkid(number: str) -> bool:
    """Hong Kong: weights 9 to 1, A for 10; one letter alone has a blank before it, which counts 36."""
    numbers = [36] * (9 - len(number)) + [_BASE36[c] for c in number]
    return sum((9 - i) * n for i, n in enumerate(numbers)) % 11 == 0


@of(r"[0-9]{11}")
def hu_szemelyi(number: str) -> bool:
    """Hungary, personal number: weights 1 to 10, the other way round for those born from 1997."""
    digits = list(map(int, number))
    return any(total(weights, number) % 11 == digits[10] for weights in (range(1, 11), range(10, 0, -1)))


@of(r"[0-9]{10}")
def ir_melli(number: str) -> bool:
    """Iran: weights 10 to 2; a rest of 2 or more is taken from 11."""
    rest = total(range(10, 1, -1), number) % 11
    return int(number[9]) == (rest if rest < 2 else 11 - rest)


@of(r"[0-9]{13}")
def lu_matricule(number: str) -> bool:
    """Luxembourg: Luhn and Verhoeff digits, each over the first eleven."""
    doubled = "".join(str(int(digit) * 2) for digit in number[:11:2])
    luhn = -(sum(map(int, doubled)) + sum(map(int, number[1:11:2]))) % 10
    return int(number[11]) == luhn and verhoeff(number[:11] + number[12])


@of(r"[A-ZÑ&]{4}[0-9]{6}[0-9A-Z]{2}[0-9A]")
def mx_rfc(number: str) -> bool:
    """Mexico: the last character of an RFC of a person."""
    alphabet = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ Ñ"
    summed = sum(alphabet.index(c) * (13 - i) for i, c in enumerate(number[:-1]))
    return alphabet[-summed % 11] == number[-1]


@of(r"[A-Z]{3}[0-9]{6}")
def pl_identity_card(number: str) -> bool:
    """Poland: the first digit checks letters (A = 10) and the other digits, weights 7, 3, 1."""
    weights = (7, 3, 1, 9, 7, 3, 1, 7, 3)
    return sum(weights[i] * _BASE36[c] for i, c in enumerate(number)) % 10 == 0


@of(r"[0-9]{11}")
def pt_niss(number: str) -> bool:
    """Portugal, social security: primes from 29 down to 2 as weights; 9 minus the rest by 10."""
    return int(number[10]) == 9 - total((29, 23, 19, 17, 13, 11, 7, 5, 3, 2), number) % 10


@of(r"[0-9]{11}")
def ru_snils(number: str) -> bool:
    """Russia: weights 9 to 1, the rest by 101, 100 counts as 0."""
    return total(range(9, 0, -1), number) % 101 % 100 == int(number[9:])


@of(r"[STFGM][0-9]{7}[A-Z]")
def sg_nric(number: str) -> bool:
    """Singapore: weights 2, 7, 6, 5, 4, 3, 2; T and G count 4 more, M 3; letters by series."""
    series = number[0]
    summed = total((2, 7, 6, 5, 4, 3, 2), number[1:8]) + {"T": 4, "G": 4, "M": 3}.get(series, 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "XWUTRQPNJLK"}.get(series, "XWUTRQPNMLK")
    return letters[summed % 11] == number[8]


@of(r"[1-9][0-9]{10}")
def tr_kimlik(number: str) -> bool:
    """Turkey: two digits, of the odd and even places, then of all."""
    digits = list(map(int, number))
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


@of(r"[A-Z][0-9]{9}")
def tw_id(number: str) -> bool:
    """Taiwan: the letter counts as two digits; weights 1, 9, 8, ... 1, 1."""
    letter = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0])
    summed = letter // 10 + letter % 10 * 9 + total((8, 7, 6, 5, 4, 3, 2, 1, 1), number[1:])
    return summed % 10 == 0


@of(r"[0-9]{9}")
def us_ssn(number: str) -> bool:
    """United States: no placeholder, as 111-22-3333, and none of the numbers that came with purses and in advertisements."""
    repeated = all(len(set(group)) == 1 for group in (number[:3], number[3:5], number[5:]))
    return varied(number) and not repeated and number not in ("078051120", "219099999", "457555462")


# Machine-readable zones (ICAO 9303 parts 4 to 7)


def mrz(value: str) -> bool:
    """All check digits of a machine-readable zone: TD3 and visas (lines of 44), TD2 (36), TD1 (30)."""
    lines = _LINES.split(value)
    if [len(line) for line in lines] == [30, 30, 30]:
        first, second = lines[0], lines[1]
        together = first[5:] + second[:7] + second[8:15] + second[18:29]
        return _all_right(
            (first[5:14], first[14]), (second[:6], second[6]), (second[8:14], second[14]), (together, second[29])
        )
    if len(lines[-1]) not in (36, 44):
        return False
    last = lines[-1]
    whole = [] if value.startswith("V") else [(last[:10] + last[13:20] + last[21:-1], last[-1])]
    return _all_right((last[:9], last[9]), (last[13:19], last[19]), (last[21:27], last[27]), *whole)


def mrz_digit(field: str) -> int:
    """The check digit of a field of a machine-readable zone; `<` counts 0."""
    return sum(_BASE36.get(c, 0) * (7, 3, 1)[i % 3] for i, c in enumerate(field)) % 10


def _all_right(*pairs: tuple[str, str]) -> bool:
    return all(digit.isdigit() and mrz_digit(field) == int(digit) for field, digit in pairs)


SIMPLE["mrz"] = mrz
