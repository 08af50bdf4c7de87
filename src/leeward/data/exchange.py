"""Sensitive data in an exchange: found in the payloads as they were sent, masked in everything that is kept.

`prepare` gathers the texts, `finish` takes what was found in them (by the scanner, later by a model as well) and writes matches
and masks into the exchange. Invariant: after `finish` no string of the exchange holds a found value: spans are replaced where
they were found, and the values wherever else they stand. Passages (code, a known document) are told and stay; values in them
do not.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from leeward.data.documents import Text, step, texts_of
from leeward.data.found import PASSAGE, Found, resolve
from leeward.data.hashing import Keyed
from leeward.data.inner import inner_paths
from leeward.data.lineage import Lineage
from leeward.data.masking import hide_values, masked, sample, token
from leeward.data.scanner import Scanner
from leeward.model.data import DataMatch, Origin
from leeward.model.exchange import Exchange, ProcessRef

_MOST = 1000  # matches told of one exchange
_CLEAN_TEXTS = 65_536  # long texts remembered in which there was nothing, 16 bytes each
_WORTH_REMEMBERING = 2001  # characters; a shorter text may hold one part of a value that comes in several (split.py)
_SHORTEST_HIDDEN = 6  # a shorter value is masked where it was found, not wherever its letters stand
# Of the conversation all may hold what people wrote but what is named here.
_NAMES_OF_AI = frozenset("provider operation api request_model response_model response_id finish_reasons".split())  # noqa: SIM905
# A cheap look: may a word hold any of the kinds that are never kept?
_MAY_HOLD = re.compile(r"\d(?:[ -]?\d){5}|[A-Za-z0-9+/_-]{16}|[A-Z]{1,3}\d{5}| ")
_NEVER_KEPT = ("secret.", "financial.", "health.", "pii.national_id.", "pii.passport", "pii.driver_licence", "custom.")
_WRITTEN_BY_PEOPLE = ("argv", "ancestors")  # of a process


class Payload(msgspec.Struct, frozen=True):
    """A body as one JSON value. side: "request" | "response"."""

    side: str
    value: Any


class Inspection(msgspec.Struct):
    """One exchange under way. texts: every different text once. places: for each text, where it is in the payloads (side, path).
    kept: paths within the exchange → number of the text there. orders: for each payload (and what is kept besides) the numbers of
    its texts, in their order."""

    exchange: Exchange
    texts: list[Text]
    places: list[list[tuple[str, str]]]
    kept: dict[str, int]
    orders: list[list[int]] = []


class Inspector:
    """keyed: for hashes. lineage: what values were seen before; None: not known."""

    def __init__(self, scanner: Scanner, keyed: Keyed, lineage: Lineage | None = None) -> None:
        self.scanner = scanner
        self.lineage = lineage
        self._keyed = keyed
        self._clean: OrderedDict[bytes, None] = OrderedDict()

    def inspect(self, exchange: Exchange, payloads: Sequence[Payload]) -> None:
        """All of it at once, without a model."""
        inspection = self.prepare(exchange, payloads)
        self.finish(inspection, self.scan(inspection))

    def nothing_in(self, value: Any) -> bool:
        """Is no sensitive data in the texts of a payload?"""
        texts = texts_of(value)
        return not self.scan(Inspection(Exchange(), texts, [], {}, [list(range(len(texts)))]))

    def command_line(self, words: Sequence[str]) -> tuple[str, ...]:
        """A command line whose secrets, accounts and identity numbers are masked. What else people write there (names, addresses
        of hosts) stays: detectors live on it."""
        return tuple(self._word(word) if _MAY_HOLD.search(word) else word for word in words)

    def _word(self, word: str) -> str:
        spans = [
            (match.start, match.end, token(match.kind, f"{self._keyed.number(match.value):016x}"))
            for match in self.scanner.scan_text(word)
            if match.kind.startswith(_NEVER_KEPT)
        ]
        return masked(word, spans)

    def prepare(self, exchange: Exchange, payloads: Sequence[Payload]) -> Inspection:
        """Gathers the texts. What is in no payload (an answer put together from a stream) is looked at where the exchange
        has it."""
        numbers: dict[tuple[str, str], int] = {}
        inspection = Inspection(exchange, [], [], {})

        def number_of(text: Text) -> int:
            key = (text.text, text.label)
            number = numbers.get(key)
            if number is None:
                number = numbers[key] = len(inspection.texts)
                inspection.texts.append(text)
                inspection.places.append([])
            return number

        by_text: dict[str, int] = {}
        for payload in payloads:
            inspection.orders.append([])
            for text in texts_of(payload.value):
                number = number_of(text)
                by_text.setdefault(text.text, number)
                inspection.places[number].append((payload.side, text.path))
                inspection.orders[-1].append(number)
        inspection.orders.append([])
        sides = {payload.side for payload in payloads if payload.value is not None}
        for text in _kept_texts(exchange):
            number = by_text[text.text] if text.text in by_text else number_of(text)
            inspection.kept[text.path] = number
            inspection.orders[-1].append(number)
            side = _side(text.path)
            if side and side not in sides:
                inspection.places[number].append((side, text.path))
        return inspection

    def scan(self, inspection: Inspection) -> list[Found]:
        """What the scanner finds in the texts; long ones in which there was nothing the last time are not looked at again."""
        marks = [_mark(text) if len(text.text) >= _WORTH_REMEMBERING else b"" for text in inspection.texts]
        todo = [number for number, mark in enumerate(marks) if not mark or mark not in self._clean]
        found = self.scanner.each([inspection.texts[number] for number in todo])
        dirty = {match.text for match in found}
        for position, number in enumerate(todo):
            if position not in dirty and marks[number]:
                self._clean[marks[number]] = None
        while len(self._clean) > _CLEAN_TEXTS:
            self._clean.popitem(last=False)
        found = [msgspec.structs.replace(match, text=todo[match.text]) for match in found]
        return [*found, *self._parts(inspection, self.scanner.whole(found))]

    def _parts(self, inspection: Inspection, whole: set[int]) -> Iterator[Found]:
        """Values in parts, over the texts of each payload. whole: numbers of texts that are no parts."""
        for order in inspection.orders:
            taken = {place for place, number in enumerate(order) if number in whole}
            for match in self.scanner.split([inspection.texts[number] for number in order], taken):
                yield msgspec.structs.replace(match, text=order[match.text])

    def finish(self, inspection: Inspection, found: list[Found]) -> None:
        """Writes matches and masks into the exchange."""
        found = resolve(found)
        if not found:
            return
        exchange = inspection.exchange
        numbers = [self._keyed.number(match.value) for match in found]
        exchange.data = self._matches(inspection, found, numbers)
        if len(exchange.data) > _MOST:
            exchange.evidence.notes.append("data-matches-cut")
            del exchange.data[_MOST:]
        spans: dict[int, list[tuple[int, int, str]]] = {}
        hidden: dict[str, str] = {}
        for match, number in zip(found, numbers, strict=True):
            if match.layer == PASSAGE:  # code, a known document: told, but the conversation stays readable
                continue
            put = token(match.kind, f"{number:016x}")
            spans.setdefault(match.text, []).append((match.start, match.end, put))
            for value in (match.value, inspection.texts[match.text].text[match.start : match.end]):
                if len(value) >= _SHORTEST_HIDDEN:
                    hidden[value] = put
        values = sorted(hidden.items(), key=lambda item: -len(item[0]))
        changed: dict[str, str] = {}
        for path, number in inspection.kept.items():
            text = inspection.texts[number].text
            clean = hide_values(masked(text, spans.get(number, ())), values)
            if clean != text:
                changed[path] = clean
        if changed:
            _rewrite(exchange, changed)

    def _matches(self, inspection: Inspection, found: list[Found], numbers: list[int]) -> list[DataMatch]:
        starts: dict[int, list[int]] = {}
        for match in found:
            starts.setdefault(match.text, []).append(match.start)
        inner = {number: iter(inner_paths(inspection.texts[number].text, at)) for number, at in starts.items()}
        matches = []
        for match, number in zip(found, numbers, strict=True):
            within = next(inner[match.text])
            origins = list(self.lineage.origins(number)) if self.lineage is not None else []
            for side, path in inspection.places[match.text]:
                matches.append(
                    DataMatch(
                        kind=match.kind, path=path, start=match.start, end=match.end,
                        confidence=round(match.confidence, 3), detector=match.detector,
                        sample=sample(match.value, match.keep), hash=f"{number:016x}", side=side, inner=within, origins=origins,
                    )
                )  # fmt: skip
        return matches

    def learn(self, exchange: Exchange, origin: Origin) -> None:
        """The values in what came back are remembered as seen there, but for those that were sent."""
        if self.lineage is None:
            return
        sent = {match.hash for match in exchange.data if match.side == "request"}
        back = {match.hash for match in exchange.data if match.side == "response"} - sent
        self.lineage.learn((int(hash_, 16) for hash_ in back), origin)


def _mark(text: Text) -> bytes:
    return blake2b(f"{text.label}\0{text.text}".encode("utf-8", "replace"), digest_size=16).digest()


def _side(path: str) -> str:
    """On which side of the conversation a part of an exchange is, "" for what is on none."""
    if path.startswith(("$.gen_ai.output", "$.gen_ai.tool_calls")):
        return "response"
    return "request" if path.startswith(("$.gen_ai.input", "$.gen_ai.tools", "$.gen_ai.request_parameters")) else ""


def _parts(exchange: Exchange) -> dict[str, Any]:
    """What of an exchange is kept and may hold what people wrote, as plain data under its own paths."""
    parts: dict[str, Any] = {"gen_ai": msgspec.to_builtins(exchange.gen_ai)}
    for name in _NAMES_OF_AI:
        del parts["gen_ai"][name]
    parts["http"] = {"url": exchange.http.url, "user_agent": exchange.http.user_agent}
    if exchange.error is not None:
        parts["error"] = msgspec.to_builtins(exchange.error)
    if exchange.process is not None:
        parts["process"] = _written(exchange.process)
    if exchange.observers:
        parts["observers"] = [{"process": _written(observer.process)} for observer in exchange.observers]
    return parts


def _written(process: ProcessRef) -> dict[str, Any]:
    return {name: msgspec.to_builtins(getattr(process, name)) for name in _WRITTEN_BY_PEOPLE}


def _kept_texts(exchange: Exchange) -> list[Text]:
    return [text for text in texts_of(_parts(exchange)) if not text.text.isdigit()]


def _rewrite(exchange: Exchange, changed: dict[str, str]) -> None:
    """Puts the changed texts into the exchange."""
    for name in {path[2:].partition(".")[0].partition("[")[0] for path in changed}:
        old = getattr(exchange, name)
        new = _replaced(msgspec.to_builtins(old), f"$.{name}", changed)
        setattr(exchange, name, msgspec.convert(new, _TYPES[name]))


def _replaced(value: Any, path: str, changed: dict[str, str]) -> Any:
    if isinstance(value, str):
        return changed.get(path, value)
    if isinstance(value, dict):
        return {key: _replaced(child, path + step(key), changed) for key, child in value.items()}
    if isinstance(value, list):
        return [_replaced(child, f"{path}[{i}]", changed) for i, child in enumerate(value)]
    return value


_TYPES = {field.name: field.type for field in msgspec.structs.fields(Exchange)}
