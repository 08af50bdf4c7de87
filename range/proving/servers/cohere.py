"""api.cohere.com: chat, version 2, whole and streamed."""

from __future__ import annotations

from proving.servers import words
from proving.servers.reply import Ask, Json, Meaning, Reply, json_reply, sse_reply


def handle(ask: Ask) -> Reply:
    """Any request to the host."""
    if not ask.bearer():
        return json_reply({"message": "no api key supplied"}, Meaning(error="auth"), status=401)
    if (ask.method, ask.path) != ("POST", "/v2/chat") or not isinstance(ask.data, dict):
        return json_reply({"message": "not found"}, Meaning(error="not_found"), status=404)
    texts = [m["content"] for m in ask.data["messages"] if isinstance(m["content"], str)]
    model = ask.data["model"]
    meaning = Meaning("chat", model, model, ask.hash()[:32], stream=bool(ask.data.get("stream")))
    meaning.text = words.answer(texts[-1] if texts else "", model)
    meaning.texts, meaning.finish = [meaning.text], ["COMPLETE"]
    pieces = words.tokens(meaning.text)
    meaning.usage = {"input_tokens": sum(map(words.count, texts)), "output_tokens": len(pieces)}
    usage: Json = {"billed_units": meaning.usage, "tokens": meaning.usage}
    if not meaning.stream:
        message = {"role": "assistant", "content": [{"type": "text", "text": meaning.text}]}
        return json_reply(
            {"id": meaning.response_id, "finish_reason": "COMPLETE", "message": message, "usage": usage}, meaning
        )
    empty = {"content": {"type": "text", "text": ""}}
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events: list[Json] = [
        {"type": "message-start", "id": meaning.response_id, "delta": {"message": start}},
        {"type": "content-start", "index": 0, "delta": {"message": empty}},
        *(
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
            for piece in pieces
        ),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    ]
    return sse_reply([(event["type"], event) for event in events], meaning)
