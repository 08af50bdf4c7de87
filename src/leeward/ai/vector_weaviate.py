"""Weaviate: objects over REST, searches in GraphQL, both over gRPC.

Source: docs.weaviate.io, "REST API", "GraphQL API"; weaviate/weaviate grpc/proto/v1.
"""

from __future__ import annotations

import re
from typing import Any

from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json, load
from leeward.ai.values import count, record, records, sequence, text
from leeward.ai.vector_stores import (
    MAX_TEXT,
    about,
    asked,
    came,
    condition,
    done,
    embedded,
    names,
    returned,
    sent,
    unwrapped,
    vectors_in,
    within,
)
from leeward.model.exchange import GenAI
from leeward.model.message import Message

_ROOT = re.compile(r"\s*(?:query\b[^{]{0,200})?\{\s*(?:Get|Aggregate|Explore)\s*(?:\([^)]{0,200}\)\s*)?\{\s*(\w+)")
_LIMIT = re.compile(r"\blimit\s*:\s*(\d{1,9})")
_TENANT = re.compile(r'\btenant\s*:\s*"([^"\\]{0,256})"')
_VECTOR = re.compile(r"\bvector\s*:\s*\[")
_STRING = r'"(?:[^"\\]|\\.)*"'
_WORDS = re.compile(rf"\b(?:query|question|prompt|task|concepts)\s*:\s*(?:({_STRING})|\[((?:[\s,]|{_STRING})*)\])")
_LITERAL = re.compile(_STRING)


def _target(request: Message, ai: GenAI) -> None:
    query = asked(request.target)
    about(
        ai,
        collection=within(request.target, "objects") or within(request.target, "schema") or query.get("class", [""])[0],
        namespace=query.get("tenant", [""])[0],
    )


def _graphql_request(body: Json, ai: GenAI) -> bool:
    query = text(record(body.value).get("query"))[: 4 * MAX_TEXT]
    root = _ROOT.match(query)
    if root is None:
        return False
    limit, tenant = _LIMIT.search(query), _TENANT.search(query)
    about(ai, collection=root[1], namespace=tenant[1] if tenant else "", top_k=count(int(limit[1])) if limit else None)
    embedded(ai, len(_VECTOR.findall(query)))
    for found in _WORDS.finditer(query):
        for literal in _LITERAL.findall(found[1] or found[2] or ""):
            sent(ai, text(load(literal).value))
    return True


def _graphql_response(body: Json, ai: GenAI) -> bool:
    got = record(record(body.value).get("data")).get("Get")
    for rows in record(got).values():
        returned(ai, len(records(rows)))
        for row in records(rows):
            more = record(row.get("_additional"))
            embedded(ai, vectors_in([more.get("vector"), more.get("vectors")]))
            fields = {name: value for name, value in row.items() if name != "_additional"}
            came(ai, {**fields, **_generated(more)}, text(more.get("id")))
    return isinstance(got, dict)


def _generated(more: dict[str, Any]) -> dict[str, Any]:
    """What a model wrote about an object (`generate`), or answered from it (`answer`)."""
    found = {"generate": more.get("generate"), "answer": record(more.get("answer")).get("result")}
    return {name: value for name, value in found.items() if value}


def _objects_request(body: Json, ai: GenAI) -> bool:
    """One object, a batch of them ({"objects"}), or what a batch of deletions must match."""
    fields = record(body.value)
    objects = records(fields.get("objects")) or ([fields] if "class" in fields else [])
    match = record(fields.get("match"))
    about(
        ai,
        collection=text(match.get("class")) or next((text(one.get("class")) for one in objects), ""),
        namespace=next((text(one.get("tenant")) for one in objects), ""),
        count=len(objects) or None,
        filter=condition(match.get("where")),
    )
    for one in objects:
        embedded(ai, vectors_in([one.get("vector"), one.get("vectors")]))
        sent(ai, record(one.get("properties")), text(one.get("id")))
    typed = bool(objects) and all(isinstance(one.get("class"), str) and "properties" in one for one in objects)
    return typed or ("class" in match and "where" in match)


def _objects_response(body: Json, ai: GenAI) -> bool:
    """What was stored comes back as it was sent; what was asked for is new."""
    fields = record(body.value)
    objects = records(body.value) or records(fields.get("objects")) or ([fields] if "class" in fields else [])
    returned(ai, len(objects))
    if ai.operation == "vector_get":
        about(ai, collection=next((text(one.get("class")) for one in objects), ""))
        for one in objects:
            embedded(ai, vectors_in([one.get("vector"), one.get("vectors")]))
            came(ai, record(one.get("properties")), text(one.get("id")))
    return bool(objects) and all(isinstance(one.get("class"), str) and "properties" in one for one in objects)


def _search_request(body: Json, ai: GenAI) -> bool:
    """gRPC Search."""
    fields = record(body.value)
    about(
        ai,
        collection=text(fields.get("collection")),
        namespace=text(fields.get("tenant")),
        top_k=count(fields.get("limit")),
        filter=condition(fields.get("filters")),
    )
    hybrid, generative = record(fields.get("hybridSearch")), record(fields.get("generative"))
    near = [record(fields.get("nearText")), record(hybrid.get("nearText"))]
    said = [words for one in near for words in sequence(one.get("query"))]
    said += [record(fields.get("bm25Search")).get("query"), hybrid.get("query")]
    said += [generative.get("singleResponsePrompt"), generative.get("groupedResponseTask")]
    said += [record(generative.get("single")).get("prompt"), record(generative.get("grouped")).get("task")]
    for words in said:
        sent(ai, text(words))
    vectors = [record(fields.get("nearVector")), hybrid, record(hybrid.get("nearVector"))]
    embedded(ai, sum(map(_vectors, vectors)))
    return isinstance(fields.get("collection"), str)


def _vectors(holder: dict[str, Any]) -> int:
    """Vectors of gRPC are lists of numbers or bytes."""
    return vectors_in(holder.get("vector")) + bool(holder.get("vectorBytes")) + len(records(holder.get("vectors")))


def _search_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    groups = records(fields.get("groupByResults"))
    results = [one for group in [fields, *groups] for one in records(group.get("results", group.get("objects")))]
    returned(ai, len(results))
    for result in results:
        found, facts = record(result.get("properties")), record(result.get("metadata"))
        embedded(ai, _vectors(facts))
        plain = unwrapped({"structValue": found.get("nonRefProps")})
        words = [facts.get("generative"), *_replies(result.get("generative"))]
        came(ai, {**record(found.get("nonRefProperties")), **record(plain), "generative": words}, text(facts.get("id")))
    came(ai, text(fields.get("generativeGroupedResult")), "generative")
    for words in _replies(fields.get("generativeGroupedResults")):
        came(ai, text(words), "generative")
    return "took" in fields or bool(results)


def _replies(value: Any) -> list[Any]:
    return [one.get("result") for one in records(record(value).get("values"))]


def _batch_request(body: Json, ai: GenAI) -> bool:
    """gRPC BatchObjects."""
    objects = records(record(body.value).get("objects"))
    about(
        ai,
        collection=names(dict.fromkeys(text(one.get("collection")) for one in objects)),
        namespace=next((text(one.get("tenant")) for one in objects), ""),
        count=len(objects) or None,
    )
    for one in objects:
        embedded(ai, _vectors(one))
        held = record(one.get("properties"))
        lists = {text(more.get("propName")): more.get("values") for more in records(held.get("textArrayProperties"))}
        sent(ai, {**record(held.get("nonRefProperties")), **lists}, text(one.get("uuid")))
    return bool(objects)


def _batch_response(body: Json, ai: GenAI) -> bool:
    return "took" in record(body.value)


def _schema_request(body: Json, ai: GenAI) -> bool:
    about(ai, collection=text(record(body.value).get("class")))
    return False


_OBJECTS = Dialect(_objects_request, _objects_response, target=_target)

DIALECTS = {
    "weaviate.graphql": Dialect(_graphql_request, _graphql_response),
    "weaviate.upsert": _OBJECTS,
    "weaviate.get": _OBJECTS,
    "weaviate.delete": _OBJECTS,
    "weaviate.object_delete": Dialect(_objects_request, done, target=_target),
    "weaviate.search": Dialect(_search_request, _search_response),
    "weaviate.batch": Dialect(_batch_request, _batch_response),
    "weaviate.admin": Dialect(_schema_request, done, target=_target),
}
