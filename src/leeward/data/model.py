"""The name model: persons, addresses, locations and organisations in plain language, by a small neural network and by lists.

The network (Rampart, 15 MB, ONNX) does not tell upper from lower case and knows no organisations; the lists, and the shape of
what it found, mend that (model_judge.py). Invariants: nothing is fetched; the same texts give the same answers; at most `MOST`
characters of a text are looked at, what is beyond is counted; one thread unless told otherwise.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leeward.data.gazetteer import Gazetteer, gazetteer
from leeward.data.gazetteer_finder import NameLists
from leeward.data.model_weights import INSTALL, Unusable, read_weights

MOST = 100_000  # characters of a text
_BATCH = 32  # texts that are tokenized at once
Entity = tuple[str, int, int, float, str]


class NameModel:
    """Made by `load`. May be used by several threads at the same time, but for `counters`, which may then miss some.

    counters: texts looked at; texts that were cut, and the characters beyond.
    """

    def __init__(self, session: Any, tokenizer: Any, lists: NameLists, names: Gazetteer) -> None:
        self.counters: Counter[str] = Counter()
        self._session, self._tokenizer = session, tokenizer
        self._lists, self._names = lists, names

    @classmethod
    def load(cls, folder: Path | None = None, threads: int = 1) -> NameModel | None:
        """The model, or None when it cannot be used here (`why_not` says why). folder: the package with the weights, found by
        itself if None. threads: of one run of the network."""
        try:
            return cls._loaded(folder, threads)
        except Unusable:
            return None

    @classmethod
    def _loaded(cls, folder: Path | None, threads: int) -> NameModel:
        weights = read_weights(folder)
        onnxruntime, tokenizers = _library("onnxruntime"), _library("tokenizers")
        _library("numpy")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(weights.network, options, providers=["CPUExecutionProvider"])
        tokenizer = tokenizers.Tokenizer.from_buffer(weights.tokenizer)
        return cls(session, tokenizer, NameLists.default(), gazetteer())

    def find(self, texts: Sequence[str], labels: Sequence[str] = ()) -> list[list[Entity]]:
        """For each text (kind, start, end, confidence, detector) in order and without overlaps; offsets in characters.

        labels: what names each text (a JSON key, a column), "" for nothing; the network reads it before the text.
        """
        found: list[list[Entity]] = []
        for first in range(0, len(texts), _BATCH):
            named = [
                f"{labels[number]}: " if number < len(labels) and labels[number] else ""
                for number in range(first, min(first + _BATCH, len(texts)))
            ]
            found += self._batch([prefix + text for prefix, text in zip(named, texts[first:], strict=False)], named)
        return found

    def _batch(self, texts: Sequence[str], prefixes: Sequence[str]) -> list[list[Entity]]:
        from leeward.data.model_judge import judged
        from leeward.data.model_words import judge

        short = [text[:MOST] for text in texts]
        self.counters["texts"] += len(texts)
        self.counters["texts_cut"] += sum(len(text) > MOST for text in texts)
        self.counters["characters_beyond"] += sum(max(0, len(text) - MOST) for text in texts)
        words = judge(self._session, self._tokenizer.encode_batch(short, add_special_tokens=False), short)
        return [
            [
                (m.kind, m.start - len(prefix), m.end - len(prefix), m.confidence, m.detector)
                for m in judged(text, said, self._lists, self._names)
                if m.start >= len(prefix)
            ]
            for text, said, prefix in zip(short, words, prefixes, strict=True)
        ]


def why_not(folder: Path | None = None) -> str:
    """Why there is no name model here, in one line; "" if there is one."""
    try:
        read_weights(folder)
        for name in ("onnxruntime", "tokenizers", "numpy"):
            _library(name)
    except Unusable as error:
        return str(error)
    return ""


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unusable(f"the library {name} cannot be loaded ({error}): {INSTALL}") from error
