"""What the clients share: arguments, marked prompts, tools, and the truth each of them writes.

Clients are scripts on purpose: each is what a user would write with that SDK, with its default URL and nothing patched.
This module is all they have in common; it needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TOPICS = (
    "Explain why the sky is blue",
    "Erzähle mir etwas über Käsefondue",
    "東京の天気はどうですか",
    "Напиши стихотворение о море",
    "اكتب قصة قصيرة",
    'Summarise this: "quotes", back\\slashes,\ttabs and\nnew lines',
    "What does 👩‍💻 mean, and 𝕗𝕒𝕟𝕔𝕪 letters, and e\u0301",
)

WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city, in a unit — naïve but précise.",
    "parameters": {
        "type": "object",
        "properties": {
            "spot": {"type": "string", "description": "The city"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer"},
        },
        "required": ["spot"],
    },
}
SEARCH = {
    "name": "search_files",
    "description": "Files by pattern.",
    "parameters": {
        "type": "object",
        "properties": {"patterns": {"type": "array", "items": {"type": "string"}}, "deep": {"type": "boolean"}},
        "required": ["patterns"],
    },
}
TOOLS = (WEATHER, SEARCH)


def arguments(name: str, modes: tuple[str, ...] = ("plain",), **defaults: Any) -> argparse.Namespace:
    """The command line that every client has; `defaults` adds whole-number options of its own."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--n", type=int, default=1, help="requests in all")
    parser.add_argument("--stream", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--mode", choices=modes, default=modes[0])
    parser.add_argument("--truth", default=os.environ.get("RANGE_TRUTH", ""), help="file that the truth is added to")
    parser.add_argument("--run", default=os.environ.get("RANGE_RUN", "0"), help="tells this run's markers from others'")
    parser.add_argument("--model", default="")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between requests")
    for key, value in defaults.items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    options = parser.parse_args()
    options.client = name
    return options


class Truth:
    """Writes what a client sent and got, one JSON object a line; safe for threads."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._file = open(options.truth, "a", encoding="utf-8") if options.truth else None

    @contextmanager
    def exchange(
        self, api: str, worker: int, counter: int, mark: str, request: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """One request; the body fills in `text`, `texts`, `tool_calls`, `usage`, `finish`, `response_id`,
        `response_model` and, for a request that fails as it should, `status` and `error`."""
        record = {
            "client": self._options.client,
            "run": self._options.run,
            "worker": worker,
            "counter": counter,
            "marker": mark,
            "api": api,
            "stream": bool(request.get("stream", self._options.stream)),
            "model": request.get("model", ""),
            "request": request,
            "text": "",
            "texts": [],
            "tool_calls": [],
            "usage": {},
            "finish": [],
            "response_id": "",
            "response_model": "",
            "status": 200,
            "error": "",
            "pid": os.getpid(),
            "tid": threading.get_native_id(),
            "started": time.time(),
        }
        yield record
        record["ended"] = time.time()
        if record["text"] and not record["texts"]:
            record["texts"] = [record["text"]]
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
                self._file.flush()


def marker(options: argparse.Namespace, worker: int, counter: int) -> str:
    """`[[client.run w<worker> c<counter>]]`: unique to one request of one run; servers repeat it in the answer."""
    return f"[[{options.client}.{options.run} w{worker} c{counter}]]"


def prompt(mark: str) -> str:
    """A question with its mark, its length and script drawn from the mark."""
    source = random.Random(mark)
    lines = [f"{source.choice(_TOPICS)} ({source.randrange(10**6)})" for _ in range(source.choice((1, 1, 2, 5, 40)))]
    return f"{mark} " + "; ".join(lines)


def check(mark: str, record: dict[str, Any]) -> None:
    """An answer that lacks the mark of its question is somebody else's: the client or the server mixed them up."""
    told = record["text"] + json.dumps(record["tool_calls"], ensure_ascii=False)
    if not record["error"] and mark not in told:
        raise SystemExit(f"{mark}: not in the answer: {told[:200]!r}")


def share(total: int, workers: int) -> list[int]:
    """How many requests each worker makes."""
    return [total // workers + (1 if i < total % workers else 0) for i in range(workers)]


def pause(options: argparse.Namespace) -> None:
    """The wait between two requests."""
    if options.pause:
        time.sleep(options.pause)
