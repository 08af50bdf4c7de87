"""Amazon Bedrock: converse and invoke, with and without streams.

Source: Amazon Bedrock API reference, "Converse", "ConverseStream", "InvokeModel"; the bodies of invoke are the models'
own ("Inference request parameters and response fields for foundation models"). The model is in the path. Input tokens include
the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from leeward.ai import anthropic_messages, openai_chat
from leeward.ai.dialect import Dialect, Item, PartialCall, StreamEnd, chatty, finish
from leeward.ai.jsontext import Json, Slice, dumps
from leeward.ai.values import chosen, count, embedded, record, records, text
from leeward.model.exchange import ChatMessage, GenAI, Tool, ToolCall
from leeward.model.message import Message

_INFERENCE = (
    "maxTokens",
    "temperature",
    "topP",
    "topK",
    "stopSequences",
    "max_new_tokens",
    "maxTokenCount",
    "max_gen_len",
)
_DATA = ("image", "document", "video", "audio")


def _target(request: Message, ai: GenAI) -> None:
    """`/model/ID/METHOD`; the id may be an ARN, percent-encoded."""
    segments = request.target.partition("?")[0].rsplit("/", 2)
    ai.request_model = unquote(segments[1]) if len(segments) == 3 else ""
    ai.stream = segments[-1].endswith("stream")


def _headers(response: Message, ai: GenAI) -> None:
    """Counts that invoke gives in headers, where the body has none."""
    given = {
        n: count(int(v)) for n, v in response.headers if n.startswith("x-amzn-bedrock-") and v.isascii() and v.isdigit()
    }
    ai.input_tokens = ai.input_tokens if ai.input_tokens is not None else given.get("x-amzn-bedrock-input-token-count")
    ai.output_tokens = (
        ai.output_tokens if ai.output_tokens is not None else given.get("x-amzn-bedrock-output-token-count")
    )


def _usage(usage: dict[str, Any], ai: GenAI) -> None:
    plain = count(usage.get("inputTokens"))
    cached = count(usage.get("cacheReadInputTokens", usage.get("cacheReadInputTokenCount")))
    written = count(usage.get("cacheWriteInputTokens", usage.get("cacheWriteInputTokenCount")))
    if plain is not None:
        ai.input_tokens = plain + (cached or 0) + (written or 0)
        ai.cached_input_tokens = cached
    ai.output_tokens = count(usage.get("outputTokens")) if usage else ai.output_tokens


_LIMITS = ("temperature", "top_p", "max_tokens", "max_tokens_to_sample", "max_gen_len")


def _messages(item: dict[str, Any], source: Slice) -> list[ChatMessage]:
    """A message of converse; results of tools are messages of their own."""
    message = ChatMessage(text(item.get("role")), "")
    results = []
    for number, block in enumerate(records(item.get("content"))):
        call, result = record(block.get("toolUse")), record(block.get("toolResult"))
        if isinstance(block.get("text"), str):
            message.content += block["text"]
        elif call:
            arguments = source.at("content", number, "toolUse", "input").text() or dumps(call.get("input", {}))
            message.tool_calls.append(ToolCall(text(call.get("toolUseId")), text(call.get("name")), arguments))
        elif result:
            results.append(_result(result))
        elif reasoning := record(block.get("reasoningContent")):
            message.reasoning += text(record(reasoning.get("reasoningText")).get("text"))
        else:
            message.parts += _data(block)
    empty = not (message.content or message.parts or message.tool_calls or message.reasoning)
    return results if results and empty else [message, *results]


def _result(result: dict[str, Any]) -> ChatMessage:
    words = [text(b.get("text")) or (dumps(b["json"]) if "json" in b else "") for b in records(result.get("content"))]
    parts = [part for block in records(result.get("content")) for part in _data(block)]
    if result.get("status") == "error":
        parts.append({"type": "tool_result", "is_error": True})
    return ChatMessage("tool", "".join(words), parts=parts, tool_call_id=text(result.get("toolUseId")))


def _data(block: dict[str, Any]) -> list[dict[str, Any]]:
    """Images, documents, video, audio: as references."""
    found = []
    for kind in _DATA:
        given = record(block.get(kind))
        if given:
            source = record(given.get("source"))
            media = f"{kind}/{text(given.get('format'))}" if kind != "document" else text(given.get("format"))
            part = embedded(kind, text(source.get("bytes")), media)
            if uri := text(record(source.get("s3Location")).get("uri")):
                part = {"type": kind, "url": uri}
            found.append({**part, **({"filename": given["name"]} if text(given.get("name")) else {})})
    return found


def _converse_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    if system := "".join(text(block.get("text")) for block in records(fields.get("system"))):
        ai.input.append(ChatMessage("system", system))
    source = Slice(body.text)
    for number, item in enumerate(records(fields.get("messages"))):
        ai.input += _messages(item, source.at("messages", number))
    ai.request_parameters.update(chosen(record(fields.get("inferenceConfig")), _INFERENCE))
    for tool in records(record(fields.get("toolConfig")).get("tools")):
        made = record(tool.get("toolSpec"))
        if made:
            schema = record(made.get("inputSchema")).get("json")
            ai.tools.append(Tool(text(made.get("name")), text(made.get("description")), "function", schema))
    guard = text(record(fields.get("guardrailConfig")).get("guardrailIdentifier"))
    if guard:
        ai.request_parameters["guardrail"] = guard
    return chatty(fields.get("messages"))


def _converse_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    message = record(record(fields.get("output")).get("message"))
    for one in _messages({"role": "assistant", **message}, Slice(body.text).at("output", "message")):
        finish(ai, one)
    ai.finish_reasons = [fields["stopReason"]] if text(fields.get("stopReason")) else []
    _usage(record(fields.get("usage")), ai)
    return bool(message) and "stopReason" in fields


def _converse_stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """messageStart, contentBlock*, messageStop, metadata: named by the frame, or (Nova through invoke) by a key."""
    end = StreamEnd()
    message = ChatMessage("assistant", "")
    calls: dict[int, PartialCall] = {}
    for item in items:
        event = record(item.value)
        name = item.event
        if name in ("", "chunk"):
            name = next((key for key in event if key.startswith(("message", "contentBlock", "metadata"))), "")
            event = record(event.get(name))
        index = count(event.get("contentBlockIndex")) or 0
        end.shape = end.shape or name in ("messageStart", "contentBlockDelta", "messageStop")
        if name == "contentBlockStart" and (call := record(record(event.get("start")).get("toolUse"))):
            calls[index] = PartialCall(text(call.get("toolUseId")), text(call.get("name")))
        elif name == "contentBlockDelta":
            delta = record(event.get("delta"))
            message.content += text(delta.get("text"))
            message.reasoning += text(record(delta.get("reasoningContent")).get("text"))
            if "toolUse" in delta:
                part = calls.setdefault(index, PartialCall())
                part.arguments.append(text(record(delta["toolUse"]).get("input")))
            end.first_output = item.end if end.first_output is None else end.first_output
        elif name == "messageStop":
            ai.finish_reasons = [text(event.get("stopReason"))]
            end.ended = True
        elif name == "metadata":
            _usage(record(event.get("usage")), ai)
    message.tool_calls = [call.whole() for _, call in sorted(calls.items())]
    if end.shape:
        finish(ai, message)
    return end


def _invoke_request(body: Json, ai: GenAI) -> bool:
    """The model's own request, told by its fields."""
    model, stream = ai.request_model, ai.stream
    fields = record(body.value)
    blocks = [b for m in records(fields.get("messages")) for b in records(m.get("content"))]
    if "anthropic_version" in fields:
        shape = anthropic_messages.read_request(body, ai) or chatty(fields.get("messages"))
    elif blocks and all("type" not in block for block in blocks):
        shape = _converse_request(body, ai)
    elif "messages" in fields:
        shape = openai_chat.CHAT.request(body, ai) or chatty(fields["messages"])
    else:
        words = text(fields.get("inputText")) or text(fields.get("prompt")) or text(fields.get("message"))
        texts = [words] if words else [t for t in fields.get("texts") or [] if isinstance(t, str)]
        ai.input += [ChatMessage("user", one) for one in texts]
        ai.request_parameters.update(chosen(fields, (*_INFERENCE, *_LIMITS)))
        ai.request_parameters.update(chosen(record(fields.get("textGenerationConfig")), _INFERENCE))
        shape = bool(texts)
    ai.request_model, ai.stream = model, stream
    return shape


def _invoke_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    if fields.get("type") == "message":
        return anthropic_messages.MESSAGES.response(body, ai)
    if "output" in fields and "stopReason" in fields:
        return _converse_response(body, ai)
    if "choices" in fields:
        return openai_chat.CHAT.response(body, ai)
    if "embedding" in fields or "embeddings" in fields:
        ai.embeddings = len(fields["embeddings"]) if isinstance(fields.get("embeddings"), list) else 1
        ai.input_tokens = count(fields.get("inputTextTokenCount"))
        return True
    return _plain_stream([Item("", body.value, Slice(body.text), 0)], ai).shape


def _plain_stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """Models that answer with text and little else: Titan, Llama, Mistral, Cohere. Field names of each, in that order."""
    end = StreamEnd()
    words: list[str] = []
    for item in items:
        fields = record(item.value)
        results = records(fields.get("results")) or records(fields.get("outputs")) or records(fields.get("generations"))
        parts = results or [fields]
        for part in parts:
            piece = next(
                (text(part[n]) for n in ("outputText", "generation", "text") if isinstance(part.get(n), str)), None
            )
            end.shape = end.shape or piece is not None
            words.append(piece or "")
            reason = (
                text(part.get("completionReason")) or text(part.get("stop_reason")) or text(part.get("finish_reason"))
            )
            if reason:
                ai.finish_reasons, end.ended = [reason], True
        if end.first_output is None and any(words):
            end.first_output = item.end
        metrics = record(fields.get("amazon-bedrock-invocationMetrics"))
        tokens = (
            count(fields.get("inputTextTokenCount", fields.get("prompt_token_count", metrics.get("inputTokenCount")))),
            count(fields.get("generation_token_count", metrics.get("outputTokenCount"))),
        )
        ai.input_tokens = tokens[0] if tokens[0] is not None else ai.input_tokens
        ai.output_tokens = tokens[1] if tokens[1] is not None else ai.output_tokens
        end.ended = end.ended or bool(metrics)
    if end.shape:
        finish(ai, ChatMessage("assistant", "".join(words)))
    return end


def _invoke_stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    found = list(items)
    first = next((record(item.value) for item in found if item.event != "error"), {})
    if text(first.get("type")) == "message_start":
        return anthropic_messages.MESSAGES.stream(found, ai)  # type: ignore[misc]
    if any(key in first for key in ("messageStart", "contentBlockDelta")):
        return _converse_stream(found, ai)
    if "choices" in first:
        return openai_chat.CHAT.stream(found, ai)  # type: ignore[misc]
    return _plain_stream(found, ai)


DIALECTS = {
    "bedrock.converse": Dialect(
        _converse_request, _converse_response, _converse_stream, "eventstream", _target, _headers
    ),
    "bedrock.invoke": Dialect(_invoke_request, _invoke_response, _invoke_stream, "eventstream", _target, _headers),
}
