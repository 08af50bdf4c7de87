"""Batches: many requests at once. OpenAI's name a file of them; Anthropic's hold them, and the results come as lines of JSON.

Source: OpenAI API reference, "Batch"; Anthropic API reference, "Message Batches". Messages are named by their request's own id.
"""

from __future__ import annotations

from leeward.ai import anthropic_messages
from leeward.ai.dialect import Dialect, finish
from leeward.ai.jsontext import Json, Slice
from leeward.ai.values import chosen, record, records, sequence, text
from leeward.ai.vector_stores import about, returned, within
from leeward.model.exchange import ChatMessage, GenAI
from leeward.model.message import Message

MAX_REQUESTS = 256
_ANSWER = anthropic_messages.DIALECTS["anthropic.messages"].response
_STATES = ("status", "processing_status", "request_counts", "output_file_id", "error_file_id", "results_url")


def _target(request: Message, ai: GenAI) -> None:
    about(ai, batch_id=within(request.target, "batches"))


def _openai_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_parameters.update(chosen(fields, ("input_file_id", "endpoint", "completion_window", "metadata")))
    return isinstance(fields.get("input_file_id"), str) and isinstance(fields.get("endpoint"), str)


def _response(body: Json, ai: GenAI) -> bool:
    """A batch and how far it is, or a list of them. OpenAI's have an "object", Anthropic's a "type"."""
    fields = record(body.value)
    rows = records(fields.get("data"))
    if rows:
        returned(ai, len(rows))
    else:
        ai.response_id = text(fields.get("id"))
        ai.request_parameters.update(chosen(fields, _STATES))
    kinds = [text(one.get("object")) or text(one.get("type")) for one in rows or [fields]]
    return all(kind in ("batch", "message_batch", "message_batch_deleted") for kind in kinds)


def _anthropic_request(body: Json, ai: GenAI) -> bool:
    """{"requests": [{"custom_id", "params": a request of the Messages API}]}"""
    requests = sequence(record(body.value).get("requests"))
    texts = Slice(body.text).at("requests")
    about(ai, count=len(requests) or None)
    shape = bool(requests)
    for number, one in enumerate(requests[:MAX_REQUESTS]):
        params = record(one).get("params")
        inner = GenAI()
        source = texts.at(number, "params").text().encode()
        shape = anthropic_messages.read_request(Json(params, source, body.exact), inner) and shape
        ai.request_model = ai.request_model or inner.request_model
        ai.input += _named(inner.input, text(record(one).get("custom_id")))
        known = {tool.name for tool in ai.tools}
        ai.tools += [tool for tool in inner.tools if tool.name not in known]
    return shape


def _named(messages: list[ChatMessage], name: str) -> list[ChatMessage]:
    for message in messages:
        message.name = message.name or name
    return messages


def _results(body: Json, ai: GenAI) -> bool:
    """Lines {"custom_id", "result": {"type": "succeeded", "message"} | {"type": "errored", "error"} | ...}."""
    fields = record(body.value)
    lines = records(body.value) or ([fields] if "custom_id" in fields else [])
    returned(ai, len(lines))
    reasons: dict[str, None] = {}
    for line in lines[:MAX_REQUESTS]:
        result, name = record(line.get("result")), text(line.get("custom_id"))
        inner = GenAI()
        if result.get("type") == "succeeded":
            _ANSWER(Json(result.get("message"), b"", True), inner)
            for message in _named(inner.output, name):
                finish(ai, message)
        else:
            inner.finish_reasons = [text(result.get("type"))]
        reasons.update(dict.fromkeys(inner.finish_reasons))
        ai.response_model = ai.response_model or inner.response_model
        for field in ("input_tokens", "output_tokens", "cached_input_tokens"):
            if (more := getattr(inner, field)) is not None:
                setattr(ai, field, (getattr(ai, field) or 0) + more)
    ai.finish_reasons = [reason for reason in reasons if reason]
    return bool(lines) and all("custom_id" in line and "result" in line for line in lines)


def _nothing(body: Json, ai: GenAI) -> bool:
    return False


_STATE = Dialect(_nothing, _response, target=_target)

DIALECTS = {
    "openai.batch_create": Dialect(_openai_request, _response),
    "openai.batch_get": _STATE,
    "openai.batch_cancel": _STATE,
    "anthropic.batch_create": Dialect(_anthropic_request, _response),
    "anthropic.batch_get": _STATE,
    "anthropic.batch_cancel": _STATE,
    "anthropic.batch_delete": _STATE,
    "anthropic.batch_results": Dialect(_nothing, _results, target=_target),
}
