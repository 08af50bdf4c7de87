"""Google's Gemini API and Vertex AI, over REST and (with the same names) over gRPC.

Source: ai.google.dev "Generate content", cloud.google.com Vertex AI "GenerateContent" and "Predict". Names are read in camel
case and in the snake case that the servers accept as well. Output tokens include thinking, as OpenTelemetry defines them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai import anthropic_messages
from leeward.ai.dialect import Dialect, Item, StreamEnd, finish
from leeward.ai.jsontext import Json, Slice, dumps
from leeward.ai.values import chosen, count, embedded, linked, record, records, sequence, text
from leeward.model.exchange import ChatMessage, GenAI, Tool, ToolCall
from leeward.model.message import Message

_ROLES = {"model": "assistant", "function": "tool", "": "user"}
_PARAMETERS = (
    "temperature", "topP", "topK", "maxOutputTokens", "candidateCount", "stopSequences", "seed", "responseMimeType",
    "responseModalities", "presencePenalty", "frequencyPenalty", "thinkingConfig",
)  # fmt: skip
_EMBEDDINGS = ("taskType", "outputDimensionality", "title")


def get(fields: dict[str, Any], name: str) -> Any:
    """`camelCase` or `snake_case`."""
    value = fields.get(name)
    return fields.get("".join(f"_{c.lower()}" if c.isupper() else c for c in name)) if value is None else value


def _target(request: Message, ai: GenAI) -> None:
    """`.../models/NAME:METHOD`, `.../publishers/PUBLISHER/models/NAME:METHOD`, `.../tunedModels/NAME:METHOD`."""
    last = request.target.partition("?")[0].rsplit("/", 1)[-1]
    name, _, method = last.rpartition(":")
    ai.request_model = "" if name.startswith("v1") else name
    ai.stream = method.lower().startswith("stream") or last == "StreamGenerateContent"


def _model(name: str, ai: GenAI) -> None:
    ai.request_model = ai.request_model or name.rpartition("/")[2]


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    source = Slice(body.text)
    if "contents" not in fields and isinstance(fields.get("request"), dict):  # Code Assist wraps it
        _model(text(fields.get("model")), ai)
        fields, source = fields["request"], source.at("request")
    _model(text(fields.get("model")), ai)
    instruction = get(fields, "systemInstruction")
    if instruction:
        parts = instruction if isinstance(instruction, dict) else {"parts": [{"text": text(instruction)}]}
        ai.input += read_content({**parts, "role": "system"}, Slice(b""))
    contents = fields.get("contents")
    items = [contents] if isinstance(contents, dict) else sequence(contents)
    for number, item in enumerate(items):
        ai.input += read_content(record(item), source.at("contents", number))
    for tool in records(fields.get("tools")):
        ai.tools += read_tools(tool)
    ai.request_parameters.update(chosen(record(get(fields, "generationConfig")), _PARAMETERS))
    if text(get(fields, "cachedContent")):
        ai.request_parameters["cachedContent"] = get(fields, "cachedContent")
    return bool(items) and all(isinstance(record(item).get("parts"), list) for item in items)


def read_tools(tool: dict[str, Any]) -> list[Tool]:
    """Function declarations, or a tool that Google runs ({"googleSearch": {}})."""
    declared = records(get(tool, "functionDeclarations"))
    if declared:
        return [
            Tool(
                text(d.get("name")),
                text(d.get("description")),
                "function",
                d.get("parameters") or get(d, "parametersJsonSchema"),
            )
            for d in declared
        ]
    return [Tool(name, type=name, parameters=value or None) for name, value in tool.items()]


def read_content(item: dict[str, Any], source: Slice) -> list[ChatMessage]:
    """One content: a message, and one for each function's response in it."""
    role = text(item.get("role"))
    message = ChatMessage(_ROLES.get(role, role), "")
    results = []
    for number, part in enumerate(records(item.get("parts"))):
        answer = record(get(part, "functionResponse"))
        if answer:
            value = answer.get("response")
            words = text(record(value).get("result")) or text(record(value).get("output"))
            results.append(
                ChatMessage(
                    "tool", words or dumps(value), text(answer.get("name")), tool_call_id=text(answer.get("id"))
                )
            )
        else:
            read_part(part, message, source.at("parts", number))
    empty = not (message.content or message.parts or message.tool_calls or message.reasoning)
    return results if results and empty else [message, *results]


def read_part(part: dict[str, Any], message: ChatMessage, source: Slice) -> None:
    call, data, file = (
        record(get(part, "functionCall")),
        record(get(part, "inlineData")),
        record(get(part, "fileData")),
    )
    if call:
        arguments = source.at("functionCall", "args").text() or dumps(call.get("args", {}))
        message.tool_calls.append(ToolCall(text(call.get("id")), text(call.get("name")), arguments))
    elif data:
        kind = text(get(data, "mimeType"))
        message.parts.append(embedded(kind.partition("/")[0] or "file", text(data.get("data")), kind))
    elif file:
        message.parts.append(linked("file", text(get(file, "fileUri"))))
    elif isinstance(part.get("text"), str):
        if part.get("thought") is True:
            message.reasoning += part["text"]
        else:
            message.content += part["text"]
    elif code := record(get(part, "executableCode")):
        message.parts.append(
            {"type": "executable_code", "language": text(code.get("language")), "code": text(code.get("code"))}
        )
    elif ran := record(get(part, "codeExecutionResult")):
        message.parts.append(
            {"type": "code_execution_result", "outcome": text(ran.get("outcome")), "output": text(ran.get("output"))}
        )


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """The chunks of an answer; a whole one is a stream of one."""
    end = StreamEnd()
    found: dict[int, ChatMessage] = {}
    reasons: dict[int, str] = {}
    for item in items:
        chunk, source = record(item.value), item.slice
        if "response" in chunk and "candidates" not in chunk:
            chunk, source = record(chunk["response"]), source.at("response")
        end.shape = end.shape or "candidates" in chunk or "usageMetadata" in chunk or "promptFeedback" in chunk
        read_head(chunk, ai)
        blocked = text(record(chunk.get("promptFeedback")).get("blockReason"))
        if blocked:
            reasons[-1] = blocked
        for number, candidate in enumerate(records(chunk.get("candidates"))):
            index = count(candidate.get("index")) or number
            message = found.setdefault(index, ChatMessage("assistant", ""))
            before = (len(message.content), len(message.reasoning), len(message.tool_calls), len(message.parts))
            where = source.at("candidates", number, "content")
            for place, part in enumerate(records(record(candidate.get("content")).get("parts"))):
                read_part(part, message, where.at("parts", place))
            after = (len(message.content), len(message.reasoning), len(message.tool_calls), len(message.parts))
            if end.first_output is None and before != after:
                end.first_output = item.end
            reasons[index] = text(candidate.get("finishReason")) or reasons.get(index, "")
    for _, message in sorted(found.items()):
        finish(ai, message)
    ai.finish_reasons = [reason for _, reason in sorted(reasons.items()) if reason]
    end.ended = bool(ai.finish_reasons)
    return end


def read_head(chunk: dict[str, Any], ai: GenAI) -> None:
    ai.response_model = text(chunk.get("modelVersion")) or ai.response_model
    ai.response_id = text(chunk.get("responseId")) or ai.response_id
    usage = record(chunk.get("usageMetadata"))
    if usage:
        thought = count(usage.get("thoughtsTokenCount"))
        answer = count(usage.get("candidatesTokenCount", usage.get("responseTokenCount")))
        ai.input_tokens = count(usage.get("promptTokenCount"))
        ai.output_tokens = None if answer is None and thought is None else (answer or 0) + (thought or 0)
        ai.cached_input_tokens, ai.reasoning_tokens = count(usage.get("cachedContentTokenCount")), thought


def _response(body: Json, ai: GenAI) -> bool:
    return _stream([Item("", body.value, Slice(body.text), 0)], ai).shape


def _count_response(body: Json, ai: GenAI) -> bool:
    ai.input_tokens = count(record(body.value).get("totalTokens"))
    return ai.input_tokens is not None


def _embed_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    asked = records(fields.get("requests")) or [fields]
    for one in asked:
        _model(text(one.get("model")), ai)
        ai.request_parameters.update(chosen(one, _EMBEDDINGS))
        if isinstance(one.get("content"), dict):
            ai.input += read_content(one["content"], Slice(b""))
    return bool(ai.input)


def _embed_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    vectors = records(fields.get("embeddings")) or records([fields.get("embedding")])
    ai.embeddings = len(vectors)
    return any("values" in vector for vector in vectors)


def _predict_request(body: Json, ai: GenAI) -> bool:
    """Vertex `predict`: instances of anything; those with text are its input."""
    fields = record(body.value)
    for instance in records(fields.get("instances")):
        words = text(instance.get("content")) or text(instance.get("prompt")) or text(instance.get("text"))
        ai.input.append(ChatMessage("user", words))
    ai.request_parameters.update(
        chosen(record(fields.get("parameters")), sorted(record(fields.get("parameters")))[:32])
    )
    return isinstance(fields.get("instances"), list)


def _predict_response(body: Json, ai: GenAI) -> bool:
    predictions = sequence(record(body.value).get("predictions"))
    vectors = [p for p in records(predictions) if "embeddings" in p]
    if vectors:
        ai.embeddings = len(vectors)
        counts = [count(record(record(v["embeddings"]).get("statistics")).get("token_count")) for v in vectors]
        ai.input_tokens = sum(c for c in counts if c is not None) or None
    for prediction in records(predictions):
        words = text(prediction.get("content"))
        data = text(prediction.get("bytesBase64Encoded"))
        if words or data:
            kind = text(prediction.get("mimeType"))
            parts = [embedded(kind.partition("/")[0] or "image", data, kind)] if data else []
            finish(ai, ChatMessage("assistant", words, parts=parts))
    return bool(predictions)


def _partner_request(body: Json, ai: GenAI) -> bool:
    """rawPredict and streamRawPredict of Anthropic's models: the Messages API, its model in the path."""
    model, stream = ai.request_model, ai.stream
    shape = anthropic_messages.read_request(body, ai)
    ai.request_model, ai.stream = ai.request_model or model, ai.stream or stream
    return shape


GENERATE = Dialect(_request, _response, _stream, framing="json-array", target=_target)
COUNT = Dialect(_request, _count_response, target=_target)
EMBED = Dialect(_embed_request, _embed_response, target=_target)
PREDICT = Dialect(_predict_request, _predict_response, target=_target)
PARTNER = Dialect(
    _partner_request, anthropic_messages.MESSAGES.response, anthropic_messages.MESSAGES.stream, target=_target
)

DIALECTS = {
    "gemini.generate": GENERATE,
    "gemini.count_tokens": COUNT,
    "gemini.embed": EMBED,
    "vertex.predict": PREDICT,
    "vertex.raw_predict": PARTNER,
}
