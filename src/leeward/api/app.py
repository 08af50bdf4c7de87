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
from leeward.api.baselines import Baselines, BaselinesBusy, baselines_router
from leeward.api.bodies import small_body
from leeward.api.documents import install_openapi
from leeward.api.guard import COOKIE, SESSION_SECONDS, Guard, Sessions
from leeward.api.hub import LiveHub
from leeward.api.page import CSP, STATIC, built_page, login_page
from leeward.api.routes import HEARTBEAT_SECONDS, api_router
from leeward.api.screens import Paper, screens_router
from leeward.api.threats import threats_router
from leeward.api.tokens import TokenStore
from leeward.policy.audit import Audit
from leeward.store.errors import QueryError
from leeward.store.event_store import EventStore

_MEDIA = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def create_app(
    store: EventStore,
    live: LiveHub,
    tokens: TokenStore,
    status: Callable[[], dict[str, Any]],
    *,
    baselines: Baselines | None = None,
    hosts: Iterable[str] = (),
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
    heartbeat: float = HEARTBEAT_SECONDS,
    paper: Paper | None = None,
) -> FastAPI:
    """The ASGI application.

    status: what the agent says of itself: "version", "uptime_s", and counters in any nesting. baselines: what it
    learned. hosts: names besides localhost under which it may be asked (DNS rebinding defence). clock: for spans such as "15m".
    heartbeat: seconds. paper: where policies and the audit log are, None: nowhere.
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
    app.include_router(screens_router(store, clock, paper))
    app.include_router(threats_router(store, live, clock, Audit(paper.audit) if paper is not None else None))
    if baselines is not None:
        app.include_router(baselines_router(baselines))
    _add_page(app, tokens, sessions, counters)
    app.add_exception_handler(QueryError, _bad_question)
    app.add_exception_handler(BaselinesBusy, _busy)
    install_openapi(app)
    app.add_middleware(Guard, tokens=tokens, sessions=sessions, hosts=tuple(hosts), csp=CSP, counters=counters)
    return app


async def _bad_question(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 400)


async def _busy(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503)


def _add_page(app: FastAPI, tokens: TokenStore, sessions: Sessions, counters: Counter[str]) -> None:
    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        who = request.scope["state"]["principal"]
        if who is None:
            return HTMLResponse(login_page())
        return HTMLResponse(built_page())

    @app.get("/assets/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        path = STATIC / "assets" / name
        if path.suffix not in _MEDIA or path.parent != STATIC / "assets" or not path.is_file():
            return Response(status_code=404)
        return Response(
            path.read_bytes(), media_type=_MEDIA[path.suffix], headers={"Cache-Control": "max-age=31536000, immutable"}
        )

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        token = _form_token(await small_body(request))
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
