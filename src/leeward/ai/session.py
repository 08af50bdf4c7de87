"""AI over WebSocket: what a session is, and which one a connection carries.

A session is fed whole messages in the order in which they were seen and yields an exchange for each answer. Invariants:
never raises on any bytes; what it holds of messages without an answer is bounded.
"""

from __future__ import annotations

from typing import Protocol

from leeward.ai.catalogue import UNKNOWN, Catalogue, Match
from leeward.ai.dialect import Dialect
from leeward.ai.gemini_live import GeminiLive
from leeward.ai.jsonrpc_http import carrier
from leeward.ai.jsontext import Json
from leeward.ai.openai_realtime import Realtime
from leeward.model.exchange import Exchange, GenAI, TimedExchange
from leeward.model.message import Message
from leeward.wire.http import WsClosed, WsMessage


class Session(Protocol):
    def feed(self, message: WsMessage) -> list[TimedExchange]:
        """The exchanges that this message completes."""
        ...

    def close(self, end: WsClosed) -> list[TimedExchange]:
        """What is unfinished comes out as it is."""
        ...


class Counted:
    """A session in an API that nobody here knows, on a host that is known: one exchange in all, with what passed."""

    def __init__(self, base: Exchange, start: int) -> None:
        self._base, self._start = base, start
        self._passed = {"messages_sent": 0, "bytes_sent": 0, "messages_received": 0, "bytes_received": 0}

    def feed(self, message: WsMessage) -> list[TimedExchange]:
        way = "sent" if message.to_server else "received"
        self._passed[f"messages_{way}"] += 1
        self._passed[f"bytes_{way}"] += message.size
        return []

    def close(self, end: WsClosed) -> list[TimedExchange]:
        self._base.gen_ai.request_parameters.update(self._passed)
        return [TimedExchange(self._base, self._start, end.ts)]


def _nothing(body: Json, ai: GenAI) -> bool:
    return False


#: An upgrade that was refused is an HTTP exchange like others; one that was not has no bodies.
DIALECTS = {api: Dialect(_nothing, _nothing) for api in ("openai.realtime", "gemini.live")}


def open_session(request: Message, response: Message, match: Match, catalogue: Catalogue) -> Session | None:
    """The session that this upgrade begins; None where neither host nor path is known."""
    base = carrier(request, response, catalogue.key_forms)
    base.gen_ai.provider, base.gen_ai.api, base.gen_ai.operation = match.provider, match.api, match.operation
    base.gen_ai.stream = True
    if match.api in ("openai.realtime", "openai.responses"):
        return Realtime(base, request.target, certain=match.certain)
    if match.api == "gemini.live":
        return GeminiLive(base, certain=match.certain)
    if match.certain and match.api == UNKNOWN:
        return Counted(base, request.start)
    return None
