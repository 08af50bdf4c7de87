"""Lists of words and phrases as patterns of a recognizer (`terms` in its file).

A line of a list is a term; lines that begin with # say where the list comes from. A term is found in any case and only as whole
words; a space in it is also a hyphen or the end of a line. Invariant: a list costs the same pass over a text as any pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

MOST = 20_000
_LONGEST = 80  # characters of a term
_ESCAPED = {"\\ ": "[ \\n-]", "'": "['’]"}
_SPACE = re.compile(r"[\s-]+")

AROUND = (1, 2)
WHOLE = re.compile(r"(?s)^\W?(?P<value>\w.*?\w)(?:\W.?)?$")
"""What a term stands in, with the bytes around it: `is_term` says whether that is the term alone."""


def read_terms(path: Path) -> tuple[str, ...]:
    """The terms of a list. Raises ValueError with what is wrong, OSError when it cannot be read."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    terms = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    wrong = next((term for term in terms if not 3 <= len(term) <= _LONGEST or not (term[0] + term[-1]).isalnum()), None)
    if wrong is not None:
        raise ValueError(f"{path}: {wrong}: needs 3 to {_LONGEST} characters, a letter or digit first and last")
    if not 0 < len(terms) <= MOST:
        raise ValueError(f"{path}: has {len(terms)} terms; it may have 1 to {MOST}")
    return terms


def patterns(terms: Sequence[str]) -> tuple[str, ...]:
    """Expressions for Hyperscan, without boundaries: with them, thousands take minutes to compile."""
    found = []
    for term in terms:
        expression = re.escape(term.lower())
        for text, stands_for in _ESCAPED.items():
            expression = expression.replace(text, stands_for)
        found.append(expression)
    return tuple(found)


def is_term(terms: Sequence[str]) -> Callable[[str], bool]:
    """A check: the value is one of the terms and nothing else, but for an s of the plural or genitive."""
    known = frozenset(_plain(term) for term in terms)

    def check(value: str) -> bool:
        plain = _plain(value)
        return plain in known or plain.removesuffix("s") in known

    return check


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text.lower()).replace("’", "'")
