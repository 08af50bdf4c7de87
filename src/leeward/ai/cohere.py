"""Cohere: chat (v2 and v1), embed, rerank.

Source: docs.cohere.com API reference, "Chat", "Chat with Streaming", "Embed", "Rerank".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai.dialect import Dialect, Item, PartialCall, StreamEnd, chatty, finish, function_tool
from leeward.ai.jsontext import NOTHING, Json, Slice
from leeward.ai.openai_chat import has_calls, read_calls, read_message
from leeward.ai.values import chosen, content, count, record, records, sequence, text
from leeward.model.exchange import ChatMessage, GenAI

_PARAMETERS = (
    "temperature",
    "max_tokens",
    "p",
    "k",
    "seed",
    "stop_sequences",
    "safety_mode",
    "tool_choice",
    "thinking",
)
_ROLES = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "tool"}


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_model, ai.stream = text(fields.get("model")), fields.get("stream") is True
    ai.request_parameters.update(chosen(fields, _PARAMETERS))
    ai.tools += [function_tool(tool) for tool in records(fields.get("tools"))]
    if isinstance(fields.get("message"), str):  # v1
        if text(fields.get("preamble")):
            ai.input.append(ChatMessage("system", fields["preamble"]))
        for turn in records(fields.get("chat_history")):
            ai.input.append(ChatMessage(_ROLES.get(text(turn.get("role")), "user"), text(turn.get("message"))))
        ai.input.append(ChatMessage("user", fields["message"]))
        return True
    source = Slice(body.text).at("messages")
    for number, item in enumerate(records(fields.get("messages"))):
        ai.input += read_message(item, source.at(number) if has_calls(item) else NOTHING)
    for document in sequence(fields.get("documents")):
        data = document if isinstance(document, str) else record(record(document).get("data"))
        words = data if isinstance(data, str) else " ".join(text(v) for v in data.values())
        ai.input.append(ChatMessage("user", words, "document"))
    return bool(ai.request_model) and chatty(fields.get("messages"))


def _usage(usage: dict[str, Any], ai: GenAI) -> None:
    tokens = record(usage.get("tokens")) or record(usage.get("billed_units"))
    if tokens:
        ai.input_tokens, ai.output_tokens = count(tokens.get("input_tokens")), count(tokens.get("output_tokens"))
    ai.cached_input_tokens = count(usage.get("cached_tokens"))


def _response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.response_id = text(fields.get("id")) or text(fields.get("generation_id"))
    ai.finish_reasons = [fields["finish_reason"]] if text(fields.get("finish_reason")) else []
    _usage(record(fields.get("usage")) or record(fields.get("meta")), ai)
    message = record(fields.get("message"))
    if message:
        found = content(message.get("content"))
        calls = read_calls(message, Slice(body.text).at("message"))
        plan = text(message.get("tool_plan"))
        finish(
            ai,
            ChatMessage("assistant", found.text, parts=found.parts, tool_calls=calls, reasoning=found.reasoning + plan),
        )
        return message.get("role") == "assistant" and "finish_reason" in fields
    if isinstance(fields.get("text"), str):
        finish(ai, ChatMessage("assistant", fields["text"]))
        return bool(ai.response_id)
    return False


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    end = StreamEnd()
    message = ChatMessage("assistant", "")
    calls: dict[int, PartialCall] = {}
    for item in items:
        event = record(item.value)
        kind = text(event.get("type")) or text(event.get("event_type"))
        delta = record(record(event.get("delta")).get("message"))
        before = (len(message.content), len(message.reasoning), len(calls))
        if kind in ("content-start", "content-delta"):
            piece = record(delta.get("content"))
            message.content += text(piece.get("text"))
            message.reasoning += text(piece.get("thinking"))
        elif kind == "tool-plan-delta":
            message.reasoning += text(delta.get("tool_plan"))
        elif kind in ("tool-call-start", "tool-call-delta"):
            call = record(delta.get("tool_calls"))
            partial = calls.setdefault(count(event.get("index")) or 0, PartialCall())
            function = record(call.get("function"))
            partial.id, partial.name = partial.id or text(call.get("id")), partial.name or text(function.get("name"))
            partial.arguments.append(text(function.get("arguments")))
        elif kind == "text-generation":  # v1
            message.content += text(event.get("text"))
        elif kind in ("message-start", "stream-start"):
            ai.response_id = text(event.get("id")) or text(event.get("generation_id"))
            end.shape = True
        elif kind in ("message-end", "stream-end"):
            closing = record(event.get("delta")) or record(event.get("response"))
            reason = text(event.get("finish_reason")) or text(closing.get("finish_reason"))
            ai.finish_reasons = [reason] if reason else []
            _usage(record(closing.get("usage")) or record(closing.get("meta")), ai)
            end.shape = end.ended = True
        if end.first_output is None and before != (len(message.content), len(message.reasoning), len(calls)):
            end.first_output = item.end
    message.tool_calls = [call.whole() for _, call in sorted(calls.items())]
    if end.shape:
        finish(ai, message)
    return end


def _embed_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_model = text(fields.get("model"))
    ai.request_parameters.update(chosen(fields, ("input_type", "embedding_types", "truncate", "output_dimension")))
    ai.input += [ChatMessage("user", one) for one in sequence(fields.get("texts")) if isinstance(one, str)]
    for one in records(fields.get("inputs")):
        found = content(one.get("content"))
        ai.input.append(ChatMessage("user", found.text, parts=found.parts))
    return bool(ai.input)


def _embed_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    vectors = fields.get("embeddings")
    lists = vectors if isinstance(vectors, list) else next(iter(record(vectors).values()), None)
    ai.embeddings = len(lists) if isinstance(lists, list) else None
    ai.response_id = text(fields.get("id"))
    _usage(record(fields.get("meta")), ai)
    return ai.embeddings is not None


def _rerank_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_model = text(fields.get("model"))
    ai.request_parameters.update(chosen(fields, ("top_n", "max_tokens_per_doc")))
    ai.input.append(ChatMessage("user", text(fields.get("query"))))
    for document in sequence(fields.get("documents")):
        words = document if isinstance(document, str) else text(record(document).get("text"))
        ai.input.append(ChatMessage("user", words, "document"))
    return isinstance(fields.get("query"), str) and isinstance(fields.get("documents"), list)


def _rerank_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.response_id = text(fields.get("id"))
    return any("relevance_score" in result for result in records(fields.get("results")))


DIALECTS = {
    "cohere.chat": Dialect(_request, _response, _stream),
    "cohere.embed": Dialect(_embed_request, _embed_response),
    "cohere.rerank": Dialect(_rerank_request, _rerank_response),
}
