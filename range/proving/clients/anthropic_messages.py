"""The `anthropic` SDK: messages, tools with their results, thinking, token counts, errors. `--mode async` uses asyncio."""

import asyncio
import json

from _common import TOOLS, Truth, arguments, check, marker, pause, prompt, share

MODES = ("plain", "tools", "thinking", "count", "async", "error401", "error429", "overloaded", "short")
options = arguments("anthropic_messages", MODES, tasks=16)

import anthropic  # noqa: E402

_MODELS = {"error429": "range-429", "overloaded": "range-overloaded"}
truth = Truth(options)
arguments_ = {"api_key": "sk-ant-invalid", "max_retries": 0} if options.mode == "error401" else {}
if options.mode in _MODELS:
    arguments_ = {"max_retries": 0}


def request_of(mark: str) -> dict:
    request = {
        "model": options.model or _MODELS.get(options.mode, "claude-sonnet-5"),
        "max_tokens": 12 + len(mark) if options.mode == "short" else 4096,
        "system": "Be kürz.",
        "messages": [{"role": "user", "content": prompt(mark)}],
    }
    if options.mode == "tools":
        request["tools"] = [
            {"name": t["name"], "description": t["description"], "input_schema": t["parameters"]} for t in TOOLS
        ]
    if options.mode == "thinking":
        request["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    return request


def note(record: dict, message) -> None:
    record["response_id"], record["response_model"] = message.id, message.model
    record["finish"] = [message.stop_reason]
    record["usage"] = {"input_tokens": message.usage.input_tokens, "output_tokens": message.usage.output_tokens}
    for block in message.content:
        if block.type == "text":
            record["text"] += block.text
        elif block.type == "thinking":
            record["thinking"] = block.thinking
        elif block.type == "tool_use":
            record["tool_calls"].append({"id": block.id, "name": block.name, "arguments": block.input})


def ask(client: anthropic.Anthropic, counter: int, mark: str, request: dict) -> dict:
    with truth.exchange("anthropic.messages", 0, counter, mark, request) as record:
        record["stream"] = options.stream
        try:
            if options.stream:
                with client.messages.stream(**request) as stream:
                    for _ in stream.text_stream:
                        continue
                    note(record, stream.get_final_message())
            else:
                note(record, client.messages.create(**request))
        except anthropic.APIStatusError as error:
            if options.mode not in ("error401", "error429", "overloaded"):
                raise
            record["status"], record["error"] = error.status_code, type(error).__name__
    check(mark, record)
    return record


def main() -> None:
    with anthropic.Anthropic(**arguments_) as client:
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            request = request_of(mark)
            if options.mode == "count":
                del request["max_tokens"]
                with truth.exchange("anthropic.count_tokens", 0, counter, mark, request) as record:
                    record["usage"] = {"input_tokens": client.messages.count_tokens(**request).input_tokens}
                continue
            got = ask(client, counter, mark, request)
            if options.mode == "tools":
                said = [{"type": "text", "text": got["text"]}] if got["text"] else []
                uses = [
                    {"type": "tool_use", "id": c["id"], "name": c["name"], "input": c["arguments"]}
                    for c in got["tool_calls"]
                ]
                results = [
                    {
                        "type": "tool_result",
                        "tool_use_id": c["id"],
                        "content": json.dumps({"for": mark, "°C": 12}, ensure_ascii=False),
                    }
                    for c in got["tool_calls"]
                ]
                messages = [
                    *request["messages"],
                    {"role": "assistant", "content": said + uses},
                    {"role": "user", "content": results},
                ]
                final = ask(client, counter, mark, {**request, "messages": messages})
                if final["tool_calls"] or not got["tool_calls"]:
                    raise SystemExit("the tool loop did not end")
            pause(options)


async def one(client: anthropic.AsyncAnthropic, number: int, count: int) -> None:
    for counter in range(count):
        mark = marker(options, number, counter)
        request = request_of(mark)
        with truth.exchange("anthropic.messages", number, counter, mark, request) as record:
            record["stream"] = options.stream
            if options.stream:
                async with client.messages.stream(**request) as stream:
                    note(record, await stream.get_final_message())
            else:
                note(record, await client.messages.create(**request))
        check(mark, record)


async def many() -> None:
    async with anthropic.AsyncAnthropic() as client:
        counts = share(options.n, min(options.tasks, options.n))
        await asyncio.gather(*(one(client, i, c) for i, c in enumerate(counts)))


if options.mode == "async":
    asyncio.run(many())
else:
    main()
