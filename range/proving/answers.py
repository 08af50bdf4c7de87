"""What AI services answer, as far as a scenario needs it: OpenAI's chat, embeddings, models; errors in their forms.

The forms are the vendors' (platform.openai.com API reference; the full servers are in servers/).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from proving.hosts import Asked, Reply
from proving.world import World

OPENAI, OPENAI_AT = "api.openai.com", "198.51.100.11"


def openai(world: World, *, words: int = 40) -> list[Asked]:
    """api.openai.com answers everything kindly; what was asked."""
    heard: list[Asked] = []

    def serve(asked: Asked) -> Reply:
        heard.append(asked)
        return kind(asked, words)

    world.host(OPENAI_AT, OPENAI).http(443, serve, tls=True)
    return heard


def kind(asked: Asked, words: int = 40) -> Reply:
    """A usual answer of OpenAI's API."""
    path = asked.path.split("?")[0]
    if path.endswith("/chat/completions"):
        body = asked.json()
        return Reply(completion(body["model"], "word " * words, len(str(body["messages"])) // 4, words))
    if path.endswith("/embeddings"):
        inputs = asked.json()["input"]
        vectors = [{"object": "embedding", "index": n, "embedding": [0.01] * 64} for n in range(len(inputs))]
        usage = {"prompt_tokens": len(asked.body) // 4, "total_tokens": len(asked.body) // 4}
        return Reply({"object": "list", "model": asked.json()["model"], "data": vectors, "usage": usage})
    if path.endswith("/models"):
        models = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3", "text-embedding-3-small")
        return Reply({"object": "list", "data": [{"id": m, "object": "model", "owned_by": "openai"} for m in models]})
    return error(404, "invalid_request_error", "Unknown request URL", "unknown_url")


def completion(
    model: str, text: str, prompt: int, words: int, calls: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """A chat completion. calls: tool calls, of (name, arguments)."""
    message: dict[str, Any] = {"role": "assistant", "content": None if calls else text, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words},
    }


def error(status: int, what: str, message: str, code: str) -> Reply:
    """An error as OpenAI's API says it."""
    return Reply({"error": {"message": message, "type": what, "param": None, "code": code}}, status)


def refusing(decide: Callable[[Asked], Reply | None]) -> Callable[[Asked], Reply]:
    """Answers as usual where `decide` has nothing to say."""

    def serve(asked: Asked) -> Reply:
        return decide(asked) or kind(asked)

    return serve
