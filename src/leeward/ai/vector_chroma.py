"""Chroma: records of a collection, collections themselves.

Source: docs.trychroma.com API reference (v2), and the same bodies under /api/v1.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json
from leeward.ai.values import count, record, sequence, text
from leeward.ai.vector_stores import (
    about,
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
    """The collection in the path is its id, not its name."""
    tenant, database = within(request.target, "tenants"), within(request.target, "databases")
    about(
        ai,
        collection=within(request.target, "collections"),
        namespace="/".join(part for part in (tenant, database) if part),
    )


def _request(body: Json, ai: GenAI) -> bool:
    """/add, /upsert, /update, /query, /get, /delete"""
    fields = record(body.value)
    ids, queries = sequence(fields.get("ids")), fields.get("query_embeddings")
    documents, facts = sequence(fields.get("documents")), sequence(fields.get("metadatas"))
    about(
        ai,
        top_k=first_count(fields.get("n_results"), fields.get("limit")),
        count=len(ids) or None,
        filter=condition(fields.get("where")),
        document_filter=condition(fields.get("where_document")),
    )
    embedded(ai, _vectors(fields.get("embeddings")) + _vectors(queries))
    for words in sequence(fields.get("query_texts")):
        sent(ai, text(words))
    for number, document, fact in zip_longest(ids, documents, facts):
        sent(ai, _both(document, fact), identity(number))
    stored = bool(ids) and any(isinstance(fields.get(name), list) for name in ("embeddings", "documents", "metadatas"))
    filtered = any(name in fields for name in ("where", "where_document", "include"))
    listed = "namespace" in ai.request_parameters and isinstance(fields.get("ids"), list)  # v2: the path tells enough
    return stored or filtered or listed or isinstance(queries, list)


def _vectors(value: Any) -> int:
    """Embeddings are lists of numbers or base64."""
    return sum(vectors_in(one) or isinstance(one, str) for one in sequence(value))


def _both(document: Any, fact: Any) -> Any:
    """A record's document, with its metadata if it has any."""
    facts = record(fact)
    if not facts:
        return text(document)
    return {"document": document, **facts} if text(document) else facts


def _response(body: Json, ai: GenAI) -> bool:
    """Lists side by side; for a query, lists of them, one for each vector asked for."""
    fields = record(body.value)
    columns = [sequence(fields.get(name)) for name in ("ids", "documents", "metadatas")]
    nested = any(isinstance(one, list) for one in columns[0])
    groups = zip_longest(*columns) if nested else [columns]
    number = 0
    for group in groups:
        ids, documents, facts = map(sequence, group)
        number += len(ids)
        for name, document, fact in zip_longest(ids, documents, facts):
            came(ai, _both(document, fact), identity(name))
    returned(ai, number)
    vectors = sequence(fields.get("embeddings"))
    embedded(ai, sum(map(_vectors, vectors)) if nested else _vectors(vectors))
    return isinstance(fields.get("ids"), list) and ("documents" in fields or "metadatas" in fields)


def _admin_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    about(ai, collection=text(fields.get("name")))
    return "get_or_create" in fields or ("name" in fields and "configuration" in fields)


def _admin_response(body: Json, ai: GenAI) -> bool:
    found = [record(one) for one in sequence(body.value)] or [record(body.value)]
    about(ai, count=count(body.value) if not isinstance(body.value, list) else len(body.value))
    return all("id" in one and "name" in one and "database" in one for one in found)


RECORDS = Dialect(_request, _response, target=_target)

DIALECTS = {
    "chroma.add": RECORDS,
    "chroma.query": RECORDS,
    "chroma.get": RECORDS,
    "chroma.delete": RECORDS,
    "chroma.admin": Dialect(_admin_request, _admin_response, target=_target),
    "chroma.collection": Dialect(_admin_request, done, target=_target),
}
