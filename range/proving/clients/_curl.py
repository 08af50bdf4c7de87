"""The bodies that curl.sh sends, and what it notes of the answers."""

import argparse
import json
import sys
from pathlib import Path

from _common import Truth, check, marker, prompt

verb, mode, stream, run, counter, body_path = sys.argv[1:7]
streamed = stream == "stream"
options = argparse.Namespace(client="curl", run=run, truth="", stream=streamed)
mark = marker(options, 0, int(counter))


def body() -> dict:
    message = {"role": "user", "content": prompt(mark)}
    if mode == "site":
        return {"model": "X1", "messages": [message["content"]]}
    asked: dict = {"model": "gpt-4o-mini", "messages": [message]}
    if mode == "anthropic":
        asked = {"model": "claude-sonnet-5", "max_tokens": 4096, "messages": [message]}
    if streamed:
        asked["stream"] = True
    return asked


def note_chat(record: dict, text: str) -> None:
    if not streamed:
        whole = json.loads(text)
        record["response_id"], record["response_model"] = whole["id"], whole["model"]
        choice = whole["choices"][0]
        record["text"], record["finish"] = choice["message"]["content"], [choice["finish_reason"]]
        usage = whole["usage"]
        record["usage"] = {k: usage[k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")}
        return
    lines = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    if lines[-1] != "[DONE]":
        raise SystemExit("the stream did not end")
    for chunk in map(json.loads, lines[:-1]):
        record["response_id"], record["response_model"] = chunk["id"], chunk["model"]
        for choice in chunk["choices"]:
            record["text"] += choice["delta"].get("content") or ""
            if choice["finish_reason"]:
                record["finish"] = [choice["finish_reason"]]


def note_anthropic(record: dict, text: str) -> None:
    if not streamed:
        whole = json.loads(text)
        record["text"], record["finish"] = whole["content"][0]["text"], [whole["stop_reason"]]
    else:
        events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
        whole = events[0]["message"]
        for event in events:
            record["text"] += (event.get("delta") or {}).get("text", "")
            if event["type"] == "message_delta":
                record["finish"] = [event["delta"]["stop_reason"]]
                whole["usage"] |= event["usage"]
    record["response_id"], record["response_model"] = whole["id"], whole["model"]
    record["usage"] = {k: whole["usage"][k] for k in ("input_tokens", "output_tokens")}


if verb == "body":
    Path(body_path).write_text(json.dumps(body(), ensure_ascii=False), encoding="utf-8")
else:
    answer, status, options.truth = sys.argv[7:10]
    # read_text would turn \r\n into \n: exactness matters here.
    text = Path(answer).read_bytes().decode()
    apis = {"chat": "openai.chat", "anthropic": "anthropic.messages", "site": "site"}
    with Truth(options).exchange(apis[mode], 0, int(counter), mark, body()) as record:
        record["status"] = int(status)
        if mode == "chat":
            note_chat(record, text)
        elif mode == "anthropic":
            note_anthropic(record, text)
    if mode != "site":
        check(mark, record)
