"""`google-genai` against the Live API over WebSocket."""

import asyncio

from _common import Truth, arguments, check, marker, prompt

options = arguments("gemini_live")

from google import genai  # noqa: E402
from google.genai import types  # noqa: E402

truth = Truth(options)


async def main() -> None:
    model = options.model or "gemini-2.5-flash-native-audio"
    config = types.LiveConnectConfig(response_modalities=["TEXT"], system_instruction="Be précise.")
    async with genai.Client().aio.live.connect(model=model, config=config) as session:
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            request = {"model": model, "prompt": prompt(mark), "stream": True}
            with truth.exchange("gemini.live", 0, counter, mark, request) as record:
                turn = types.Content(role="user", parts=[types.Part(text=request["prompt"])])
                await session.send_client_content(turns=turn, turn_complete=True)
                async for message in session.receive():
                    record["text"] += message.text or ""
                    if used := message.usage_metadata:
                        record["usage"] = {
                            "input_tokens": used.prompt_token_count,
                            "output_tokens": used.response_token_count,
                        }
            check(mark, record)


asyncio.run(main())
