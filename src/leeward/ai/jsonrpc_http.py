"""JSON-RPC over HTTP, and what MCP and A2A share of it: the messages of a body with their times, and what the exchange of
either takes from the HTTP messages.

Never raises on any bytes. A response is one JSON text or server-sent events, each with one text.
"""

from __future__ import annotations

import bisect
import re

import msgspec

from leeward.ai.jsonrpc import Rpc, read
from leeward.ai.keys import KeyForms, find_key, redact_url
from leeward.model.exchange import Evidence, Exchange, Http
from leeward.model.message import Message
from leeward.wire.sse import SseEvent, parse_sse

_EVENT = re.compile(rb"(?:\xef\xbb\xbf)?(?:data|event|id|retry)?:")


class Carried(msgspec.Struct):
    """A message and when its last byte was there (Unix ns)."""

    rpc: Rpc
    ts: int


def media_type(message: Message) -> str:
    return message.header("content-type").partition(";")[0].strip().lower()


def is_stream(response: Message) -> bool:
    """Whether the body is server-sent events: by its type, or without a type by its first bytes."""
    kind = media_type(response)
    return kind == "text/event-stream" or (not kind and _EVENT.match(response.body) is not None)


def carried(message: Message | None) -> list[Carried]:
    """The JSON-RPC messages of a body, in order."""
    if message is None or not message.body:
        return []
    if is_stream(message):
        return [found for event in parse_sse(message.body) for found in of_event(event, message)]
    found = [Carried(rpc, message.end or message.start) for rpc in read(message.body)]
    for each in found:
        _flaws(each.rpc, message)
    return found


def of_event(event: SseEvent, message: Message) -> list[Carried]:
    """The messages of one event."""
    found = [Carried(rpc, arrival(message, event.end)) for rpc in read(event.data.encode("utf-8", "replace"))]
    for each in found:
        each.rpc.cut |= not event.complete
        _flaws(each.rpc, message)
    return found


def _flaws(rpc: Rpc, message: Message) -> None:
    rpc.truncated = message.truncated and rpc.cut
    rpc.gap = message.gap


def arrival(message: Message, offset: int) -> int:
    """When the body's first `offset` bytes were there."""
    at = bisect.bisect_left(message.marks, (offset,))
    return message.marks[at][1] if at < len(message.marks) else message.end or message.start


def authority(request: Message) -> str:
    return request.header("host") or request.header(":authority")


def carrier(request: Message, response: Message | None, forms: KeyForms) -> Exchange:
    """An exchange with what HTTP says: method, URL without credentials, status, key, what was odd."""
    target = request.target if "://" in request.target[:12] else authority(request) + request.target
    messages = [request] if response is None else [request, response]
    notes = list(dict.fromkeys(note for message in messages for note in message.anomalies))
    if not request.complete:
        notes.append("request-incomplete")
    return Exchange(
        http=Http(
            method=request.method,
            url=redact_url(target, forms),
            status=response.status if response else None,
            version=request.version,
            user_agent=request.header("user-agent"),
        ),
        key=find_key(request.headers, request.target, forms),
        evidence=Evidence(truncated=request.truncated, gap=request.gap, notes=notes),
    )
