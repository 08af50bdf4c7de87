"""MCP over HTTP, both transports: whose answer comes on which stream, what is not MCP, what the headers say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ai_wire import JSON, SSE, START, request, response, sse
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.ai.mcp_http import MOST_SESSIONS, McpHttp
from leeward.model.exchange import TimedExchange
from leeward.model.message import Message

HOST = "mcp.example.com"
MS = 1_000_000
SESSION = ("mcp-session-id", "s-1")
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
SERVER = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "2"}}
TEXT = [{"type": "text", "text": "done"}]


def rpc(**fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", **fields}


def ask(method: str, number: Any = 1, **params: Any) -> dict[str, Any]:
    return rpc(id=number, method=method, params=params)


def tell(result: Any, number: Any = 1) -> dict[str, Any]:
    return rpc(id=number, result=result)


def post(body: Any, *headers: tuple[str, str], target: str = "/mcp", **more: Any) -> Message:
    return request(HOST, target, body, headers=headers, **more)


def get(*headers: tuple[str, str], target: str = "/mcp") -> Message:
    return request(HOST, target, method="GET", headers=[("accept", "text/event-stream"), *headers])


def stream(*events: Any, headers: Any = (), **more: Any) -> Message:
    """A response of server-sent events, one a millisecond."""
    whole = sse(*events)
    marks = [(len(sse(*events[: i + 1])), START + (i + 1) * MS) for i in range(len(events))]
    return response(whole, headers=[*SSE, *headers], marks=marks, end=START + 99 * MS, **more)


def accepted() -> Message:
    return response(b"Accepted", 202, headers=[("content-type", "text/plain")])


def operations(found: list[TimedExchange] | None) -> list[str]:
    assert found is not None
    return [timed.exchange.gen_ai.operation for timed in found]


def test_one_answer_as_json() -> None:
    (found,) = McpHttp().exchange(post(ask("tools/call", name="t"), SESSION), response(tell({"content": TEXT}))) or []
    exchange = found.exchange
    assert (exchange.gen_ai.api, exchange.gen_ai.stream) == ("mcp.http", False)
    assert (exchange.http.method, exchange.http.url, exchange.http.status) == ("POST", f"{HOST}/mcp", 200)
    assert exchange.http.user_agent == "test/1.0"
    assert exchange.gen_ai.output[0].content == "done"


def test_one_answer_on_a_stream_with_what_the_server_says_before() -> None:
    decoder = McpHttp()
    decoder.exchange(post(ask("initialize", 0, **HELLO)), response(tell(SERVER, 0), headers=[*JSON, SESSION]))
    # The client answers the server's question on another connection before the stream ends.
    assert decoder.exchange(post(tell({"roots": []}, 9), SESSION), response(b"", 202)) == []
    events = [
        rpc(method="notifications/progress", params={"progressToken": 5, "progress": 1}),
        ask("roots/list", 9),
        tell({"content": TEXT}, 5),
    ]
    asked = post(ask("tools/call", 5, name="t", _meta={"progressToken": 5}), SESSION)
    roots, call = decoder.exchange(asked, stream(*events)) or []
    assert operations([roots, call]) == ["roots_list", "execute_tool"]
    assert (call.start, call.end) == (START, START + 3 * MS)
    assert call.exchange.evidence.notes == ["notification:progress"]
    assert call.exchange.gen_ai.stream
    for name, value in (("server", "s"), ("client", "c"), ("protocol_version", "2025-11-25")):
        assert call.exchange.gen_ai.request_parameters[name] == value
    assert not decoder.counters["mcp_answers_without_request"]
    (end,) = decoder.exchange(request(HOST, "/mcp", method="DELETE", headers=[SESSION]), response(b"")) or []
    assert end.exchange.gen_ai.operation == "delete_session"
    assert end.exchange.gen_ai.request_parameters["server"] == "s"
    assert decoder.close(START) == []


def test_a_batch() -> None:
    body = [ask("tools/call", 1, name="a"), rpc(method="notifications/initialized"), ask("tools/call", 2, name="b")]
    found = McpHttp().exchange(post(body), response([tell({}, 2), tell({}, 1)])) or []
    assert [timed.exchange.gen_ai.tool_calls[0].name for timed in found] == ["b", "a"]


def test_an_answer_may_come_on_a_stream_that_resumes_the_first() -> None:
    decoder = McpHttp()
    cut = stream(rpc(method="notifications/message", params={}), complete=False)
    assert decoder.exchange(post(ask("tools/call", 5, name="t"), SESSION), cut) == []
    resumed = decoder.exchange(get(SESSION, ("last-event-id", "7")), stream(tell({"content": TEXT}, 5)))
    assert operations(resumed) == ["execute_tool"]
    assert operations(decoder.exchange(post(ask("ping", 6)), cut)) == ["ping"]  # without a session none can


def test_http_with_sse() -> None:
    decoder = McpHttp()
    where = "/messages/?session_id=7"
    for body in (ask("initialize", 0, **HELLO), ask("tools/call", 1, name="t"), ask("tools/call", 2, name="never")):
        assert decoder.exchange(post(body, target=where), accepted()) == []
    assert decoder.exchange(post(ask("tools/list", 1), target="/messages/?session_id=8"), accepted()) == []
    assert decoder.exchange(post(tell({"roots": []}, 1), target=where), accepted()) == []
    body = sse(("endpoint", where), ("message", tell(SERVER, 0)), ("message", ask("roots/list", 1)))
    body += sse(("message", tell({"content": TEXT}, 1)))
    body = body.replace(json.dumps(where).encode(), where.encode())
    found = decoder.exchange(get(target="/sse"), response(body, headers=SSE, end=START + 9 * MS)) or []
    assert operations(found) == ["initialize", "roots_list", "execute_tool", "execute_tool"]
    assert {timed.exchange.gen_ai.api for timed in found} == {"mcp.sse"}
    assert found[0].exchange.http.url == HOST + where
    assert found[2].exchange.gen_ai.output[0].content == "done"
    assert found[3].exchange.evidence.notes == ["no-response"]
    assert not found[3].exchange.evidence.complete
    assert operations(decoder.close(START)) == ["list_tools"]


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ("message?x=1", "/a/message?x=1"),
        ("/message?x=1", "/message?x=1"),
        (f"https://{HOST.upper()}/m", "/m"),
        (f"//{HOST}/m", "/m"),
    ],
)
def test_the_endpoint_may_be_relative(where: str, target: str) -> None:
    decoder = McpHttp()
    decoder.exchange(post(ask("ping", 1, _meta={}), ("mcp-method", "ping"), target=target), accepted())
    body = f"event: endpoint\ndata: {where}\n\n".encode() + sse(tell({}, 1))
    assert operations(decoder.exchange(get(target="/a/sse"), response(body, headers=SSE))) == ["ping"]


@pytest.mark.parametrize("where", ["http://[::1/x", "", "not a path <html>"])
def test_a_bad_endpoint_is_counted(where: str) -> None:
    decoder = McpHttp()
    body = f"event: endpoint\ndata: {where}\n\n".encode()
    decoder.exchange(get(target="/sse"), response(body, headers=SSE))
    assert decoder.counters["mcp_bad_endpoint"] == (1 if where else 0)


STATELESS = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call")]


@pytest.mark.parametrize(
    ("method", "name", "notes"),
    [
        ("tools/call", "rm", []),
        ("tools/call", "=?base64?cm0=?=", []),
        ("tools/call", "ls", ["mcp-header-mismatch"]),
        ("tools/list", "rm", ["mcp-header-mismatch"]),
    ],
)
def test_headers_that_say_otherwise_than_the_body(method: str, name: str, notes: list[str]) -> None:
    headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method), ("mcp-name", name)]
    (found,) = McpHttp().exchange(post(ask("tools/call", name="rm"), *headers), response(tell({"content": TEXT}))) or []
    assert found.exchange.evidence.notes == notes
    assert found.exchange.gen_ai.request_parameters["protocol_version"] == "2026-07-28"


def test_headers_tell_what_the_body_does_not() -> None:
    asked = post(b"", *STATELESS, ("mcp-name", "rm"), truncated=True)
    (found,) = McpHttp().exchange(asked, response(tell({"content": TEXT}, 77))) or []
    assert [call.name for call in found.exchange.gen_ai.tool_calls] == ["rm"]
    assert found.exchange.gen_ai.output[0].content == "done"
    assert found.exchange.evidence.notes == ["request-unreadable"]
    assert found.exchange.evidence.truncated


KEY = "sk-ant-api03-" + "A" * 93 + "AA"


@pytest.mark.parametrize(
    ("answer", "kind", "message", "complete", "notes"),
    [
        (response(b"no", 401, headers=()), "401", "no", True, []),
        (response({"error": "expired"}, 404), "404", "expired", True, []),
        (response(rpc(id=None, error={"code": -32600, "message": "bad"}), 400), "invalid_request", "bad", True, []),
        (response(rpc(id="server-error", error={"code": 1, "message": "x"}), 400), "jsonrpc_error", "x", True, []),
        (response(rpc(id=1, error={"code": -32601, "message": KEY})), "method_not_found", "[secret]", True, []),
        (response(b"<html>"), None, "", False, ["response-unreadable"]),
        (response(b"{}"), None, "", False, ["response-unreadable"]),
        (stream(), None, "", False, ["no-response"]),
        (None, None, "", False, ["no-response"]),
    ],
)
def test_refusals(answer: Message | None, kind: str | None, message: str, complete: bool, notes: list[str]) -> None:
    (found,) = McpHttp().exchange(post(ask("tools/call", name="t")), answer) or []
    error = found.exchange.error
    assert (error.type, error.message) == (kind, message) if error else kind is None
    assert found.exchange.evidence.complete is complete
    assert found.exchange.evidence.notes == notes


NOT_MCP: list[tuple[Message, Message | None]] = [
    (post(ask("eth_call"), target="/"), response(tell("0x"))),
    (post(ask("ping"), target="/"), response(tell({}))),
    (post(ask("initialize", processId=1)), response(tell({"capabilities": {}}))),
    (post(ask("tasks/get", id="1")), response(tell({}))),
    (post(ask("message/send", message={"role": "user", "parts": []})), response(tell({}))),
    (post({"model": "m", "messages": []}), response({"choices": []})),
    (post(b"\xff\x00"), None),
    (post(b""), response(b"")),
    (post(b"grant_type=x", ("mcp-protocol-version", "2025-06-18"), target="/token"), response({})),
    (get(target="/.well-known/oauth-protected-resource"), response({})),
    (get(), stream({"tick": 1})),
    (request(HOST, "/mcp", method="DELETE"), response(b"")),
    (request(HOST, "/mcp", method="PUT"), response(b"")),
]


@pytest.mark.parametrize(("asked", "answered"), NOT_MCP)
def test_what_is_not_mcp(asked: Message, answered: Message | None) -> None:
    assert McpHttp().exchange(asked, answered) is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (post(b""), True),
        (post(b"", target="/api/v2/mcp/"), True),
        (post(b"", target="/messages/?session_id=1"), True),
        (get(target="/sse"), True),
        (get(target="/events"), True),
        (post(b"", ("accept", "application/json, text/event-stream"), target="/x"), True),
        (post(b"", ("mcp-method", "ping"), target="/x"), True),
        (post(b"", target="/"), False),
        (post(b"", ("accept", "application/json"), target="/compresses"), False),
        (request(HOST, "/assets/message-icon.png", method="GET"), True),
        (request(HOST, "/", method="GET", headers=[("accept", "text/html")]), False),
    ],
)
def test_recognises(asked: Message, expected: bool) -> None:
    assert McpHttp().recognises(asked) is expected


def test_sessions_are_bounded_and_what_waits_can_expire() -> None:
    decoder = McpHttp()
    out: list[TimedExchange] = []
    for number in range(MOST_SESSIONS + 3):
        out += decoder.exchange(post(ask("tools/list"), target=f"/messages?s={number}"), accepted()) or []
    assert [timed.exchange.evidence.complete for timed in out] == [False] * 3
    assert decoder.counters["mcp_sessions_evicted"] == 3
    assert decoder.expire(START, START) == []
    assert len(decoder.expire(START + 1, START + 1)) == MOST_SESSIONS
    assert decoder.close(START) == []


VALUES = st.sampled_from(
    [
        ask("tools/call", 1, name="t"),
        ask("initialize", 2, **HELLO),
        tell({"content": TEXT}, 1),
        tell(SERVER, 2),
        rpc(id=None, error={}),
        rpc(method="notifications/cancelled", params={"requestId": 1}),
        [tell({}, 1), 5, [], {}],
        {},
        ask("", 1),
    ]
)
BODIES = (
    VALUES.map(lambda v: json.dumps(v).encode())
    | st.lists(VALUES, max_size=3).map(lambda v: sse(*v))
    | st.binary(max_size=40)
)
HEADERS = st.lists(
    st.sampled_from([SESSION, *STATELESS, ("mcp-name", "=?base64?A?="), ("mcp-method", "\xff")]), max_size=3
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["POST", "GET", "DELETE"]),
            BODIES,
            st.none() | BODIES,
            HEADERS,
            st.sampled_from([200, 202, 405, 500]),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_any_bytes(steps: Any) -> None:
    """Never an exception; no request comes out twice."""
    decoder = McpHttp()
    out: list[TimedExchange] = []
    for method, body, answer, headers, status, streamed in steps:
        asked = request(HOST, "/mcp", body, method=method, headers=headers)
        kind = SSE if streamed else JSON
        decoder.recognises(asked)
        out += decoder.exchange(asked, None if answer is None else response(answer, status, headers=kind)) or []
    out += decoder.close(START + MS)
    assert len({id(timed.exchange) for timed in out}) == len(out)
    assert all(timed.end >= timed.start for timed in out)
