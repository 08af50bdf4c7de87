"""Anthropic's Messages API and its token counting.

Source: Anthropic API reference, "Messages" and "Streaming Messages". `input_tokens` is what OpenTelemetry means by
gen_ai.usage.input_tokens: all tokens of the input, so Anthropic's own figure, which leaves the cache out, plus what
was read from and written to the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai.dialect import Dialect, Item, PartialCall, StreamEnd, chatty, finish, function_tool
from leeward.ai.jsontext import NOTHING, Json, Slice, dumps
from leeward.ai.values import chosen, content, count, readable, record, records, sequence, text
from leeward.model.exchange import ChatMessage, GenAI, Tool, ToolCall

PARAMETERS = [
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tool_choice",
    "service_tier",
    "thinking",
    "output_config",
    "speed",
    "container",
    "metadata",
    "inference_geo",
]
_CALLS = {"tool_use": "function", "server_tool_use": "server_tool_use", "mcp_tool_use": "mcp_tool_use"}


def read_request(body: Json, ai: GenAI) -> bool:
    """A request of the Messages API, whether or not it says how long the answer may be."""
    fields = record(body.value)
    ai.request_model = text(fields.get("model"))
    ai.stream = fields.get("stream") is True
    ai.request_parameters.update(chosen(fields, PARAMETERS))
    if fields.get("system"):
        found = content(fields["system"])
        ai.input.append(ChatMessage("system", found.text, parts=found.parts))
    source = Slice(body.text).at("messages")
    for i, message in enumerate(sequence(fields.get("messages"))):
        if isinstance(message, dict):
            blocks = isinstance(message.get("content"), list)
            ai.input.extend(read_message(message, source.at(i) if blocks else NOTHING))
    for tool in records(fields.get("tools")):
        found_tool = function_tool(tool, "input_schema")
        found_tool.type = "function" if found_tool.type == "custom" else found_tool.type
        ai.tools.append(found_tool)
    for server in records(fields.get("mcp_servers")):
        ai.tools.append(Tool(text(server.get("name")), type="mcp", parameters={"url": text(server.get("url"))}))
    return isinstance(fields.get("model"), str) and chatty(fields.get("messages"))


def _messages_request(body: Json, ai: GenAI) -> bool:
    """`max_tokens` is required by the API, and tells it from other chats under /v1/messages."""
    return read_request(body, ai) and count(record(body.value).get("max_tokens")) is not None


def read_message(message: dict[str, Any], source: Slice) -> list[ChatMessage]:
    """A message as one or more of ours, in order: a tool's result and a text document are messages of their own."""
    role = text(message.get("role"))
    value = message.get("content")
    if isinstance(value, str):
        return [ChatMessage(role, value)]
    out: list[ChatMessage] = []
    run: list[Any] = []
    calls: list[ToolCall] = []
    for i, block in enumerate(records([value]) if isinstance(value, dict) else sequence(value)):
        kind = text(record(block).get("type"))
        if kind.endswith("tool_result"):
            out.extend(_plain(role, run, calls))
            run, calls = [], []
            out.extend(_tool_result(block))
        elif kind in _CALLS:
            calls.append(_call(block, source.at("content", i)))
        elif kind in ("document", "search_result"):
            out.extend(_plain(role, run, calls))
            run, calls = [], []
            out.extend(_plain(role, [block], []))
        else:
            run.append(block)
    out.extend(_plain(role, run, calls))
    return out or [ChatMessage(role, "")]


def _plain(role: str, blocks: list[Any], calls: list[ToolCall]) -> list[ChatMessage]:
    """A run of blocks as a message, text documents in it after it. Nothing for an empty run."""
    found = content(blocks)
    documents = [ChatMessage(role, words, title or "document") for title, words in found.documents]
    if not blocks and not calls:
        return []
    message = ChatMessage(role, found.text, "", found.parts, calls, "", found.reasoning)
    empty = not (message.content or message.parts or message.tool_calls or message.reasoning)
    return documents if documents and empty else [message, *documents]


def _tool_result(block: dict[str, Any]) -> list[ChatMessage]:
    """The result of a tool that the client or (`web_fetch_tool_result` ...) the provider ran. What the provider's tools
    answer beside text is kept as JSON text, without what is encrypted."""
    value = block.get("content")
    call_id = text(block.get("tool_use_id"))
    messages = _plain("tool", [value] if isinstance(value, str | dict) else sequence(value), [])
    messages = messages or [ChatMessage("tool", "")]
    if block.get("type") != "tool_result" and not any(message.content for message in messages):
        messages = [ChatMessage("tool", dumps(readable(value)))]
    for message in messages:
        message.tool_call_id = call_id
    if block.get("is_error") is True:
        messages[0].parts.append({"type": "tool_result", "is_error": True})
    return messages


def _call(block: dict[str, Any], source: Slice) -> ToolCall:
    arguments = source.at("input").text() or (dumps(block["input"]) if "input" in block else "")
    kind = _CALLS.get(text(block.get("type")), "function")
    return ToolCall(text(block.get("id")), text(block.get("name")), arguments, kind)


def _read_usage(usage: dict[str, Any], ai: GenAI) -> None:
    plain = count(usage.get("input_tokens"))
    cached = count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    forgotten = cached is None and ai.cached_input_tokens  # a later figure that leaves out what an earlier one told
    if plain is not None and not forgotten:
        ai.input_tokens = plain + (cached or 0) + (written or 0)
    if cached is not None:
        ai.cached_input_tokens = cached
    answer = count(usage.get("output_tokens"))
    thinking = count(record(usage.get("output_tokens_details")).get("thinking_tokens"))
    ai.output_tokens = answer if answer is not None else ai.output_tokens
    ai.reasoning_tokens = thinking if thinking is not None else ai.reasoning_tokens


def _head(message: dict[str, Any], ai: GenAI) -> bool:
    """Id, model, usage and stop reason of a message object; whether it is one."""
    ai.response_id = text(message.get("id"))
    ai.response_model = text(message.get("model"))
    _read_usage(record(message.get("usage")), ai)
    if text(message.get("stop_reason")):
        ai.finish_reasons = [message["stop_reason"]]
    return message.get("type") == "message"


def _response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    shape = _head(fields, ai)
    if "content" in fields:
        for message in read_message({"role": "assistant", **fields}, Slice(body.text)):
            finish(ai, message)
    return shape


class _Block:
    """One content block of a streamed message."""

    def __init__(self, block: dict[str, Any]) -> None:
        self.block = block
        self.texts = [text(block.get("text"))]
        self.thoughts = [text(block.get("thinking"))]
        self.call = None
        if text(block.get("type")) in _CALLS:
            kind = _CALLS[block["type"]]
            self.call = PartialCall(text(block.get("id")), text(block.get("name")), kind)

    def add(self, delta: dict[str, Any]) -> bool:
        """Takes a delta; True when it is output."""
        kind = delta.get("type")
        if kind == "text_delta":
            self.texts.append(text(delta.get("text")))
            return bool(self.texts[-1])
        if kind == "thinking_delta":
            self.thoughts.append(text(delta.get("thinking")))
            return bool(self.thoughts[-1])
        if kind == "input_json_delta" and self.call:
            self.call.arguments.append(text(delta.get("partial_json")))
            return True
        return False

    def whole(self) -> dict[str, Any]:
        """The block as an unstreamed message has it, but for a call's input."""
        kind = text(self.block.get("type"))
        if kind in ("text", ""):
            return {"type": "text", "text": "".join(self.texts)}
        if kind == "thinking":
            return {"type": "thinking", "thinking": "".join(self.thoughts)}
        return self.block


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    end = StreamEnd()
    role = "assistant"
    blocks: dict[int, _Block] = {}
    for item in items:
        event = record(item.value)
        kind = text(event.get("type")) or item.event
        if kind == "message_start":
            message = record(event.get("message"))
            end.shape = _head(message, ai) or end.shape
            role = text(message.get("role")) or role
        elif kind in ("content_block_start", "content_block_delta"):
            index = count(event.get("index")) or 0
            if kind == "content_block_start":
                blocks[index] = _Block(record(event.get("content_block")))
                output = blocks[index].call is not None or bool(blocks[index].texts[0])
            else:
                output = blocks.setdefault(index, _Block({})).add(record(event.get("delta")))
            end.shape = True
            if output and end.first_output is None:
                end.first_output = item.end
        elif kind == "message_delta":
            _read_usage(record(event.get("usage")), ai)
            reason = text(record(event.get("delta")).get("stop_reason"))
            ai.finish_reasons = [reason] if reason else ai.finish_reasons
        elif kind == "message_stop":
            end.ended = True
    _assemble(blocks, role, ai)
    return end


def _is_result(block: dict[str, Any]) -> bool:
    return text(block.get("type")).endswith("tool_result")


def _assemble(blocks: dict[int, _Block], role: str, ai: GenAI) -> None:
    """The streamed blocks as one message. A call without fragments keeps the input that its block began with."""
    if not blocks:
        return
    ordered = [blocks[index] for index in sorted(blocks)]
    calls = []
    for block in ordered:
        if block.call:
            call = block.call.whole()
            call.arguments = call.arguments or dumps(block.block.get("input"))
            calls.append(call)
    rest = [block.whole() for block in ordered if block.call is None]
    results = [block for block in rest if _is_result(block)]
    found = content([block for block in rest if not _is_result(block)])
    finish(ai, ChatMessage(role, found.text, "", found.parts, calls, "", found.reasoning))
    for result in results:
        ai.output.extend(_tool_result(result))


def _count_response(body: Json, ai: GenAI) -> bool:
    ai.input_tokens = count(record(body.value).get("input_tokens"))
    return ai.input_tokens is not None


MESSAGES = Dialect(_messages_request, _response, _stream)
COUNT_TOKENS = Dialect(read_request, _count_response)

DIALECTS = {
    "anthropic.messages": MESSAGES,
    "anthropic.count_tokens": COUNT_TOKENS,
}
