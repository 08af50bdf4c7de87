"""What is in the conversations: each exchange is looked through and masked before it leaves, and findings come of it.

Invariants: an exchange goes in once and comes out once, masked. With a model for names it may wait for the model's answer, at
most `_WAIT_NS`, as one of at most `_WAITING`; what the model is too slow for comes out with what the patterns found, and is
counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from leeward.data.documents import Text
from leeward.data.exchange import Inspection, Inspector, Payload
from leeward.data.found import Found
from leeward.detect.findings import Findings
from leeward.detect.leaks import Leaks
from leeward.model.data import Origin
from leeward.model.exchange import Exchange
from leeward.model.finding import Finding
from leeward.model.raw import ModelAnswered
from leeward.model.sql import SqlResult

#: Hands texts to the model; the answer comes back as a `ModelAnswered` of this number. False: it has too much to do.
AskModel = Callable[[int, Sequence[Text]], bool]

_WAIT_NS = 10**9
_WAITING = 256
_MOST_TEXT = 20_000  # characters of an exchange that the model is given
_SHORTEST = 12


class _Waiting(msgspec.Struct):
    inspection: Inspection
    found: list[Found]
    asked: list[int]  # numbers of the texts that the model was given
    since: int


class Discovery:
    """inspector: None, and exchanges come out as they are. is_provider: is this the name of a known AI service's host?
    police: what the policies say of an exchange."""

    def __init__(
        self,
        inspector: Inspector | None,
        is_provider: Callable[[str], bool],
        ask_model: AskModel | None = None,
        police: Callable[[Exchange, int], list[Finding]] = lambda _exchange, _ts: [],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.findings = Findings()
        self._inspector, self._ask, self._police = inspector, ask_model, police
        self._leaks = Leaks(is_provider)
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._number = 0

    def exchange(self, exchange: Exchange, payloads: Sequence[Payload], ts: int) -> list[Exchange | Finding]:
        """payloads: the bodies as they were sent, as far as they are JSON, forms or text."""
        if self._inspector is None:
            return self.told(exchange, ts)
        inspection = self._inspector.prepare(exchange, payloads)
        found = self._inspector.scan(inspection)
        asked = _for_the_model(inspection) if self._ask is not None else []
        if asked and self._ask is not None and len(self._waiting) < _WAITING:
            self._number += 1
            if self._ask(self._number, [inspection.texts[number] for number in asked]):
                self._waiting[self._number] = _Waiting(inspection, found, asked, ts)
                return []
        if asked:
            self.counters["model_refused"] += 1
        return self._done(inspection, found, ts)

    def answered(self, event: ModelAnswered) -> list[Exchange | Finding]:
        """The model's answer to one exchange's texts."""
        waiting = self._waiting.pop(event.number, None)
        if waiting is None:
            self.counters["model_too_late"] += 1
            return []
        self.counters["model_answered"] += 1
        more = [
            Found(kind, number := waiting.asked[text], start, end, confidence, detector,
                  waiting.inspection.texts[number].text[start:end])
            for text, kind, start, end, confidence, detector in event.found
            if 0 <= text < len(waiting.asked)
        ]  # fmt: skip
        return self._done(waiting.inspection, [*waiting.found, *more], event.ts)

    def statement(self, result: SqlResult, where: str, process: str, time: str) -> None:
        """A database's answer: its values are remembered as hashes."""
        if self._inspector is not None and self._inspector.lineage is not None:
            self._inspector.lineage.learn_sql(result, where, process, time)

    def tick(self, ts: int, everything: bool = False) -> list[Exchange | Finding]:
        """What has waited long enough, and findings with news."""
        return [*self.overdue(ts, everything), *self.findings.tick(ts)]

    def overdue(self, ts: int, everything: bool = False) -> list[Exchange | Finding]:
        """What has waited long enough. To be asked often: a second more would be a second later on the page."""
        out: list[Exchange | Finding] = []
        while self._waiting:
            number, waiting = next(iter(self._waiting.items()))
            if ts - waiting.since < _WAIT_NS and not everything:
                break
            del self._waiting[number]
            self.counters["model_too_slow"] += 1
            out += self._done(waiting.inspection, waiting.found, ts)
        return out

    def waits(self) -> bool:
        """Does any exchange wait for the model?"""
        return bool(self._waiting)

    def _done(self, inspection: Inspection, found: list[Found], ts: int) -> list[Exchange | Finding]:
        assert self._inspector is not None
        exchange = inspection.exchange
        self._inspector.finish(inspection, found)
        self.counters["data_matches"] += len(exchange.data)
        out = self.told(exchange, ts)
        self._inspector.learn(exchange, _origin(exchange))
        return out

    def judged(self, exchange: Exchange, ts: int) -> list[Exchange | Finding]:
        """An exchange that was stopped, in which the judge masked what its policies are about: what else is in it is masked
        too."""
        if self._inspector is not None:
            known, exchange.data = exchange.data, []
            self._inspector.inspect(exchange, ())
            exchange.data = [*known, *exchange.data]
        return self.told(exchange, ts)

    def told(self, exchange: Exchange, ts: int) -> list[Exchange | Finding]:
        """An exchange that was looked through and masked, with what is wrong with it."""
        out: list[Exchange | Finding] = [exchange]
        action = (exchange.verdict or {}).get("action", "")
        leaks = self._leaks.feed(exchange)
        for leak in leaks:
            leak.action = action if action != "allow" else ""
        known = {leak.rule for leak in leaks}
        for finding in (*leaks, *(f for f in self._police(exchange, ts) if f.rule not in known)):
            out += self.findings.add(finding, ts)
        return out

    def totals(self) -> Counter[str]:
        """Its counters and its parts'."""
        total = self.counters + self.findings.counters
        if self._inspector is not None:
            total.update(self._inspector.scanner.counters)
            if self._inspector.lineage is not None:
                total.update(self._inspector.lineage.counters)
        return total


def _for_the_model(inspection: Inspection) -> list[int]:
    """Numbers of the texts that are worth the model's time: those that travelled, in words."""
    asked, left = [], _MOST_TEXT
    for number, text in enumerate(inspection.texts):
        size = len(text.text)
        if inspection.places[number] and _SHORTEST <= size <= left and " " in text.text:
            asked.append(number)
            left -= size
    return asked


def _origin(exchange: Exchange) -> Origin:
    """Where what came back in this exchange comes from: a tool, a collection of vectors, a model."""
    ai = exchange.gen_ai
    source, name = "response", ai.response_model or ai.request_model or ai.operation
    if ai.operation == "execute_tool":
        source, name = "tool", ai.tool_calls[0].name if ai.tool_calls else ""
    elif isinstance(collection := ai.request_parameters.get("collection"), str):
        source, name = "vector", collection
    process = exchange.process.exe.rsplit("/", 1)[-1] if exchange.process else ""
    return Origin(source, name, exchange.network.domain, "", exchange.time, process)
