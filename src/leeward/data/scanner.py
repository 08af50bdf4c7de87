"""What is in a payload: spots of the matcher, judged by exact form, checks and the words around them; the best of what overlaps.

Invariants: linear in the text but for sorting what was found; never raises on any text; what is decoded on the way (base64 in a
text, and so on) is bounded in depth and size.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from leeward.data.documents import Buffer, Text, plain
from leeward.data.matcher import Matcher, Spot
from leeward.data.recognizer import Recognizer, built_in
from leeward.data.unwrap import UNWRAP

BEFORE, AFTER = 80, 32  # bytes around a value in which a word is its context
FLOOR = 0.5
_DEPTH = 3
_UNWRAPPED = 4 << 20  # bytes decoded for one payload, all together
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Found(msgspec.Struct, frozen=True, gc=False):
    """A match in one text of a payload. value: as it was found (decoded, if it was wrapped): never kept. keep: characters of it
    that may be shown, at its begin and end. near: bytes to the nearest context word."""

    kind: str
    text: int
    start: int
    end: int
    confidence: float
    detector: str
    value: str
    keep: tuple[int, int] = (0, 0)
    near: int = BEFORE
    exact: bool = True


class Finder(Protocol):
    """Another way to find something in a text: (kind, start, end, confidence, detector), offsets in characters."""

    def find(self, text: str) -> Iterable[tuple[str, int, int, float, str]]: ...


class Scanner:
    """Not for use by two threads at the same time."""

    def __init__(self, recognizers: Sequence[Recognizer], finders: Sequence[Finder] = ()) -> None:
        self.counters: Counter[str] = Counter()
        self._recognizers = list(recognizers)
        self._matcher = Matcher(self._recognizers)
        self._finders = list(finders)

    @classmethod
    def default(cls) -> Scanner:
        """One with the recognizers that come with Leeward."""
        return cls(_built_in())

    def scan_text(self, text: str, floor: float = FLOOR) -> list[Found]:
        """What is in a plain text, at `floor` confidence or above, in order, without overlaps."""
        return self.scan(plain(text), floor)

    def scan(self, texts: Sequence[Text], floor: float = FLOOR) -> list[Found]:
        """The same for the texts of a payload."""
        found = self._found(texts, floor, 0, [_UNWRAPPED])
        for number, text in enumerate(texts):
            for finder in self._finders:
                for kind, start, end, confidence, detector in finder.find(text.text):
                    if confidence >= floor:
                        found.append(Found(kind, number, start, end, confidence, detector, text.text[start:end]))
        self.counters["texts"] += len(texts)
        return resolve(found)

    def _found(self, texts: Sequence[Text], floor: float, depth: int, budget: list[int]) -> list[Found]:
        buffer = Buffer(texts)
        found: list[Found] = []
        for spot in self._matcher.spots(buffer.data):
            recognizer = self._recognizers[spot.which]
            if recognizer.unwrap:
                found += self._inside(buffer, spot, recognizer, floor, depth, budget)
            elif max(recognizer.confidence, recognizer.with_context) >= floor:
                match = _judge(buffer, spot, recognizer)
                if match is not None and match.confidence >= floor:
                    found.append(match)
        return found

    def _inside(
        self, buffer: Buffer, spot: Spot, recognizer: Recognizer, floor: float, depth: int, budget: list[int]
    ) -> list[Found]:
        """What is in a piece of text that encodes another: found where the piece is."""
        end = spot.ends[0]
        place = buffer.locate(spot.start, end)
        if place is None or depth >= _DEPTH or budget[0] <= 0:
            return []
        inner = UNWRAP[recognizer.unwrap](buffer.data[spot.start : end], budget[0])
        if not inner:
            return []
        budget[0] -= len(inner)
        self.counters["unwrapped"] += 1
        number, first, last = place
        label = buffer.texts[number].label
        return [
            msgspec.structs.replace(
                f, text=number, start=first, end=last, detector=f"{recognizer.id}>{f.detector}", exact=False
            )
            for f in self._found([Text("$", inner, label)], floor, depth + 1, budget)
        ]


@functools.cache
def _built_in() -> tuple[Recognizer, ...]:
    return tuple(built_in())


def _judge(buffer: Buffer, spot: Spot, recognizer: Recognizer) -> Found | None:
    """The match at a spot, None when nothing there passes."""
    data = buffer.data
    for end in spot.ends:
        value, start = data[spot.start : end].decode("utf-8", "replace"), spot.start
        if recognizer.exact is not None:
            hit = recognizer.exact.search(value)
            if hit is None:
                continue
            first, last = hit.span("value" if "value" in recognizer.exact.groupindex else 0)
            if first < 0:
                continue
            start += len(value[:first].encode())
            value = value[first:last]
            end = start + len(value.encode())
        if not all(check(value) for check in recognizer.checks):
            continue
        place = buffer.locate(start, end)
        if place is None:
            continue
        confidence, near = _weighed(recognizer, data, start, end)
        return Found(recognizer.kind, *place, confidence, recognizer.id, value, recognizer.keep, near)
    return None


def _weighed(recognizer: Recognizer, data: bytes, start: int, end: int) -> tuple[float, int]:
    """Confidence by the words around a value, and how near the nearest that speaks for it is."""
    if recognizer.context is None and recognizer.against is None:
        return recognizer.confidence, BEFORE
    before = _CAMEL.sub(" ", data[max(0, start - BEFORE) : start].decode("utf-8", "ignore")).lower()
    confidence, near = recognizer.confidence, BEFORE
    if recognizer.context is not None:
        for hit in recognizer.context.finditer(before):
            near = len(before) - hit.end()
        if near >= BEFORE:
            after = _CAMEL.sub(" ", data[end : end + AFTER].decode("utf-8", "ignore")).lower()
            behind = recognizer.context.search(after)
            near = min(BEFORE - 1, behind.start() + 16) if behind else BEFORE
        if near < BEFORE:
            confidence = recognizer.with_context
    if recognizer.against is not None:
        against = [len(before) - hit.end() for hit in recognizer.against.finditer(before)]
        if against and against[-1] < near:
            confidence *= 0.3
    return confidence, near


def resolve(found: list[Found]) -> list[Found]:
    """The best of what overlaps: by confidence, then the nearer context word, then length; in order of place."""
    ranked = sorted(
        found, key=lambda f: (-(f.confidence - 0.2 * f.near / BEFORE), f.start - f.end, f.text, f.start, f.kind)
    )
    taken: dict[int, list[tuple[int, int]]] = {}
    kept = []
    for match in ranked:
        spans = taken.setdefault(match.text, [])
        at = bisect_left(spans, (match.start, match.end))
        if (at and spans[at - 1][1] > match.start) or (at < len(spans) and spans[at][0] < match.end):
            continue
        spans.insert(at, (match.start, match.end))
        kept.append(match)
    return sorted(kept, key=lambda f: (f.text, f.start))
