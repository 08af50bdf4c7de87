"""Threads of one process that send what may be sent, what has to be masked, and what must not leave: live_mixed.py URL
THREADS EACH WAY.

Waits for a line on standard input. WAY: httpx (one TLS context, a client a thread), h2 (the same with HTTP/2), requests, openai,
openai-stream, anthropic, or with tasks instead of threads async (httpx) and openai-async. Prints a JSON object: number of a
request → [kind, status or the error's name, ms].
"""

import asyncio
import json
import random
import sys
import threading
import time

KINDS = ("plain", "card", "iban")
TEXT = {
    "plain": "The quick brown fox jumps over the lazy dog.",
    "card": "Charge it to my card 4111 1111 1111 1111 please.",
    "iban": "Pay it to the IBAN DE89 3704 0044 0532 0130 00 today.",
}


def body(kind: str) -> dict:
    filler = "Please read this and answer. " * 60
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": f"{filler}{TEXT[kind]}"}]}


def main(url: str, threads: int, each: int, way: str) -> None:
    done: dict[str, list] = {}
    kinds = random.Random(7).choices(KINDS, k=threads * each)
    path = f"{url}/v1/chat/completions"

    def one(number: int, send) -> None:
        began = time.monotonic()
        try:
            result = send(body(kinds[number]), {"x-number": str(number), "authorization": "Bearer sk-test"})
        except Exception as error:
            result = type(error).__name__
        done[str(number)] = [kinds[number], result, (time.monotonic() - began) * 1000]

    def httpx_sender(context, http2=False):
        import httpx

        client = httpx.Client(verify=context, timeout=10, http2=http2)
        return lambda content, headers: client.post(path, json=content, headers=headers).status_code

    def requests_sender(_context):
        import requests

        session = requests.Session()
        return lambda content, headers: (
            session.post(path, json=content, headers=headers, timeout=10, verify=False).status_code
        )

    def openai_sender(context):
        import httpx
        import openai

        client = openai.OpenAI(
            base_url=f"{url}/v1", api_key="sk-test", max_retries=0, http_client=httpx.Client(verify=context, timeout=10)
        )

        def send(content, headers):
            client.chat.completions.create(**content, extra_headers=headers)
            return 200

        return send

    def openai_stream_sender(context):
        import httpx
        import openai

        client = openai.OpenAI(
            base_url=f"{url}/v1", api_key="sk-test", max_retries=0, http_client=httpx.Client(verify=context, timeout=10)
        )

        def send(content, headers):
            with client.chat.completions.create(**content, stream=True, extra_headers=headers) as chunks:
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            return 200 if text == "ok" else text

        return send

    def anthropic_sender(context):
        import anthropic
        import httpx2

        client = anthropic.Anthropic(
            base_url=url, api_key="sk-test", max_retries=0, http_client=httpx2.Client(verify=context, timeout=10)
        )

        def send(content, headers):
            content = content | {"model": "claude-sonnet-4", "max_tokens": 10}
            answer = client.messages.create(**content, extra_headers=headers)
            return 200 if answer.content[0].text == "ok" else answer.content[0].text

        return send

    def httpx_poster(context):
        client = httpx.AsyncClient(verify=context, timeout=10)

        async def send(content, headers):
            return (await client.post(path, json=content, headers=headers)).status_code

        return send

    def openai_poster(context):
        import openai

        transport = httpx.AsyncClient(verify=context, timeout=10)
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0, http_client=transport)

        async def send(content, headers):
            answer = await client.chat.completions.create(**content, extra_headers=headers)
            return 200 if answer.choices[0].message.content == "ok" else 0

        return send

    import httpx

    context = httpx.create_ssl_context(verify=False)
    sys.stdin.readline()
    posters = {"async": httpx_poster, "openai-async": openai_poster}
    if way in posters:

        async def all_of_them() -> None:
            send = posters[way](context)

            async def task(first: int) -> None:
                for number in range(first, threads * each, threads):
                    began = time.monotonic()
                    try:
                        headers = {"x-number": str(number), "authorization": "Bearer sk-test"}
                        result = await send(body(kinds[number]), headers)
                    except Exception as error:
                        result = type(error).__name__
                    done[str(number)] = [kinds[number], result, (time.monotonic() - began) * 1000]

            await asyncio.gather(*(task(first) for first in range(threads)))

        asyncio.run(all_of_them())
    else:
        makers = {
            "httpx": httpx_sender,
            "h2": lambda context: httpx_sender(context, True),
            "requests": requests_sender,
            "openai": openai_sender,
            "openai-stream": openai_stream_sender,
            "anthropic": anthropic_sender,
        }

        def work(first: int) -> None:
            send = makers[way](context)
            for number in range(first, threads * each, threads):
                one(number, send)

        workers = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    url, threads, each, way = sys.argv[1:]
    main(url, int(threads), int(each), way)
