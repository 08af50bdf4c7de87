"""The `openai` SDK's Realtime API over WebSocket: text, and with --stream a function call and its result as well."""

import asyncio
import json

from _common import WEATHER, Truth, arguments, check, marker, prompt

options = arguments("openai_realtime")

import openai  # noqa: E402

truth = Truth(options)


async def answer(connection, record: dict) -> None:
    """Reads up to the end of the answer that was asked for."""
    await connection.response.create()
    async for event in connection:
        if event.type == "response.output_text.delta":
            record["text"] += event.delta
        elif event.type == "response.done":
            response = event.response
            record["response_id"], record["finish"] = response.id, [response.status]
            record["usage"] = {
                "input_tokens": response.usage.input_tokens,
                "output_tokens": response.usage.output_tokens,
            }
            for item in response.output:
                if item.type == "function_call":
                    record["tool_calls"].append({"id": item.call_id, "name": item.name, "arguments": item.arguments})
            return
        elif event.type == "error":
            raise SystemExit(event.error.message)


async def main() -> None:
    model = options.model or "gpt-realtime"
    session: dict = {"type": "realtime", "output_modalities": ["text"], "instructions": "Be précise."}
    if options.stream:
        session["tools"] = [{"type": "function", **WEATHER}]
    async with openai.AsyncOpenAI().realtime.connect(model=model) as connection:
        await connection.session.update(session=session)
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            item: dict = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt(mark)}]}
            request = {"model": model, "prompt": item["content"][0]["text"], "stream": True}
            with truth.exchange("openai.realtime", 0, counter, mark, request) as record:
                await connection.conversation.item.create(item=item)
                await answer(connection, record)
            check(mark, record)
            for call in record["tool_calls"]:
                result = json.dumps({"result": f"12 °C for {mark}"}, ensure_ascii=False)
                given = {"type": "function_call_output", "call_id": call["id"], "output": result}
                request = {"model": model, "prompt": result, "stream": True}
                with truth.exchange("openai.realtime", 0, counter, mark, request) as record:
                    await connection.conversation.item.create(item=given)
                    await answer(connection, record)


asyncio.run(main())
