"""`langchain-openai`'s ChatOpenAI: invoke and stream, tools bound, `--mode async` on asyncio."""

import asyncio
import json

from _common import TOOLS, Truth, arguments, check, marker, pause, prompt

options = arguments("langchain_openai_client", ("plain", "tools", "async"))

from langchain_core.messages import HumanMessage, SystemMessage  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

truth = Truth(options)
name = options.model or "gpt-4o-mini"
llm = ChatOpenAI(model=name, stream_usage=True)
if options.mode == "tools":
    llm = llm.bind_tools([{"type": "function", "function": t} for t in TOOLS])


def note(record: dict, whole) -> None:
    record["text"] = whole.content
    # LangChain decodes the arguments; how they were spelt on the wire is not its to say.
    record["tool_calls"] = [
        {
            "id": c["id"],
            "name": c["name"],
            "arguments": json.dumps(c["args"], ensure_ascii=False, separators=(",", ":")),
        }
        for c in whole.tool_calls
    ]
    spent = whole.usage_metadata or {}
    record["usage"] = {
        "prompt_tokens": spent.get("input_tokens"),
        "completion_tokens": spent.get("output_tokens"),
        "total_tokens": spent.get("total_tokens"),
    }
    record["response_id"] = whole.response_metadata.get("id") or whole.id or ""
    record["response_model"] = whole.response_metadata.get("model_name", "")
    record["finish"] = [whole.response_metadata.get("finish_reason")]


async def in_loop(messages: list):
    if not options.stream:
        return await llm.ainvoke(messages)
    whole = None
    async for chunk in llm.astream(messages):
        whole = chunk if whole is None else whole + chunk
    return whole


def at_once(messages: list):
    if not options.stream:
        return llm.invoke(messages)
    whole = None
    for chunk in llm.stream(messages):
        whole = chunk if whole is None else whole + chunk
    return whole


async def main() -> None:
    for counter in range(options.n):
        mark = marker(options, 0, counter)
        text = prompt(mark)
        sent = [{"role": "system", "content": "Kürz."}, {"role": "user", "content": text}]
        request = {"model": name, "messages": sent, "stream": options.stream}
        if options.mode == "tools":
            request["tools"] = [{"type": "function", "function": t} for t in TOOLS]
        with truth.exchange("openai.chat", 0, counter, mark, request) as record:
            messages = [SystemMessage("Kürz."), HumanMessage(text)]
            note(record, await in_loop(messages) if options.mode == "async" else at_once(messages))
        check(mark, record)
        pause(options)


asyncio.run(main())
