"""Text with its labelled places: put together, filled into templates, and escaped as JSON does, the places moving along.

Invariant: a place always covers exactly the characters that the value became in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from bench.data.records import NEUTRAL, Span

_SLOT = re.compile(r"\{\{(?:~([^{}]+)|([A-Za-z_0-9.:-]+)(#\w+)?)\}\}")


class Piece(NamedTuple):
    text: str
    spans: tuple[Span, ...] = ()


def labelled(text: str, kind: str, form: str = "") -> Piece:
    """A piece that is one value from its first character to its last."""
    return Piece(text, (Span(0, len(text), kind, form),))


def neutral(text: str) -> Piece:
    return labelled(text, NEUTRAL)


def joined(pieces: Iterable[Piece | str]) -> Piece:
    texts: list[str] = []
    spans: list[Span] = []
    at = 0
    for piece in pieces:
        text, marks = (piece, ()) if isinstance(piece, str) else piece
        spans += [mark._replace(start=mark.start + at, end=mark.end + at) for mark in marks]
        texts.append(text)
        at += len(text)
    return Piece("".join(texts), tuple(spans))


class Context:
    """What one text is made with: its random numbers, its locale, and the values that stand in it more than once.

    part: chosen by the corpus that fills the template (`secrets`, `ids`): slot name to piece.
    """

    def __init__(self, random: Random, locale: str, part: dict[str, Piece | str] | None = None) -> None:
        self.random = random
        self.locale = locale
        self.part = part or {}
        self.memory: dict[str, object] = {}

    def remembered(self, key: str, make: Callable[[], object]) -> object:
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]


# A maker gets the context, what follows the colon in the slot, and the key behind `#`.
Maker = Callable[[Context, str, str], Piece | str]


def fill(template: str, makers: dict[str, Maker], context: Context) -> Piece:
    """`{{name:argument#key}}` becomes what the maker of that name gives; the same slot with the same key gives the same.

    `{{~words}}` are those words, neutral: what may be said to be sensitive or not.
    Raises KeyError for a slot without a maker, ValueError for what is no slot: a template with a typing error must not become
    a text without a label.
    """
    if template.count("{{") != len(_SLOT.findall(template)):
        raise ValueError(f"not a slot in: {template[:80]}")
    pieces: list[Piece | str] = []
    at = 0
    for found in _SLOT.finditer(template):
        pieces.append(template[at : found.start()])
        at = found.end()
        pieces.append(neutral(found[1]) if found[1] else _value(found[2], found[3] or "", makers, context))
    pieces.append(template[at:])
    return joined(pieces)


def _value(name: str, key: str, makers: dict[str, Maker], context: Context) -> Piece | str:
    if name in context.part:
        return context.part[name]
    maker, _, argument = name.partition(":")
    if not key:
        return makers[maker](context, argument, "")
    value = context.remembered(f"{name}{key}", lambda: makers[maker](context, argument, key))
    assert isinstance(value, str | Piece)
    return value


def mapped(piece: Piece, change: Callable[[str], str]) -> Piece:
    """Each character replaced by what `change` gives for it; places move along."""
    ends = [0]
    out: list[str] = []
    for character in piece.text:
        out.append(change(character))
        ends.append(ends[-1] + len(out[-1]))
    spans = tuple(span._replace(start=ends[span.start], end=ends[span.end]) for span in piece.spans)
    return Piece("".join(out), spans)


def json_escaped(piece: Piece) -> Piece:
    """What stands between the quotes of a JSON string; characters beyond ASCII stay as they are."""
    return mapped(piece, lambda character: json.dumps(character, ensure_ascii=False)[1:-1])


def on_lines(piece: Piece, before: str) -> Piece:
    """Each line begun with `before` (a quoted mail, a comment). Spans over several lines then cover it too."""
    return joined([before, mapped(piece, lambda character: "\n" + before if character == "\n" else character)])
