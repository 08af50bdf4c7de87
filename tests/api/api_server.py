"""An application with a filled store, asked in process or over a real socket (for streams)."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

sys.path.append(str(Path(__file__).parent.parent / "store"))
from store_samples import T0

from leeward.api.app import create_app
from leeward.api.hub import LiveHub
from leeward.api.tokens import TokenStore
from leeward.store.event_store import EventStore

BASE = "http://127.0.0.1:8420"
STATUS: dict[str, Any] = {"version": "9.9.9", "uptime_s": 3700, "lost": {"payload_ring_lost": 3}}


class World(msgspec.Struct):
    """Everything behind one application. now: what its clock says."""

    store: EventStore
    hub: LiveHub
    tokens: TokenStore
    app: FastAPI
    secrets: dict[str, str]
    clock: dict[str, Any]

    def client(self, role: str = "admin", **options: Any) -> TestClient:
        headers = {"authorization": f"Bearer {self.secrets[role]}"} if role else {}
        return TestClient(self.app, base_url=BASE, headers=headers, **options)


def make_world(folder: Path, heartbeat: float = 0.2) -> World:
    store, hub, tokens = EventStore(None, batch_seconds=0.01), LiveHub(), TokenStore(folder / "tokens.json")
    secrets = {role: tokens.create(f"a-{role}", role) for role in ("viewer", "analyst", "admin")}
    clock: dict[str, Any] = {"now": T0 + timedelta(minutes=10), "mono": 0.0}
    app = create_app(
        store, hub, tokens, lambda: STATUS, hosts=("leeward.example",),
        clock=lambda: clock["now"].astimezone(UTC), monotonic=lambda: clock["mono"], heartbeat=heartbeat,
    )  # fmt: skip
    return World(store, hub, tokens, app, secrets, clock)


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """The application on a port of its own; yields its URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, host="127.0.0.1", log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)
