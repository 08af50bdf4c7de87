"""What the network says of each word of a text.

Invariants: windows have at most `WINDOW` tokens and never cut a word; each word is judged once, by the window in which it is
farther from an edge; the same texts give the same numbers.

Labels of the network (config.json of the weights): O, then B- and I- of each name in `LABELS`, in this order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

LABELS = (
    "GIVEN_NAME", "SURNAME", "EMAIL", "PHONE", "URL", "TAX_ID", "BANK_ACCOUNT", "ROUTING_NUMBER", "GOVERNMENT_ID", "PASSPORT",
    "DRIVERS_LICENSE", "BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS", "CITY", "STATE", "ZIP_CODE",
)  # fmt: skip
WINDOW, OVERLAP = 256, 48  # tokens; the network's limit is 512 with the two marks at the ends
_BEGIN, _END = 2, 3  # [CLS], [SEP] of its vocabulary
_BATCH = 8
_SPOKEN = re.compile(r"[^\W\d_]{2}|[\u3040-\u9fff]")
Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


class Encoding(Protocol):
    """What is used of tokenizers.Encoding."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def offsets(self) -> list[tuple[int, int]]: ...
    @property
    def word_ids(self) -> list[int | None]: ...


class Words(msgspec.Struct, frozen=True):
    """Words of one text. starts, ends: characters. odds: one row a word, one column a label of `LABELS`: how likely."""

    starts: Numbers
    ends: Numbers
    odds: Floats


class Piece(msgspec.Struct, frozen=True):
    """Tokens first to last (exclusive) of text number `text`."""

    text: int
    first: int
    last: int


def judge(session: Any, encodings: Sequence[Encoding], texts: Sequence[str]) -> list[Words]:
    """Runs the network over texts and their encodings (without special tokens). session: an onnxruntime.InferenceSession.
    A window without two letters in a row is not worth a run: its words are nothing."""
    sums = [np.zeros((len(e.ids), len(LABELS)), np.float32) for e in encodings]
    best = [np.full(len(e.ids), -1, np.int64) for e in encodings]
    pieces = [
        piece
        for number, e in enumerate(encodings)
        for piece in windows(number, e.word_ids)
        if _SPOKEN.search(texts[number], e.offsets[piece.first][0], e.offsets[piece.last - 1][1])
    ]
    pieces.sort(key=lambda p: p.first - p.last)  # those of a batch are of like length: little padding
    for at in range(0, len(pieces), _BATCH):
        batch = pieces[at : at + _BATCH]
        for piece, odds in zip(batch, _run(session, encodings, batch), strict=True):
            size = piece.last - piece.first
            centre = np.minimum(np.arange(size), np.arange(size)[::-1])
            mine = centre > best[piece.text][piece.first : piece.last]
            best[piece.text][piece.first : piece.last][mine] = centre[mine]
            sums[piece.text][piece.first : piece.last][mine] = odds[:size][mine]
    return [_by_word(encoding, odds) for encoding, odds in zip(encodings, sums, strict=True)]


def windows(text: int, word_ids: Sequence[int | None]) -> list[Piece]:
    """Pieces of at most WINDOW tokens that overlap by about OVERLAP and begin where a word does (or, for a word of more tokens
    than that, anywhere)."""
    most, found, first = WINDOW - 2, [], 0
    while first < len(word_ids):
        last = min(first + most, len(word_ids))
        found.append(Piece(text, first, last))
        if last == len(word_ids):
            break
        following = last - OVERLAP
        while following > first + 1 and word_ids[following] == word_ids[following - 1]:
            following -= 1
        first = following if following > first + 1 else last - OVERLAP
    return found


def _run(session: Any, encodings: Sequence[Encoding], batch: Sequence[Piece]) -> list[Floats]:
    longest = max(piece.last - piece.first for piece in batch) + 2
    ids, mask = np.zeros((len(batch), longest), np.int64), np.zeros((len(batch), longest), np.int64)
    for row, piece in enumerate(batch):
        tokens = [_BEGIN, *encodings[piece.text].ids[piece.first : piece.last], _END]
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    (logits,) = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
    odds = np.exp(logits - logits.max(axis=2, keepdims=True))
    odds /= odds.sum(axis=2, keepdims=True)
    kinds = odds[:, 1:-1, 1::2] + odds[:, 1:-1, 2::2]  # B- and I- of a label are one
    return list(kinds)


def _by_word(encoding: Encoding, odds: Floats) -> Words:
    """The mean over the tokens of each word."""
    if not encoding.ids:
        return Words(np.zeros(0, np.int64), np.zeros(0, np.int64), odds)
    word = np.array([-1 if w is None else w for w in encoding.word_ids], np.int64)
    spans = np.array(encoding.offsets, np.int64)
    first = np.flatnonzero(np.diff(word, prepend=-2))
    last = np.append(first[1:], len(word)) - 1
    counts = (last - first + 1).astype(np.float32)[:, None]
    means = np.add.reduceat(odds, first, axis=0) / counts
    return Words(spans[first, 0], spans[last, 1], means.astype(np.float32))
