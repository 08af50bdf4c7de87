"""Ways around the request rung, tried against `leeward run` with a policy: what arrives, and what Leeward says of it."""

from __future__ import annotations

import contextlib
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

import live_bypass
import pytest
from live_holding import HERE, RANGE, Sink, sink
from live_run import Run

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
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **how,
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


def told(running: Run, folder: Path) -> set[tuple[str, str]]:
    """(rule, action) of the findings about this folder's workloads."""
    ours = [f for f in running.get("/findings")["findings"] if str(folder) in (f["workload"] or {}).get("id", "")]
    return {(f["rule"], f["action"]) for f in ours}


def said(running: Run, folder: Path, says: set[tuple[str, str]]) -> None:
    """Waits until Leeward has told that."""
    until(lambda: says <= told(running, folder), f"it does not say {says}: {told(running, folder)}", 10)


def coverage(running: Run, folder: Path) -> list[dict[str, Any]]:
    return [row for row in running.get("/coverage")["coverage"] if str(folder) in (row["workload"] or {}).get("id", "")]


STOPPED, MASKED = {("data-leak", "block")}, {("data-leak", "redact")}
BYPASSED = {("policy-bypassed", "")}
ATTEMPTS = {
    ("whole", "card"): ("masked", MASKED),
    ("whole", "iban"): ("nothing", STOPPED),
    ("pieces-1", "card"): ("in part", STOPPED),
    ("pieces-1", "iban"): ("in part", STOPPED),
    ("pieces-100", "card"): ("masked", MASKED),
    ("pieces-100", "iban"): ("in part", STOPPED),
    ("pieces-16k", "card"): ("masked", MASKED),
    ("pieces-16k", "iban"): ("in part", STOPPED),
    ("value-in-two", "card"): ("in part", STOPPED),
    ("value-in-two", "iban"): ("in part", STOPPED),
    ("chunked", "card"): ("masked", MASKED),
    ("chunked", "iban"): ("nothing", STOPPED),
    ("chunked-calls", "card"): ("masked", MASKED),
    ("chunked-calls", "iban"): ("in part", STOPPED),
    ("gzip", "card"): ("nothing", STOPPED),
    ("gzip", "iban"): ("nothing", STOPPED),
    ("deflate", "iban"): ("nothing", STOPPED),
    ("br", "iban"): ("nothing", STOPPED),
    ("unknown-encoding", "iban"): ("through", set()),
    ("base64", "card"): ("masked", MASKED),
    ("base64", "iban"): ("nothing", STOPPED),
    ("escaped", "card"): ("masked", MASKED),
    ("escaped", "iban"): ("nothing", STOPPED),
    ("other-host", "card"): ("masked", MASKED),
    ("other-host", "iban"): ("nothing", STOPPED),
    ("forked", "card"): ("masked", set()),
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
    said(running, folder, says)


def refused_host(seen: dict[str, Any]) -> bool:
    return "denied.example" in seen["hosts"].values() and bool(seen["bodies"].get("3"))


@pytest.mark.parametrize("together", [False, True], ids=["two-calls", "one-call"])
def test_two_hosts_on_one_connection(running: Run, folder: Path, https: Sink, together: bool) -> None:
    """HTTP/2 coalescing: each request is judged by the host that it names."""
    way = "two-hosts-together" if together else "two-hosts"
    with begun(command(folder, way, https, "plain")) as client:
        held(client)
        done = tried(client)
    seen = https.end()
    assert not refused_host(seen)
    assert ("1" in seen["whole"]) == (not together), done
    said(running, folder, {("unsanctioned-provider", "block")})


@pytest.mark.parametrize("kind", ["card", "iban"])
def test_threads_that_begin_during_a_hold(running: Run, folder: Path, https: Sink, kind: str) -> None:
    with begun(command(folder, "threads", https, kind)) as client:
        held(client)
        done = tried(client)
    seen = https.end()
    assert done["needle"] not in seen["bytes"]
    assert done["result"] == [200 if kind == "card" else 0] * 8


@pytest.mark.parametrize("form", ["static", "preloaded"])
def test_a_tls_library_of_ones_own(running: Run, folder: Path, https: Sink, form: str) -> None:
    """OpenSSL inside the program, without symbols; and another libssl than the host's, put before it."""
    program = built(folder, static=form == "static")
    environment = os.environ | ({"LD_PRELOAD": own_openssl(folder)} if form == "preloaded" else {})
    for kind in ("card", "iban"):
        with begun([program, "tls", https.port, chat(kind)], env=environment) as client:
            held(client)
            client.communicate("\n", timeout=20)
    seen = https.end()
    assert not any(value in seen["bytes"] for value in ("4111 1111", "DE89 3704"))
    assert "**** **** **** ****" in seen["bytes"]
    said(running, folder, STOPPED | MASKED)


def chat(kind: str) -> str:
    return live_bypass.body(kind).decode()


def built(folder: Path, *, static: bool = False, tls: bool = True) -> str:
    libraries = ["-s", "-l:libssl.a", "-l:libcrypto.a", "-lpthread", "-ldl"] if static else ["-lssl", "-lcrypto"]
    if shutil.which("gcc") is None or not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("gcc and libssl-dev are not installed")
    words = ["gcc", "-O1", "-o", str(folder / "program"), str(HERE / "live_bypass.c")]
    subprocess.run([*words, *(["-DWITH_TLS", *libraries] if tls else [])], check=True)
    return str(folder / "program")


def own_openssl(folder: Path) -> str:
    """Copies that are another file than the host's."""
    found = [str(folder / name) for name in ("libcrypto.so.3", "libssl.so.3")]
    for path in found:
        shutil.copy(Path("/usr/lib/x86_64-linux-gnu") / Path(path).name, path)
    return ":".join(found)


@pytest.mark.parametrize("wait", ["0.5", "0"])
def test_a_library_that_is_loaded_late(running: Run, folder: Path, https: Sink, wait: str) -> None:
    """From a path of its own. It is seen into some 50 ms after it was mapped: who writes before that gets through."""
    own_openssl(folder)
    with begun(command(folder, "own-library", https, "iban", f"{folder}:{wait}")) as client:
        held(client)
        done = tried(client)
    seen = https.end()
    if wait == "0.5":
        assert what_arrived(done["needle"], seen) == "nothing", done
        said(running, folder, STOPPED)
    elif done["needle"] in seen["bytes"]:
        row = until(lambda: coverage(running, folder), "no coverage row tells it")[0]
        assert row["visible"] != "content", row


@pytest.mark.parametrize(
    ("way", "arrives"), [("clear", "nothing"), ("sendfile", "through"), ("uring", "through"), ("syscall", "through")]
)
def test_in_the_clear(running: Run, folder: Path, http: Sink, way: str, arrives: str) -> None:
    """Held at libc's calls. What goes around them is seen on the wire, and told."""
    words = command(folder, way, http, "iban")
    if way in ("uring", "syscall"):
        words = [built(folder, tls=False), way, http.port, chat("iban")]
    with begun(words) as client:
        held(client)
        client.communicate("\n", timeout=20)
    assert what_arrived("DE89 3704 0044 0532 0130 00", http.end()) == arrives
    said(running, folder, STOPPED if arrives == "nothing" else BYPASSED)


@pytest.mark.parametrize("traced_by", ["strace", "gdb"])
def test_who_is_traced_already_cannot_be_held(running: Run, folder: Path, https: Sink, traced_by: str) -> None:
    if shutil.which(traced_by) is None:
        pytest.skip(f"{traced_by} is not installed")
    words = command(folder, "whole", https, "iban")
    debugger = (
        ["gdb", "-q", "-batch", "-ex", "run", "--args"] if traced_by == "gdb" else ["strace", "-f", "-o", "/dev/null"]
    )
    with begun([*debugger, *words]) as client:
        time.sleep(2)
        out, _ = client.communicate("\n", timeout=40)
    assert '"result": [200]' in out
    assert what_arrived("DE89 3704 0044 0532 0130 00", https.end()) == "through"
    said(running, folder, BYPASSED)
    rows = coverage(running, folder)
    assert any("traced" in row["held"] for row in rows), rows


@pytest.mark.parametrize("debugger", ["strace", "gdb"])
def test_a_debugger_that_comes_later_is_refused(running: Run, folder: Path, https: Sink, debugger: str) -> None:
    """The kernel lets a process have one tracer."""
    if shutil.which(debugger) is None:
        pytest.skip(f"{debugger} is not installed")
    with begun(command(folder, "whole", https, "iban")) as client:
        held(client)
        words = ["gdb", "-q", "-batch", "-p"] if debugger == "gdb" else ["strace", "-f", "-o", "/dev/null", "-p"]
        tried_to = subprocess.run([*words, str(client.pid)], capture_output=True, text=True, timeout=30)
        assert "not permitted" in tried_to.stderr + tried_to.stdout
        done = tried(client)
    assert what_arrived(done["needle"], https.end()) == "nothing"


def test_own_signals(running: Run, folder: Path, https: Sink) -> None:
    """A program never gets the hold's signals, and always its own."""
    with begun(command(folder, "own-signals", https, "card")) as client:
        held(client)
        done = tried(client)
    assert done["result"] == [200] * 13 + [0] + sorted([signal.SIGURG, signal.SIGWINCH, signal.SIGCONT])
    assert done["needle"] not in https.end()["bytes"]


@contextmanager
def judge_stopped(running: Run) -> Iterator[None]:
    """What is asked meanwhile is held."""
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    judges = [int(c) for c in children if "enforce.judge" in Path(f"/proc/{c}/cmdline").read_text()]
    assert judges
    for judge in judges:
        os.kill(judge, signal.SIGSTOP)
    try:
        yield
    finally:
        for judge in judges:
            with suppress(ProcessLookupError):
                os.kill(judge, signal.SIGCONT)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_stopped_and_continued_while_held(running: Run, folder: Path, https: Sink) -> None:
    with begun(command(folder, "many", https, "card")) as client:
        held(client)
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("\n\n")
        client.stdin.flush()
        assert client.stdout.readline() == "200\n"
        with judge_stopped(running):
            client.stdin.write("\n")
            client.stdin.flush()
            time.sleep(0.1)
            os.kill(client.pid, signal.SIGSTOP)
            time.sleep(0.1)
        until(lambda: state(client.pid) in "tT", "it is not stopped")
        time.sleep(0.3)
        assert not select.select([client.stdout], [], [], 0)[0]
        os.kill(client.pid, signal.SIGCONT)
        assert client.stdout.readline() == "200\n"
        assert tracer(client.pid)
        client.stdin.close()
        client.stdin = None
        out, _ = client.communicate(timeout=20)
    assert json.loads(out)["result"] == [200, 200]
    assert "4111 1111" not in https.end()["bytes"]


def test_a_parent_that_waits_notices_nothing(running: Run, folder: Path, https: Sink) -> None:
    """waitpid with WUNTRACED and WCONTINUED says its end, and nothing of a hold."""
    with begun(command(folder, "own-signals", https, "card")) as client:
        held(client)
        assert client.stdin is not None
        client.stdin.write("\n")
        client.stdin.close()
        client.stdin = None
        heard = []
        while not heard or not os.WIFEXITED(heard[-1]):
            heard.append(os.waitpid(client.pid, os.WUNTRACED | os.WCONTINUED)[1])
        client.returncode = 0
    assert heard == [0]
    assert "4111 1111" not in https.end()["bytes"]


class Terminal:
    """A shell with job control on a terminal of its own."""

    def __init__(self) -> None:
        self.pid, self._end = pty.fork()
        if not self.pid:
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def shows(self, what: str, seconds: float = 20) -> None:
        """Waits until that is shown, and forgets what was before."""
        end = time.monotonic() + seconds
        while what not in self.shown:
            assert time.monotonic() < end, self.shown
            if select.select([self._end], [], [], 0.1)[0]:
                self.shown += os.read(self._end, 65536).decode(errors="replace")
        self.shown = self.shown.partition(what)[2]

    def close(self) -> None:
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._end)


def held_one(pids: list[str]) -> int:
    """The first of these that is held, 0 if none is; some are gone already (stty)."""
    for pid in map(int, pids):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if tracer(pid):
                return pid
    return 0


def test_job_control(running: Run, folder: Path, https: Sink) -> None:
    """A held job is stopped by Ctrl-Z, also while a write of its waits, and goes on with fg."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    terminal = Terminal()
    try:
        terminal.type("stty -echo; PS1='ready> '\n")
        terminal.shows("ready> ")
        terminal.type(" ".join(command(folder, "many", https, "card")) + "\n")
        children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children")
        job = until(lambda: held_one(children.read_text().split()), "no job that is held")
        terminal.type("\n\n")
        terminal.shows("\n200\r")
        terminal.type("\x1a")
        terminal.shows("Stopped")
        terminal.shows("ready> ")
        assert state(job) in "tT"
        terminal.type("fg\n")
        until(lambda: state(job) not in "tT", "it does not go on")
        terminal.type("\n")
        terminal.shows("\n200\r")
        with judge_stopped(running):
            terminal.type("\n")
            time.sleep(0.1)
            terminal.type("\x1a")
            time.sleep(0.1)
        terminal.shows("Stopped")
        terminal.type("fg\n")
        terminal.shows("\n200\r")
        assert tracer(job)
        terminal.type("\x04")
        terminal.shows('"result": [200, 200, 200]')
    finally:
        terminal.close()
    assert "4111 1111" not in https.end()["bytes"]
