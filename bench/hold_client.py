"""A client whose latency is measured: hold_client.py URL CONCURRENCY REQUESTS.

Waits for a line on standard input before each round, and prints one JSON object a round: `requests` (µs of each), `failed`,
`others` (µs of each piece of work of a thread that has nothing to do with the network). Every request has about 2 kB of text
that was not sent before.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import threading
import time

import httpx

_TEXT = "please look at this ticket and tell me in short words what the customer wants and whether it is urgent"
_WORDS = _TEXT.split()
_NUMBERS = itertools.count()
_BLOCK = b"\0" * (128 << 10)  # hashlib lets go of the interpreter's lock for it


def body(number: int) -> dict[str, object]:
    text = " ".join(_WORDS[(number * 7 + i * (1 + number % 5)) % len(_WORDS)] for i in range(380))
    messages = [
        {"role": "system", "content": "You help people who answer tickets."},
        {"role": "user", "content": f"Ticket {number}: {text}"},
    ]
    return {"model": "gpt-4o", "messages": messages}


def work(client: httpx.Client, url: str, count: int, taken: list[float], failed: list[str]) -> None:
    headers = {"authorization": "Bearer sk-leeward-bench-0123456789"}
    for _ in range(count):
        content = json.dumps(body(next(_NUMBERS))).encode()
        began = time.perf_counter_ns()
        status = client.post(url, content=content, headers=headers | {"content-type": "application/json"}).status_code
        taken.append((time.perf_counter_ns() - began) / 1000)
        if status != 200:
            failed.append(str(status))


def other(stop: threading.Event, taken: list[float]) -> None:
    while not stop.is_set():
        began = time.perf_counter_ns()
        hashlib.sha256(_BLOCK).digest()
        taken.append((time.perf_counter_ns() - began) / 1000)
        time.sleep(0.001)


def main(url: str, concurrency: int, count: int) -> None:
    context = httpx.create_ssl_context(verify=False)
    clients = [httpx.Client(verify=context, timeout=30) for _ in range(concurrency)]
    for client in clients:
        work(client, url, 3, [], [])
    print(json.dumps("ready"), flush=True)
    while sys.stdin.readline():
        taken: list[float] = []
        others: list[float] = []
        failed: list[str] = []
        stop = threading.Event()
        workers = [
            threading.Thread(target=work, args=(client, url, count // concurrency, taken, failed)) for client in clients
        ]
        beside = threading.Thread(target=other, args=(stop, others))
        for thread in (beside, *workers):
            thread.start()
        for thread in workers:
            thread.join()
        stop.set()
        beside.join()
        print(json.dumps({"requests": taken, "failed": failed, "others": others}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
