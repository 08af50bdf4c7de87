"""Anthropic's Messages API, streamed and not, as its reference shows it."""

from __future__ import annotations

from typing import Any

from ai_wire import SSE, START, must, named, request, response

HOST = "api.anthropic.com"
PATH = "/v1/messages"
ASK: dict[str, Any] = {
    "model": "claude-sonnet-4",
    "max_tokens": 256,
    "system": [
        {"type": "text", "text": "Be "},
        {"type": "text", "text": "brief.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "tu_1", "name": "weather", "input": {"city": "Oslo", "n": 1.0}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "before"},
                {
                    "type": "tool_result",
                    "tool_use_id": "tu_1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "ra"},
                        {"type": "text", "text": "in"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}},
                    ],
                },
                {"type": "tool_result", "tool_use_id": "tu_2", "content": "plain"},
                {"type": "image", "source": {"type": "url", "url": "https://x.example/i.png"}},
                {
                    "type": "document",
                    "title": "notes",
                    "source": {"type": "text", "media_type": "text/plain", "data": "secret plan"},
                },
                {"type": "text", "text": "after"},
            ],
        },
    ],
    "tools": [
        {"name": "weather", "description": "Now", "input_schema": {"type": "object"}},
        {"type": "bash_20250124", "name": "bash"},
    ],
    "tool_choice": {"type": "auto"},
    "temperature": 1,
}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-2025",
    "content": [
        {"type": "thinking", "thinking": "let me", "signature": "x"},
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "raining é"},
        {"type": "tool_use", "id": "tu_9", "name": "weather", "input": {"city": "Bergen"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 7,
        "output_tokens": 25,
        "output_tokens_details": {"thinking_tokens": 4},
    },
}


def test_request() -> None:
    ai = must(request(HOST, PATH, ASK)).gen_ai
    assert (ai.provider, ai.api, ai.operation, ai.request_model) == (
        "anthropic",
        "anthropic.messages",
        "chat",
        "claude-sonnet-4",
    )
    assert [(m.role, m.content, m.tool_call_id, m.name) for m in ai.input] == [
        ("system", "Be brief.", "", ""),
        ("user", "Weather?", "", ""),
        ("assistant", "Looking.", "", ""),
        ("user", "before", "", ""),
        ("tool", "rain", "tu_1", ""),
        ("tool", "plain", "tu_2", ""),
        ("user", "", "", ""),
        ("user", "secret plan", "", "notes"),
        ("user", "after", "", ""),
    ]
    assert ai.input[2].reasoning == "hm"
    assert ai.input[2].tool_calls[0].arguments == '{"city": "Oslo", "n": 1.0}'
    assert [part["type"] for part in ai.input[4].parts] == ["image", "tool_result"]
    assert ai.input[6].parts == [{"type": "image", "url": "https://x.example/i.png"}]
    assert [(tool.name, tool.type) for tool in ai.tools] == [("weather", "function"), ("bash", "bash_20250124")]
    assert ai.request_parameters == {"max_tokens": 256, "temperature": 1, "tool_choice": {"type": "auto"}}


def test_response() -> None:
    found = must(request(HOST, PATH, ASK, headers=[("x-api-key", "sk-" + "ant-api03-" + "a" * 20)]), response(ANSWER))
    ai = found.gen_ai
    assert len(ai.output) == 1
    assert (ai.output[0].content, ai.output[0].reasoning) == ("It is raining é", "let me")
    assert [(call.id, call.name, call.arguments) for call in ai.tool_calls] == [
        ("tu_9", "weather", '{"city": "Bergen"}')
    ]
    assert (ai.input_tokens, ai.cached_input_tokens, ai.output_tokens, ai.reasoning_tokens) == (20, 7, 25, 4)
    assert (ai.response_id, ai.response_model, ai.finish_reasons) == ("msg_1", "claude-sonnet-4-2025", ["tool_use"])
    assert found.key is not None
    assert (found.key.provider, found.key.header) == ("anthropic", "x-api-key")
    assert found.evidence.complete is True
    assert found.evidence.notes == []


def _events() -> list[dict[str, Any]]:
    start = {**ANSWER, "content": [], "stop_reason": None, "usage": {"input_tokens": 10, "output_tokens": 1}}

    def delta(index: int, **fields: Any) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": fields}

    return [
        {"type": "message_start", "message": start},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "ping"},
        delta(0, type="thinking_delta", thinking="let "),
        delta(0, type="thinking_delta", thinking="me"),
        delta(0, type="signature_delta", signature="x"),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        delta(1, type="text_delta", text="It is "),
        delta(1, type="text_delta", text="raining é"),
        {"type": "content_block_stop", "index": 1},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "tu_9", "name": "weather", "input": {}},
        },
        delta(2, type="input_json_delta", partial_json=""),
        delta(2, type="input_json_delta", partial_json='{"city": '),
        delta(2, type="input_json_delta", partial_json='"Bergen"}'),
        {"type": "content_block_stop", "index": 2},
        {
            "type": "content_block_start",
            "index": 3,
            "content_block": {"type": "tool_use", "id": "tu_a", "name": "now", "input": {}},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 25}},
        {"type": "message_stop"},
    ]


def test_stream() -> None:
    events = _events()
    body = named(*events)
    first = len(named(*events[:4]))
    marks = [(first, START + 2_000_000), (len(body), START + 3_000_000)]
    found = must(request(HOST, PATH, {**ASK, "stream": True}), response(body, headers=SSE, marks=marks))
    ai = found.gen_ai
    assert (ai.output[0].content, ai.output[0].reasoning) == ("It is raining é", "let me")
    assert [(call.id, call.name, call.arguments) for call in ai.tool_calls] == [
        ("tu_9", "weather", '{"city": "Bergen"}'),
        ("tu_a", "now", "{}"),
    ]
    assert (ai.input_tokens, ai.output_tokens, ai.finish_reasons) == (10, 25, ["tool_use"])
    assert (ai.response_id, ai.stream, ai.time_to_first_token_ms) == ("msg_1", True, 2.0)
    assert found.evidence.complete is True
    assert found.evidence.notes == []


def test_stream_cut_anywhere_gives_a_prefix() -> None:
    body = named(*_events())
    for end in range(0, len(body), 37):
        found = must(request(HOST, PATH, ASK), response(body[:end], headers=SSE, complete=False))
        assert found.evidence.complete is False
        words = found.gen_ai.output[0].content if found.gen_ai.output else ""
        assert "It is raining é".startswith(words)


def test_error_events_and_bodies() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    midway = must(request(HOST, PATH, ASK), response(named(*_events()[:9], error), headers=SSE))
    assert midway.gen_ai.output[0].content == "It is "
    refused = must(request(HOST, PATH, ASK), response({**error, "request_id": "r"}, status=529))
    for found in (midway, refused):
        assert found.error is not None
        assert (found.error.type, found.error.message) == ("overloaded_error", "Overloaded")


def test_server_tool_results_are_kept_as_tool_messages() -> None:
    content = [
        {"type": "server_tool_use", "id": "st", "name": "web_search", "input": {"query": "q"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "st",
            "content": [
                {"type": "web_search_result", "url": "https://x.example", "title": "T", "encrypted_content": "zzz"}
            ],
        },
        {"type": "text", "text": "done"},
    ]
    ai = must(request(HOST, PATH, ASK), response({**ANSWER, "content": content})).gen_ai
    assert [(m.role, m.content[:4]) for m in ai.output] == [("assistant", ""), ("tool", '[{"t'), ("assistant", "done")]
    assert "zzz" not in ai.output[1].content
    assert [(call.name, call.type) for call in ai.tool_calls] == [("web_search", "server_tool_use")]


def test_count_tokens() -> None:
    found = must(request(HOST, PATH + "/count_tokens", ASK), response({"input_tokens": 99}))
    assert (found.gen_ai.operation, found.gen_ai.input_tokens) == ("count_tokens", 99)
    assert found.gen_ai.input[0].role == "system"
