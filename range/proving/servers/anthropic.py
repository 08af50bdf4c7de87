"""Anthropic's Messages API: streamed and not, tools, thinking, token counting, errors before and in the stream."""

from __future__ import annotations

import base64
from typing import Any

from proving.servers import words
from proving.servers.openai_common import content_text
from proving.servers.reply import Ask, Json, Meaning, Reply, cut_if_asked, dumps, json_reply, sse_reply


def handle(ask: Ask) -> Reply:
    """Any request to api.anthropic.com."""
    reply = _refused(ask) or _operation(ask)
    reply.headers += _headers(ask)
    return reply


def _operation(ask: Ask) -> Reply:
    match ask.method, ask.path:
        case "POST", "/v1/messages":
            return _message(ask)
        case "POST", "/v1/messages/count_tokens":
            meaning = Meaning("count_tokens", ask.data["model"], usage={"input_tokens": _spent(ask.data)})
            return json_reply(dict(meaning.usage), meaning)
        case "GET", "/v1/models":
            one = {
                "type": "model",
                "id": "claude-sonnet-5",
                "display_name": "Claude Sonnet 5",
                "created_at": "2025-09-29T00:00:00Z",
            }
            page = {"data": [one], "has_more": False, "first_id": one["id"], "last_id": one["id"]}
            return json_reply(page, Meaning("models"))
    return _failure(ask, 404, "not_found_error", "Not Found")


def _failure(ask: Ask, status: int, kind: str, message: str) -> Reply:
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": _request_id(ask)}
    return json_reply(error, Meaning(error=kind), status=status)


def _request_id(ask: Ask) -> str:
    return "req_011C" + ask.hash("request")[:20]


def _headers(ask: Ask) -> list[tuple[str, str]]:
    return [
        ("request-id", _request_id(ask)),
        ("anthropic-organization-id", "00000000-0000-4000-8000-0000000a11ce"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("server", "cloudflare"),
        ("cf-ray", ask.hash("ray")[:16] + "-FRA"),
        ("via", "1.1 google"),
    ]


def _refused(ask: Ask) -> Reply | None:
    key = ask.headers.get("x-api-key") or ask.bearer()
    if not key.startswith("sk-ant-") or "invalid" in key:
        return _failure(ask, 401, "authentication_error", "invalid x-api-key")
    if "anthropic-version" not in ask.headers:
        return _failure(ask, 400, "invalid_request_error", "anthropic-version: header is required")
    if ask.method != "POST":
        return None
    if not isinstance(ask.data, dict):
        return _failure(ask, 400, "invalid_request_error", "The request body is not valid JSON.")
    for name in ("model", "messages") if ask.path.endswith("count_tokens") else ("model", "max_tokens", "messages"):
        if not ask.data.get(name):
            return _failure(ask, 400, "invalid_request_error", f"{name}: Field required")
    match ask.data["model"]:
        case "range-429":
            return _failure(ask, 429, "rate_limit_error", "This request would exceed your organization's rate limit.")
        case "range-404":
            return _failure(ask, 404, "not_found_error", "model: range-404")
        case "range-529":
            return _failure(ask, 529, "overloaded_error", "Overloaded")
    return None


def _spent(body: dict[str, Any]) -> int:
    system = content_text(body.get("system"))
    return words.count(system) + sum(words.count(_text_of(m)) + 4 for m in body["messages"])


def _text_of(message: dict[str, Any]) -> str:
    """Texts and tool results of a message."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = []
    for block in content or []:
        texts.append(
            content_text(block.get("content")) if block.get("type") == "tool_result" else block.get("text", "")
        )
    return "\n".join(texts)


def _message(ask: Ask) -> Reply:
    body = ask.data
    meaning = Meaning("messages", body["model"], body["model"], "msg_01" + ask.hash()[:22])
    blocks, finish = _blocks(ask, meaning)
    meaning.finish = [finish]
    made = sum(words.count(str(b.get("text") or b.get("thinking") or dumps(b.get("input")))) for b in blocks) + 3
    meaning.usage = {"input_tokens": _spent(body), "output_tokens": made}
    meaning.stream = bool(body.get("stream"))
    frame = {"id": meaning.response_id, "type": "message", "role": "assistant", "model": body["model"]}
    usage = {
        "input_tokens": meaning.usage["input_tokens"],
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    }
    if not meaning.stream:
        end = {"content": blocks, "stop_reason": finish, "stop_sequence": None}
        return json_reply({**frame, **end, "usage": {**usage, "output_tokens": made}}, meaning)
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    events: list[tuple[str, Json]] = [("message_start", {"type": "message_start", "message": {**frame, **empty}})]
    for index, block in enumerate(blocks):
        events += _block_events(index, block)
        if index == 0:
            events.insert(2, ("ping", {"type": "ping"}))
    if body["model"] == "range-overloaded":
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        events = [*events[: len(events) // 2], ("error", error)]
        meaning.error = "overloaded_error"
    else:
        delta = {"stop_reason": finish, "stop_sequence": None}
        events.append(("message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": made}}))
        events.append(("message_stop", {"type": "message_stop"}))
    return cut_if_asked(sse_reply(events, meaning), body["model"])


def _blocks(ask: Ask, meaning: Meaning) -> tuple[list[dict[str, Json]], str]:
    body = ask.data
    last = body["messages"][-1]
    question = _question(body["messages"])
    blocks: list[dict[str, Json]] = []
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        meaning.thinking = words.answer(question, "thinking", (2, 4))
        signature = base64.b64encode(bytes.fromhex(ask.hash("signature"))).decode()
        blocks.append({"type": "thinking", "thinking": meaning.thinking, "signature": signature})
    has_result = isinstance(last.get("content"), list) and any(b.get("type") == "tool_result" for b in last["content"])
    tools = [t for t in body.get("tools") or [] if "input_schema" in t]
    if tools and not has_result and (body.get("tool_choice") or {}).get("type") != "none":
        meaning.text = words.answer(question, "before tools", (1, 2))
        blocks.append({"type": "text", "text": meaning.text})
        for index, tool in enumerate(tools[:2]):
            ident = "toolu_01" + words.rng("toolu", question, str(index)).randbytes(10).hex()
            value = words.arguments(tool["input_schema"], question, str(index))
            blocks.append({"type": "tool_use", "id": ident, "name": tool["name"], "input": value})
            meaning.tool_calls.append({"id": ident, "name": tool["name"], "arguments": value})
        meaning.texts = [meaning.text]
        return blocks, "tool_use"
    pieces = words.tokens(words.answer(question, body["model"]))
    limit = int(body["max_tokens"])
    meaning.text = "".join(pieces[:limit])
    meaning.texts = [meaning.text]
    blocks.append({"type": "text", "text": meaning.text})
    return blocks, "max_tokens" if limit < len(pieces) else "end_turn"


def _question(messages: list[dict[str, Any]]) -> str:
    """The last user text; when the last message is only tool results, the text before them and the results."""
    texts = [_text_of(m) for m in messages if m.get("role") == "user"]
    return "\n".join(t for t in texts[-2:] if t) if len(messages) > 1 else texts[-1] if texts else ""


def _block_events(index: int, block: dict[str, Json]) -> list[tuple[str, Json]]:
    """content_block_start, its deltas, content_block_stop."""
    deltas: list[Json] = []
    match block["type"]:
        case "text":
            start: Json = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": t} for t in words.tokens(block["text"])]
        case "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": t} for t in words.tokens(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case _:
            start = {**block, "input": {}}
            text = dumps(block["input"]).decode()
            parts = ["", *words.fragments(text, block["id"])]
            deltas = [{"type": "input_json_delta", "partial_json": p} for p in parts]
    head = ("content_block_start", {"type": "content_block_start", "index": index, "content_block": start})
    middle = [("content_block_delta", {"type": "content_block_delta", "index": index, "delta": d}) for d in deltas]
    return [head, *middle, ("content_block_stop", {"type": "content_block_stop", "index": index})]
