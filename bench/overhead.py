"""Added time a request, seen by an httpx client, and throughput of nginx under wrk: without observer, with Leeward, with
bpftrace's plain probes, with empty probes. Interleaved rounds, medians."""

from __future__ import annotations

import contextlib
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from bench import host

ROUNDS = 3
BODY = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Summarise this ticket, please. " * 40}],
}
Observer = Callable[[], contextlib.AbstractContextManager[object]]


def observers(folder: Path) -> dict[str, Observer]:
    return {
        "off": host.nothing,
        "leeward": lambda: host.leeward(folder / "state"),
        "bpftrace": host.bpftrace,
        "empty probe": lambda: host.empty_probes(folder),
    }


def latencies(folder: Path, requests: int = 1000) -> list[float]:
    """Microseconds of each of `requests` POSTs on one kept connection, 2 ms apart."""
    taken = []
    url = f"https://localhost:{host.TLS_PORT}/v1/chat/completions"
    with httpx.Client(verify=str(folder / "c.pem")) as client:
        for _ in range(50):
            client.post(url, json=BODY).raise_for_status()
        for _ in range(requests):
            start = time.perf_counter_ns()
            client.post(url, json=BODY)
            taken.append((time.perf_counter_ns() - start) / 1e3)
            time.sleep(0.002)
    return taken


def throughput(path: str, seconds: int = 4, script: Path | None = None) -> float:
    """wrk's requests per second: one thread on core 0, 16 connections."""
    command = ["taskset", "-c", "0", "wrk", "-t1", "-c16", f"-d{seconds}s"]
    command += ["-s", str(script)] if script else []
    out = subprocess.run(
        [*command, f"https://localhost:{host.TLS_PORT}{path}"], capture_output=True, text=True, check=True
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", out.stdout)
    assert found, out.stdout
    return float(found.group(1))


def main(folder: Path) -> None:
    script = folder / "post.lua"
    script.write_text(
        'wrk.method="POST" wrk.headers["content-type"]="application/json" wrk.body=[[{"model":"m",'
        + '"messages":[{"role":"user","content":"'
        + "hello " * 50
        + '"}]}]]'
    )
    seen: dict[str, dict[str, list[float]]] = {name: {} for name in observers(folder)}
    with host.nginx(folder):
        for _ in range(ROUNDS):
            for name, observer in observers(folder).items():
                with observer():
                    time.sleep(1)
                    row = seen[name]
                    taken = sorted(latencies(folder))
                    row.setdefault("p50 µs", []).append(taken[len(taken) // 2])
                    row.setdefault("p99 µs", []).append(taken[len(taken) * 99 // 100])
                    row.setdefault("GET /s", []).append(throughput("/"))
                    row.setdefault("AI POST /s", []).append(throughput("/v1/chat/completions", 4, script))
    base = {measure: statistics.median(values) for measure, values in seen["off"].items()}
    print(
        "One kept httpx connection (POST 1.3 kB, 900 B back); wrk -t1 -c16 against one nginx worker, TLS 1.3, both ends probed"
    )
    print(f"{'observer':14}" + "".join(f"{m:>14}{'ratio':>8}" for m in base))
    for name, row in seen.items():
        medians = {m: statistics.median(v) for m, v in row.items()}
        print(f"{name:14}" + "".join(f"{medians[m]:14.0f}{medians[m] / base[m]:8.2f}" for m in base))
