"""What sessions over WebSocket share: what was said since the last answer, and the exchange that an answer makes of it.

Invariants: what waits for an answer is at most `MOST_ITEMS` messages and `MOST_TEXT` characters; the oldest leave first,
and the next exchange has the note `items-dropped`.
"""

from __future__ import annotations

import copy

from leeward.model.exchange import ChatMessage, Exchange, TimedExchange, Tool
from leeward.wire.http import WsMessage

MOST_ITEMS = 512
MOST_TEXT = 4 << 20


class Turns:
    """base: the exchange that all of a session's begin as. standing: system messages that hold for every answer.
    tools: those on offer. since: Unix ns of the first message that waits, 0 if none does."""

    def __init__(self, base: Exchange) -> None:
        self.base = base
        self.standing: list[ChatMessage] = []
        self.tools: list[Tool] = []
        self.since = 0
        self._waiting: list[ChatMessage] = []
        self._size = 0
        self._flaws: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def say(self, message: WsMessage, said: list[ChatMessage]) -> None:
        """`said` waits for an answer."""
        self.since = self.since or message.start
        self.flaws(message)
        self._waiting += said
        self._size += sum(len(each.content) for each in said)
        while self._waiting and (len(self._waiting) > MOST_ITEMS or self._size > MOST_TEXT):
            self._size -= len(self._waiting.pop(0).content)
            self._flaws.add("items-dropped")

    def flaws(self, message: WsMessage) -> None:
        """What was odd of a message is odd of the next exchange."""
        self._flaws.update(message.anomalies)
        self._flaws |= {name for name in ("truncated", "gap") if getattr(message, name)}

    def begin(self) -> Exchange:
        """An answer begins: the exchange with all that waited for it."""
        exchange = copy.deepcopy(self.base)
        exchange.gen_ai.input = [*self.standing, *self._waiting]
        exchange.gen_ai.tools = list(self.tools)
        self._waiting, self._size, self.since = [], 0, 0
        return exchange

    def end(self, exchange: Exchange, start: int, end: int, *, complete: bool) -> TimedExchange:
        """An answer is over."""
        evidence = exchange.evidence
        evidence.complete = complete
        evidence.truncated |= "truncated" in self._flaws
        evidence.gap |= "gap" in self._flaws
        evidence.notes += sorted(self._flaws - {"truncated", "gap"} - set(evidence.notes))
        self._flaws.clear()
        return TimedExchange(exchange, start, max(start, end))
