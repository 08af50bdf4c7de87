"""Replicate: predictions of any model, whose input and output have the form that the model gives them.

Source: replicate.com/docs/reference/http, "predictions.create", "models.predictions.create", "deployments.predictions.create".
"""

from __future__ import annotations

from typing import Any

from leeward.ai.dialect import Dialect, finish
from leeward.ai.jsontext import Json
from leeward.ai.values import count, linked, record, records, sequence, text
from leeward.ai.vector_stores import about, returned, shown
from leeward.model.exchange import ChatMessage, GenAI
from leeward.model.message import Message

_LINKS = ("https://", "http://", "data:")
_SYSTEM = ("system_prompt", "system_instruction", "system")
_MOST = 64  # fields of an input, files of an output
_WORD = 64  # characters of a setting; longer text is content


def _target(request: Message, ai: GenAI) -> None:
    """/v1/models/OWNER/NAME/predictions, /v1/deployments/OWNER/NAME/predictions, /v1/predictions[/ID]"""
    path = request.target.partition("?")[0].strip("/").split("/")
    if len(path) == 5 and path[1] in ("models", "deployments"):
        ai.request_model = f"{path[2]}/{path[3]}"


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_model = ai.request_model or text(fields.get("version")) or text(fields.get("model"))
    ai.stream = fields.get("stream") is True
    given = record(fields.get("input"))
    message = ChatMessage("user", text(given.get("prompt")))
    for name, value in list(given.items())[:_MOST]:
        if name in _SYSTEM and isinstance(value, str):
            ai.input.append(ChatMessage("system", value))
        elif name != "prompt":
            _field(name, value, message, ai)
    if message.content or message.parts:
        ai.input.append(message)
    return isinstance(fields.get("input"), dict)


def _field(name: str, value: Any, message: ChatMessage, ai: GenAI) -> None:
    """Files are parts of the message, long texts are messages of their own, the rest are settings."""
    values = sequence(value) or [value]
    if any(_is_link(one) for one in values):
        message.parts += [linked("file", one) for one in values[:_MOST] if _is_link(one)]
    elif isinstance(value, bool | int | float) or (
        isinstance(value, str) and 0 < len(value) <= _WORD and " " not in value
    ):
        about(ai, **{name: value})
    elif words := shown(value):
        ai.input.append(ChatMessage("user", words, name))


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(_LINKS)


def _response(body: Json, ai: GenAI) -> bool:
    """A prediction, or a page of them. Language models give their output as a list of pieces."""
    fields = record(body.value)
    pages = records(fields.get("results"))
    if pages:
        returned(ai, len(pages))
        return all("status" in one and "version" in one for one in pages)
    ai.response_id = text(fields.get("id"))
    ai.response_model = text(fields.get("model")) or text(fields.get("version"))
    ai.finish_reasons = [fields["status"]] if text(fields.get("status")) else []
    metrics = record(fields.get("metrics"))
    ai.input_tokens, ai.output_tokens = (
        count(metrics.get("input_token_count")),
        count(metrics.get("output_token_count")),
    )
    output = fields.get("output")
    pieces = [output] if isinstance(output, str) else sequence(output)
    links = [piece for piece in pieces if _is_link(piece)]
    words = "".join(map(text, pieces)) if not links else ""
    parts = [linked("file", one) for one in links[:_MOST]]
    words = words or (shown(output) if not isinstance(output, str | None) and not links else "")
    if words or parts:
        finish(ai, ChatMessage("assistant", words, parts=parts))
    return "status" in fields and "urls" in fields


_PREDICTION = Dialect(_request, _response, target=_target)

DIALECTS = {"replicate.predict": _PREDICTION, "replicate.get": _PREDICTION}
