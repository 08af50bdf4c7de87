"""Sessions over WebSocket: OpenAI's Realtime API and Google's Live API, with text in and text out.

A session is a coroutine over two functions, one that gives the client's next JSON message (None at the end) and one that
sends one; it yields what each answer was, for the truth.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from proving.servers import words
from proving.servers.openai_common import OPENAI
from proving.servers.openai_responses import decide
from proving.servers.reply import Ask, Json, Meaning, dumps

Take = Callable[[], Awaitable[Json]]
Tell = Callable[[Json], Awaitable[None]]


def handler(path: str) -> Callable[[Ask, Take, Tell], AsyncIterator[Meaning]] | None:
    """Who speaks at `path`; None: nobody."""
    last = path.rsplit("/", 1)[-1]
    if last == "realtime":
        return openai
    return gemini if last.endswith("BidiGenerateContent") else None


async def openai(ask: Ask, take: Take, tell: Tell) -> AsyncIterator[Meaning]:
    """Items wait for `response.create`; each answer takes them all into account."""
    model = dict(p.partition("=")[::2] for p in ask.query.split("&")).get("model", "gpt-realtime")
    session: dict[str, Json] = {"type": "realtime", "object": "realtime.session", "model": model, "id": "sess_range"}
    items: list[dict[str, Json]] = []
    await tell({"type": "session.created", "event_id": "event_0", "session": session})
    while (event := await take()) is not None:
        kind = event.get("type")
        if kind == "session.update":
            session |= event["session"]
            await tell({"type": "session.updated", "event_id": "event_1", "session": session})
        elif kind == "conversation.item.create":
            item = {"id": f"item_{len(items)}", "object": "realtime.item", "status": "completed", **event["item"]}
            items.append(item)
            await tell({"type": "conversation.item.added", "event_id": "event_2", "item": item})
            await tell({"type": "conversation.item.done", "event_id": "event_3", "item": item})
        elif kind == "response.create":
            yield await _respond(model, session, items, tell)
        else:
            message = f"Invalid value: '{kind}'."
            error = {"type": "invalid_request_error", "code": "invalid_value", "message": message, "param": "type"}
            await tell({"type": "error", "event_id": "event_4", "error": error})


async def _respond(model: str, session: dict[str, Any], items: list[dict[str, Any]], tell: Tell) -> Meaning:
    data = {"model": model, "input": items, "tools": session.get("tools"), "instructions": session.get("instructions")}
    asked = Ask("GET", "/v1/realtime", body=dumps(data), data=data)
    meaning = decide(OPENAI, asked, items)
    meaning.operation, meaning.stream, meaning.response_model = "realtime", True, model
    response: dict[str, Json] = {"object": "realtime.response", "id": meaning.response_id, "status": "in_progress"}
    place = {"response_id": meaning.response_id, "output_index": 0, "content_index": 0}
    await tell({"type": "response.created", "event_id": "e", "response": {**response, "output": []}})
    output: list[dict[str, Json]] = []
    for number, call in enumerate(meaning.tool_calls):
        item = {"id": f"fc_{number}", "type": "function_call", "name": call["name"], "call_id": call["id"]}
        at = {**place, "output_index": number, "item_id": item["id"]}
        await tell({"type": "response.output_item.added", "event_id": "e", **at, "item": {**item, "arguments": ""}})
        text = call["arguments"]
        for start in range(0, len(text), 16):
            delta = text[start : start + 16]
            await tell({"type": "response.function_call_arguments.delta", "event_id": "e", **at, "delta": delta})
        output.append({**item, "arguments": text, "status": "completed"})
        await tell({"type": "response.output_item.done", "event_id": "e", **at, "item": output[-1]})
    if not meaning.tool_calls:
        item = {"id": f"msg_{meaning.response_id[-8:]}", "type": "message", "role": "assistant"}
        at = {**place, "item_id": item["id"]}
        await tell({"type": "response.output_item.added", "event_id": "e", **at, "item": {**item, "content": []}})
        for piece in words.tokens(meaning.text):
            await tell({"type": "response.output_text.delta", "event_id": "e", **at, "delta": piece})
        await tell({"type": "response.output_text.done", "event_id": "e", **at, "text": meaning.text})
        output.append({**item, "status": "completed", "content": [{"type": "output_text", "text": meaning.text}]})
        await tell({"type": "response.output_item.done", "event_id": "e", **at, "item": output[-1]})
    items += output
    usage = {**meaning.usage, "input_token_details": {"cached_tokens": 0}, "output_token_details": {}}
    await tell(
        {
            "type": "response.done",
            "event_id": "e",
            "response": {**response, "status": "completed", "output": output, "usage": usage},
        }
    )
    return meaning


async def gemini(ask: Ask, take: Take, tell: Tell) -> AsyncIterator[Meaning]:
    """A turn that is complete is answered."""
    setup = (await take() or {}).get("setup", {})
    model = str(setup.get("model", "")).rpartition("/")[2]
    await tell({"setupComplete": {}})
    said: list[str] = []
    while (event := await take()) is not None:
        given = event.get("clientContent") or event.get("client_content") or {}
        said += [p.get("text", "") for turn in given.get("turns", []) for p in turn.get("parts", [])]
        if not (given.get("turnComplete") or given.get("turn_complete")):
            continue
        text = words.answer(said[-1] if said else "", model)
        pieces = words.tokens(text)
        for start in range(0, len(pieces), 12):
            part = {"text": "".join(pieces[start : start + 12])}
            await tell({"serverContent": {"modelTurn": {"role": "model", "parts": [part]}}})
        await tell({"serverContent": {"generationComplete": True}})
        spent = sum(map(words.count, said))
        usage = {"promptTokenCount": spent, "responseTokenCount": len(pieces), "totalTokenCount": spent + len(pieces)}
        await tell({"serverContent": {"turnComplete": True}, "usageMetadata": usage})
        yield Meaning(
            "live", model, model, "", text, [text], finish=["stop"], stream=True,
            usage={"input_tokens": spent, "output_tokens": len(pieces)},
        )  # fmt: skip


def parse(message: dict[str, Any]) -> Json:
    """The JSON of an ASGI websocket.receive."""
    return json.loads(message.get("text") or message.get("bytes") or b"null")
