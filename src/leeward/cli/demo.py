"""`leeward demo`: `leeward run` beside the proving ground's AI services, clients and attacks, so that there is something to see.

All of it is real: processes, sockets and requests, in network namespaces of their own, with harmless payloads. Invariant:
nothing of it outlives the command, however that ends, and no client calls before somebody watches.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Annotated

import httpx
import typer

from leeward.cli.listening import listening_on
from leeward.enforce.parent import end_with
from leeward.model.errors import HostError
from leeward.sensor.host import need_root

ATTACKS = (
    *(
        "langflow-code",
        "rshell-bash",
        "base-url-hijack",
        "pth-theft",
        "exfil-paste",
        "credential-sweep",
        "fileless-memfd",
    ),
    *("npm-writes-agent-config", "metadata-curl", "ollama-exposed", "scan-hosts", "llmjacking-keycheck", "ray-jobs"),
    *("key-stolen", "beacon-tcp"),
)
"""Scenarios of the range, the quick ones first."""
CALLS = (
    ["run", "assistant", "--n", "1", "--no-stream", "--with", "--version 2 --rounds 3"],
    ["run", "all", "--n", "3"],
)
"""A round: a shop's assistant whose new version sends customers' records along, then every client there is."""
_ATTACKS_A_ROUND = 3
_START_SECONDS = 60.0
_END_SECONDS = 30.0
_LOOK_SECONDS = 0.2
_SOME_FAILED = 1
"""The proving ground's exit status when some clients failed, and the others did what they do."""


def _range() -> Path:
    """The proving ground of a source checkout (it is no part of the wheel)."""
    root = Path(__file__).parents[3]
    if not (root / "range/proving").is_dir() or not (root / ".venv-range/bin/python").exists():
        raise HostError("the demo needs a source checkout and its clients: run `make demo` there")
    return root / "range"


def _begin(command: Sequence[str], quiet: bool = False) -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that a terminal's Ctrl-C comes to us alone; it is told when we are gone."""
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
        preexec_fn=partial(end_with, os.getpid(), signal.SIGINT),
    )


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """All of them: asked first, for they clean up after themselves then, and killed with what they began if they do not hear."""
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.send_signal(signal.SIGINT)
    for process in alive:
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _one_ended(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Waits until one of these processes has ended, at most so long."""
    descriptors = [os.pidfd_open(process.pid) for process in processes if process.poll() is None]
    try:
        if len(descriptors) == len(processes):
            select.select(descriptors, [], [], seconds)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _watching(watcher: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it watches, as soon as that is known. HostError if it never says."""
    until = time.monotonic() + _START_SECONDS
    while watcher.poll() is None and time.monotonic() < until:
        if _answers(port):
            return watcher.poll() is None
        _one_ended([watcher], _LOOK_SECONDS)
    if watcher.poll() is None:
        raise HostError(f"port {port}: `leeward run` did not answer in {_START_SECONDS:.0f} s: is this host very busy?")
    return False


class Turns:
    """What the proving ground (in a folder) does, one thing after another, each apart from us and from the others as strangers
    on a host are. pause: seconds between two of them."""

    def __init__(self, words: Iterator[list[str]], folder: Path, pause: float = 0) -> None:
        self._words, self._pause = words, pause
        self._apart = ["-S", "-E", str(folder / "proving/apart.py"), "env", f"PYTHONPATH={folder}"]
        self._due = 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self.done = False

    def step(self) -> None:
        """Begins the next thing if the last has ended and it is time. HostError if the proving ground does not work here."""
        if self.process is not None:
            if (code := self.process.poll()) is None:
                return
            self.process, self._due = None, time.monotonic() + self._pause
            if code not in (0, _SOME_FAILED):
                raise HostError(f"the proving ground ended with {code}: see above, or run `make test`")
        if self.done or time.monotonic() < self._due:
            return
        words = next(self._words, None)
        if words is None:
            self.done = True
        else:
            self.process = _begin([*self._apart, sys.executable, "-m", "proving", *words], quiet=True)


def _until_done(watcher: subprocess.Popen[bytes], turns: Sequence[Turns]) -> None:
    """Has everybody take their turns until all have, or nobody watches any more."""
    while watcher.poll() is None and not all(one.done for one in turns):
        for one in turns:
            one.step()
        _one_ended([watcher, *(one.process for one in turns if one.process is not None)], _LOOK_SECONDS)


def _said_by(code: int) -> int:
    """Our exit status after `leeward run` ended by itself. HostError where it cannot have said why."""
    if code < 0:
        raise HostError(f"`leeward run` was ended by {signal.Signals(-code).name}, and so the demo is: start it again")
    return code or 1


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        port: Annotated[int, typer.Option(help="Port of the API and the page.", min=1, max=65535)] = 8420,
        rounds: Annotated[int, typer.Option(help="How often all clients call; 0: until Ctrl-C.", min=0)] = 0,
        state: Annotated[Path | None, typer.Option(help="Where the store and the tokens are kept.")] = None,
        pause: Annotated[float, typer.Option(help="Seconds between two attacks.", min=0)] = 15,
    ) -> None:
        """Watches this host beside sample AI services, clients and harmless attacks, in network namespaces of their own."""
        need_root()
        folder = _range()
        listening_on("127.0.0.1", port).close()  # somebody else there would look like ours
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        kept = ["--state", str(state)] if state is not None else []
        calls = islice(cycle(CALLS), len(CALLS) * rounds or None)
        attacks = islice(cycle(["play", name] for name in ATTACKS), _ATTACKS_A_ROUND * rounds or None)
        turns = [Turns(calls, folder), Turns(attacks, folder, pause)]
        watcher = _begin(["-m", "leeward", "run", "--port", str(port), *kept])
        interrupted = False
        try:
            if _watching(watcher, port):
                _until_done(watcher, turns)
        except KeyboardInterrupt:
            interrupted = True  # the way to end it
        finally:
            code = watcher.poll()
            _end(chain((one.process for one in turns if one.process is not None), [watcher]))
        raise typer.Exit(0 if interrupted or code is None else _said_by(code))
