"""The `openai` SDK, synchronous: one client, one request after another on a kept connection."""

from _common import Truth, arguments, check, pause
from _openai import MODES, chat_request, client_arguments, note_chunk, note_completion, note_error

options = arguments("openai_sync", MODES)

import httpx  # noqa: E402
import openai  # noqa: E402

truth = Truth(options)
with openai.OpenAI(**client_arguments(options)) as client:
    for counter in range(options.n):
        mark, request = chat_request(options, 0, counter)
        with truth.exchange("openai.chat", 0, counter, mark, request) as record:
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
        pause(options)
