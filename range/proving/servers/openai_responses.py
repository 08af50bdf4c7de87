"""`POST /v1/responses` with its named stream events, and function calls."""

from __future__ import annotations

from typing import Any

from proving.servers import words
from proving.servers.openai_common import Flavour, content_text, failure
from proving.servers.reply import Ask, Json, Meaning, Reply, cut_if_asked, dumps, json_reply, sse_reply


def respond(flavour: Flavour, ask: Ask) -> Reply:
    """The response to an input (text or items)."""
    body = ask.data
    given = body.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given or not all(isinstance(i, dict) for i in given):
        text = "Missing required parameter: 'input'."
        return failure(400, text, "invalid_request_error", "missing_required_parameter", "input")
    meaning = decide(flavour, ask, given)
    items = _items(ask, meaning)
    meaning.stream = bool(body.get("stream"))
    if not meaning.stream:
        return json_reply(_document(ask, meaning, items), meaning, indent=2)
    return cut_if_asked(sse_reply(_events(ask, meaning, items), meaning), meaning.model)


def decide(flavour: Flavour, ask: Ask, given: list[dict[str, Any]]) -> Meaning:
    """What the answer to these items is."""
    body = ask.data
    meaning = Meaning("responses", body["model"], flavour.model(body["model"]), "resp_" + ask.hash()[:48])
    question = _question(given)
    instructions = body.get("instructions")
    spent = words.count(question) + (words.count(instructions) if isinstance(instructions, str) else 0) + 8
    tools = [t for t in body.get("tools") or [] if isinstance(t, dict) and t.get("type") == "function"]
    if tools and body.get("tool_choice") != "none" and given[-1].get("type") != "function_call_output":
        for index, tool in enumerate(tools[: 1 if body.get("parallel_tool_calls") is False else 2]):
            value = words.arguments(tool.get("parameters"), question, str(index))
            ident = "call_" + words.rng("call", question, str(index)).randbytes(12).hex()
            meaning.tool_calls.append({"id": ident, "name": tool["name"], "arguments": dumps(value).decode()})
        made = sum(words.count(c["arguments"]) + 8 for c in meaning.tool_calls)
        meaning.finish = ["completed"]
    else:
        pieces = words.tokens(words.answer(question, meaning.model))
        limit = body.get("max_output_tokens")
        short = isinstance(limit, int) and 0 < limit < len(pieces)
        meaning.text = "".join(pieces[:limit] if short else pieces)
        meaning.texts = [meaning.text]
        meaning.finish = ["max_output_tokens" if short else "completed"]
        made = len(words.tokens(meaning.text))
    meaning.usage = {"input_tokens": spent, "output_tokens": made, "total_tokens": spent + made}
    return meaning


def _question(given: list[dict[str, Any]]) -> str:
    last = max((i for i, m in enumerate(given) if m.get("role") == "user"), default=0)
    texts = [content_text(m.get("content")) for m in given[last:] if m.get("role") == "user"]
    texts += [str(m.get("output")) for m in given[last:] if m.get("type") == "function_call_output"]
    return "\n".join(texts)


def _items(ask: Ask, meaning: Meaning) -> list[dict[str, Json]]:
    digest = ask.hash("item")
    if meaning.tool_calls:
        return [
            {
                "id": f"fc_{digest[:40]}{number:02x}",
                "type": "function_call",
                "status": "completed",
                "arguments": call["arguments"],
                "call_id": call["id"],
                "name": call["name"],
            }
            for number, call in enumerate(meaning.tool_calls)
        ]
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": meaning.text}
    status = "completed" if meaning.finish == ["completed"] else "incomplete"
    return [{"id": "msg_" + digest[:48], "type": "message", "status": status, "content": [part], "role": "assistant"}]


def _document(ask: Ask, meaning: Meaning, items: list[dict[str, Json]], status: str | None = None) -> dict[str, Json]:
    body = ask.data
    short = meaning.finish != ["completed"]
    status = status or ("incomplete" if short else "completed")
    over = status != "in_progress"
    usage = {
        **meaning.usage,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return {
        "id": meaning.response_id,
        "object": "response",
        "created_at": int(ask.now),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if short and over else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": meaning.response_model,
        "output": items if over else [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if over else None,
        "user": None,
        "metadata": {},
    }


def _events(ask: Ask, meaning: Meaning, items: list[dict[str, Json]]) -> list[tuple[str, Json]]:
    out: list[tuple[str, Json]] = []

    def add(kind: str, /, **fields: Json) -> None:
        out.append((kind, {"type": kind, "sequence_number": len(out), **fields}))

    begun = _document(ask, meaning, items, "in_progress")
    add("response.created", response=begun)
    add("response.in_progress", response=begun)
    for index, item in enumerate(items):
        if item["type"] == "function_call":
            add(
                "response.output_item.added",
                output_index=index,
                item={**item, "status": "in_progress", "arguments": ""},
            )
            where = {"item_id": item["id"], "output_index": index}
            for part in words.fragments(item["arguments"], item["call_id"]):
                add("response.function_call_arguments.delta", **where, delta=part, obfuscation="x" * (len(part) % 5))
            add("response.function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"])
        else:
            add("response.output_item.added", output_index=index, item={**item, "status": "in_progress", "content": []})
            where = {"item_id": item["id"], "output_index": index, "content_index": 0}
            empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
            add("response.content_part.added", **where, part=empty)
            for part in words.tokens(meaning.text):
                add("response.output_text.delta", **where, delta=part, logprobs=[], obfuscation="x" * (len(part) % 5))
            add("response.output_text.done", **where, text=meaning.text, logprobs=[])
            add("response.content_part.done", **where, part={**empty, "text": meaning.text})
        add("response.output_item.done", output_index=index, item=item)
    end = "response.completed" if meaning.finish == ["completed"] else "response.incomplete"
    add(end, response=_document(ask, meaning, items))
    return out
