"""The application: routes, the page, and the guard around them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from leeward import __version__
from leeward.api.documents import install_openapi
from leeward.api.guard import COOKIE, SESSION_SECONDS, Guard, Sessions
from leeward.api.hub import LiveHub
from leeward.api.masking import mask
from leeward.api.page import CSP, login_page, status_page
from leeward.api.routes import HEARTBEAT_SECONDS, api_router
from leeward.api.tokens import TokenStore
from leeward.store.errors import QueryError
from leeward.store.event_store import EventStore
from leeward.store.query import ExchangeQuery, FindingQuery

FORM_BYTES = 4_096


def create_app(
    store: EventStore,
    live: LiveHub,
    tokens: TokenStore,
    status: Callable[[], dict[str, Any]],
    *,
    hosts: Iterable[str] = (),
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> FastAPI:
    """The ASGI application.

    status: what the agent says of itself: "version", "uptime_s", and counters in any nesting. hosts: names besides
    localhost under which it may be asked (DNS rebinding defence). clock: for spans such as "15m". heartbeat: seconds.
    """
    app = FastAPI(
        title="Leeward",
        version=__version__,
        description="Who talks to which model, with what data, and what came of it.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    counters: Counter[str] = Counter()
    sessions = Sessions(tokens, monotonic)
    app.include_router(api_router(store, live, tokens, status, clock, counters, heartbeat))
    _add_page(app, store, live, tokens, status, sessions, counters)
    app.add_exception_handler(QueryError, _bad_question)
    install_openapi(app)
    app.add_middleware(Guard, tokens=tokens, sessions=sessions, hosts=tuple(hosts), csp=CSP, counters=counters)
    return app


async def _bad_question(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 400)


def _add_page(
    app: FastAPI, store: EventStore, live: LiveHub, tokens: TokenStore, status: Callable[[], dict[str, Any]],
    sessions: Sessions, counters: Counter[str],
) -> None:  # fmt: skip
    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        who = request.scope["state"]["principal"]
        if who is None:
            return HTMLResponse(login_page())
        latest = [mask(item) for item in store.exchanges(ExchangeQuery(limit=20))]
        text = status_page(
            who=f"{who.name} ({who.role})",
            status=status(),
            health=store.health(),
            counters={"store": store.counters, "live": live.counters, "api": counters, "tokens": tokens.counters},
            coverage=store.coverage(),
            exchanges=latest,
            findings=store.findings(FindingQuery(limit=20)),
        )
        return HTMLResponse(text)

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        token = _form_token(await _small_body(request))
        who = tokens.authenticate(token) if token else None
        if who is None:
            counters["api_bad_login"] += 1
            return HTMLResponse(login_page("That token is not known here."), 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            sessions.begin(who),
            max_age=int(SESSION_SECONDS),
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @app.post("/logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        sessions.end(request.scope["state"]["session"])
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer


async def _small_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            return b""
    return body


def _form_token(body: bytes) -> str:
    """The token in a form or in a JSON object; "" when there is none."""
    if body.lstrip().startswith(b"{"):
        try:
            return str(msgspec.json.decode(body, type=dict[str, str]).get("token", ""))
        except msgspec.DecodeError:
            return ""
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=4).get("token", [""])[0].strip()
    except (UnicodeDecodeError, ValueError):
        return ""
