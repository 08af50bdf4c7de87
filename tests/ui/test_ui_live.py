"""The page before a Leeward that watches this host, while real clients call and a shell is taken over."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from leeward.model.errors import LeewardError
from leeward.sensor import host

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]


def why_not() -> str:
    try:
        host.need_root()
        host.tracefs()
    except LeewardError as error:
        return str(error)
    return "" if (ROOT / ".venv-range/bin/python").exists() else "the range is not set up: make setup-range"


class Running:
    """`leeward run`. token: an admin's."""

    def __init__(self, state: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (state / "log").open("w+")
        command = [sys.executable, "-m", "leeward", "run", "--port", str(self.port), "--state", str(state / "state")]
        self.process = subprocess.Popen(command, stderr=self._log, stdout=subprocess.DEVNULL)
        self.token = ""

    def ready(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            self._log.seek(0)
            if found := re.search(r"(lwt_\S+)", self._log.read()):
                self.token = found[1]
                return
            time.sleep(0.1)
        raise AssertionError("it did not begin")

    def ask(self, path: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1{path}", headers={"authorization": f"Bearer {self.token}"}, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def wait_for(self, path: str, field: str, fits: Callable[[Any], bool]) -> Any:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if found := next(filter(fits, self.ask(path)[field]), None):
                return found
            time.sleep(0.3)
        raise AssertionError(f"nothing fits at {path}")


@pytest.fixture(scope="module")
def leeward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if reason := why_not():
        pytest.skip(reason)
    running = Running(tmp_path_factory.mktemp("live"))
    try:
        running.ready()
        yield running
    finally:
        running.process.terminate()
        running.process.wait(30)


def proving(*words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "range")}
    subprocess.run(
        [sys.executable, "-m", "proving", *words], check=True, env=environment, capture_output=True, timeout=240
    )


def test_what_the_page_shows_is_what_happened(leeward: Running, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1360, "height": 850})
    context.set_default_timeout(20_000)
    page = context.new_page()
    try:
        page.goto(leeward.url)
        page.fill("input[name=token]", leeward.token)
        page.click("button")
        page.wait_for_selector("header.top")
        page.goto(f"{leeward.url}/#/exchanges")
        proving("run", "assistant", "--n", "1", "--no-stream")
        exchange = leeward.wait_for("/exchanges?limit=50", "exchanges", lambda x: "assistant" in x["workload"]["name"])
        page.locator("tbody tr", has_text="assistant").first.wait_for()  # it came without anybody's doing
        page.goto(f"{leeward.url}/#/runtime")
        page.wait_for_function("() => window.leewardMap && window.leewardMap.counts().edges > 0")
        edge = f"workload:{exchange['workload']['id']}→service:openai:api.openai.com→7"
        spot = page.evaluate("id => window.leewardMap.place(id)", edge)
        box = page.locator("canvas.map").bounding_box()
        page.mouse.click(box["x"] + spot["x"], box["y"] + spot["y"])
        drawer = page.locator(".drawer")
        drawer.locator("tbody tr").first.click()
        drawer.get_by_text("What it did next").wait_for()
        text = drawer.inner_text()
        assert str(exchange["process"]["pid"]) in text or "assistant.py" in text
        assert "api.openai.com" in text

        proving("play", "rshell-bash")
        incident = leeward.wait_for("/incidents?limit=50", "incidents", lambda i: "reverse-shell" in i["rules"])
        page.goto(f"{leeward.url}/#/threats")
        page.locator("tbody tr", has_text=incident["title"][:40]).first.click()
        page.locator(".chain .step").first.wait_for()
        shown = [line.inner_text() for line in page.locator(".chain .step .what").all()]
        told = leeward.ask(f"/incidents/{incident['id']}")["chain"]
        assert len(shown) >= len(incident["chain"])
        assert all(any(step["what"][:60] in line for line in shown) for step in told[:5])
        compare(page, leeward)
    finally:
        context.close()


def compare(page: Any, leeward: Running) -> None:
    """The other screens: what the API says is what they show."""
    page.goto(f"{leeward.url}/#/inventory?kind=model")
    page.locator("tbody tr").first.wait_for()
    models = {asset["name"] for asset in leeward.ask("/inventory?since=7d")["assets"] if asset["kind"] == "model"}
    assert models
    assert {row.locator("td").nth(1).inner_text() for row in page.locator("tbody tr").all()} == models
    page.goto(f"{leeward.url}/#/threats?view=findings")
    page.locator("tbody tr").first.wait_for()
    titles = {" ".join(f["title"].split()) for f in leeward.ask("/findings?since=7d&severity=high")["findings"]}
    text = " ".join(page.locator("tbody").inner_text().split())
    assert titles
    assert all(title in text for title in titles)
    page.goto(f"{leeward.url}/#/coverage")
    page.locator("tbody tr").first.wait_for()
    assert page.locator("tbody tr").count() == min(100, len(leeward.ask("/coverage")["coverage"]))
    page.goto(f"{leeward.url}/#/overview")
    page.locator(".chart canvas").first.wait_for()
    worst = leeward.ask("/findings?since=24h&severity=critical")["findings"]
    assert worst[0]["title"][:40] in page.locator("main").inner_text()
    for place in ("policies", "policies/new", "audit", "settings", "runtime?layers=43", "search?q=openai"):
        page.goto(f"{leeward.url}/#/{place}")
        page.wait_for_function("() => document.querySelector('h1') && !document.querySelector('.loading')")
        assert page.locator(".problem").count() == 0, place
