"""The range's servers speak their APIs faithfully: what they put on the wire means what their truth says."""

import base64
import json
import struct
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from proving.servers import words
from proving.servers.app import APPS, Habits, choose_coding, encode, ragged
from proving.servers.reply import Ask, Meaning, Reply

KEYS = {"authorization": "Bearer sk-proj-test", "x-api-key": "sk-ant-api03-test", "anthropic-version": "2023-06-01"}
GROQ_KEYS = {"authorization": "Bearer gsk_test"}
MARK = "[[test.0 w0 c0]]"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
FUNCTIONS = [{"name": n, "description": "d", "parameters": SCHEMA} for n in ("weather", "search", "third")]
CHAT_TOOLS = [{"type": "function", "function": f} for f in FUNCTIONS]


def ask(api: str, path: str, body: object, headers: dict[str, str] = KEYS, method: str = "POST") -> Reply:
    raw = json.dumps(body, ensure_ascii=False).encode()
    return APPS[api](Ask(method, path, "", headers, raw if body is not None else b"", body, 1_700_000_000.0, 1))


def sse(reply: Reply) -> list[tuple[str, str]]:
    """Events as the standard defines them: (name, data)."""
    out = []
    for block in b"".join(reply.pieces).decode().split("\n\n"):
        fields = [line.partition(": ")[::2] for line in block.split("\n") if line]
        if fields:
            out.append((dict(fields).get("event", ""), dict(fields)["data"]))
    return out


def chat(**more: object) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{MARK} Grüße"}], **more}


@pytest.mark.parametrize("api", ["openai", "vllm"])
@pytest.mark.parametrize("count", [1, 3])
def test_chat_stream_says_what_the_whole_says(api: str, count: int) -> None:
    stream = ask(api, "/v1/chat/completions", chat(n=count, stream=True, stream_options={"include_usage": True}))
    events = sse(stream)
    assert events[-1] == ("", "[DONE]")
    chunks = [json.loads(data) for _, data in events[:-1]]
    texts = [""] * count
    finish = [None] * count
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
            finish[choice["index"]] = choice["finish_reason"] or finish[choice["index"]]
    assert texts == stream.meaning.texts
    assert finish == ["stop"] * count
    assert chunks[-1]["choices"] == []
    assert {k: chunks[-1]["usage"][k] for k in stream.meaning.usage} == stream.meaning.usage
    assert all(c["usage"] is None for c in chunks[:-1])
    assert all(MARK in t for t in texts)
    assert ("obfuscation" in chunks[0]) == (api == "openai")
    whole = json.loads(b"".join(ask(api, "/v1/chat/completions", chat(n=count)).pieces))
    assert [c["message"]["content"] for c in whole["choices"]] == texts


def test_usage_is_streamed_only_when_asked_for() -> None:
    reply = ask("openai", "/v1/chat/completions", chat(stream=True))
    assert all("usage" not in json.loads(d) for _, d in sse(reply)[:-1])
    assert reply.meaning.usage == {}


def test_chat_tool_calls_then_answer() -> None:
    reply = ask("openai", "/v1/chat/completions", chat(tools=CHAT_TOOLS, stream=True))
    got: dict[int, dict[str, str]] = {}
    for _, data in sse(reply)[:-1]:
        for choice in json.loads(data)["choices"]:
            for call in choice["delta"].get("tool_calls", []):
                one = got.setdefault(call["index"], {"id": call.get("id"), "arguments": ""})
                one["name"] = call["function"].get("name", one.get("name"))
                one["arguments"] += call["function"]["arguments"]
    assert list(got.values()) == [
        {"id": c["id"], "arguments": c["arguments"], "name": c["name"]} for c in reply.meaning.tool_calls
    ]
    assert [c["name"] for c in got.values()] == ["weather", "search"]
    assert all(set(json.loads(c["arguments"])) == {"city", "days"} for c in got.values())
    messages = [*chat()["messages"], {"role": "assistant"}, {"role": "tool", "content": "12 °C"}]  # type: ignore[misc]
    final = ask("openai", "/v1/chat/completions", chat(tools=CHAT_TOOLS, messages=messages))
    assert final.meaning.tool_calls == []
    assert MARK in final.meaning.text


def test_length_limit() -> None:
    reply = ask("openai", "/v1/chat/completions", chat(max_tokens=5))
    assert reply.meaning.finish == ["length"]
    assert reply.meaning.usage["completion_tokens"] <= 6


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (chat(), {}, 401, None),
        (chat(), {"authorization": "Bearer sk-invalid-1"}, 401, "invalid_api_key"),
        (chat(model="range-429"), KEYS, 429, "insufficient_quota"),
        (chat(model="range-404"), KEYS, 404, "model_not_found"),
        (chat(model="range-500"), KEYS, 500, None),
        (chat(messages=[]), KEYS, 400, "invalid_type"),
        ([1], KEYS, 400, None),
    ],
)
def test_openai_errors(body: object, headers: dict[str, str], status: int, code: str | None) -> None:
    reply = ask("openai", "/v1/chat/completions", body, headers)
    assert reply.status == status
    assert json.loads(reply.pieces[0])["error"]["code"] == code


def test_responses_stream() -> None:
    body = {"model": "gpt-4o-mini", "input": f"{MARK} hi", "stream": True}
    reply = ask("openai", "/v1/responses", body)
    events = [json.loads(d) for _, d in sse(reply)]
    assert [n for n, _ in sse(reply)] == [e["type"] for e in events]
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    assert text == reply.meaning.text == events[-1]["response"]["output"][0]["content"][0]["text"]


def test_responses_function_call() -> None:
    tools = [{"type": "function", **f} for f in FUNCTIONS[:1]]
    reply = ask("openai", "/v1/responses", {"model": "m", "input": MARK, "tools": tools, "stream": True})
    events = [json.loads(d) for _, d in sse(reply)]
    parts = "".join(e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta")
    assert parts == reply.meaning.tool_calls[0]["arguments"]


def test_embeddings_are_the_same_in_base64() -> None:
    body = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
    floats = json.loads(ask("openai", "/v1/embeddings", body).pieces[0])["data"]
    coded = json.loads(ask("openai", "/v1/embeddings", {**body, "encoding_format": "base64"}).pieces[0])["data"]
    for one, other in zip(floats, coded, strict=True):
        assert one["embedding"] == pytest.approx(struct.unpack("<8f", base64.b64decode(other["embedding"])), abs=1e-6)


def message(**more: object) -> dict[str, object]:
    return {"model": "claude", "max_tokens": 4096, "messages": [{"role": "user", "content": f"{MARK} hé"}], **more}


def test_anthropic_stream_with_thinking_and_tools() -> None:
    tools = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]
    body = message(stream=True, tools=tools, thinking={"type": "enabled", "budget_tokens": 1024})
    reply = ask("anthropic", "/v1/messages", body)
    events = [(n, json.loads(d)) for n, d in sse(reply)]
    assert all(n == e["type"] for n, e in events)
    assert [n for n, _ in events][:3] == ["message_start", "content_block_start", "ping"]
    assert [n for n, _ in events][-2:] == ["message_delta", "message_stop"]
    joined: dict[str, str] = {}
    for name, event in events:
        if name == "content_block_delta":
            kind = event["delta"]["type"]
            field = {"input_json_delta": "partial_json"}.get(kind, kind.removesuffix("_delta"))
            joined[kind] = joined.get(kind, "") + event["delta"][field]
    assert joined["text_delta"] == reply.meaning.text
    assert joined["thinking_delta"] == reply.meaning.thinking
    assert json.loads(joined["input_json_delta"]) == reply.meaning.tool_calls[0]["arguments"]
    assert events[-2][1]["usage"]["output_tokens"] == reply.meaning.usage["output_tokens"]
    whole = json.loads(ask("anthropic", "/v1/messages", {**body, "stream": False}).pieces[0])
    assert [b["type"] for b in whole["content"]] == ["thinking", "text", "tool_use"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        (message(), {}, 401, "authentication_error"),
        (message(), {"x-api-key": "sk-ant-x"}, 400, "invalid_request_error"),
        (message(max_tokens=None), KEYS, 400, "invalid_request_error"),
        (message(model="range-429"), KEYS, 429, "rate_limit_error"),
        (message(model="range-529"), KEYS, 529, "overloaded_error"),
    ],
)
def test_anthropic_errors(body: object, headers: dict[str, str], status: int, kind: str) -> None:
    reply = ask("anthropic", "/v1/messages", body, headers)
    assert (reply.status, json.loads(reply.pieces[0])["error"]["type"]) == (status, kind)


def test_anthropic_error_in_the_stream() -> None:
    events = sse(ask("anthropic", "/v1/messages", message(model="range-overloaded", stream=True)))
    assert events[-1][0] == "error"


@pytest.mark.parametrize(("path", "field"), [("/api/chat", "message"), ("/api/generate", "response")])
def test_ollama_streams_lines_by_default(path: str, field: str) -> None:
    body = {"model": "llama3.2", "prompt": MARK, "messages": [{"role": "user", "content": MARK}]}
    reply = ask("ollama", path, body, {})
    lines = [json.loads(x) for x in b"".join(reply.pieces).split(b"\n") if x]
    text = "".join(x[field] if path == "/api/generate" else x[field]["content"] for x in lines)
    assert text == reply.meaning.text
    assert [x["done"] for x in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["eval_count"] == reply.meaning.usage["output_tokens"]
    whole = json.loads(ask("ollama", path, {**body, "stream": False}, {}).pieces[0])
    assert (whole[field] if path == "/api/generate" else whole[field]["content"]) == text


def test_ollama_tool_arguments_are_objects() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": MARK}], "tools": CHAT_TOOLS, "stream": False}
    call = json.loads(ask("ollama", "/api/chat", body, {}).pieces[0])["message"]["tool_calls"][0]
    assert isinstance(call["function"]["arguments"], dict)


def test_other_vendors_have_their_own_paths_and_keys() -> None:
    assert ask("groq", "/openai/v1/chat/completions", chat(), GROQ_KEYS).status == 200
    assert ask("groq", "/v1/chat/completions", chat(), GROQ_KEYS).status == 404
    assert ask("mistral", "/v1/chat/completions", chat()).status == 200
    body = {"contents": [{"parts": [{"text": MARK}]}]}
    assert ask("gemini", "/v1beta/models/gemini-pro:generateContent", body, {"x-goog-api-key": "AIza"}).status == 200
    assert ask("site", "/api/messages", chat(), {}).status == 201


def test_every_api_survives_any_body() -> None:
    for api, path in (("openai", "/v1/chat/completions"), ("anthropic", "/v1/messages"), ("ollama", "/api/chat")):
        for body in (None, [], "x", 3, {"model": 3}, {"model": "m"}):
            assert ask(api, path, body).status in (200, 400, 401)


def test_a_cut_stream_has_no_end() -> None:
    reply = ask("openai", "/v1/chat/completions", chat(model="range-cut", stream=True))
    assert reply.cut is not None
    assert 0 < reply.cut < len(reply.pieces)


@given(st.text(max_size=400))
def test_tokens_and_fragments_join_to_the_text(text: str) -> None:
    assert "".join(words.tokens(text)) == text
    assert "".join(words.fragments(text, "salt")) == text


def test_answers_depend_on_the_question_alone() -> None:
    assert words.answer(f"{MARK} a b c") == words.answer(f"{MARK} a b c")
    assert words.answer(f"{MARK} a b c") != words.answer("[[test.0 w0 c1]] a b c")


def _decoded(data: bytes, coding: str) -> bytes:
    match coding:
        case "br":
            return bytes(brotli.decompress(data))
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        case "gzip":
            return zlib.decompress(data, 31)
    return zlib.decompress(data)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip", "deflate"])
def test_codings_decode_to_the_same_bytes(coding: str) -> None:
    pieces = [f"data: {i} é{'x' * i}\n\n".encode() for i in range(100)]
    assert _decoded(b"".join(encode(pieces, coding)), coding) == b"".join(pieces)
    reply = Reply(200, pieces, "application/json", Meaning())
    assert choose_coding(Habits(), f"identity, {coding};q=1.0", reply) == coding
    assert choose_coding(Habits(compress="none"), coding, reply) == ""
    assert choose_coding(Habits(), f"{coding};q=0", reply) == ""
    assert choose_coding(Habits(), coding, Reply(200, pieces, "text/event-stream", chunked=True)) == ""


def test_ragged_writes_keep_the_bytes() -> None:
    pieces = ["data: é👩‍👩‍👧\n\n".encode()] * 50
    again = ragged(pieces, "seed")
    assert b"".join(again) == b"".join(pieces)
    assert again != pieces
