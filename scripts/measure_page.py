"""Measures what docs/page.md says of the page: the map's frames a second, pages of a large table, how soon it is there.

python scripts/measure_page.py [EXCHANGES] [FOLDER]: a store of so many exchanges (a million if not given) of 500
workloads, each of which calls 10 of 40 services, behind the real API, in Debian's Chromium.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import uvicorn
from playwright.sync_api import Page, sync_playwright

from leeward.api.app import create_app
from leeward.api.hub import LiveHub
from leeward.api.tokens import TokenStore
from leeward.model.exchange import ChatMessage, Exchange, GenAI, Http, Network, ProcessRef
from leeward.model.process import Workload
from leeward.store.event_store import EventStore
from leeward.store.paths import DATABASE_NAME
from leeward.store.retention import Retention

WORKLOADS, SERVICES, EACH = 500, 40, 10
_NAMES = {
    "id": "printf('%032x', i)", "workload": "printf('team%02d/app%03d', i % 25, i % 500)",
    "domain": "printf('ai%02d.example', s)", "model": "printf('model-%03d', m)", "time": "strftime(t, '%Y-%m-%dT%H:%M:%S.%fZ')",
}  # fmt: skip
_FILL = f"""
INSERT INTO exchanges BY NAME SELECT one.* REPLACE (
  {_NAMES["id"]} AS id, t AS time, 'pod:' || {_NAMES["workload"]} || '/app' AS workload_id,
  {_NAMES["workload"]} AS workload_name, {_NAMES["domain"]} AS domain, printf('provider%d', s % 8) AS provider,
  {_NAMES["model"]} AS request_model, {_NAMES["model"]} AS response_model,
  replace(replace(replace(replace(replace(json, '@id@', {_NAMES["id"]}), '@workload@', {_NAMES["workload"]}),
    '@domain@', {_NAMES["domain"]}), '@model@', {_NAMES["model"]}), '@time@', {_NAMES["time"]}) AS json)
FROM one, (SELECT i, s, s * 2 + i % 3 AS m, t FROM (
  SELECT i, ((i // {WORKLOADS}) % {EACH} * 4 + i % 4) % {SERVICES} AS s, ?::TIMESTAMP - to_milliseconds(i * 80) AS t
  FROM range(?) r(i)))
"""
_MOVE = """
kind => new Promise(done => {
  const map = window.leewardMap, began = performance.now();
  let frames = 0, last = began, worst = 0;
  const step = () => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
    frames += 1;
    if (kind === "pan") map.panBy(Math.sin(frames / 20) * 8, Math.cos(frames / 20) * 5);
    else map.zoom(frames % 60 < 30 ? 1.03 : 1 / 1.03);
    if (now - began < 5000) requestAnimationFrame(step);
    else done([frames * 1000 / (now - began), worst]);
  };
  requestAnimationFrame(step);
})
"""


def proto() -> Exchange:
    """What every exchange of the store is made from; @names@ are put in by the database."""
    return Exchange(
        id="@id@", time="@time@", duration_ms=420.0, workload=Workload("pod:@workload@/app", "@workload@", "pod"),
        process=ProcessRef(pid=4711, exe="/usr/bin/python3.11", argv=["python", "app.py"], user="app"),
        network=Network(src="10.0.0.1:40000", dst="192.0.2.7:443", domain="@domain@", direction="outbound"),
        http=Http(method="POST", url="https://@domain@/v1/chat/completions", status=200),
        gen_ai=GenAI(
            provider="openai", operation="chat", request_model="@model@", response_model="@model@", input_tokens=800,
            output_tokens=120, input=[ChatMessage("user", "Summarise this order. " * 30)],
            output=[ChatMessage("assistant", "Two lamps and a shade, paid. " * 8)],
        ),
    )  # fmt: skip


def filled(folder: Path, count: int) -> Path:
    """A database with so many exchanges, the latest of now."""
    path = folder / DATABASE_NAME
    store = EventStore(path)
    made = proto()
    made.time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    store.add(made)
    store.flush()
    store.close()
    with duckdb.connect(str(path)) as con:
        con.execute(
            "CREATE TEMP TABLE one AS SELECT * REPLACE (replace(json, ?, '@time@') AS json) FROM exchanges", [made.time]
        )
        con.execute("DELETE FROM exchanges")
        con.execute(_FILL, [datetime.now(UTC).replace(tzinfo=None), count])
        con.execute("CHECKPOINT")
    return path


def took(what: Callable[[], Any], times: int = 5) -> str:
    """Median and worst of so many, in ms."""
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        what()
        seconds.append(time.monotonic() - began)
    return f"median {statistics.median(seconds) * 1000:.0f} ms, worst {max(seconds) * 1000:.0f} ms"


def ask(url: str, secret: str, path: str) -> Any:
    answer = httpx.get(f"{url}/api/v1{path}", headers={"authorization": f"Bearer {secret}"}, timeout=120)
    answer.raise_for_status()
    return answer.json()


def paging(url: str, secret: str, count: int) -> None:
    """The first page, one in the middle, the last, and questions with filters."""
    ids: list[str] = []
    for name, share in (("first", 0.0), ("middle", 0.5), ("last", 1.0)):
        back = int(count * 0.08 * share)
        cursor = ask(url, secret, f"/exchanges?limit=1&until={back}s")["next"] if share and back else ""
        page = f"/exchanges?limit=100&cursor={cursor}"
        found = ask(url, secret, page)["exchanges"]
        ids += [one["id"] for one in found]
        print(f"page {name}: {took(lambda page=page: ask(url, secret, page))}, {len(found)} rows")
    assert len(ids) == len(set(ids))
    for path in ("/exchanges?limit=100&q=app123", "/exchanges?limit=100&q=nowhere",
                 "/exchanges?limit=100&since=24h&model=model-042", "/map?since=24h",
                 "/map?since=30d",
                 "/inventory?since=7d", "/timeline?since=24h"):  # fmt: skip
        print(f"{path}: {took(lambda path=path: ask(url, secret, path), 3)}")


def frames(page: Page, url: str) -> None:
    for state in ("in groups", "all open"):
        if state == "all open":
            page.get_by_role("button", name="Open groups").click()
            page.wait_for_function("() => window.leewardMap.counts().edges > 5000")
        page.wait_for_timeout(1000)  # its picture is drawn
        counts = page.evaluate("window.leewardMap.counts()")
        for kind in ("pan", "zoom"):
            rate, worst = page.evaluate(_MOVE, kind)
            print(
                f"map {state}, {counts['nodes']} nodes, {counts['edges']} edges, {kind}: {rate:.0f} frames/s, "
                f"longest {worst:.0f} ms"
            )


def look(url: str, secret: str) -> None:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1360, "height": 850}).new_page()
        page.set_default_timeout(120_000)
        page.goto(url)
        page.fill("input[name=token]", secret)
        page.click("button")
        page.wait_for_selector("header.top")

        def there(place: str, sign: str) -> None:
            page.goto(f"{url}/#/{place}")
            page.reload()
            page.wait_for_function(sign)

        drawn = "() => window.leewardMap && window.leewardMap.counts().edges > 0"
        table = "() => document.querySelectorAll('main tbody tr').length > 0"
        print(f"exchanges are there: {took(lambda: there('exchanges', table))}")
        print(f"the map is there: {took(lambda: there('runtime', drawn))}")
        sizes = page.evaluate("performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
                              ".map(e => [e.name, e.encodedBodySize])")  # fmt: skip
        print(f"first load, not compressed: {json.dumps(sizes)}")
        frames(page, url)
        browser.close()


def main(count: str = "1000000", folder: str = "") -> None:
    with tempfile.TemporaryDirectory(dir=folder or None) as made:
        began = time.monotonic()
        path = filled(Path(made), int(count))
        print(f"{count} exchanges in {path.stat().st_size >> 20} MiB, {time.monotonic() - began:.0f} s")
        store = EventStore(path, retention=Retention(days=365, size_bytes=1 << 40))
        tokens = TokenStore(Path(made) / "tokens.json")
        secret = tokens.create("measures", "admin")
        app = create_app(store, LiveHub(), tokens, lambda: {"version": "measured", "uptime_s": 0})
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not (server.started and server.servers):
            thread.join(0.05)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        paging(url, secret, int(count))
        look(url, secret)
        server.should_exit = True
        thread.join(10)
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
