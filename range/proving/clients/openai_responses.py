"""The `openai` SDK's Responses API: text, and a function call with its result."""

import json

from _common import TOOLS, Truth, arguments, check, marker, pause, prompt

options = arguments("openai_responses", ("plain", "tools", "short"))

import openai  # noqa: E402

truth = Truth(options)
client = openai.OpenAI()


def ask(counter: int, mark: str, request: dict) -> dict:
    with truth.exchange("openai.responses", 0, counter, mark, request) as record:
        if options.stream:
            final = None
            for event in client.responses.create(**request, stream=True):
                if event.type == "response.output_text.delta":
                    record["text"] += event.delta
                elif event.type in ("response.completed", "response.incomplete"):
                    final = event.response
        else:
            final = client.responses.create(**request)
            record["text"] = final.output_text
        record["response_id"], record["response_model"] = final.id, final.model
        record["finish"] = [final.incomplete_details.reason if final.incomplete_details else final.status]
        record["usage"] = {
            "input_tokens": final.usage.input_tokens,
            "output_tokens": final.usage.output_tokens,
            "total_tokens": final.usage.total_tokens,
        }
        for item in final.output:
            if item.type == "function_call":
                record["tool_calls"].append({"id": item.call_id, "name": item.name, "arguments": item.arguments})
    check(mark, record)
    return record


for counter in range(options.n):
    mark = marker(options, 0, counter)
    items: list = [{"role": "user", "content": prompt(mark)}]
    request: dict = {"model": options.model or "gpt-4o-mini", "input": items, "instructions": "Be précise."}
    if options.mode == "plain" and counter % 2:
        request["input"] = prompt(mark)
    if options.mode == "short":
        request["max_output_tokens"] = 12 + len(mark)
    if options.mode == "tools":
        request["tools"] = [{"type": "function", **t} for t in TOOLS]
        got = ask(counter, mark, request)
        for call in got["tool_calls"]:
            item = {
                "type": "function_call",
                "call_id": call["id"],
                "name": call["name"],
                "arguments": call["arguments"],
            }
            result = json.dumps({"result": f"12 °C for {mark}"}, ensure_ascii=False)
            items += [item, {"type": "function_call_output", "call_id": call["id"], "output": result}]
    ask(counter, mark, request)
    pause(options)
