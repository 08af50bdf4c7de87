"""Words and phrases of a list, found as whole words, with any space or punctuation between the words of a phrase.

Invariants: linear in the text, whatever the list has; entries in scripts that put no spaces between words are looked for one by
one, so there may be few of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W_]+")
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
_GAP = 3  # characters from one word of a phrase to the next
MOST_WITHOUT_SPACES = 500


class DictionaryFinder:
    """A Finder (scanner.py): entries of a list, as kind `custom.<name>`. Raises ValueError for an entry without a word, and for
    too many in scripts without spaces."""

    passages = False

    def __init__(self, name: str, entries: Iterable[str], confidence: float, caseless: bool) -> None:
        self._name = name
        self.kinds = (f"custom.{name}",)
        self._confidence = confidence
        self._caseless = caseless
        self._phrases: dict[str, list[tuple[str, ...]]] = {}
        self._texts: list[str] = []
        for entry in entries:
            entry = self._plain(entry)
            words = tuple(_WORD.findall(entry))
            if not words:
                raise ValueError(f"{entry} has no letter and no digit")
            if _NO_SPACES.search(entry):
                self._texts.append(entry)
            else:
                self._phrases.setdefault(words[0], []).append(words)
        if len(self._texts) > MOST_WITHOUT_SPACES:
            raise ValueError(f"has more than {MOST_WITHOUT_SPACES} entries in scripts without spaces")
        for phrases in self._phrases.values():
            phrases.sort(key=len, reverse=True)

    def _plain(self, text: str) -> str:
        if not self._caseless:
            return text
        lower = text.lower()
        return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)

    def find(self, text: str) -> Iterator[tuple[str, int, int, float, str]]:
        """Detectors are `dictionary:<name>`."""
        for start, end in self._spans(self._plain(text)):
            yield f"custom.{self._name}", start, end, self._confidence, f"dictionary:{self._name}"

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for entry in self._texts:
            at = text.find(entry)
            while at >= 0:
                yield at, at + len(entry)
                at = text.find(entry, at + len(entry))
        if self._phrases.keys().isdisjoint(_WORD.findall(text)):
            return
        words = list(_WORD.finditer(text))
        at = 0
        while at < len(words):
            count = next((len(p) for p in self._phrases.get(words[at][0], ()) if _follows(words, at, p)), 0)
            if count:
                yield words[at].start(), words[at + count - 1].end()
            at += max(count, 1)


def _follows(words: list[re.Match[str]], at: int, phrase: tuple[str, ...]) -> bool:
    if at + len(phrase) > len(words):
        return False
    return all(
        words[at + i][0] == word and (i == 0 or words[at + i].start() - words[at + i - 1].end() <= _GAP)
        for i, word in enumerate(phrase)
    )
