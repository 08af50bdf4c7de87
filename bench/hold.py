"""What holding a request costs, beside what a proxy in the way costs: the same client, server and bodies, in turns.

Ways: nothing; Leeward's hold (sensor, holder and judge); a process beside it that no policy names; mitmproxy in reverse mode with
an addon that reads each body; a LiteLLM proxy. Each is measured with one and with eight connections. What a way adds is its
percentile less that of nothing; the ratio is that over what the hold adds.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import host

ROOT = Path(__file__).parents[1]
MITMDUMP, LITELLM = ROOT / ".venv-mitmproxy/bin/mitmdump", ROOT / ".venv-litellm/bin/litellm"
ROUNDS = 5
DEADLINE_MS = 50
CONCURRENCY = {1: 250, 8: 640}  # connections → requests a round
SLOW = {1: 60, 8: 240}  # of the LiteLLM proxy
TARGETS = {"p50": 300, "p99": 5000}  # µs held
POLICY = """
apiVersion: leeward/v1
kind: Policy
metadata: {name: payment-data}
spec:
  mode: enforce
  rules:
    - {name: no-iban, when: '"financial.iban" in kinds', action: block, finding: data-leak}
    - {name: no-card, when: '"financial.card" in kinds', action: redact, redact: [financial.card], finding: data-leak}
"""


class Client:
    """hold_client.py, which lives through all rounds."""

    def __init__(self, url: str, concurrency: int, count: int) -> None:
        command = [sys.executable, str(ROOT / "bench/hold_client.py"), f"{url}/v1/chat/completions"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([*command, str(concurrency), str(count)], **pipes)
        if self._line() != "ready":
            raise RuntimeError("the client did not start")

    def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline() or "null")

    def round(self) -> dict[str, list[float]]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: dict[str, list[float]] = self._line()
        if found["failed"]:
            raise RuntimeError(f"the client was refused: {found['failed'][:3]}")
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Agent:
    """tests/live/live_enforcer.py: sensor, holder and judge, and one process that they hold."""

    def __init__(self, policy: Path, pid: int, deadline_ms: int = DEADLINE_MS) -> None:
        command = [sys.executable, str(ROOT / "tests/live/live_enforcer.py"), str(policy), str(deadline_ms), "open"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([*command, str(pid)], **pipes)
        assert self.process.stdout is not None
        refused = json.loads(self.process.stdout.readline())["refused"]
        if refused:
            raise RuntimeError(f"the client is not held: {refused}")

    def ask(self, what: str) -> dict[str, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the agent has ended: {self.process.wait(10)}")
        found: dict[str, int] = json.loads(line)
        return found

    def counts(self) -> dict[str, int]:
        time.sleep(1.2)  # the holder reports once a second
        return self.ask("counts")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def _serving(command: list[str], port: int, folder: Path, **more: str) -> Iterator[str]:
    """A proxy, as soon as it listens. Yields its URL."""
    log = folder / f"{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | more, cwd=folder)
    try:
        end = time.monotonic() + 90
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{command[0]} does not start:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.2)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def mitmproxy(folder: Path) -> contextlib.AbstractContextManager[str]:
    port = _free_port()
    options = ["--set", f"confdir={folder / 'mitm'}", "--ssl-insecure", "-q", "-s", str(ROOT / "bench/mitm_reads.py")]
    mode = ["--mode", f"reverse:https://127.0.0.1:{host.TLS_PORT}", "--listen-host", "127.0.0.1", "-p", str(port)]
    return _serving([str(MITMDUMP), *mode, *options], port, folder)


def litellm(folder: Path) -> contextlib.AbstractContextManager[str]:
    port = _free_port()
    config = folder / "litellm.yaml"
    upstream = {"model": "openai/gpt-4o", "api_base": f"https://127.0.0.1:{host.TLS_PORT}/v1", "api_key": "sk-none"}
    general = {"master_key": "sk-leeward-bench-0123456789"}
    settings = {"ssl_verify": False, "telemetry": False}
    models = [{"model_name": "gpt-4o", "litellm_params": upstream}]
    config.write_text(
        json.dumps({"model_list": models, "general_settings": general, "litellm_settings": settings})
    )  # JSON is YAML
    tls = ["--ssl_keyfile_path", str(folder / "k.pem"), "--ssl_certfile_path", str(folder / "c.pem")]
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), *tls]
    return _serving(command, port, folder, LITELLM_LOCAL_MODEL_COST_MAP="True")


def percentile(values: list[float], which: str) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) * int(which[1:]) // 100]


def held_at_most(counts: dict[str, int], which: str) -> float:
    """Upper end of the holder's bucket in which this percentile lies, µs."""
    buckets = {int(name.rsplit("_", 1)[1]): n for name, n in counts.items() if name.startswith("held_us_le_")}
    wanted = (sum(buckets.values()) + counts.get("held_us_more", 0)) * int(which[1:]) / 100
    for us, n in sorted(buckets.items()):
        wanted -= n
        if wanted <= 0:
            return us
    return float("inf")


def _measured(folder: Path, concurrency: int) -> dict[str, Any]:
    """All ways in turns; for each the rounds' percentiles."""
    count = CONCURRENCY[concurrency]
    rows: dict[str, dict[str, list[float]]] = {}
    held: dict[str, Any] = {}
    direct = f"https://127.0.0.1:{host.TLS_PORT}"
    (folder / "policy.yaml").write_text(POLICY)

    def take(way: str, client: Client) -> None:
        found = client.round()
        row = rows.setdefault(way, {})
        for name, of in (("", "requests"), ("other ", "others")):
            for which in TARGETS:
                row.setdefault(f"{name}{which}", []).append(percentile(found[of], which))

    with contextlib.ExitStack() as stack:
        clients = {"nothing": Client(direct, concurrency, count), "named by none": Client(direct, concurrency, count)}
        if MITMDUMP.exists():
            clients["mitmproxy"] = Client(stack.enter_context(mitmproxy(folder)), concurrency, count)
        if LITELLM.exists():
            clients["litellm"] = Client(stack.enter_context(litellm(folder)), concurrency, SLOW[concurrency])
        for client in clients.values():
            stack.callback(client.close)
        totals: dict[str, int] = {}
        for _ in range(ROUNDS):
            for way in [way for way in clients if way != "named by none"]:
                take(way, clients[way])
            agent = Agent(folder / "policy.yaml", clients["nothing"].process.pid)
            try:
                take("leeward", clients["nothing"])
                before = agent.counts()
                take("named by none", clients["named by none"])
                after = agent.counts()
            finally:
                agent.close()
            held["of a process that no policy names"] = (
                after["held"] - before["held"] + held.get("of a process that no policy names", 0)
            )
            for name, number in before.items():
                totals[name] = totals.get(name, 0) + number
    medians = {way: {m: statistics.median(v) for m, v in row.items()} for way, row in rows.items()}
    held |= {"calls": totals["held"], "deadlines passed": totals.get("deadlines_passed", 0)}
    held |= {f"{which} at most µs": held_at_most(totals, which) for which in TARGETS}
    held["longer than the deadline"] = totals.get("held_us_le_100000", 0) + totals.get("held_us_more", 0)
    return {"ways": medians, "held": held}


def _table(concurrency: int, found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Prints it; returns what each way adds, and its ratio to what the hold adds."""
    ways = found["ways"]
    base, ours = ways["nothing"], ways["leeward"]
    added = {way: {which: row[which] - base[which] for which in TARGETS} for way, row in ways.items()}
    print(f"{concurrency} connection{'s' if concurrency > 1 else ''}:")
    print(
        f"  {'way':14}"
        + "".join(f"{w + ' ms':>10}{'adds':>9}{'ratio':>7}" for w in TARGETS)
        + "   other thread p50/p99 ms"
    )
    for way, row in ways.items():
        line = f"  {way:14}"
        for which in TARGETS:
            ratio = added[way][which] / (ours[which] - base[which])
            line += f"{row[which] / 1000:10.2f}{added[way][which] / 1000:9.2f}{ratio:7.1f}"
        print(f"{line}   {row['other p50'] / 1000:.2f} / {row['other p99'] / 1000:.2f}")
    print("  held: " + ", ".join(f"{name} {value:g}" for name, value in found["held"].items()), flush=True)
    return added


def main(folder: Path) -> None:
    print(
        f"POST of 2 kB and an answer of 900 B over kept connections, TLS 1.3, one httpx client, nginx with one worker; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {ROUNDS} rounds in turns"
    )
    for missing, path, how in (
        ("mitmproxy", MITMDUMP, "setup-mitmproxy"),
        ("a LiteLLM proxy", LITELLM, "setup-litellm"),
    ):
        if not path.exists():
            print(f"no {missing} here: make {how}")
    told = {}
    with host.nginx(folder):
        for concurrency in CONCURRENCY:
            found = _measured(folder, concurrency)
            told[concurrency] = found | {"added": _table(concurrency, found)}
    print(json.dumps({"bench": "hold", "cores": os.cpu_count(), "load": os.getloadavg()[0], "connections": told}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
