"""MCP over HTTP: the streamable transport (2025-03-26 and later) and HTTP with SSE (2024-11-05).

Fed whole HTTP exchanges in the order in which they end; yields MCP exchanges. A streamed answer stands in the response of
its own POST; HTTP+SSE answers 202 there and sends the answer on the stream of an earlier GET, which is seen when that ends.
State: one `Pairs` a session, at most `MOST_SESSIONS`; the least recently used leaves first with what it has pending. Never
raises on any bytes.

Notes besides those of `mcp_pairs`: `mcp-header-mismatch` (Mcp-Method or Mcp-Name differs from the body: who judges by the
header is misled), `request-unreadable` (read from these headers alone), `response-unreadable`. Counters:
`mcp_sessions_evicted`, `mcp_streams_refused`, `mcp_bad_endpoint`, `mcp_not_mcp`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter, OrderedDict
from urllib.parse import urljoin

from leeward.ai import mcp
from leeward.ai.catalogue import Catalogue, default_catalogue
from leeward.ai.dialect import failure
from leeward.ai.jsonrpc import Rpc, rpc_error
from leeward.ai.jsonrpc_http import Carried, authority, carried, carrier, is_stream, media_type
from leeward.ai.jsontext import load
from leeward.ai.mcp_pairs import Asked, Pairs
from leeward.ai.values import text
from leeward.model.exchange import Exchange, TimedExchange
from leeward.model.message import Message
from leeward.wire.sse import SseEvent, parse_sse

MOST_SESSIONS = 256
MOST_HELD = 1 << 20
"""Bytes of messages held in one session (one message may be larger)."""
_PATH = re.compile(r"(?:^|[/_.-])(?:mcp|sse|messages?)(?:[/_.?-]|$)", re.IGNORECASE)
# 2026-07-28: header values that are no visible ASCII travel so.
_ENCODED = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")


class McpHttp:
    """All MCP over HTTP that one observer sees."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self._forms = (catalogue or default_catalogue()).key_forms
        self._sessions: OrderedDict[str, Pairs] = OrderedDict()

    def recognises(self, request: Message) -> bool:
        """Whether the body of a request may be worth keeping, from its head alone. True costs only copying."""
        if _hinted(request) or _PATH.search(request.target):
            return True
        accept = request.header("accept")
        if request.method == "GET":
            return accept.strip() == "text/event-stream"
        return request.method == "POST" and "text/event-stream" in accept and "application/json" in accept

    def exchange(self, request: Message, response: Message | None) -> list[TimedExchange] | None:
        """The exchanges that this HTTP exchange completes, perhaps of earlier ones too. None: it is not MCP."""
        out: list[TimedExchange] | None = None
        if request.method == "POST":
            out = self._post(request, response)
        elif request.method == "GET":
            out = self._listen(request, response)
        elif request.method == "DELETE" and request.header("mcp-session-id"):
            out = self._delete(request, response)
        for timed in out or ():
            if timed.exchange.error:
                timed.exchange.error.message = self._forms.redact(timed.exchange.error.message)
        return out

    def expire(self, before: int, ts: int) -> list[TimedExchange]:
        """What was asked before that time (Unix ns) and waits for a stream to end comes out unanswered; its answer, if it
        comes, is then counted only."""
        sessions = self._sessions.values()
        return [pairs.unanswered(key, ts) for pairs in sessions for key in pairs.older(before)]

    def close(self, ts: int) -> list[TimedExchange]:
        """The observation ends."""
        out = [timed for pairs in self._sessions.values() for timed in pairs.close(ts)]
        self._sessions.clear()
        return out

    # -- POST ----------------------------------------------------------------------------------------------------------

    def _post(self, request: Message, response: Message | None) -> list[TimedExchange] | None:
        asked, answered = carried(request), carried(response)
        hinted = _hinted(request) or (response is not None and _hinted(response))
        asked = asked or _from_headers(request, answered)
        name = _session_id(request, response)
        known = (name or _url(request)) in self._sessions
        tells = hinted or known or any(mcp.is_mcp(each.rpc) for each in (*asked, *answered))
        if not asked or not tells:
            self.counters["mcp_not_mcp"] += 1
            return None
        accepted = response is not None and _accepted(response, answered)
        waits = any(each.rpc.kind != "notification" for each in asked)
        api = "mcp.http"
        if not name and (known or (accepted and waits)):
            name, api = _url(request), "mcp.sse"
        out, pairs = self._session(name, request.end)
        out += self._asks(request, response, asked, pairs, api)
        requests = [(True, each.rpc.key) for each in asked if each.rpc.kind == "request"]
        errors = []
        for each in answered:
            if each.rpc.kind == "error" and not pairs.has((True, each.rpc.key)) and response and response.status >= 400:
                errors.append(each.rpc)  # the server could not tell which request it refuses
            else:
                out += self._tells(request, response, each, pairs, api)
        if accepted or (name and _resumable(response)):
            return out  # the answer comes on another stream
        for key in requests:
            unanswered = pairs.pop(key)
            if unanswered:
                out.append(self._refused(unanswered, request, response, errors))
        return out

    def _asks(
        self, request: Message, response: Message | None, asked: list[Carried], pairs: Pairs, api: str
    ) -> list[TimedExchange]:
        """What the client says in a POST."""
        out: list[TimedExchange] = []
        for each in asked:
            if each.rpc.kind == "request":
                exchange = self._new(request, response, api)
                _check_headers(request, each.rpc, exchange)
                exchange.gen_ai.stream = response is not None and is_stream(response)
                version = request.header("mcp-protocol-version")
                if version:
                    exchange.gen_ai.request_parameters["protocol_version"] = version[:64]
                out += pairs.request(True, each.rpc, exchange, request.start)
            elif each.rpc.kind == "notification":
                out += pairs.notify(True, each.rpc, request.end)
            else:
                out += pairs.answer(True, each.rpc, request.end)
        return out

    def _tells(
        self, request: Message, response: Message | None, each: Carried, pairs: Pairs, api: str
    ) -> list[TimedExchange]:
        """What the server says, in the answer to a POST or on a stream."""
        if each.rpc.kind == "request":
            return pairs.request(False, each.rpc, self._new(request, response, api), each.ts)
        if each.rpc.kind == "notification":
            return pairs.notify(False, each.rpc, each.ts)
        return pairs.answer(False, each.rpc, each.ts)

    def _refused(self, asked: Asked, request: Message, response: Message | None, errors: list[Rpc]) -> TimedExchange:
        """A request to which HTTP itself gave the answer, or nothing did."""
        exchange = asked.exchange
        evidence = exchange.evidence
        if response is None:
            evidence.complete = False
            evidence.notes.append("no-response")
            return TimedExchange(exchange, asked.start, max(request.end, asked.start))
        evidence.complete = response.complete and response.status >= 400
        evidence.truncated |= response.truncated
        evidence.gap |= response.gap
        if errors:
            exchange.error = rpc_error(errors[0].error, mcp.ERRORS)
        elif response.status >= 400:
            exchange.error = failure(response.status, load(response.body), response.body, response.reason)
        else:
            heard = response.body.strip() and not is_stream(response)
            evidence.notes.append("response-unreadable" if heard else "no-response")
        return TimedExchange(exchange, asked.start, max(response.end, asked.start))

    # -- the server's stream, the session's end ------------------------------------------------------------------------

    def _listen(self, request: Message, response: Message | None) -> list[TimedExchange] | None:
        if response is None or not is_stream(response):
            if response is not None and response.status == 405 and _hinted(request):
                self.counters["mcp_streams_refused"] += 1  # "The server MUST either return text/event-stream or 405"
                return []
            return None
        events = parse_sse(response.body)
        endpoint = next((event for event in events[:8] if event.event == "endpoint"), None)
        messages = carried(response)
        name = self._endpoint(request, endpoint) if endpoint else _session_id(request, response)
        if not name and not _hinted(request) and not any(mcp.is_mcp(each.rpc) for each in messages):
            return None
        if not messages and not endpoint:
            return []
        api = "mcp.sse" if endpoint else "mcp.http"
        out, pairs = self._session(name, response.end)
        for each in messages:
            out += self._tells(request, response, each, pairs, api)
        if endpoint or not name:  # its session ends with this stream
            self._sessions.pop(name, None)
            out += pairs.close(response.end, truncated=response.truncated, gap=response.gap)
        return out

    def _endpoint(self, request: Message, event: SseEvent) -> str:
        """2024-11-05: "the server MUST send an endpoint event containing a URI for the client to use for sending messages"."""
        where = event.data.strip()
        try:
            whole = urljoin(f"http://{_url(request)}", where)
        except ValueError:
            self.counters["mcp_bad_endpoint"] += 1
            return ""
        named = whole.partition("://")[2]
        if not named or any(space in where for space in " \n<>{}"):
            self.counters["mcp_bad_endpoint"] += 1
            return ""
        host, slash, path = named.partition("/")
        return host.lower() + slash + path

    def _delete(self, request: Message, response: Message | None) -> list[TimedExchange]:
        name = request.header("mcp-session-id")
        pairs = self._sessions.pop(name, None)
        end = max(response.end if response else 0, request.end)
        out = pairs.close(end) if pairs is not None else []
        exchange = self._new(request, response, "mcp.http")
        exchange.gen_ai.operation = "delete_session"
        exchange.gen_ai.request_parameters.update(pairs.peers if pairs is not None else {})
        if response is None:
            exchange.evidence.complete = False
        elif response.status >= 400:
            exchange.error = failure(response.status, load(response.body), response.body, response.reason)
        return [*out, TimedExchange(exchange, request.start, end)]

    # -- state ---------------------------------------------------------------------------------------------------------

    def _session(self, name: str, ts: int) -> tuple[list[TimedExchange], Pairs]:
        """The session of that name, made if need be, with what had to leave for it; without a name one of its own."""
        if not name:
            return [], Pairs(self.counters)
        out: list[TimedExchange] = []
        pairs = self._sessions.get(name)
        if pairs is None:
            pairs = self._sessions[name] = Pairs(self.counters, early=True, held=MOST_HELD)
            if len(self._sessions) > MOST_SESSIONS:
                _, oldest = self._sessions.popitem(last=False)
                self.counters["mcp_sessions_evicted"] += 1
                out += oldest.close(ts)
        self._sessions.move_to_end(name)
        return out, pairs

    def _new(self, request: Message, response: Message | None, api: str) -> Exchange:
        exchange = carrier(request, response, self._forms)
        exchange.gen_ai.provider, exchange.gen_ai.api = mcp.PROVIDER, api
        return exchange


def _hinted(message: Message) -> bool:
    return any(name.startswith("mcp-") for name, _ in message.headers)


def _session_id(request: Message, response: Message | None) -> str:
    """initialize has it in the response only."""
    return (request.header("mcp-session-id") or (response.header("mcp-session-id") if response else ""))[:256]


def _url(request: Message) -> str:
    """Host and target: the name of an HTTP+SSE session, which has an endpoint of its own."""
    if "://" in request.target[:12]:
        host, slash, path = request.target.partition("://")[2].partition("/")
        return (host.lower() + slash + path)[:2048]
    return (authority(request).lower() + request.target)[:2048]


def _accepted(response: Message, answered: list[Carried]) -> bool:
    """Whether a response says no more than that the message has come in: 202, or another 2xx without a JSON-RPC body."""
    if answered or not 200 <= response.status < 300 or is_stream(response):
        return False
    return response.status in (202, 204) or media_type(response) != "application/json" or not response.body.strip()


def _resumable(response: Message | None) -> bool:
    """Whether the answer that this stream lacks may come on a later one: servers may close a stream before the answer,
    clients come back with Last-Event-ID. What a limit or a hole has hidden does not come again."""
    return (
        response is not None
        and response.status < 300
        and is_stream(response)
        and not (response.truncated or response.gap)
    )


def _decoded(value: str) -> str:
    found = _ENCODED.fullmatch(value.strip())
    if found is None:
        return value.strip()
    try:
        return base64.b64decode(found[1]).decode("utf-8", "replace")
    except binascii.Error:
        return value


def _from_headers(request: Message, answered: list[Carried]) -> list[Carried]:
    """The request as its headers tell it, when the body does not: 2026-07-28 repeats method and name there."""
    method = request.header("mcp-method")
    if not method:
        return []
    keys = [each.rpc.key for each in answered if each.rpc.kind in ("result", "error")]
    parameter = mcp.method(method).name_header
    params = {parameter: _decoded(request.header("mcp-name"))} if parameter else {}
    return [
        Carried(Rpc("request", keys[0] if keys else "s:", method, params, truncated=request.truncated), request.end)
    ]


def _check_headers(request: Message, rpc: Rpc, exchange: Exchange) -> None:
    method, name = request.header("mcp-method"), request.header("mcp-name")
    if rpc.source.text() == "":
        exchange.evidence.notes.append("request-unreadable")
        return
    parameter = mcp.method(rpc.method).name_header
    wrong_method = bool(method) and method.strip() != rpc.method
    wrong_name = bool(name and parameter) and _decoded(name) != text(rpc.params.get(parameter)).strip()
    if wrong_method or wrong_name:
        exchange.evidence.notes.append("mcp-header-mismatch")
