"""`leeward run` for a test, and what its clients said beside what it saw."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
LEEWARD = str(Path(sys.executable).with_name("leeward"))


def client_command(shape: str, url: str, count: int, *, stream: bool = False) -> list[str]:
    return [sys.executable, str(HERE / "live_client.py"), shape, url, str(count), *(["stream"] if stream else [])]


def told(text: str) -> list[tuple[str, str, str]]:
    """(model, prompt, answer) of each request that a client printed, sorted."""
    lines = [json.loads(line) for line in text.splitlines()]
    return sorted((line["model"], line["prompt"], line["answer"]) for line in lines)


def seen(exchanges: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The same of exchanges."""
    rows = []
    for exchange in exchanges:
        ai = exchange["gen_ai"]
        rows.append((ai["request_model"], ai["input"][-1]["content"], "".join(m["content"] for m in ai["output"])))
    return sorted(rows)


class Run:
    """`leeward run` with a state of its own. Without the model for names: what is compared must not depend on how fast it is."""

    def __init__(self, state: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = state
        self.log = state.parent / f"{state.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [LEEWARD, "run", "--no-model", "--port", str(self.port), "--state", str(state), *options],
                stdout=log,
                stderr=log,
            )
        try:
            self.wait(lambda: httpx.get(f"{self.url}/api/v1/health", timeout=2).status_code == 200)
        except BaseException:
            self.process.kill()
            raise

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except httpx.HTTPError:
                pass  # it is not up yet: asked again until the time is over
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s; log: {self.log.read_text()}")

    def get(self, path: str, **parameters: Any) -> Any:
        token = (self.state / "cli-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{self.url}/api/v1{path}", params=parameters, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def stored(self) -> int:
        """How many exchanges the store has."""
        return int(self.get("/stats")["summary"]["exchanges"])

    def exchanges(self) -> list[dict[str, Any]]:
        """All that are stored, oldest first."""
        command = [LEEWARD, "exchanges", "--json", "--limit", "100000"]
        token = (self.state / "cli-token").read_text().strip()
        environment = os.environ | {"LEEWARD_URL": self.url, "LEEWARD_TOKEN": token}
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        return [json.loads(line) for line in out.splitlines()][::-1]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
