"""The page in Debian's Chromium, before a real server over a store with history."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

sys.path.append(str(Path(__file__).parent.parent / "store"))

from ui_world import World, make_world

from leeward.api.page import STATIC

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")


def why_not() -> str:
    if CHROMIUM is None:
        return "chromium is not installed: make apt-test"
    return "" if (STATIC / "index.html").is_file() else "the page is not built: make setup"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For a module only: while it is there, its event loop runs in this thread, and nobody else's can."""
    if reason := why_not():
        pytest.skip(reason)
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("ui"))
    server = uvicorn.Server(uvicorn.Config(made.app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not (server.started and server.servers) and time.monotonic() < until:
        time.sleep(0.02)
    made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield made
    made.hub.close()
    server.should_exit = True
    thread.join(10)
    made.store.close()


@pytest.fixture
def logged_in(browser: Any, world: World) -> Iterator[Callable[..., Any]]:
    """A page of somebody of this role. What the page complains of fails the test."""
    contexts, complaints = [], []

    def open_page(role: str = "admin", place: str = "", **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1360, "height": 850}} | options))
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(world.url)
        page.fill("input[name=token]", world.secrets[role])
        page.click("button")
        page.wait_for_selector("header.top")
        if place:
            page.goto(f"{world.url}/#/{place}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
