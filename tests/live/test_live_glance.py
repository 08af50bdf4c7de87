"""What is seen of requests that are no AI's, at a server of this host, on one kept connection that is otherwise left alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live_web import KEY

from leeward.ai.catalogue import default_catalogue
from leeward.ai.keys import fingerprint
from leeward.identity.processes import ProcessTable
from leeward.model.activity import Activity, HttpSeen
from leeward.model.finding import Finding
from leeward.pipeline import Pipeline, Settings
from leeward.sensor.kernel import KernelSensor, Options

WEB = [sys.executable, str(Path(__file__).with_name("live_web.py"))]
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]


class Watch:
    """A sensor and the pipeline after it; keeps what it says of HTTP at `live_web.py`'s processes."""

    def __init__(self) -> None:
        self.seen: list[HttpSeen] = []
        self.findings: list[Finding] = []
        self.sensor = KernelSensor(Options())
        self.sensor.scan()
        processes = ProcessTable()
        processes.scan()
        settings = Settings("test", record=self._keep)
        self.pipeline = Pipeline(settings, default_catalogue(), processes, quiet=self.sensor)

    def _keep(self, act: Activity) -> None:
        if isinstance(act, HttpSeen) and any("live_web" in word for word in act.process.argv):
            self.seen.append(act)

    def step(self) -> None:
        for event in self.sensor.poll(0.02):
            self.findings += [record for record in self.pipeline.feed(event) if isinstance(record, Finding)]


@contextmanager
def watching() -> Iterator[Watch]:
    watch = Watch()
    try:
        yield watch
    finally:
        watch.sensor.close()


def called(
    watch: Watch, count: int, pause: float, certificate: tuple[str, ...] = (), kinds: str = "ok,no"
) -> list[HttpSeen]:
    """What the server was asked."""
    server = subprocess.Popen([*WEB, "serve", *certificate], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().decode().strip()
        end = time.monotonic() + 1
        while time.monotonic() < end:
            watch.step()
        client = subprocess.Popen(
            [*WEB, "call", port, str(count), str(pause), kinds, *(["tls"] if certificate else [])]
        )
        while client.poll() is None:
            watch.step()
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            watch.step()
    finally:
        server.kill()
        server.wait()
    return [act for act in watch.seen if act.direction == "inbound" and act.process.pid == server.pid]


@pytest.mark.parametrize("secure", [False, True])
def test_each_request_of_a_calm_client_is_seen(secure: bool, certificate: tuple[str, str]) -> None:
    with watching() as watch:
        inbound = called(watch, 20, 0.02, certificate if secure else ())
    asked = {(act.path, act.status): act for act in inbound}
    wanted = {(f"/{kind}/{n}", status) for kind, status in (("ok", 200), ("no", 401)) for n in range(20)}
    assert asked.keys() <= wanted
    assert len(wanted - asked.keys()) <= 2  # the answers under way while the connection was left alone
    assert {act.user_agent for act in inbound} == {"live-web"}
    assert len({act.identity for act in inbound}) == 1
    assert "" not in {act.identity for act in inbound}
    assert sum(act.sampled for act in inbound) >= 38


@pytest.mark.parametrize("secure", [False, True])
def test_keys_in_what_is_answered_are_seen(secure: bool, certificate: tuple[str, str]) -> None:
    with watching() as watch:
        inbound = called(watch, 20, 0.02, certificate if secure else (), kinds="key")
    found = [act for act in inbound if [key.fingerprint for key in act.keys] == [fingerprint(KEY)]]
    assert len(found) >= 18
    assert found[-1].path == "/key/19"  # the kernel shows only the connection's beginnings by then


def test_of_a_hurried_client_a_share_is_seen_and_counts_for_all() -> None:
    with watching() as watch:
        inbound = called(watch, 1500, 0.0)
    for status in (200, 401):
        shown = [act.sampled for act in inbound if act.status == status]
        assert 1490 <= sum(shown) <= 1500


def test_refusals_on_one_kept_connection_are_found() -> None:
    with watching() as watch:
        inbound = called(watch, 60, 0.01, kinds="no")
    server = inbound[0].process.pid
    found = [f for f in watch.findings if f.rule == "api-access-violation" and f.process and f.process.pid == server]
    assert found
    assert found[0].subject["source"] == "127.0.0.1"
