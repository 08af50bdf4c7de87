"""Characters that only look like plain ones, or are not seen at all: what the text reads without them.

Undone are invisible characters (also those that hide a text of their own: tags, variation selectors), combining marks on
letters and digits, styled and full-width letters and digits, digits of other scripts, letters of other scripts within Latin
words, unusual spaces and dashes. Invariants: ordinary text of any language has nothing to fold, and saying so costs one pass of
Hyperscan; otherwise the work is linear. What a character stands for depends on the characters beside it only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

import hyperscan

from leeward.ai.kept import cache_folder
from leeward.data.compiled import database
from leeward.data.folding import (
    COMBINING,
    DASHES,
    INVISIBLE,
    LONG_DASHES,
    LOOKALIKES,
    MARKS,
    NUMERALS,
    SMALL,
    SPACES,
    STYLED,
    TAG_BASE,
    TAGS,
    VARIATIONS,
    members,
    ranges_of,
)
from leeward.data.media import readable
from leeward.data.offsets import Offsets
from leeward.data.patterns import on_characters
from leeward.data.rewrite import Edit, Rewritten, rewrite

_MOST_SIGNS = 20_000  # of a buffer; beyond it all of it is folded
_BESIDE = 160  # characters on both sides of a sign in which to fold
_PIECE, _MARGIN = 2048, 16  # bytes; a sign has at most two of ASCII between others, and as few at its ends
_HIDDEN_LEAST = 4  # tags or selectors in a row that may spell a text
_PLAIN = "0-9A-Za-z"
_LARGE = "".join(c for c in LOOKALIKES if c.isupper())
_FOLD = (
    dict.fromkeys(members(INVISIBLE) + members(COMBINING), "")
    | dict.fromkeys(members(SPACES), " ")
    | dict.fromkeys(members(DASHES + LONG_DASHES), "-")
    | MARKS | LOOKALIKES | STYLED | SMALL
)  # fmt: skip
_LEFT = frozenset([*LOOKALIKES, *SMALL, *NUMERALS, *members(COMBINING + VARIATIONS + TAGS)])
_ALWAYS = str.maketrans({c: p for c, p in _FOLD.items() if c not in _LEFT})


def _signs() -> list[str]:
    """Expressions that none of ordinary text has: two or three characters beside each other."""
    ascii_, styled, small, letters = f"[{_PLAIN}]", f"[{ranges_of(STYLED)}]", f"[{ranges_of(SMALL)}]", "[A-Za-z]"
    looks, large, mark = f"[{ranges_of(LOOKALIKES)}]", f"[{_LARGE}]", f"[{COMBINING}]"
    return [
        f"{ascii_}[{INVISIBLE}]", f"[{INVISIBLE}]{ascii_}",
        *(f"(?:[{kind}][{INVISIBLE}]{{0,3}}){{{_HIDDEN_LEAST}}}" for kind in (TAGS, VARIATIONS)),
        f"{styled}{styled}", f"{styled}{ascii_}", f"{ascii_}{styled}", f"{styled}[{INVISIBLE}{SPACES}{DASHES} -]{styled}",
        f"{small}{small}{small}", f"[0-9]{small}[0-9]",
        f"[0-9][{SPACES}][0-9]", f"{ascii_}[{DASHES}]{ascii_}", f"[0-9][0-9][{LONG_DASHES}][0-9][0-9]",
        f"{ascii_}[{ranges_of(MARKS)}]{ascii_}",
        f"[0-9]{mark}", f"{letters}{mark}+{letters}{mark}+{letters}{mark}",
        f"{letters}{looks}", f"{looks}{letters}", f"[0-9]{looks}[0-9]", f"{large}{large}[0-9][0-9]",
    ]  # fmt: skip


_NEAR = f"{_PLAIN}{INVISIBLE}{COMBINING}{ranges_of(STYLED)}{ranges_of(SMALL)}"


@functools.cache
def _to_edit() -> re.Pattern[str]:
    """Made when there is something to fold: most texts have nothing."""
    return re.compile(
        f"(?P<gone>[{INVISIBLE}]{{{_HIDDEN_LEAST},}}|[{INVISIBLE}]+(?=[!-~])|(?<=[!-~])[{INVISIBLE}]+"
        f"|(?<=[{_NEAR} -])[{INVISIBLE}{COMBINING}]+)"
        f"|(?P<styled>[{ranges_of(STYLED)}{ranges_of(SMALL)}]+)"
        f"|(?P<between>(?<=[{_NEAR}])[{SPACES}{DASHES}{LONG_DASHES}{ranges_of(MARKS)}](?=[{_NEAR}]))"
        f"|(?P<looks>(?<=[A-Za-z])[{ranges_of(LOOKALIKES)}]+|[{ranges_of(LOOKALIKES)}]+(?=[A-Za-z])"
        f"|(?<=[0-9])[{ranges_of(LOOKALIKES)}](?=[0-9])|[{_LARGE}]+(?=[0-9][0-9])|(?<=[0-9])[{_LARGE}]+)"
    )


_TAG, _SELECTOR = re.compile(f"[^{TAGS}]"), re.compile(f"[^{VARIATIONS}]")


def plainer(text: str) -> str:
    """What characters written as escapes read: no invisible ones, plain spaces and dashes. What depends on the characters beside
    it is for the next level."""
    return text if text.isascii() else text.translate(_ALWAYS)


@functools.cache
def _database() -> hyperscan.Database:
    return database([(sign, hyperscan.HS_FLAG_UTF8, 0) for sign in _signs()], cache_folder())


def signs(data: bytes) -> list[int] | None:
    """Bytes of UTF-8 (ends of signs, in order) near which there is something to fold; None: too many to tell."""
    if data.isascii():
        return []
    found: list[int] = []
    at = 0

    def report(_sign: int, _start: int, end: int, _flags: int, _context: object) -> bool:
        found.append(at + end)
        return len(found) > _MOST_SIGNS

    try:
        for at, last in _not_ascii(data):
            _database().scan(data[at:last], match_event_handler=report)
    except hyperscan.ScanTerminated:
        return None
    return found


def _not_ascii(data: bytes) -> list[tuple[int, int]]:
    """Pieces of UTF-8, on whole characters, that hold all that is not ASCII and the characters beside it."""
    pieces: list[tuple[int, int]] = []
    for at in range(0, len(data), _PIECE):
        if data[at : at + _PIECE].isascii():
            continue
        first, last = on_characters(data, max(at - _MARGIN, 0), min(at + _PIECE + _MARGIN, len(data)))
        if pieces and first <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], last)
        else:
            pieces.append((first, last))
    return pieces


def fold_edits(text: str, places: Iterable[int] | None) -> list[Edit]:
    """What to replace in `text` near these characters (in order); None: everywhere."""
    edits = []
    for low, high in _stretches(places, len(text)) if places is not None else [(0, len(text))]:
        edits += [_edit(hit) for hit in _to_edit().finditer(text, low, high)]
    return edits


def _stretches(places: Iterable[int], size: int) -> Iterator[tuple[int, int]]:
    low, high = 0, -1
    for place in places:
        if place - _BESIDE > high:
            if high > low:
                yield low, high
            low = max(place - _BESIDE, 0)
        high = min(place + _BESIDE, size)
    if high > low:
        yield low, high


def _edit(hit: re.Match[str]) -> Edit:
    piece, group = hit[0], hit.lastgroup
    if group == "gone":
        return Edit(*hit.span(), _spelled(piece) if len(piece) >= _HIDDEN_LEAST else "")
    put = "".join(_FOLD[c] for c in piece)
    return Edit(*hit.span(), put, 1 if len(put) == len(piece) else 0)


def _spelled(piece: str) -> str:
    """What invisible characters spell: tags stand for ASCII, variation selectors 1 to 256 for the bytes 0 to 255 of a text."""
    tags = _TAG.sub("", piece)
    if len(tags) >= _HIDDEN_LEAST:
        return f" {''.join(chr(ord(c) - TAG_BASE) for c in tags)} "
    selectors = _SELECTOR.sub("", piece)
    if len(selectors) < _HIDDEN_LEAST:
        return ""
    text = readable(bytes(ord(c) - 0xFE00 if ord(c) < 0xFE10 else ord(c) - 0xE0100 + 16 for c in selectors))
    return f" {text} " if text else ""


def fold(text: str) -> Rewritten | None:
    """The text as it reads, and the way back; None when there is nothing to fold."""
    if text.isascii():
        return None
    body = text.encode("utf-8", "replace")
    found = signs(body)
    if found is not None and not found:
        return None
    offsets = Offsets(body)
    edits = fold_edits(text, None if found is None else [offsets.chars(at) for at in found])
    return rewrite(text, edits) if edits else None
