"""Random strings from a small part of the notation of regular expressions, so that formats can be written down as data.

Known: literals, `\\` before a literal, `[a-z0-9_-]`, `(one|other)`, and `{n}` or `{m,n}` behind a class, a group or a literal.
"""

from __future__ import annotations

from random import Random


def render(pattern: str, random: Random) -> str:
    """One string of that form. Raises ValueError for what is not known, so that a typing error is no odd secret."""
    text, at = _choice(pattern, 0, random)
    if at != len(pattern):
        raise ValueError(f"what is this at {at} in {pattern!r}")
    return text


def _choice(pattern: str, at: int, random: Random) -> tuple[str, int]:
    options = []
    while True:
        text, at = _sequence(pattern, at, random)
        options.append(text)
        if at < len(pattern) and pattern[at] == "|":
            at += 1
            continue
        return random.choice(options), at


def _sequence(pattern: str, at: int, random: Random) -> tuple[str, int]:
    out: list[str] = []
    while at < len(pattern) and pattern[at] not in "|)":
        begin = at
        text, at = _atom(pattern, at, random)
        if at < len(pattern) and pattern[at] == "{":
            close = pattern.index("}", at)
            low, _, high = pattern[at + 1 : close].partition(",")
            times = random.randint(int(low), int(high or low))
            text = "".join(_atom(pattern, begin, random)[0] for _ in range(times))
            at = close + 1
        out.append(text)
    return "".join(out), at


def _atom(pattern: str, at: int, random: Random) -> tuple[str, int]:
    character = pattern[at]
    if character == "\\":
        return pattern[at + 1], at + 2
    if character == "(":
        text, at = _choice(pattern, at + 1, random)
        if at >= len(pattern) or pattern[at] != ")":
            raise ValueError(f"a group without an end in {pattern!r}")
        return text, at + 1
    if character == "[":
        close = pattern.index("]", at)
        return random.choice(_alphabet(pattern[at + 1 : close])), close + 1
    if character in "{}]*+?^$.":
        raise ValueError(f"{character!r} at {at} is not known here: {pattern!r}")
    return character, at + 1


def _alphabet(text: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(text):
        if at + 2 < len(text) and text[at + 1] == "-":
            out += [chr(code) for code in range(ord(text[at]), ord(text[at + 2]) + 1)]
            at += 3
        else:
            out.append(text[at])
            at += 1
    return "".join(out)
