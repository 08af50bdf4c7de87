"""Sessions (WebSocket) and who may connect at all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from gateway_running import HERE, IBAN, RANGE, Running, write_policy
from gateway_upstream import Upstream

from leeward.gateway.authority import Authority

CONNECT = """
apiVersion: leeward/v1
kind: Policy
metadata:
  name: sanctioned
spec:
  mode: enforce
  scope:
    workloads: ['{workload}']
  rules:
    - name: no-anthropic
      on: connect
      when: provider == "anthropic" || destination.domain == "127.0.0.3"
      action: block
      finding: unsanctioned-provider
      message: not one of our providers
"""


def test_each_message_is_ruled_on(tmp_path: Path, theirs: Authority) -> None:
    if not RANGE.exists():
        pytest.skip("the WebSocket library is not there: make setup-range")
    program = [str(RANGE), str(HERE / "gateway_session.py")]
    server = subprocess.Popen([*program, "serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    upstream = f"--upstream=x_ai=http://127.0.0.5:{json.loads(server.stdout.readline())['port']}"
    running = Running(tmp_path, theirs.path, "--policy", str(write_policy(tmp_path / "policy.yaml")), upstream)
    url = f"{running.url.replace('http', 'ws')}/x_ai/v1/realtime?model=grok"
    try:
        done = subprocess.run([*program, url, "hello", IBAN], capture_output=True, text=True, timeout=60)
        assert [json.loads(line) for line in done.stdout.splitlines()] == [{"answer": "ok"}, {"closed": True}]
        [verdict] = running.audit("verdict")
        assert (verdict["action"], verdict["rule"]) == ("block", "no-iban")
    finally:
        running.kill()
        server.kill()
        heard, _ = server.communicate()
    first, *messages = [json.loads(line) for line in heard.splitlines()]
    assert first == {"offered": None, "path": "/v1/realtime?model=grok"}
    assert [json.loads(message["heard"])["item"]["text"] for message in messages] == ["hello"]


@pytest.mark.parametrize(("workload", "status"), [("exe:*python*", 403), ("exe:/usr/bin/somebody-else", 200)])
def test_connect_rules_by_workload(
    tmp_path: Path, theirs: Authority, anthropic: Upstream, other: Upstream, workload: str, status: int
) -> None:
    """The rules of the connect rung hold for who asks: the gateway finds the process behind a connection from its own host."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(CONNECT.format(workload=workload))
    running = Running(tmp_path, theirs.path, "--policy", str(policy), f"--upstream=anthropic={anthropic.url}")
    try:
        answer = httpx.post(f"{running.url}/anthropic/v1/messages", json={"model": "m", "messages": []}, timeout=60)
        assert answer.status_code == status
        assert anthropic.connections == (0 if status == 403 else 1)
        if status == 403:
            assert answer.json()["error"]["type"] == "permission_error"
            assert "not one of our providers" in answer.json()["error"]["message"]
            assert running.audit("verdict")[0]["domain"] == "127.0.0.2"
            finding = running.record(lambda r: r["type"] == "finding")
            assert (finding["rule"], finding["subject"]["domain"]) == ("unsanctioned-provider", "127.0.0.2")
            with pytest.raises(httpx.ProxyError, match="403"):
                httpx.get(other.url, proxy=running.url, timeout=60)
            assert other.connections == 0
    finally:
        running.kill()
