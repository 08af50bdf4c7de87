"""A namespace with a resolver and TLS servers of ours, clients in it, and the sensor with the connect rung on this host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from leeward.ai.catalogue import default_catalogue
from leeward.enforce.connect import TABLES, ConnectRung
from leeward.enforce.rules import Rule
from leeward.model.raw import Denied
from leeward.sensor import layout
from leeward.sensor.kernel import KernelSensor, Options

HERE = Path(__file__).parent
DENIED4, ALLOWED4, SHARED4, NAMELESS4, ALIAS4 = (f"192.0.2.{n}" for n in (10, 11, 12, 13, 14))
DENIED6, ALLOWED6 = "2001:db8::10", "2001:db8::11"
PROVIDER = "api.openai.com"
ZONE = {
    PROVIDER: [f"A {DENIED4}", f"AAAA {DENIED6}"],
    "eu.api.openai.com": [f"A {SHARED4}"],
    "ok.test": [f"A {ALLOWED4}", f"AAAA {ALLOWED6}"],
    "beside.test": [f"A {SHARED4}"],
    "alias.test": [f"CNAME {PROVIDER}"],
    "cdn.test": ["CNAME edge.test"],
    "edge.test": [f"A {ALIAS4}"],
    "fake.test": [f"A {NAMELESS4}"],
}


class Process:
    """A program that answers lines with lines of JSON."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def line(self, text: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def __call__(self, *operation: Any) -> Any:
        return json.loads(self.line(json.dumps(operation)))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class World:
    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.name = f"lw-connect-{os.getpid()}"
        self.inside = ("ip", "netns", "exec", self.name)
        self._stack, self._lock = stack, threading.Lock()
        self.denied: list[Denied] = []
        stack.enter_context(_network(self.name))
        certificate, key = _certificate(folder)
        script = str(HERE / "enforce_server.py")
        self._server = Process(*self.inside, sys.executable, script, json.dumps(ZONE), certificate, key)
        stack.callback(self._server.close)
        assert self._server.process.stdout is not None
        assert self._server.process.stdout.readline() == "ready\n"
        self.sensor = KernelSensor(Options())
        stack.callback(self.sensor.close)
        tables = {name: self.sensor.map(name) for name in TABLES}
        self.rung = ConnectRung(tables, default_catalogue())
        self._over = threading.Event()
        self._turning = threading.Thread(target=self._turn)
        self._turning.start()
        stack.callback(self._stop)

    def _stop(self) -> None:
        self._over.set()
        self._turning.join()

    def _turn(self) -> None:
        while not self._over.is_set():
            with self._lock:
                for event in self.sensor.poll(0.02):
                    self.rung.feed(event)
                    if isinstance(event, Denied):
                        self.denied.append(event)
            time.sleep(0.001)  # for who waits for the lock

    def client(self, class_id: int = 0) -> Process:
        made = Process(*self.inside, sys.executable, str(HERE / "enforce_client.py"))
        self._stack.callback(made.close)
        made("run", "true")  # it is there
        if class_id:
            self.assign(made, class_id)
        return made

    def release(self, process: Process) -> None:
        with self._lock:
            self.rung.release(process.pid)

    def assign(self, process: Process, class_id: int) -> None:
        with self._lock:
            self.rung.assign(process.pid, class_id)

    def rules(self, *rules: Rule, resolvers: tuple[str, ...] = ()) -> None:
        with self._lock:
            self.rung._resolvers = frozenset(resolvers)
            self.rung.rules(rules)

    def forget(self) -> None:
        """As if no DNS answer had been seen."""
        with self._lock:
            self.rung._place(self.rung.addresses.expire(1 << 62))

    def learned(self, client: Process, *names: str, kind: int = 1, server: str = "192.0.2.53") -> None:
        """Has names resolved, and waits until the answers are known."""
        for name in names:
            client("resolve", name, kind, server)
            self.until(lambda name=name: any(name in self.rung.names_of(ip) for ip in self.rung.addresses.known()))

    def until(self, condition: Any, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._lock:
                if condition():
                    return
            time.sleep(0.01)
        raise AssertionError(f"not within {seconds} s; told: {self.denied}")

    def told(self, pid: int) -> list[tuple[str, str]]:
        """(reason, name) of what was refused to a process."""
        with self._lock:
            return [(event.reason, event.name) for event in self.denied if event.pid == pid]

    def arrived(self, port: int) -> dict[str, int]:
        """What the servers saw of the client's connection from this port."""
        found = [c for c in json.loads(self._server.line(""))["connections"] if c["port"] == port]
        return found[-1] if found else {"port": port, "raw": 0, "requests": 0}

    def asked(self) -> list[bytes]:
        """Cookies of the connections whose name the kernel waits for."""
        return [key for key, _ in self.sensor.map("asks").items(8, layout.ASK_ENTRY.size, 32768)]

    def datagrams(self) -> int:
        return len(json.loads(self._server.line(""))["datagrams"])


@contextmanager
def _network(name: str) -> Iterator[None]:
    etc = Path("/etc/netns") / name
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        addresses = [f"192.0.2.{n}/32" for n in (10, 11, 12, 13, 14, 53, 54)] + [
            f"{a}/128" for a in (DENIED6, ALLOWED6)
        ]
        lines = [f"addr add {a} dev lo" + (" nodad" if ":" in a else "") for a in addresses]
        text = "\n".join(["link set lo up", *lines, ""])
        subprocess.run(["ip", "-n", name, "-batch", "-"], input=text, text=True, check=True)
        etc.mkdir(parents=True)
        (etc / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        yield
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
        shutil.rmtree(etc, ignore_errors=True)


def _certificate(folder: Path) -> tuple[str, str]:
    certificate, key = str(folder / "c.pem"), str(folder / "k.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=servers.test"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
