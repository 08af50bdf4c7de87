"""`leeward gateway` in a process of its own, and the policy of its tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_upstream import Upstream

from leeward.gateway.authority import CERTIFICATE_NAME

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RANGE = ROOT / ".venv-range/bin/python"
POLICY = """
apiVersion: leeward/v1
kind: Policy
metadata:
  name: payment-data
spec:
  mode: enforce
  fail: {fail}
  rules:
    - name: no-iban
      when: '"financial.iban" in kinds'
      action: {iban}
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
IBAN, CARD = "GB33BUKB20201555555555", "4111 1111 1111 1111"


def write_policy(path: Path, *, fail: str = "open", iban: str = "block") -> Path:
    fresh = path.with_suffix(".new")
    fresh.write_text(POLICY.format(fail=fail, iban=iban))
    fresh.rename(path)
    return path


class Running:
    """`leeward gateway` in a process of its own."""

    def __init__(self, folder: Path, trust: Path, *options: str) -> None:
        self.state = folder / "state"
        self._out = folder / "out.ndjson"
        self._complaints = folder / "stderr"
        command = [sys.executable, "-m", "leeward", "gateway", "--json", "--listen", "127.0.0.1:0"]
        with self._out.open("wb") as out, self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(
                [*command, "--state", str(self.state), *options],
                stdout=out, stderr=complaints, env={**os.environ, "SSL_CERT_FILE": str(trust)},
            )  # fmt: skip
        found = self._wait(lambda: re.search(r"listens at (http://127\.0\.0\.1:\d+)", self.said()))
        self.url = found[1]
        self.authority = self.state / CERTIFICATE_NAME

    def _wait(self, what: Callable[[], Any]) -> Any:
        end = time.monotonic() + 60
        while not (found := what()):
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.02)
        return found

    def said(self) -> str:
        return self._complaints.read_text()

    def lines(self) -> list[dict[str, Any]]:
        whole = self._out.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def record(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The last line that is wanted, when it is there."""
        return self._wait(lambda: next((line for line in reversed(self.lines()) if wanted(line)), None))

    def audit(self, event: str) -> list[dict[str, Any]]:
        lines = (self.state / "audit.jsonl").read_text().splitlines()
        return [entry["detail"] for line in lines if (entry := json.loads(line))["event"] == event]

    def until_audit(self, event: str, count: int) -> None:
        self._wait(lambda: len(self.audit(event)) >= count)

    def stop(self) -> list[dict[str, Any]]:
        """What it has said in all, `stats` last."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0, self.said()
        return self.lines()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def client(self, way: str, which: str, upstream: Upstream, text: str, *more: str) -> subprocess.Popen[str]:
        """An SDK through the gateway. way: "proxy" or "base-url"."""
        if not RANGE.exists():
            pytest.skip("the SDKs are not there: make setup-range")
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        suffix = "/v1" if which == "openai" else ""
        if way == "proxy":
            environment |= {"HTTPS_PROXY": self.url, "SSL_CERT_FILE": str(self.authority)}
            url = upstream.url + suffix
        else:
            url = f"{self.url}/{which}{suffix}"
        command = [str(RANGE), str(HERE / "gateway_client.py"), which, url, text, *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(self, way: str, which: str, upstream: Upstream, text: str) -> dict[str, Any]:
        out, _ = self.client(way, which, upstream, text).communicate(timeout=60)
        return json.loads(out)
