"""Valid national identifiers outside the continent of Europe, by the published algorithms, in the ways that people write them."""

from __future__ import annotations

from random import Random

from bench.data.values.checksums import digits, luhn, verhoeff, weighted
from bench.data.values.national_europe import birthday, one_of

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def us_ssn(random: Random) -> str:
    area = random.choice([n for n in range(1, 900) if n not in (666, 219, 78)])
    return f"{area:03d}-{random.randint(1, 99):02d}-{random.randint(1, 9999):04d}"


def us_itin(random: Random) -> str:
    group = random.choice([*range(70, 89), 90, 91, 92, *range(94, 100)])
    return f"9{digits(random, 2)}-{group}-{digits(random, 4)}"


def ca_sin(random: Random) -> str:
    number = digits(random, 8, "12345679")
    number += luhn(number)
    return one_of(
        random, number, f"{number[:3]} {number[3:6]} {number[6:]}", f"{number[:3]}-{number[3:6]}-{number[6:]}"
    )


def au_tfn(random: Random) -> str:
    while True:
        number = digits(random, 9, "123456789")
        if weighted(number, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0:
            return one_of(random, number, f"{number[:3]} {number[3:6]} {number[6:]}")


def au_medicare(random: Random) -> str:
    number = digits(random, 8, "23456")
    number += f"{weighted(number, (1, 3, 7, 9, 1, 3, 7, 9)) % 10}{random.randint(1, 9)}"
    return one_of(random, number, f"{number[:4]} {number[4:9]} {number[9:]}")


def nz_ird(random: Random) -> str:
    while True:
        number = str(random.randint(10_000_000, 99_999_999))
        check = -weighted(number, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check == 10:
            check = -weighted(number, (7, 4, 3, 2, 5, 2, 7, 6)) % 11
        if check < 10 and 10_000_000 < int(f"{number}{check}") < 150_000_000:
            number = f"{number}{check}"
            return one_of(random, number, f"{number[:3]}-{number[3:6]}-{number[6:]}")


def gb_nino(random: Random) -> str:
    while True:
        head = random.choice("ABCEGHJKLMNOPRSTWXYZ") + random.choice("ABCEGHJKLMNPRSTWXYZ")
        if head not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"):
            break
    number, tail = digits(random, 6), random.choice("ABCD")
    return one_of(random, f"{head}{number}{tail}", f"{head} {number[:2]} {number[2:4]} {number[4:]} {tail}")


def gb_nhs(random: Random) -> str:
    while True:
        number = digits(random, 9, "4679")
        check = 11 - weighted(number, range(10, 1, -1)) % 11
        if check != 10:
            number += str(check % 11)
            return one_of(random, number, f"{number[:3]} {number[3:6]} {number[6:]}")


def in_aadhaar(random: Random) -> str:
    while True:
        number = digits(random, 11, "23456789")
        number += verhoeff(number)
        if number != number[::-1]:
            return one_of(random, f"{number[:4]} {number[4:8]} {number[8:]}", number)


def in_pan(random: Random) -> str:
    """Three letters, P for a person, the first of the surname, four digits, a check letter whose rule is not published."""
    letters = [random.choice(LETTERS) for _ in range(5)]
    return f"{''.join(letters[:3])}P{letters[3]}{random.randint(1, 9999):04d}{letters[4]}"


def sg_nric(random: Random) -> str:
    head, number = random.choice("STFG"), digits(random, 7)
    total = weighted(number, (2, 7, 6, 5, 4, 3, 2)) + (4 if head in "TG" else 0)
    return head + number + ("JZIHGFEDCBA" if head in "ST" else "XWUTRQPNMLK")[total % 11]


def za_id(random: Random) -> str:
    number = f"{birthday(random):%y%m%d}{digits(random, 4)}{random.choice('01')}8"
    number += luhn(number)
    return one_of(random, number, f"{number[:6]} {number[6:10]} {number[10:]}")


def il_id(random: Random) -> str:
    number = digits(random, 8)
    return number + luhn(number)


def _eleven(number: str, weights: range) -> str:
    rest = weighted(number, weights) % 11
    return str(0 if rest < 2 else 11 - rest)


def br_cpf(random: Random) -> str:
    number = digits(random, 9)
    number += _eleven(number, range(10, 1, -1))
    number += _eleven(number, range(11, 1, -1))
    return one_of(random, number, f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}")


def cl_rut(random: Random) -> str:
    number = str(random.randint(5_000_000, 25_999_999))
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(number)))
    check = "0123456789K0"[11 - total % 11]
    dotted = f"{number[:-6]}.{number[-6:-3]}.{number[-3:]}"
    return one_of(random, f"{dotted}-{check}", f"{number}-{check}")


def ar_cuit(random: Random) -> str:
    while True:
        number = random.choice(("20", "23", "27")) + str(random.randint(10_000_000, 45_000_000))
        check = -weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            return one_of(random, f"{number[:2]}-{number[2:]}-{check}", f"{number}{check}")


_MX = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ"


def mx_curp(random: Random) -> str:
    """RENAPO's instruction: name, birthday, sex, state, consonants, mark of the century, check digit over 37 characters."""
    born = birthday(random)
    consonants = "BCDFGHJKLMNPRSTVZ"
    name = random.choice(consonants) + random.choice("AEIO") + random.choice(consonants) + random.choice(consonants)
    state = random.choice(("AS", "BC", "CH", "DF", "GT", "JC", "MC", "NL", "OC", "PL", "SR", "VZ", "YN"))
    code = f"{name}{born:%y%m%d}{random.choice('HM')}{state}" + "".join(random.choice(consonants) for _ in range(3))
    code += random.choice("ABCD") if born.year >= 2000 else random.choice("0123456789")
    values = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(values.index(character) * (18 - place) for place, character in enumerate(code))
    return code + str(-total % 10)


def mx_rfc(random: Random) -> str:
    born = birthday(random)
    consonants = "BCDFGHJLMNPRSTVZ"
    name = random.choice(consonants) + random.choice("AEIO") + random.choice(consonants) + random.choice(consonants)
    code = f"{name}{born:%y%m%d}{random.choice('123456789ABCDEFGHIJKLMNPQRSTUVWXYZ')}{random.choice('123456789ABCDEFGHJKLMN')}"
    total = sum(_MX.index(character) * (13 - place) for place, character in enumerate(code))
    rest = -total % 11
    return code + ("A" if rest == 10 else str(rest))


def ec_ci(random: Random) -> str:
    number = f"{random.randint(1, 24):02d}{random.randint(0, 5)}{digits(random, 6)}"
    return number + luhn(number)


def do_cedula(random: Random) -> str:
    number = f"{random.choice(('001', '002', '003', '012', '023', '031', '047', '054', '223', '224', '402'))}{digits(random, 7)}"
    number += luhn(number)
    return one_of(random, number, f"{number[:3]}-{number[3:10]}-{number[10]}")


def cn_ric(random: Random) -> str:
    """GB 11643-1999: ISO 7064 MOD 11-2."""
    place = random.choice(("110101", "110105", "310104", "310115", "440106", "440305", "320102", "330102", "510107"))
    number = f"{place}{birthday(random):%Y%m%d}{digits(random, 3)}"
    total = weighted(number, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    return number + "10X98765432"[total % 11]


def tw_id(random: Random) -> str:
    """A letter that counts as 10 to 35 in an order of its own, sex, serial number, check digit."""
    letter = random.choice(LETTERS)
    value = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter) + 10
    number = random.choice("12") + digits(random, 7)
    total = value // 10 + value % 10 * 9 + weighted(number, range(8, 0, -1))
    return f"{letter}{number}{-total % 10}"


def hk_hkid(random: Random) -> str:
    letter, number = random.choice("ABCDEGHKMPRSVYZ"), digits(random, 6)
    total = 36 * 9 + (ord(letter) - 55) * 8 + weighted(number, range(7, 1, -1))
    return f"{letter}{number}({'0123456789A'[-total % 11]})"


def jp_mynumber(random: Random) -> str:
    number = digits(random, 11)
    rest = weighted(number, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    number += str(0 if rest <= 1 else 11 - rest)
    return one_of(
        random, number, f"{number[:4]} {number[4:8]} {number[8:]}", f"{number[:4]}-{number[4:8]}-{number[8:]}"
    )


def kr_rrn(random: Random) -> str:
    """With the checksum that numbers before October 2020 have."""
    born = birthday(random)
    number = f"{born:%y%m%d}{random.choice('34' if born.year >= 2000 else '12')}{random.randint(0, 95):02d}{digits(random, 3)}"
    check = (11 - weighted(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return one_of(random, f"{number[:6]}-{number[6:]}{check}", f"{number}{check}")


def th_pid(random: Random) -> str:
    number = digits(random, 12, "12345678")
    number += str((11 - weighted(number, range(13, 1, -1)) % 11) % 10)
    return one_of(random, number, f"{number[0]}-{number[1:5]}-{number[5:10]}-{number[10:12]}-{number[12]}")


def my_nric(random: Random) -> str:
    place = random.choice((1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 21, 59))
    number = f"{birthday(random):%y%m%d}{place:02d}{digits(random, 4)}"
    return one_of(random, number, f"{number[:6]}-{number[6:8]}-{number[8:]}")


def pk_cnic(random: Random) -> str:
    return f"{random.choice('1234567')}{digits(random, 4)}-{digits(random, 7)}-{random.randint(1, 9)}"
