"""Vector stores: Pinecone, Qdrant, Weaviate, Chroma, Milvus, OpenAI's. Bodies as the APIs' references give them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ai_wire import NDJSON, exchange, lines, must, request, response
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai import vector_chroma, vector_milvus, vector_pinecone, vector_qdrant, vector_stores, vector_weaviate
from leeward.ai.catalogue import Match
from leeward.ai.decode import DIALECTS, decode
from leeward.ai.grpc_bodies import TABLES
from leeward.model.exchange import ChatMessage, GenAI

PINECONE = "docs-example-4zo0ijk.svc.us-east1-aws.pinecone.io"
GRPC = [("content-type", "application/grpc")]


def said(messages: list[ChatMessage]) -> list[tuple[str, str, str]]:
    return [(message.role, message.content, message.name) for message in messages]


def read(
    host: str, target: str, asked: Any, answered: Any, method: str = "POST", port: int = 443, **more: Any
) -> GenAI:
    found = must(request(host, target, asked, method, **more), response(answered), port)
    assert found.evidence.notes == []
    return found.gen_ai


# Pinecone


def test_pinecone_query() -> None:
    asked = {
        "namespace": "example-namespace",
        "vector": [0.1, 0.2, 0.3],
        "filter": {"genre": {"$eq": "action"}},
        "topK": 3,
        "includeMetadata": True,
        "includeValues": True,
    }
    match = {"id": "vec3", "score": 0.08, "values": [0.1, 0.2, 0.3], "metadata": {"genre": "action", "year": 2020}}
    ai = read(PINECONE, "/query", asked, {"matches": [match], "namespace": "example-namespace", "usage": {}})
    assert (ai.provider, ai.operation, ai.api, ai.embeddings) == ("pinecone", "vector_search", "pinecone.query", 2)
    assert ai.request_parameters == {
        "collection": "docs-example-4zo0ijk",
        "namespace": "example-namespace",
        "top_k": 3,
        "filter": '{"genre":{"$eq":"action"}}',
        "count": 1,
    }
    assert said(ai.output) == [("tool", "genre: action\nyear: 2020", "vec3")]


def test_pinecone_upsert_on_any_host() -> None:
    vectors = [
        {"id": "v1", "values": [0.1, 0.2], "metadata": {"text": "secret plan", "tags": ["a", "b"]}},
        {"id": "v2", "values": [0.1, 0.2], "sparseValues": {"indices": [1], "values": [0.5]}},
    ]
    for host, provider in ((PINECONE, "pinecone"), ("localhost:5081", "pinecone")):
        ai = read(host, "/vectors/upsert", {"vectors": vectors, "namespace": "n"}, {"upsertedCount": 2})
        assert (ai.provider, ai.operation, ai.embeddings) == (provider, "vector_upsert", 3)
        assert (ai.request_parameters["count"], ai.request_parameters["namespace"]) == (2, "n")
        assert said(ai.input) == [("user", "text: secret plan\ntags: a\ntags: b", "v1")]
    assert exchange(request("box", "/vectors/upsert", {"vectors": ["svg"]}), response({"ok": True})) is None


def test_pinecone_records_are_lines_and_searched_by_text() -> None:
    rows = lines({"_id": "rec1", "chunk_text": "Apples are great.", "category": "food"}, {"_id": "rec2", "n": 1})
    asked = request(PINECONE, "/records/namespaces/ns%201/upsert", rows)
    asked.headers = [(k, v) for k, v in asked.headers if k != "content-type"] + NDJSON
    found = must(asked, response(b"", 201))
    assert (found.gen_ai.operation, found.evidence.notes) == ("vector_upsert", [])
    assert found.gen_ai.request_parameters == {"collection": "docs-example-4zo0ijk", "namespace": "ns 1", "count": 2}
    assert said(found.gen_ai.input) == [
        ("user", "chunk_text: Apples are great.\ncategory: food", "rec1"),
        ("user", "n: 1", "rec2"),
    ]
    query = {"query": {"inputs": {"text": "Disease prevention"}, "top_k": 4}, "rerank": {"model": "bge", "top_n": 2}}
    hits = [{"_id": "rec3", "_score": 0.8, "fields": {"chunk_text": "Rich in vitamin C"}}]
    ai = read("gw.corp", "/records/namespaces/n/search", query, {"result": {"hits": hits}, "usage": {"read_units": 6}})
    assert (ai.provider, ai.operation, ai.request_model) == ("pinecone", "vector_search", "bge")
    assert said(ai.input) == [("user", "Disease prevention", "")]
    assert said(ai.output) == [("tool", "chunk_text: Rich in vitamin C", "rec3")]
    assert ai.request_parameters == {"namespace": "n", "top_k": 4, "count": 1}


def test_pinecone_other_operations() -> None:
    ai = read(PINECONE, "/vectors/delete", {"deleteAll": True, "namespace": "n"}, {})
    assert (ai.operation, ai.request_parameters["delete_all"]) == ("vector_delete", True)
    held = {"vectors": {"id-1": {"id": "id-1", "values": [1.0], "metadata": {"t": "x"}}}, "namespace": "n", "usage": {}}
    ai = read(PINECONE, "/vectors/fetch?ids=id-1&ids=id-2&namespace=n", b"", held, "GET")
    assert (ai.operation, ai.embeddings, said(ai.output)) == ("vector_get", 1, [("tool", "t: x", "id-1")])
    assert ai.request_parameters == {"collection": "docs-example-4zo0ijk", "namespace": "n", "count": 2}
    ai = read(PINECONE, "/vectors/update", {"id": "a", "setMetadata": {"t": "new"}}, {})
    assert said(ai.input) == [("user", "t: new", "a")]
    assert read(PINECONE, "/vectors/update", {"id": "a", "values": [0.1]}, {}).embeddings == 1
    assert read(PINECONE, "/namespaces/old", b"", {}, "DELETE").request_parameters["namespace"] == "old"
    assert read(PINECONE, "/vectors/delete", {"filter": {"a": 1}}, {}).request_parameters["filter"] == '{"a":1}'
    assert read("api.pinecone.io", "/indexes/docs", b"", b"", "DELETE").request_parameters == {"collection": "docs"}
    index = {"name": "docs", "dimension": 1536, "metric": "cosine", "spec": {}}
    ai = read("api.pinecone.io", "/indexes", index, {**index, "host": "h"})
    assert (ai.operation, ai.request_parameters) == ("vector_admin", {"collection": "docs", "dimension": 1536})
    ai = read("api.pinecone.io", "/indexes", b"", {"indexes": [index]}, "GET")
    assert ai.request_parameters == {"count": 1}


# Qdrant

QDRANT = "xyz.eu-central.aws.cloud.qdrant.io:6333"


@pytest.mark.parametrize("host", [QDRANT, "10.0.0.7:6333"])
def test_qdrant_points(host: str) -> None:
    points = [
        {"id": 1, "vector": [0.9, 0.1], "payload": {"text": "Köln", "n": {"a": True}}},
        {"id": "u-2", "vector": {"d": [1]}},
    ]
    done = {"result": {"operation_id": 0, "status": "completed"}, "status": "ok", "time": 0.002}
    ai = read(host, "/collections/docs/points?wait=true", {"points": points}, done, "PUT", 6333)
    assert (ai.provider, ai.operation, ai.embeddings) == ("qdrant", "vector_upsert", 2)
    assert (ai.request_parameters, said(ai.input)) == (
        {"collection": "docs", "count": 2},
        [("user", "text: Köln\nn.a: true", "1")],
    )
    hit = {"id": 4, "version": 3, "score": 0.75, "payload": {"text": "ho"}, "vector": None}
    asked = {"vector": [0.2, 0.1], "limit": 3, "filter": {"must": []}, "with_payload": True}
    ai = read(host, "/collections/docs/points/search", asked, {"result": [hit], "status": "ok", "time": 0.01})
    assert (ai.operation, ai.embeddings, said(ai.output)) == ("vector_search", 1, [("tool", "text: ho", "4")])
    assert ai.request_parameters == {"collection": "docs", "top_k": 3, "filter": '{"must":[]}', "count": 1}


def test_qdrant_queries_texts_and_batches() -> None:
    asked = {"searches": [{"query": {"text": "what?", "model": "bm25"}, "limit": 2}, {"query": [0.1], "limit": 2}]}
    hits = [{"points": [{"id": 1, "score": 1, "payload": {"t": "a"}}]}, {"points": []}]
    ai = read("q", "/collections/c/points/query/batch", asked, {"result": hits, "status": "ok", "time": 0})
    assert (ai.request_model, said(ai.input), said(ai.output), ai.embeddings) == (
        "bm25",
        [("user", "what?", "")],
        [("tool", "t: a", "1")],
        1,
    )
    groups = {"groups": [{"id": "g", "hits": [{"id": 9, "score": 1, "payload": {"t": "b"}}]}]}
    ai = read("q", "/collections/c/points/search/groups", {"vector": [1], "limit": 1}, {"result": groups, "time": 0})
    assert said(ai.output) == [("tool", "t: b", "9")]
    batch = {"batch": {"ids": [1, 2], "vectors": [[0.1], [0.2]], "payloads": [{"t": "x"}, None]}}
    ai = read("q", "/collections/c/points", batch, {"result": {}, "status": "ok", "time": 0}, "PUT")
    assert (ai.embeddings, ai.request_parameters["count"], said(ai.input)) == (2, 2, [("user", "t: x", "1")])
    changes = {"operations": [{"upsert": {"points": [{"id": 7, "vector": [1.0], "payload": {"t": "y"}}]}}]}
    ai = read("q", "/collections/c/points/batch", changes, {"result": [], "status": "ok", "time": 0})
    assert (ai.operation, said(ai.input)) == ("vector_upsert", [("user", "t: y", "7")])


def test_qdrant_other_operations() -> None:
    done = {"result": {"status": "acknowledged"}, "status": "ok", "time": 0}
    ai = read("q", "/collections/c/points/delete", {"points": [1, 2, 3]}, done)
    assert (ai.operation, ai.request_parameters["count"]) == ("vector_delete", 3)
    page = {"points": [{"id": 1, "payload": {"t": "z"}, "vector": [0.5]}], "next_page_offset": 2}
    ai = read("q", "/collections/c/points/scroll", {"limit": 1}, {"result": page, "status": "ok", "time": 0})
    assert (ai.operation, said(ai.output), ai.embeddings) == ("vector_get", [("tool", "t: z", "1")], 1)
    ai = read("q", "/collections/c/points/count", {"exact": True}, {"result": {"count": 9}, "status": "ok", "time": 0})
    assert ai.request_parameters == {"collection": "c", "count": 9}
    ai = read("q", "/collections/c/points", {"ids": [1]}, {"result": [], "status": "ok", "time": 0})
    assert (ai.operation, ai.request_parameters["count"]) == ("vector_get", 1)
    ai = read(QDRANT, "/collections/c", {"vectors": {"size": 4}}, {"result": True, "status": "ok", "time": 0}, "PUT")
    assert (ai.operation, ai.request_parameters) == ("vector_admin", {"collection": "c"})
    assert exchange(request("shop", "/collections/c/points", {"customer": 1}), response({"points": 5})) is None


# gRPC


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def pb(*fields: tuple[int, Any]) -> bytes:
    """A protobuf message: numbers are varints, text and bytes have their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def rpc(path: str, asked: bytes, answered: bytes) -> GenAI:
    frames = [b"\0" + len(data).to_bytes(4, "big") + data for data in (asked, answered)]
    call = request("10.0.0.7:6334", path, frames[0])
    call.headers = [("host", "10.0.0.7:6334"), *GRPC]
    found = must(call, response(frames[1], headers=GRPC), 6334)
    assert found.evidence.notes == []
    return found.gen_ai


def numbered(message: str) -> dict[str, int]:
    """The field numbers of a message, from the tables that the decoder reads."""
    messages = json.loads((TABLES / f"{'weaviate' if 'weaviate' in message else 'milvus'}.json").read_text())[
        "messages"
    ]
    return {row[0]: int(number) for number, row in messages[message].items()}


FLOATS = b"\0\0\x80\x3f" * 3


def test_qdrant_rpc() -> None:
    payload = pb((1, "text"), (2, pb((4, "Köln"))))
    point = pb((1, pb((1, 7))), (3, payload), (4, pb((1, pb((1, FLOATS))))))
    ai = rpc("/qdrant.Points/Upsert", pb((1, "docs"), (3, point)), pb((1, pb((2, 2)))))
    assert (ai.provider, ai.operation, ai.embeddings, ai.request_parameters) == (
        "qdrant",
        "vector_upsert",
        1,
        {"collection": "docs", "count": 1},
    )
    assert said(ai.input) == [("user", "text: Köln", "7")]
    hit = pb((1, pb((2, "u-1"))), (2, payload))
    ai = rpc("/qdrant.Points/Search", pb((1, "docs"), (2, FLOATS), (4, 5)), pb((1, hit)))
    assert (ai.operation, ai.embeddings, ai.request_parameters) == (
        "vector_search",
        1,
        {"collection": "docs", "top_k": 5, "count": 1},
    )
    assert said(ai.output) == [("tool", "text: Köln", "u-1")]
    ids = pb((1, pb((1, pb((1, 1))), (1, pb((1, 2))))))
    ai = rpc("/qdrant.Points/Delete", pb((1, "docs"), (3, ids)), pb((1, pb((2, 2)))))
    assert (ai.operation, ai.request_parameters) == ("vector_delete", {"collection": "docs", "count": 2})


def test_weaviate_rpc() -> None:
    search, result = numbered("weaviate.v1.SearchRequest"), numbered("weaviate.v1.PropertiesResult")
    near = pb((1, "about apples"))
    asked = pb((1, "Article"), (search["tenant"], "t1"), (search["limit"], 2), (search["nearText"], near))
    values = numbered("weaviate.v1.Value")
    value = pb((values["textValue"], "An apple"))
    plain = pb((1, pb((1, "title"), (2, value))))
    found = pb((1, pb((result["nonRefProps"], plain))), (2, pb((1, "uuid-1"))))
    ai = rpc("/weaviate.v1.Weaviate/Search", asked, pb((2, found)))
    assert (ai.provider, ai.operation, ai.request_parameters) == (
        "weaviate",
        "vector_search",
        {"collection": "Article", "namespace": "t1", "top_k": 2, "count": 1},
    )
    assert (said(ai.input), said(ai.output)) == (
        [("user", "about apples", "")],
        [("tool", "title: An apple", "uuid-1")],
    )
    struct = pb((1, pb((1, "title"), (2, pb((3, "A pear"))))))
    one = pb((1, "uuid-2"), (3, pb((1, struct))), (4, "Article"), (6, FLOATS))
    ai = rpc("/weaviate.v1.Weaviate/BatchObjects", pb((1, one)), pb())
    assert (ai.operation, ai.embeddings, said(ai.input)) == ("vector_upsert", 1, [("user", "title: A pear", "uuid-2")])


def test_milvus_rpc() -> None:
    data, scalars = numbered("milvus.proto.schema.FieldData"), numbered("milvus.proto.schema.ScalarField")
    found, results = numbered("milvus.proto.schema.SearchResultData"), numbered("milvus.proto.milvus.SearchResults")
    texts = pb((scalars["stringData"], pb((1, "one"), (1, "two"))))
    column = pb((data["fieldName"], "text"), (data["scalars"], texts))
    vector = pb((data["fieldName"], "v"), (data["vectors"], pb((1, 3), (2, pb((1, FLOATS * 2))))))
    insert = numbered("milvus.proto.milvus.InsertRequest")
    asked = pb(
        (insert["collectionName"], "docs"),
        (insert["partitionName"], "p"),
        (insert["fieldsData"], column),
        (insert["fieldsData"], vector),
        (insert["numRows"], 2),
    )
    ai = rpc("/milvus.proto.milvus.MilvusService/Insert", asked, pb((1, pb((2, "")))))
    assert (ai.provider, ai.operation, ai.embeddings, ai.request_parameters) == (
        "milvus",
        "vector_upsert",
        2,
        {"collection": "docs", "partition": "p", "count": 2},
    )
    assert said(ai.input) == [("user", "text: one", ""), ("user", "text: two", "")]
    search = numbered("milvus.proto.milvus.SearchRequest")
    pair = pb((1, "topk"), (2, "5"))
    asked = pb((search["collectionName"], "docs"), (search["nq"], 1), (search["searchParams"], pair))
    group = pb((1, pb((1, "$0"), (2, 21), (3, "what did we say?"))))
    words = pb((search["collectionName"], "docs"), (search["nq"], 1), (search["placeholderGroup"], group))
    ai = rpc("/milvus.proto.milvus.MilvusService/Search", words, pb((1, pb((2, "")))))
    assert (said(ai.input), ai.embeddings) == ([("user", "what did we say?", "")], None)
    vectors = pb((1, pb((1, "$0"), (2, 101), (3, FLOATS))))
    asked += pb((search["placeholderGroup"], vectors))
    rows = pb((found["fieldsData"], column), (found["ids"], pb((1, pb((1, b"\x0a\x0b"))))))
    ai = rpc("/milvus.proto.milvus.MilvusService/Search", asked, pb((1, pb((2, ""))), (results["results"], rows)))
    assert (ai.operation, ai.embeddings, ai.request_parameters) == (
        "vector_search",
        1,
        {"collection": "docs", "top_k": 5, "count": 2},
    )
    assert said(ai.output) == [("tool", "id: 10\ntext: one", "10"), ("tool", "id: 11\ntext: two", "11")]


# Weaviate


def test_weaviate_graphql() -> None:
    query = """{ Get { Article(limit: 2, tenant: "t", nearText: {concepts: ["fashion", "a \\"b\\""], vector: [0.1]})
        { title _additional { id distance generate(singleResult: {prompt: "Sum up {title}"}) { singleResult error } } } } }"""
    more = {"id": "u-1", "distance": 0.1, "generate": {"singleResult": "Short.", "error": None}}
    answered = {"data": {"Get": {"Article": [{"title": "Hats", "_additional": more}]}}}
    for host, provider in (("x.weaviate.cloud", "weaviate"), ("weaviate.default.svc:8080", "weaviate")):
        ai = read(host, "/v1/graphql", {"query": query}, answered)
        assert (ai.provider, ai.operation, ai.embeddings) == (provider, "vector_search", 1)
        assert ai.request_parameters == {"collection": "Article", "namespace": "t", "top_k": 2, "count": 1}
        assert [message.content for message in ai.input] == ["fashion", 'a "b"', "Sum up {title}"]
        assert said(ai.output) == [("tool", "title: Hats\ngenerate.singleResult: Short.", "u-1")]
    other = request("api.corp", "/v1/graphql", {"query": "query Me { user { name } }"})
    assert exchange(other, response({"data": {"user": {"name": "x"}}})) is None


def test_weaviate_objects() -> None:
    one = {"class": "Article", "id": "u-1", "properties": {"title": "Hats"}, "vector": [0.1, 0.2], "tenant": "t"}
    ai = read("wv", "/v1/objects", one, {**one, "creationTimeUnix": 1})
    assert (ai.provider, ai.operation, ai.embeddings, ai.output) == ("weaviate", "vector_upsert", 1, [])
    assert ai.request_parameters == {"collection": "Article", "namespace": "t", "count": 1}
    assert said(ai.input) == [("user", "title: Hats", "u-1")]
    ai = read("wv", "/v1/batch/objects", {"objects": [one, one]}, [{**one, "result": {"status": "SUCCESS"}}])
    assert (ai.request_parameters["count"], len(ai.input), ai.embeddings) == (2, 2, 2)
    ai = read("wv", "/v1/objects?class=Article&limit=1", b"", {"objects": [one], "totalResults": 1}, "GET")
    assert (ai.operation, said(ai.output)) == ("vector_get", [("tool", "title: Hats", "u-1")])
    match = {"match": {"class": "Article", "where": {"operator": "Equal"}}}
    ai = read("wv", "/v1/batch/objects", match, {**match, "results": {}}, "DELETE")
    assert (ai.operation, ai.request_parameters["collection"]) == ("vector_delete", "Article")
    ai = read("x.weaviate.cloud", "/v1/objects/Article/u-1", b"", one, "GET")
    assert (ai.operation, ai.request_parameters["collection"]) == ("vector_get", "Article")
    ai = read("x.weaviate.cloud", "/v1/objects/Article/u-1", b"", b"", "DELETE")
    assert (ai.operation, ai.request_parameters["collection"]) == ("vector_delete", "Article")
    assert read("x.weaviate.cloud", "/v1/schema", {"class": "Article"}, {}).operation == "vector_admin"
    assert exchange(request("s3.corp", "/v1/objects", {"bucket": "b"}), response({"etag": "x"})) is None


# Chroma

V2 = "/api/v2/tenants/default_tenant/databases/default_database/collections/3fa85f64"


@pytest.mark.parametrize(
    ("host", "base"), [("api.trychroma.com", V2), ("chroma:8000", V2), ("chroma:8000", "/api/v1/collections/3f")]
)
def test_chroma(host: str, base: str) -> None:
    asked = {
        "ids": ["a", "b"],
        "embeddings": [[0.1, 0.2], "AACAPw=="],
        "documents": ["Hello", None],
        "metadatas": [{"p": 1}, {"q": "x"}],
    }
    ai = read(host, f"{base}/add", asked, True)
    assert (ai.provider, ai.operation, ai.embeddings, ai.request_parameters["count"]) == (
        "chroma",
        "vector_upsert",
        2,
        2,
    )
    assert said(ai.input) == [("user", "document: Hello\np: 1", "a"), ("user", "q: x", "b")]
    asked = {"query_embeddings": [[0.1], [0.2]], "n_results": 2, "where": {"p": 1}, "include": ["documents"]}
    answered = {"ids": [["a"], ["b", "c"]], "documents": [["Hello"], [None, "Ho"]], "metadatas": [[None], [None, None]],
                "distances": [[0.1], [0.2, 0.3]], "embeddings": None}  # fmt: skip
    ai = read(host, f"{base}/query", asked, answered)
    assert (ai.operation, ai.embeddings, said(ai.output)) == (
        "vector_search",
        2,
        [("tool", "Hello", "a"), ("tool", "Ho", "c")],
    )
    assert {k: v for k, v in ai.request_parameters.items() if k not in ("collection", "namespace")} == {
        "top_k": 2,
        "count": 3,
        "filter": '{"p":1}',
    }
    held = {"ids": ["a"], "documents": ["Hello"], "metadatas": None, "embeddings": [[0.1]]}
    ai = read(host, f"{base}/get", {"limit": 1}, held)
    assert (ai.operation, said(ai.output), ai.embeddings) == ("vector_get", [("tool", "Hello", "a")], 1)
    ai = read(host, f"{base}/delete", {"ids": ["a"]} if "/v2/" in base else {"ids": ["a"], "where": None}, {})
    assert (ai.operation, ai.request_parameters["count"]) == ("vector_delete", 1)


def test_chroma_collections() -> None:
    made = {"id": "3fa8", "name": "docs", "database": "d", "tenant": "t", "metadata": None}
    base = V2.rpartition("/")[0]
    ai = read("box:8000", base, {"name": "docs", "get_or_create": True}, made)
    assert (ai.operation, ai.request_parameters) == (
        "vector_admin",
        {"collection": "docs", "namespace": "default_tenant/default_database"},
    )
    assert read("api.trychroma.com", V2, b"", {}, "DELETE").operation == "vector_admin"
    assert read("api.trychroma.com", f"{V2}/count", b"", 7, "GET").api == "chroma.collection"
    assert read("box:8000", base, b"", [made], "GET").request_parameters["count"] == 1
    assert (
        exchange(request("shop", "/api/v1/collections", {"name": "spring"}), response({"id": 1, "name": "s"})) is None
    )


# Milvus

ZILLIZ = "in03-x.serverless.gcp-us-west1.cloud.zilliz.com"


@pytest.mark.parametrize("host", [ZILLIZ, "in01-x.aws-us-west-2.vectordb.zillizcloud.com", "10.0.0.3:19530"])
def test_milvus(host: str) -> None:
    asked = {
        "collectionName": "quick_setup",
        "data": [[0.3, -0.6]],
        "annsField": "vector",
        "limit": 3,
        "outputFields": ["color"],
    }
    answered = {"code": 0, "cost": 6, "data": [{"color": "pink_8682", "distance": 1, "id": 0}]}
    ai = read(host, "/v2/vectordb/entities/search", asked, answered)
    assert (ai.provider, ai.operation, ai.embeddings) == ("milvus", "vector_search", 1)
    assert ai.request_parameters == {"collection": "quick_setup", "top_k": 3, "count": 1}
    assert said(ai.output) == [("tool", "color: pink_8682\nid: 0", "0")]
    rows = [{"id": 1, "vector": [0.1, 0.2], "color": "red"}, {"id": 2, "vector": [0.1, 0.2], "color": "blue"}]
    asked = {"collectionName": "quick_setup", "dbName": "db", "partitionName": "p", "data": rows}
    ai = read(host, "/v2/vectordb/entities/insert", asked, {"code": 0, "data": {"insertCount": 2, "insertIds": [1, 2]}})
    assert (ai.operation, ai.embeddings) == ("vector_upsert", 2)
    assert ai.request_parameters == {"collection": "quick_setup", "namespace": "db", "partition": "p", "count": 2}
    assert said(ai.input) == [("user", "id: 1\ncolor: red", "1"), ("user", "id: 2\ncolor: blue", "2")]


def test_milvus_other_operations() -> None:
    hybrid = [
        {"data": ["white headphones"], "annsField": "sparse", "limit": 2},
        {"data": [[0.1]], "annsField": "d", "limit": 2},
    ]
    asked = {"collectionName": "c", "search": hybrid, "rerank": {"strategy": "rrf"}, "limit": 2}
    ai = read("m:19530", "/v2/vectordb/entities/hybrid_search", asked, {"code": 0, "data": []})
    assert (ai.embeddings, said(ai.input)) == (1, [("user", "white headphones", "")])
    asked = {"collectionName": "c", "filter": "id in [1,2]"}
    ai = read("m:19530", "/v2/vectordb/entities/delete", asked, {"code": 0, "cost": 0, "data": {}})
    assert (ai.operation, ai.request_parameters) == ("vector_delete", {"collection": "c", "filter": "id in [1,2]"})
    ai = read(
        "m:19530",
        "/v2/vectordb/entities/get",
        {"collectionName": "c", "id": [1, 3]},
        {"code": 0, "data": [{"id": 1, "t": "x"}]},
    )
    assert (ai.operation, ai.request_parameters["count"], said(ai.output)) == (
        "vector_get",
        2,
        [("tool", "id: 1\nt: x", "1")],
    )
    ai = read("m:19530", "/v2/vectordb/collections/drop", {"collectionName": "c"}, {"code": 0, "data": {}})
    assert (ai.operation, ai.request_parameters) == ("vector_admin", {"collection": "c"})


# OpenAI


@pytest.mark.parametrize("host", ["api.openai.com", "llama-stack:8321"])
def test_openai_vector_stores(host: str) -> None:
    found = {
        "object": "vector_store.search_results.page",
        "search_query": ["return policy"],
        "data": [{"file_id": "file-1", "filename": "a.txt", "score": 0.9, "attributes": {"author": "Z"},
                  "content": [{"type": "text", "text": "Within 30 days"}]}],
        "has_more": False,
    }  # fmt: skip
    ai = read(host, "/v1/vector_stores/vs_1/search", {"query": "return policy", "max_num_results": 5}, found)
    assert (ai.operation, ai.api, ai.request_parameters) == (
        "vector_search",
        "openai.vector_search",
        {"collection": "vs_1", "top_k": 5, "count": 1},
    )
    assert said(ai.input) == [("user", "return policy", "")]
    assert said(ai.output) == [("tool", "Within 30 days", "file-1"), ("tool", "author: Z", "file-1")]
    file = {"id": "file-1", "object": "vector_store.file", "vector_store_id": "vs_1", "status": "in_progress"}
    ai = read(host, "/v1/vector_stores/vs_1/files", {"file_id": "file-1"}, file)
    assert (ai.operation, ai.request_parameters) == ("vector_upsert", {"collection": "vs_1", "file_id": "file-1"})
    store = {"id": "vs_1", "object": "vector_store", "name": "FAQ", "file_counts": {"total": 0}}
    ai = read(host, "/v1/vector_stores", {"name": "FAQ"}, store)
    assert (ai.operation, ai.response_id, ai.request_parameters) == ("vector_admin", "vs_1", {"name": "FAQ"})


def test_openai_vector_stores_on_known_hosts() -> None:
    gone = {"id": "vs_1", "object": "vector_store.deleted", "deleted": True}
    assert read("api.openai.com", "/v1/vector_stores/vs_1", b"", gone, "DELETE").operation == "vector_admin"
    target = "/v1/vector_stores/vs_1/files/file-1"
    gone = {"id": "file-1", "object": "vector_store.file.deleted", "deleted": True}
    assert read("api.openai.com", target, b"", gone, "DELETE").operation == "vector_delete"
    page = {"object": "vector_store.file_content.page", "data": [{"type": "text", "text": "All of it"}]}
    ai = read("api.openai.com", f"{target}/content", b"", page, "GET")
    assert (ai.operation, said(ai.output)) == ("vector_get", [("tool", "All of it", "")])


# Any


def test_what_is_kept_is_bounded_and_no_data() -> None:
    rows = [{"id": str(n), "values": [0.1], "metadata": {"t": "x" * 100_000, "i": "A" * 4096}} for n in range(200)]
    ai = read(PINECONE, "/vectors/upsert", {"vectors": rows}, {"upsertedCount": 200})
    assert (len(ai.input), ai.embeddings, ai.request_parameters["count"]) == (64, 200, 200)
    assert all(len(message.content) <= 64 << 10 for message in ai.input)
    assert vector_stores.shown({"i": "A" * 4096, "d": "data:image/png;base64,AAAA"}) == (
        "i: [data, 4096 characters]\nd: [data, 26 characters]"
    )
    assert vector_stores.shown({"deep": [[["a"]], [1.5, 2.5], None, {"b": 1.5}]}) == "deep: a\ndeep.b: 1.5"


MODULES = (vector_chroma, vector_milvus, vector_pinecone, vector_qdrant, vector_weaviate)
APIS = sorted(
    {api for module in MODULES for api in module.DIALECTS} | {a for a in DIALECTS if a.startswith("openai.vector")}
)
FIELDS = [
    "vectors", "points", "ids", "documents", "metadatas", "embeddings", "metadata", "values", "payload", "result",
    "data", "matches", "hits", "query", "inputs", "text", "vector", "searches", "operations", "upsert",
    "batch", "id", "class", "properties", "objects", "fieldsData", "scalars", "stringData", "search", "collectionName",
    "structValue", "fields", "listValue", "filter", "namespace", "where", "results", "intId", "placeholderGroup", "requests",
]  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=16,
)


@given(st.sampled_from(APIS), anything, anything)
def test_any_json(api: str, asked: object, answered: object) -> None:
    for operation in ("vector_search", "vector_get"):
        decode(request("h", "/collections/c/objects?x", asked), response(answered), Match("x", api, operation, True))
