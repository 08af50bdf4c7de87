"""What GraphQL and JSON-RPC ask for, by the body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.model.message import Message
from leeward.wire.body_calls import MOST, called, is_call


def post(target: str = "/api/graphql?v=1", method: str = "POST") -> Message:
    return Message(index=0, version="1.1", method=method, target=target)


NAMED = "query Order($id: ID!) { order(id: $id) { id total } }"


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"operationName": "Order", "query": NAMED, "variables": {"id": "52300"}}, "order/52300"),
        ({"query": "{ order(id: 52301) { id } }"}, "order/52301"),
        ({"query": 'mutation { done: cancelOrder(orderId: "a-1") { ok } }'}, "cancelOrder/a-1"),
        ({"query": "{ orders { id total } }"}, "orders"),
        ({"query": "{ a(id: 1) { id } b(id: 2) { id } }"}, "a"),  # two things
        ({"query": NAMED, "variables": {"id": "x" * 65}}, "order"),
        ({"query": NAMED, "variables": {"id": {"deep": 1}}}, "order"),
        ({"jsonrpc": "2.0", "id": 9, "method": "user.get", "params": {"user_id": 7}}, "user.get/7"),
        ({"jsonrpc": "2.0", "id": 9, "method": "a/../b", "params": [7]}, ""),
        ({"query": 3}, ""), ({"method": ["x"]}, ""), ([{"query": "{ a }"}], ""), ("x", ""),
    ],
)  # fmt: skip
def test_called(body: Any, call: str) -> None:
    assert called(post(), json.dumps(body).encode()) == call


def test_only_what_is_whole_and_asked_so() -> None:
    body = json.dumps({"query": "{ orders { id } }"}).encode()
    assert called(post(), body[:-3]) == called(post(), body + b" " * MOST) == called(post(), b"") == ""
    assert called(post("/orders"), body) == called(post(method="GET"), body) == ""
    assert [is_call(post(path)) for path in ("/rpc", "/v1/jsonrpc/", "/graphql-docs", "/rpc/x")] == [
        True,
        True,
        False,
        False,
    ]


words = st.sampled_from(["query", "variables", "method", "params", "id"]) | st.text()
values = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(words, inner)
)


@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_any_body(body: bytes) -> None:
    assert len(called(post(), body)) <= 130
