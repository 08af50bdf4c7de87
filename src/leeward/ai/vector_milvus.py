"""Milvus and Zilliz Cloud: entities of a collection, over REST (v2, v1) and gRPC; collections themselves.

Source: milvus.io RESTful API reference, "Vector (v2)", "Collection (v2)"; milvus-io/milvus-proto.
"""

from __future__ import annotations

import base64
import binascii
from itertools import islice
from typing import Any

from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json
from leeward.ai.values import count, record, records, sequence, text
from leeward.ai.vector_stores import (
    MAX_MESSAGES,
    about,
    came,
    condition,
    embedded,
    first_count,
    identity,
    names,
    returned,
    sent,
    vectors_in,
)
from leeward.model.exchange import GenAI
from leeward.wire.protobuf import Field, Reader, Schema

_SCALARS = ("stringData", "longData", "intData", "boolData", "doubleData", "floatData", "jsonData")
_VECTORS = ("floatVector", "sparseFloatVector", "binaryVector", "float16Vector", "bfloat16Vector", "int8Vector")

_VARCHAR = 21
#: What a search's placeholderGroup holds (common.proto): bytes in the request, a message of its own.
_PLACEHOLDERS = Schema(
    "milvus-proto common.proto",
    {},
    {
        "Group": {1: Field("placeholders", "Value", "repeated")},
        "Value": {1: Field("tag", "string"), 2: Field("type", "int32"), 3: Field("values", "bytes", "repeated")},
    },
    {},
)


def _place(fields: dict[str, Any], ai: GenAI) -> bool:
    """Where and what: the same names over REST and gRPC. Whether a collection is named."""
    about(
        ai,
        collection=text(fields.get("collectionName")),
        namespace=text(fields.get("dbName")),
        partition=text(fields.get("partitionName")) or names(sequence(fields.get("partitionNames"))),
        top_k=count(fields.get("limit")),
        filter=condition(fields.get("filter", fields.get("expr", fields.get("dsl")))),
    )
    return isinstance(fields.get("collectionName"), str)


def _entities_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    named = _place(fields, ai)
    ids = fields.get("id", fields.get("ids"))
    about(ai, count=len(ids) if isinstance(ids, list) else None if ids is None else 1)
    data = fields.get("data")
    rows = records(data) or records([data])
    for search in [fields, *records(fields.get("search"))]:  # several of them in a hybrid search
        given = sequence(search.get("data"))
        for words in given:
            sent(ai, text(words))
        embedded(ai, vectors_in([one for one in [*given, search.get("vector")] if not isinstance(one, dict)]))
    if ai.operation == "vector_search":
        embedded(ai, len(rows))  # sparse vectors
        return named and any(name in fields for name in ("data", "search", "vector"))
    about(ai, count=len(rows) or None)
    for row in rows:
        embedded(ai, vectors_in([value for value in row.values() if isinstance(value, list)]))
        sent(ai, row, identity(row.get("id")))
    return named


def _entities_response(body: Json, ai: GenAI) -> bool:
    """{"code", "data"}: rows that were found, or {"insertCount", "insertIds"} and the like."""
    fields = record(body.value)
    rows = records(fields.get("data"))
    returned(ai, len(rows))
    for row in rows:
        embedded(ai, vectors_in([value for value in row.values() if isinstance(value, list)]))
        came(ai, {name: value for name, value in row.items() if name != "distance"}, identity(row.get("id")))
    done = record(fields.get("data"))
    number = first_count(*(done.get(name) for name in ("insertCount", "upsertCount", "deleteCount")))
    returned(ai, number or 0)
    return count(fields.get("code")) is not None and "data" in fields


def _admin_request(body: Json, ai: GenAI) -> bool:
    return _place(record(body.value), ai)


def _rpc_request(body: Json, ai: GenAI) -> bool:
    """Insert, Upsert: a list for each field. Search, HybridSearch: vectors as bytes, how many of them, and pairs of text."""
    fields = record(body.value)
    named = _place(fields, ai)
    searches = records(fields.get("requests")) or [fields]
    pairs = [pair for one in searches for pair in records(one.get("searchParams"))]
    pairs += [pair for name in ("rankParams", "queryParams") for pair in records(fields.get(name))]
    wanted = [text(pair.get("value")) for pair in pairs if pair.get("key") in ("topk", "limit")]
    about(ai, top_k=next((int(one) for one in reversed(wanted) if one.isdecimal() and len(one) < 10), None))
    for search in searches:
        queries = _queries(search)
        for words in queries:
            sent(ai, words)
        embedded(ai, 0 if queries else count(search.get("nq")) or 0)
    about(ai, count=count(fields.get("numRows")))
    columns = records(fields.get("fieldsData"))
    embedded(ai, (count(fields.get("numRows")) or 0) * sum(map(_is_vector, columns)))
    for row in _rows(columns):
        sent(ai, row, identity(row.get("id")))
    return named


def _queries(search: dict[str, Any]) -> list[str]:
    """The texts that are searched for, where the server embeds them itself; [] for vectors."""
    group = Reader(_PLACEHOLDERS).read("Group", _raw(search.get("placeholderGroup")))
    asked = [one for one in records(group.get("placeholders")) if one.get("type") == _VARCHAR]
    return [_raw(value).decode("utf-8", "replace") for one in asked for value in sequence(one.get("values"))]


def _raw(value: Any) -> bytes:
    """Bytes, which the tables give as base64."""
    try:
        return base64.b64decode(text(value))
    except (binascii.Error, ValueError):
        return b""


def _is_vector(column: dict[str, Any]) -> bool:
    return any(name in record(column.get("vectors")) for name in _VECTORS)


def _rows(columns: list[dict[str, Any]], ids: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The first rows of fields that come as a list each. ids: {"intId" | "strId": {"data"}}."""
    lists = {text(column.get("fieldName")): _cells(record(column.get("scalars"))) for column in columns}
    keys = next((_data(one) for one in (ids or {}).values()), [])
    if keys:
        lists = {"id": keys, **lists}
    length = min(MAX_MESSAGES, max(map(len, lists.values()), default=0))
    return [{name: cells[at] for name, cells in lists.items() if at < len(cells)} for at in range(length)]


def _data(holder: Any) -> list[Any]:
    return sequence(record(holder).get("data"))


def _cells(scalars: dict[str, Any]) -> list[Any]:
    for kind in _SCALARS:
        if kind in scalars:
            cells = _data(scalars[kind])
            if kind == "jsonData":  # bytes of JSON
                return [_raw(cell).decode("utf-8", "replace") for cell in islice(cells, MAX_MESSAGES)]
            return cells
    return []


def _rpc_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    results = record(fields.get("results"))
    columns = records(results.get("fieldsData")) or records(fields.get("fieldsData"))
    ids = record(results.get("ids"))
    rows = _rows(columns, ids)
    for row in rows:
        came(ai, row, identity(row.get("id")))
    done = first_count(*(fields.get(name) for name in ("insertCnt", "upsertCnt", "deleteCnt")))
    keys = next((_data(one) for one in ids.values()), [])
    returned(ai, done or getattr(keys, "length", len(keys)) or len(rows))
    return "status" in fields


_ENTITIES = Dialect(_entities_request, _entities_response)
_RPC = Dialect(_rpc_request, _rpc_response)

DIALECTS = {
    "milvus.search": _ENTITIES,
    "milvus.upsert": _ENTITIES,
    "milvus.get": _ENTITIES,
    "milvus.delete": _ENTITIES,
    "milvus.admin": Dialect(_admin_request, _entities_response),
    "milvus.rpc_search": _RPC,
    "milvus.rpc_upsert": _RPC,
    "milvus.rpc_get": _RPC,
    "milvus.rpc_delete": _RPC,
}
