"""Gemini, Bedrock, Cohere, text-generation-inference, llama.cpp, the Hugging Face hub, and what no catalogue knows:
bodies as the APIs' references give them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.catalogue import Match, default_catalogue
from leeward.ai.decode import DIALECTS, decode
from leeward.ai.shape import PROVIDER, guess
from leeward.model.exchange import Exchange
from leeward.model.message import Message
from leeward.wire.eventstream import parse_eventstream


def frame(name: str, payload: bytes, kind: str = "event") -> bytes:
    """An AWS event stream frame."""
    key = ":event-type" if kind == "event" else ":exception-type"
    pairs = ((key, name), (":content-type", "application/json"), (":message-type", kind))
    headers = b"".join(
        bytes([len(k)]) + k.encode() + b"\x07" + len(v).to_bytes(2, "big") + v.encode() for k, v in pairs
    )
    prelude = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    start = prelude + binascii.crc32(prelude).to_bytes(4, "big") + headers + payload
    return start + binascii.crc32(start).to_bytes(4, "big")


def aws(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(frame(name, json.dumps(value).encode()) for name, value in events)


def sse(*values: object, named: Iterable[str] = ()) -> bytes:
    names = [*named, *[""] * len(values)]
    return b"".join(
        (f"event: {n}\n" if n else "").encode() + b"data: " + json.dumps(v, ensure_ascii=False).encode() + b"\n\n"
        for v, n in zip(values, names, strict=False)
    )


def heard(
    host: str, path: str, asked: object, answered: object, kind: str = "application/json", **fields: str
) -> Exchange:
    """The exchange of a request and its response, found through the catalogue as in the product."""
    body = answered if isinstance(answered, bytes) else json.dumps(answered).encode()
    request = Message(
        index=0, method="POST", target=path, headers=[("host", host)], body=json.dumps(asked).encode(), complete=True
    )
    headers = [("content-type", kind), *((k.replace("_", "-"), v) for k, v in fields.items())]
    response = Message(index=0, status=200, headers=headers, body=body, complete=True)
    match = default_catalogue().match(host, 443, "POST", path, [])
    found = decode(request, response, match, None) if match else None
    assert found is not None
    return found


GEMINI = "generativelanguage.googleapis.com"
ASKED = {
    "systemInstruction": {"parts": [{"text": "be brief"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "weather in Köln?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Köln"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"result": "12 °C"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "weather", "description": "d", "parameters": {"type": "OBJECT"}}]}],
    "generationConfig": {"temperature": 0.5},
}
ANSWER = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [{"text": "hm", "thought": True}, {"text": "It is "}, {"text": "12 °C."}],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 20,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 2,
        "cachedContentTokenCount": 8,
    },
    "modelVersion": "gemini-2.5-flash-001",
    "responseId": "r1",
}


def _gemini(ai: Any, stream: bool) -> None:
    assert [(m.role, m.content) for m in ai.input][:2] == [("system", "be brief"), ("user", "weather in Köln?")]
    assert ai.input[2].tool_calls[0].name == "weather"
    assert json.loads(ai.input[2].tool_calls[0].arguments) == {"city": "Köln"}
    assert (ai.input[3].role, ai.input[3].content) == ("tool", "12 °C")
    assert (ai.output[0].content, ai.output[0].reasoning) == ("It is 12 °C.", "hm")
    assert (ai.request_model, ai.response_model, ai.finish_reasons) == (
        "gemini-2.5-flash",
        "gemini-2.5-flash-001",
        ["STOP"],
    )
    assert (ai.input_tokens, ai.output_tokens, ai.cached_input_tokens, ai.reasoning_tokens) == (20, 7, 8, 2)
    assert (ai.stream, ai.tools[0].name, ai.request_parameters) == (stream, "weather", {"temperature": 0.5})


def test_gemini() -> None:
    found = heard(GEMINI, "/v1beta/models/gemini-2.5-flash:generateContent", ASKED, ANSWER)
    assert (found.gen_ai.provider, found.gen_ai.operation) == ("gcp.gemini", "generate_content")
    _gemini(found.gen_ai, False)


def _chunks() -> list[dict[str, Any]]:
    parts = ANSWER["candidates"][0]["content"]["parts"]  # type: ignore[index]
    chunks: list[dict[str, Any]] = [{"candidates": [{"content": {"role": "model", "parts": [p]}}]} for p in parts]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    chunks[-1] |= {k: v for k, v in ANSWER.items() if k != "candidates"}
    return chunks


def test_gemini_streams_in_both_forms() -> None:
    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    as_events = heard(GEMINI, path + "?alt=sse", ASKED, sse(*_chunks()), "text/event-stream")
    as_array = heard(GEMINI, path, ASKED, json.dumps(_chunks(), indent=2).encode())
    for found in (as_events, as_array):
        _gemini(found.gen_ai, True)
        assert found.evidence.notes == []


def test_gemini_blocked_and_code_assist() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    found = heard(GEMINI, "/v1beta/models/g:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}, blocked)
    assert (found.gen_ai.finish_reasons, found.gen_ai.output) == (["SAFETY"], [])
    wrapped = {"model": "gemini-2.5-flash", "project": "p", "request": ASKED}
    found = heard("cloudcode-pa.googleapis.com", "/v1internal:generateContent", wrapped, {"response": ANSWER})
    _gemini(found.gen_ai, False)


def test_vertex_partner_models_and_predictions() -> None:
    base = "/v1/projects/p/locations/us-east5/publishers"
    asked = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    answer = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "content": [{"type": "text", "text": "ho"}],
        "usage": {},
    }
    host = "us-east5-aiplatform.googleapis.com"
    ai = heard(host, f"{base}/anthropic/models/claude-sonnet-4@20250514:rawPredict", asked, answer).gen_ai
    assert (ai.request_model, ai.input[0].content, ai.output[0].content) == ("claude-sonnet-4@20250514", "hi", "ho")
    vectors = {"predictions": [{"embeddings": {"values": [0.1], "statistics": {"token_count": 4}}}]}
    ai = heard(
        host, f"{base}/google/models/text-embedding-005:predict", {"instances": [{"content": "a"}]}, vectors
    ).gen_ai
    assert (ai.embeddings, ai.input_tokens, ai.input[0].content) == (1, 4, "a")


BEDROCK = "bedrock-runtime.us-east-1.amazonaws.com"
CONVERSE = {
    "system": [{"text": "be brief"}],
    "messages": [
        {"role": "user", "content": [{"text": "hi "}, {"text": "there"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "add", "input": {"a": 1}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "2"}]}}]},
    ],
    "inferenceConfig": {"maxTokens": 10},
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "add", "description": "d", "inputSchema": {"json": {"type": "object"}}}}]
    },
}
USAGE = {"inputTokens": 10, "outputTokens": 4, "totalTokens": 14, "cacheReadInputTokens": 2}


def _converse(ai: Any) -> None:
    assert ai.request_model == "eu.anthropic.claude-sonnet-4-v1:0"
    assert [(m.role, m.content) for m in ai.input] == [
        ("system", "be brief"), ("user", "hi there"), ("assistant", ""), ("tool", "2"),
    ]  # fmt: skip
    assert (ai.output[0].content, ai.finish_reasons) == ("sum: 2", ["tool_use"])
    assert [(c.id, c.name, json.loads(c.arguments)) for c in ai.tool_calls] == [("t2", "add", {"a": 2})]
    assert (ai.input_tokens, ai.output_tokens, ai.cached_input_tokens) == (12, 4, 2)
    assert ai.tools[0].parameters == {"type": "object"}


def test_bedrock_converse_whole_and_streamed() -> None:
    path = "/model/eu.anthropic.claude-sonnet-4-v1%3A0/"
    content = [{"text": "sum: 2"}, {"toolUse": {"toolUseId": "t2", "name": "add", "input": {"a": 2}}}]
    whole = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use", "usage": USAGE}
    _converse(heard(BEDROCK, path + "converse", CONVERSE, whole).gen_ai)
    stream = aws(
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "sum: "}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "2"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t2", "name": "add"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"a":'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": " 2}"}}}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": USAGE}),
    )
    found = heard(BEDROCK, path + "converse-stream", CONVERSE, stream, "application/vnd.amazon.eventstream")
    _converse(found.gen_ai)
    assert (found.gen_ai.stream, found.evidence.complete, found.evidence.notes) == (True, True, [])
    cut = heard(BEDROCK, path + "converse-stream", CONVERSE, stream[:-30], "application/vnd.amazon.eventstream")
    assert "stream-event-cut" in cut.evidence.notes


def test_bedrock_exception_in_a_stream() -> None:
    stream = aws(("messageStart", {"role": "assistant"})) + frame(
        "throttlingException", b'{"message":"slow down"}', "exception"
    )
    found = heard(BEDROCK, "/model/m/converse-stream", CONVERSE, stream, "application/vnd.amazon.eventstream")
    assert found.error is not None
    assert (found.error.type, found.error.message) == ("throttlingException", "slow down")


INVOKE = [
    ({"anthropic_version": "b", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
     {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "ho"}],
      "usage": {"input_tokens": 3, "output_tokens": 1}}),
    ({"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 5}},
     {"inputTextTokenCount": 3, "results": [{"tokenCount": 1, "outputText": "ho", "completionReason": "FINISH"}]}),
    ({"prompt": "hi", "max_gen_len": 5},
     {"generation": "ho", "prompt_token_count": 3, "generation_token_count": 1, "stop_reason": "stop"}),
    ({"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"max_new_tokens": 5}},
     {"output": {"message": {"role": "assistant", "content": [{"text": "ho"}]}}, "stopReason": "end_turn",
      "usage": {"inputTokens": 3, "outputTokens": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "answer"), INVOKE, ids=["anthropic", "titan", "llama", "nova"])
def test_bedrock_invoke(asked: dict[str, Any], answer: dict[str, Any]) -> None:
    counts = {"x_amzn_bedrock_input_token_count": "3", "x_amzn_bedrock_output_token_count": "1"}
    ai = heard(BEDROCK, "/model/vendor.m/invoke", asked, answer, **counts).gen_ai
    assert (ai.input[-1].content, ai.output[0].content, ai.request_model) == ("hi", "ho", "vendor.m")
    assert (ai.input_tokens, ai.output_tokens) == (3, 1)


def test_bedrock_invoke_stream_of_anthropic() -> None:
    events = [
        {
            "type": "message_start",
            "message": {"type": "message", "id": "m", "model": "claude", "usage": {"input_tokens": 3}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ho"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    body = aws(*(("chunk", {"bytes": base64.b64encode(json.dumps(e).encode()).decode()}) for e in events))
    found = heard(
        BEDROCK, "/model/m/invoke-with-response-stream", INVOKE[0][0], body, "application/vnd.amazon.eventstream"
    )
    assert (found.gen_ai.output[0].content, found.gen_ai.input_tokens, found.gen_ai.finish_reasons) == (
        "ho",
        3,
        ["end_turn"],
    )


@given(st.binary(max_size=300))
def test_event_streams_of_any_bytes(data: bytes) -> None:
    list(parse_eventstream(data))
    whole = aws(("a", {"x": 1}), ("b", {}))
    for cut in range(len(whole)):
        frames = list(parse_eventstream(whole[:cut] + data))
        assert all(f.text(":event-type") in ("a", "b") for f in frames if f.whole)


COHERE = {"model": "command-a", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def test_cohere_whole_and_streamed() -> None:
    usage = {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 9, "output_tokens": 2}}
    message = {"role": "assistant", "content": [{"type": "text", "text": "ho"}]}
    whole = {"id": "c", "finish_reason": "COMPLETE", "message": message, "usage": usage}
    first = heard("api.cohere.com", "/v2/chat", COHERE, whole).gen_ai
    stream = sse(
        {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "h"}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "o"}}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    )
    second = heard("api.cohere.com", "/v2/chat", COHERE, stream, "text/event-stream").gen_ai
    for ai in (first, second):
        assert (ai.provider, ai.output[0].content, ai.finish_reasons, ai.response_id) == (
            "cohere",
            "ho",
            ["COMPLETE"],
            "c",
        )
        assert (ai.input_tokens, ai.output_tokens) == (9, 2)


def test_servers_and_the_hub() -> None:
    answer = {"generated_text": "ho", "details": {"finish_reason": "length", "generated_tokens": 2}}
    ai = heard("10.0.0.9:8080", "/generate", {"inputs": "hi", "parameters": {"max_new_tokens": 2}}, answer).gen_ai
    assert (ai.provider, ai.output[0].content, ai.output_tokens) == ("tgi", "ho", 2)
    stream = sse(
        {"content": "h", "stop": False}, {"content": "o", "stop": True, "tokens_predicted": 2, "tokens_evaluated": 1}
    )
    ai = heard("10.0.0.9:8080", "/completion", {"prompt": "hi", "stream": True}, stream, "text/event-stream").gen_ai
    assert (ai.provider, ai.output[0].content, ai.input_tokens, ai.output_tokens) == ("llama_cpp", "ho", 1, 2)
    path = "/meta-llama/Llama-3/resolve/abc/model.safetensors"
    match = default_catalogue().match("huggingface.co", 443, "GET", path, [])
    assert match is not None
    asked = Message(index=0, method="GET", target=path, headers=[("host", "huggingface.co")])
    found = decode(asked, Message(index=0, status=200, headers=[("x-repo-commit", "c1")], body=b"\0\1"), match)
    assert found is not None
    assert (found.gen_ai.operation, found.gen_ai.request_model) == ("download_model", "meta-llama/Llama-3")
    assert found.gen_ai.request_parameters == {"file": "model.safetensors", "revision": "abc", "commit": "c1"}


def test_azure_names_the_model_in_the_path() -> None:
    answer = {"choices": [{"message": {"role": "assistant", "content": "ho"}}]}
    path = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    ai = heard("r.openai.azure.com", path, {"messages": [{"role": "user", "content": "hi"}]}, answer).gen_ai
    assert (ai.provider, ai.request_model, ai.output[0].content) == ("azure.ai.openai", "my-gpt", "ho")


def _unknown(asked: object, answered: bytes, kind: str) -> Exchange | None:
    request = Message(
        index=0, method="POST", target="/ask", headers=[("host", "bot.corp")], body=json.dumps(asked).encode()
    )
    response = Message(index=0, status=200, headers=[("content-type", kind)], body=answered, complete=True)
    match = guess(request, response, DIALECTS)
    return decode(request, response, match) if match else None


def test_shadow_ai_is_told_by_its_shape() -> None:
    """An API that is known, at a place that is not; and a stream of small pieces of text in a form that nobody knows."""
    answer = {"id": "x", "choices": [{"message": {"role": "assistant", "content": "ho"}, "finish_reason": "stop"}]}
    found = _unknown({"messages": [{"role": "user", "content": "hi"}]}, json.dumps(answer).encode(), "application/json")
    assert found is not None
    assert (found.gen_ai.provider, found.gen_ai.api, found.gen_ai.output[0].content) == (PROVIDER, "openai.chat", "ho")
    words = ["the", "quick", "brown", "fox", "jumps", "over", "it"]
    stream = sse(*({"seq": n, "kind": "piece", "delta": {"t": w + " "}} for n, w in enumerate(words)))
    found = _unknown({"question": "what does the fox do?", "lang": "en"}, stream, "text/event-stream")
    assert found is not None
    assert (found.gen_ai.provider, found.gen_ai.api) == (PROVIDER, "unknown.stream")
    assert (found.gen_ai.input[0].content, found.gen_ai.output[0].content) == (
        "what does the fox do?",
        "the quick brown fox jumps over it ",
    )


@pytest.mark.parametrize(
    ("asked", "answered", "kind"),
    [
        ({"query": "{ user { name } }"}, b'{"data":{"user":{"name":"x"}}}', "application/json"),
        ({"messages": [{"topic": "t", "value": "v"}]}, b'{"offsets":[1]}', "application/json"),
        ({"input": "a b", "model": "t-shirt"}, b'{"price": 3}', "application/json"),
        ({"ids": [1, 2]}, sse(*({"event": "tick", "n": n} for n in range(9))), "text/event-stream"),
        ({"watch": "all of it"}, sse(*({"log": "x" * 500 + str(n)} for n in range(9))), "text/event-stream"),
    ],
)
def test_what_is_no_ai(asked: object, answered: bytes, kind: str) -> None:
    assert _unknown(asked, answered, kind) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "contents",
                    "parts",
                    "messages",
                    "content",
                    "text",
                    "role",
                    "candidates",
                    "message",
                    "delta",
                    "usage",
                    "type",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from(sorted(DIALECTS)), json_values, st.lists(json_values, max_size=4), st.booleans())
def test_any_json(api: str, asked: object, answered: list[object], stream: bool) -> None:
    body = sse(*answered) if stream else json.dumps(answered[0] if answered else None).encode()
    kind = "text/event-stream" if stream else "application/json"
    request = Message(index=0, method="POST", target="/model/x/invoke", body=json.dumps(asked).encode())
    response = Message(index=0, status=200, headers=[("content-type", kind)], body=body)
    decode(request, response, Match("x", api, "chat", True))
