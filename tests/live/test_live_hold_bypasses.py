"""Ways around the request rung, tried against `leeward run` with a policy: what arrives, and what Leeward says of it."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from live_holding import HERE, RANGE, Sink, sink

POLICY = """
apiVersion: leeward/v1
kind: Policy
metadata: {name: held}
spec:
  mode: enforce
  deadline: 2s
  scope: {workloads: ['*leeward-held*']}
  rules:
    - {name: iban, when: '"financial.iban" in kinds', action: block, severity: high, finding: data-leak}
    - {name: card, when: '"financial.card" in kinds', action: redact, redact: [financial.card], severity: high,
       finding: data-leak}
    - {name: host, when: destination.domain == "denied.example", action: block, severity: high, finding: unsanctioned-provider}
"""
PYTHON = RANGE / "bin/python" if (RANGE / "bin/python").exists() else Path(sys.executable)
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "held.yaml").write_text(POLICY)
    agent = Run(folder / "state", "--policy", str(folder / "held.yaml"))
    try:
        yield agent
    finally:
        agent.stop()
        if agent.process.poll() is None:
            agent.process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is run from here is a workload of its own, under the policy."""
    made = tmp_path / "leeward-held"
    made.mkdir()
    for name in ("live_bypass.py", "live_libssl.py"):
        shutil.copy(HERE / name, made)
    return made


@pytest.fixture
def https(certificate: tuple[str, str]) -> Iterator[Sink]:
    with sink("https", certificate) as server:
        yield server


@pytest.fixture
def http() -> Iterator[Sink]:
    with sink("http", ()) as server:
        yield server


def command(folder: Path, way: str, to: Sink, kind: str, *more: str) -> list[str]:
    return [str(PYTHON), str(folder / "live_bypass.py"), way, to.port, kind, *more]


@contextmanager
def begun(words: list[str], **how: Any) -> Iterator[subprocess.Popen[str]]:
    """A client that waits for a line; its children end with it, also those that are stopped."""
    client = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **how
    )
    try:
        yield client
    finally:
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(client.pid, signal.SIGKILL)
        client.communicate()


def until(true: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def tracer(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("TracerPid:")[1].split()[0])


def held(client: subprocess.Popen[str]) -> None:
    until(lambda: tracer(client.pid), "it is not held")
    time.sleep(0.1)  # of HTTP in the clear: attaching to libc comes after


def tried(client: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = client.communicate("\n", timeout=40)
    assert out, errors
    return json.loads(out)


def what_arrived(needle: str, seen: dict[str, Any], number: str = "1") -> str:
    """ "through", "masked", "in part" or "nothing"; masked is what came to its end without the needle."""
    if needle in seen["bytes"]:
        return "through"
    return "masked" if number in seen["whole"] else "in part" if seen["bodies"].get(number) else "nothing"


def told(running: Run, folder: Path) -> set[tuple[str, str, str]]:
    """(rule of the finding, rule of the policy, action) of this folder's workloads."""
    ours = [f for f in running.get("/findings")["findings"] if str(folder) in (f["workload"] or {}).get("id", "")]
    return {(f["rule"], f["subject"].get("rule", ""), f["action"]) for f in ours if f["subject"].get("policy") == "held"}


def coverage(running: Run, folder: Path) -> list[dict[str, Any]]:
    return [row for row in running.get("/coverage")["coverage"] if str(folder) in (row["workload"] or {}).get("id", "")]


STOPPED, MASKED = {("data-leak", "iban", "block")}, {("data-leak", "card", "redact")}
CARD_STOPPED = {("data-leak", "card", "block")}
ATTEMPTS = {
    ("whole", "card"): ("masked", MASKED),
    ("whole", "iban"): ("nothing", STOPPED),
    ("pieces-1", "card"): ("in part", CARD_STOPPED),
    ("pieces-1", "iban"): ("in part", STOPPED),
    ("pieces-100", "card"): ("in part", CARD_STOPPED),
    ("pieces-100", "iban"): ("in part", STOPPED),
    ("pieces-16k", "card"): ("masked", MASKED),
    ("pieces-16k", "iban"): ("in part", STOPPED),
    ("value-in-two", "card"): ("in part", CARD_STOPPED),
    ("value-in-two", "iban"): ("in part", STOPPED),
    ("chunked", "card"): ("masked", MASKED),
    ("chunked", "iban"): ("nothing", STOPPED),
    ("chunked-calls", "card"): ("in part", CARD_STOPPED),
    ("chunked-calls", "iban"): ("in part", STOPPED),
    ("gzip", "card"): ("nothing", CARD_STOPPED),
    ("gzip", "iban"): ("nothing", STOPPED),
    ("deflate", "iban"): ("nothing", STOPPED),
    ("br", "iban"): ("nothing", STOPPED),
    ("unknown-encoding", "iban"): ("through", set()),
    ("base64", "card"): ("nothing", CARD_STOPPED),
    ("base64", "iban"): ("nothing", STOPPED),
    ("escaped", "card"): ("masked", MASKED),
    ("escaped", "iban"): ("nothing", STOPPED),
    ("other-host", "card"): ("masked", MASKED),
    ("other-host", "iban"): ("nothing", STOPPED),
    ("forked", "card"): ("masked", MASKED),
    ("forked", "iban"): ("nothing", STOPPED),
    ("half-forked", "iban"): ("through", set()),
    ("spawned", "card"): ("masked", MASKED),
    ("spawned", "iban"): ("nothing", STOPPED),
}


@pytest.mark.parametrize(("way", "kind"), ATTEMPTS)
def test_attempts(running: Run, folder: Path, https: Sink, way: str, kind: str) -> None:
    arrives, says = ATTEMPTS[way, kind]
    with begun(command(folder, way, https, kind)) as client:
        held(client)
        done = tried(client)
    seen = https.end()
    assert what_arrived(done["needle"], seen) == arrives, (done, seen)
    running.wait(lambda: says <= told(running, folder), 20)
    print(way, kind, done["result"], told(running, folder))
