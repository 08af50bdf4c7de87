"""Ollama's own API, as docs/api.md shows it."""

from __future__ import annotations

import base64
from typing import Any

from ai_wire import NDJSON, START, lines, must, request, response

HOST = "127.0.0.1:11434"
ASK: dict[str, Any] = {
    "model": "llama3.2",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What?", "images": [base64.b64encode(b"\xff\xd8\xff\xe0rest").decode()]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
        },
        {"role": "tool", "tool_name": "weather", "content": "rain"},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
    "options": {"temperature": 0, "num_ctx": 2048},
    "format": "json",
    "think": True,
}
DONE = {"done": True, "done_reason": "stop", "total_duration": 5, "prompt_eval_count": 26, "eval_count": 9}


def _piece(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "model": "llama3.2",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", **message},
        "done": False,
        **more,
    }


def test_chat_streams_unless_told_not_to() -> None:
    pieces = [
        _piece({"content": "", "thinking": "hm"}),
        _piece({"content": "It "}),
        _piece({"content": "rains é"}),
        _piece({"content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bergen"}}}]}),
        _piece({"content": ""}, **DONE),
    ]
    body = lines(*pieces)
    marks = [(len(lines(pieces[0])), START + 4_000_000), (len(body), START + 8_000_000)]
    found = must(request(HOST, "/api/chat", ASK), response(body, headers=NDJSON, marks=marks), 11434)
    ai = found.gen_ai
    assert (ai.provider, ai.api, ai.operation, ai.stream) == ("ollama", "ollama.chat", "chat", True)
    assert [(m.role, m.content, m.name) for m in ai.input] == [
        ("system", "Be brief.", ""),
        ("user", "What?", ""),
        ("assistant", "", ""),
        ("tool", "rain", "weather"),
    ]
    assert ai.input[1].parts[0]["media_type"] == "image/jpeg"
    assert ai.input[2].tool_calls[0].arguments == '{"city": "Oslo"}'
    assert ai.request_parameters == {"think": True, "temperature": 0, "num_ctx": 2048, "response_format": "json"}
    assert (ai.output[0].content, ai.output[0].reasoning) == ("It rains é", "hm")
    assert [(call.name, call.arguments) for call in ai.tool_calls] == [("weather", '{"city": "Bergen"}')]
    assert (ai.input_tokens, ai.output_tokens, ai.finish_reasons) == (26, 9, ["stop"])
    assert ai.time_to_first_token_ms == 4.0
    assert found.evidence.complete is True
    assert found.evidence.notes == []


def test_chat_unstreamed() -> None:
    body = _piece({"content": "Rain"}, **DONE)
    ai = must(request(HOST, "/api/chat", {**ASK, "stream": False}), response(body), 11434).gen_ai
    assert (ai.output[0].content, ai.stream, ai.input_tokens) == ("Rain", False, 26)


def test_chat_stream_cut_and_error() -> None:
    body = lines(_piece({"content": "It "}), _piece({"content": "rains"}))[:-25]
    found = must(request(HOST, "/api/chat", ASK), response(body, headers=NDJSON, complete=False), 11434)
    assert found.gen_ai.output[0].content.startswith("It ")
    assert found.evidence.complete is False
    broken = lines(_piece({"content": "It "}), {"error": "an error was encountered"})
    found = must(request(HOST, "/api/chat", ASK), response(broken, headers=NDJSON), 11434)
    assert found.error is not None
    assert found.error.message == "an error was encountered"
    missing = must(request(HOST, "/api/chat", ASK), response({"error": "model 'x' not found"}, status=404), 11434)
    assert missing.error is not None
    assert (missing.error.type, missing.error.message) == ("404", "model 'x' not found")


def test_generate() -> None:
    ask = {"model": "llama3.2", "prompt": "Why?", "system": "Be brief.", "suffix": "end"}
    body = lines(
        {"model": "llama3.2", "created_at": "t", "response": "Be", "done": False},
        {"model": "llama3.2", "created_at": "t", "response": "cause", "done": False},
        {"model": "llama3.2", "created_at": "t", "response": "", "context": [1, 2], **DONE},
    )
    ai = must(request("box", "/api/generate", ask), response(body, headers=NDJSON), 80).gen_ai
    assert (ai.operation, ai.output[0].content, ai.output_tokens) == ("text_completion", "Because", 9)
    assert [(m.role, m.content) for m in ai.input] == [("system", "Be brief."), ("user", "Why?"), ("user", "end")]


def test_embed_both_forms() -> None:
    body = {"model": "nomic", "embeddings": [[0.1], [0.2]], "prompt_eval_count": 4}
    ai = must(request(HOST, "/api/embed", {"model": "nomic", "input": ["a", "b"]}), response(body), 11434).gen_ai
    assert (ai.operation, ai.embeddings, ai.input_tokens) == ("embeddings", 2, 4)
    assert [m.content for m in ai.input] == ["a", "b"]
    legacy = must(
        request(HOST, "/api/embeddings", {"model": "n", "prompt": "a"}), response({"embedding": [0.1]}), 11434
    )
    assert legacy.gen_ai.embeddings == 1


def test_management() -> None:
    tags = {"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest", "digest": "ab", "size": 1}]}
    assert must(request(HOST, "/api/tags", method="GET"), response(tags), 11434).gen_ai.operation == "list_models"
    show = {"modelfile": "FROM x", "details": {"family": "llama"}, "model_info": {}}
    found = must(request(HOST, "/api/show", {"model": "llama3.2"}), response(show), 11434)
    assert (found.gen_ai.operation, found.gen_ai.request_model) == ("show_model", "llama3.2")
    pull = lines({"status": "pulling manifest"}, {"status": "success"})
    found = must(request(HOST, "/api/pull", {"model": "evil/model"}), response(pull, headers=NDJSON), 11434)
    assert (found.gen_ai.operation, found.gen_ai.request_model) == ("pull_model", "evil/model")
    assert found.evidence.complete is True
    found = must(request(HOST, "/api/delete", {"model": "m"}, method="DELETE"), response(b""), 11434)
    assert (found.gen_ai.operation, found.gen_ai.request_model) == ("delete_model", "m")
    assert must(request(HOST, "/api/version", method="GET"), response({"version": "0.12.0"}), 11434)
