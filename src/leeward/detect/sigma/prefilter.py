"""Which rules may fit an event: one or two passes of Hyperscan over its text.

Invariant: what it leaves out does not fit (literals.py says why). Texts are compared case-folded. Expressions are looked for in
the text as it is, if that is ASCII, where Hyperscan on bytes and RE2 on characters agree; else their rules are all tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import hyperscan

from leeward.detect.sigma.events import Event
from leeward.detect.sigma.ruleset import Need, Needs

_FLAGS = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_MULTILINE


class _Set:
    """Patterns, each with the rules that need it."""

    def __init__(self, patterns: dict[bytes, list[int]]) -> None:
        self._owners = list(patterns.values())
        self._database: hyperscan.Database | None = None
        if patterns:
            self._database = _database(list(patterns))

    def add_to(self, found: set[int], text: bytes) -> None:
        if self._database is None:
            return
        owners = self._owners

        def report(number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            found.update(owners[number])

        self._database.scan(text, match_event_handler=report)


class Prefilter:
    """needs: of each rule."""

    def __init__(self, needs: Sequence[Needs]) -> None:
        texts: dict[bytes, list[int]] = {}
        expressions: dict[bytes, list[int]] = {}
        always: set[int] = set()
        for number, some in enumerate(needs):
            if some is None or not all(_usable(need) for need in some):
                always.add(number)
                continue
            for need in some:
                pattern = need.text.encode() if need.regex else _written(need.text)
                (expressions if need.regex else texts).setdefault(pattern, []).append(number)
        self._always = frozenset(always)
        self._texts, self._expressions = _Set(texts), _Set(expressions)
        self._with_expression = frozenset(number for owners in expressions.values() for number in owners)

    def candidates(self, event: Event) -> Iterable[int]:
        """Numbers of the rules that may fit an event."""
        found = set(self._always)
        self._texts.add_to(found, event.folded_lines().encode("utf-8", "replace"))
        if not self._with_expression <= found:
            text = event.lines()
            if text.isascii():
                self._expressions.add_to(found, text.encode())
            else:
                found |= self._with_expression
        return found


def _written(text: str) -> bytes:
    """A text as an expression for exactly its bytes."""
    return b"".join(b"\\x%02x" % byte for byte in text.encode("utf-8", "replace"))


def _usable(need: Need) -> bool:
    """Whether Hyperscan understands an expression, and it does not fit the empty text."""
    if not need.regex:
        return True
    try:
        _database([need.text.encode()])
    except hyperscan.error:
        return False
    return True


def _database(patterns: Sequence[bytes]) -> hyperscan.Database:
    made = hyperscan.Database()
    made.compile(expressions=list(patterns), ids=list(range(len(patterns))), flags=[_FLAGS] * len(patterns))
    return made
