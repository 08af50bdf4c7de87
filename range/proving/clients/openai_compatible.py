"""The `openai` SDK with another base URL: a vLLM-like server over plain HTTP, on loopback unless `--url` says else."""

from _common import Truth, arguments, check, pause
from _openai import MODES, chat_request, client_arguments, note_chunk, note_completion, note_error

options = arguments("openai_compatible", MODES, url="http://127.0.0.1:8000/v1")

import openai  # noqa: E402

options.model = options.model or "Qwen/Qwen2.5-7B-Instruct"
truth = Truth(options)
with openai.OpenAI(base_url=options.url, **{"api_key": "EMPTY", **client_arguments(options)}) as client:
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
            except openai.APIError as error:
                note_error(record, error, options)
        check(mark, record)
        pause(options)
