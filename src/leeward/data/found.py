"""Matches in the texts of a payload, and which of those that overlap are told."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

REACH = 80
"""Bytes before a value in which a word is its context."""
DIRECT, PASSAGE, WRAPPED = 0, 1, 2
"""Layers: a value where it stands; a passage that may have values in it (code, a known document); the whole of an encoded piece
in which a value is. What is in one layer competes for its place; a piece may have several values."""
_SURE, _SAME_KIND, _OTHER_KIND = 0.7, 0.3, 0.15


class Found(msgspec.Struct, frozen=True, gc=False):
    """A match in one text of a payload. value: as it was found (decoded, if it was wrapped): never kept. keep: characters of it
    that may be shown, at its begin and end. near: bytes to the nearest context word. exact: the text at the span is the value."""

    kind: str
    text: int
    start: int
    end: int
    confidence: float
    detector: str
    value: str
    keep: tuple[int, int] = (0, 0)
    near: int = REACH
    exact: bool = True
    layer: int = DIRECT


def resolve(found: list[Found]) -> list[Found]:
    """The best of what overlaps: by confidence, then the nearer context word, then length; in order of place."""
    found = _longest(found)
    ranked = sorted(
        found, key=lambda f: (-(f.confidence - 0.2 * f.near / REACH), f.start - f.end, f.text, f.start, f.kind)
    )
    taken: dict[tuple[int, str], list[tuple[int, int]]] = {}
    kept = []
    for match in ranked:
        if match.layer == WRAPPED:
            rivals = f"{match.kind} {match.value}"
        else:
            rivals = match.kind if match.layer == PASSAGE else ""
        spans = taken.setdefault((match.text, rivals), [])
        at = bisect_left(spans, (match.start, match.end))
        if (at and spans[at - 1][1] > match.start) or (at < len(spans) and spans[at][0] < match.end):
            continue
        spans.insert(at, (match.start, match.end))
        kept.append(match)
    return sorted(_outside(kept), key=lambda f: (f.text, f.start))


def _longest(found: list[Found]) -> list[Found]:
    """Without what stands within another match that is nearly as sure: `bronchitis` in `chronic bronchitis`, the date in a number
    that begins with a date of birth."""
    kept: list[Found] = []
    around: dict[int, Found] = {}
    for match in sorted(found, key=lambda f: (f.start, -f.end)):
        if match.layer == DIRECT:
            outer = around.get(match.text)
            if outer is not None and match.end <= outer.end and match.end - match.start < outer.end - outer.start:
                slack = _SAME_KIND if match.kind == outer.kind else _OTHER_KIND
                if outer.confidence >= match.confidence - slack:
                    continue
            if match.confidence >= _SURE and (outer is None or match.end > outer.end):
                around[match.text] = match
        kept.append(match)
    return kept


def _outside(found: list[Found]) -> list[Found]:
    """Without what was found in the characters of an encoded piece that says something better."""
    best: dict[int, list[tuple[int, int, float]]] = {}
    for match in found:
        if match.layer == WRAPPED:
            best.setdefault(match.text, []).append((match.start, match.end, match.confidence))
    if not best:
        return found
    for pieces in best.values():
        pieces.sort()
    return [match for match in found if match.layer != DIRECT or not _inside(match, best.get(match.text, []))]


def _inside(match: Found, pieces: list[tuple[int, int, float]]) -> bool:
    at = bisect_left(pieces, (match.start + 1,))
    return any(
        start <= match.start and match.end <= end and match.confidence <= confidence
        for start, end, confidence in pieces[max(at - 4, 0) : at]
    )
