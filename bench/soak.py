"""The enforcement under what is done to it again and again: `python -m bench.soak [--rounds N] [--requests N]`.

Holder, judge and agent are each killed and stopped, N times in a row, with fifty threads held and at least sixty probes attached:
all threads run on within a second, every request is answered, and the programs of an agent that is gone are gone. Then requests
by chance under `leeward run`: client, server and audit log agree on what became of each. Exits with 1 if any of that is not so.
Takes about a quarter of an hour; what it started ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes as C
import json
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench import host
from bench.hold import POLICY, Agent
from leeward.policy.audit import verify
from leeward.sensor.libbpf import SYS_BPF

ROOT = Path(__file__).parents[1]
THREADS, LEAST_PROBES = 50, 60
RUN_ON_S, GONE_S = 1.0, 10.0
_AGENT_ROUNDS = 20  # an agent gives up on a part that ends sixty times in an hour
_HOLD_S = 0.6  # a judge that was asked and says nothing for 0.7 s is given up
_PROG_GET_FD_BY_ID = 13
CASES = [(part, number) for part in ("holder", "judge", "agent") for number in (signal.SIGKILL, signal.SIGSTOP)]


class Talker:
    """A process that answers a line with a line of JSON."""

    def __init__(self, command: list[str], **more: Any) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes, **more)

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline() or "null")

    def end(self) -> Any:
        out, _ = self.process.communicate(timeout=60)
        return json.loads(out)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def until(what: str, seconds: float, condition: Callable[[], bool], every: float = 0.01) -> float:
    """Seconds until the condition held. Raises RuntimeError if it does not."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(every)
    return time.monotonic() - began


def held_threads(pid: int) -> int:
    """Threads of a process that its tracer has stopped."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += (task / "stat").read_text().rsplit(")", 1)[1].split()[0] == "t"
    return found


def attached(pid: int) -> tuple[set[int], int]:
    """Ids of the programs that a process has loaded, and how many links and events they are attached by."""
    programs, links = set(), 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            lines = info.read_text()
            kind = os.readlink(f"/proc/{pid}/fd/{info.name}")
            links += "link_type:" in lines or kind == "anon_inode:[perf_event]"
            programs |= {int(line.split()[1]) for line in lines.splitlines() if line.startswith("prog_id:")}
    return programs, links


def is_loaded(program: int) -> bool:
    libc = C.CDLL(None, use_errno=True)
    libc.syscall.restype = C.c_long
    attributes = struct.pack("<III4x", program, 0, 0)
    fd = libc.syscall(SYS_BPF, _PROG_GET_FD_BY_ID, attributes, len(attributes))
    if fd >= 0:
        os.close(fd)
    return bool(fd >= 0)


@contextlib.contextmanager
def libraries(folder: Path) -> Iterator[None]:
    """A process with copies of a TLS library, so that an agent has many probes."""
    copies = [shutil.copy(host.LIBSSL, folder / f"libssl-{number}.so.3") for number in range(12)]
    code = "import ctypes, sys; [ctypes.CDLL(n) for n in sys.argv[1:]]; print(1, flush=True); sys.stdin.read()"
    process = Talker([sys.executable, "-c", code, *map(str, copies)])
    process.line()
    try:
        yield
    finally:
        process.close()


class Parts:
    """One client of fifty threads, and the agent that holds it, begun again as needed."""

    def __init__(self, policy: Path, url: str) -> None:
        self._policy = policy
        self.client = Talker([sys.executable, str(ROOT / "bench/soak_client.py"), url, str(THREADS)])
        self.client.line()
        self.client.say("one")  # connections are made before anything is held
        self.check(self.client.line())
        self.agent: Agent | None = None
        self._rounds = self._judges = 0
        self.links = 10**9

    def begin(self) -> Agent:
        if self.agent is not None and self._rounds >= _AGENT_ROUNDS:
            self.end_agent()
        if self.agent is None:
            self.agent = Agent(self._policy, self.client.process.pid, deadline_ms=30_000)
            self.links = min(self.links, attached(self.agent.process.pid)[1])
            self._rounds = self._judges = 0
        self._rounds += 1
        return self.agent

    def hold_all(self) -> dict[str, int]:
        """Stops the judge, as soon as the holder has one, and lets the client write: fifty threads are held."""
        agent = self.begin()
        until("a judge", 60, lambda: agent.ask("counts").get("judges_adopted", 0) > self._judges)
        self._judges = agent.ask("counts")["judges_adopted"]
        pids = agent.ask("pids")
        os.kill(pids["judge"], signal.SIGSTOP)
        self.client.say("one")
        try:
            until("hold", _HOLD_S, lambda: held_threads(self.client.process.pid) == THREADS)
        except RuntimeError as error:
            raise RuntimeError(
                f"{error}: {held_threads(self.client.process.pid)} held, {agent.ask('counts')}"
            ) from error
        return pids | {"agent": agent.process.pid}

    def check(self, done: dict[str, list[Any]] | None) -> None:
        if done is None or len(done) != THREADS or any(result != 200 for _, result in done.values()):
            raise RuntimeError(f"not every request was answered: {done}")

    def round(self, part: str, number: signal.Signals) -> dict[str, float]:
        """What took how long, in seconds."""
        pids = self.hold_all()
        programs = attached(pids["agent"])[0] if (part, number) == ("agent", signal.SIGKILL) else set()
        os.kill(pids[part], number)
        took = {"ran on": until("run on", 20, lambda: held_threads(self.client.process.pid) == 0)}
        self.check(self.client.line())
        if part == "agent":
            os.kill(pids["agent"], signal.SIGCONT)
        if programs:
            self.end_agent()
            took["programs gone"] = until("programs", 60, lambda: not any(map(is_loaded, programs)))
        return took

    def end_agent(self) -> None:
        if self.agent is not None:
            self.agent.close()
            self.agent = None

    def close(self) -> None:
        self.end_agent()
        self.client.close()


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Talker]:
    """tests/live/live_bodies.py"""
    keys = ["-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", *keys]
    subprocess.run(made, check=True, capture_output=True)
    files = [str(folder / "c.pem"), str(folder / "k.pem")]
    bodies = Talker([sys.executable, str(ROOT / "tests/live/live_bodies.py"), *files])
    try:
        yield bodies
    finally:
        bodies.close()


def ends(folder: Path, rounds: int) -> bool:
    """Each part killed and stopped; True if all went as it should."""
    good = True
    with server(folder) as bodies, libraries(folder), contextlib.ExitStack() as stack:
        parts = Parts(folder / "policy.yaml", f"https://127.0.0.1:{bodies.line()}")
        stack.callback(parts.close)
        for part, number in CASES:
            took: dict[str, list[float]] = {}
            for _ in range(rounds):
                for name, seconds in parts.round(part, number).items():
                    took.setdefault(name, []).append(seconds)
            line = f"{part} {number.name}, {rounds} times, {THREADS} threads held, {parts.links} probes and more:"
            for name, limit in (("ran on", RUN_ON_S), ("programs gone", GONE_S)):
                if name in took:
                    late = sum(seconds > limit for seconds in took[name])
                    line += f" {name} after {statistics.median(took[name]):.2f} s, at most {max(took[name]):.2f};"
                    line += f" later than {limit:g} s: {late};"
                    good &= not late
            print(line, flush=True)
        good &= parts.links >= LEAST_PROBES
    return good


def what_arrived(body: str) -> str:
    if not body:
        return "block"
    content = json.loads(body)["messages"][0]["content"]
    return "redact" if "**** **** **** ****" in content else "allow"


def hold_counters(state: Path) -> dict[str, int]:
    """What the enforcement counted, times left out."""
    address = f"http://127.0.0.1:{host.API_PORT}/api/v1/stats"
    headers = {"Authorization": f"Bearer {(state / 'cli-token').read_text().strip()}"}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
        status = json.load(answer)["status"]
    counters: dict[str, int] = {}
    places = [status]
    while places:
        for name, value in places.pop().items():
            if isinstance(value, dict):
                places.append(value)
            elif "hold_" in name and "_us_" not in name:
                counters[name] = value
    return counters


def verdicts(folder: Path, requests: int) -> bool:
    """Requests of kinds by chance; True if client, server and audit log agree on each."""
    threads = 16
    program = shutil.copy(os.path.realpath(sys.executable), folder / "soak-client")
    policy = yaml.safe_load(POLICY)
    policy["spec"] |= {"scope": {"workloads": [f"*{program}*"]}, "deadline": "10s", "fail": "closed"}
    (folder / "scoped.yaml").write_text(json.dumps(policy))
    environment = os.environ | {
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": ":".join(path for path in sys.path if path),
    }
    state = folder / "state"
    with (
        server(folder) as bodies,
        host.leeward(state, "--no-model", "--policy", str(folder / "scoped.yaml")),
        contextlib.ExitStack() as stack,
    ):
        url = f"https://127.0.0.1:{bodies.line()}"
        command = [str(program), str(ROOT / "bench/soak_client.py"), url, str(threads)]
        client = Talker(command, env=environment)
        stack.callback(client.close)
        client.line()
        time.sleep(1)
        began = time.monotonic()
        client.say(f"mixed {int(began)} {requests // threads}")
        done: dict[str, list[Any]] = client.line()
        took = time.monotonic() - began
        wanted = {"plain": "allow", "card": "redact", "iban": "block"}
        expected = {number: wanted[kind] for number, (kind, _) in done.items()}
        log = state / "audit.jsonl"

        def audited() -> dict[str, str]:
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            return {
                line["detail"]["domain"].split(".")[0][1:]: line["detail"]["action"]
                for line in lines
                if line["event"] == "verdict"
            }

        stopped = {number: action for number, action in expected.items() if action != "allow"}
        with contextlib.suppress(RuntimeError):  # what is missing is told below
            until("audit log", 60, lambda: len(audited()) >= len(stopped), every=0.5)
        told = audited()
        seen = bodies.end()["bodies"]
        arrived = {number: what_arrived(seen.get(number, "")) for number in expected}
        asked = {number: (result == 200) == (expected[number] != "block") for number, (_, result) in done.items()}
        apart = {
            "client": sum(not agrees for agrees in asked.values()),
            "server": sum(arrived[number] != action for number, action in expected.items()),
            "audit log": sum(told.get(number) != action for number, action in stopped.items())
            + len(told.keys() - stopped.keys()),
        }
        wrong = verify(log).wrong
        time.sleep(1.2)  # the holder reports once a second
        counters = hold_counters(state)
    print(
        f"{len(done)} requests of {threads} threads in {took:.0f} s: {dict(Counter(expected.values()))}; "
        f"disagreeing: {apart}; audit log: {wrong or 'whole'}; {counters}",
        flush=True,
    )
    return len(done) == requests and not any(apart.values()) and not wrong


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=100)
    options.add_argument("--requests", type=int, default=10_000)
    chosen = options.parse_args()
    host.need("openssl")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends then too
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="leeward-soak-") as name:
        folder = Path(name)
        (folder / "policy.yaml").write_text(POLICY)
        good = verdicts(folder, chosen.requests // 16 * 16) if chosen.requests else True
        good &= ends(folder, chosen.rounds) if chosen.rounds else True
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
