"""Dispatch: shape tests on unknown hosts, evidence, errors, truncation, and input that no API ever sent."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ai_wire import JSON, NDJSON, SSE, exchange, lines, match, must, request, response, sse
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.ai.catalogue import Match, default_catalogue
from leeward.ai.decode import DIALECTS, decode

SUITE = Path(__file__).parents[3] / "shared" / "data" / "json" / "test_parsing"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CHAT_ANSWER = {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}
NOT_THE_SHAPE = [
    ("POST", "/v1/messages", {"to": "bob", "text": "hello"}, {"ok": True}),
    ("POST", "/v1/messages", {"messages": [{"role": "user", "content": "x"}]}, {"id": "1", "type": "sms"}),
    ("POST", "/v1/messages", {"model": "m", "messages": [{"role": "user"}]}, {"sent": 1}),
    ("GET", "/v1/models", b"", {"data": [{"id": 1, "make": "Volvo"}]}),
    ("GET", "/v1/models", b"", [{"id": "x"}]),
    ("GET", "/v1/models", b"", b"<html>"),
    ("POST", "/surveys/9/responses", {"input": "x"}, {"ok": 1}),
    ("POST", "/embeddings", {"text": "x"}, {"vector": [1]}),
    ("POST", "/chat/completions", {"messages": []}, {"ok": 1}),
    ("POST", "/api/chat", {"message": "hi"}, {"reply": "hi"}),
    ("POST", "/api/chat", {"messages": [{"role": "user", "content": "x"}]}, {"reply": "hi"}),
    ("POST", "/api/generate", {"prompt": "x"}, {"image": "x"}),
    ("POST", "/api/pull", {"id": 1}, {"status": "success"}),
    ("GET", "/api/tags", b"", {"models": [{"name": "red"}]}),
    ("GET", "/api/tags", b"", ["a"]),
    ("POST", "/v1/completions", b"", b""),
]


@pytest.mark.parametrize(("method", "path", "asked", "answered"), NOT_THE_SHAPE)
def test_other_applications_are_left_alone(method: str, path: str, asked: Any, answered: Any) -> None:
    assert exchange(request("app.example", path, asked, method=method), response(answered), 443) is None
    assert exchange(request("app.example", path, asked, method=method), response(answered, status=404), 443) is None
    assert exchange(request("app.example", path, asked, method=method), None, 443) is None


def test_shape_of_either_side_is_enough() -> None:
    only_request = must(request("gw", "/v1/chat/completions", CHAT), response(b"<html>bad gateway</html>", status=502))
    assert only_request.error is not None
    assert (only_request.error.type, only_request.error.message) == ("502", "<html>bad gateway</html>")
    only_response = must(request("gw", "/v1/chat/completions", b"", complete=False), response(CHAT_ANSWER))
    assert only_response.gen_ai.output[0].content == "hi"
    assert "request-incomplete" in only_response.evidence.notes


def test_not_the_shape_is_counted() -> None:
    counters: Counter[str] = Counter()
    asked = request("app.example", "/v1/messages", {"a": 1})
    found = match(asked)
    assert found is not None
    assert decode(asked, None, found, counters=counters) is None
    assert counters == {"ai-not-the-shape": 1}


def test_known_host_without_the_shape_is_an_exchange_with_a_note() -> None:
    found = must(request("api.openai.com", "/v1/chat/completions", {"x": 1}), response({"y": 2}))
    assert found.evidence.notes == ["unexpected-shape"]


def test_api_without_a_decoder() -> None:
    target = "/v1beta/tunedModels/x:transferOwnership?key=" + "AI" + "za" + "a" * 35
    found = must(request("generativelanguage.googleapis.com", target, {"contents": []}), response({"candidates": []}))
    assert (found.gen_ai.provider, found.gen_ai.operation, found.gen_ai.api) == ("gcp.gemini", "unknown", "unknown")
    assert found.http.url == "generativelanguage.googleapis.com/v1beta/tunedModels/x:transferOwnership?key=[secret]"
    assert found.key is not None
    assert (found.key.provider, found.key.header) == ("gcp.gemini", "query:key")
    assert found.evidence.notes == []
    refused = must(
        request("api.cohere.com", "/v2/chat", {"model": "command-r"}), response({"message": "no"}, status=401)
    )
    assert refused.error is not None
    assert (refused.error.type, refused.error.message, refused.gen_ai.request_model) == ("401", "no", "command-r")


def test_headers_betray_the_provider_behind_a_gateway() -> None:
    headers = [*JSON, ("openai-organization", "org"), ("openai-version", "1"), ("x-litellm-model-id", "7")]
    found = must(request("gw.corp", "/chat/completions", CHAT), response(CHAT_ANSWER, headers=headers))
    assert found.evidence.notes == ["upstream:openai", "upstream:litellm"]
    own = must(request("api.openai.com", "/v1/chat/completions", CHAT), response(CHAT_ANSWER, headers=headers[:3]))
    assert own.evidence.notes == []


ERRORS = [
    (
        {"error": {"message": "bad", "type": "invalid_request_error", "param": None, "code": None}},
        ("invalid_request_error", "bad", ""),
    ),
    ({"error": {"message": "bad", "code": 400, "status": "INVALID_ARGUMENT"}}, ("INVALID_ARGUMENT", "bad", "400")),
    ([{"error": {"message": "bad", "code": 400}}], ("400", "bad", "400")),
    ({"error": "bad"}, ("400", "bad", "")),
    ({"detail": "bad"}, ("400", "bad", "")),
    ({"detail": [{"loc": ["x"]}]}, ("400", '[{"loc":["x"]}]', "")),
    ({"object": "error", "message": "bad", "type": "x", "code": 3}, ("x", "bad", "3")),
    (b"upstream timed out", ("400", "upstream timed out", "")),
    (b"", ("400", "Bad Request", "")),
    (b"\xff\xfe", ("400", "\ufffd\ufffd", "")),
    ({"error": 5}, ("400", '{"error": 5}', "")),
]


@pytest.mark.parametrize(("body", "wanted"), ERRORS)
def test_error_bodies(body: Any, wanted: tuple[str, str, str]) -> None:
    answered = response(body, status=400, reason="Bad Request")
    found = must(request("api.openai.com", "/v1/chat/completions", CHAT), answered).error
    assert found is not None
    assert (found.type, found.message, found.code) == wanted


def test_keys_do_not_survive_in_error_messages() -> None:
    key = "sk-" + "proj-" + "a1B2" * 8
    body = {"error": {"message": f"Incorrect API key provided: {key}."}}
    headers = [("authorization", f"Bearer {key}")]
    found = must(request("api.openai.com", "/v1/chat/completions", CHAT, headers=headers), response(body, status=401))
    assert key not in msgspec.json.encode(found).decode()
    assert found.key is not None
    assert found.key.provider == "openai"


def test_truncated_request_keeps_what_is_there() -> None:
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "A"}, {"role": "user", "content": "B" * 5000}],
    }
    data = json.dumps(body).encode()[:3000]
    found = must(request("gw", "/v1/chat/completions", data, truncated=True, body_size=9000), response(CHAT_ANSWER))
    assert found.gen_ai.request_model == "gpt-4o"
    assert found.gen_ai.input[0].content == "A"
    assert set(found.gen_ai.input[1].content) == {"B"}
    assert len(found.gen_ai.input[1].content) > 2800
    assert found.evidence.truncated is True
    assert "request-json-mended" in found.evidence.notes


def test_truncated_anthropic_request_keeps_tool_arguments() -> None:
    block = {"type": "tool_use", "id": "t", "name": "sh", "input": {"cmd": "ls", "n": 1}}
    body = {
        "model": "c",
        "max_tokens": 1,
        "messages": [{"role": "assistant", "content": [block]}, {"role": "user", "content": "x" * 99}],
    }
    found = must(request("gw", "/v1/messages", json.dumps(body).encode()[:-60], truncated=True), None)
    assert found.gen_ai.input[0].tool_calls[0].arguments == '{"cmd": "ls", "n": 1}'


def test_anomalies_and_gaps_become_evidence() -> None:
    asked = request("gw", "/v1/chat/completions", CHAT, anomalies=["bad-gzip", "bad-gzip"])
    found = must(asked, response(CHAT_ANSWER, gap=True, truncated=True, anomalies=["expansion-limit"]))
    assert found.evidence.gap is True
    assert found.evidence.truncated is True
    assert found.evidence.notes == ["bad-gzip", "expansion-limit"]


def test_stream_without_a_content_type_and_json_with_a_stream_request() -> None:
    body = sse({"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]})
    found = must(request("gw", "/v1/chat/completions", CHAT), response(body, headers=[]))
    assert (found.gen_ai.output[0].content, found.gen_ai.stream) == ("hi", True)
    found = must(request("gw", "/v1/chat/completions", {**CHAT, "stream": True}), response(CHAT_ANSWER))
    assert found.gen_ai.output[0].content == "hi"


def test_absolute_target_and_authority() -> None:
    asked = request("gw", "http://user:pw@proxy.example/v1/chat/completions", CHAT)
    assert must(asked, response(CHAT_ANSWER)).http.url == "http://[secret]@proxy.example/v1/chat/completions"
    asked = request("gw", "/v1/chat/completions", CHAT)
    asked.headers = [(":authority" if name == "host" else name, value) for name, value in asked.headers]
    found = decode(asked, None, Match("x", "openai.chat", "chat", False))
    assert found is not None
    assert found.http.url == "gw/v1/chat/completions"


PART_FIELDS = (
    "type text role content id name input output arguments function tool_calls image_url source data url "
    "item response error index delta choices message messages model usage embedding system tools thinking "
    "images"
)
BODY_FIELDS = (
    "model messages system tools input prompt instructions stream choices usage content error output "
    "response delta item index type message done data models embeddings text content_block functions "
    "options format status images id object"
)
EVENT_TYPES = (
    "message_start content_block_start content_block_delta message_delta response.output_item.added "
    "response.output_item.done response.output_text.delta response.function_call_arguments.delta "
    "response.completed error"
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["text", "user", "tool_use", "function_call", "message"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(PART_FIELDS.split()),
            inner,
            max_size=5,
        )
    ),
    max_leaves=14,
)
BODIES = st.dictionaries(st.sampled_from(BODY_FIELDS.split()), JUNK, max_size=6)
TYPES = st.sampled_from(EVENT_TYPES.split())


def _survives(api: str, asked: bytes, answered: bytes, headers: Any, status: int = 200) -> None:
    for certain in (True, False):
        found = decode(
            request("h", "/x", asked),
            response(answered, status=status, headers=headers),
            Match("p", api, "chat", certain),
        )
        assert found is not None or not certain
        if found is not None:
            assert msgspec.json.decode(msgspec.json.encode(found))["gen_ai"]["api"] == api


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([*DIALECTS, "unknown"]),
    BODIES,
    st.lists(st.tuples(TYPES, BODIES), max_size=4),
    st.sampled_from([200, 500]),
)
def test_any_values_anywhere(api: str, asked: Any, events: Any, status: int) -> None:
    body = json.dumps(asked).encode("utf-8", "replace")
    _survives(api, body, body, JSON, status)
    _survives(api, body, sse(*((kind, {**fields, "type": kind}) for kind, fields in events)), SSE, status)
    _survives(api, body, sse(*(fields for _, fields in events), done=True), SSE, status)
    _survives(api, body, lines(*(fields for _, fields in events)), NDJSON, status)


SEEDS = {
    "openai.chat": CHAT,
    "openai.responses": {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]},
    "anthropic.messages": {
        "model": "m",
        "max_tokens": 1,
        "system": "s",
        "messages": [{"role": "user", "content": [{"type": "tool_result", "content": []}]}],
    },
    "ollama.chat": {
        "model": "m",
        "messages": [{"role": "user", "content": "x", "images": ["AAAA"]}],
        "options": {"a": 1},
    },
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [path, *(place for key, item in items for place in _places(item, (*path, key)))]


def _replace(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replace(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=40, deadline=None)
@given(JUNK)
def test_the_wrong_value_in_each_place(junk: Any) -> None:
    for api, seed in SEEDS.items():
        for path in _places(seed):
            body = json.dumps(_replace(seed, path, junk)).encode("utf-8", "replace")
            _survives(api, body, body, JSON)


@pytest.mark.skipif(not SUITE.is_dir(), reason="shared/data/json is absent")
def test_json_test_suite_as_bodies() -> None:
    bodies = [path.read_bytes() for path in sorted(SUITE.glob("*.json"))]
    for body in bodies:
        for api in DIALECTS:
            _survives(api, body, body, JSON)
    for body in bodies[::7]:
        flat = body.replace(b"\r", b"").replace(b"\n", b"")
        _survives("openai.chat", body, b"data: " + flat + b"\n\n", SSE)
        _survives("ollama.chat", body, flat + b"\n", NDJSON)


def test_depth_bombs_in_every_kept_place() -> None:
    bomb = b"[" * 700 + b"]" * 700
    for api, body in (
        (
            "openai.chat",
            b'{"model":"m","messages":[{"role":"user","content":%s}],"tools":[{"type":"function","function":{"name":"f","parameters":%s}}],"tool_choice":%s}',
        ),
        (
            "anthropic.messages",
            b'{"model":"m","messages":[{"role":"user","content":[{"type":"tool_use","input":%s}]}],"tools":[{"name":"f","input_schema":%s}],"thinking":%s}',
        ),
    ):
        _survives(api, body % (bomb, bomb, bomb), gzip.compress(b"x", mtime=0), JSON)


def test_default_catalogue_is_loaded_once() -> None:
    assert default_catalogue() is default_catalogue()
