"""`leeward demo` when it cannot do what it is asked for: nothing that it began is left, and one line says why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leeward.cli import demo
from leeward.model.errors import HostError, LeewardError
from leeward.sensor import host

ROOT = Path(__file__).parents[2]


def why_not() -> str:
    try:
        host.need_root()
    except LeewardError as error:
        return str(error)
    return "" if (ROOT / ".venv-range/bin/python").exists() else "the range is not set up: make setup-range"


def demo_command(*options: str) -> list[str]:
    return [sys.executable, "-m", "leeward", "demo", *options]


def marked_with(mark: int) -> list[str]:
    """Command lines of processes whose environment bears the mark of a test."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"LEEWARD_TEST_MARK={mark}\0".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it is gone, or is none of ours
            continue
    return found


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_told_and_nothing_begins(taken_port: int, tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    command = demo_command("--port", str(taken_port), "--state", str(tmp_path / "state"))
    marked = os.environ | {"LEEWARD_TEST_MARK": str(os.getpid())}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=marked)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{taken_port}: Address already in use" in done.stderr
    assert "give another --port" in done.stderr
    assert marked_with(os.getpid()) == []
    assert not (tmp_path / "state").exists()


def test_when_run_cannot_begin_its_line_is_all_and_no_client_calls(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    (tmp_path / "state").write_text("a file where the folder should be")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    marked = os.environ | {"LEEWARD_TEST_MARK": str(os.getpid())}
    command = demo_command("--port", str(port), "--state", str(tmp_path / "state"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=marked)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("leeward: ")
    assert str(tmp_path / "state") in done.stderr
    assert marked_with(os.getpid()) == []


def test_who_watches_was_killed() -> None:
    with pytest.raises(HostError, match="SIGKILL"):
        demo._said_by(-signal.SIGKILL)
    assert demo._said_by(2) == 2
    assert demo._said_by(0) == 1  # it ended though nobody asked it to


def take_all(turns: demo.Turns) -> None:
    while not turns.done:
        turns.step()
        if turns.process is not None:
            demo._one_ended([turns.process], 20)


def test_one_turn_after_another_until_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[str] = []

    def begin(command: list[str], **_: object) -> subprocess.Popen[bytes]:
        began.append(command[-1])
        return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({int(command[-1])})"])

    monkeypatch.setattr(demo, "_begin", begin)
    turns = demo.Turns(iter([["0"], ["1"], ["2"], ["0"]]), Path("/nowhere"))
    with pytest.raises(HostError, match="ended with 2"):
        take_all(turns)
    assert began == ["0", "1", "2"]  # some clients' failure (1) ends nothing


def test_a_process_that_does_not_hear_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_END_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    demo._end([process])
    assert process.returncode == -signal.SIGKILL
    process.stdout.close()
