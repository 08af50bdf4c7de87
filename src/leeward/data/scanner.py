"""What is in a payload: spots of the matcher, judged by exact form, checks and the words around them; the best of what overlaps.

Invariants: linear in the text but for sorting what was found; never raises on any text; what is decoded on the way (base64 in a
text, and so on) is bounded in depth and size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from leeward.data.documents import Buffer, Text, apart, plain
from leeward.data.found import DIRECT, PASSAGE, REACH
from leeward.data.found import Found as Found
from leeward.data.found import resolve as resolve
from leeward.data.hidden import DEPTH, Hidden, Opener, lifted
from leeward.data.matcher import Matcher, Spot
from leeward.data.patterns import on_characters
from leeward.data.recognizer import Recognizer, built_in
from leeward.data.split import PROVES, joined, parts_of

BEFORE, AFTER = REACH, 32  # bytes around a value in which a word is its context
_FAR = REACH // 2  # as near as this is the name of a column
FLOOR = 0.5
_STRETCH, _IN_VAIN = 16 << 10, 200  # in so many bytes a recognizer is wrong so often at most: text made to cost time
_POINT = ord(".")


def every_kind(_kind: str) -> bool:
    return True


class Finder(Protocol):
    """Another way to find something in a text: (kind, start, end, confidence, detector), offsets in characters. kinds: all that
    it may find. passages: what it finds are passages (found.PASSAGE)."""

    @property
    def kinds(self) -> tuple[str, ...]: ...

    @property
    def passages(self) -> bool: ...

    def find(self, text: str) -> Iterable[tuple[str, int, int, float, str]]: ...


class Scanner:
    """Not for use by two threads at the same time. Patterns and lists are made ready for the first text, or by `ready`."""

    def __init__(
        self,
        recognizers: Sequence[Recognizer],
        finders: Sequence[Finder] = (),
        kinds: Callable[[str], bool] = every_kind,
    ) -> None:
        """kinds: whether a kind is looked for. What looks for no such kind costs nothing; what is encoded is opened, as it may
        hold any. A match of a kind that is not looked for takes no place from one that is."""
        self.counters: Counter[str] = Counter()
        self._wanted = kinds
        self._recognizers = [recognizer for recognizer in recognizers if recognizer.unwrap or kinds(recognizer.kind)]
        self._matcher = Matcher(self._recognizers)
        self._finders = [finder for finder in finders if any(map(kinds, finder.kinds))]
        self._proving = frozenset(r.id for r in self._recognizers if r.confidence >= PROVES and not r.unwrap)

    @classmethod
    def default(cls) -> Scanner:
        """One with the recognizers that come with Leeward."""
        return cls(built_in())

    def ready(self) -> None:
        """Does now what the first text would wait for. Raises InputError for a pattern that cannot be compiled."""
        self._matcher.ready()
        self._found(plain("Ready"), FLOOR)

    def make_expressions(self) -> None:
        """Does now what any text might wait for: makes the expressions that few need."""
        self._matcher.make_expressions()
        for recognizer in self._recognizers:
            for made in (recognizer.exact, recognizer.context, recognizer.against):
                if made is not None:
                    made.pattern  # noqa: B018 - it is made by being asked for

    def scan_text(self, text: str, floor: float = FLOOR) -> list[Found]:
        """What is in a plain text, at `floor` confidence or above, in order, without overlaps."""
        return self.scan(plain(text), floor)

    def scan(self, texts: Sequence[Text], floor: float = FLOOR) -> list[Found]:
        """The same for the texts of a payload, all of them in their order."""
        found = self.each(texts, floor)
        return resolve([*found, *self.split(texts, self.whole(found))])

    def each(self, texts: Sequence[Text], floor: float = FLOOR) -> list[Found]:
        """What is in each of these texts, as far as it is not in parts over several; overlaps are not resolved."""
        self.counters["texts"] += len(texts)
        found = self._found(texts, floor)
        self.counters["data_windows_cut"] = self._matcher.cut
        return found

    def whole(self, found: Iterable[Found]) -> set[int]:
        """Numbers of texts with a match that proves itself: no part of something else is looked for in them."""
        return {f.text for f in found if f.detector in self._proving}

    def split(self, texts: Sequence[Text], taken: Collection[int] = ()) -> list[Found]:
        """Values in parts that neighbouring texts of a payload hold: a match for each part. The texts are all of the payload's in
        their order, also those that are equal. taken: numbers of texts in which a whole value was found."""
        candidates = joined(texts, taken)
        if not candidates:
            return []
        found, _ = self._pass(Buffer([candidate.text for candidate in candidates]), PROVES)
        return parts_of(candidates, found, self._proving)

    def _found(self, texts: Sequence[Text], floor: float) -> list[Found]:
        """What is in the texts and in what is hidden in them, level by level."""
        opener = Opener(self.counters)
        levels: list[tuple[list[Found], Sequence[Hidden]]] = []
        hidden: Sequence[Hidden] = ()
        while True:
            buffer = Buffer(texts)
            found, runs = self._pass(buffer, floor, {at for at, one in enumerate(hidden) if one.rewritten})
            levels.append((found, hidden))
            hidden = opener.open(buffer, runs) if len(levels) <= DEPTH else ()
            if not hidden:
                return lifted(levels)
            texts = [one.text for one in hidden]

    def _pass(
        self, buffer: Buffer, floor: float, rewritten: Collection[int] = ()
    ) -> tuple[list[Found], list[tuple[str, int]]]:
        """Matches, and where encoded pieces may begin. rewritten: texts in which a passage owes nothing to what was undone."""
        found: list[Found] = []
        runs: list[tuple[str, int]] = []
        vain: dict[tuple[int, int], int] = {}
        for spot in self._matcher.spots(buffer, floor < FLOOR):
            recognizer = self._recognizers[spot.which]
            if recognizer.unwrap:
                runs.append((recognizer.unwrap, spot.start))
            elif max(recognizer.confidence, recognizer.with_context) >= floor:
                place = spot.which, spot.start // _STRETCH
                if vain.get(place, 0) >= _IN_VAIN:
                    self.counters["data_spots_left"] += 1
                    continue
                match = _judge(buffer, spot, recognizer)
                if match is not None and match.confidence >= floor:
                    found.append(match)
                else:
                    vain[place] = vain.get(place, 0) + 1
        for number, text in enumerate(buffer.texts):
            for finder in self._finders:
                if finder.passages and number in rewritten:
                    continue
                for kind, start, end, confidence, detector in finder.find(text.text):
                    if confidence >= floor and self._wanted(kind):
                        layer = PASSAGE if finder.passages else DIRECT
                        value = text.text[start:end]
                        found.append(Found(kind, number, start, end, confidence, detector, value, layer=layer))
        return found, runs


def _judge(buffer: Buffer, spot: Spot, recognizer: Recognizer) -> Found | None:
    """The match at a spot, None when nothing there passes."""
    data = buffer.data
    for end in spot.ends:
        if recognizer.exact is None:
            value, start = data[spot.start : end].decode("utf-8", "replace"), spot.start
        else:
            exact = _exactly(buffer, spot.start, end, recognizer)
            if exact is None:
                continue
            value, start, end = exact
        if _decimals(data, start) or not all(check(value) for check in recognizer.checks):
            continue
        place = buffer.locate(start, end)
        if place is None:
            continue
        confidence, near = _weighed(recognizer, buffer, start, end)
        if near >= BEFORE and recognizer.context is not None and confidence == recognizer.confidence:
            label = buffer.label(*place[:2])
            if label and recognizer.context.pattern.search(apart(label)):
                confidence, near = recognizer.with_context, _FAR
        return Found(recognizer.kind, *place, confidence, recognizer.id, value, recognizer.keep, near)
    return None


def _decimals(data: bytes, start: int) -> bool:
    """Are these digits those after the point of a number (0.4111111111111111)?"""
    return (
        start > 1
        and data[start - 1] == _POINT
        and data[start : start + 1].isdigit()
        and data[start - 2 : start - 1].isdigit()
    )


def _exactly(buffer: Buffer, start: int, end: int, recognizer: Recognizer) -> tuple[str, int, int] | None:
    """The value by `exact` in what a pattern found, or around it: its text, first and last byte."""
    assert recognizer.exact is not None
    around = any(recognizer.around)
    if recognizer.tail and end - start > recognizer.tail:
        start, _ = on_characters(buffer.data, end - recognizer.tail, end)
    first, last = buffer.widened(start, end, *recognizer.around) if around else (start, end)
    text = buffer.data[first:last].decode("utf-8", "replace")
    narrow = text.isascii()
    trigger = len(buffer.data[first:start].decode("utf-8", "replace")) if around else 0
    exact = recognizer.exact.pattern
    group = "value" if "value" in exact.groupindex else 0
    for hit in exact.finditer(text):
        at, to = hit.span(group)
        if at < 0 or (around and not hit.start() <= trigger < max(hit.end(), hit.start() + 1)):
            continue
        value = text[at:to]
        begin = first + (at if narrow else len(text[:at].encode()))
        return value, begin, begin + (to - at if narrow else len(value.encode()))
    return None


def _weighed(recognizer: Recognizer, buffer: Buffer, start: int, end: int) -> tuple[float, int]:
    """Confidence by the words around a value, and how near the nearest that speaks for it is."""
    if recognizer.context is None and recognizer.against is None:
        return recognizer.confidence, BEFORE
    first = max(0, start - BEFORE)
    confidence, near = recognizer.confidence, BEFORE
    if recognizer.context is not None:
        for _, last in buffer.found(recognizer.context, first, start):
            near = min(near, len(buffer.words(first, start)) - last)
        if near >= BEFORE and (behind := buffer.found(recognizer.context, end, end + AFTER)):
            near = min(BEFORE - 1, behind[0][0] + 16)
        if near < BEFORE:
            confidence = recognizer.with_context
    against = buffer.found(recognizer.against, first, start) if recognizer.against is not None else None
    if against and len(buffer.words(first, start)) - against[-1][1] < near:
        confidence *= 0.3
    return confidence, near
