"""Values split over neighbouring strings: four digits of a card in each of four fields, half a key in each of two messages.

`joined` puts together what may belong together, the scanner looks at it, `parts_of` keeps what is proved and says where its
parts are. Invariants: only what crosses a seam counts, and only forms that prove themselves (a checksum or an issuer's prefix,
the recognizer's own confidence). A checksum of one digit proves little: parts of digits alone also need names or words that say
they belong together. Work and output are linear in the number of texts and bounded by `_MOST`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from leeward.data.documents import Text
from leeward.data.found import REACH, Found

PROVES = 0.8
"""Confidence without context that a recognizer must have for its matches to count here."""
_MOST = 4096  # candidates of one payload
_AHEAD = 10  # texts after the first part in which the others are looked for
_MOST_PARTS = 6
_SHORTEST, _LONGEST = 13, 512  # characters of a whole value
_PIECE = re.compile(r"[A-Za-z0-9_+/=.-]{2,256}|[A-Z0-9]{2,8}(?:[ -][A-Z0-9]{2,8}){1,8}")
_DIGITS = re.compile(r"[0-9][0-9 -]*")
# What a first part looks like: of a card, of an IBAN, of a key (a prefix, or letters and digits mixed).
_FIRST = re.compile(
    r"[2-6][0-9]{1,14}\Z|[2-6][0-9 -]{2,16}\Z|[A-Z]{2}[0-9]{2}[A-Z0-9 ]{0,28}\Z"
    r"|[A-Za-z0-9]{1,16}[_-][A-Za-z0-9_-]{0,240}\Z|[A-Za-z0-9]*(?:[A-Z]{3}|[a-z][A-Z]|[A-Z][a-z]+[A-Z]|[0-9])[A-Za-z0-9]{2,240}\Z"
)
_MIXED = re.compile(r"[0-9]|[a-z][A-Z]|[A-Z]{2}")
_INDEX = re.compile(r"\[[0-9]+\]")
# One piece of a number or a key in a sentence.
_IN_PROSE = re.compile(
    r"(?<![\w.,:/-])(?:[0-9]{2,12}(?:[ -][0-9]{2,8}){0,3}|(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[\w-]{6,200})(?![\w/:-]|[.,][0-9])"
)
_DIGIT = re.compile(r"[0-9]")
_PROSE, _LONG_PROSE = 12, 2000
# Pieces of an answer as they arrive: `$[3].choices[0].delta.content`, or lines of JSON that each hold some of it.
_STREAM = re.compile(r"\[[0-9]+\].*(?:delta|partial|chunk|token)|^\$\[[0-9]+\].*\.(?:text|content|response)$")
_PIECE_OF_STREAM, _LONGEST_STREAM = 64, 64 << 10
_APART = 4  # messages from one part to the next
_CARD_PARTS = ((4, 4, 4, 4), (4, 6, 5), (4, 4, 8), (8, 4, 4), (6, 6, 4), (4, 4, 4, 4, 3))
_CARD_HALVES = ((8, 8), (9, 9), (4, 12), (12, 4), (6, 10))
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}(?:[A-Z0-9 ]{0,32})\Z")
_FIGURES = "0123456789"
# Words that stand near a number whose digits are in parts; which of them speak for it the recognizer says.
_ABOUT = re.compile(
    r"card|credit|debit|visa|master|amex|pan\b|number|digit|account|konto|kart|cart|tarjeta|num", re.IGNORECASE
)
_HINTS = re.compile(r"part|piece|chunk|segment|block|group|digit|half|split|quad|octet", re.IGNORECASE)
_ORDINAL = re.compile(
    r"first|second|third|fourth|fifth|middle|last|rest|prefix|suffix|head|tail|one|two|three|four", re.IGNORECASE
)
_NAME_TAIL = re.compile(r"([A-Za-z]*?)[_-]?([0-9]+|[A-Za-z]+)\Z")


class Part(msgspec.Struct, frozen=True, gc=False):
    """Characters start to end of text `number`, at character `at` of what was joined."""

    number: int
    start: int
    end: int
    at: int


class Joined(msgspec.Struct, frozen=True, gc=False):
    """Parts put together. belong: their names or places say that they belong together, so that words need not. stream: they are
    all of a stream, and a value may be anywhere in it; otherwise it is all of them."""

    text: Text
    parts: tuple[Part, ...]
    belong: bool
    stream: bool = False


def joined(texts: Sequence[Text], taken: Collection[int]) -> list[Joined]:
    """What may be values in parts. taken: numbers of texts in which something was found that is whole."""
    if len(texts) < 2:
        return []
    return list(islice(_all(texts, taken), _MOST))


def _all(texts: Sequence[Text], taken: Collection[int]) -> Iterator[Joined]:
    paths = _Paths(texts)
    prose: dict[str, list[tuple[int, int]]] = defaultdict(list)  # number of a text, its first digit
    streams: dict[str, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        size = len(text.text)
        if number in taken or size > _LONG_PROSE:
            continue
        if size <= 256 and _FIRST.match(text.text):
            yield from _fields(texts, paths, number, taken)
        if size > _PROSE and "[" in text.path and " " in text.text and (digit := _DIGIT.search(text.text)) is not None:
            prose[_shape(text.path)].append((number, digit.start()))
        if size <= _PIECE_OF_STREAM and _STREAM.search(text.path):
            streams[_shape(text.path)].append(number)
    for places in prose.values():
        if len(places) > 1:  # one alone is no part, and looking for it costs more than all the rest
            yield from _messages(texts, list(_in_prose(texts, places)))
    for numbers in streams.values():
        yield from _stream(texts, numbers)


def _in_prose(texts: Sequence[Text], places: Iterable[tuple[int, int]]) -> Iterator[Part]:
    """The only piece of a number or a key in each of these texts."""
    for number, digit in places:
        found = list(islice(_IN_PROSE.finditer(texts[number].text, max(digit - _LONGEST, 0)), 2))
        if len(found) == 1:
            yield Part(number, *found[0].span(), 0)


class _Paths:
    """Where texts stand: `same(a, b)` in the same object or array, `alike(a, b)` in the same place of another message."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self._texts = texts
        self._known: dict[int, tuple[str, str]] = {}

    def of(self, number: int) -> tuple[str, str]:
        """(the path of the object or array that a text is in, its own path without indexes; "" where it has none)."""
        found = self._known.get(number)
        if found is None:
            path = self._texts[number].path
            parent = path[: path.rfind("[")] if path.endswith("]") else path[: path.rfind(".")]
            found = self._known[number] = (parent, _shape(path) if "[" in path else "")
        return found


def _fields(texts: Sequence[Text], paths: _Paths, first: int, taken: Collection[int]) -> Iterator[Joined]:
    """A value that begins with the whole of one string and goes on in those beside it: in its object or array, or in the same
    place of the next ones."""
    iban = _IBAN.match(texts[first].text) is not None
    for which, key in enumerate(paths.of(first)):
        if not key and which:
            return
        members = [first]
        for number in range(first + 1, min(first + 1 + _AHEAD, len(texts))):
            if len(members) == _MOST_PARTS:
                break
            if paths.of(number)[which] != key:
                continue
            if number in taken or not (iban or _related(texts[first].label, texts[number].label)):
                break
            if not _PIECE.fullmatch(texts[number].text):
                break
            members.append(number)
            before = _said_before(texts, paths, first) if which else ""
            candidate = _candidate([texts[n] for n in members], members, before)
            if candidate is not None:
                yield candidate


def _said_before(texts: Sequence[Text], paths: _Paths, first: int) -> str:
    """The end of the message before this one."""
    shape = paths.of(first)[1]
    for number in range(first - 1, max(first - _AHEAD, 0) - 1, -1):
        if paths.of(number)[1] == shape:
            return texts[number].text[-60:]
    return ""


def _candidate(pieces: Sequence[Text], numbers: Sequence[int], before: str) -> Joined | None:
    text = "".join(piece.text for piece in pieces)
    if not _SHORTEST <= len(text) <= _LONGEST:
        return None
    labels = list(dict.fromkeys(piece.label for piece in pieces))
    if _DIGITS.fullmatch(text):
        belong = _in_sequence([piece.label for piece in pieces]) and not any(piece.number for piece in pieces)
        belong = belong and _shaped([len(piece.text) for piece in pieces], labels)
        if not belong and not _ABOUT.search(f"{before} {labels}"):
            return None
    else:
        belong = True
        if not _MIXED.search(pieces[-1].text):
            return None
    parts = []
    at = 0
    for number, piece in zip(numbers, pieces, strict=True):
        parts.append(Part(number, 0, len(piece.text), at))
        at += len(piece.text)
    return Joined(Text("$", text, " ".join([before, *labels]).strip()), tuple(parts), belong)


def _related(one: str, other: str) -> bool:
    """Whether names are those of parts of one thing: the same, numbered, alike at their begin, or in an order."""
    if one == other or (len(one) == len(other) == 1):
        return True
    if one[:3].lower() == other[:3].lower() and (len(one) > 2 or one[:1] == other[:1]):
        return True
    if one[-1:].isdigit() and other[-1:].isdigit():
        return one.rstrip(_FIGURES) == other.rstrip(_FIGURES)
    return any(words.search(one) and words.search(other) for words in (_ORDINAL, _HINTS))


def _shaped(sizes: Sequence[int], labels: Sequence[str]) -> bool:
    """Whether digits are parted as people part a card's. Two numbers of many digits may be a range: their names must say more."""
    return tuple(sizes) in _CARD_PARTS or (tuple(sizes) in _CARD_HALVES and all(map(_HINTS.search, labels)))


def _in_sequence(labels: Sequence[str]) -> bool:
    """`part1 part2`, `a b c`, `first second`, or one name for all of them that says they are parts."""
    if len(set(labels)) == 1:
        return _HINTS.search(labels[0]) is not None
    tails = [_NAME_TAIL.match(label) for label in labels]
    if not all(tails):
        return False
    marks = [tail[2].lower() for tail in tails if tail]
    if all(mark.isdigit() for mark in marks):
        stems = {label[: tail.start(2)] for label, tail in zip(labels, tails, strict=True) if tail}
        return len(stems) == 1 and [int(mark) - int(marks[0]) for mark in marks] == list(range(len(marks)))
    if all(len(label) == 1 for label in labels):
        return [ord(label) - ord(labels[0]) for label in labels] == list(range(len(labels)))
    return all(map(_ORDINAL.search, labels))


def _messages(texts: Sequence[Text], parts: Sequence[Part]) -> Iterator[Joined]:
    """A value in parts within sentences, one in each of some messages that follow each other."""
    for first in range(len(parts)):
        chain: list[Part] = []
        size = 0
        for part in parts[first : first + 4]:
            if chain and part.number - chain[-1].number > _APART * 2:
                break
            chain.append(Part(part.number, part.start, part.end, size))
            size += part.end - part.start
            if len(chain) > 1 and _SHORTEST <= size <= _LONGEST:
                pieces = [texts[p.number].text[p.start : p.end] for p in chain]
                words = " ".join(texts[p.number].text[max(p.start - 40, 0) : p.start] for p in chain[::-1])
                digits = _DIGITS.fullmatch("".join(pieces)) is not None
                if not digits or _ABOUT.search(words):
                    yield Joined(Text("$", "".join(pieces), words), tuple(chain), not digits)


def _stream(texts: Sequence[Text], numbers: Sequence[int]) -> Iterator[Joined]:
    parts = []
    size = 0
    for number in numbers:
        if size >= _LONGEST_STREAM:
            break
        parts.append(Part(number, 0, len(texts[number].text), size))
        size += len(texts[number].text)
    if len(parts) > 1 and size >= _SHORTEST:
        yield Joined(Text("$", "".join(texts[part.number].text for part in parts)), tuple(parts), True, True)


def _shape(path: str) -> str:
    """A path without its indexes."""
    return _INDEX.sub("[]", path)


def parts_of(candidates: Sequence[Joined], found: Sequence[Found], proving: Collection[str]) -> list[Found]:
    """One match for each part of each value that is proved. found: of the joined texts, by number. proving: detectors whose form
    proves itself."""
    proved: list[tuple[tuple[Part, ...], Found]] = []
    for match in found:
        candidate = candidates[match.text]
        parts = tuple(p for p in candidate.parts if p.at < match.end and match.start < p.at + p.end - p.start)
        whole = match.start == 0 and match.end == len(candidate.text.text)
        sure = match.detector in proving and (candidate.belong or match.near < REACH)
        if sure and (whole or candidate.stream) and len(parts) > 1:
            proved.append((parts, match))
    kept: list[Found] = []
    used: set[int] = set()
    for parts, match in sorted(proved, key=lambda pair: -len(pair[0])):
        if used.isdisjoint(part.number for part in parts):
            used.update(part.number for part in parts[:-1])
            kept += [_part(match, part) for part in parts]
    return kept


def _part(match: Found, part: Part) -> Found:
    """The match as it stands in one of its parts."""
    start = part.start + max(match.start - part.at, 0)
    end = min(part.start + match.end - part.at, part.end)
    detector = f"split>{match.detector}"
    return msgspec.structs.replace(match, text=part.number, start=start, end=end, detector=detector, exact=False)
