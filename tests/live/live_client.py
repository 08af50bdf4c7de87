"""Clients for the kernel tests: `live_client.py SHAPE URL COUNT [stream]`, SHAPE of threads | tasks | plain.

Every prompt is unique. Prints one JSON line a request: what was sent and got.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading

import httpx


def _body(shape: str, worker: int, number: int, stream: bool) -> dict[str, object]:
    prompt = f"{shape} worker {worker} request {number}: naïve café ☕ " + "pad " * (number % 50)
    return {"model": f"gpt-{worker % 3}", "stream": stream, "messages": [{"role": "user", "content": prompt}]}


def _told(body: dict[str, object], text: str) -> str:
    messages = body["messages"]
    assert isinstance(messages, list)
    return json.dumps({"model": body["model"], "prompt": messages[0]["content"], "answer": text})


def _text(response: httpx.Response, stream: bool) -> str:
    if not stream:
        return str(response.json()["choices"][0]["message"]["content"])
    events = [line[6:] for line in response.text.split("\n") if line.startswith("data: {")]
    deltas = [c["delta"].get("content", "") for e in events for c in json.loads(e)["choices"]]
    return "".join(deltas)


def threads(url: str, count: int, stream: bool, workers: int = 8) -> None:
    """`workers` threads, one client (one SSL context, kept connections)."""
    lock = threading.Lock()
    limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
    client = httpx.Client(verify=False, timeout=60, limits=limits)

    def work(worker: int) -> None:
        for number in range(count // workers):
            body = _body("threads", worker, number, stream)
            text = _text(client.post(url, json=body), stream)
            with lock:
                print(_told(body, text))

    running = [threading.Thread(target=work, args=(w,)) for w in range(workers)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


async def tasks(url: str, count: int, stream: bool, workers: int = 64) -> None:
    """`workers` asyncio tasks over one client: TLS through memory BIOs."""
    async with httpx.AsyncClient(verify=False, timeout=60, limits=httpx.Limits(max_connections=workers)) as client:

        async def work(worker: int) -> None:
            for number in range(worker, count, workers):
                body = _body("tasks", worker, number, stream)
                print(_told(body, _text(await client.post(url, json=body), stream)))

        await asyncio.gather(*(work(w) for w in range(workers)))


def plain(url: str, count: int, stream: bool) -> None:
    """One connection, one request after another."""
    with httpx.Client(verify=False, timeout=60) as client:
        for number in range(count):
            body = _body("plain", 0, number, stream)
            print(_told(body, _text(client.post(url, json=body), stream)), flush=True)


if __name__ == "__main__":
    shape, url, count, stream = sys.argv[1], sys.argv[2], int(sys.argv[3]), "stream" in sys.argv[4:]
    if shape == "tasks":
        asyncio.run(tasks(url, count, stream))
    else:
        {"threads": threads, "plain": plain}[shape](url, count, stream)
