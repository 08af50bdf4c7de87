"""Pinecone: vectors and records of an index, indexes themselves.

Source: docs.pinecone.io API reference, "Data plane" and "Control plane".
"""

from __future__ import annotations

from typing import Any

from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json
from leeward.ai.values import count, record, records, sequence, text
from leeward.ai.vector_stores import (
    about,
    asked,
    came,
    condition,
    done,
    embedded,
    first_count,
    identity,
    returned,
    sent,
    vectors_in,
    within,
)
from leeward.model.exchange import GenAI
from leeward.model.message import Message


def _target(request: Message, ai: GenAI) -> None:
    """An index has a host of its own, `NAME-PROJECT.svc.REGION.pinecone.io`."""
    host = request.header("host") or request.header(":authority")
    index, _, rest = host.partition(".")
    query = asked(request.target)
    about(
        ai,
        collection=index if rest.startswith("svc.") else within(request.target, "indexes"),
        namespace=within(request.target, "namespaces") or query.get("namespace", [""])[0],
        count=len(query.get("ids", ())) or None,
    )


def _vectors_request(body: Json, ai: GenAI) -> bool:
    """/query, /vectors/upsert, /vectors/update, /vectors/delete, /vectors/fetch_by_metadata, /describe_index_stats"""
    fields = record(body.value)
    vectors, ids = records(fields.get("vectors")), sequence(fields.get("ids"))
    about(
        ai,
        namespace=text(fields.get("namespace")),
        top_k=count(fields.get("topK")),
        count=len(vectors) or len(ids) or None,
        filter=condition(fields.get("filter")),
    )
    if fields.get("deleteAll") is True:
        about(ai, delete_all=True)
    embedded(ai, vectors_in([fields.get("vector"), fields.get("sparseVector"), *_values(fields)]))
    for vector in vectors:
        embedded(ai, vectors_in(_values(vector)))
        sent(ai, vector.get("metadata"), text(vector.get("id")))
    sent(ai, record(fields.get("setMetadata")), text(fields.get("id")))
    searched = count(fields.get("topK")) is not None and ("vector" in fields or "id" in fields)
    stored = bool(vectors) and all(
        "id" in vector and ("values" in vector or "sparseValues" in vector) for vector in vectors
    )
    updated = "id" in fields and ("values" in fields or "setMetadata" in fields)
    changed = "deleteAll" in fields or updated or (bool(ids) and all(isinstance(one, str) for one in ids))
    return searched or stored or changed


def _values(vector: dict[str, Any]) -> list[Any]:
    return [vector.get("values"), vector.get("sparseValues")]


def _vectors_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    held = fields.get("vectors")
    found = records(fields.get("matches")) or records(held) or records(list(record(held).values()))
    returned(ai, len(found))
    for one in found:
        embedded(ai, vectors_in(_values(one)))
        came(ai, record(one.get("metadata")), text(one.get("id")))
    return any(name in fields for name in ("matches", "upsertedCount")) or ("namespace" in fields and held is not None)


def _records_request(body: Json, ai: GenAI) -> bool:
    """Records as lines of JSON whose texts the index embeds itself, and searches by text."""
    query = record(record(body.value).get("query"))
    if query:
        again = record(record(body.value).get("rerank"))
        inputs = record(query.get("inputs"))
        about(ai, top_k=count(query.get("top_k")), filter=condition(query.get("filter")))
        ai.request_model = text(again.get("model"))
        embedded(ai, vectors_in(record(query.get("vector"))))
        sent(ai, inputs.get("text") if set(inputs) == {"text"} else inputs)
        sent(ai, text(again.get("query")), "rerank")
        return count(query.get("top_k")) is not None
    rows = records(body.value) or records([body.value])
    about(ai, count=len(rows) or None)
    for row in rows:
        name = identity(row.get("_id", row.get("id")))
        sent(ai, {field: value for field, value in row.items() if field not in ("_id", "id")}, name)
    return bool(rows) and all("_id" in row or "id" in row for row in rows)


def _records_response(body: Json, ai: GenAI) -> bool:
    result = record(record(body.value).get("result"))
    hits = records(result.get("hits"))
    returned(ai, len(hits))
    for hit in hits:
        came(ai, record(hit.get("fields")), identity(hit.get("_id")))
    return isinstance(result.get("hits"), list)


def _admin_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    embed = record(fields.get("embed"))
    about(
        ai,
        collection=text(fields.get("name")),
        dimension=count(fields.get("dimension")),
        filter=condition(fields.get("filter")),
    )
    ai.request_model = text(embed.get("model"))
    return False


def _admin_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    listed = fields.get("indexes", fields.get("namespaces"))
    about(ai, count=first_count(fields.get("totalVectorCount"), len(sequence(listed)) or None))
    return not fields or any(name in fields for name in ("indexes", "namespaces", "host", "totalVectorCount"))


_VECTORS = Dialect(_vectors_request, _vectors_response, target=_target)
_RECORDS = Dialect(_records_request, _records_response, target=_target)

DIALECTS = {
    "pinecone.query": _VECTORS,
    "pinecone.upsert": _VECTORS,
    "pinecone.delete": Dialect(_vectors_request, done, target=_target),
    "pinecone.fetch": _VECTORS,
    "pinecone.records_search": _RECORDS,
    "pinecone.records_upsert": _RECORDS,
    "pinecone.admin": Dialect(_admin_request, _admin_response, target=_target),
}
