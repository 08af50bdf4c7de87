"""httpx with HTTP/2: all requests at the same time on one connection."""

import asyncio
import json
import os

from _common import Truth, arguments, check, marker, prompt

options = arguments("httpx_h2")

import httpx  # noqa: E402

URL = "https://api.openai.com/v1/chat/completions"
truth = Truth(options)


async def one(client: httpx.AsyncClient, counter: int) -> None:
    mark = marker(options, 0, counter)
    request = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": prompt(mark)}],
        "stream": options.stream,
    }
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    with truth.exchange("openai.chat", 0, counter, mark, request) as record:
        async with client.stream("POST", URL, json=request, headers=headers) as answer:
            assert answer.http_version == "HTTP/2", answer.http_version
            body = (await answer.aread()).decode()
        if options.stream:
            for line in body.split("\n"):
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        record["text"] += choice["delta"].get("content") or ""
        else:
            whole = json.loads(body)
            record["text"], record["usage"] = whole["choices"][0]["message"]["content"], whole["usage"]
    check(mark, record)


async def main() -> None:
    async with httpx.AsyncClient(http2=True, verify=os.environ["SSL_CERT_FILE"], timeout=60) as client:
        await asyncio.gather(*[one(client, counter) for counter in range(options.n)])


asyncio.run(main())
