"""The commands that ask: tables, NDJSON, errors of one line, and nothing that traffic could do to a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parent.parent / "store"))
sys.path.append(str(Path(__file__).parent.parent / "api"))
from api_server import World, make_world, serve
from store_samples import coverage, exchange, flow

from leeward.api.tokens import TokenStore
from leeward.cli import query, token, watch
from leeward.cli.client import ApiError, connect

EVIL = "evil\x1b[2J\x1b]0;title\x07\r\n\x9b31m\u202e\u200b"
APP = (
    "import typer; from leeward.cli import query, token, watch; app = typer.Typer(pretty_exceptions_enable=False);"
    "[m.register(app) for m in (query, token, watch)]; app()"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("cli")
    world = make_world(folder, heartbeat=0.1)
    for n in range(1500):
        world.store.add(exchange(n))
    world.store.add(exchange(9_000, prompt=EVIL, answer=EVIL, model=EVIL, domain=EVIL, workload=EVIL, provider="evil"))
    for n in range(3):
        world.store.add(flow(n, domain=EVIL))
    world.store.add(coverage(exe=EVIL, reason="statically linked TLS"))
    assert world.store.flush()
    with serve(world.app) as url:
        yield world, {"LEEWARD_URL": url, "LEEWARD_TOKEN": world.secrets["admin"]}
        world.hub.close()
    world.store.close()


def app() -> typer.Typer:
    made = typer.Typer(pretty_exceptions_enable=False)
    for module in (query, token, watch):
        module.register(made)
    return made


def ask(env: dict[str, str], *args: str) -> Any:
    return CliRunner().invoke(app(), args, env=env)


def start(env: dict[str, str], *args: str, **options: Any) -> subprocess.Popen[bytes]:
    """A command of its own. Ctrl-C works in it even where the tests run in the background, which ignores it."""
    command = [sys.executable, "-c", APP, *args]
    return subprocess.Popen(command, env={**os.environ, **env}, preexec_fn=_heed_interrupts, **options)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def test_cli_exchanges_as_a_table(served: tuple[World, dict[str, str]]) -> None:
    result = ask(served[1], "exchanges", "--limit", "2", "--workload", "app1")
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["time", "workload", "provider", "model", "operation", "in", "out", "ms", "ttft", "status"]
    assert len(rows) == 2
    assert rows[0].split() == ["2026-11-01", "12:24:58.000", "app1", "openai", "gpt-4o-2024", "chat", "10", "20",
                               "250", "42", "200"]  # fmt: skip
    assert "\x1b" not in result.stdout


def test_cli_exchanges_page_beyond_one_page(served: tuple[World, dict[str, str]]) -> None:
    result = ask(served[1], "exchanges", "--limit", "1400", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 1400
    assert {line["type"] for line in lines} == {"exchange"}
    assert lines[1]["id"] == exchange(1499).id


def test_cli_flows_and_coverage(served: tuple[World, dict[str, str]]) -> None:
    for command, kind, count in (("flows", "flow", 3), ("coverage", "coverage", 1)):
        lines = ask(served[1], command, "--json").stdout.splitlines()
        assert [json.loads(line)["type"] for line in lines] == [kind] * count
        table = ask(served[1], command).stdout
        assert harmless(table)
        assert len(table.splitlines()) >= count + 1
    assert "statically linked TLS" in ask(served[1], "coverage").stdout
    assert "give Leeward a key log" in ask(served[1], "coverage").stdout


def test_cli_one_exchange_shows_the_conversation(served: tuple[World, dict[str, str]]) -> None:
    for args in ((exchange(7).id,), ("--full", "--limit", "1", "--until", "2026-11-01T12:00:08Z")):
        text = ask(served[1], "exchanges", *args).stdout
        for piece in (exchange(7).id, "[user]", "my prompt text", "[assistant]", "its answer text", "00112233aabbccdd"):
            assert piece in text
    record = json.loads(ask(served[1], "exchanges", exchange(7).id, "--json").stdout)
    assert record["gen_ai"]["input"][0]["content"] == "my prompt text"


@pytest.mark.parametrize("args", [("--full",), (), ("--json",)])
def test_cli_traffic_cannot_drive_the_terminal(served: tuple[World, dict[str, str]], args: tuple[str, ...]) -> None:
    result = ask(served[1], "exchanges", "--provider", "evil", *args)
    assert result.exit_code == 0
    assert "evil" in result.stdout
    assert harmless(result.stdout), repr(result.stdout)
    if args == ("--json",):
        assert json.loads(result.stdout)["gen_ai"]["input"][0]["content"] == EVIL


def test_cli_nothing_found_is_not_an_error(served: tuple[World, dict[str, str]]) -> None:
    result = ask(served[1], "exchanges", "--provider", "nobody")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no exchanges\n")
    assert ask(served[1], "exchanges", "--provider", "nobody", "--json").output == ""


def one_line_error(result: Any) -> str:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("leeward: ")
    return str(result.stderr)


def test_cli_errors_are_one_line(served: tuple[World, dict[str, str]], tmp_path: Path) -> None:
    env = served[1]
    assert "since 'soon'" in one_line_error(ask(env, "exchanges", "--since", "soon"))
    assert "no exchange has the id" in one_line_error(ask(env, "exchanges", "nope"))
    assert "does not know this token" in one_line_error(ask({**env, "LEEWARD_TOKEN": "x"}, "exchanges"))
    assert "LEEWARD_TOKEN is not" in one_line_error(ask({**env, "LEEWARD_TOKEN": ""}, "flows"))
    dead = {"LEEWARD_URL": "http://127.0.0.1:9", "LEEWARD_TOKEN": "x"}
    for command in ("exchanges", "flows", "coverage", "watch"):
        assert one_line_error(ask(dead, command)) == (
            "leeward: nothing answers at http://127.0.0.1:9: start `leeward run`, or name another with LEEWARD_URL\n"
        )
    for url in ("not a url", "ftp://x", "http://[", "http://127.0.0.1:99999"):
        one_line_error(ask({**dead, "LEEWARD_URL": url}, "exchanges"))
    one_line_error(ask({**dead, "LEEWARD_TOKEN": "tök\u2028en"}, "exchanges"))


def test_cli_finds_the_local_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"LEEWARD_STATE": str(tmp_path)}
    TokenStore(tmp_path / "tokens.json").ensure_local_cli(tmp_path / "cli-token")
    api = connect(env)
    assert api.url == "http://127.0.0.1:8420"
    assert api._http.headers["authorization"] == "Bearer " + (tmp_path / "cli-token").read_text().strip()
    other = {**env, "LEEWARD_URL": "http://elsewhere.example"}
    with pytest.raises(ApiError, match="LEEWARD_TOKEN"):
        connect(other)  # this host's admin token is not for others
    if os.geteuid() != 0:
        (tmp_path / "cli-token").chmod(0)
        with pytest.raises(ApiError, match="sudo"):
            connect(env)


def test_cli_tokens(tmp_path: Path) -> None:
    env = {"LEEWARD_STATE": str(tmp_path / "state")}
    secret = ask(env, "token", "create", "ann", "--role", "analyst").stdout.strip()
    who = TokenStore(tmp_path / "state" / "tokens.json").authenticate(secret)
    assert who is not None
    assert who.role == "analyst"
    assert json.loads(ask(env, "token", "create", "bob", "--json").stdout)["role"] == "viewer"
    listed = ask(env, "token", "list").stdout
    assert "ann" in listed
    assert secret not in listed
    assert [json.loads(line)["name"] for line in ask(env, "token", "list", "--json").stdout.splitlines()] == [
        "ann",
        "bob",
    ]
    assert "already" in one_line_error(ask(env, "token", "create", "ann"))
    assert "unknown" in one_line_error(ask(env, "token", "create", "x", "--role", "king"))
    assert ask(env, "token", "revoke", "ann").exit_code == 0
    assert "no token named" in one_line_error(ask(env, "token", "revoke", "ann"))


@pytest.mark.parametrize("args", [("exchanges", "--limit", "1400"), ("exchanges", "--limit", "1400", "--json")])
def test_cli_a_reader_that_leaves_is_no_error(served: tuple[World, dict[str, str]], args: tuple[str, ...]) -> None:
    with start(served[1], *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b""
        assert child.wait(10) == 0


class Publisher:
    """Publishes an exchange now and then until told to stop, so that a watcher sees some whenever it is ready."""

    def __init__(self, world: World) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(world,), daemon=True)
        self._thread.start()

    def _run(self, world: World) -> None:
        while not self._stop.wait(0.02):
            world.hub.publish(exchange(5, model=EVIL))
            world.hub.publish(flow(5))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("args", [(), ("--json",), ("--types", "exchange,flow")])
def test_cli_watch_prints_what_happens_and_ends_with_ctrl_c(
    served: tuple[World, dict[str, str]], args: tuple[str, ...]
) -> None:
    publisher = Publisher(served[0])
    with start(served[1], "watch", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        lines = [child.stdout.readline().decode() for _ in range(4)]
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 0
        assert child.stderr.read() == b""
    publisher.stop()
    assert all(harmless(line) for line in lines)
    if args == ("--json",):
        assert {json.loads(line)["type"] for line in lines} == {"exchange"}
    else:
        assert any("app2" in line for line in lines)
        assert any("flow" in line for line in lines) == (len(args) == 2)


def test_cli_watch_on_a_terminal(served: tuple[World, dict[str, str]]) -> None:
    master, slave = pty.openpty()
    publisher = Publisher(served[0])
    env = {**served[1], "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "30"}
    child = start(env, "watch", stdout=slave, stdin=slave, stderr=subprocess.PIPE)
    os.close(slave)
    screen = bytearray()
    reader = threading.Thread(target=_drain, args=(master, screen), daemon=True)  # a full terminal would stop the child
    reader.start()
    try:
        deadline = time.monotonic() + 60
        while b"app2" not in screen and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
        assert child.stderr is not None
        assert child.stderr.read() == b""
    finally:
        child.kill()
        child.communicate()
    reader.join(10)
    seen = bytes(screen)
    publisher.stop()
    os.close(master)
    assert b"exchanges" in seen
    assert b"app2" in seen
    assert b"\x1b[2J\x1b]0;title" not in seen
    assert b"\xc2\x9b" not in seen


def _drain(terminal: int, into: bytearray) -> None:
    """Reads until the other side is closed."""
    while True:
        try:
            into += os.read(terminal, 65536)
        except OSError:
            return


def test_cli_watch_comes_back_after_the_stream_broke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Flaky:
        url = "http://x"

        def stream(self, types: str, last_id: str) -> Iterator[tuple[str, str, bytes]]:
            calls.append(last_id)
            if len(calls) == 2:
                raise ApiError("nothing answers")
            yield f"run-{len(calls)}", "exchange", b'{"type":"exchange"}'

    monkeypatch.setattr(watch.time, "sleep", lambda _: None)
    events = watch.follow(Flaky(), "exchange")  # type: ignore[arg-type]
    assert [next(events)["type"] for _ in range(2)] == ["exchange", "exchange"]
    assert calls == ["", "run-1", "run-1"]


def test_cli_watch_never_connected_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        url = "http://x"

        def stream(self, types: str, last_id: str) -> Iterator[tuple[str, str, bytes]]:
            raise ApiError("nothing answers")
            yield

    with pytest.raises(ApiError):
        next(watch.follow(Dead(), ""))  # type: ignore[arg-type]
