"""`litellm`'s completion: to OpenAI, Anthropic, Groq or Mistral by the model's name; `--mode async` uses acompletion."""

import asyncio
import os

from _common import TOOLS, Truth, arguments, check, marker, pause, prompt

options = arguments("litellm_client", ("plain", "tools", "async", "anthropic", "groq", "mistral"))

# Set by the range too; without it the import fetches a price list.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
import litellm  # noqa: E402

litellm.telemetry = False
litellm.suppress_debug_info = True
truth = Truth(options)
_MODELS = {
    "anthropic": "anthropic/claude-sonnet-5",
    "groq": "groq/llama-3.3-70b-versatile",
    "mistral": "mistral/mistral-small-latest",
}
name = options.model or _MODELS.get(options.mode, "gpt-4o-mini")


def note_part(record: dict, choice, message) -> None:
    record["text"] += message.content or ""
    for call in message.tool_calls or []:
        index = getattr(call, "index", None)
        if index is None:
            index = len(record["tool_calls"])
        if index == len(record["tool_calls"]):
            record["tool_calls"].append({"id": call.id, "name": call.function.name, "arguments": ""})
        record["tool_calls"][index]["arguments"] += call.function.arguments or ""
    if choice.finish_reason:
        record["finish"] = [choice.finish_reason]


def note(record: dict, part) -> None:
    record["response_id"], record["response_model"] = part.id, part.model
    for choice in part.choices:
        note_part(record, choice, choice.delta if options.stream else choice.message)
    spent = getattr(part, "usage", None)
    if spent and options.mode == "anthropic":  # as the API names them; litellm has translated
        record["usage"] = {"input_tokens": spent.prompt_tokens, "output_tokens": spent.completion_tokens}
    elif spent:
        record["usage"] = {
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "total_tokens": spent.total_tokens,
        }


async def main() -> None:
    for counter in range(options.n):
        mark = marker(options, 0, counter)
        messages = [{"role": "user", "content": prompt(mark)}]
        request: dict = {"model": name, "messages": messages, "stream": options.stream}
        if options.stream:
            request["stream_options"] = {"include_usage": True}
        if options.mode == "tools":
            request["tools"] = [{"type": "function", "function": t} for t in TOOLS]
        with truth.exchange("litellm.completion", 0, counter, mark, request) as record:
            if options.mode == "async":
                got = await litellm.acompletion(**request)
                if options.stream:
                    async for part in got:
                        note(record, part)
                else:
                    note(record, got)
            else:
                got = litellm.completion(**request)
                for part in got if options.stream else [got]:
                    note(record, part)
        check(mark, record)
        pause(options)


asyncio.run(main())
