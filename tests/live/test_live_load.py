"""Real clients under load, seen by the kernel sensor: every request once, none lost, none mixed up."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from live_run import LEEWARD, Run, client_command, seen, told

pytestmark = pytest.mark.kernel
COUNT = 1000


def watched(command: list[str], folder: Path) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """`leeward exec` of a command: what the command printed, the exchanges, the stats."""
    output = folder / "events.ndjson"
    done = subprocess.run(
        [LEEWARD, "exec", "--no-model", "--output", str(output), "--", *command],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert lines[-1]["type"] == "stats"
    return done.stdout, [line for line in lines if line["type"] == "exchange"], lines[-1]


def nothing_lost(stats: dict[str, Any]) -> None:
    assert set(stats["lost"].values()) == {0}, stats["lost"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("shape", ["threads", "tasks"])
def test_a_thousand_requests_of_one_process(shape: str, stream: bool, tls_url: str, tmp_path: Path) -> None:
    """8 threads on one SSL context with keep-alive; 64 asyncio tasks, whose TLS runs through memory BIOs."""
    out, exchanges, stats = watched(client_command(shape, tls_url, COUNT, stream=stream), tmp_path)
    nothing_lost(stats)
    assert len(told(out)) == COUNT
    assert seen(exchanges) == told(out)
    assert len({e["id"] for e in exchanges}) == COUNT
    assert {e["evidence"]["joined"] for e in exchanges} == {"client-random"}
    assert len({e["network"]["src"] for e in exchanges}) > 1
    assert all(e["evidence"]["complete"] and not e["evidence"]["gap"] for e in exchanges)


def test_sixteen_clients_at_once(run: Run, tls_url: str) -> None:
    clients = [
        subprocess.Popen(client_command("plain", tls_url, COUNT // 16 + 1, stream=n % 2 == 0), stdout=subprocess.PIPE)
        for n in range(16)
    ]
    outputs = [client.communicate(timeout=240)[0].decode() for client in clients]
    expected = sorted(row for output in outputs for row in told(output))
    run.wait(lambda: run.stored() >= len(expected))
    exchanges = run.exchanges()
    doubtful = [e["evidence"] for e in exchanges if not e["evidence"]["complete"] or e["evidence"]["gap"]]
    assert doubtful == [], run.get("/stats")["status"]
    assert seen(exchanges) == expected
    assert {e["process"]["pid"] for e in exchanges} == {c.pid for c in clients}
    assert Counter(e["process"]["pid"] for e in exchanges) == Counter({c.pid: COUNT // 16 + 1 for c in clients})


def test_plain_http_on_any_port(plain_url: str, tmp_path: Path) -> None:
    out, exchanges, stats = watched(client_command("threads", plain_url, 80, stream=True), tmp_path)
    nothing_lost(stats)
    assert seen(exchanges) == told(out)
    assert {e["evidence"]["source"] for e in exchanges} == {"plaintext"}


def test_the_exit_code_passes_through(tmp_path: Path) -> None:
    for code in (0, 3):
        done = subprocess.run([LEEWARD, "exec", "--", "sh", "-c", f"exit {code}"], capture_output=True, timeout=60)
        assert done.returncode == code
    done = subprocess.run([LEEWARD, "exec", "--", "sh", "-c", "kill -9 $$"], capture_output=True, timeout=60)
    assert done.returncode == 137
