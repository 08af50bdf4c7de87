"""Qdrant: points of a collection, over REST and gRPC; collections themselves.

Source: api.qdrant.tech reference, "Points", "Search", "Collections"; qdrant/qdrant points_service.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json
from leeward.ai.values import count, record, records, sequence, text
from leeward.ai.vector_stores import (
    about,
    came,
    condition,
    embedded,
    first_count,
    identity,
    returned,
    sent,
    unwrapped,
    vectors_in,
    within,
)
from leeward.model.exchange import GenAI
from leeward.model.message import Message

_ASKED = ("query", "prefetch", "vector", "positive", "negative", "target", "context")
#: What holds requests of the same kind: batches of searches, batches of updates.
_BATCHES = ("searches", "queryPoints")
_UPDATES = (
    "upsert",
    "delete",
    "set_payload",
    "overwrite_payload",
    "delete_payload",
    "update_vectors",
    "delete_vectors",
)
_SAYING = (*_ASKED, *_BATCHES, "points", "batch", "operations", "payload", "filter", "ids", "limit", "keys", "exact")


def _target(request: Message, ai: GenAI) -> None:
    about(ai, collection=within(request.target, "collections"))


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    searches = [one for name in _BATCHES for one in records(fields.get(name))]
    updates = [record(one.get(name)) for one in records(fields.get("operations")) for name in _UPDATES]
    for one in [fields, *searches, *updates]:
        _read(one, ai)
    if searches:
        about(ai, count=len(searches))
    about(ai, collection=text(fields.get("collectionName")))
    return isinstance(fields.get("collectionName"), str) or any(name in fields for name in _SAYING)


def _read(fields: dict[str, Any], ai: GenAI) -> None:
    """One search or one change."""
    for name in _ASKED:
        embedded(ai, vectors_in(fields.get(name)))
        for words in _texts(fields.get(name), ai):
            sent(ai, words)
    about(ai, top_k=count(fields.get("limit")), filter=condition(fields.get("filter")))
    _stored(fields, ai)


def _stored(fields: dict[str, Any], ai: GenAI) -> None:
    """Points with their payloads, or the ids of points that something is done to."""
    held = fields.get("points")
    batch = record(fields.get("batch"))
    chosen = record(held)  # gRPC: {"points": {"ids"}} | {"filter"}
    ids = sequence(fields.get("ids")) or sequence(record(chosen.get("points")).get("ids")) or sequence(batch.get("ids"))
    points = sequence(held)
    about(ai, count=len(points) or len(ids) or None, filter=condition(chosen.get("filter")))
    for point in records(held):
        vector = point.get("vector", point.get("vectors"))
        name = identity(point.get("id"))
        embedded(ai, vectors_in(vector))
        for words in _texts(vector, ai):
            sent(ai, words, name)
        sent(ai, _payload(point), name)
    embedded(ai, vectors_in(batch.get("vectors")))
    for number, payload in zip_longest(sequence(batch.get("ids")), sequence(batch.get("payloads"))):
        sent(ai, record(payload), identity(number))
    sent(ai, _payload(fields))


def _payload(point: dict[str, Any]) -> dict[str, Any]:
    return {name: unwrapped(value) for name, value in record(point.get("payload")).items()}


def _texts(value: Any, ai: GenAI, depth: int = 6) -> Iterator[str]:
    """Texts that the server embeds itself: {"text", "model"}, wherever a vector may stand."""
    if isinstance(value, dict) and depth:
        if isinstance(value.get("text"), str):
            ai.request_model = text(value.get("model")) or ai.request_model
            yield value["text"]
        else:
            for item in value.values():
                yield from _texts(item, ai, depth - 1)
    elif isinstance(value, list) and depth:
        for item in value:
            yield from _texts(item, ai, depth - 1)


def _response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    result = fields.get("result")
    points = list(_points(result))
    for point in points:
        embedded(ai, vectors_in(point.get("vector", point.get("vectors"))))
        came(ai, _payload(point), identity(point.get("id")))
    returned(ai, len(points))
    number = first_count(record(result).get("count"), record(result).get("points_count"))
    if number is not None:
        about(ai, count=number)
    return "time" in fields and ("result" in fields or "status" in fields)


def _points(value: Any, depth: int = 12) -> Iterator[dict[str, Any]]:
    """The points of a result: a list, {"points"}, groups with hits, or lists of these."""
    if isinstance(value, list) and depth:
        for item in value:
            yield from _points(item, depth - 1)
    elif isinstance(value, dict) and depth:
        inner = [value[name] for name in ("points", "groups", "hits", "result") if isinstance(value.get(name), list)]
        if inner:
            yield from _points(inner, depth - 1)
        elif "id" in value:
            yield value


POINTS = Dialect(_request, _response, target=_target)

DIALECTS = {
    "qdrant.search": POINTS,
    "qdrant.upsert": POINTS,
    "qdrant.change": POINTS,
    "qdrant.delete": POINTS,
    "qdrant.get": POINTS,
    "qdrant.admin": Dialect(lambda body, ai: False, _response, target=_target),
}
