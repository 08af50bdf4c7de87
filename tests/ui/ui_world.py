"""What the page is tested on: an application with records of every kind, among them such as want to run in a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI
from store_samples import coverage, exchange, finding, flow

from leeward.api.app import create_app
from leeward.api.hub import LiveHub
from leeward.api.screens import Paper
from leeward.api.tokens import TokenStore
from leeward.model.data import DataMatch
from leeward.model.exchange import ChatMessage, Exchange, Tool, ToolCall
from leeward.model.net import Endpoint
from leeward.model.process import Workload
from leeward.store.event_store import EventStore

EVIL = "<img src=x onerror=\"alert('ran')\"><script>alert('ran')</script>\u202eevil"
NOW = datetime.now(UTC)


class World(msgspec.Struct):
    """Everything behind the page."""

    store: EventStore
    hub: LiveHub
    app: FastAPI
    secrets: dict[str, str]
    policies: Path
    url: str = ""


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def called(n: int, workload: str, provider: str, domain: str, model: str, minutes: float, **changes: Any) -> Exchange:
    made = exchange(n, domain=domain, provider=provider, **changes)
    made.workload = Workload(f"pod:shop/{workload}/app", f"shop/{workload}", "pod")
    made.time = ago(minutes)
    made.gen_ai.request_model = made.gen_ai.response_model = model
    made.network.src, made.network.dst = f"10.0.0.{n}:40000", "192.0.2.7:443"
    return made


def make_world(folder: Path) -> World:
    store, hub = EventStore(None), LiveHub()
    tokens = TokenStore(folder / "tokens.json")
    secrets = {role: tokens.create(f"a-{role}", role) for role in ("viewer", "analyst", "admin")}
    policies = folder / "policies"
    policies.mkdir()
    paper = Paper((), policies, folder / "audit.jsonl")
    app = create_app(store, hub, tokens, lambda: {"version": "9.9.9", "uptime_s": 3700}, paper=paper)
    for record in records():
        assert store.add(record)
    assert store.flush()
    return World(store, hub, app, secrets, policies)


def records() -> list[Any]:
    card = DataMatch(
        kind="financial.card", path="$.messages[0].content", start=3, end=22, confidence=0.98, detector="payment-card",
        sample="4111 **** **** 1111", hash="ab" * 16,
    )  # fmt: skip
    leak = called(1, "assistant", "openai", "api.openai.com", "gpt-4o", 30)
    leak.data = [card]
    leak.gen_ai.input = [ChatMessage("user", "pay with [financial.card:abababab] please")]
    leak.gen_ai.output = [ChatMessage("assistant", "done", tool_calls=[ToolCall("c1", "shell", '{"cmd":"ls"}')])]
    other = called(2, "search", "anthropic", "api.anthropic.com", "claude-sonnet-4-5", 20)
    other.gen_ai.input = [ChatMessage("user", "a\u200dsecret for \U0001f469\u200d\U0001f4bb")]
    evil = called(3, EVIL, EVIL, "evil.example", EVIL, 10)
    evil.gen_ai.input = [ChatMessage("user", EVIL)]
    evil.gen_ai.tools = [Tool(EVIL, EVIL)]
    evil.process.exe, evil.process.argv = EVIL, [EVIL]  # type: ignore[union-attr]
    connection = flow(1)
    connection.id, connection.pid, connection.time = "flow-1", leak.process.pid, int(NOW.timestamp() * 1e9)  # type: ignore[union-attr]
    connection.start = connection.time - 60 * 10**9
    connection.src, connection.dst, connection.domain = (
        Endpoint("10.0.0.1", 40000),
        Endpoint("192.0.2.7", 443),
        "api.openai.com",
    )
    connection.workload, connection.exe, connection.direction = leak.workload, "/usr/bin/app1", "outbound"
    database = msgspec.structs.replace(
        connection, id="flow-2", dst=Endpoint("10.0.0.9", 5432), domain="db.prod.svc", l7=""
    )
    database.start = connection.time + 10**9
    wrong = finding(
        1,
        title="Sensitive data sent to an AI service: financial.card to api.openai.com",
        severity="high",
        rule="data-leak",
    )
    wrong.workload, wrong.time, wrong.first_seen, wrong.last_seen = leak.workload, ago(30), ago(30), ago(30)
    wrong.subject = {"kind": "financial.card", "destination": "api.openai.com", "provider": "openai"}
    wrong.evidence = [{"type": "exchange", "id": leak.id, "time": leak.time, "matches": 1}]
    bad = finding(2, title=EVIL, severity="low", rule="data-leak")
    bad.workload, bad.time, bad.last_seen, bad.first_seen = evil.workload, ago(9), ago(9), ago(9)
    seen = coverage(leak.process.pid)  # type: ignore[union-attr]
    seen.workload = leak.workload
    return [leak, other, evil, connection, database, wrong, bad, seen]
