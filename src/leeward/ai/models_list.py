"""Listing the models of a server: OpenAI's and Anthropic's `GET /v1/models`."""

from __future__ import annotations

from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json
from leeward.ai.values import record, records, sequence
from leeward.model.exchange import GenAI


def _request(body: Json, ai: GenAI) -> bool:
    """A GET has no body, so it says nothing about its shape."""
    return False


def _response(body: Json, ai: GenAI) -> bool:
    """OpenAI: {"object": "list", "data": [{"id", "object": "model"}]}. Anthropic: {"data": [{"id", "type": "model"}]}.
    An empty list counts only with OpenAI's "object"."""
    fields = record(body.value)
    data = sequence(fields.get("data"))
    models = [
        item
        for item in records(data)
        if isinstance(item.get("id"), str) and "model" in (item.get("object"), item.get("type"))
    ]
    if data:
        return len(models) == len(data)
    return fields.get("object") == "list" and isinstance(fields.get("data"), list)


MODELS = Dialect(_request, _response)

DIALECTS = {
    "openai.models": MODELS,
    "anthropic.models": MODELS,
}
