"""The `mistralai` SDK."""

import os

from _common import Truth, arguments, check, marker, prompt

options = arguments("mistral_client")

from mistralai.client import Mistral  # noqa: E402

truth = Truth(options)
with Mistral(api_key=os.environ["MISTRAL_API_KEY"]) as client:
    for counter in range(options.n):
        mark = marker(options, 0, counter)
        messages = [{"role": "user", "content": prompt(mark)}]
        request = {"model": options.model or "mistral-small-latest", "messages": messages}
        with truth.exchange("mistral.chat", 0, counter, mark, request) as record:
            if options.stream:
                with client.chat.stream(**request) as stream:
                    for event in stream:
                        for choice in event.data.choices:
                            record["text"] += choice.delta.content or ""
                        used = event.data.usage
            else:
                answer = client.chat.complete(**request)
                record["text"], used = answer.choices[0].message.content, answer.usage
            if used:
                record["usage"] = {"prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens}
        check(mark, record)
