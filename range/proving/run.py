"""`Range`: everything up, then clients in it; and the command line `python -m proving`.

    with Range(tmpdir) as r:
        done = r.client("openai_sync", n=5, stream=True)
        assert done.returncode == 0 and len(done.truth) == 5
        r.server_truth()

Entering waits until the servers answer; leaving kills every process that was started and removes the namespaces, also
after a failure. When the owner is killed the servers end by themselves (their standard input closes) and the namespaces
are taken away by the next range's start or by `python -m proving cleanup`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from proving import keys, netns
from proving.capture import Capture, capture
from proving.files import SOURCE, client_python, client_script, clients, server_python
from proving.names import DNS_PART, LOOPBACK, NAMES

_START_SECONDS = 20.0
APART = (sys.executable, "-S", "-E", str(Path(__file__).with_name("apart.py")))


class RangeError(Exception):
    """The range could not be set up or used; one line says what and what to do."""


@dataclass(frozen=True)
class ClientResult:
    """What a finished client left: its exit status, output, and the truth it wrote (what it sent and got)."""

    returncode: int
    stdout: str
    stderr: str
    truth: list[dict[str, Any]]
    seconds: float


@dataclass
class RunningClient:
    """A client that was started and may still run. `pid` is the client's own without `wrap`, else the wrapper's."""

    process: subprocess.Popen[bytes]
    truth_path: Path
    started: float
    _out: IO[bytes] = field(repr=False)
    _err: IO[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def truth(self) -> list[dict[str, Any]]:
        """What it has written so far."""
        return read_lines(self.truth_path)

    def wait(self, timeout: float | None = 120) -> ClientResult:
        """Waits for its end; past `timeout` seconds it is killed and `subprocess.TimeoutExpired` raised."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        return ClientResult(self.process.returncode, texts[0], texts[1], self.truth(), time.monotonic() - self.started)

    def kill(self) -> None:
        """Kills it and its process group, which is its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class Range:
    """Certificates, namespaces, DNS and servers, from `__enter__` to `__exit__`.

    `directory` holds all files (a temporary one, removed at the end, if None). `keylog`: clients and servers log their TLS
    secrets, to `self.keylog` and `self.server_keylog`. `habits`: fields of `servers.app.Habits`. `env` is what clients
    are given: keys of the right form, the authority to trust, little else."""

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        keylog: bool = False,
        habits: Mapping[str, Any] | None = None,
    ) -> None:
        self._own_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="leeward-range-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.net = netns.Net()
        self.keylog = self.directory / "keylog.txt" if keylog else None
        self.server_keylog = self.directory / "keylog-servers.txt" if keylog else None
        self.env: dict[str, str] = {}
        self._habits = dict(habits or {})
        self._children: list[subprocess.Popen[bytes]] = []
        self._stack = contextlib.ExitStack()
        self.start_seconds = 0.0

    def __enter__(self) -> Range:
        if os.geteuid() != 0:
            raise RangeError("the proving ground needs root, to make network namespaces")
        began = time.monotonic()
        netns.cleanup()
        try:
            self._stack.callback(self._stop)
            self._stack.enter_context(self.net)
            self._start()
        except netns.NetError as error:
            self.close()
            raise RangeError(str(error)) from error
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.monotonic() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends everything; may be called twice."""
        self._stop()
        self._stack.close()

    def address(self, host: str) -> tuple[str, str]:
        """The IPv4 and IPv6 address of a name of the range (IPv6 empty where it has none)."""
        one = next(n for n in NAMES if n.host == host)
        return self.net.address4(one.part), self.net.address6(one.part) if one.v6 else ""

    # What runs in it

    def client(self, name: str, *, timeout: float = 120, **options: Any) -> ClientResult:
        """Runs a client to its end; options as for `popen_client`."""
        return self.popen_client(name, **options).wait(timeout)

    def popen_client(
        self,
        name: str,
        *,
        n: int = 1,
        stream: bool = False,
        mode: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        wrap: Sequence[str] = (),
    ) -> RunningClient:
        """Starts a client script of `clients/` in the clients' namespace. `wrap` is put before its command line and runs in
        the namespace too, as root and with the host's /sys (`APART`: it is nobody's child); `env` is added to `self.env`."""
        command = client_script(name)
        options = ["--n", str(n), "--stream" if stream else "--no-stream", *(["--mode", mode] if mode else []), *args]
        run = secrets.token_hex(4)
        truth = self.directory / f"truth-{name}-{run}.jsonl"
        extra = {"RANGE_TRUTH": str(truth), "RANGE_RUN": run, **(env or {})}
        return self.popen([*wrap, *command, *options], env=extra, truth=truth)

    def popen(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, truth: Path | None = None
    ) -> RunningClient:
        """Starts any command in the clients' namespace."""
        out = self._stack.enter_context(tempfile.TemporaryFile())
        err = self._stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            self.net.inside_host_sys(self.net.client, command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**self.env, **(env or {})},
            cwd=self.directory,
            start_new_session=True,
        )
        self._children.append(process)
        return RunningClient(process, truth or self.directory / "none.jsonl", time.monotonic(), out, err)

    def server_truth(self) -> list[dict[str, Any]]:
        """What the servers received and sent, in the order of arrival."""
        records = [r for kind in ("srv", "cli") for r in read_lines(self.directory / f"server-{kind}.jsonl")]
        return sorted(records, key=lambda r: float(r["started"]))

    def capture(
        self, path: str | Path, interface: str = "eth0", expression: str = ""
    ) -> contextlib.AbstractContextManager[Capture]:
        """tcpdump in the clients' namespace while the block runs; see `capture.capture`."""
        return capture(self.net, Path(path), interface, expression)

    # How it is set up

    def _start(self) -> None:
        from proving.ca import Authority

        authority = Authority(self.directory / "tls")
        self.ca = authority.bundle
        self.env = self._environment()
        pairs = {}
        for name in NAMES:
            if name.tls_port:
                pairs[name.host] = authority.issue(name.host)
        outer = [
            self._listener(n.host, n.api, n, n.tls_port, pairs[n.host])
            for n in NAMES
            if n.tls_port and n.host[:4] != "www."
        ]
        outer += [self._listener(n.host, n.api, n, n.plain_port, None) for n in NAMES if n.plain_port]
        records = {n.host: ([self.net.address4(n.part)], [self.net.address6(n.part)] if n.v6 else []) for n in NAMES}
        dns = {"addresses": [self.net.address4(DNS_PART), self.net.address6(DNS_PART)], "records": records}
        inner = [
            {
                "name": f"localhost:{port}",
                "api": api,
                "cert": "",
                "key": "",
                "addresses": ["127.0.0.1", "::1"],
                "port": port,
            }
            for api, port in LOOPBACK
        ]
        waiting = [
            self._serve("srv", self.net.server, {"listeners": outer, "dns": dns}),
            self._serve("cli", self.net.client, {"listeners": inner, "probe": {"name": "example.com", "port": 443}}),
        ]
        for kind, process in waiting:
            self._await_ready(kind, process)

    def _listener(self, host: str, api: str, name: Any, port: int, pair: Any) -> dict[str, Any]:
        addresses = [self.net.address4(name.part), self.net.address6(name.part)]
        cert, key = (str(pair.cert), str(pair.key)) if pair else ("", "")
        return {"name": host, "api": api, "cert": cert, "key": key, "addresses": addresses, "port": port}

    def _serve(self, kind: str, namespace: str, config: dict[str, Any]) -> tuple[str, subprocess.Popen[bytes]]:
        config["truth"] = str(self.directory / f"server-{kind}.jsonl")
        config["habits"] = self._habits
        config["keylog"] = str(self.server_keylog) if self.server_keylog else None
        path = self.directory / f"servers-{kind}.json"
        path.write_text(json.dumps(config))
        with (self.directory / f"servers-{kind}.log").open("wb") as log:
            process = subprocess.Popen(
                self.net.inside(namespace, [str(server_python()), "-m", "proving.servers", str(path)]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(SOURCE), "LANG": "C.UTF-8"},
                cwd=self.directory,
                start_new_session=True,
            )
        self._children.append(process)
        return kind, process

    def _await_ready(self, kind: str, process: subprocess.Popen[bytes]) -> None:
        import select

        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
        if not ready or process.stdout.readline().strip() != b"ready":
            tail = (self.directory / f"servers-{kind}.log").read_text()[-2000:]
            raise RangeError(f"the {kind} servers did not come up within {_START_SECONDS:.0f} s: {tail.strip()}")

    def _environment(self) -> dict[str, str]:
        bundle = str(self.ca)
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "SSL_CERT_FILE": bundle,  # OpenSSL's own paths, httpx, aiohttp, litellm, Go
            "REQUESTS_CA_BUNDLE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "NODE_EXTRA_CA_CERTS": bundle,
            "RANGE_PYTHON": str(client_python()),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGSMITH_TRACING": "false",
            "DO_NOT_TRACK": "1",
            "AWS_CA_BUNDLE": bundle,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **keys.environment(),
        }
        if self.keylog is not None:
            env["SSLKEYLOGFILE"] = str(self.keylog)
        return env

    def _stop(self) -> None:
        for process in self._children:
            with contextlib.suppress(ProcessLookupError):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        for process in self._children:
            process.wait(10)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._children.clear()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file that may still be written to; empty if it is not there."""
    if not path.exists():
        return []
    text = path.read_bytes().decode()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].split("\n") if line]


# The command line


def _play(names: Sequence[str]) -> None:
    """One after another. A scenario whose tools are not here is left out, and told."""
    from proving.scenario import scenarios
    from proving.world import ScenarioError, World

    known = scenarios()
    if unknown := [name for name in names if name not in known]:
        raise RangeError(f"no such scenario: {', '.join(unknown)}: leeward range list names them")
    for name in names:
        if reason := known[name].missing():
            print(f"proving: {name} is left out: {reason}", file=sys.stderr)
            continue
        try:
            with World(lambda _pid: None) as world:
                known[name].run(world)
        except ScenarioError as error:
            print(f"proving: {name}: {error}", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """`python -m proving list|serve|run|play|cleanup`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="proving", description="The proving ground: real clients and servers in namespaces."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the clients and the servers")
    verbs.add_parser("cleanup", help="remove what killed ranges left behind")
    serve = verbs.add_parser("serve", help="bring the range up until interrupted, and say how to use it")
    run = verbs.add_parser("run", help="run clients, print a line of JSON for each")
    run.add_argument("clients", nargs="+", metavar="CLIENT", help="a client's name, or all")
    run.add_argument("--n", type=int, default=3)
    run.add_argument("--stream", action=argparse.BooleanOptionalAction, default=None, help="both, if neither is given")
    run.add_argument("--mode", default=None)
    run.add_argument("--with", dest="more", default="", metavar="WORDS", help="options of the clients' own")
    play = verbs.add_parser("play", help="do what scenarios do, unwatched by us: for somebody else to see")
    play.add_argument("scenarios", nargs="+", metavar="NAME")
    for sub in (serve, run):
        sub.add_argument("--delay-ms", type=float, default=2.0)
        sub.add_argument("--dir", default=None, help="where the files are kept")
        sub.add_argument("--keylog", action="store_true")
    options = parser.parse_args(arguments)
    try:
        match options.verb:
            case "list":
                print("clients: " + " ".join(sorted(clients())))
                print(
                    "servers: "
                    + " ".join(n.host for n in NAMES)
                    + " "
                    + " ".join(f"localhost:{p}" for _, p in LOOPBACK)
                )
            case "cleanup":
                print("removed: " + (" ".join(netns.cleanup()) or "nothing"))
            case "serve":
                _serve_until_interrupted(options)
            case "run":
                return _run_clients(options)
            case "play":
                _play(options.scenarios)
    except RangeError as error:
        print(f"proving: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # all is taken down by then
        return 128 + signal.SIGINT
    return 0


@contextlib.contextmanager
def _range(options: argparse.Namespace) -> Iterator[Range]:
    with Range(options.dir, keylog=options.keylog, habits={"delay_ms": options.delay_ms}) as r:
        yield r


def _serve_until_interrupted(options: argparse.Namespace) -> None:
    with _range(options) as r:
        print(f"up in {r.start_seconds:.2f} s; files in {r.directory}")
        print("run a command in it:")
        shown = " ".join(f"{k}={v}" for k, v in r.env.items() if "CA" in k or "CERT" in k or k.endswith("_KEY"))
        print(f"  ip netns exec {r.net.client} env {shown} CMD ...", flush=True)
        # SIGTERM ends it as Ctrl-C does, through the context manager.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def _run_clients(options: argparse.Namespace) -> int:
    names = sorted(clients()) if options.clients == ["all"] else options.clients
    unknown = [n for n in names if n not in clients()]
    if unknown:
        raise RangeError(f"no client {unknown[0]}; there are: {' '.join(sorted(clients()))}")
    failed = 0
    with _range(options) as r:
        print(json.dumps({"type": "range", "start_seconds": round(r.start_seconds, 3)}), flush=True)
        for name in names:
            for stream in (False, True) if options.stream is None else (options.stream,):
                more = shlex.split(options.more)
                done = r.client(name, n=options.n, stream=stream, mode=options.mode, args=more, wrap=APART)
                if done.returncode:
                    failed += 1
                    why = done.stderr.strip().rpartition("\n")[2][:200]
                    print(f"proving: {name} ended with {done.returncode}: {why}", file=sys.stderr)
                line = {
                    "type": "client",
                    "client": name,
                    "stream": stream,
                    "returncode": done.returncode,
                    "exchanges": len(done.truth),
                    "seconds": round(done.seconds, 2),
                    "stderr": done.stderr[-500:],
                }
                print(json.dumps(line), flush=True)
        print(json.dumps({"type": "servers", "requests": len(r.server_truth())}))
    return 1 if failed else 0
