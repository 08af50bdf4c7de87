"""Batches of OpenAI and Anthropic, assistants, fine-tuning, Replicate, KServe and Triton; bodies as the references give them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ai_wire import SSE, exchange, lines, must, request, response, sse
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai import batches, kserve, openai_assistants, replicate
from leeward.ai.catalogue import Match
from leeward.ai.decode import decode
from leeward.model.exchange import Exchange, GenAI
from leeward.model.message import Message


def seen(host: str, target: str, asked: Any, answered: Any, method: str = "POST") -> GenAI:
    return clean(must(request(host, target, asked, method), response(answered)))


def clean(found: Exchange) -> GenAI:
    assert found.evidence.notes == []
    assert found.error is None
    return found.gen_ai


# Batches

BATCH = {
    "id": "batch_abc",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "errors": None,
    "input_file_id": "file-abc",
    "status": "validating",
    "output_file_id": None,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
}


@pytest.mark.parametrize("host", ["api.openai.com", "gw.corp"])
def test_openai_batch(host: str) -> None:
    asked = {"input_file_id": "file-abc", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ai = seen(host, "/v1/batches", asked, BATCH)
    assert (ai.operation, ai.api, ai.response_id) == ("create_batch", "openai.batch_create", "batch_abc")
    assert ai.request_parameters == {**asked, "status": "validating", "request_counts": BATCH["request_counts"]}


def test_openai_batches_afterwards() -> None:
    done = {**BATCH, "status": "completed", "output_file_id": "file-out"}
    ai = seen("api.openai.com", "/v1/batches/batch_abc", b"", done, "GET")
    assert (ai.operation, ai.request_parameters["output_file_id"]) == ("get_batch", "file-out")
    ai = seen("api.openai.com", "/v1/batches?limit=2", b"", {"object": "list", "data": [done, done]}, "GET")
    assert (ai.operation, ai.request_parameters) == ("get_batch", {"count": 2})
    ai = seen("api.openai.com", "/v1/batches/batch_abc/cancel", b"", {**BATCH, "status": "cancelling"})
    assert (ai.operation, ai.request_parameters["batch_id"]) == ("cancel_batch", "batch_abc")


MESSAGES = {
    "requests": [
        {
            "custom_id": "first",
            "params": {
                "model": "claude-sonnet-4-5",
                "max_tokens": 1024,
                "system": "Be brief.",
                "messages": [{"role": "user", "content": "Hello, world"}],
                "tools": [{"name": "t", "input_schema": {"type": "object"}}],
            },
        },
        {
            "custom_id": "second",
            "params": {
                "model": "claude-sonnet-4-5",
                "max_tokens": 10,
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "c1", "name": "t", "input": {"a": 1.50}}],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "ok"}]},
                ],
                "tools": [{"name": "t", "input_schema": {"type": "object"}}],
            },
        },
    ]
}
STATE = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress", "results_url": None}


@pytest.mark.parametrize(
    ("host", "provider"), [("api.anthropic.com", "anthropic"), ("gw.corp", "anthropic_compatible")]
)
def test_anthropic_batch(host: str, provider: str) -> None:
    ai = seen(host, "/v1/messages/batches", MESSAGES, STATE)
    assert (ai.provider, ai.operation, ai.request_model, ai.response_id) == (
        provider,
        "create_batch",
        "claude-sonnet-4-5",
        "msgbatch_1",
    )
    assert [(message.role, message.content, message.name) for message in ai.input] == [
        ("system", "Be brief.", "first"),
        ("user", "Hello, world", "first"),
        ("assistant", "", "second"),
        ("tool", "ok", "second"),
    ]
    assert ai.input[2].tool_calls[0].arguments == '{"a": 1.5}'
    assert ([tool.name for tool in ai.tools], ai.request_parameters["count"]) == (["t"], 2)


def _message(words: str) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    content = [{"type": "text", "text": words}]
    head = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "stop_reason": "end_turn",
    }
    return {**head, "content": content, "usage": usage}


RESULTS = lines(
    {"custom_id": "first", "result": {"type": "succeeded", "message": _message("Hi.")}},
    {"custom_id": "second", "result": {"type": "succeeded", "message": _message("Ho.")}},
    {"custom_id": "third", "result": {"type": "errored", "error": {"type": "error", "error": {"type": "x"}}}},
)


@pytest.mark.parametrize("kind", ["application/x-jsonl", "application/octet-stream"])
def test_anthropic_results(kind: str) -> None:
    asked = request("api.anthropic.com", "/v1/messages/batches/msgbatch_1/results", method="GET")
    ai = clean(must(asked, response(RESULTS, headers=[("content-type", kind)])))
    assert (ai.operation, ai.response_model, ai.finish_reasons) == (
        "batch_results",
        "claude-sonnet-4-5",
        ["end_turn", "errored"],
    )
    assert [(message.content, message.name) for message in ai.output] == [("Hi.", "first"), ("Ho.", "second")]
    assert (ai.input_tokens, ai.output_tokens) == (20, 10)
    assert ai.request_parameters == {"batch_id": "msgbatch_1", "count": 3}


def test_anthropic_batches_afterwards() -> None:
    ended = {**STATE, "processing_status": "ended"}
    ai = seen("api.anthropic.com", "/v1/messages/batches/msgbatch_1", b"", ended, "GET")
    assert (ai.operation, ai.request_parameters) == (
        "get_batch",
        {"batch_id": "msgbatch_1", "processing_status": "ended"},
    )
    assert seen("api.anthropic.com", "/v1/messages/batches/msgbatch_1/cancel", b"", ended).operation == "cancel_batch"
    gone = {"id": "msgbatch_1", "type": "message_batch_deleted"}
    assert seen("api.anthropic.com", "/v1/messages/batches/m", b"", gone, "DELETE").operation == "delete_batch"
    assert seen("api.anthropic.com", "/v1/messages/batches", b"", {"data": [ended]}, "GET").operation == "get_batch"


def test_batches_of_others_are_no_ai() -> None:
    assert exchange(request("bakery", "/v1/batches", {"bread": 3}), response({"id": 1})) is None


# Assistants

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
AGENT = {
    "model": "gpt-4o",
    "name": "Tutor",
    "instructions": "You teach maths.",
    "tools": [{"type": "code_interpreter"}, TOOL],
}


@pytest.mark.parametrize(
    ("host", "base"), [("api.openai.com", "/v1"), ("r.openai.azure.com", "/openai"), ("llm.corp", "/v1")]
)
def test_an_assistant_and_its_thread(host: str, base: str) -> None:
    ai = seen(host, f"{base}/assistants", AGENT, {"id": "asst_1", "object": "assistant", **AGENT})
    assert (ai.operation, ai.request_model, ai.response_id, ai.input[0].content) == (
        "create_agent",
        "gpt-4o",
        "asst_1",
        "You teach maths.",
    )
    assert [tool.name for tool in ai.tools] == ["code_interpreter", "weather"]
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "What is 1+1?"}]}
    ai = seen(host, f"{base}/threads", asked, {"id": "thread_1", "object": "thread"})
    assert (ai.operation, ai.input[0].content) == ("create_thread", "What is 1+1?")
    held = [
        {"type": "text", "text": {"value": "2.", "annotations": []}},
        {"type": "image_file", "image_file": {"file_id": "f"}},
    ]
    reply = {"id": "msg_1", "object": "thread.message", "role": "assistant", "content": held}
    asked = {"role": "user", "content": "Why?", "attachments": [{"file_id": "file-1", "tools": []}]}
    ai = seen(host, f"{base}/threads/thread_1/messages", asked, reply)
    assert (ai.operation, ai.input[0].content) == ("add_message", "Why?")
    assert ai.input[0].parts == [{"type": "file", "file_id": "file-1"}]
    ai = seen(host, f"{base}/threads/thread_1/messages?limit=9", b"", {"object": "list", "data": [reply]}, "GET")
    assert (ai.operation, ai.output[0].content, ai.output[0].parts) == (
        "list_messages",
        "2.",
        [{"type": "image", "file_id": "f"}],
    )
    assert ai.request_parameters == {"thread_id": "thread_1", "count": 1}


CALLS = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]
RUN = {"id": "run_1", "object": "thread.run", "status": "queued", "model": "gpt-4o", "usage": None, "last_error": None}
USAGE = {"prompt_tokens": 20, "completion_tokens": 11, "total_tokens": 31}


def test_a_run() -> None:
    asked = {
        "assistant_id": "asst_1",
        "additional_instructions": "Be kind.",
        "additional_messages": [{"role": "user", "content": "hi"}],
    }
    ai = seen("api.openai.com", "/v1/threads/thread_1/runs", asked, RUN)
    assert (ai.operation, ai.response_model, ai.finish_reasons) == ("invoke_agent", "gpt-4o", ["queued"])
    assert [message.content for message in ai.input] == ["Be kind.", "hi"]
    assert ai.request_parameters == {"assistant_id": "asst_1", "thread_id": "thread_1"}
    waits = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": CALLS}}
    state = {**RUN, "status": "requires_action", "required_action": waits}
    ai = seen("api.openai.com", "/v1/threads/thread_1/runs/run_1", b"", state, "GET")
    assert (ai.operation, ai.tool_calls[0].name, ai.tool_calls[0].arguments) == (
        "get_run",
        "weather",
        '{"city": "Oslo"}',
    )
    asked = {"tool_outputs": [{"tool_call_id": "call_1", "output": "3 °C"}]}
    ai = seen("gw.corp", "/v1/threads/thread_1/runs/run_1/submit_tool_outputs", asked, {**RUN, "usage": USAGE})
    assert (ai.operation, ai.input[0].role, ai.input[0].tool_call_id) == ("invoke_agent", "tool", "call_1")
    assert (ai.input_tokens, ai.output_tokens) == (20, 11)


def _delta(words: str) -> tuple[str, dict[str, Any]]:
    piece = {"index": 0, "type": "text", "text": {"value": words, "annotations": []}}
    return "thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [piece]}}


def test_a_streamed_run() -> None:
    asked = {"assistant_id": "asst_1", "stream": True, "thread": {"messages": [{"role": "user", "content": "Hello"}]}}
    events = (
        sse(
            ("thread.created", {"id": "thread_1", "object": "thread"}),
            ("thread.run.created", RUN),
            ("thread.message.created", {"id": "msg_1", "object": "thread.message", "role": "assistant", "content": []}),
            _delta("Hello "),
            _delta("there"),
            ("thread.run.completed", {**RUN, "status": "completed", "usage": USAGE}),
        )
        + b"event: done\ndata: [DONE]\n\n"
    )
    asking = request("api.openai.com", "/v1/threads/runs", asked)
    ai = clean(must(asking, response(events, headers=SSE)))
    assert (ai.operation, ai.stream, ai.input[0].content, ai.output[0].content) == (
        "invoke_agent",
        True,
        "Hello",
        "Hello there",
    )
    assert (ai.response_id, ai.finish_reasons, ai.input_tokens, ai.output_tokens) == ("run_1", ["completed"], 20, 11)
    cut = must(asking, response(events[: events.index(b"event: thread.run.completed")], headers=SSE))
    assert (cut.gen_ai.output[0].content, cut.evidence.notes) == ("Hello there", ["stream-without-end"])


def test_fine_tuning() -> None:
    asked = {"model": "gpt-4o-mini", "training_file": "file-abc", "hyperparameters": {"n_epochs": 2}}
    job = {
        "object": "fine_tuning.job",
        "id": "ftjob-1",
        "model": "gpt-4o-mini",
        "status": "queued",
        "fine_tuned_model": None,
    }
    for host in ("api.openai.com", "unsloth.corp"):
        ai = seen(host, "/v1/fine_tuning/jobs", asked, job)
        assert (ai.operation, ai.request_model, ai.response_id) == ("create_fine_tuning_job", "gpt-4o-mini", "ftjob-1")
        assert ai.request_parameters == {"training_file": "file-abc", "hyperparameters": {"n_epochs": 2}}
    ended = {**job, "status": "succeeded", "fine_tuned_model": "ft:gpt-4o-mini:org:x"}
    ai = seen("api.openai.com", "/v1/fine_tuning/jobs/ftjob-1", b"", ended, "GET")
    assert (ai.operation, ai.response_model, ai.finish_reasons) == (
        "get_fine_tuning_job",
        "ft:gpt-4o-mini:org:x",
        ["succeeded"],
    )
    assert ai.request_parameters == {"job_id": "ftjob-1"}


def test_threads_of_others_are_no_ai() -> None:
    assert exchange(request("forum", "/v1/threads", {"title": "Cats"}), response({"id": 3})) is None
    posts = [{"title": "Cats", "content": "meow"}]
    assert exchange(request("forum", "/v1/threads", {"messages": posts}), response({"id": 3})) is None
    assert exchange(request("forum", "/v1/threads/3/messages", {"role": "admin", "content": "x"}), response({})) is None
    assert exchange(request("forum", "/v1/threads/3/messages", method="GET"), response({"data": [{"id": 1}]})) is None


# Predictions


def test_replicate() -> None:
    asked = {
        "input": {
            "prompt": "Tell me a joke",
            "system_prompt": "Be funny.",
            "image": "data:image/png;base64,iVBORw0=",
            "style_notes": "as a sailor would",
            "max_tokens": 512,
            "scheduler": "K_EULER",
        }
    }
    prediction = {
        "id": "gm3q",
        "model": "meta/meta-llama-3-70b-instruct",
        "version": "dp-1",
        "input": asked["input"],
        "output": ["Knock", " knock", "."],
        "error": None,
        "status": "succeeded",
        "metrics": {"input_token_count": 9, "output_token_count": 3, "predict_time": 0.5},
        "urls": {"get": "https://api.replicate.com/v1/predictions/gm3q"},
    }
    ai = seen("api.replicate.com", "/v1/models/meta/meta-llama-3-70b-instruct/predictions", asked, prediction)
    assert (ai.provider, ai.operation, ai.request_model) == ("replicate", "predict", "meta/meta-llama-3-70b-instruct")
    assert [(message.role, message.content, message.name) for message in ai.input] == [
        ("system", "Be funny.", ""),
        ("user", "as a sailor would", "style_notes"),
        ("user", "Tell me a joke", ""),
    ]
    assert (ai.input[2].parts[0]["media_type"], ai.input[2].parts[0]["size"]) == ("image/png", 5)
    assert ai.request_parameters == {"max_tokens": 512, "scheduler": "K_EULER"}
    assert (ai.output[0].content, ai.input_tokens, ai.output_tokens) == ("Knock knock.", 9, 3)
    made = {**prediction, "output": ["https://replicate.delivery/a.png"], "status": "succeeded"}
    ai = seen("api.replicate.com", "/v1/predictions", {"version": "da77", "input": {"prompt": "A cat"}}, made)
    assert (ai.operation, ai.request_model) == ("predict", "da77")
    assert ai.output[0].parts == [{"type": "file", "url": "https://replicate.delivery/a.png"}]
    ai = seen("api.replicate.com", "/v1/predictions/gm3q", b"", {**prediction, "output": {"label": "cat"}}, "GET")
    assert (ai.operation, ai.output[0].content, ai.input) == ("get_prediction", "label: cat", [])


INFER = {
    "id": "42",
    "inputs": [
        {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [["summarise this"]]},
        {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.2, 0.3]},
    ],
}
INFERRED = {
    "model_name": "ensemble",
    "model_version": "1",
    "id": "42",
    "outputs": [{"name": "summary", "shape": [1], "datatype": "BYTES", "data": ["short"]}],
}


@pytest.mark.parametrize("target", ["/v2/models/ensemble/infer", "/v2/models/ensemble/versions/1/infer"])
def test_infer(target: str) -> None:
    ai = seen("triton.svc:8000", target, INFER, INFERRED)
    assert (ai.provider, ai.operation, ai.request_model, ai.response_model) == (
        "triton",
        "predict",
        "ensemble",
        "ensemble",
    )
    assert [(message.content, message.name) for message in ai.input] == [("summarise this", "text"), ("", "")]
    assert ai.input[1].parts == [{"type": "tensor", "name": "x", "datatype": "FP32", "shape": [1, 3]}]
    assert [(message.content, message.name) for message in ai.output] == [("short", "summary")]


def _counted(words: str) -> bytes:
    return len(words.encode()).to_bytes(4, "little") + words.encode()


def _binary(document: Any, tail: bytes) -> tuple[list[tuple[str, str]], bytes]:
    head = json.dumps(document).encode()
    headers = [("content-type", "application/octet-stream"), ("inference-header-content-length", str(len(head)))]
    return headers, head + tail


def test_infer_with_tensors_as_bytes() -> None:
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 16}}
    number = {"name": "n", "shape": [1], "datatype": "INT32", "parameters": {"binary_data_size": 4}}
    tail = b"\1\0\0\0" + _counted("Köln") + _counted("ho")
    headers, body = _binary({"inputs": [number, {**tensor, "parameters": {"binary_data_size": len(tail) - 4}}]}, tail)
    asked = request("10.0.0.5:8000", "/v2/models/m/infer", body)
    asked.headers = [("host", "10.0.0.5:8000"), *headers]
    headers, body = _binary({"model_name": "m", "outputs": [tensor]}, _counted("eins") + _counted("zwei"))
    ai = clean(must(asked, response(body, headers=headers)))
    assert [message.content for message in ai.input] == ["Köln", "ho", ""]
    assert ([message.content for message in ai.output], ai.response_model) == (["eins", "zwei"], "m")


def test_generate() -> None:
    answer = {"model_name": "vllm", "model_version": "1", "text_output": "Hello there"}
    ai = seen("10.0.0.5:8000", "/v2/models/vllm/generate", {"text_input": "Hi", "max_tokens": 5}, answer)
    assert (ai.operation, ai.request_model, ai.input[0].content, ai.output[0].content) == (
        "text_completion",
        "vllm",
        "Hi",
        "Hello there",
    )
    events = sse({"model_name": "vllm", "text_output": "Hello "}, {"model_name": "vllm", "text_output": "there"})
    asked = request("10.0.0.5:8000", "/v2/models/vllm/generate_stream", {"text_input": "Hi", "stream": True})
    ai = clean(must(asked, response(events, headers=SSE)))
    assert (ai.stream, ai.output[0].content, ai.response_model) == (True, "Hello there", "vllm")


def _pb(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([number << 3 | 2, len(data)]) + data for number, data in fields)


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
def test_infer_over_grpc(method: str) -> None:
    kind = [("content-type", "application/grpc")]
    inline = _pb((1, b"a"), (2, b"BYTES"), (5, _pb((8, b"first"), (8, b"\xff\xd8\0"))))
    asked = _pb((1, b"ensemble"), (5, inline))
    answer = _pb((1, b"ensemble"), (5, _pb((1, b"o"), (2, b"BYTES"))), (6, _counted("done")))
    answer = answer if method == "ModelInfer" else _pb((2, answer))
    call = request("t:8001", f"/inference.GRPCInferenceService/{method}", b"\0" + len(asked).to_bytes(4, "big") + asked)
    call.headers = [("host", "t:8001"), *kind]
    ai = clean(must(call, response(b"\0" + len(answer).to_bytes(4, "big") + answer, headers=kind)))
    assert (ai.provider, ai.request_model, ai.response_model) == ("triton", "ensemble", "ensemble")
    assert [(message.content, message.name) for message in ai.input] == [("first", "a"), ("[data, 3 bytes]", "a")]
    assert [(message.content, message.name) for message in ai.output] == [("done", "o")]


@given(st.binary(max_size=60), st.integers(0, 80))
def test_infer_of_any_bytes(data: bytes, size: int) -> None:
    headers = [("content-type", "application/octet-stream"), ("inference-header-content-length", str(size))]
    asked = request("h", "/v2/models/m/infer", data)
    asked.headers = [("host", "h"), *headers]
    decode(asked, response(data, headers=headers), Match("triton", "kserve.infer", "predict", True))


# Any

FIELDS = [
    "requests", "custom_id", "params", "messages", "model", "tools", "result", "message", "type", "data", "object", "content",
    "text", "value", "thread", "delta", "id", "required_action", "submit_tool_outputs", "tool_calls", "usage", "inputs",
    "outputs", "input", "output", "name", "datatype",
]  # fmt: skip
WORDS = ["succeeded", "thread.message.delta", "thread.run", "thread.message", "text", "image_file", "message"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=16,
)
MODULES = (batches, kserve, openai_assistants, replicate)


@given(
    st.sampled_from(sorted({api for module in MODULES for api in module.DIALECTS})),
    anything,
    st.lists(anything, max_size=3),
)
def test_any_json(api: str, asked: object, answered: list[object]) -> None:
    match = Match("x", api, "chat", True)
    asking = Message(index=0, method="POST", target="/v1/threads/x/runs", body=json.dumps(asked).encode())
    decode(asking, response(answered[0] if answered else None), match)
    decode(asking, response(lines(*answered), headers=[("content-type", "application/x-jsonl")]), match)
    decode(asking, response(sse(*answered, done=True), headers=SSE), match)


def test_lines_after_a_chat_do_not_hide_it() -> None:
    """Servers read the first value and ignore the type, the rest, or both."""
    for kind in ("application/x-ndjson", "text/plain", "application/octet-stream"):
        body = b'{"model": "m", "messages": [{"role": "user", "content": "hidden?"}]}\n{}\n'
        request = Message(
            index=0, method="POST", target="/api/chat", body=body, headers=[("content-type", kind)], complete=True
        )
        answer = b'{"model": "m", "message": {"role": "assistant", "content": "no"}, "done": true}'
        response = Message(
            index=0, status=200, body=answer, headers=[("content-type", "application/json")], complete=True
        )
        exchange = decode(request, response, Match("ollama", "ollama.chat", "chat", False))
        assert exchange is not None
        assert [m.content for m in exchange.gen_ai.input] == ["hidden?"], kind
