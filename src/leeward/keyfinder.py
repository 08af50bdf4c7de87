"""AI services' keys in text that has many words and hardly ever a key: log files, what servers answer, what is sent.

Invariants: never raises on any bytes; looks at a bounded number of places; a text without any costs one pass of Hyperscan.
"""

from __future__ import annotations

import functools
import re
from collections import Counter

import hyperscan

from leeward.ai.kept import cache_folder
from leeward.ai.keys import KeyForms, fingerprint
from leeward.data.checks_secrets import is_random, not_placeholder
from leeward.data.compiled import database
from leeward.model.raw import FoundKey

OVERLAP = 512
"""Bytes looked at before the end of a match; longer than any key."""
_MOST_ENDS = 64  # matches looked at in a text
_MOST_TOLD = 4
_RUN = re.compile(r"[A-Za-z0-9]+")
_random = is_random("12")


class KeyFinder:
    """forms: of keys; compiled when they are first wanted. counters: where it is counted that a text was not looked through."""

    def __init__(self, forms: KeyForms, counters: Counter[str]) -> None:
        self._forms, self._counters = forms, counters

    @functools.cached_property
    def _database(self) -> hyperscan.Database:
        return database([(form, 0, 0) for form in self._forms.patterns], cache_folder())

    def found(self, data: bytes) -> list[tuple[str, str]]:
        """(provider, key) of each key, each once."""
        ends: list[int] = []

        def report(_form: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            ends.append(end)
            return len(ends) >= 16 * _MOST_ENDS

        try:
            self._database.scan(data, match_event_handler=report)
        except hyperscan.ScanTerminated:
            self._counters["key_looks_cut"] += 1
        found: dict[tuple[str, str], None] = {}
        behind = looks = 0
        for end in sorted(ends):
            if end <= behind:
                continue  # a longer match of the same
            looks += 1
            if looks > _MOST_ENDS:
                break
            first, behind = max(0, end - OVERLAP), end + OVERLAP
            for provider, secret in self._forms.found(data[first:behind].decode("latin-1")):
                if not_placeholder(secret):
                    found[provider, secret] = None
        return list(found)

    def answered(self, beginning: bytes) -> tuple[FoundKey, ...]:
        """Keys in the beginning of what a server answers. Pages have class names that begin as keys do (`sk-admin-`): a key is
        random, too."""
        return self._random_in(beginning, "answer")

    def sent(self, beginning: bytes) -> tuple[FoundKey, ...]:
        """Keys in the beginning of what is sent to somebody who serves no models."""
        return self._random_in(beginning, "body")

    def _random_in(self, text: bytes, where: str) -> tuple[FoundKey, ...]:
        keys = [(provider, secret) for provider, secret in self.found(text) if _is_random(secret)]
        return tuple(FoundKey(provider, fingerprint(secret), where) for provider, secret in keys[:_MOST_TOLD])


def _is_random(secret: str) -> bool:
    """Its longest part of letters and digits is no word, or those of its parts that have capitals or only digits are none
    together: of a random key that may have hyphens no part need be long."""
    parts = _RUN.findall(secret)
    return _random(max(parts, key=len, default="")) or _random("".join(part for part in parts if not part.islower()))
