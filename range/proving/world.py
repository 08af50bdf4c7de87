"""What a scenario acts in: hosts beyond the cable, files, and processes of its own, all gone when it ends.

A process of a scenario descends from `launcher.py` alone, is in the scenario's network, and has /srv, /home, /tmp and
/etc/resolv.conf of its own; the rest of the file system is this machine's. Whoever watches is told of each before it runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from proving import keys, netns, zone
from proving.ca import Authority
from proving.field import Field, resolver_file
from proving.files import client_python, server_python
from proving.hosts import Host
from proving.launcher import unit_group

ACTORS = Path(__file__).parent / "actors"
"""Programs that scenarios run, to be copied to where a scenario wants them."""
_MOUNTED = ("/srv", "/home", "/tmp")


class ScenarioError(Exception):
    """A scenario did not do what it says: one line says what."""


@dataclass
class Actor:
    """A process that was started. code: its exit status once it has ended."""

    pid: int
    out: Path
    code: int | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout: float = 60) -> int:
        """Its exit status; ScenarioError if it goes on for longer."""
        if not self.done.wait(timeout):
            raise ScenarioError(f"process {self.pid} goes on after {timeout} s: {self.said()[-300:]}")
        assert self.code is not None
        return self.code

    def stop(self) -> None:
        """Ends it, with what it started in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        if not self.done.wait(2):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.done.wait(5)

    def said(self) -> str:
        """What it wrote to its standard output and error."""
        return self.out.read_text(errors="replace") if self.out.exists() else ""


class World:
    """watch: is called with the pid of each process before it runs. marks, loops: what the scenario said of its course."""

    def __init__(self, watch: Callable[[int], None] = lambda _pid: None) -> None:
        self.marks: dict[str, int] = {}
        self.loops: list[tuple[str, int, int]] = []
        self._watch = watch
        self._stack = contextlib.ExitStack()
        self._hosts: list[Host] = []
        self._actors: dict[int, Actor] = {}
        self._ordered: dict[int, list[int]] = {}
        self._answered = threading.Condition()
        self._count = 0
        self._units: set[str] = set()

    def __enter__(self) -> World:
        netns.cleanup()
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def _build(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="lw-world-"))
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        self.root = directory / "root"
        for path in (*_MOUNTED, "/log"):
            (self.root / path[1:]).mkdir(parents=True)
        directory.chmod(0o755)
        (self.root / "tmp").chmod(0o1777)
        self.net = self._stack.enter_context(Field())
        self.authority = Authority(directory / "tls")
        shutil.copy(self.authority.bundle, self.root / "srv/ca.pem")
        self.names = zone.Names()
        self._stack.callback(zone.serve(self.net, self.names))
        self._stack.callback(self._close_hosts)
        binds = [f"{resolver_file(directory)}=/etc/resolv.conf"]  # /tmp last: what is bound comes from there
        binds += [f"{self.root}{path}={path}" for path in _MOUNTED]
        self.keys = keys.environment()
        self._launcher = subprocess.Popen(
            [
                str(server_python()),
                "-S",
                "-E",
                str(Path(__file__).with_name("launcher.py")),
                str(self.net.ours),
                *binds,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "")},
        )
        self._stack.callback(self._end_launcher)
        self._launcher.wait(10)  # the one that goes on is its child
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _close_hosts(self) -> None:
        for host in self._hosts:
            host.close()

    def _end_launcher(self) -> None:
        assert self._launcher.stdin is not None
        self._launcher.stdin.close()
        self._listener.join(10)  # ends when the launcher has
        for unit in self._units:
            with contextlib.suppress(OSError):  # not there, or somebody else's process is in it
                (unit_group() / unit).rmdir()

    def _listen(self) -> None:
        assert self._launcher.stdout is not None
        for line in self._launcher.stdout:
            said = json.loads(line)
            with self._answered:
                if "of" in said:
                    self._ordered[said["of"]].append(said["pid"])
                else:
                    self._actors[said["ended"]].code = said["code"]
                    self._actors[said["ended"]].done.set()
                self._answered.notify_all()

    def _order(self, **words: Any) -> None:
        assert self._launcher.stdin is not None
        self._launcher.stdin.write(json.dumps(words).encode() + b"\n")
        self._launcher.stdin.flush()

    # -- what a scenario makes -------------------------------------------------------------------------------------

    def host(self, address: str, *names: str) -> Host:
        """A host beyond the cable, found by these names."""
        made = Host(self.net, self.authority, address, names)
        self._hosts.append(made)
        for name in names:
            self.names.add(name, address)
        return made

    def path(self, path: str) -> Path:
        """Where a file below /srv, /home or /tmp, as the scenario's processes see it, is for us."""
        if not path.startswith(_MOUNTED):
            raise ScenarioError(f"{path}: a scenario has files below {', '.join(_MOUNTED)} only")
        return self.root / path[1:]

    def file(self, path: str, content: str | bytes, mode: int = 0o644) -> str:
        """Writes a file; its path as the processes see it."""
        where = self.path(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content if isinstance(content, bytes) else content.encode())
        where.chmod(mode)
        return path

    def program(self, path: str, actor: str) -> str:
        """A copy of one of the programs in actors/, under a name of the scenario's own."""
        return self.file(path, (ACTORS / actor).read_bytes(), 0o755)

    @property
    def python(self) -> str:
        """An interpreter with the vendors' SDKs, httpx and requests."""
        return str(client_python())

    def environment(self, **more: str) -> dict[str, str]:
        """What processes are given: the authority to trust and little else. No keys: add those that a process should have."""
        bundle = "/srv/ca.pem"
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/home/app",
            "LANG": "C.UTF-8",
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "GIT_SSL_CAINFO": bundle,
            "NODE_EXTRA_CA_CERTS": bundle,
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }

    def start(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        cwd: str = "/srv",
        uid: int = 0,
        unit: str = "",
        stdin: str = "",
    ) -> Actor:
        """Runs a program. env: beside `environment`. unit: name of the systemd service it seems to be of. stdin: a file."""
        if unit:
            self._units.add(unit)
        program = shutil.which(argv[0])
        if program is None:
            raise ScenarioError(f"{argv[0]} is not installed")
        (self.root / "home/app").mkdir(exist_ok=True)
        with self._answered:
            self._count += 1
            number = self._count
            self._ordered[number] = []
        out = self.root / "log" / str(number)
        order = {"uid": uid, "cwd": cwd, "unit": unit, "out": str(out), "in": stdin}
        self._order(start=number, argv=[program, *argv[1:]], env=self.environment(**(env or {})), **order)
        with self._answered:
            if not self._answered.wait_for(lambda: self._ordered[number], 10):
                raise ScenarioError("the launcher does not answer")
            pid = self._ordered[number][0]
            actor = self._actors[pid] = Actor(pid, out)
        self._watch(pid)
        self._order(go=pid)
        return actor

    def run(self, *argv: str, timeout: float = 60, code: int | None = 0, **options: Any) -> str:
        """Runs a program to its end; what it said. ScenarioError if its exit status is not `code` (None: any will do)."""
        actor = self.start(*argv, **options)
        if actor.wait(timeout) != code and code is not None:
            raise ScenarioError(f"{argv[0]} ended with {actor.code}: {actor.said()[-500:]}")
        return actor.said()

    def script(self, path: str, *arguments: str, **options: Any) -> Actor:
        """Starts a Python program that `program` or `file` put there."""
        return self.start(self.python, path, *arguments, **options)

    # -- its course ------------------------------------------------------------------------------------------------

    def mark(self, name: str = "attack") -> None:
        """It happens now: from here the time to detect counts."""
        self.marks[name] = time.time_ns()

    @contextlib.contextmanager
    def loop(self, name: str) -> Iterator[None]:
        """What happens in here may be repeated as often as a longer run needs it."""
        start = time.time_ns()
        yield
        self.loops.append((name, start, time.time_ns()))

    @staticmethod
    def sleep(seconds: float) -> None:
        """Nothing happens for so long."""
        time.sleep(seconds)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 10) -> None:
        """Until it is true; ScenarioError, saying what did not come, if that takes longer."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise ScenarioError(f"{what}: not within {seconds} s")
            time.sleep(0.02)

    def listening(self, actor: Actor, port: int) -> None:
        """Until this process, or another in its network, listens on a TCP port. Connects to nothing."""
        self.wait(lambda: port in _listeners(actor.pid), f"nobody listens on port {port}: {actor.said()[-300:]}")


def _listeners(pid: int) -> set[int]:
    """Ports on which somebody listens in the network of a process (proc(5): state 0A)."""
    ports: set[int] = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A":
                    ports.add(int(words[1].rsplit(":", 1)[1], 16))
    return ports


def need(*tools: str) -> Sequence[str]:
    """Those of the tools that are not installed."""
    return [tool for tool in tools if shutil.which(tool) is None]
