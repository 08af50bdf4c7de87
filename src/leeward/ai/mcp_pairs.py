"""Which answer belongs to which request of one MCP session, both sides asking.

Invariants: every request comes out once: with its answer, cancelled, or (`close`, or when more than the bounds allow are pending,
the oldest first) without one, `evidence.complete` False. Ids belong to who asks: "1" of the client is not "1" of the server.
Notes: `no-response`, `cancelled`, `notification:<method>` (what the server told meanwhile), `list-changed` (the server announced
that what is listed now has changed), `request-id-reused`, `pending-evicted`, `request-json-mended`, `response-json-mended`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

import msgspec

from leeward.ai import mcp
from leeward.ai.jsonrpc import Rpc, id_key
from leeward.ai.values import record, text
from leeward.model.exchange import AiError, Exchange, TimedExchange

MOST_PENDING = 1024
MOST_HELD = 16 << 20
_CHANGED = {
    "notifications/tools/list_changed": "tools/list",
    "notifications/prompts/list_changed": "prompts/list",
    "notifications/resources/list_changed": "resources/list",
    "notifications/roots/list_changed": "roots/list",
}

Key = tuple[bool, str]
"""(the server was asked, id)."""


class Asked(msgspec.Struct, eq=False):
    """A request without its answer so far. token: by which progress is told. size: bytes that it holds.
    hole: bytes were lost since, its answer may have been among them."""

    method: str
    exchange: Exchange
    start: int
    size: int
    token: str = ""
    hole: bool = False


class _Early(msgspec.Struct, eq=False):
    rpc: Rpc
    end: int


class Pairs:
    """counters: where oddities are counted, by names that begin with "mcp_". early: answers may come before their
    requests, as they do over HTTP, where a stream is seen when it ends. most, held: messages and bytes kept."""

    def __init__(
        self, counters: Counter[str], *, early: bool = False, most: int = MOST_PENDING, held: int = MOST_HELD
    ) -> None:
        self.peers: dict[str, str] = {}
        self._counters, self._most, self._most_held = counters, most, held
        self._asked: OrderedDict[Key, Asked] = OrderedDict()
        self._early: OrderedDict[Key, _Early] | None = OrderedDict() if early else None
        self._changed: set[str] = set()
        self._held = 0

    def request(self, to_server: bool, rpc: Rpc, exchange: Exchange, start: int) -> list[TimedExchange]:
        """exchange: what the transport knows; the request is read into it."""
        ai, notes = exchange.gen_ai, exchange.evidence.notes
        ai.request_parameters.update(self.peers)
        mcp.ask(rpc, exchange)
        _flaws(exchange, rpc, "request")
        if rpc.method in self._changed:
            self._changed.discard(rpc.method)
            notes.append("list-changed")
        key = (to_server, rpc.key)
        out = []
        if key in self._asked:
            out.append(self.unanswered(key, start, "request-id-reused"))
        token = id_key(record(rpc.params.get("_meta")).get("progressToken"))
        self._asked[key] = Asked(rpc.method, exchange, start, rpc.size, token)
        self._held += rpc.size
        early = self._early.pop(key, None) if self._early is not None else None
        if early is not None:
            self._held -= early.rpc.size
            return out + self.answer(not to_server, early.rpc, max(early.end, start))
        return out + self._bound(start)

    def answer(self, to_server: bool, rpc: Rpc, end: int) -> list[TimedExchange]:
        """A result or an error that goes to the server (to_server) or comes from it."""
        key = (not to_server, rpc.key)
        if not rpc.key and rpc.kind == "error":
            # Section 5: the id is Null "if there was an error in detecting the id in the Request object".
            pending = [other for other in self._asked if other[0] is not to_server]
            key = pending[0] if len(pending) == 1 else key
        asked = self.pop(key)
        if asked is None:
            if self._early is not None and rpc.key:
                self._early[key] = _Early(rpc, end)
                self._held += rpc.size
                return self._bound(end)
            self._counters["mcp_answers_without_request"] += 1
            return []
        mcp.answer(asked.method, rpc, asked.exchange)
        _flaws(asked.exchange, rpc, "response")
        known = asked.exchange.gen_ai.request_parameters
        for name, value in self.peers.items():
            known.setdefault(name, value)
        if asked.method in ("initialize", "server/discover"):
            self.peers.update({name: known[name] for name in mcp.PEERS if known.get(name)})
        return [TimedExchange(asked.exchange, asked.start, max(end, asked.start))]

    def notify(self, to_server: bool, rpc: Rpc, ts: int) -> list[TimedExchange]:
        """A notification becomes a note of the request that it is about, if that can be told."""
        self._counters["mcp_notifications"] += 1
        if rpc.method == "notifications/cancelled":
            key = (to_server, id_key(rpc.params.get("requestId")))
            if key not in self._asked:
                return []
            out = self.unanswered(key, ts, "cancelled")
            out.exchange.error = AiError("cancelled", text(rpc.params.get("reason"))[:4096])
            return [out]
        if rpc.method in _CHANGED:
            self._changed.add(_CHANGED[rpc.method])
            return []
        about = self._about(to_server, rpc)
        # Names that peers make up would be notes without number.
        note = f"notification:{rpc.method.partition('/')[2] if rpc.method in mcp.NOTIFICATIONS else 'other'}"
        if about is None:
            self._counters["mcp_notifications_unplaced"] += 1
        elif note not in about.exchange.evidence.notes:
            about.exchange.evidence.notes.append(note)
        return []

    def close(self, ts: int, *, truncated: bool = False, gap: bool = False) -> list[TimedExchange]:
        """The session has ended: what was never answered, marked with what may have hidden the answers."""
        out = []
        for key in list(self._asked):
            timed = self.unanswered(key, ts, "no-response")
            timed.exchange.evidence.truncated |= truncated
            timed.exchange.evidence.gap |= gap
            out.append(timed)
        if self._early:
            self._counters["mcp_answers_without_request"] += len(self._early)
            self._early.clear()
        self._held = 0
        return out

    def hole(self) -> None:
        """Bytes were lost: what is pending may have been answered in them."""
        for asked in self._asked.values():
            asked.hole = True

    def has(self, key: Key) -> bool:
        return key in self._asked

    def pop(self, key: Key) -> Asked | None:
        """Hands over a request that will get no answer here."""
        asked = self._asked.pop(key, None)
        self._held -= asked.size if asked else 0
        return asked

    def older(self, before: int) -> list[Key]:
        """What was asked before that time (Unix ns) and is still pending."""
        return [key for key, asked in self._asked.items() if asked.start < before]

    def unanswered(self, key: Key, ts: int, note: str = "no-response") -> TimedExchange:
        """Gives up a request that is pending."""
        asked = self._asked.pop(key)
        self._held -= asked.size
        self._counters["mcp_requests_unanswered"] += 1
        asked.exchange.evidence.complete = False
        asked.exchange.evidence.gap |= asked.hole
        asked.exchange.evidence.notes.append(note)
        return TimedExchange(asked.exchange, asked.start, max(ts, asked.start))

    def _about(self, to_server: bool, rpc: Rpc) -> Asked | None:
        token = id_key(rpc.params.get("progressToken"))
        others = [asked for (asks_server, _), asked in self._asked.items() if asks_server is not to_server]
        if rpc.method == "notifications/progress":
            return next((asked for asked in others if token and asked.token == token), None)
        return others[0] if len(others) == 1 and rpc.method != "notifications/initialized" else None

    def _bound(self, ts: int) -> list[TimedExchange]:
        out = []
        while self._early and (len(self._early) > self._most or self._held > self._most_held):
            _, early = self._early.popitem(last=False)
            self._held -= early.rpc.size
            self._counters["mcp_answers_without_request"] += 1
        while len(self._asked) > self._most or (self._held > self._most_held and len(self._asked) > 1):
            out.append(self.unanswered(next(iter(self._asked)), ts, "pending-evicted"))
        return out


def _flaws(exchange: Exchange, rpc: Rpc, side: str) -> None:
    evidence = exchange.evidence
    evidence.truncated |= rpc.truncated
    evidence.gap |= rpc.gap
    if rpc.cut:
        evidence.notes.append(f"{side}-json-mended")
