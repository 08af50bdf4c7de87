"""Patterns of host names, and the answer that fits a name best. The same in Python and in the kernel (bpf/deny.h).

A pattern is a name, `*.rest` (any number of labels before it), or has one `*` that stands for something inside a label.
Invariant: for the forms that `kernel_hash` knows, the kernel and `Patterns.answer` say the same of every name; other forms are
understood here only, so they work by the addresses that DNS tells, not by the name in a TLS hello.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_ANSWERED = re.compile(r"[^*]+|\*\.[^*]+|\*-[^*]+\..+|[^*.]+-\*\.[^*]+|[^*.]+\.\*\.[^*]+")
_FNV_START, _FNV_PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
MOST = 255  # bytes of a name, RFC 1035 2.3.4


def canonical(name: str) -> str:
    """A name or pattern as it is compared: lower case, no dot at its end, no port."""
    bare = name.lower().rstrip(".")
    return bare.partition(":")[0] if bare.count(":") == 1 else bare


def kernel_hash(pattern: str) -> int | None:
    """What the kernel finds a canonical pattern by: FNV-1a from its end; None if the kernel cannot tell whether it fits."""
    if not _ANSWERED.fullmatch(pattern) or len(pattern) > MOST:
        return None
    h = _FNV_START
    for byte in reversed(_key(pattern).encode()):
        h = ((h ^ byte) * _FNV_PRIME) & _MASK
    return h


def _key(pattern: str) -> str:
    """`*.rest` is known by `.rest`, all others by themselves."""
    return pattern[1:] if pattern.startswith("*.") else pattern


def candidates(name: str) -> Iterator[str]:
    """The keys of the patterns that fit a canonical name, the best first."""
    first, dot, rest = name.partition(".")
    yield name
    if "." in rest:
        yield f"{first}.*.{rest.partition('.')[2]}"
    for at, char in enumerate(first):
        if char == "-":
            yield f"*{name[at:]}"
    if dot and "-" in first:
        yield f"{first[: first.rindex('-') + 1]}*.{rest}"
    at = name.find(".")
    while at >= 0:
        yield name[at:]
        at = name.find(".", at + 1)


class Patterns:
    """Canonical pattern → answer."""

    def __init__(self, answers: Mapping[str, int]) -> None:
        self._known = {_key(pattern): answer for pattern, answer in answers.items() if kernel_hash(pattern) is not None}
        self._others = {p: answer for p, answer in answers.items() if kernel_hash(p) is None}
        self._globs = [(re.compile(re.escape(p).replace(r"\*", "[^.]+")), a) for p, a in self._others.items()]
        self.hashes = {h: answer for pattern, answer in answers.items() if (h := kernel_hash(pattern)) is not None}

    @property
    def by_address_only(self) -> tuple[str, ...]:
        """The patterns that the kernel does not understand."""
        return tuple(self._others)

    def answer(self, name: str) -> int | None:
        """The answer of the pattern that fits a canonical name best, None if none does."""
        for key in candidates(name):
            if key in self._known:
                return self._known[key]
        return next((answer for glob, answer in self._globs if glob.fullmatch(name)), None)
