"""Which path of an OpenAI-like server is which operation."""

from __future__ import annotations

from proving.servers import embeddings, openai_chat, openai_responses
from proving.servers.openai_common import OPENAI, VLLM, Flavour, failure, headers, models, refused
from proving.servers.reply import Ask, Meaning, Reply, json_reply


def handle(flavour: Flavour, ask: Ask) -> Reply:
    """Any request to the server."""
    if flavour is VLLM and ask.path in ("/health", "/version"):
        return json_reply({"version": "0.11.0"} if ask.path == "/version" else {}, Meaning())
    reply = refused(flavour, ask) or _operation(flavour, ask)
    reply.headers += headers(flavour, ask)
    return reply


def _operation(flavour: Flavour, ask: Ask) -> Reply:
    match ask.method, ask.path.removeprefix(flavour.base):
        case "POST", "/chat/completions":
            return openai_chat.complete(flavour, ask)
        case "POST", "/embeddings":
            return embeddings.embed(flavour, ask)
        case "POST", "/responses" if flavour in (OPENAI, VLLM):
            return openai_responses.respond(flavour, ask)
        case "GET", "/models":
            return models(flavour, ask)
    text = f"Invalid URL ({ask.method} {ask.path})"
    return failure(404, text, "invalid_request_error", "unknown_url")
