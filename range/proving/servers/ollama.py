"""Ollama: /api/chat, /api/generate, /api/embed, /api/tags and its OpenAI-compatible paths, over plain HTTP."""

from __future__ import annotations

import datetime
from typing import Any

from proving.servers import openai_api, words
from proving.servers.openai_common import OLLAMA
from proving.servers.reply import Ask, Json, Meaning, Reply, cut_if_asked, json_reply, ndjson_reply

_TAGS = ("llama3.2:latest", "qwen2.5-coder:7b")


def handle(ask: Ask) -> Reply:
    """Any request to the server."""
    if ask.path.startswith("/v1/"):
        return openai_api.handle(OLLAMA, ask)
    if ask.method in ("GET", "HEAD"):
        return _read(ask)
    body = ask.data
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return json_reply({"error": "missing request body"}, Meaning(error="bad_request"), status=400)
    if body["model"] == "range-404":
        return json_reply({"error": 'model "range-404" not found'}, Meaning(error="not_found"), status=404)
    match ask.path:
        case "/api/chat":
            return _chat(ask)
        case "/api/generate":
            return _generate(ask)
        case "/api/embed":
            return _embed(body)
        case "/api/show":
            return json_reply(
                {"details": _details(), "model_info": {}, "capabilities": ["completion", "tools"]}, Meaning()
            )
    return Reply(404, [b"404 page not found"], "text/plain", Meaning(error="not_found"))


def _read(ask: Ask) -> Reply:
    models = [
        {
            "name": t,
            "model": t,
            "modified_at": _stamp(ask),
            "size": 2019393189,
            "digest": "a80c4f17acd5",
            "details": _details(),
        }
        for t in _TAGS
    ]
    match ask.path:
        case "/":
            return Reply(200, [b"Ollama is running"], "text/plain; charset=utf-8")
        case "/api/tags":
            return json_reply({"models": models}, Meaning("tags"))
        case "/api/ps":
            return json_reply({"models": []}, Meaning("ps"))
        case "/api/version":
            return json_reply({"version": "0.12.6"}, Meaning("version"))
    return Reply(404, [b"404 page not found"], "text/plain", Meaning(error="not_found"))


def _details() -> Json:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }


def _stamp(ask: Ask) -> str:
    return datetime.datetime.fromtimestamp(ask.now, datetime.UTC).isoformat().replace("+00:00", "Z")


def _end(meaning: Meaning) -> dict[str, Json]:
    counts = {"prompt_eval_count": meaning.usage["input_tokens"], "eval_count": meaning.usage["output_tokens"]}
    times = {
        "total_duration": 4935886791,
        "load_duration": 534986708,
        "prompt_eval_duration": 107345000,
        "eval_duration": 4289432000,
    }
    return {"done": True, "done_reason": meaning.finish[0], **times, **counts}


def _decide(ask: Ask, operation: str, question: str, spent: int) -> Meaning:
    body = ask.data
    meaning = Meaning(operation, body["model"], body["model"], stream=body.get("stream") is not False)
    pieces = words.tokens(words.answer(question, body["model"]))
    limit = (body.get("options") or {}).get("num_predict")
    short = isinstance(limit, int) and 0 < limit < len(pieces)
    meaning.text = "".join(pieces[:limit] if short else pieces)
    meaning.texts = [meaning.text]
    meaning.finish = ["length" if short else "stop"]
    meaning.usage = {"input_tokens": spent, "output_tokens": len(words.tokens(meaning.text))}
    return meaning


def _chat(ask: Ask) -> Reply:
    body = ask.data
    messages: list[dict[str, Any]] = body.get("messages") or []
    last = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=0)
    question = "\n".join(str(m.get("content") or "") for m in messages[last:] if m.get("role") in ("user", "tool"))
    spent = sum(words.count(str(m.get("content") or "")) + 4 for m in messages)
    meaning = _decide(ask, "chat", question, spent)
    frame = {"model": body["model"], "created_at": _stamp(ask)}
    tools = [t["function"] for t in body.get("tools") or [] if isinstance(t, dict) and "function" in t]
    calls: list[Json] = []
    if tools and messages and messages[-1].get("role") != "tool":
        meaning.text, meaning.texts = "", []
        for index, tool in enumerate(tools[:2]):
            value = words.arguments(tool.get("parameters"), question, str(index))
            calls.append({"function": {"name": tool["name"], "arguments": value}})
            meaning.tool_calls.append({"id": "", "name": tool["name"], "arguments": value})
        meaning.usage["output_tokens"] = sum(words.count(str(c)) for c in calls)

    def line(content: str, **more: Json) -> Json:
        return {**frame, "message": {"role": "assistant", "content": content, **more}, "done": False}

    if not meaning.stream:
        return json_reply({**line(meaning.text, **({"tool_calls": calls} if calls else {})), **_end(meaning)}, meaning)
    lines = [line("", tool_calls=[c]) for c in calls] or [line(t) for t in words.tokens(meaning.text)]
    return cut_if_asked(ndjson_reply([*lines, {**line(""), **_end(meaning)}], meaning), body["model"])


def _generate(ask: Ask) -> Reply:
    body = ask.data
    prompt = str(body.get("prompt") or "")
    meaning = _decide(ask, "generate", prompt, words.count(prompt) + words.count(str(body.get("system") or "")))
    frame = {"model": body["model"], "created_at": _stamp(ask)}
    end = {**frame, "response": "", **_end(meaning), "context": [128006, 882, 128007]}
    if not meaning.stream:
        return json_reply({**end, "response": meaning.text}, meaning)
    lines = [{**frame, "response": t, "done": False} for t in words.tokens(meaning.text)]
    return cut_if_asked(ndjson_reply([*lines, end], meaning), body["model"])


def _embed(body: dict[str, Any]) -> Reply:
    given = body.get("input")
    texts = given if isinstance(given, list) else [given]
    spent = sum(words.count(str(t)) for t in texts)
    meaning = Meaning("embed", body["model"], body["model"], usage={"input_tokens": spent})
    vectors = [words.vector(str(t), 64) for t in texts]
    times = {"total_duration": 14143917, "load_duration": 1019500, "prompt_eval_count": spent}
    return json_reply({"model": body["model"], "embeddings": vectors, **times}, meaning)
