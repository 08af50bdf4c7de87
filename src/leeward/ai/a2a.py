"""A2A (Agent2Agent): calls between agents over JSON-RPC or HTTP+JSON, and agent cards.

Source: A2A specification 0.2, 0.3 and 1.0 (a2a-protocol.org) and its a2a.proto. Methods and fields of all are read whatever
version is spoken: 0.3 marks parts and results by `kind`, 1.0 (protobuf's JSON) by the field's name. Stateless; never raises
on any bytes.
The gRPC binding is not read. Notes: `stream-without-end` (a stream ended while the task went on), `response-unreadable`.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from leeward.ai import a2a_parts
from leeward.ai.catalogue import Catalogue, default_catalogue
from leeward.ai.dialect import failure
from leeward.ai.jsonrpc import Rpc, rpc_error
from leeward.ai.jsonrpc_http import arrival, carried, carrier, is_stream, media_type
from leeward.ai.jsontext import Slice, load
from leeward.ai.values import record
from leeward.model.exchange import Exchange, TimedExchange
from leeward.model.message import Message
from leeward.wire.sse import parse_sse

PROVIDER = "a2a"
#: JSON-RPC method (0.3, 1.0) → operation.
METHODS = {
    "message/send": "invoke_agent",
    "message/stream": "invoke_agent",
    "tasks/send": "invoke_agent",
    "tasks/sendSubscribe": "invoke_agent",
    "tasks/get": "get_task",
    "tasks/list": "list_tasks",
    "tasks/cancel": "cancel_task",
    "tasks/resubscribe": "subscribe_task",
    "tasks/pushNotificationConfig/set": "create_push_notification",
    "tasks/pushNotificationConfig/get": "get_push_notification",
    "tasks/pushNotificationConfig/list": "list_push_notifications",
    "tasks/pushNotificationConfig/delete": "delete_push_notification",
    "agent/getAuthenticatedExtendedCard": "get_agent_card",
    "SendMessage": "invoke_agent",
    "SendStreamingMessage": "invoke_agent",
    "GetTask": "get_task",
    "ListTasks": "list_tasks",
    "CancelTask": "cancel_task",
    "SubscribeToTask": "subscribe_task",
    "CreateTaskPushNotificationConfig": "create_push_notification",
    "GetTaskPushNotificationConfig": "get_push_notification",
    "ListTaskPushNotificationConfigs": "list_push_notifications",
    "DeleteTaskPushNotificationConfig": "delete_push_notification",
    "GetExtendedAgentCard": "get_agent_card",
}
#: Error codes (specification section 5.4).
ERRORS = {
    -32001: "task_not_found",
    -32002: "task_not_cancelable",
    -32003: "push_notification_not_supported",
    -32004: "unsupported_operation",
    -32005: "content_type_not_supported",
    -32006: "invalid_agent_response",
    -32007: "extended_card_not_configured",
    -32008: "extension_support_required",
    -32009: "version_not_supported",
}
#: HTTP+JSON (specification section 11.3): method, the path's end, operation. Any prefix may stand before, such as a tenant.
_ROUTES = [
    (method, re.compile(pattern), operation)
    for method, pattern, operation in (
        ("POST", r"/message:(?:send|stream)$", "invoke_agent"),
        ("GET", r"/tasks/(?P<id>[^/:]+)$", "get_task"),
        ("GET", r"/tasks$", "list_tasks"),
        ("POST", r"/tasks/(?P<id>[^/:]+):cancel$", "cancel_task"),
        ("GET", r"/tasks/(?P<id>[^/:]+):subscribe$", "subscribe_task"),
        ("POST", r"/tasks/(?P<id>[^/:]+):subscribe$", "subscribe_task"),
        ("POST", r"/tasks/(?P<id>[^/:]+)/pushNotificationConfigs$", "create_push_notification"),
        ("GET", r"/tasks/(?P<id>[^/:]+)/pushNotificationConfigs$", "list_push_notifications"),
        ("GET", r"/tasks/(?P<id>[^/:]+)/pushNotificationConfigs/[^/:]+$", "get_push_notification"),
        ("DELETE", r"/tasks/(?P<id>[^/:]+)/pushNotificationConfigs/[^/:]+$", "delete_push_notification"),
        ("GET", r"/extendedAgentCard$|/v1/card$", "get_agent_card"),
        ("GET", r"/\.well-known/agent(?:-card)?\.json$", "get_agent_card"),
    )
]
_MARKS = ("/message:", "/tasks", "gentCard", "/v1/card", "/.well-known/agent")
_RPC_PATH = re.compile(r"(?:^|[/_.-])(?:a2a|agents?|rpc|jsonrpc)(?:[/_.?-]|$)", re.IGNORECASE)


class A2aHttp:
    """A2A over HTTP. counters: `a2a_not_a2a`."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self._forms = (catalogue or default_catalogue()).key_forms

    def recognises(self, request: Message) -> bool:
        """Whether the body may be worth keeping, from the head alone. The JSON-RPC binding may stand at any path, "/" by
        default; `exchange` is the judge."""
        if _hinted(request) or _route(request):
            return True
        path = _path(request)
        return request.method == "POST" and _json(request) and (path in ("", "/") or bool(_RPC_PATH.search(path)))

    def exchange(self, request: Message, response: Message | None) -> list[TimedExchange] | None:
        """The exchanges in one HTTP exchange (one; more for a batch). None: it is not A2A."""
        out = self._rpc(request, response) if request.method == "POST" else None
        if out is None:
            out = self._http(request, response)
        for timed in out or ():
            if timed.exchange.error:
                timed.exchange.error.message = self._forms.redact(timed.exchange.error.message)
        if out is None:
            self.counters["a2a_not_a2a"] += 1
        return out

    def _rpc(self, request: Message, response: Message | None) -> list[TimedExchange] | None:
        asked = [each.rpc for each in carried(request) if each.rpc.kind == "request"]
        asked = [rpc for rpc in asked if rpc.method in METHODS and (_hinted(request) or is_a2a(rpc))]
        if not asked:
            return None
        answered = carried(response)
        out = []
        for rpc in asked:
            exchange = self._new(request, response, "a2a.jsonrpc", METHODS[rpc.method])
            _flaws(exchange, rpc, "request")
            a2a_parts.read_request(exchange.gen_ai, rpc.params, rpc.source.at("params"))
            mine = [each for each in answered if each.rpc.key == rpc.key or (not each.rpc.key and len(asked) == 1)]
            heard = a2a_parts.Heard(exchange)
            for each in mine:
                _flaws(exchange, each.rpc, "response")
                if each.rpc.kind == "error":
                    exchange.error = exchange.error or rpc_error(each.rpc.error, ERRORS)
                    heard.ended = True
                elif each.rpc.kind == "result":
                    heard.take(record(each.rpc.result), each.rpc.source.at("result"))
            end = mine[-1].ts if mine else 0
            out.append(self._finish(request, response, exchange, heard, end))
        return out

    def _http(self, request: Message, response: Message | None) -> list[TimedExchange] | None:
        found = _route(request)
        if found is None:
            return None
        operation, task = found
        card = "agent" in _path(request).rpartition("/.well-known/")[2]
        exchange = self._new(request, response, "a2a.card" if card else "a2a.http", operation)
        body = load(request.body)
        a2a_parts.read_request(exchange.gen_ai, record(body.value), Slice(body.text))
        if task:
            exchange.gen_ai.request_parameters["task_id"] = task
        heard = a2a_parts.Heard(exchange)
        results = _results(response)
        for value, source, _ in results:
            heard.take(value, source)
        end = results[-1][2] if results else 0
        certain = _hinted(request) or media_type(request) == "application/a2a+json"
        if not (certain or heard.shape or (operation == "invoke_agent" and exchange.gen_ai.input)):
            return None
        return [self._finish(request, response, exchange, heard, end)]

    def _new(self, request: Message, response: Message | None, api: str, operation: str) -> Exchange:
        exchange = carrier(request, response, self._forms)
        ai = exchange.gen_ai
        ai.provider, ai.api, ai.operation = PROVIDER, api, operation
        ai.stream = response is not None and is_stream(response)
        version = request.header("a2a-version")
        if version:
            ai.request_parameters["protocol_version"] = version[:64]
        extensions = request.header("a2a-extensions") or request.header("x-a2a-extensions")
        if extensions:
            ai.request_parameters["extensions"] = extensions[:1024]
        return exchange

    def _finish(
        self, request: Message, response: Message | None, exchange: Exchange, heard: a2a_parts.Heard, end: int
    ) -> TimedExchange:
        heard.close()
        evidence = exchange.evidence
        evidence.complete = response is not None and (response.complete or heard.ended)
        if response is None:
            return TimedExchange(exchange, request.start, max(request.end, request.start))
        evidence.truncated |= response.truncated
        evidence.gap |= response.gap
        if response.status >= 400 and exchange.error is None:
            exchange.error = failure(response.status, load(response.body), response.body, response.reason)
        elif exchange.gen_ai.stream and not heard.ended:
            evidence.complete = False
            evidence.notes.append("stream-without-end")
        elif not heard.shape and not heard.ended and response.body.strip() and exchange.error is None:
            evidence.notes.append("response-unreadable")
        return TimedExchange(exchange, request.start, max(end, response.end, request.start))


def _results(response: Message | None) -> list[tuple[dict[str, Any], Slice, int]]:
    """The JSON objects of a response of the HTTP+JSON binding, with their times."""
    if response is None or response.status >= 400:
        return []
    if not is_stream(response):
        body = load(response.body)
        return [(record(body.value), Slice(body.text), response.end)]
    out = []
    for event in parse_sse(response.body):
        body = load(event.data)
        out.append((record(body.value), Slice(body.text), arrival(response, event.end)))
    return out


def is_a2a(rpc: Rpc) -> bool:
    """Whether the request can only be A2A's. MCP has tasks/get and tasks/cancel too, but says `taskId` for `id`; names such
    as GetTask may be anybody's, so a request without the header A2A-Version must have A2A's parameters."""
    params = rpc.params
    message = record(params.get("message"))
    if METHODS.get(rpc.method) == "invoke_agent":
        return a2a_parts.has_parts(message) and isinstance(message.get("role"), str)
    if rpc.method.startswith("agent/getAuth") or "ushNotificationConfig" in rpc.method:
        return True
    return rpc.method.startswith("tasks/") and isinstance(params.get("id"), str) and "taskId" not in params


def _flaws(exchange: Exchange, rpc: Rpc, side: str) -> None:
    exchange.evidence.truncated |= rpc.truncated
    exchange.evidence.gap |= rpc.gap
    note = f"{side}-json-mended"
    if rpc.cut and note not in exchange.evidence.notes:
        exchange.evidence.notes.append(note)


def _hinted(request: Message) -> bool:
    return any(name in ("a2a-version", "a2a-extensions", "x-a2a-extensions") for name, _ in request.headers)


def _json(request: Message) -> bool:
    return media_type(request) in ("application/json", "application/a2a+json")


def _path(request: Message) -> str:
    target = request.target
    if "://" in target[:12]:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.partition("?")[0]


def _route(request: Message) -> tuple[str, str] | None:
    """(operation, task id or "") of a request of the HTTP+JSON binding, None when the path is none of its."""
    path = _path(request)
    if not any(mark in path for mark in _MARKS):
        return None
    for method, pattern, operation in _ROUTES:
        found = pattern.search(path) if method == request.method else None
        if found:
            return operation, (found.groupdict().get("id") or "")[:256]
    return None
