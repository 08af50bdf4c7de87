"""OpenAI's assistants: agents that are kept, threads of messages, runs; and fine-tuning jobs.

Source: OpenAI API reference, "Assistants", "Threads", "Messages", "Runs", "Streaming", "Fine-tuning".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai.dialect import Dialect, Item, StreamEnd, finish, function_tool
from leeward.ai.jsontext import NOTHING, Json, Slice
from leeward.ai.openai_chat import read_calls, read_usage
from leeward.ai.values import chosen, content, record, records, text
from leeward.ai.vector_stores import about, returned, within
from leeward.model.exchange import ChatMessage, GenAI
from leeward.model.message import Message

_PARAMETERS = (
    "temperature",
    "top_p",
    "max_prompt_tokens",
    "max_completion_tokens",
    "truncation_strategy",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "name",
    "description",
    "assistant_id",
)
_ROLES = ("user", "assistant")
_JOB = ("training_file", "validation_file", "method", "hyperparameters", "suffix", "seed", "integrations", "metadata")


def _target(request: Message, ai: GenAI) -> None:
    thread = within(request.target, "threads")
    about(
        ai,
        assistant_id=within(request.target, "assistants"),
        thread_id=thread if thread != "runs" else "",
        run_id=within(request.target, "runs") if thread != "runs" else "",
    )


def _request(body: Json, ai: GenAI) -> bool:
    """An assistant, a thread, a message, a run, or what the tools of a run answered."""
    fields = record(body.value)
    ai.request_model = text(fields.get("model"))
    ai.stream = fields.get("stream") is True
    ai.request_parameters.update(chosen(fields, _PARAMETERS))
    ai.tools += [function_tool(tool) for tool in records(fields.get("tools"))]
    for name in ("instructions", "additional_instructions"):
        if text(fields.get(name)):
            ai.input.append(ChatMessage("system", fields[name]))
    single = [fields] if fields.get("role") in _ROLES and "content" in fields else []
    listed = (fields, record(fields.get("thread")))
    messages = [
        one for held in listed for name in ("messages", "additional_messages") for one in records(held.get(name))
    ]
    for message in single + messages:
        ai.input.append(_message(message))
    answers = records(fields.get("tool_outputs"))
    for answer in answers:
        call = text(answer.get("tool_call_id"))
        ai.input.append(ChatMessage("tool", text(answer.get("output")), tool_call_id=call))
    agent = bool(ai.request_model) and ("instructions" in fields or "tools" in fields)
    talk = bool(messages) and all(message.get("role") in _ROLES for message in messages)
    answered = bool(answers) and all("tool_call_id" in answer for answer in answers)
    return agent or bool(single) or talk or answered or isinstance(fields.get("assistant_id"), str)


def _message(item: dict[str, Any]) -> ChatMessage:
    """A message of a thread, whose texts are {"value", "annotations"} and whose images may be files of the provider."""
    held = item.get("content")
    pieces = [_piece(piece) for piece in records([held] if isinstance(held, dict) else held)]
    found = content(held if isinstance(held, str) else pieces)
    files = [{"type": "file", "file_id": text(one.get("file_id"))} for one in records(item.get("attachments"))]
    return ChatMessage(text(item.get("role")) or "assistant", found.text, parts=found.parts + files)


def _piece(piece: dict[str, Any]) -> dict[str, Any]:
    if isinstance(piece.get("text"), dict):
        return {**piece, "text": piece["text"].get("value")}
    if piece.get("type") == "image_file":
        return {"type": "image", "file_id": record(piece.get("image_file")).get("file_id")}
    return piece


def _response(body: Json, ai: GenAI) -> bool:
    """An object of the API, or a list of them: messages are output, a run tells how it stands."""
    fields = record(body.value)
    rows = records(fields.get("data"))
    returned(ai, len(rows))
    texts = Slice(body.text)
    if not rows:
        ai.response_id = text(fields.get("id"))
        _run(fields, ai, texts)
    for row in rows:
        if row.get("object") == "thread.message":
            finish(ai, _message(row))
    kinds = [text(one.get("object")) for one in rows or [fields]]
    return all(kind.startswith(("assistant", "thread", "fine_tuning")) for kind in kinds)


def _run(fields: dict[str, Any], ai: GenAI, source: Slice) -> None:
    """Model, state, usage and the calls that a run waits for."""
    if fields.get("object") not in ("thread.run", "assistant"):
        return
    ai.response_model = text(fields.get("model"))
    ai.finish_reasons = [fields["status"]] if text(fields.get("status")) else []
    read_usage(record(fields.get("usage")), ai)
    wanted = record(record(fields.get("required_action")).get("submit_tool_outputs"))
    calls = read_calls(wanted, source.at("required_action", "submit_tool_outputs"))
    if calls:
        finish(ai, ChatMessage("assistant", "", tool_calls=calls))


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """Events are objects that say what they are: thread.message.delta, thread.message, thread.run ..."""
    end = StreamEnd()
    pieces: dict[str, list[str]] = {}
    whole: dict[str, ChatMessage] = {}
    for item in items:
        if item.event == "[DONE]":
            end.ended = True
            continue
        event = record(item.value)
        kind, name = text(event.get("object")), text(event.get("id"))
        end.shape = end.shape or kind.startswith("thread")
        if kind == "thread.message.delta":
            words = _message(record(event.get("delta"))).content
            pieces.setdefault(name, []).append(words)
            if words and end.first_output is None:
                end.first_output = item.end
        elif kind == "thread.message" and item.event == "thread.message.completed":
            whole[name] = _message(event)
        elif kind == "thread.run":
            ai.response_id = name
            _run(event, ai, item.slice if event.get("required_action") else NOTHING)
    for name in {**pieces, **whole}:
        finish(ai, whole.get(name) or ChatMessage("assistant", "".join(pieces[name])))
    return end


def _job_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_model = text(fields.get("model"))
    ai.request_parameters.update(chosen(fields, _JOB))
    return bool(ai.request_model) and isinstance(fields.get("training_file"), str)


def _job_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.response_model = text(fields.get("fine_tuned_model"))
    ai.finish_reasons = [fields["status"]] if text(fields.get("status")) else []
    return _response(body, ai)


def _job_target(request: Message, ai: GenAI) -> None:
    about(ai, job_id=within(request.target, "jobs"))


_THREAD = Dialect(_request, _response, _stream, target=_target)
_FINE_TUNING = Dialect(_job_request, _job_response, target=_job_target)

DIALECTS = {
    "openai.assistant_create": _THREAD,
    "openai.assistant_get": _THREAD,
    "openai.thread_create": _THREAD,
    "openai.thread_message": _THREAD,
    "openai.thread_messages": _THREAD,
    "openai.run_create": _THREAD,
    "openai.run_get": _THREAD,
    "openai.fine_tuning_create": _FINE_TUNING,
    "openai.fine_tuning_get": _FINE_TUNING,
}
