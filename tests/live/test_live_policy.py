"""The case of the mission: a container's new feature talks to a provider that nobody agreed on, with customers' records.

Real containerd, an image that the test builds (twice: version 1 and 2, with their OCI revision and source), the providers'
names in a network of the proving ground. What the policy forbids is stopped before the first byte of a body; the rest of the
service goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_run import Run

from leeward.ai.kept import cache_folder

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "range"))
RECORDS = ("Musterfrau", "erika.musterfrau@example.com", "DE89 3704", "4111 1111")
SOURCE = "https://git.example.com/shop/assistant"
REVISIONS = {1: "1" * 40, 2: "2" * 40}
pytestmark = [pytest.mark.kernel, pytest.mark.container, pytest.mark.timeout(300)]

OBSERVE = """
apiVersion: leeward/v1
kind: Policy
metadata: {name: shop, owner: security@example.com}
spec:
  mode: MODE
  deadline: 2s
  scope: {workloads: ['*assistant*']}
  variables: {agreed: "['openai']"}
  rules:
"""
BLOCK_REQUEST = """
    - name: no-records
      on: request
      when: >-
        provider != '' && !(provider in variables.agreed)
        && kinds.exists(k, k.startsWith('pii.') || k.startsWith('financial.'))
      action: block
      severity: critical
      finding: data-leak
      message: Customers' records go to nobody but the provider that was agreed on.
"""
BLOCK_CONNECT = """
    - name: agreed-only
      on: connect
      when: provider != '' && !(provider in variables.agreed)
      action: block
      severity: high
      finding: unsanctioned-provider
      message: Ask security@example.com before you use another provider.
"""
BLOCK_DIRECT = """
    - name: by-the-gateway-only
      on: connect
      when: provider != ''
      action: block
      severity: high
      finding: unsanctioned-provider
      message: Use the gateway at 127.0.0.1:8421.
"""
REDACT = (
    BLOCK_REQUEST.replace("no-records", "mask-records")
    .replace("action: block", "action: redact\n      redact: ['pii.*', 'financial.*']")
    .replace("critical", "high")
)


class Shop:
    """The proving ground with the service's two images."""

    def __init__(self, ground: Any, versions: dict[int, Any]) -> None:
        self.ground, self._versions = ground, versions

    def containerds(self) -> list[str]:
        return [word for c in self._versions.values() for word in ("--containerd", f"{c.state}:{c.root}")]

    def serve(self, version: int, rounds: int = 4) -> list[dict[str, Any]]:
        """Runs the service; its truth."""
        words = ["--version", str(version), "--rounds", str(rounds), "--pause", "0.2"]
        done = self._versions[version].client("assistant", args=words)
        assert done.returncode == 0, done.stderr
        return done.truth

    def arrived(self, since: int) -> list[dict[str, Any]]:
        """What reached the providers: a record a request."""
        return self.ground.server_truth()[since:]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    run_module = pytest.importorskip("proving.run")
    container = pytest.importorskip("proving.container")
    if not (ROOT / ".venv-range/bin/python").exists():
        pytest.skip("the clients are not installed: make setup-range")
    with run_module.Range(tmp_path_factory.mktemp("range")) as ground:
        made: dict[int, Any] = {}
        try:
            for version, revision in REVISIONS.items():
                labels = {
                    "org.opencontainers.image.source": SOURCE,
                    "org.opencontainers.image.revision": revision,
                    "org.opencontainers.image.version": f"{version}.0.0",
                }
                one = container.Containers(ground, labels=labels, name=f"registry.test/shop/assistant:{version}")
                made[version] = one.__enter__()
            yield Shop(ground, made)
        except run_module.RangeError as error:
            pytest.skip(str(error))
        finally:
            for one in made.values():
                one.close()


def served(running: Run) -> list[dict[str, Any]]:
    """The exchanges of the service; others may go on on this host."""
    return [e for e in running.exchanges() if e["container"] and "assistant" in e["container"]["image"]]


def of_the_service(running: Run) -> list[dict[str, Any]]:
    """Its findings."""
    found = running.get("/findings")["findings"]
    return [f for f in found if f["container"] and "assistant" in f["container"]["image"]]


@pytest.fixture
def watching(shop: Shop, tmp_path: Path) -> Iterator[Any]:
    started: list[Run] = []

    def start(mode: str, *rules: str, gateways: str = "") -> Run:
        policy = tmp_path / "shop.yaml"
        more = f"  gateways: {gateways}\n" if gateways else ""
        policy.write_text(OBSERVE.replace("MODE", mode).replace("  rules:\n", f"{more}  rules:\n") + "".join(rules))
        started.append(Run(tmp_path / "state", *shop.containerds(), "--policy", str(policy)))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def test_what_is_new_is_shown(shop: Shop, watching: Any) -> None:
    """Nothing is stopped in mode `alert`: the new destination, the kinds of data and the new image are there."""
    running = watching("alert", BLOCK_REQUEST, BLOCK_CONNECT)
    assert all(not call["error"] for call in shop.serve(1))
    running.wait(lambda: len(served(running)) >= 4)
    assert {e["network"]["domain"] for e in served(running)} == {"api.openai.com"}
    assert all(not call["error"] for call in shop.serve(2))
    running.wait(lambda: len(served(running)) >= 12)
    fresh = [e for e in served(running) if e["network"]["domain"] == "api.mistral.ai"]
    assert len(fresh) == 4
    for exchange in fresh:
        labels = exchange["container"]["labels"]
        assert labels["org.opencontainers.image.revision"] == REVISIONS[2]
        assert labels["org.opencontainers.image.source"] == SOURCE
        assert {"financial.iban", "financial.card", "pii.email"} <= {match["kind"] for match in exchange["data"]}
    assert "data-leak" in {f["rule"] for f in of_the_service(running)}


@pytest.mark.parametrize("rung", ["request", "connect"])
def test_it_is_blocked_and_the_service_goes_on(shop: Shop, watching: Any, rung: str) -> None:
    before = len(shop.arrived(0))
    running = watching("enforce", BLOCK_REQUEST if rung == "request" else BLOCK_CONNECT)
    calls = shop.serve(2)
    by_name = {name: [call for call in calls if call["call"] == name] for name in ("sanctioned", "assist")}
    assert [call["error"] for call in by_name["sanctioned"]] == [""] * 4
    assert all(call["error"] for call in by_name["assist"])
    arrived = shop.arrived(before)
    assert sum(one["request_size"] for one in arrived if one["host"] == "api.mistral.ai") == 0
    assert sum(one["request_size"] > 0 for one in arrived if one["host"] == "api.openai.com") == 4
    assert not any(record in str(one["request"]) for one in arrived for record in RECORDS)
    rule = "data-leak" if rung == "request" else "unsanctioned-provider"
    running.wait(lambda: any(f["rule"] == rule for f in of_the_service(running)))
    found = [f for f in of_the_service(running) if f["rule"] == rule]
    assert {f["action"] for f in found} == {"block"}
    if rung == "request":
        stopped = [e for e in served(running) if (e["verdict"] or {}).get("action") == "block"]
        assert len(stopped) == 4
        assert {(e["verdict"]["policy"], e["verdict"]["rule"]) for e in stopped} == {("shop", "no-records")}
        assert not any(record in str(e) for e in stopped for record in RECORDS[1:])


def test_records_are_masked_and_the_provider_answers(shop: Shop, watching: Any) -> None:
    before = len(shop.arrived(0))
    running = watching("enforce", REDACT)
    assert all(not call["error"] for call in shop.serve(2))
    assisted = [one for one in shop.arrived(before) if one["host"] == "api.mistral.ai"]
    assert [one["status"] for one in assisted] == [200] * 4
    for one in assisted:
        text = one["request"]["messages"][0]["content"]
        assert text.startswith("Help with this: Customer")
        assert not any(record in text for record in RECORDS[1:])
        assert "**** **** **** ****" in text
    running.wait(lambda: sum((e["verdict"] or {}).get("action") == "redact" for e in served(running)) == 4)


def test_who_must_use_the_gateway_and_does_not_is_refused(shop: Shop, watching: Any, tmp_path: Path) -> None:
    """docs/gateway.md: the service's direct way is closed, its way through `leeward gateway` is open."""
    running = watching("enforce", BLOCK_DIRECT, gateways="['127.0.0.1:8421']")
    state = tmp_path / "gateway"
    words = ["--version", "2", "--rounds", "2", "--pause", "0.1"]
    leeward = [str(Path(sys.executable).with_name("leeward")), "gateway", "--listen", "127.0.0.1:8421"]
    cache = str(cache_folder() or tmp_path / "cache")
    gateway = shop.ground.popen([*leeward, "--state", str(state)], env={"LEEWARD_CACHE": cache})
    try:
        before = len(shop.arrived(0))
        calls = shop.ground.client("assistant", args=words).truth
        assert len(calls) == 4
        assert all(call["error"] for call in calls)
        assert sum(one["request_size"] for one in shop.arrived(before)) == 0
        running.wait(lambda: any(f["rule"] == "unsanctioned-provider" for f in running.get("/findings")["findings"]))
        authority = state / "gateway-ca.pem"
        through = {"HTTPS_PROXY": "http://127.0.0.1:8421", "SSL_CERT_FILE": str(authority)}
        running.wait(lambda: authority.exists() and listens(shop))
        calls = shop.ground.client("assistant", args=words, env=through).truth
        assert [call["error"] for call in calls] == [""] * 4
        assert [one["status"] for one in shop.arrived(before) if one["request_size"]] == [200] * 4
        running.wait(lambda: sum("assistant" in str(e["process"]) for e in running.exchanges()) >= 4)
        found = [
            f for f in running.get("/findings")["findings"] if f["rule"] in ("unsanctioned-provider", "policy-bypassed")
        ]
        assert {(f["rule"], f["action"]) for f in found} == {("unsanctioned-provider", "block")}
    finally:
        gateway.kill()


def listens(shop: Shop) -> bool:
    """Whether the gateway takes connections."""
    tried = "import socket; socket.create_connection(('127.0.0.1', 8421), 1)"
    return shop.ground.popen([sys.executable, "-c", tried]).wait(30).returncode == 0
