"""The `openai` SDK's embeddings (base64 on the wire, as the SDK asks for), and the list of models."""

from _common import Truth, arguments, marker, pause, prompt

options = arguments("openai_embeddings", ("plain", "many", "models"))

import openai  # noqa: E402

truth = Truth(options)
client = openai.OpenAI()
for counter in range(options.n):
    mark = marker(options, 0, counter)
    if options.mode == "models":
        with truth.exchange("openai.models", 0, counter, mark, {}) as record:
            record["texts"] = [m.id for m in client.models.list()]
        continue
    text = prompt(mark)
    request = {
        "model": options.model or "text-embedding-3-small",
        "input": [text, "zwei"] if options.mode == "many" else text,
    }
    with truth.exchange("openai.embeddings", 0, counter, mark, request) as record:
        got = client.embeddings.create(**request)
        record["response_model"] = got.model
        record["usage"] = {"prompt_tokens": got.usage.prompt_tokens, "total_tokens": got.usage.total_tokens}
        record["vectors"] = [len(d.embedding) for d in got.data]
    if set(record["vectors"]) != {256}:
        raise SystemExit(f"vectors of {record['vectors']}")
    pause(options)
