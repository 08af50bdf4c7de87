"""How the clients of the `openai` SDK ask and what they note of the answer."""

from __future__ import annotations

from typing import Any

from _common import TOOLS, marker, prompt

MODES = ("plain", "n2", "tools", "short", "multi", "error401", "error429", "error400", "error404", "cut")
_MODELS = {"error429": "range-429", "error404": "range-404", "cut": "range-cut"}


def chat_request(options: Any, worker: int, counter: int) -> tuple[str, dict[str, Any]]:
    """The mark and the keyword arguments of `chat.completions.create`."""
    mark = marker(options, worker, counter)
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt(mark)}]
    request: dict[str, Any] = {"model": options.model or _MODELS.get(options.mode, "gpt-4o-mini"), "messages": messages}
    match options.mode:
        case "n2":
            request["n"] = 2
        case "short":
            request["max_tokens"] = 12 + len(mark)
        case "tools":
            request["tools"] = [{"type": "function", "function": t} for t in TOOLS]
        case "multi":
            parts = [
                {"type": "text", "text": prompt(mark)},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}},
            ]
            messages[:] = [
                {"role": "system", "content": "You are terse. Ünïcode: ✓"},
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hi, how can I help?"},
                {"role": "user", "content": parts},
            ]
        case "error400":
            request["messages"] = []
    if options.stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    return mark, request


def client_arguments(options: Any) -> dict[str, Any]:
    """Arguments of the client's constructor: a bad key or no retries where the mode wants an error."""
    if options.mode == "error401":
        return {"api_key": "sk-invalid-000000000000000000000000", "max_retries": 0}
    return {"max_retries": 0} if options.mode.startswith("error") or options.mode == "cut" else {}


def note_chunk(record: dict[str, Any], chunk: Any) -> None:
    """Adds a chunk of a stream to the record."""
    record["response_id"], record["response_model"] = chunk.id, chunk.model
    if chunk.usage:
        note_usage(record, chunk.usage)
    for choice in chunk.choices:
        while len(record["texts"]) <= choice.index:
            record["texts"].append("")
            record["finish"].append(None)
        if choice.delta.content:
            record["texts"][choice.index] += choice.delta.content
        for call in choice.delta.tool_calls or []:
            if call.index == len(record["tool_calls"]):
                record["tool_calls"].append({"id": call.id, "name": call.function.name, "arguments": ""})
            record["tool_calls"][call.index]["arguments"] += call.function.arguments or ""
        if choice.finish_reason:
            record["finish"][choice.index] = choice.finish_reason
    record["text"] = record["texts"][0] if record["texts"] else ""


def note_completion(record: dict[str, Any], done: Any) -> None:
    """The record of a whole completion."""
    record["response_id"], record["response_model"] = done.id, done.model
    note_usage(record, done.usage)
    for choice in done.choices:
        record["finish"].append(choice.finish_reason)
        record["texts"].append(choice.message.content or "")
        for call in choice.message.tool_calls or []:
            record["tool_calls"].append(
                {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            )
    record["text"] = record["texts"][0]


def note_usage(record: dict[str, Any], usage: Any) -> None:
    """Token counts under the names of the API."""
    record["usage"] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": getattr(usage, "completion_tokens", 0),
        "total_tokens": usage.total_tokens,
    }


def note_error(record: dict[str, Any], error: Any, options: Any) -> None:
    """A failure: noted when the mode asked for one, raised again otherwise."""
    if not options.mode.startswith("error") and options.mode != "cut":
        raise error
    record["status"] = getattr(error, "status_code", 200)
    record["error"] = type(error).__name__
