"""Values that look like sensitive data and are none: identifiers, hashes, versions, blobs, placeholders.

For the benign corpus, and as the filling around gold.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable
from random import Random

from bench.data.grammar import render
from bench.data.values import listed

_WORDS = listed("words")
# Where documentation and examples write that a secret goes; none of these is one.
PLACEHOLDERS = listed("placeholders")


def words(random: Random, low: int, high: int) -> str:
    return " ".join(random.choice(_WORDS) for _ in range(random.randint(low, high)))


def sentence(random: Random) -> str:
    return words(random, 5, 14).capitalize() + random.choice((".", ".", "?"))


def paragraph(random: Random) -> str:
    return " ".join(sentence(random) for _ in range(random.randint(2, 6)))


def snake(random: Random) -> str:
    return "_".join(random.choice(_WORDS) for _ in range(random.randint(1, 3)))


def camel(random: Random) -> str:
    first, *others = snake(random).split("_")
    return first + "".join(word.capitalize() for word in others)


def uuid4(random: Random) -> str:
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def digest(name: str) -> Callable[[Random], str]:
    return lambda random: hashlib.new(name, random.randbytes(16)).hexdigest()


def blob(low: int, high: int) -> Callable[[Random], str]:
    return lambda random: base64.b64encode(random.randbytes(random.randint(low, high))).decode()


def image_uri(random: Random) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0"
    return "data:image/png;base64," + base64.b64encode(head + random.randbytes(random.randint(60, 400))).decode()


def integrity(random: Random) -> str:
    return "sha512-" + base64.b64encode(random.randbytes(64)).decode()


def not_luhn(random: Random) -> str:
    """16 digits in the ranges of cards that fail Luhn's check: an order number that looks like one."""
    while True:
        number = render("[3-6][0-9]{15}", random)
        total = sum(sum(divmod(int(d) * (2 - at % 2), 10)) for at, d in enumerate(number))
        if total % 10:
            return random.choice((number, " ".join(number[at : at + 4] for at in range(0, 16, 4))))


def isbn13(random: Random) -> str:
    number = "978" + render("[0-9]{9}", random)
    check = -sum(int(digit) * (1 + 2 * (at % 2)) for at, digit in enumerate(number)) % 10
    number += str(check)
    return random.choice((number, f"{number[:3]}-{number[3]}-{number[4:8]}-{number[8:12]}-{number[12]}"))


def hexdump(random: Random) -> str:
    lines = []
    for at in range(0, 16 * random.randint(2, 5), 16):
        data = random.randbytes(16)
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
        lines.append(f"{at:08x}  {data[:8].hex(' ')}  {data[8:].hex(' ')}  |{text}|")
    return "\n".join(lines)


def minified(random: Random) -> str:
    parts = []
    for _ in range(random.randint(6, 20)):
        a, b, c, d = (random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(4))
        body = f"var {d}={b}[{random.randrange(99)}]||{c}.{camel(random)};return {a}({c},{random.random():.8f})"
        parts.append(f"function {a}({b},{c}){{{body}}}")
    return "!function(){" + "".join(parts) + "}();"


def epoch(random: Random) -> str:
    return str(
        random.choice(
            (random.randint(1_500_000_000, 1_800_000_000), random.randint(1_500_000_000_000, 1_800_000_000_000))
        )
    )


MAKERS: dict[str, Callable[[Random], str]] = {
    "uuid": uuid4,
    "uuid.upper": lambda random: uuid4(random).upper(),
    "md5": digest("md5"),
    "sha1": digest("sha1"),
    "sha256": digest("sha256"),
    "sha512": digest("sha512"),
    "git.short": lambda random: digest("sha1")(random)[:8],
    "b64.short": blob(12, 48),
    "b64.long": blob(200, 900),
    "image": image_uri,
    "integrity": integrity,
    "order16": not_luhn,
    "isbn": isbn13,
    "ean": lambda random: isbn13(random).replace("-", ""),
    "hexdump": hexdump,
    "minified": minified,
    "epoch": epoch,
    "words": lambda random: words(random, 3, 9),
    "sentence": sentence,
    "paragraph": paragraph,
    "snake": snake,
    "camel": camel,
    "placeholder": lambda random: random.choice(PLACEHOLDERS),
    "version": lambda random: render("(|v)[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,3}", random),
    "version4": lambda random: render("[0-9]{1,3}\\.[0-9]\\.[0-9]{4}\\.[0-9]{2,3}", random),
    "latlon": lambda random: f"{random.uniform(-80, 80):.6f}, {random.uniform(-170, 170):.6f}",
    "timestamp": lambda random: render(
        "202[0-6]-0[1-9]-[12][0-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](Z|\\.[0-9]{3}Z|\\+0[0-2]:00)", random
    ),
    "order": lambda random: render("(ORD-|INV-|#|SO|)[0-9]{6,9}", random),
    "ticket": lambda random: render("[A-Z]{2,5}-[1-9][0-9]{1,4}", random),
    "sku": lambda random: render("[A-Z]{2,3}[0-9]{3,5}-[A-Z0-9]{2,4}", random),
    "digits9": lambda random: render("[1-9][0-9]{8}", random),
    "digits10": lambda random: render("[1-9][0-9]{9}", random),
    "digits11": lambda random: render("[1-9][0-9]{10}", random),
    "float": lambda random: f"{random.uniform(-1000, 1000):.{random.randint(2, 12)}f}",
    "ratio": lambda random: f"{random.random():.16f}",
    "size": lambda random: str(random.choice((1024, 4096, 65536, 1048576, 16777216, 268435456)) * random.randint(1, 9)),
    "time": lambda random: render("[01][0-9]:[0-5][0-9]", random),
    "color": lambda random: render("#[0-9a-f]{6}", random),
    "money": lambda random: random.choice(("{} EUR", "${}", "USD {}", "€{}")).format(
        f"{random.randint(20, 90_000):,}.00"
    ),
    "expiry": lambda random: f"{random.randint(1, 12):02d}/{random.randint(27, 33)}",
    "year": lambda random: str(random.randint(1990, 2025)),
    "tracking": lambda random: render("(1Z[A-Z0-9]{16}|[0-9]{20}|RR[0-9]{9}DE)", random),
    "etag": lambda random: f'"{random.getrandbits(64):x}-{random.getrandbits(32):x}"',
    "traceparent": lambda random: f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01",
    "request": lambda random: f"req_{render('[a-z0-9]{16,24}', random)}",
    "pod": lambda random: (
        f"{render('(api|web|worker|billing)', random)}-{random.getrandbits(40):010x}-{render('[a-z0-9]{5}', random)}"
    ),
    "doi": lambda random: render("10\\.[0-9]{4}/[a-z]{3,6}\\.[0-9]{4}\\.[0-9]{5,7}", random),
    "arxiv": lambda random: render("arXiv:2[0-6](0[1-9]|1[0-2])\\.[0-9]{5}", random),
    "cve": lambda random: render("CVE-20(1[0-9]|2[0-6])-[0-9]{4,5}", random),
    "port": lambda random: str(random.choice((22, 80, 443, 3000, 5432, 6379, 8000, 8080, 8443, 9090))),
    "loopback": lambda random: random.choice(("127.0.0.1", "localhost", "0.0.0.0", "::1")),
}
