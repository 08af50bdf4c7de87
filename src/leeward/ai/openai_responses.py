"""OpenAI's Responses API.

Source: OpenAI API reference, "Responses" and "Streaming events". An answer's items (messages, calls, reasoning) become
one assistant message. A stream is read from its deltas; an item's own final form replaces its deltas, and the final
response object, where it came, replaces them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai.dialect import Dialect, Item, StreamEnd, finish, function_tool
from leeward.ai.jsontext import Json, dumps
from leeward.ai.openai_chat import common_request
from leeward.ai.values import content, count, readable, record, records, sequence, text
from leeward.model.exchange import ChatMessage, GenAI, ToolCall

PARAMETERS = [
    "temperature",
    "top_p",
    "max_output_tokens",
    "max_tool_calls",
    "tool_choice",
    "parallel_tool_calls",
    "previous_response_id",
    "conversation",
    "truncation",
    "store",
    "background",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "top_logprobs",
    "include",
]
_TEXT_CALLS = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}
_CALL_KINDS = {"function_call": "function", "custom_tool_call": "custom", "mcp_call": "mcp"}
_BINARY = ("image", "audio", "file", "document")
_CALL_BODIES = ("arguments", "action", "operation", "code", "queries")
# Delta events: the field of the item that their fragments build.
_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
    "response.audio.transcript.delta": "text",
}
_FINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    common_request(fields, ai, PARAMETERS)
    effort = text(record(fields.get("reasoning")).get("effort"))
    form = text(record(record(fields.get("text")).get("format")).get("type"))
    ai.request_parameters.update({k: v for k, v in (("reasoning_effort", effort), ("response_format", form)) if v})
    if fields.get("instructions"):
        ai.input.append(ChatMessage("system", content(fields["instructions"]).text))
    given = fields.get("input")
    if isinstance(given, str):
        ai.input.append(ChatMessage("user", given))
    for item in records(given):
        ai.input.extend(read_item(item, ai))
    ai.tools.extend(function_tool(item) for item in records(fields.get("tools")))
    return isinstance(fields.get("model"), str) and isinstance(given, str | list)


def read_item(item: dict[str, Any], ai: GenAI) -> list[ChatMessage]:
    """One item of the input or the output. Tool definitions in it go to `ai.tools`."""
    kind = text(item.get("type")) or "message"
    if kind == "message":
        found = content(item.get("content"))
        role = text(item.get("role"))
        documents = [ChatMessage(role, words, title or "document") for title, words in found.documents]
        return [ChatMessage(role, found.text, parts=found.parts, reasoning=found.reasoning), *documents]
    if kind == "reasoning":
        thoughts = content(item.get("summary")).text + content(item.get("content")).text
        hidden = text(item.get("encrypted_content"))
        parts = [{"type": "encrypted_reasoning", "size": len(hidden)}] if hidden else []
        return [ChatMessage("assistant", "", parts=parts, reasoning=thoughts)]
    if kind.endswith("_output"):
        return [_result(item, item.get("output", item.get("result")))]
    if kind in ("mcp_list_tools", "additional_tools"):
        for tool in records(item.get("tools")):
            schema = "input_schema" if kind == "mcp_list_tools" else "parameters"
            ai.tools.append(function_tool(tool, schema))
        return []
    if kind.endswith("_call") or kind == "mcp_approval_request":
        return _call(kind, item)
    return [ChatMessage(text(item.get("role")), "", parts=[{"type": kind, "id": text(item.get("id"))}])]


def _call(kind: str, item: dict[str, Any]) -> list[ChatMessage]:
    """A call, and the answer that a tool run by the provider leaves in the same item."""
    field = _TEXT_CALLS.get(kind) or next((name for name in _CALL_BODIES if item.get(name) is not None), "")
    value = item.get(field)
    call = ToolCall(
        id=text(item.get("call_id")) or text(item.get("id")),
        name=text(item.get("name")) or kind.removesuffix("_call"),
        arguments=value if isinstance(value, str) else dumps(readable(value)) if value is not None else "",
        type=_CALL_KINDS.get(kind, kind),
    )
    messages = [ChatMessage("assistant", "", tool_calls=[call])]
    for name in ("output", "outputs", "results", "error"):
        if item.get(name):
            messages.append(_result({**item, "call_id": call.id}, item[name]))
            break
    return messages


def _result(item: dict[str, Any], value: Any) -> ChatMessage:
    found = content(value)
    words = found.text
    if not words and value and not any(part["type"] in _BINARY for part in found.parts):
        words, found.parts = dumps(readable(value)), []
    return ChatMessage("tool", words, parts=found.parts, tool_call_id=text(item.get("call_id")) or text(item.get("id")))


def read_output(output: list[Any], ai: GenAI) -> None:
    """The items of an answer as one assistant message, followed by results of tools that the provider ran."""
    messages = [message for item in records(output) for message in read_item(item, ai)]
    spoken = [message for message in messages if message.role != "tool"]
    if spoken:
        whole = ChatMessage(
            role=next((message.role for message in spoken if message.role), "assistant"),
            content="".join(message.content for message in spoken),
            parts=[part for message in spoken for part in message.parts],
            tool_calls=[call for message in spoken for call in message.tool_calls],
            reasoning="".join(message.reasoning for message in spoken),
        )
        finish(ai, whole)
    ai.output.extend(message for message in messages if message.role == "tool")


def read_head(response: dict[str, Any], ai: GenAI) -> bool:
    """Id, model, usage and status of a response object; whether it is one."""
    ai.response_id = text(response.get("id")) or ai.response_id
    ai.response_model = text(response.get("model")) or ai.response_model
    read_usage(record(response.get("usage")), ai)
    status = text(response.get("status"))
    if status and status not in ("in_progress", "queued"):
        ai.finish_reasons = [text(record(response.get("incomplete_details")).get("reason")) or status]
    return response.get("object") == "response"


def read_usage(usage: dict[str, Any], ai: GenAI) -> None:
    """Tokens; the Realtime API says input_token_details for input_tokens_details."""
    given = record(usage.get("input_tokens_details", usage.get("input_token_details")))
    found = {
        "input_tokens": count(usage.get("input_tokens")),
        "output_tokens": count(usage.get("output_tokens")),
        "cached_input_tokens": count(given.get("cached_tokens")),
        "reasoning_tokens": count(record(usage.get("output_tokens_details")).get("reasoning_tokens")),
    }
    for name, value in found.items():
        if value is not None:
            setattr(ai, name, value)


def _response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    read_output(sequence(fields.get("output")), ai)
    return read_head(fields, ai)


class Growing:
    """An output item that arrives in deltas. `final`: its own last form, once seen."""

    def __init__(self) -> None:
        self.item: dict[str, Any] = {}
        self.pieces: dict[str, list[str]] = {}
        self.final: dict[str, Any] | None = None

    def add(self, field: str, piece: str) -> None:
        self.pieces.setdefault(field, []).append(piece)

    def whole(self) -> dict[str, Any]:
        if self.final is not None:
            return self.final
        joined = {name: "".join(pieces) for name, pieces in self.pieces.items()}
        kind = text(self.item.get("type")) or ("reasoning" if "reasoning" in joined else "message")
        built: dict[str, Any] = {"role": "assistant", **self.item, "type": kind}
        if kind == "message":
            built["content"] = [{"type": "output_text", "text": joined.get("text", "")}]
            if "refusal" in joined:
                built["content"].append({"type": "refusal", "refusal": joined["refusal"]})
        elif kind == "reasoning":
            built["summary"] = [{"type": "summary_text", "text": joined.get("reasoning", "")}]
        else:
            built.update(joined)
        return built


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    end = StreamEnd()
    growing: dict[int, Growing] = {}
    final: list[Any] = []
    for item in items:
        event = record(item.value)
        kind = text(event.get("type")) or item.event
        place = count(event.get("output_index")) or 0
        response = record(event.get("response"))
        if response:
            end.shape = read_head(response, ai) or end.shape
        if kind in _FINAL:
            end.ended = True
            final = sequence(response.get("output"))
        elif kind == "response.output_item.added":
            growing.setdefault(place, Growing()).item = record(event.get("item"))
        elif kind == "response.output_item.done":
            growing.setdefault(place, Growing()).final = record(event.get("item")) or None
        elif kind in _DELTAS and text(event.get("delta")):
            end.shape = True
            growing.setdefault(place, Growing()).add(_DELTAS[kind], event["delta"])
            if end.first_output is None:
                end.first_output = item.end
    read_output(final or [growing[place].whole() for place in sorted(growing)], ai)
    return end


RESPONSES = Dialect(_request, _response, _stream)

DIALECTS = {
    "openai.responses": RESPONSES,
}
