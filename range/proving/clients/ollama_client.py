"""The `ollama` package with its default host, 127.0.0.1:11434: chat, generate, tools, embed, list."""

from _common import TOOLS, Truth, arguments, check, marker, pause, prompt

options = arguments("ollama_client", ("plain", "generate", "tools", "embed", "list", "error404"))

import ollama  # noqa: E402

truth = Truth(options)
client = ollama.Client()
model = options.model or ("range-404" if options.mode == "error404" else "llama3.2")


def usage_of(last) -> dict:
    return {"input_tokens": last.prompt_eval_count, "output_tokens": last.eval_count}


def chat(counter: int, mark: str, request: dict) -> dict:
    with truth.exchange("ollama.chat", 0, counter, mark, request) as record:
        try:
            got = client.chat(**request, stream=options.stream)
            for last in got if options.stream else [got]:
                record["text"] += last.message.content or ""
                for call in last.message.tool_calls or []:
                    value = dict(call.function.arguments)
                    record["tool_calls"].append({"id": "", "name": call.function.name, "arguments": value})
            record["usage"], record["response_model"], record["finish"] = usage_of(last), last.model, [last.done_reason]
        except ollama.ResponseError as error:
            if options.mode != "error404":
                raise
            record["status"], record["error"] = error.status_code, type(error).__name__
    check(mark, record)
    return record


for counter in range(options.n):
    mark = marker(options, 0, counter)
    text = prompt(mark)
    match options.mode:
        case "generate":
            request = {"model": model, "prompt": text, "system": "Kurz."}
            with truth.exchange("ollama.generate", 0, counter, mark, request) as record:
                got = client.generate(**request, stream=options.stream)
                for last in got if options.stream else [got]:
                    record["text"] += last.response
                record["usage"], record["response_model"], record["finish"] = (
                    usage_of(last),
                    last.model,
                    [last.done_reason],
                )
            check(mark, record)
        case "embed":
            request = {"model": model, "input": [text, "zwei"]}
            with truth.exchange("ollama.embed", 0, counter, mark, request) as record:
                got = client.embed(**request)
                record["vectors"], record["response_model"] = [len(v) for v in got.embeddings], got.model
                record["usage"] = {"input_tokens": got.prompt_eval_count}
        case "list":
            with truth.exchange("ollama.tags", 0, counter, mark, {}) as record:
                record["texts"] = [m.model for m in client.list().models]
        case _:
            messages: list = [{"role": "system", "content": "Kürz."}, {"role": "user", "content": text}]
            request = {"model": model, "messages": messages}
            if options.mode == "tools":
                request["tools"] = [{"type": "function", "function": t} for t in TOOLS]
            got_record = chat(counter, mark, request)
            if options.mode == "tools":
                calls = [
                    {"function": {"name": c["name"], "arguments": c["arguments"]}} for c in got_record["tool_calls"]
                ]
                results = [
                    {"role": "tool", "tool_name": c["name"], "content": f"12 °C {mark}"}
                    for c in got_record["tool_calls"]
                ]
                more = [*messages, {"role": "assistant", "content": "", "tool_calls": calls}, *results]
                chat(counter, mark, {**request, "messages": more})
    pause(options)
