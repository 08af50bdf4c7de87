"""A client of many threads, each with a kept connection: soak_client.py URL THREADS.

Reads commands from standard input: `one` (each thread sends one request that may go) or `mixed SEED EACH` (each thread sends so
many of kinds by chance). Answers each with a line of JSON: number of a request → [kind, status or the error's name]. The number
is in the header x-number and in the host's name.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/live"))
from live_mixed import KINDS, body


def main(url: str, threads: int) -> None:
    context = httpx.create_ssl_context(verify=False)
    clients = [httpx.Client(verify=context, timeout=60) for _ in range(threads)]
    numbers = itertools.count()

    def work(client: httpx.Client, kinds: list[str], done: dict[str, list[object]]) -> None:
        for kind in kinds:
            number = str(next(numbers))
            headers = {"x-number": number, "host": f"r{number}.soak.test", "authorization": "Bearer sk-test"}
            try:
                result: object = client.post(f"{url}/v1/chat/completions", json=body(kind), headers=headers).status_code
            except httpx.HTTPError as error:
                result = type(error).__name__
            done[number] = [kind, result]

    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        seed, each = map(int, arguments) if name == "mixed" else (0, 1)
        chance = random.Random(seed)
        done: dict[str, list[object]] = {}
        workers = [
            threading.Thread(
                target=work, args=(client, chance.choices(KINDS, k=each) if name == "mixed" else ["plain"], done)
            )
            for client in clients
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
