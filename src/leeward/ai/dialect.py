"""What an API's decoder is: three functions over JSON, and the error bodies that all APIs share.

A decoder fills the parts of `GenAI` that it knows and says whether what it saw has the API's shape. It never
raises on odd values, keeps no state, and leaves HTTP, keys and evidence to `decode`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from leeward.ai.jsontext import Json, Slice, clean, dumps
from leeward.ai.values import record, records, scalar_text, sequence, text
from leeward.model.exchange import AiError, ChatMessage, GenAI, Tool, ToolCall
from leeward.model.message import Message

MAX_ERROR_TEXT = 4096


class Item(msgspec.Struct):
    """One event of a streamed response. end: offset in the decoded body at which it was complete."""

    event: str
    value: Any
    slice: Slice
    end: int


class StreamEnd(msgspec.Struct):
    """shape: at least one event has the API's shape. ended: the API's own end was seen. first_output: offset at which
    the first piece of output was complete, None when there was none."""

    shape: bool = False
    ended: bool = False
    first_output: int | None = None


class Dialect(msgspec.Struct, frozen=True):
    """request, response: read a body into `GenAI` and return whether it has the API's shape.
    stream: the same for the events of a streamed response, None when the API has no streams.
    framing: how its streams are divided where their type does not say: "sse" | "ndjson" | "eventstream" (AWS) | "json-array".
    target: reads what is in the path, called first. headers: reads what is in the response's headers, called last.
    """

    request: Callable[[Json, GenAI], bool]
    response: Callable[[Json, GenAI], bool]
    stream: Callable[[Iterable[Item], GenAI], StreamEnd] | None = None
    framing: str = "sse"
    target: Callable[[Message, GenAI], None] | None = None
    headers: Callable[[Message, GenAI], None] | None = None


class PartialCall:
    """A tool call that arrives in fragments."""

    def __init__(self, call_id: str = "", name: str = "", kind: str = "function") -> None:
        self.id = call_id
        self.name = name
        self.kind = kind
        self.arguments: list[str] = []

    def whole(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments), self.kind)


def finish(ai: GenAI, message: ChatMessage) -> None:
    """Adds an output message, its tool calls also to the flat list."""
    ai.output.append(message)
    ai.tool_calls.extend(message.tool_calls)


def function_tool(item: dict[str, Any], schema: str = "parameters") -> Tool:
    """A tool definition: `{"type": "function", "function": {...}}`, the same without the nesting, or a tool that the
    provider runs, of which everything but credentials is kept as its parameters."""
    kind = text(item.get("type")) or "function"
    inner = record(item.get(kind)) if isinstance(item.get(kind), dict) else item
    name = text(inner.get("name")) or text(inner.get("server_label")) or kind
    parameters = inner.get(schema)
    if parameters is None and kind not in ("function", "custom"):
        hidden = ("type", "name", "description", "headers", "authorization", "authorization_token", "cache_control")
        parameters = {key: value for key, value in inner.items() if key not in hidden} or None
    return Tool(name, text(inner.get("description")), kind, clean(parameters))


def chatty(messages: Any) -> bool:
    """Whether this is a list of messages with roles, as every chat API has it."""
    items = sequence(messages)
    return bool(items) and all(isinstance(item, dict) and isinstance(item.get("role"), str) for item in items)


def error_in(value: Any) -> AiError | None:
    """The error that a body or an event carries, None when it carries none. Knows OpenAI's, Anthropic's, Google's and
    Ollama's forms and a bare {"message"} or {"detail"} only where an "error" marks it."""
    if isinstance(value, list):
        value = next(iter(records(value)), None)
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if isinstance(error, str) and error:
        return AiError("", _short(error), scalar_text(value.get("code")))
    if isinstance(error, dict) and error:
        code = scalar_text(error.get("code"))
        kind = text(error.get("type")) or text(error.get("status")) or code
        return AiError(kind, _short(text(error.get("message"))), code)
    if value.get("type") == "error" or value.get("object") == "error":
        kind = text(value.get("type")) or "error"
        return AiError(kind, _short(text(value.get("message"))), scalar_text(value.get("code")))
    return None


def failure(status: int, body: Json, raw: bytes, reason: str) -> AiError:
    """The error of a response whose status says that it failed, whatever its body. type falls back to the status, as
    OpenTelemetry's error.type does."""
    known = error_in(body.value)
    if known is not None:
        known.type = known.type or str(status)
        return known
    fields = record(body.value)
    for name in ("message", "detail", "msg", "error_description"):
        value = fields.get(name)
        if value:
            message = value if isinstance(value, str) else dumps(value)
            kind = text(fields.get("type")) or str(status)
            return AiError(kind, _short(message), scalar_text(fields.get("code")))
    message = raw[: 4 * MAX_ERROR_TEXT].decode("utf-8", "replace").strip()
    return AiError(str(status), _short(message) or reason)


def _short(message: str) -> str:
    return message[:MAX_ERROR_TEXT]
