"""Payment cards, IBANs, bank accounts, routing numbers and BICs, valid by their published checks."""

from __future__ import annotations

from random import Random

from bench.data.grammar import render
from bench.data.values.checksums import digits, luhn, mod97, weighted
from bench.data.values.national_europe import one_of

# Prefixes and lengths: ISO/IEC 7812 ranges as the schemes publish them.
BRANDS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "visa": (("4",), (16, 16, 16, 13, 19)),
    "mastercard": (("51", "52", "53", "54", "55", "2221", "2300", "2500", "2699", "2720"), (16,)),
    "amex": (("34", "37"), (15,)),
    "discover": (("6011", "644", "649", "65"), (16,)),
    "diners": (("300", "301", "305", "36", "38"), (14,)),
    "jcb": (("3528", "3540", "3566", "3589"), (16,)),
    "unionpay": (("620", "621", "625", "6282"), (16, 19)),
    "maestro": (("5018", "5020", "5038", "6304", "6759", "6761"), (16, 18, 12)),
    "mir": (("2200", "2201", "2202", "2204"), (16,)),
    "rupay": (("6074", "6521", "8172"), (16,)),
    "elo": (("636368", "438935", "504175", "650031"), (16,)),
    "troy": (("979200", "979289"), (16,)),
}
# Documentation's numbers for tests: cards by form, and nobody can tell that they are not (Stripe, Adyen, PayPal).
DOCUMENTED = (
    "4242424242424242",
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "3530111333300000",
)


def card_of(brand: str, random: Random) -> str:
    prefixes, lengths = BRANDS[brand]
    prefix, length = random.choice(prefixes), random.choice(lengths)
    payload = prefix + digits(random, length - len(prefix) - 1)
    return payload + luhn(payload)


def written_card(number: str, random: Random) -> str:
    """As people write it: in groups with blanks or hyphens, or without."""
    mark = random.choice(("", "", " ", " ", "-"))
    sizes = {15: (4, 6, 5), 14: (4, 6, 4)}.get(len(number), (4,) * (len(number) // 4 + 1))
    groups, at = [], 0
    for size in sizes:
        groups.append(number[at : at + size])
        at += size
    return mark.join(group for group in groups if group)


def _be(random: Random) -> str:
    number = digits(random, 10)
    return f"{number}{int(number) % 97 or 97:02d}"


def _es(random: Random) -> str:
    bank, account = digits(random, 8), digits(random, 10)
    weights = (1, 2, 4, 8, 5, 10, 9, 7, 3, 6)
    checks = ["01234567891"[-weighted(part, weights) % 11] for part in ("00" + bank, account)]
    return bank + checks[0] + ("1" if checks[1] == "10" else checks[1]) + account


def _fr(random: Random) -> str:
    bank, branch, account = digits(random, 5), digits(random, 5), digits(random, 11)
    return f"{bank}{branch}{account}{97 - (89 * int(bank) + 15 * int(branch) + 3 * int(account)) % 97:02d}"


_IT_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)


def _it(random: Random) -> str:
    number = digits(random, 10) + digits(random, 12)
    total = sum(_IT_ODD[int(digit)] if at % 2 == 0 else int(digit) for at, digit in enumerate(number))
    return chr(65 + total % 26) + number


def _no(random: Random) -> str:
    while True:
        number = digits(random, 10)
        check = -weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            return number + str(check)


# The SWIFT IBAN registry's structures, in the notation of grammar.py; a function where the country's own check digits count too.
IBANS = {
    "AD": "[0-9]{8}[0-9A-Z]{12}",
    "AE": "[0-9]{19}",
    "AT": "[0-9]{16}",
    "BE": _be,
    "BG": "[A-Z]{4}[0-9]{6}[0-9A-Z]{8}",
    "BR": "[0-9]{23}[A-Z][0-9A-Z]",
    "CH": "[0-9]{5}[0-9A-Z]{12}",
    "CY": "[0-9]{8}[0-9A-Z]{16}",
    "CZ": "[0-9]{20}",
    "DE": "[0-9]{18}",
    "DK": "[0-9]{14}",
    "EE": "[0-9]{16}",
    "ES": _es,
    "FI": "[0-9]{14}",
    "FR": _fr,
    "GB": "[A-Z]{4}[0-9]{14}",
    "GE": "[A-Z]{2}[0-9]{16}",
    "GR": "[0-9]{7}[0-9A-Z]{16}",
    "HR": "[0-9]{17}",
    "HU": "[0-9]{24}",
    "IE": "[A-Z]{4}[0-9]{14}",
    "IL": "[0-9]{19}",
    "IS": "[0-9]{22}",
    "IT": _it,
    "KZ": "[0-9]{3}[0-9A-Z]{13}",
    "LT": "[0-9]{16}",
    "LU": "[0-9]{3}[0-9A-Z]{13}",
    "LV": "[A-Z]{4}[0-9A-Z]{13}",
    "MT": "[A-Z]{4}[0-9]{5}[0-9A-Z]{18}",
    "NL": "[A-Z]{4}[0-9]{10}",
    "NO": _no,
    "PL": "[0-9]{24}",
    "PT": "[0-9]{21}",
    "RO": "[A-Z]{4}[0-9A-Z]{16}",
    "RS": "[0-9]{18}",
    "SA": "[0-9]{2}[0-9A-Z]{18}",
    "SE": "[0-9]{20}",
    "SI": "[0-9]{15}",
    "SK": "[0-9]{20}",
    "TR": "[0-9]{5}0[0-9A-Z]{16}",
    "UA": "[0-9]{6}[0-9A-Z]{19}",
}


def iban_of(country: str, random: Random) -> str:
    form = IBANS[country]
    account = form(random) if callable(form) else render(form, random)
    number = country + mod97(account + country) + account
    spaced = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    return one_of(random, number, spaced)


def aba(random: Random) -> str:
    """ABA routing transit number: a Federal Reserve district, then weights 3 7 1."""
    number = f"{random.choice((*range(1, 13), *range(21, 33))):02d}{digits(random, 6)}"
    return number + str(-weighted(number, (3, 7, 1, 3, 7, 1, 3, 7)) % 10)


def bic(random: Random) -> str:
    """ISO 9362: institution, country, location, and perhaps a branch."""
    country = random.choice(("DE", "FR", "GB", "US", "NL", "ES", "IT", "CH", "PL", "SE", "BE", "AT", "JP", "SG"))
    return render(f"[A-Z]{{4}}{country}[A-Z2-9][A-NP-Z0-9](|XXX|[0-9]{{3}})", random)


def us_account(random: Random) -> str:
    return digits(random, random.choice((8, 9, 10, 12)), "123456789")


def uk_account(random: Random) -> str:
    return digits(random, 8)


def sort_code(random: Random) -> str:
    return "-".join(digits(random, 2) for _ in range(3))
