"""generativelanguage.googleapis.com: generateContent, streamGenerateContent, and Google's OpenAI-compatible paths."""

from __future__ import annotations

from proving.servers import openai_api, words
from proving.servers.openai_common import GEMINI
from proving.servers.reply import Ask, Json, Meaning, Reply, cut_if_asked, dumps, json_reply, sse_reply


def handle(ask: Ask) -> Reply:
    """Any request to the host."""
    if ask.path.startswith(GEMINI.base):
        return openai_api.handle(GEMINI, ask)
    model, _, verb = ask.path.removeprefix("/v1beta/models/").partition(":")
    key = ask.headers.get("x-goog-api-key") or ("key" if "key=AIza" in ask.query else "")
    if not key or "invalid" in key:
        return _failure(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")
    if ask.method != "POST" or verb not in ("generateContent", "streamGenerateContent"):
        return _failure(404, f"{ask.path} is not found", "NOT_FOUND")
    if not isinstance(ask.data, dict) or not isinstance(ask.data.get("contents"), list):
        return _failure(400, "* GenerateContentRequest.contents: contents is not specified", "INVALID_ARGUMENT")
    reply = _generate(ask, model, verb)
    reply.headers += [("server", "scaffolding on HTTPServer2"), ("x-content-type-options", "nosniff")]
    return reply


def _failure(status: int, message: str, kind: str) -> Reply:
    error = {"error": {"code": status, "message": message, "status": kind}}
    return json_reply(error, Meaning(error=kind), status=status, indent=2)


def _generate(ask: Ask, model: str, verb: str) -> Reply:
    texts = [p.get("text", "") for c in ask.data["contents"] for p in c.get("parts", [])]
    meaning = Meaning("generate_content", model, model, ask.hash()[:22], stream=verb == "streamGenerateContent")
    meaning.text = words.answer(texts[-1] if texts else "", model)
    meaning.texts, meaning.finish = [meaning.text], ["STOP"]
    pieces = words.tokens(meaning.text)
    spent = sum(map(words.count, texts))
    meaning.usage = {"input_tokens": spent, "output_tokens": len(pieces)}
    usage = {
        "promptTokenCount": spent,
        "candidatesTokenCount": len(pieces),
        "totalTokenCount": spent + len(pieces),
    }

    def chunk(text: str, last: bool) -> Json:
        candidate: dict[str, Json] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = "STOP"
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": model,
            "responseId": meaning.response_id,
        }

    if not meaning.stream:
        return json_reply(chunk(meaning.text, True), meaning, indent=2)
    groups = ["".join(pieces[i : i + 12]) for i in range(0, len(pieces), 12)]
    chunks = [chunk(g, i == len(groups) - 1) for i, g in enumerate(groups)]
    if "alt=sse" in ask.query:
        return cut_if_asked(sse_reply([("", c) for c in chunks], meaning), model)
    parts = [(b"[" if i == 0 else b",\r\n") + dumps(c, 2) for i, c in enumerate(chunks)]
    return cut_if_asked(Reply(200, [*parts, b"]"], "application/json; charset=UTF-8", meaning, chunked=True), model)
