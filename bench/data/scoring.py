"""Judges matches against gold, by the same rules for every tool.

A gold span is found when a match of an accepted kind covers at least half of its characters and either has an IoU of at least
0.5 with it or covers it whole (a connection string around its password, at most `SLACK` characters more). A match is right
when it does that to some gold span. What overlaps a neutral place, what lies inside a span that may hold it
(`mapping.INSIDE`), and what the text's corpus does not label is left out: neither right nor wrong. Neighbouring pieces of a
name or an address are one match.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.data.mapping import INSIDE, accepts, meanings, names, row
from bench.data.records import NEUTRAL, Match, Span, Text, covers

SLACK = 256
_BETWEEN = {"person": re.compile(r"[ \t]{1,2}"), "place": re.compile(r"[\s,.;>-]{1,4}")}
_GROUP = {"pii.person": "person", "pii.address": "place", "pii.location": "place"}


class Answer(NamedTuple):
    """A match whose label is understood. kinds: what it may mean, of what the text labels."""

    start: int
    end: int
    kinds: tuple[str, ...]
    confidence: float


class Verdict(NamedTuple):
    """right: None if left out. row: what it counts for."""

    answer: Answer
    right: bool | None
    row: str


@dataclass(slots=True)
class Judged:
    """golds: each labelled span with whether it was found, and whether the answer also named whose it is."""

    golds: list[tuple[Span, bool, bool]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)


def hits(gold: Span, start: int, end: int) -> bool:
    """Whether the place start:end is a good enough answer for the place of `gold`."""
    common = min(gold.end, end) - max(gold.start, start)
    size = gold.end - gold.start
    if common * 2 < size or common <= 0:
        return False
    if common == size and end - start <= size + SLACK:
        return True
    return common * 2 >= (end - start) + size - common


def answers(tool: str, text: Text, matches: Iterable[Match], threshold: float) -> list[Answer]:
    """What a tool said that is to be judged in this text: its first meaning is labelled there."""
    found = []
    for match in matches:
        kinds = meanings(tool, match.label)
        if kinds and covers(text.labels, kinds[0]) and match.confidence >= threshold:
            found.append(Answer(match.start, match.end, kinds, match.confidence))
    if tool.startswith("presidio"):
        found = without_conflicts(found)
    return merged(text.text, list(dict.fromkeys(found)))


def without_conflicts(found: Sequence[Answer]) -> list[Answer]:
    """Of answers that overlap, the one of the highest confidence, then the longest: what presidio's own anonymizer does."""
    kept: list[Answer] = []
    for answer in sorted(found, key=lambda a: (-a.confidence, a.start - a.end, a.start)):
        if all(answer.end <= other.start or other.end <= answer.start for other in kept):
            kept.append(answer)
    return sorted(kept)


def merged(text: str, found: Sequence[Answer]) -> list[Answer]:
    """Pieces of one name or address, with nothing but blanks (or commas, for an address) between them, as one."""
    out: list[Answer] = []
    for answer in sorted(found):
        group = _GROUP.get(answer.kinds[0])
        last = out[-1] if out else None
        if last and _are_neighbours(text, last, answer, group):
            kinds = tuple(dict.fromkeys(last.kinds + answer.kinds))
            out[-1] = Answer(last.start, answer.end, kinds, max(last.confidence, answer.confidence))
        else:
            out.append(answer)
    return out


def _are_neighbours(text: str, first: Answer, second: Answer, group: str | None) -> bool:
    if group is None or _GROUP.get(first.kinds[0]) != group or second.start < first.end:
        return False
    return bool(_BETWEEN[group].fullmatch(text, first.end, second.start))


def judge(text: Text, found: Sequence[Answer]) -> Judged:
    judged = Judged()
    golds = [span for span in text.spans if span.kind != NEUTRAL and covers(text.labels, span.kind)]
    neutral = [span for span in text.spans if span.kind == NEUTRAL or not covers(text.labels, span.kind)]
    for gold in golds:
        good = [answer for answer in found if _answers(gold, answer)]
        named = any(names(gold.kind, kind) for answer in good for kind in answer.kinds)
        judged.golds.append((gold, bool(good), named))
    for answer in found:
        judged.verdicts.append(_verdict(answer, golds, neutral))
    return judged


def _answers(gold: Span, answer: Answer) -> bool:
    return hits(gold, answer.start, answer.end) and any(accepts(gold.kind, kind) for kind in answer.kinds)


def _verdict(answer: Answer, golds: Sequence[Span], neutral: Sequence[Span]) -> Verdict:
    for gold in golds:
        if _answers(gold, answer):
            return Verdict(answer, True, row(gold.kind))
    own = row(answer.kinds[0])
    if any(answer.start < span.end and span.start < answer.end for span in neutral):
        return Verdict(answer, None, own)
    for gold in golds:
        inside = gold.start <= answer.start and answer.end <= gold.end
        if inside and any(kind in INSIDE.get(gold.kind, ()) for kind in answer.kinds):
            return Verdict(answer, None, own)
    return Verdict(answer, False, own)


@dataclass(slots=True)
class Tally:
    """Counts by half and row: gold spans, those found, matches right and wrong. forms: gold, found, named by form."""

    gold: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    right: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    forms: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)

    def add(self, text: Text, judged: Judged) -> None:
        for span, found, named in judged.golds:
            key = (text.half, row(span.kind))
            self.gold[key] += 1
            self.found[key] += found
            counts = self.forms.setdefault((text.half, row(span.kind), span.form), [0, 0, 0])
            for at, one in enumerate((1, found, named)):
                counts[at] += one
        for verdict in judged.verdicts:
            if verdict.right is not None:
                (self.right if verdict.right else self.wrong)[text.half, verdict.row] += 1


class Score(NamedTuple):
    n: int
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def score(tally: Tally, halves: Iterable[str], rows: Iterable[str]) -> Score:
    """Over all of these rows together. Precision of no match at all is 0."""
    keys = [(half, name) for half in halves for name in rows]
    gold, found, right, wrong = (
        sum(counter[key] for key in keys) for counter in (tally.gold, tally.found, tally.right, tally.wrong)
    )
    return Score(gold, right / (right + wrong) if right else 0.0, found / gold if gold else 0.0)
