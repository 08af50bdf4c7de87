"""What an HTTP exchange means: a request to a known AI service, MCP, A2A, something with the shape of AI, or nothing of ours.

Invariants: one answer for each HTTP exchange; what is asked of its body is decided from the request's head, in the same order.
A place (host and path) on an unknown host that was looked at a few times in vain is not looked at again; that memory is bounded.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable

from leeward.ai.a2a import A2aHttp
from leeward.ai.catalogue import Catalogue, Match
from leeward.ai.decode import DIALECTS, decode
from leeward.ai.mcp_http import McpHttp
from leeward.ai.session import Session, open_session
from leeward.ai.shape import guess, worth_a_look
from leeward.model.exchange import TimedExchange
from leeward.model.message import Message
from leeward.wire.http import Interest, Upgraded, WsClosed, WsMessage

_LOOKS = 3  # in vain, before a place is left alone
_PLACES = 8192
_SESSIONS = 4096
_WAIT_NS = 300 * 10**9  # a request over HTTP+SSE waits so long for its stream to end


class Hearing:
    """Asked for each request what of it matters, then told of each exchange. One for all connections."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.counters: Counter[str] = Counter()
        self._catalogue = catalogue
        self._mcp, self._a2a = McpHttp(catalogue), A2aHttp(catalogue)
        self._in_vain: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._sessions: OrderedDict[Hashable, Session] = OrderedDict()

    def interest(self, host: str, port: int, request: Message) -> Interest:
        """host: of the request, without a port. port: that it was sent to, 0 if unknown."""
        self.counters["requests"] += 1
        if (
            self.match(host, port, request) is not None
            or self._mcp.recognises(request)
            or self._a2a.recognises(request)
            or (worth_a_look(request) and self._in_vain.get(_place(host, request), 0) < _LOOKS)
        ):
            return Interest.FULL
        self.counters["requests_not_ai"] += 1
        return Interest.SKIP

    def match(self, host: str, port: int, request: Message) -> Match | None:
        """What the catalogue says of a request."""
        return self._catalogue.match(host, port, request.method, request.target.split("?", 1)[0], request.headers)

    def exchanges(self, host: str, port: int, request: Message, response: Message | None) -> list[TimedExchange]:
        """The AI exchanges that this HTTP exchange is or completes."""
        found = self._exchanges(host, port, request, response)
        if found is not None:
            return found
        self.counters["requests_not_ai_shape"] += 1
        place = _place(host, request)
        self._in_vain[place] = self._in_vain.pop(place, 0) + 1
        if len(self._in_vain) > _PLACES:
            self._in_vain.popitem(last=False)
        return []

    def _exchanges(
        self, host: str, port: int, request: Message, response: Message | None
    ) -> list[TimedExchange] | None:
        match = self.match(host, port, request)
        found = None
        if match is None or not match.certain or match.provider == "mcp":
            if self._mcp.recognises(request):
                found = self._mcp.exchange(request, response)
            if found is None and self._a2a.recognises(request):
                found = self._a2a.exchange(request, response)
        if found is not None:
            return found
        exchange = decode(request, response, match, self._catalogue, self.counters) if match else None
        if exchange is None and (shape := guess(request, response, DIALECTS)) is not None:
            exchange = decode(request, response, shape, self._catalogue, self.counters)
        if exchange is None:
            return None
        end = max(response.end if response else 0, request.end, request.start)
        return [TimedExchange(exchange, request.start, end)]

    def session(
        self, connection: Hashable, host: str, port: int, event: Upgraded | WsMessage | WsClosed
    ) -> list[TimedExchange]:
        """The AI exchanges that a WebSocket event completes. connection: its name, for as long as it lasts."""
        found = self._session(connection, host, port, event)
        for timed in found:
            if timed.exchange.error is not None:
                timed.exchange.error.message = self._catalogue.key_forms.redact(timed.exchange.error.message)
        return found

    def _session(
        self, connection: Hashable, host: str, port: int, event: Upgraded | WsMessage | WsClosed
    ) -> list[TimedExchange]:
        match event:
            case Upgraded(request=request, response=response):
                match = self.match(host, port, request)
                found = open_session(request, response, match, self._catalogue) if match else None
                if found is not None:
                    self._sessions[connection] = found
                if len(self._sessions) > _SESSIONS:
                    self._sessions.popitem(last=False)
                    self.counters["ai_sessions_evicted"] += 1
            case WsMessage():
                current = self._sessions.get(connection)
                return current.feed(event) if current is not None else []
            case WsClosed():
                over = self._sessions.pop(connection, None)
                return over.close(event) if over is not None else []
        return []

    def tick(self, ts: int) -> list[TimedExchange]:
        """What has waited too long for its answer."""
        return self._mcp.expire(ts - _WAIT_NS, ts)

    def finish(self, ts: int) -> list[TimedExchange]:
        """The observation ends."""
        return self._mcp.close(ts)

    def totals(self) -> Counter[str]:
        """Its counters and its parts'."""
        return self.counters + self._mcp.counters + self._a2a.counters


def _place(host: str, request: Message) -> tuple[str, str]:
    return host, request.target.partition("?")[0][:256]
