"""`POST /v1/chat/completions`, streamed and not, with n, tools, usage and length limits."""

from __future__ import annotations

from typing import Any

from proving.servers import words
from proving.servers.openai_common import Flavour, content_text, failure
from proving.servers.reply import Ask, Json, Meaning, Reply, cut_if_asked, dumps, json_reply, sse_reply


def complete(flavour: Flavour, ask: Ask) -> Reply:
    """The completion of a chat."""
    body = ask.data
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        text = "Invalid type for 'messages': expected a non-empty array of objects."
        return failure(400, text, "invalid_request_error", "invalid_type", "messages")
    meaning = _decide(flavour, ask, messages)
    if not body.get("stream"):
        return json_reply(_document(flavour, ask, meaning), meaning, indent=2 if flavour.vendor == "openai" else None)
    meaning.stream = True
    reply = sse_reply([("", c) for c in _chunks(flavour, ask, meaning)], meaning, done=True)
    return cut_if_asked(reply, meaning.model)


def _decide(flavour: Flavour, ask: Ask, messages: list[dict[str, Any]]) -> Meaning:
    body = ask.data
    digest = ask.hash()
    ident = "chatcmpl-" + (digest[:32] if flavour.vendor in ("vllm", "groq") else "Range" + digest[:24])
    meaning = Meaning("chat", body["model"], flavour.model(body["model"]), ident)
    question = _question(messages)
    prompt = sum(words.count(content_text(m.get("content"))) + 4 for m in messages)
    calls = _calls(body, messages, question)
    if calls:
        meaning.tool_calls, meaning.finish = calls, ["tool_calls"]
        completion = sum(words.count(c["arguments"]) + 8 for c in calls)
    else:
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        for index in range(max(1, int(body.get("n") or 1))):
            pieces = words.tokens(words.answer(question, f"{meaning.model} {index}"))
            short = isinstance(limit, int) and 0 < limit < len(pieces)
            meaning.texts.append("".join(pieces[:limit] if short else pieces))
            meaning.finish.append("length" if short else "stop")
        meaning.text = meaning.texts[0]
        completion = sum(len(words.tokens(t)) for t in meaning.texts)
    meaning.usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return meaning


def _question(messages: list[dict[str, Any]]) -> str:
    """What is answered: the last user message, and the tool results after it."""
    last = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=0)
    return "\n".join(content_text(m.get("content")) for m in messages[last:] if m.get("role") in ("user", "tool"))


def _calls(body: dict[str, Any], messages: list[dict[str, Any]], question: str) -> list[dict[str, Json]]:
    """The tool calls: one for each of the first two tools, unless results are there already."""
    choice = body.get("tool_choice", "auto")
    tools = [t["function"] for t in body.get("tools") or [] if isinstance(t, dict) and t.get("type") == "function"]
    if choice == "none" or messages[-1].get("role") != "user":
        return []
    if isinstance(choice, dict):
        tools = [t for t in tools if t.get("name") == (choice.get("function") or {}).get("name")]
    calls = []
    for index, tool in enumerate(tools[: 1 if body.get("parallel_tool_calls") is False else 2]):
        value = words.arguments(tool.get("parameters"), question, f"{index}")
        ident = "call_" + words.rng("call", question, str(index)).randbytes(12).hex()
        calls.append({"id": ident, "name": tool["name"], "arguments": dumps(value).decode()})
    return calls


def _document(flavour: Flavour, ask: Ask, meaning: Meaning) -> Json:
    choices: list[Json] = []
    for index, finish in enumerate(meaning.finish):
        message: dict[str, Json] = {"role": "assistant", "content": None}
        if meaning.tool_calls:
            message["tool_calls"] = [_call(c) for c in meaning.tool_calls]
        else:
            message["content"] = meaning.texts[index]
        message["refusal"] = None
        if flavour.vendor == "openai":
            message["annotations"] = []
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    document = _frame(flavour, ask, meaning, "chat.completion")
    return {**document, "choices": choices, "usage": _usage(flavour, meaning), **_tail(flavour)}


def _call(call: dict[str, Json]) -> Json:
    function = {"name": call["name"], "arguments": call["arguments"]}
    return {"id": call["id"], "type": "function", "function": function}


def _frame(flavour: Flavour, ask: Ask, meaning: Meaning, kind: str) -> dict[str, Json]:
    return {"id": meaning.response_id, "object": kind, "created": int(ask.now), "model": meaning.response_model}


def _tail(flavour: Flavour) -> dict[str, Json]:
    if flavour.vendor == "openai":
        return {"service_tier": "default", "system_fingerprint": "fp_a1b2c3d4e5"}
    if flavour.vendor == "groq":
        return {"service_tier": "on_demand", "system_fingerprint": "fp_range00001", "x_groq": {"id": "req_range"}}
    return {}


def _usage(flavour: Flavour, meaning: Meaning) -> Json:
    usage: dict[str, Json] = dict(meaning.usage)
    if flavour.vendor == "openai":
        usage["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0}
        usage["completion_tokens_details"] = {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return usage


def _chunks(flavour: Flavour, ask: Ask, meaning: Meaning) -> list[Json]:
    frame = {**_frame(flavour, ask, meaning, "chat.completion.chunk"), **_tail(flavour)}
    # Mistral's last chunk always carries it.
    with_usage = bool((ask.data.get("stream_options") or {}).get("include_usage")) or flavour.vendor == "mistral"
    padding = words.rng("padding", meaning.response_id)
    out: list[Json] = []

    def add(choices: list[Json], usage: Json = None) -> None:
        chunk = {**frame, "choices": choices}
        if with_usage:
            chunk["usage"] = usage
        if flavour.obfuscation:
            chunk["obfuscation"] = padding.randbytes(padding.randint(0, 6)).hex()
        out.append(chunk)

    def delta(index: int, value: Json, finish: str | None = None) -> None:
        add([{"index": index, "delta": value, "logprobs": None, "finish_reason": finish}])

    for index in range(len(meaning.finish)):
        delta(index, {"role": "assistant", "content": None if meaning.tool_calls else "", "refusal": None})
    for number, call in enumerate(meaning.tool_calls):
        delta(0, {"tool_calls": [{"index": number, **_call({**call, "arguments": ""})}]})
        for part in words.fragments(call["arguments"], call["id"]):
            delta(0, {"tool_calls": [{"index": number, "function": {"arguments": part}}]})
    parts = [words.tokens(text) for text in meaning.texts]
    for step in range(max(map(len, parts), default=0)):  # n > 1: the choices take turns
        for index, pieces in enumerate(parts):
            if step < len(pieces):
                delta(index, {"content": pieces[step]})
    for index, finish in enumerate(meaning.finish):
        delta(index, {}, finish)
    if with_usage:
        add([], _usage(flavour, meaning))
    else:
        meaning.usage = {}  # not on the wire, so not part of the truth
    return out
