"""OpenAI's APIs, streamed and not, as its reference shows them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from ai_wire import SSE, START, must, named, request, response, sse

HOST = "api.openai.com"
TOOL = {"name": "weather", "description": "Weather now", "parameters": {"type": "object", "properties": {"city": {}}}}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()
ASK: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "What is "},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                {"type": "text", "text": "this? \u00e9\U0001f600"},
                {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ],
    "tools": [{"type": "function", "function": TOOL}],
    "tool_choice": "auto",
    "temperature": 0.2,
    "seed": 7,
    "response_format": {"type": "json_schema", "json_schema": {"name": "x"}},
    "reasoning_effort": "low",
}
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def _chunk(delta: dict[str, Any], index: int = 0, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-2024", "choices": [choice], **more}


def test_chat_request_is_read_whole() -> None:
    found = must(request(HOST, "/v1/chat/completions", ASK), None)
    ai = found.gen_ai
    assert (ai.provider, ai.operation, ai.api, ai.request_model) == ("openai", "chat", "openai.chat", "gpt-4o")
    assert [message.role for message in ai.input] == ["developer", "user", "assistant", "tool"]
    user = ai.input[1]
    assert (user.content, user.name) == ("What is this? é😀", "ann")
    digest = hashlib.sha256(base64.b64decode(PNG)).hexdigest()
    assert user.parts == [
        {"type": "image", "media_type": "image/png", "size": 12, "sha256": digest},
        {"type": "image", "url": "https://x.example/i.png"},
        {"type": "audio", "media_type": "audio/wav", "size": 3, "sha256": hashlib.sha256(b"\0\0\0").hexdigest()},
        {"type": "file", "file_id": "file-1"},
    ]
    call = ai.input[2].tool_calls[0]
    assert (call.id, call.name, call.arguments, call.type) == ("call_1", "weather", '{"city": "Oslo"}', "function")
    assert (ai.input[3].content, ai.input[3].tool_call_id) == ("rain", "call_1")
    assert (ai.tools[0].name, ai.tools[0].description, ai.tools[0].parameters) == tuple(TOOL.values())
    assert ai.tool_calls == []
    assert ai.request_parameters == {
        "temperature": 0.2,
        "seed": 7,
        "tool_choice": "auto",
        "reasoning_effort": "low",
        "response_format": "json_schema",
    }
    assert found.evidence.complete is False
    assert found.http.status is None


def test_chat_response_with_two_choices() -> None:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"},
            {
                "index": 1,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}},
                        {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}},
                    ],
                },
                "finish_reason": "tool_calls",
            },
        ],
        "usage": USAGE,
    }
    found = must(request(HOST, "/v1/chat/completions?key=abc", ASK), response(body))
    ai = found.gen_ai
    assert [message.content for message in ai.output] == ["Hi", ""]
    assert [(call.id, call.name, call.arguments, call.type) for call in ai.tool_calls] == [
        ("c1", "weather", '{"a":1}', "function"),
        ("c2", "sh", "ls -l", "custom"),
    ]
    assert ai.output[1].tool_calls == ai.tool_calls
    assert ai.finish_reasons == ["stop", "tool_calls"]
    assert (ai.input_tokens, ai.output_tokens, ai.cached_input_tokens, ai.reasoning_tokens) == (30, 12, 8, 5)
    assert (ai.response_id, ai.response_model, ai.stream) == ("chatcmpl-1", "gpt-4o-2024", False)
    assert found.evidence.complete is True
    assert found.evidence.notes == []
    assert (found.http.method, found.http.status, found.http.user_agent) == ("POST", 200, "test/1.0")
    assert found.http.url == "api.openai.com/v1/chat/completions?key=[secret]"
    assert found.error is None
    assert ai.time_to_first_token_ms is None


def test_chat_stream() -> None:
    fragments = ['{"ci', 'ty":"O', 'slo"}']
    calls = [{"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}]
    deltas = [
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"reasoning_content": "hm "}),
        _chunk({"content": "It is \u00e9"}),
        _chunk({"content": " fine"}),
        _chunk({"tool_calls": calls}),
        *(_chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in fragments),
        _chunk({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "b", "arguments": "{}"}}]}),
        _chunk({"content": "two"}, index=1),
        _chunk({}, reason="tool_calls"),
        _chunk({}, index=1, reason="stop"),
        {"id": "chatcmpl-1", "model": "gpt-4o-2024", "choices": [], "usage": USAGE},
    ]
    body = sse(*deltas, done=True)
    first = len(sse(*deltas[:2]))
    marks = [(first - 1, START + 5_000_000), (first, START + 9_500_000), (len(body), START + 20_000_000)]
    found = must(
        request(HOST, "/v1/chat/completions", {**ASK, "stream": True}), response(body, headers=SSE, marks=marks)
    )
    ai = found.gen_ai
    assert [message.content for message in ai.output] == ["It is é fine", "two"]
    assert ai.output[0].reasoning == "hm "
    assert [(call.id, call.name, call.arguments) for call in ai.tool_calls] == [
        ("c1", "weather", '{"city":"Oslo"}'),
        ("c2", "b", "{}"),
    ]
    assert ai.finish_reasons == ["tool_calls", "stop"]
    assert (ai.input_tokens, ai.output_tokens, ai.reasoning_tokens, ai.stream) == (30, 12, 5, True)
    assert ai.time_to_first_token_ms == 9.5
    assert found.evidence.complete is True
    assert found.evidence.notes == []


def test_calls_without_index_or_with_one_index_for_all() -> None:
    """Gemini's compatible API sends whole calls, all with index 0 or none."""
    for index in ({}, {"index": 0}):
        calls = [
            {**index, "id": f"c{i}", "type": "function", "function": {"name": f"f{i}", "arguments": f'{{"n":{i}}}'}}
            for i in range(2)
        ]
        body = sse(*(_chunk({"tool_calls": [call]}) for call in calls), _chunk({}, reason="stop"), done=True)
        ai = must(request(HOST, "/v1/chat/completions", ASK), response(body, headers=SSE)).gen_ai
        assert [(call.name, call.arguments) for call in ai.tool_calls] == [("f0", '{"n":0}'), ("f1", '{"n":1}')]


def test_chat_stream_cut_in_the_middle() -> None:
    body = sse(_chunk({"content": "one "}), _chunk({"content": "two "}), _chunk({"content": "three"}))[:-20]
    found = must(
        request(HOST, "/v1/chat/completions", {**ASK, "stream": True}), response(body, headers=SSE, complete=False)
    )
    assert found.gen_ai.output[0].content.startswith("one two ")
    assert found.evidence.complete is False
    assert "stream-without-end" in found.evidence.notes


def test_http_end_without_the_apis_end_is_not_complete() -> None:
    body = sse(_chunk({"content": "one "}))
    found = must(request(HOST, "/v1/chat/completions", ASK), response(body, headers=SSE, complete=True))
    assert found.evidence.complete is False


def test_stream_longer_than_the_limit_is_complete_but_truncated() -> None:
    body = sse(_chunk({"content": "one "}))
    found = must(request(HOST, "/v1/chat/completions", ASK), response(body, headers=SSE, truncated=True))
    assert found.evidence.complete is True
    assert found.evidence.truncated is True


def test_error_in_mid_stream() -> None:
    error = {"error": {"message": "overloaded", "type": "server_error", "code": "503"}}
    body = sse(_chunk({"content": "one "}), error)
    found = must(request(HOST, "/v1/chat/completions", ASK), response(body, headers=SSE))
    assert found.error is not None
    assert (found.error.type, found.error.message, found.error.code) == ("server_error", "overloaded", "503")
    assert found.gen_ai.output[0].content == "one "


def test_legacy_function_call() -> None:
    ask = {**ASK, "tools": None, "functions": [TOOL]}
    body = sse(
        _chunk({"function_call": {"name": "weather", "arguments": ""}}),
        _chunk({"function_call": {"arguments": '{"a"'}}),
        _chunk({"function_call": {"arguments": ":1}"}}, reason="function_call"),
        done=True,
    )
    ai = must(request(HOST, "/v1/chat/completions", ask), response(body, headers=SSE)).gen_ai
    assert ai.tools[0].name == "weather"
    assert [(call.name, call.arguments) for call in ai.tool_calls] == [("weather", '{"a":1}')]


def test_completions() -> None:
    ask = {"model": "m", "prompt": ["Once", "Twice"], "max_tokens": 5, "suffix": "end"}
    body = {
        "id": "cmpl-1",
        "object": "text_completion",
        "model": "m-1",
        "choices": [{"index": 0, "text": " upon", "finish_reason": "length"}, {"index": 1, "text": " over"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 4},
    }
    ai = must(request("localhost:8000", "/v1/completions", ask), response(body)).gen_ai
    assert (ai.provider, ai.operation) == ("openai_compatible", "text_completion")
    assert [message.content for message in ai.input] == ["Once", "Twice", "end"]
    assert [message.content for message in ai.output] == [" upon", " over"]
    streamed = sse(
        {"id": "c", "model": "m", "choices": [{"index": 0, "text": " up"}]},
        {"id": "c", "model": "m", "choices": [{"index": 0, "text": "on", "finish_reason": "stop"}]},
        done=True,
    )
    ai = must(request("localhost:8000", "/v1/completions", ask), response(streamed, headers=SSE)).gen_ai
    assert [message.content for message in ai.output] == [" upon"]


def test_which_tokens_are_pushed_is_kept_as_a_hash() -> None:
    def asked(**more: Any) -> dict[str, Any]:
        ask = {"model": "m", "prompt": "x", **more}
        return must(request("localhost:8000", "/v1/completions", ask), None).gen_ai.request_parameters

    one, other = asked(logit_bias={"61": 100, "62": 100}), asked(logit_bias={"61": 100, "63": 100})
    assert (one["logit_bias"]["entries"], len(one["logit_bias"]["sha256"])) == (2, 64)
    assert one != other == asked(logit_bias={"61": 100, "63": 100})
    assert asked(allowed_token_ids=[5, 9])["allowed_token_ids"]["entries"] == 2
    assert asked(logit_bias={}, allowed_token_ids="all") == {}
    body = {"prompt": "x", "n_predict": 1, "n_probs": 5, "logit_bias": [[15043, 1.0], [9, False]]}
    ai = must(request("localhost:8080", "/completion", body), None).gen_ai
    assert (ai.request_parameters["n_probs"], ai.request_parameters["logit_bias"]["entries"]) == (5, 2)


def test_embeddings() -> None:
    ask = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
    body = {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": i, "embedding": [0.1, 0.2]} for i in range(2)],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    ai = must(request(HOST, "/v1/embeddings", ask), response(body)).gen_ai
    assert (ai.operation, ai.embeddings, ai.input_tokens, ai.output_tokens) == ("embeddings", 2, 2, None)
    assert [message.content for message in ai.input] == ["a", "b"]
    assert ai.request_parameters == {"dimensions": 8}
    tokens = must(request(HOST, "/v1/embeddings", {**ask, "input": [[1, 2, 3]]}), response(body)).gen_ai
    assert tokens.input[0].parts == [{"type": "tokens", "count": 3}]


def test_models() -> None:
    body = {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "owned_by": "x"}]}
    found = must(request("10.0.0.9", "/v1/models", method="GET"), response(body))
    assert (found.gen_ai.operation, found.gen_ai.provider) == ("list_models", "openai_compatible")


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4.1-2025",
    "error": None,
    "output": [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "think"}]},
        {
            "type": "message",
            "id": "m",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello é", "annotations": []}],
        },
        {"type": "function_call", "id": "fc", "call_id": "call_9", "name": "weather", "arguments": '{"city": "Oslo"}'},
    ],
    "usage": {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
    },
}
RESPONSES_ASK = {
    "model": "gpt-4.1",
    "instructions": "Be brief.",
    "previous_response_id": "resp_0",
    "input": [
        {"role": "user", "content": "Weather?"},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "in "}, {"type": "input_text", "text": "Oslo"}],
        },
        {"type": "reasoning", "id": "rs_0", "summary": [], "encrypted_content": "abc"},
        {"type": "function_call", "call_id": "call_8", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_8", "output": "rain"},
    ],
    "tools": [
        {"type": "function", **TOOL},
        {
            "type": "mcp",
            "server_label": "gh",
            "server_url": "https://mcp.example",
            "headers": {"authorization": "s3cret"},
        },
    ],
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_object"}},
}


def test_responses_api() -> None:
    ai = must(request(HOST, "/v1/responses", RESPONSES_ASK), response(RESPONSE)).gen_ai
    assert [(m.role, m.content) for m in ai.input] == [
        ("system", "Be brief."),
        ("user", "Weather?"),
        ("user", "in Oslo"),
        ("assistant", ""),
        ("assistant", ""),
        ("tool", "rain"),
    ]
    assert ai.input[4].tool_calls[0].id == ai.input[5].tool_call_id == "call_8"
    assert ai.request_parameters == {
        "previous_response_id": "resp_0",
        "reasoning_effort": "low",
        "response_format": "json_object",
    }
    assert [(tool.name, tool.type) for tool in ai.tools] == [("weather", "function"), ("gh", "mcp")]
    assert "s3cret" not in str(ai.tools)
    assert len(ai.output) == 1
    assert (ai.output[0].content, ai.output[0].reasoning) == ("Hello é", "think")
    assert [(call.id, call.name, call.arguments) for call in ai.tool_calls] == [
        ("call_9", "weather", '{"city": "Oslo"}')
    ]
    assert (ai.input_tokens, ai.output_tokens, ai.cached_input_tokens, ai.reasoning_tokens) == (11, 7, 2, 3)
    assert (ai.response_id, ai.response_model, ai.finish_reasons) == ("resp_1", "gpt-4.1-2025", ["completed"])


def _events(last: bool) -> list[dict[str, Any]]:
    head = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "gpt-4.1-2025", "output": []}
    reasoning, message, call = RESPONSE["output"]  # type: ignore[misc]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": head},
        {"type": "response.output_item.added", "output_index": 0, "item": {**reasoning, "summary": []}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "think"},
        {"type": "response.output_item.added", "output_index": 1, "item": {**message, "content": []}},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Hello"},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": " é"},
        {"type": "response.output_item.added", "output_index": 2, "item": {**call, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"city": '},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '"Oslo"}'},
    ]
    return [*events, {"type": "response.completed", "response": RESPONSE}] if last else events


def test_responses_stream_whole_and_cut_say_the_same() -> None:
    ask = request(HOST, "/v1/responses", {**RESPONSES_ASK, "stream": True})
    whole = must(ask, response(named(*_events(True)), headers=SSE))
    cut = must(ask, response(named(*_events(False)), headers=SSE, complete=False))
    for found in (whole, cut):
        ai = found.gen_ai
        assert (ai.output[0].content, ai.output[0].reasoning) == ("Hello é", "think")
        assert [(c.id, c.name, c.arguments) for c in ai.tool_calls] == [("call_9", "weather", '{"city": "Oslo"}')]
        assert ai.response_id == "resp_1"
        assert ai.time_to_first_token_ms == 1.0
    assert whole.evidence.complete is True
    assert whole.gen_ai.input_tokens == 11
    assert cut.evidence.complete is False


def test_responses_failed() -> None:
    failed = {**RESPONSE, "status": "failed", "output": [], "error": {"code": "server_error", "message": "sorry"}}
    body = named({"type": "response.failed", "response": failed})
    found = must(request(HOST, "/v1/responses", RESPONSES_ASK), response(body, headers=SSE))
    assert found.error is not None
    assert (found.error.type, found.error.message) == ("server_error", "sorry")
    event = named({"type": "error", "code": "rate", "message": "slow down", "param": None})
    found = must(request(HOST, "/v1/responses", RESPONSES_ASK), response(event, headers=SSE))
    assert found.error is not None
    assert (found.error.message, found.error.code) == ("slow down", "rate")


def test_responses_provider_run_tools() -> None:
    output = [
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "mcp_call", "id": "mc", "name": "list", "arguments": "{}", "server_label": "gh", "output": "issues"},
        {"type": "code_interpreter_call", "id": "ci", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
        {
            "type": "mcp_list_tools",
            "server_label": "gh",
            "tools": [{"name": "list", "input_schema": {"type": "object"}}],
        },
    ]
    ai = must(request(HOST, "/v1/responses", RESPONSES_ASK), response({**RESPONSE, "output": output})).gen_ai
    assert [(call.name, call.type, call.arguments) for call in ai.tool_calls] == [
        ("web_search", "web_search_call", '{"type":"search","query":"q"}'),
        ("list", "mcp", "{}"),
        ("code_interpreter", "code_interpreter_call", "1+1"),
    ]
    assert [message.content for message in ai.output[1:]] == ["issues", '[{"type":"logs","logs":"2"}]']
    assert ai.tools[-1].name == "list"
