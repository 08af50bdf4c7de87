"""What the tests of held writes share: the server that keeps all that reached it, and what became of a client's requests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RANGE = ROOT / ".venv-range"
MODULES = ROOT / "range/node/node_modules"


class Sink:
    """A server of ours; `end` says what reached it. form: "https", "http", or "grpc"."""

    def __init__(self, form: str, certificate: tuple[str, ...]) -> None:
        command = [sys.executable, str(HERE / "live_sink.py"), *(certificate if form == "https" else ())]
        if form == "grpc":
            command = [str(RANGE / "bin/python"), str(HERE / "live_grpc.py"), "serve", *certificate]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = self._process.stdout.readline().strip()
        self.url = f"{form}://127.0.0.1:{self.port}"

    def end(self) -> dict[str, Any]:
        out, _ = self._process.communicate(timeout=30)
        return json.loads(out)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def sink(form: str, certificate: tuple[str, ...]) -> Iterator[Sink]:
    server = Sink(form, certificate)
    try:
        yield server
    finally:
        server.kill()


def content(body: str) -> str:
    """Of a chat's first message, or the text that it is."""
    return json.loads(body)["messages"][0]["content"] if body.startswith("{") else body


def arrived(done: dict[str, Any], seen: dict[str, Any]) -> Counter[tuple[str, str, bool]]:
    """How many requests of each kind came to what, and whether the client had an answer."""
    found: Counter[tuple[str, str, bool]] = Counter()
    for number, (kind, result, _) in done.items():
        body = seen["bodies"].get(number, "")
        text = content(body) if body else ""
        what = "nothing" if not body else "masked" if "****" in text else "untouched"
        found[kind, what, result == 200] += 1
    return found
