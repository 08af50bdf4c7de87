"""What a workload does of one kind, as a table of words with decayed counts.

Bounded: beyond `cap` words the one with the least weight leaves (space saving; its weight goes to `other`). Forgetting is done
once a day by multiplying (profile.py). Contamination: a word that was told as a deviation is *doubted*: it gains an eighth of
the weight and stays a deviation until it was seen on so many different days, or a person accepts it.
"""

from __future__ import annotations

import math

import msgspec

from leeward.detect.baseline.surprise import DAY

DOUBTED_GAIN = 0.125
_FORGOTTEN = 0.05  # periods


class Seen(msgspec.Struct, array_like=True, gc=False):
    """weight: periods in which it was seen, decayed. first, last: the first and latest period (Unix time / 600 s).
    doubt: days on which it must still be seen before it is normal; 0: it is."""

    weight: float
    first: int
    last: int
    doubt: int = 0


class Table(msgspec.Struct, array_like=True):
    """novel: periods with something new, decayed; novel_at: the latest of them. other: weight of words that left."""

    values: dict[str, Seen] = {}
    novel: float = 0.0
    novel_at: int = -1
    other: float = 0.0

    def again(self, seen: Seen, period: int) -> bool:
        """A word that is known, in a period in which it was not seen yet. Is it still doubted?"""
        if not seen.doubt:
            seen.weight += 1
        else:
            seen.weight += DOUBTED_GAIN
            if period // DAY != seen.last // DAY:
                seen.doubt -= 1
        seen.last = max(seen.last, period)
        return seen.doubt > 0

    def add(self, value: str, period: int, cap: int) -> int:
        """A new word. By how much the table grew: 1, or 0 if another left for it."""
        values = self.values
        grown = 1
        if len(values) >= cap:
            least = min(values, key=lambda word: values[word].weight)
            self.other += values.pop(least).weight
            grown = 0
        values[value] = Seen(1.0, period, period)
        return grown

    def news(self, period: int) -> bool:
        """Counts the period as one with something new. Is it the first time?"""
        if self.novel_at == period:
            return False
        self.novel_at = period
        self.novel += 1
        return True

    def decay(self, factor: float, gone_before: int, gone_factor: float) -> int:
        """Forgets; words not seen since `gone_before` by `gone_factor`. How many left."""
        self.novel *= factor
        self.other *= factor
        for seen in self.values.values():
            seen.weight *= gone_factor if seen.last < gone_before else factor
        forgotten = [word for word, seen in self.values.items() if seen.weight < _FORGOTTEN]
        for word in forgotten:
            del self.values[word]
        return len(forgotten)

    def sound(self, cap: int, width: int) -> bool:
        """Is this what this module can have written?"""
        numbers = (self.novel, self.other, *(seen.weight for seen in self.values.values()))
        return (
            len(self.values) <= cap
            and all(math.isfinite(n) and 0 <= n < 1e9 for n in numbers)
            and all(0 < len(word) <= width for word in self.values)
            and all(0 <= s.first <= s.last < 1 << 40 and 0 <= s.doubt < 100 for s in self.values.values())
            and -1 <= self.novel_at < 1 << 40
        )
