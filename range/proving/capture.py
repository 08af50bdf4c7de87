"""Captures inside a range with tcpdump."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from proving.netns import Net


class CaptureError(Exception):
    """tcpdump is not there or did not start."""


@dataclass
class Capture:
    """A capture file; after the block `packets` were written and `dropped` lost by the kernel."""

    path: Path
    packets: int = 0
    dropped: int = 0


@contextlib.contextmanager
def capture(net: Net, path: Path, interface: str = "eth0", expression: str = "") -> Iterator[Capture]:
    """Whole packets of an interface in the clients' namespace: `eth0` (towards the servers), `lo` (Ollama, vLLM), or
    `any` (both, cooked headers, loopback packets twice). Begins when tcpdump listens, ends when it has written all."""
    command = [
        "tcpdump",
        "-i",
        interface,
        "-n",
        "-s",
        "0",
        "-B",
        "32768",
        "--immediate-mode",
        "-U",
        "-Z",
        "root",
        "-w",
        str(path),
    ]
    try:
        process = subprocess.Popen(
            net.inside(net.client, [*command, *expression.split()]), stderr=subprocess.PIPE, start_new_session=True
        )
    except FileNotFoundError:
        raise CaptureError("ip is not installed") from None
    said: list[str] = []
    listening = threading.Event()
    assert process.stderr is not None
    reader = threading.Thread(target=_read, args=(process.stderr, said, listening), daemon=True)
    reader.start()
    result = Capture(path)
    try:
        if not listening.wait(10) or process.poll() is not None:
            raise CaptureError(f"tcpdump: {''.join(said).strip() or 'did not start'}")
        yield result
        _settle(path)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        reader.join(5)
    text = "".join(said)
    counts = {what: int(count) for count, what in re.findall(r"(\d+) packets? (captured|dropped by kernel)", text)}
    result.packets, result.dropped = counts.get("captured", 0), counts.get("dropped by kernel", 0)


def _read(pipe: IO[bytes], said: list[str], listening: threading.Event) -> None:
    for line in pipe:
        said.append(line.decode("utf-8", "replace"))
        if "listening on" in said[-1]:
            listening.set()
    listening.set()
    pipe.close()


def _settle(path: Path) -> None:
    """Waits until the file has not grown for 0.15 s, at most 3 s: what was in flight is written."""
    size, since = -1, time.monotonic()
    end = since + 3
    while time.monotonic() < end:
        now = path.stat().st_size if path.exists() else 0
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > 0.15:
            return
        time.sleep(0.03)
