"""An agent's loop with the `openai` SDK: question → tool calls → results → final answer. Two exchanges a turn."""

import json

from _common import TOOLS, Truth, arguments, check, marker, pause, prompt
from _openai import note_chunk, note_completion

options = arguments("openai_tools")

import openai  # noqa: E402

truth = Truth(options)
client = openai.OpenAI()


def ask(counter: int, mark: str, messages: list) -> dict:
    request: dict = {
        "model": options.model or "gpt-4o",
        "messages": list(messages),
        "tools": [{"type": "function", "function": t} for t in TOOLS],
    }
    if options.stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    with truth.exchange("openai.chat", 0, counter, mark, request) as record:
        answer = client.chat.completions.create(**request)
        if options.stream:
            for chunk in answer:
                note_chunk(record, chunk)
        else:
            note_completion(record, answer)
    check(mark, record)
    return record


for turn in range(options.n):
    mark = marker(options, 0, turn)
    messages: list = [
        {"role": "system", "content": "Use the tools."},
        {"role": "user", "content": prompt(mark)},
    ]
    got = ask(2 * turn, mark, messages)
    calls = got["tool_calls"]
    if not calls:
        raise SystemExit("no tool call")
    functions = [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}} for c in calls
    ]
    messages.append({"role": "assistant", "content": None, "tool_calls": functions})
    for call in calls:
        value = json.loads(call["arguments"])
        result = json.dumps({"for": mark, "of": value, "value": "21 °C, łagodnie"}, ensure_ascii=False)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    final = ask(2 * turn + 1, mark, messages)
    if final["tool_calls"] or not final["text"]:
        raise SystemExit("no final answer")
    pause(options)
