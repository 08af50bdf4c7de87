"""OpenAI's embeddings: what was embedded is kept as text, the vectors are only counted."""

from __future__ import annotations

from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json
from leeward.ai.openai_chat import common_request, common_response, deployment, prompts
from leeward.ai.values import record, records
from leeward.model.exchange import GenAI

PARAMETERS = ("dimensions", "encoding_format", "input_type", "truncate", "user")


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    common_request(fields, ai, PARAMETERS)
    ai.input.extend(prompts(fields.get("input")))
    return isinstance(fields.get("model"), str) and isinstance(fields.get("input"), str | list)


def _response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    common_response(fields, ai)
    vectors = [item for item in records(fields.get("data")) if isinstance(item.get("embedding"), str | list)]
    if isinstance(fields.get("data"), list):
        ai.embeddings = len(vectors)
    return bool(vectors)


EMBEDDINGS = Dialect(_request, _response, target=deployment)

DIALECTS = {
    "openai.embeddings": EMBEDDINGS,
}
