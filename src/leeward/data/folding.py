"""Which characters stand for which plain ones: the tables of fold.py.

Sources: Unicode 15.1 (compatibility decompositions, decimal digits and general categories, from `unicodedata`), UTS #39 for
letters of other scripts that look like Latin ones, RFC 3454 B.1 and UTS #36 for characters that are not seen.
"""

from __future__ import annotations

import re
import unicodedata

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
TAGS = "\U000e0020-\U000e007e"
TAG_BASE = 0xE0000
VARIATIONS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
COMBINING = "\u0300-\u034e\u0350-\u036f\u0483-\u0489\u1ab0-\u1ace\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"
DASHES = "\u2010-\u2012\u2043\u2212\ufe58\ufe63\uff0d"
LONG_DASHES = "\u2013-\u2015"  # ordinary between words and years
_DOTS = dict.fromkeys("\u2024\u3002\uff61\u00b7\u2219\u2022\u30fb", ".") | dict.fromkeys("\u2044\u2215", "/")
# Cyrillic, Greek and Armenian letters that UTS #39 takes for Latin ones, and four that people take for them.
_LOOKALIKES = (
    "аaеeоoрpсcуyхxіiјjѕsһhԁdԛqԝwѵvкkАAВBЕEЗ3КKМMНHОOРPСCТTУYХXІIЈJЅSԌGԚQԜWҮYӀlбbЬb"
    "αaοoνvρpυuιiκkγyΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXϳjϜF"
    "օoսuհhոnցgԼLՍSՕO"
    "ɑaɡgɩiıiƽ5Ɩl"
)  # fmt: skip
LOOKALIKES = dict(zip(_LOOKALIKES[::2], _LOOKALIKES[1::2], strict=True))
_RANGES = (
    (0x1D400, 0x1D7FF),  # mathematical alphanumerics
    (0xFF01, 0xFF5E),  # full width
    (0x2460, 0x24FF), (0x1F100, 0x1F149),  # in circles, brackets, squares
    (0x2070, 0x209C), (0xB2, 0xB9),  # above and below the line
    (0x2100, 0x214F), (0x2160, 0x217F),  # letterlike, Roman numerals
    (0x1FBF0, 0x1FBF9),  # digits of segments
)  # fmt: skip
# Where digits of scripts are: not among Han, Hangul, Egyptian, Tangut and in private use, which are most of all characters.
_WITH_DIGITS = ((0x600, 0x3000), (0xA600, 0xAC00), (0xF900, 0x12000), (0x16A00, 0x17000), (0x1D000, 0x1FBFA))
# Letters and digits in black: no decomposition says what they stand for.
_BLACK = (
    (0x1F150, "A", 26),
    (0x1F170, "A", 26),
    (0x24FF, "0", 1),
    (0x2776, "1", 9),
    (0x2780, "1", 9),
    (0x278A, "1", 9),
)
_SMALL = frozenset(range(0x2070, 0x209D)) | frozenset(range(0xB2, 0xBA)) | frozenset(range(0x2460, 0x2500))


def _decomposed() -> dict[str, str]:
    found = {}
    for first, last in _RANGES:
        for point in range(first, last + 1):
            plain = unicodedata.normalize("NFKC", chr(point))
            if len(plain) > 1:
                plain = plain.strip("().,")
            if plain.isascii() and (
                plain.isdigit() or (len(plain) == 1 and (plain.isalpha() or 0xFF01 <= point <= 0xFF5E))
            ):
                found[chr(point)] = plain
    for first, letter, count in _BLACK:
        found |= {chr(first + i): chr(ord(letter) + i) for i in range(count)}
    return found


def _digits() -> dict[str, str]:
    every = "".join(chr(point) for first, last in _WITH_DIGITS for point in range(first, last))
    return {c: str(unicodedata.decimal(c)) for c in re.findall(r"\d", every)}


_STYLED = _decomposed()
NUMERALS = _digits()
MARKS = {c: p for c, p in _STYLED.items() if not p.isalnum()} | _DOTS
"""Full-width punctuation and dots: plain only between letters and digits."""
STYLED = {c: p for c, p in (_STYLED | NUMERALS).items() if c not in MARKS and ord(c) not in _SMALL}
SMALL = {c: p for c, p in _STYLED.items() if c not in MARKS and ord(c) in _SMALL}
"""Digits above and below the line and in circles: ordinary one by one."""


def members(ranges: str) -> list[str]:
    """The characters of what may stand between the brackets of a regular expression."""
    found: list[str] = []
    at = 0
    while at < len(ranges):
        if at + 2 < len(ranges) and ranges[at + 1] == "-":
            found += map(chr, range(ord(ranges[at]), ord(ranges[at + 2]) + 1))
            at += 3
        else:
            found.append(ranges[at])
            at += 1
    return found


def ranges_of(characters: set[str] | dict[str, str]) -> str:
    """What `members` undoes, as short as it can be."""
    points = sorted(map(ord, characters))
    parts: list[list[int]] = []
    for point in points:
        if parts and parts[-1][1] == point - 1:
            parts[-1][1] = point
        else:
            parts.append([point, point])
    return "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in parts)
