"""The `openai` SDK on asyncio: many tasks on one client; TLS runs through memory BIOs."""

import asyncio

from _common import Truth, arguments, check, share
from _openai import MODES, chat_request, client_arguments, note_chunk, note_completion, note_error

options = arguments("openai_async", MODES, tasks=64)

import httpx  # noqa: E402
import openai  # noqa: E402


async def worker(client: openai.AsyncOpenAI, truth: Truth, number: int, count: int) -> None:
    for counter in range(count):
        mark, request = chat_request(options, number, counter)
        with truth.exchange("openai.chat", number, counter, mark, request) as record:
            try:
                answer = await client.chat.completions.create(**request)
                if options.stream:
                    async for chunk in answer:
                        note_chunk(record, chunk)
                else:
                    note_completion(record, answer)
            except (openai.APIError, httpx.HTTPError) as error:
                note_error(record, error, options)
        check(mark, record)


async def main() -> None:
    truth = Truth(options)
    counts = share(options.n, min(options.tasks, options.n))
    async with openai.AsyncOpenAI(**client_arguments(options)) as client:
        await asyncio.gather(*(worker(client, truth, i, c) for i, c in enumerate(counts)))


asyncio.run(main())
