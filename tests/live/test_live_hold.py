"""Writes held, judged, masked, stopped: real clients, a server that says what reached it, and every way in which a part of it
ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import live_mixed
import pytest
from live_holding import HERE, MODULES, RANGE, Sink, arrived, sink

POLICY = """
apiVersion: leeward/v1
kind: Policy
metadata:
  name: payment-data
spec:
  mode: enforce
  rules:
    - name: no-iban
      when: '"financial.iban" in kinds'
      action: block
      severity: high
      finding: data-leak
      message: account numbers do not leave
    - name: no-card
      when: '"financial.card" in kinds'
      action: redact
      redact: [financial.card]
      severity: high
      finding: data-leak
      message: card numbers are masked
"""
pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policies") / "payment-data.yaml"
    path.write_text(POLICY)
    return path


class Bodies:
    """The server; `end` says what reached it."""

    def __init__(self, certificate: tuple[str, ...]) -> None:
        command = [sys.executable, str(HERE / "live_bodies.py"), *certificate]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._process.stdout.readline().strip()}"

    def end(self) -> dict[str, Any]:
        out, _ = self._process.communicate(timeout=30)
        return json.loads(out)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def bodies(certificate: tuple[str, str]) -> Iterator[Bodies]:
    server = Bodies(certificate)
    yield server
    server.kill()


@pytest.fixture
def plain_bodies() -> Iterator[Bodies]:
    server = Bodies(())
    yield server
    server.kill()


@contextmanager
def waiting(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A client that waits for a line."""
    environment = os.environ | {"NODE_PATH": str(MODULES)}
    client = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        yield client
    finally:
        client.kill()
        client.wait()


class Enforcing:
    """live_enforcer.py"""

    def __init__(self, policy: Path, *pids: int, deadline: int = 2000, fail: str = "open") -> None:
        command = [sys.executable, str(HERE / "live_enforcer.py"), str(policy), str(deadline), fail, *map(str, pids)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.refused = self._line()["refused"]

    def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, what: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self._line()

    def until(self, name: str, least: int, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while (counts := self.ask("counts")).get(name, 0) < least:
            assert time.monotonic() < end, counts
            time.sleep(0.02)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def enforcing(policy: Path, *pids: int, deadline: int = 2000, fail: str = "open") -> Iterator[Enforcing]:
    agent = Enforcing(policy, *pids, deadline=deadline, fail=fail)
    try:
        yield agent
    finally:
        agent.close()


def python_client(url: str, threads: int, each: int, way: str) -> list[str]:
    python = RANGE / "bin/python" if (RANGE / "bin/python").exists() else Path(sys.executable)
    return [str(python), str(HERE / "live_mixed.py"), url, str(threads), str(each), way]


def told(client: subprocess.Popen[str], seconds: float = 60) -> dict[str, Any]:
    """Lets a client go, and what it says."""
    out, _ = client.communicate("\n", timeout=seconds)
    return json.loads(out)


def what_arrived(kind: str, body: str) -> str:
    """ "untouched", "masked", "nothing", or what else."""
    if not body:
        return "nothing"
    content = json.loads(body)["messages"][0]["content"]
    for whole, mask in (("4111 1111 1111 1111", "**** **** **** ****"), ("DE89 3704", "**** ****")):
        if whole in content:
            return f"{kind} untouched"
        if mask in content:
            return "masked"
    return "untouched"


def check_mixed(done: dict[str, Any], seen: dict[str, Any]) -> None:
    results = Counter(
        (kind, what_arrived(kind, seen["bodies"].get(number, "")), result == 200)
        for number, (kind, result, _) in done.items()
    )
    kinds = Counter(kind for kind, _, _ in done.values())
    assert results == {
        ("plain", "untouched", True): kinds["plain"],
        ("card", "masked", True): kinds["card"],
        ("iban", "nothing", False): kinds["iban"],
    }


@pytest.mark.parametrize("way", ["httpx", "requests", "openai", "async"])
def test_sixteen_threads_of_one_process_with_mixed_verdicts(policy: Path, bodies: Bodies, way: str) -> None:
    """What may go is untouched, what is masked arrives masked, of what is blocked not a byte."""
    each = 63 if way == "httpx" else 16
    with (
        waiting(python_client(bodies.url, 16, each, way)) as client,
        enforcing(policy, client.pid) as agent,
    ):
        done = told(client, 120)
        counts, decided = agent.ask("counts"), agent.ask("decided")
    assert len(done) == 16 * each
    check_mixed(done, bodies.end())
    actions = Counter(one["action"] for one in decided)
    kinds = Counter(kind for kind, _, _ in done.values())
    assert actions == {"block": kinds["iban"], "redact": kinds["card"]}
    assert {counts.get(f"hold_{name}", 0) for name in ("no_holder", "ring_full", "no_signal")} == {0}


def test_node(policy: Path, bodies: Bodies) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    with waiting([node, str(HERE / "live_mixed.js"), bodies.url, "8", "20"]) as client:
        time.sleep(0.5)
        with enforcing(policy, client.pid):
            done = told(client)
    check_mixed(done, bodies.end())


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("go") is None:
        pytest.skip("go is not installed: make setup-range")
    built = tmp_path_factory.mktemp("go") / "mixed"
    environment = os.environ | {"GO111MODULE": "off", "GOCACHE": str(RANGE / "go-cache")}
    subprocess.run(["go", "build", "-o", str(built), str(HERE / "live_mixed.go")], check=True, env=environment)
    return str(built)


def test_go(policy: Path, bodies: Bodies, go_client: str) -> None:
    with waiting([go_client, bodies.url, "8", "20", "h1"]) as client:
        time.sleep(0.2)
        with enforcing(policy, client.pid):
            done = told(client)
    check_mixed(done, bodies.end())


@contextmanager
def others(
    folder: Path, certificate: tuple[str, str], go: str
) -> Iterator[dict[str, tuple[Sink, subprocess.Popen[str]]]]:
    """Clients of other libraries that wait, each with a server of its own; those that are not installed are left out."""
    posts = folder / "posts"
    posts.mkdir()
    for number in range(9):
        kind = live_mixed.KINDS[number % 3]
        (posts / f"{number}-{kind}").write_text(json.dumps(live_mixed.body(kind)))
    python, node, script = RANGE / "bin/python", shutil.which("node"), str(HERE / "live_mixed.js")
    ranged = python if python.exists() else None
    localhost = make_certificate(folder)
    commands: dict[str, tuple[str, object, Callable[[Sink], list[str]]]] = {
        **{
            way: ("https", ranged, lambda to, way=way, many=many: python_client(to.url, many, 12, way))
            for way, many in (("openai-async", 4), ("openai-stream", 2), ("anthropic", 2), ("h2", 2))
        },
        "node-openai": ("https", node and MODULES.exists(), lambda to: [str(node), script, to.url, "4", "6", "openai"]),
        "go-h2": ("https", go, lambda to: [go, to.url, "1", "12", "h2"]),
        "curl": ("https", shutil.which("curl"), lambda to: [str(HERE / "live_shell.sh"), "curl", to.url, str(posts)]),
        "wget": ("https", shutil.which("wget"), lambda to: [str(HERE / "live_shell.sh"), "wget", to.url, str(posts)]),
        "grpc": ("grpc", ranged, lambda to: [str(ranged), str(HERE / "live_grpc.py"), "call", to.port, localhost[0], "9"]),
    }  # fmt: skip
    with ExitStack() as stack:
        found = {}
        for name, (form, there, command) in commands.items():
            if there:
                to = stack.enter_context(sink(form, localhost if form == "grpc" else certificate))
                found[name] = to, stack.enter_context(waiting(command(to)))
        yield found


def make_certificate(folder: Path) -> tuple[str, str]:
    """For the name localhost, as BoringSSL wants it to say."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", f"{folder}/k.pem", "-out", f"{folder}/c.pem"]
    subprocess.run(command, check=True, capture_output=True)
    return f"{folder}/c.pem", f"{folder}/k.pem"


def ready(client: subprocess.Popen[str], mapped: str) -> None:
    """Waits until a client has loaded what it needs."""
    end = time.monotonic() + 20
    while mapped not in Path(f"/proc/{client.pid}/maps").read_text():
        assert time.monotonic() < end, f"it does not load {mapped}"
        time.sleep(0.05)


Outcome = Counter[tuple[str, str, bool]]


@pytest.fixture(scope="module")
def outcomes(
    policy: Path, certificate: tuple[str, str], go_client: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """Of each client, under one agent."""
    found = {}
    with others(tmp_path_factory.mktemp("others"), certificate, go_client) as clients:
        ready(clients["grpc"][1], "cygrpc")
        with enforcing(policy, *(client.pid for _, client in clients.values())):
            for name, (to, client) in clients.items():
                said = client.communicate("\n", timeout=60)[0]
                done = json.loads(said) if said.startswith("{") else shell_said(said)
                found[name] = arrived(done, to.end())
    return found


def shell_said(text: str) -> dict[str, Any]:
    lines = [line.split() for line in text.splitlines()]
    return {number: [kind, int(status), 0] for number, kind, status in lines}


@pytest.mark.parametrize(
    "name", ["openai-async", "openai-stream", "anthropic", "node-openai", "h2", "go-h2", "curl", "wget"]
)
def test_other_clients(outcomes: dict[str, Outcome], name: str) -> None:
    if name not in outcomes:
        pytest.skip(f"what {name} needs is not installed: make setup-range")
    total = sum(outcomes[name].values())
    assert total >= 9
    assert set(outcomes[name]) == {("plain", "untouched", True), ("card", "masked", True), ("iban", "nothing", False)}


def test_grpc_is_blocked_where_it_would_be_masked(outcomes: dict[str, Outcome]) -> None:
    """Protobuf is not rewritten."""
    if "grpc" not in outcomes:
        pytest.skip("grpcio is not installed: make setup-range")
    assert set(outcomes["grpc"]) == {
        ("plain", "untouched", True),
        ("card", "nothing", False),
        ("iban", "nothing", False),
    }


@pytest.mark.parametrize("way", ["httpx", "async", "node"])
def test_in_the_clear(policy: Path, plain_bodies: Bodies, way: str) -> None:
    """Held at libc's calls: a buffer, or a vector of several."""
    node = shutil.which("node")
    if way == "node" and node is None:
        pytest.skip("node is not installed")
    command = python_client(plain_bodies.url, 8, 20, way)
    if node is not None and way == "node":
        command = [node, str(HERE / "live_mixed.js"), plain_bodies.url, "8", "20"]
    with waiting(command) as client:
        time.sleep(0.5)
        with enforcing(policy, client.pid):
            done = told(client)
    check_mixed(done, plain_bodies.end())


@pytest.mark.parametrize("part", ["holder", "judge", "agent"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_what_is_held_runs_on_when_a_part_ends(policy: Path, bodies: Bodies, part: str, number: signal.Signals) -> None:
    """Fifty threads are held, since the judge is stopped; then one of the parts ends, or stands still."""
    with (
        waiting(python_client(bodies.url, 50, 1, "httpx")) as client,
        enforcing(policy, client.pid, deadline=30_000) as agent,
    ):
        pids = agent.ask("pids") | {"agent": agent.process.pid}
        if part != "judge":
            os.kill(pids["judge"], signal.SIGSTOP)
        assert client.stdin is not None
        if part == "judge" and number == signal.SIGSTOP:
            os.kill(pids["judge"], signal.SIGSTOP)
        client.stdin.write("\n")
        client.stdin.flush()
        if part != "judge" or number == signal.SIGSTOP:
            time.sleep(0.4)
        os.kill(pids[part], number)
        began = time.monotonic()
        done = json.loads(client.communicate(timeout=30)[0])
        took = time.monotonic() - began
        if part == "agent" and number == signal.SIGSTOP:
            os.kill(pids["agent"], signal.SIGCONT)
    assert len(done) == 50
    assert all(result == 200 for kind, result, _ in done.values() if kind != "iban")
    print(f"{part} {number.name}: all ran on after {took:.2f} s")


@pytest.mark.parametrize("fail", ["open", "closed"])
def test_a_deadline_that_passes(policy: Path, bodies: Bodies, fail: str) -> None:
    """The judge stands still, so nobody decides in time: open, all arrives as it was; closed, nothing does."""
    with (
        waiting(python_client(bodies.url, 8, 1, "httpx")) as client,
        enforcing(policy, client.pid, deadline=100, fail=fail) as agent,
    ):
        judge = agent.ask("pids")["judge"]
        os.kill(judge, signal.SIGSTOP)
        try:
            done = told(client)
        finally:
            os.kill(judge, signal.SIGCONT)
        decided = agent.ask("decided")
    seen = bodies.end()["bodies"]
    assert len(done) == 8
    assert {result == 200 for _, result, _ in done.values()} == {fail == "open"}
    assert {number for number in done if seen.get(number)} == (set(done) if fail == "open" else set())
    assert not any("****" in body for body in seen.values())
    assert {(one["action"], one["why"]) for one in decided} == {("allow" if fail == "open" else "block", "deadline")}
