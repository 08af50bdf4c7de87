"""`leeward demo` as a user starts it, with people who may do different things, and somebody who calls a model of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from leeward.model.errors import LeewardError
from leeward.sensor import host

ROOT = Path(__file__).parents[2]
SECONDS = 120.0
"""What comes from the demo comes within this, on a host whose cores are busy."""


def why_not() -> str:
    try:
        host.need_root()
        host.tracefs()
    except LeewardError as error:
        return str(error)
    return "" if (ROOT / ".venv-range/bin/python").exists() else "the range is not set up: make setup-range"


def wait_until(what: Callable[[], Any], why: str, seconds: float = SECONDS) -> Any:
    """What it gives as soon as that is something."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, f"it did not come: {why}"
        time.sleep(0.1)
    return found


class Demo:
    """url: of the page. state: its directory. secrets: tokens by role."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url, self.state = f"http://127.0.0.1:{port}", folder / "state"
        self.secrets: dict[str, str] = {}
        self._log = folder / "log"
        words = ["demo", "--port", str(port), "--state", str(self.state), "--pause", "0"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "leeward", *words], stderr=log, stdout=log)

    def ready(self) -> None:
        """Waits until it watches; makes a token for each role."""
        self.secrets["admin"] = wait_until(self._token, "the demo's token", 90)
        environment = os.environ | {"LEEWARD_STATE": str(self.state)}
        for role in ("analyst", "viewer"):
            command = [sys.executable, "-m", "leeward", "token", "create", f"a-{role}", "--role", role]
            made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
            self.secrets[role] = made.stdout.strip()

    def _token(self) -> str:
        said = self._log.read_text()
        assert self._process.poll() is None, said
        found = re.search(r"lwt_\S+", said)
        return found[0] if found else ""

    def ask(self, path: str, role: str = "admin") -> Any:
        headers = {"authorization": f"Bearer {self.secrets[role]}"}
        answer = httpx.get(f"{self.url}/api/v1{path}", headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def find(self, path: str, fits: Callable[[Any], bool]) -> Any:
        """The first record of a list that fits, as soon as there is one."""
        field = path.split("?")[0].strip("/")
        return wait_until(lambda: next(filter(fits, self.ask(path)[field]), None), path)

    def end(self) -> int:
        """Ends it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)


class Model(ThreadingHTTPServer):
    """A chat model on this host that says nothing much, under the model name that it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Chat)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def called(
        self, folder: Path, model: str, program: str = "shopper", name: str = "", tool: str = "", text: str = "hello"
    ) -> float:
        """A program of this name calls it; when it was done (monotonic). name: of the host that is asked for."""
        client = folder / program
        if not client.exists():
            shutil.copy(shutil.which("curl") or "curl", client)
        asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
        if tool:
            asked["tools"] = [{"type": "function", "function": {"name": "look", "description": tool, "parameters": {}}}]
        (folder / "asked.json").write_text(json.dumps(asked))
        where = f"http://127.0.0.1:{self.server_port}/v1/chat/completions"
        heads = ["-H", "content-type: application/json", *(["-H", f"Host: {name}"] if name else [])]
        command = [str(client), "-sS", "--max-time", "20", *heads, "--data-binary", f"@{folder}/asked.json", where]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return time.monotonic()


class _Chat(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": f"You said: {asked['messages'][-1]['content']}"}
        answer = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        }  # fmt: skip
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


def settled(page: Any) -> None:
    """The screen is there and waits for nothing."""
    page.wait_for_function(
        "() => document.querySelector('.problem') || "
        "(document.querySelector('h1') && !document.querySelector('.loading, [aria-busy=true]'))"
    )
    assert page.locator(".problem").all_inner_texts() == [], page.url


def go(page: Any, demo: Demo, place: str) -> None:
    """There, with everything asked for anew."""
    page.goto("about:blank")
    page.goto(f"{demo.url}/#/{place}")
    settled(page)


def agree(page: Any, demo: Demo, place: str, shown: Callable[[], Any], told: Callable[[], Any]) -> None:
    """Page and API say the same of one moment."""
    until = time.monotonic() + SECONDS
    while True:
        before = told()
        go(page, demo, place)
        seen = shown()
        if seen == before == told() or time.monotonic() > until:
            assert seen == before
            assert seen
            return


def column(page: Any, number: int, within: str = "main") -> list[str]:
    """The texts of a column of the table."""
    return [
        " ".join(text.split()) for text in page.locator(f"{within} tbody tr td:nth-child({number})").all_inner_texts()
    ]


def words(text: str) -> str:
    return " ".join(text.split())
