"""The `cohere` SDK, its version 2 client."""

from _common import Truth, arguments, check, marker, prompt

options = arguments("cohere_client")

import cohere  # noqa: E402

truth = Truth(options)
client = cohere.ClientV2()
for counter in range(options.n):
    mark = marker(options, 0, counter)
    messages = [{"role": "user", "content": prompt(mark)}]
    request = {"model": options.model or "command-a-03-2025", "messages": messages}
    with truth.exchange("cohere.chat", 0, counter, mark, request) as record:
        if options.stream:
            for event in client.chat_stream(**request):
                if event.type == "content-delta":
                    record["text"] += event.delta.message.content.text or ""
                if event.type == "message-end":
                    used = event.delta.usage.tokens
        else:
            answer = client.chat(**request)
            record["text"], used = answer.message.content[0].text, answer.usage.tokens
        record["usage"] = {"input_tokens": int(used.input_tokens), "output_tokens": int(used.output_tokens)}
    check(mark, record)
