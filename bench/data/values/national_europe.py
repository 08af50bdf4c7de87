"""Valid national identifiers of Europe, by the published algorithms, in the ways that people write them."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from bench.data.values.checksums import digits, luhn, mod11_10, weighted


def birthday(random: Random, first: int = 1940, last: int = 2006) -> date:
    begin = date(first, 1, 1)
    return begin + timedelta(days=random.randrange((date(last, 12, 31) - begin).days))


def one_of(random: Random, *forms: str) -> str:
    return random.choice(forms)


def ie_pps(random: Random) -> str:
    number = digits(random, 7)
    second = random.choice(("", "A"))
    total = weighted(number, range(8, 1, -1)) + (9 if second else 0)
    return number + "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] + second


def de_idnr(random: Random) -> str:
    """One digit of the first ten twice, the others at most once (form until 2015), then ISO 7064 MOD 11,10."""
    order = random.sample("0123456789", 9)
    order.insert(random.randrange(10), random.choice(order))
    if order[0] == "0":
        return de_idnr(random)
    if any(order[at] == order[at + 1] == order[at + 2] for at in range(8)):
        return de_idnr(random)
    number = "".join(order)
    number += mod11_10(number)
    return one_of(random, number, f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}")


def de_rvnr(random: Random) -> str:
    """§ 4 VKVV: area, birthday, letter, serial number, check digit from digit sums with weights 2 1 2 5 7 1 2 1 2 1 2 1."""
    born = birthday(random)
    area = random.choice(("02", "04", "10", "12", "13", "15", "18", "24", "38", "50", "65"))
    letter = random.choice("ABCDEFGHKLMNPRSTW")
    head, serial = f"{area}{born:%d%m%y}", f"{random.randint(0, 99):02d}"
    long = f"{head}{ord(letter) - 64:02d}{serial}"
    total = sum(sum(map(int, str(int(d) * w))) for d, w in zip(long, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    number = f"{head}{letter}{serial}{total % 10}"
    return one_of(random, number, f"{area} {born:%d%m%y} {letter} {serial}{total % 10}")


def fr_nir(random: Random) -> str:
    born = birthday(random)
    department = random.choice([n for n in range(1, 96) if n != 20])
    number = f"{random.choice('12')}{born:%y%m}{department:02d}{random.randint(1, 500):03d}{random.randint(1, 999):03d}"
    key = f"{97 - int(number) % 97:02d}"
    spaced = f"{number[0]} {number[1:3]} {number[3:5]} {number[5:7]} {number[7:10]} {number[10:]} {key}"
    return one_of(random, number + key, spaced)


_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"


def es_dni(random: Random) -> str:
    number = digits(random, 8)
    letter = _DNI[int(number) % 23]
    return one_of(random, number + letter, f"{number}-{letter}")


def es_nie(random: Random) -> str:
    head, number = random.choice("XYZ"), digits(random, 7)
    letter = _DNI[int(str("XYZ".index(head)) + number) % 23]
    return one_of(random, f"{head}{number}{letter}", f"{head}-{number}-{letter}")


# The values of characters in odd places (D.M. 23 December 1976); of letters, and of the digit with the same number.
_ODD_LETTERS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def _codice_value(character: str, odd: bool) -> int:
    number = int(character) if character.isdigit() else ord(character) - 65
    return _ODD_LETTERS[number] if odd else number


def it_codice(random: Random) -> str:
    """D.M. 23 December 1976: surname and name, birthday (40 more for women), municipality, letter from odd and even places."""
    born = birthday(random)
    consonants, vowels = "BCDFGLMNPRSTVZ", "AEIO"
    name = "".join(random.choice(consonants) for _ in range(5)) + random.choice(consonants + vowels)
    day = born.day + random.choice((0, 40))
    town = f"{random.choice('ABCDEFGHIL')}{random.randint(1, 950):03d}"
    code = f"{name}{born:%y}{'ABCDEHLMPRST'[born.month - 1]}{day:02d}{town}"
    total = sum(_codice_value(character, at % 2 == 0) for at, character in enumerate(code))
    return code + chr(65 + total % 26)


def pt_nif(random: Random) -> str:
    number = digits(random, 8, "123")
    check = 11 - weighted(number, range(9, 1, -1)) % 11
    number += str(check if check < 10 else 0)
    return one_of(random, number, f"{number[:3]} {number[3:6]} {number[6:]}")


def nl_bsn(random: Random) -> str:
    while True:
        number = digits(random, 8, "123456789")
        check = weighted(number, range(9, 1, -1)) % 11
        if check < 10:
            return number + str(check)


def be_nn(random: Random) -> str:
    born = birthday(random)
    serial = f"{born:%y%m%d}{random.randint(1, 997):03d}"
    check = 97 - int(("2" if born.year >= 2000 else "") + serial) % 97
    return one_of(random, f"{serial}{check:02d}", f"{serial[:2]}.{serial[2:4]}.{serial[4:6]}-{serial[6:]}.{check:02d}")


def ch_ahv(random: Random) -> str:
    number = "756" + digits(random, 9)
    number += str(-weighted(number, (1, 3) * 6) % 10)
    return one_of(random, number, f"{number[:3]}.{number[3:7]}.{number[7:11]}.{number[11:]}")


def at_svnr(random: Random) -> str:
    while True:
        born, serial = birthday(random), digits(random, 3, "123456789")
        check = weighted(f"{serial}{born:%d%m%y}", (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
        if check < 10:
            return one_of(random, f"{serial}{check}{born:%d%m%y}", f"{serial}{check} {born:%d%m%y}")


def pl_pesel(random: Random) -> str:
    born = birthday(random)
    month = born.month + (20 if born.year >= 2000 else 0)
    number = f"{born:%y}{month:02d}{born:%d}{digits(random, 4)}"
    return number + str(-weighted(number, (1, 3, 7, 9) * 2 + (1, 3)) % 10)


def cz_rc(random: Random) -> str:
    while True:
        born = birthday(random, 1955)
        head = f"{born:%y}{born.month + random.choice((0, 50)):02d}{born:%d}"
        number = head + digits(random, 3)
        check = int(number) % 11
        if check < 10:
            return one_of(random, f"{number}{check}", f"{head}/{number[6:]}{check}")


def hu_taj(random: Random) -> str:
    number = digits(random, 8, "01")
    number += str(weighted(number, (3, 7) * 4) % 10)
    return one_of(random, number, f"{number[:3]} {number[3:6]} {number[6:]}")


def ro_cnp(random: Random) -> str:
    born = birthday(random)
    sex = random.choice("56" if born.year >= 2000 else "12")
    number = f"{sex}{born:%y%m%d}{random.randint(1, 46):02d}{random.randint(1, 999):03d}"
    return number + "01234567891"[weighted(number, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11]


def bg_egn(random: Random) -> str:
    born = birthday(random)
    month = born.month + (40 if born.year >= 2000 else 0)
    number = f"{born:%y}{month:02d}{born:%d}{digits(random, 3)}"
    return number + str(weighted(number, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10)


def hr_oib(random: Random) -> str:
    number = digits(random, 10)
    return number + mod11_10(number)


def si_emso(random: Random) -> str:
    while True:
        born = birthday(random)
        number = f"{born:%d%m}{born.year % 1000:03d}50{digits(random, 3)}"
        check = -weighted(number, (7, 6, 5, 4, 3, 2) * 2) % 11
        if check < 10:
            return number + str(check)


def lt_asmens(random: Random) -> str:
    """Lithuania and Estonia alike: weights 1 to 9 and 1; if that leaves 10, 3 to 9 and 1 to 3; if again 10, then 0."""
    born = birthday(random)
    number = f"{random.choice('56' if born.year >= 2000 else '34')}{born:%y%m%d}{digits(random, 3)}"
    check = weighted(number, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(number, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return number + str(check)


def fi_hetu(random: Random) -> str:
    born, serial = birthday(random), random.randint(2, 899)
    mark = "A" if born.year >= 2000 else "-"
    return (
        f"{born:%d%m%y}{mark}{serial:03d}" + "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(f"{born:%d%m%y}{serial:03d}") % 31]
    )


def se_pnr(random: Random) -> str:
    born, serial = birthday(random), digits(random, 3)
    check = luhn(f"{born:%y%m%d}{serial}")
    return one_of(
        random, f"{born:%y%m%d}-{serial}{check}", f"{born:%Y%m%d}-{serial}{check}", f"{born:%Y%m%d}{serial}{check}"
    )


def no_fnr(random: Random) -> str:
    while True:
        born = birthday(random)
        serial = random.randint(500, 999) if born.year >= 2000 else random.randint(0, 499)
        number = f"{born:%d%m%y}{serial:03d}"
        first = -weighted(number, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
        if first == 10:
            continue
        second = -weighted(f"{number}{first}", (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if second < 10:
            number = f"{number}{first}{second}"
            return one_of(random, number, f"{number[:6]} {number[6:]}")


def dk_cpr(random: Random) -> str:
    """With the checksum that all numbers before 2007 have."""
    while True:
        born = birthday(random, 1940, 1999)
        head = f"{born:%d%m%y}{random.choice('0123')}{digits(random, 2)}"
        check = -weighted(head, (4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            return one_of(random, f"{head[:6]}-{head[6:]}{check}", f"{head}{check}")


def is_kt(random: Random) -> str:
    while True:
        born = birthday(random)
        number = f"{born:%d%m%y}{random.randint(20, 99)}"
        check = -weighted(number, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            number = f"{number}{check}{'0' if born.year >= 2000 else '9'}"
            return one_of(random, f"{number[:6]}-{number[6:]}", number)


def gr_amka(random: Random) -> str:
    number = f"{birthday(random):%d%m%y}{digits(random, 4)}"
    return number + luhn(number)


def tr_tckn(random: Random) -> str:
    number = digits(random, 9, "123456789")
    tenth = (sum(map(int, number[::2])) * 7 - sum(map(int, number[1::2]))) % 10
    return f"{number}{tenth}{(sum(map(int, number)) + tenth) % 10}"


def ua_rnokpp(random: Random) -> str:
    """Days since 31 December 1899, serial number, check digit."""
    days = (birthday(random) - date(1899, 12, 31)).days
    number = f"{days:05d}{digits(random, 4)}"
    return number + str(weighted(number, (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10)


def ru_inn(random: Random) -> str:
    number = f"{random.randint(1, 92):02d}{digits(random, 8)}"
    number += str(weighted(number, (7, 2, 4, 10, 3, 5, 9, 4, 6, 8)) % 11 % 10)
    return number + str(weighted(number, (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)) % 11 % 10)
