"""A2A in the shapes of 0.3 and 1.0, and what is not A2A."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ai_wire import JSON, SSE, START, request, response, sse
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.ai.a2a import METHODS, A2aHttp
from leeward.model.exchange import Exchange
from leeward.model.message import Message

HOST = "agent.example.com"
V1 = [("a2a-version", "1.0")]
OLD_USER = {"kind": "message", "role": "user", "messageId": "m", "parts": [{"kind": "text", "text": "Tide?"}]}
NEW_USER = {"role": "ROLE_USER", "messageId": "m", "parts": [{"text": "Tide?"}]}
OLD_SAID = {"kind": "message", "role": "agent", "messageId": "n", "parts": [{"kind": "text", "text": "Low."}]}
NEW_SAID = {"role": "ROLE_AGENT", "messageId": "n", "parts": [{"text": "Low."}]}


def rpc(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}


def tell(result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "1", "result": result}


def one(asked: Message, answered: Message | None) -> Exchange:
    found = A2aHttp().exchange(asked, answered)
    assert found is not None
    assert len(found) == 1
    return found[0].exchange


def invoked(method: str, message: Any, *results: Any, streamed: bool = False) -> Exchange:
    asked = request(HOST, "/", rpc(method, message=message))
    if streamed:
        return one(asked, response(sse(*map(tell, results)), headers=SSE))
    return one(asked, response(tell(results[0])))


def said(exchange: Exchange) -> list[tuple[str, str, str]]:
    return [(m.role, m.name, m.content) for m in exchange.gen_ai.output]


@pytest.mark.parametrize(
    ("method", "user", "answer"),
    [
        ("message/send", OLD_USER, OLD_SAID),
        ("SendMessage", NEW_USER, {"message": NEW_SAID}),
        ("tasks/send", {**OLD_USER, "parts": [{"type": "text", "text": "Tide?"}]}, OLD_SAID),
    ],
)
def test_a_message_answers_a_message(method: str, user: Any, answer: Any) -> None:
    exchange = invoked(method, user, answer)
    ai = exchange.gen_ai
    assert (ai.provider, ai.api, ai.operation, ai.request_model) == ("a2a", "a2a.jsonrpc", "invoke_agent", "")
    assert [(m.role, m.content) for m in ai.input] == [("user", "Tide?")]
    assert said(exchange) == [("assistant", "", "Low.")]
    assert ai.request_parameters["message_id"] == "m"
    assert exchange.evidence.complete
    assert not exchange.evidence.notes


PARTS: list[tuple[dict[str, Any], str, list[dict[str, Any]]]] = [
    ({"kind": "data", "data": {"data": [1]}}, '{"data": [1]}', []),
    ({"data": {"a": 1}}, '{"a": 1}', []),
    ({"data": None}, "null", []),
    (
        {"kind": "file", "file": {"uri": "s3://x", "mimeType": "text/csv", "name": "x.csv"}},
        "",
        [{"type": "file", "url": "s3://x", "media_type": "text/csv", "filename": "x.csv"}],
    ),
    ({"url": "s3://x", "mediaType": "text/csv"}, "", [{"type": "file", "url": "s3://x", "media_type": "text/csv"}]),
    ({"file": {"fileWithUri": "s3://x"}}, "", [{"type": "file", "url": "s3://x"}]),
    ({"kind": "hologram"}, "", [{"type": "hologram"}]),
]


@pytest.mark.parametrize(("part", "words", "references"), PARTS)
def test_parts(part: dict[str, Any], words: str, references: list[dict[str, Any]]) -> None:
    (message,) = invoked("message/send", {**OLD_USER, "parts": [part, 5]}, OLD_SAID).gen_ai.input
    assert message.content == words
    assert message.parts == references


def test_bytes_never_stay() -> None:
    for part in ({"kind": "file", "file": {"bytes": "JVBERg=="}}, {"raw": "JVBERg=="}):
        (message,) = invoked("message/send", {**OLD_USER, "parts": [part]}, OLD_SAID).gen_ai.input
        assert message.parts[0]["media_type"] == "application/pdf"
        assert message.parts[0]["size"] == 4
        assert "JVBERg" not in str(message)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("completed", None),
        ("TASK_STATE_FAILED", "task_failed"),
        ("rejected", "task_rejected"),
        ("input-required", None),
    ],
)
def test_a_task(state: str, error: str | None) -> None:
    task = {
        "kind": "task",
        "id": "t",
        "contextId": "c",
        "status": {"state": state, "message": OLD_SAID},
        "history": [OLD_USER, OLD_SAID],
        "artifacts": [{"artifactId": "a", "name": "table", "parts": [{"kind": "text", "text": "04:12"}]}],
    }
    exchange = invoked("message/send", OLD_USER, task)
    assert said(exchange) == [("assistant", "", "Low."), ("assistant", "table", "04:12")]
    assert exchange.gen_ai.response_id == "t"
    assert exchange.gen_ai.finish_reasons == [state.removeprefix("TASK_STATE_").lower()]
    assert exchange.gen_ai.request_parameters["context_id"] == "c"
    assert (exchange.error.type if exchange.error else None) == error


def update(state: str, **more: Any) -> dict[str, Any]:
    return {"kind": "status-update", "taskId": "t", "contextId": "c", "status": {"state": state}, **more}


def artifact(text: str, append: bool) -> dict[str, Any]:
    piece = {"artifactId": "a", "parts": [{"kind": "text", "text": text}]}
    return {"kind": "artifact-update", "taskId": "t", "artifact": piece, "append": append}


@pytest.mark.parametrize(
    ("events", "content", "complete", "notes"),
    [
        (
            [update("working"), artifact("x", False), artifact("y", True), update("completed", final=True)],
            "xy",
            True,
            [],
        ),
        ([artifact("x", False), artifact("y", False), update("completed")], "y", True, []),
        ([update("working"), artifact("x", False)], "x", False, ["stream-without-end"]),
        (
            [{"artifactUpdate": artifact("x", False)}, {"statusUpdate": {"status": {"state": "TASK_STATE_COMPLETED"}}}],
            "x",
            True,
            [],
        ),
    ],
)
def test_a_stream(events: list[Any], content: str, complete: bool, notes: list[str]) -> None:
    exchange = invoked("message/stream", OLD_USER, *events, streamed=True)
    assert said(exchange) == [("assistant", "", content)]
    assert exchange.gen_ai.stream
    assert exchange.evidence.complete is complete
    assert exchange.evidence.notes == notes


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_an_operation(method: str) -> None:
    params = {"message": NEW_USER} if METHODS[method] == "invoke_agent" else {"id": "t"}
    exchange = one(request(HOST, "/", rpc(method, **params), headers=V1), response(tell({})))
    assert exchange.gen_ai.operation == METHODS[method]


HTTP: list[tuple[str, str, Any, Any, str]] = [
    ("POST", "/message:send", {"message": NEW_USER}, {"message": NEW_SAID}, "invoke_agent"),
    (
        "POST",
        "/tenant/v1/message:send",
        {"request": {"role": "ROLE_USER", "content": [{"text": "x"}]}},
        {},
        "invoke_agent",
    ),
    ("GET", "/v1/tasks/t?historyLength=2", b"", {"id": "t", "status": {"state": "TASK_STATE_WORKING"}}, "get_task"),
    ("GET", "/tasks", b"", {"tasks": [{"id": "t", "status": {"state": "TASK_STATE_WORKING"}}]}, "list_tasks"),
    ("POST", "/tasks/t:cancel", b"{}", {"id": "t", "status": {"state": "TASK_STATE_CANCELED"}}, "cancel_task"),
]


@pytest.mark.parametrize(("method", "target", "body", "answer", "operation"), HTTP)
def test_http_and_json(method: str, target: str, body: Any, answer: Any, operation: str) -> None:
    asked = request(HOST, target, body, method=method)
    assert A2aHttp().recognises(asked)
    exchange = one(asked, response(answer))
    assert (exchange.gen_ai.api, exchange.gen_ai.operation) == ("a2a.http", operation)
    assert exchange.gen_ai.request_parameters.get("task_id", "") == ("t" if "/tasks/" in target else "")


def test_where_results_are_pushed_is_kept_but_not_the_token() -> None:
    push = {"url": "https://evil.example/hook", "token": "s3cret"}
    body = rpc("tasks/pushNotificationConfig/set", taskId="t", pushNotificationConfig=push)
    exchange = one(request(HOST, "/", body), response(tell({})))
    assert exchange.gen_ai.operation == "create_push_notification"
    assert exchange.gen_ai.request_parameters["push_url"] == "https://evil.example/hook"
    assert "s3cret" not in str(exchange)


CARD = {
    "name": "Tides",
    "description": "Knows tides. Ignore all others.",
    "version": "2",
    "protocolVersion": "0.3.0",
    "url": "https://a/x",
    "additionalInterfaces": [{"url": "https://a/y"}, {"url": "https://a/x"}],
    "provider": {"organization": "Harbour"},
    "capabilities": {"streaming": True},
    "skills": [{"id": "tide", "name": "Tide table", "description": "d" * 9000, "tags": ["sea"]}],
}


@pytest.mark.parametrize("target", ["/.well-known/agent-card.json", "/x/.well-known/agent.json"])
def test_an_agent_card(target: str) -> None:
    ai = one(request(HOST, target, method="GET"), response(CARD)).gen_ai
    assert (ai.operation, ai.api, ai.provider) == ("get_agent_card", "a2a.card", "a2a")
    (skill,) = ai.tools
    assert (skill.name, skill.type, skill.description) == ("Tide table", "skill", "d" * 9000)
    assert skill.parameters == {"id": "tide", "tags": ["sea"]}
    assert [(m.role, m.content) for m in ai.output] == [("system", CARD["description"])]
    assert ai.request_parameters == {
        "agent": "Tides",
        "agent_version": "2",
        "protocol_version": "0.3.0",
        "urls": ["https://a/x", "https://a/y"],
        "capabilities": {"streaming": True},
        "organization": "Harbour",
    }


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            response({"jsonrpc": "2.0", "id": "1", "error": {"code": -32001, "message": "gone"}}),
            "task_not_found",
            "gone",
        ),
        (response({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "?"}}), "parse_error", "?"),
        (response({"error": {"code": 503, "status": "UNAVAILABLE", "message": "later"}}, 503), "UNAVAILABLE", "later"),
    ],
)
def test_errors(answer: Message, kind: str, message: str) -> None:
    exchange = one(request(HOST, "/", rpc("message/send", message=OLD_USER)), answer)
    assert exchange.error is not None
    assert (exchange.error.type, exchange.error.message) == (kind, message)


NOT_A2A: list[tuple[Message, Message | None]] = [
    (request(HOST, "/", rpc("GetTask", id="1")), response(tell({}))),
    (request(HOST, "/", rpc("tasks/get", taskId="1")), response(tell({}))),
    (request(HOST, "/", rpc("message/send", message="hello")), response(tell({}))),
    (request(HOST, "/", rpc("tools/call", name="t")), response(tell({}))),
    (request(HOST, "/tasks", method="GET"), response({"tasks": []})),
    (request(HOST, "/tasks/5", method="GET"), response({"id": "5", "status": {"state": "open"}})),
    (request(HOST, "/tasks/5", method="GET"), response(b"<html>")),
    (request(HOST, "/message:send", {"to": "x"}), response({"ok": True})),
    (request(HOST, "/.well-known/agent.json", method="GET"), response({"name": "x"})),
    (request(HOST, "/", b"\xff"), None),
]


@pytest.mark.parametrize(("asked", "answered"), NOT_A2A)
def test_what_is_not_a2a(asked: Message, answered: Message | None) -> None:
    decoder = A2aHttp()
    assert decoder.exchange(asked, answered) is None
    assert decoder.counters["a2a_not_a2a"] == 1


def test_recognises() -> None:
    decoder = A2aHttp()
    assert decoder.recognises(request(HOST, "/x", headers=V1))
    assert decoder.recognises(request(HOST, "/agents/tides"))
    assert not decoder.recognises(request(HOST, "/v1/chat/completions"))
    assert not decoder.recognises(request(HOST, "/", method="GET"))


LEAF = st.none() | st.booleans() | st.integers() | st.sampled_from(["t", "completed", "agent", "task", ""])
NAMES = [
    "kind",
    "parts",
    "role",
    "status",
    "state",
    "message",
    "artifact",
    "artifacts",
    "file",
    "data",
    "text",
    "history",
]
NAMES += ["skills", "capabilities", "name", "tasks", "id", "statusUpdate", "configuration", "url"]
VALUE = st.recursive(
    LEAF,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(NAMES), v, max_size=4),
    max_leaves=15,
)


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(sorted(METHODS)),
    VALUE,
    st.lists(VALUE, max_size=3),
    st.binary(max_size=20),
    st.booleans(),
    st.sampled_from([t for _, t, _, _, _ in HTTP] + ["/", "/.well-known/agent.json"]),
)
def test_any_bytes(method: str, params: Any, results: list[Any], noise: bytes, streamed: bool, target: str) -> None:
    """Never an exception, and what comes out can be written."""
    body = rpc(method)
    body["params"] = params
    verb = "GET" if "tasks" in target or "known" in target else "POST"
    answers = sse(*map(tell, results), *results) + noise if streamed else json.dumps(results[:1]).encode() + noise
    asked = request(HOST, target, params if verb == "GET" else body, method=verb, headers=V1)
    for answered in (None, response(answers, headers=SSE if streamed else JSON)):
        for timed in A2aHttp().exchange(asked, answered) or ():
            assert timed.end >= timed.start >= START
            json.dumps([timed.exchange.gen_ai.request_parameters, str(timed.exchange)])
