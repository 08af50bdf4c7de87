"""bedrock-runtime: Converse, ConverseStream (AWS event stream), and InvokeModel for Anthropic's models."""

from __future__ import annotations

import binascii
from urllib.parse import unquote

from proving.servers import anthropic, words
from proving.servers.reply import Ask, Json, Meaning, Reply, dumps, json_reply


def frame(name: str, payload: bytes) -> bytes:
    """An event of an AWS event stream (Smithy, "Amazon Event Stream Specification")."""
    pairs = ((":event-type", name), (":content-type", "application/json"), (":message-type", "event"))
    headers = b"".join(
        bytes([len(k)]) + k.encode() + b"\x07" + len(v).to_bytes(2, "big") + v.encode() for k, v in pairs
    )
    prelude = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    start = prelude + binascii.crc32(prelude).to_bytes(4, "big") + headers + payload
    return start + binascii.crc32(start).to_bytes(4, "big")


def handle(ask: Ask) -> Reply:
    """Any request to the host."""
    parts = ask.path.strip("/").split("/")
    if not ask.headers.get("authorization", "").startswith(("AWS4-HMAC-SHA256 ", "Bearer ")):
        return json_reply({"message": "Missing Authentication Token"}, Meaning(error="auth"), status=403)
    if ask.method != "POST" or len(parts) != 3 or parts[0] != "model" or not isinstance(ask.data, dict):
        return json_reply({"message": "UnknownOperationException"}, Meaning(error="unknown"), status=404)
    model, verb = unquote(parts[1]), parts[2]
    if verb == "invoke":
        return _invoke(ask, model)
    return _converse(ask, model, verb == "converse-stream")


def _converse(ask: Ask, model: str, stream: bool) -> Reply:
    texts = [b.get("text", "") for m in ask.data["messages"] for b in m["content"]]
    meaning = Meaning("converse", model, model, ask.hash()[:22], stream=stream)
    question = texts[-1] if texts else ""
    tools = ask.data.get("toolConfig", {}).get("tools", [])
    meaning.text = words.answer(question, model)
    meaning.texts, meaning.finish = [meaning.text], ["tool_use" if tools else "end_turn"]
    pieces = words.tokens(meaning.text)
    meaning.usage = {"input_tokens": sum(map(words.count, texts)), "output_tokens": len(pieces)}
    usage = {"inputTokens": meaning.usage["input_tokens"], "outputTokens": len(pieces)}
    usage["totalTokens"] = sum(usage.values())
    call: dict[str, Json] = {}
    if tools:
        spec = tools[0]["toolSpec"]
        arguments = words.arguments(spec["inputSchema"]["json"], question, model)
        call = {"toolUseId": "tooluse_" + meaning.response_id, "name": spec["name"], "input": arguments}
        meaning.tool_calls = [{"id": call["toolUseId"], "name": call["name"], "arguments": dumps(arguments).decode()}]
    metrics = {"latencyMs": 12}
    if not stream:
        content: list[Json] = [{"text": meaning.text}, *([{"toolUse": call}] if call else [])]
        message = {"role": "assistant", "content": content}
        body = {"output": {"message": message}, "stopReason": meaning.finish[0], "usage": usage, "metrics": metrics}
        return json_reply(body, meaning)
    events: list[tuple[str, Json]] = [("messageStart", {"role": "assistant"})]
    events += [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": p}}) for p in pieces]
    events.append(("contentBlockStop", {"contentBlockIndex": 0}))
    if call:
        start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
        events.append(("contentBlockStart", {"contentBlockIndex": 1, "start": start}))
        for part in words.fragments(dumps(call["input"]).decode(), model):
            events.append(("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": part}}}))
        events.append(("contentBlockStop", {"contentBlockIndex": 1}))
    events += [("messageStop", {"stopReason": meaning.finish[0]}), ("metadata", {"usage": usage, "metrics": metrics})]
    frames = [frame(name, dumps(value)) for name, value in events]
    return Reply(200, frames, "application/vnd.amazon.eventstream", meaning, chunked=True)


def _invoke(ask: Ask, model: str) -> Reply:
    inner = Ask("POST", "/v1/messages", "", {"x-api-key": "sk-ant-x"}, ask.body, {"model": model, **ask.data}, ask.now)
    return anthropic.handle(inner)
