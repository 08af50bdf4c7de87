"""Builders of HTTP messages for the decoder's tests."""

from __future__ import annotations

import json
from typing import Any

from leeward.ai.catalogue import Match, default_catalogue
from leeward.ai.decode import decode
from leeward.model.exchange import Exchange
from leeward.model.message import Message

START = 1_700_000_000_000_000_000
JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream; charset=utf-8")]
NDJSON = [("content-type", "application/x-ndjson")]


def raw(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False).encode()


def request(host: str, target: str, body: Any = b"", method: str = "POST", headers: Any = (), **more: Any) -> Message:
    data = raw(body)
    given = [("host", host), ("user-agent", "test/1.0"), *JSON, *headers]
    fields = {"index": 0, "version": "1.1", "complete": True, "start": START, "end": START, "body_size": len(data)}
    return Message(**{**fields, "method": method, "target": target, "headers": given, "body": data, **more})


def response(body: Any = b"", status: int = 200, headers: Any = JSON, **more: Any) -> Message:
    data = raw(body)
    fields = {"index": 0, "version": "1.1", "complete": True, "start": START, "end": START, "body_size": len(data)}
    fields["marks"] = [(len(data), START + 1_000_000)]
    return Message(**{**fields, "status": status, "headers": list(headers), "body": data, **more})


def sse(*events: Any, done: bool = False) -> bytes:
    """Server-sent events; a dict with "type" is named by it when it is (name, data)."""
    out = []
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        head = f"event: {name}\n" if name else ""
        out.append(f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n")
    return ("".join(out) + ("data: [DONE]\n\n" if done else "")).encode()


def named(*events: dict[str, Any]) -> bytes:
    """Server-sent events that carry their type as the event's name, as Anthropic and Responses do."""
    return sse(*((event["type"], event) for event in events))


def lines(*objects: Any) -> bytes:
    return b"".join(raw(item) + b"\n" for item in objects)


def match(message: Message, port: int = 443) -> Match | None:
    return default_catalogue().match(message.header("host"), port, message.method, message.target, message.headers)


def exchange(asked: Message, answered: Message | None = None, port: int = 443) -> Exchange | None:
    found = match(asked, port)
    return decode(asked, answered, found) if found else None


def must(asked: Message, answered: Message | None = None, port: int = 443) -> Exchange:
    found = exchange(asked, answered, port)
    assert found is not None
    return found
