"""The `openai` SDK in threads that share one client: one SSL context, kept connections that move between threads."""

from concurrent.futures import ThreadPoolExecutor

from _common import Truth, arguments, check, share
from _openai import MODES, chat_request, client_arguments, note_chunk, note_completion, note_error

options = arguments("openai_threads", MODES, threads=8)

import httpx  # noqa: E402
import openai  # noqa: E402

truth = Truth(options)
client = openai.OpenAI(**client_arguments(options))


def worker(number: int, count: int) -> None:
    for counter in range(count):
        mark, request = chat_request(options, number, counter)
        with truth.exchange("openai.chat", number, counter, mark, request) as record:
            try:
                answer = client.chat.completions.create(**request)
                if options.stream:
                    for chunk in answer:
                        note_chunk(record, chunk)
                else:
                    note_completion(record, answer)
            except (openai.APIError, httpx.HTTPError) as error:
                note_error(record, error, options)
        check(mark, record)


with ThreadPoolExecutor(options.threads) as pool:
    for done in [pool.submit(worker, i, c) for i, c in enumerate(share(options.n, options.threads))]:
        done.result()
client.close()
