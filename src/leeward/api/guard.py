"""What stands before every request: the Host check, who is asking, and the headers of every answer.

Invariant: default deny. A path that is not in PUBLIC needs a bearer token or a session, whether it exists or not, so
a route that somebody adds is closed until it says otherwise.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

import msgspec

from leeward.api.tokens import Principal, TokenStore

PUBLIC = frozenset(
    {
        *((method, path) for method in ("GET", "HEAD") for path in ("/", "/api/v1/health", "/assets/leeward.svg")),
        ("POST", "/login"),
    }
)
COOKIE = "leeward_session"
SESSION_SECONDS = 12 * 3600.0
SESSIONS = 1_000
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/\s]+)(?::[0-9]{0,5})?", re.ASCII)
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Session(msgspec.Struct):
    principal: Principal
    ends: float


class Sessions:
    """Logins of the page, in memory: a restart logs everyone out, and the cookie is not the token."""

    def __init__(self, tokens: TokenStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, principal: Principal) -> str:
        """A new session's secret, for the cookie. The oldest session ends when there are too many."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._open[secret] = _Session(principal, self._clock() + SESSION_SECONDS)
            while len(self._open) > SESSIONS:
                self._open.popitem(last=False)
        return secret

    def find(self, secret: str) -> Principal | None:
        """Whose session it is. It ends with its time, and with the token that began it."""
        with self._lock:
            session = self._open.get(secret)
            if session and session.ends <= self._clock():
                del self._open[secret]
                session = None
        if session and not self._tokens.still_valid(session.principal):
            self.end(secret)
            return None
        return session.principal if session else None

    def end(self, secret: str) -> None:
        with self._lock:
            self._open.pop(secret, None)


class Guard:
    """ASGI middleware. Puts `principal` (or None on a public path) and `session` into scope["state"]."""

    def __init__(
        self,
        app: App,
        *,
        tokens: TokenStore,
        sessions: Sessions,
        hosts: Iterable[str],
        csp: str,
        counters: Counter[str],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._sessions = sessions
        self._hosts = frozenset(host.lower() for host in (*LOCAL_NAMES, *hosts))
        self._counters = counters
        self._headers = security_headers(csp)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # No WebSocket is served; refusing here keeps the default deny true for them too.
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(name, value) for name, value in self._headers if name not in given]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            self._counters[refusal[2]] += 1
            await _answer(guarded, *refusal[:2])
            return
        await self._app(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        """(status, detail, counter), or None to let the request through."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        host = headers.get("host", [])
        if len(host) != 1 or _name(host[0]) not in self._hosts:
            return 421, "this server does not answer to that name: add it to the allowed host names", "api_bad_host"
        principal, session = self._who(headers)
        state = scope.setdefault("state", {})
        state["principal"], state["session"] = principal, session
        by_cookie = bool(session) or (scope["method"], scope["path"]) == ("POST", "/login")
        if by_cookie and _foreign(headers, host[0], scope):
            return 403, "requests from another site are refused", "api_cross_site"
        if principal is None and (scope["method"], scope["path"]) not in PUBLIC:
            return 401, "a token is needed: Authorization: Bearer ...", "api_unauthorized"
        return None

    def _who(self, headers: dict[str, list[str]]) -> tuple[Principal | None, str]:
        given = headers.get("authorization", [])
        if given:
            scheme, _, token = given[0].partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer":
                return None, ""
            return self._tokens.authenticate(token.strip()), ""
        try:
            morsel = SimpleCookie("; ".join(headers.get("cookie", []))).get(COOKIE)
        except CookieError:
            return None, ""
        secret = morsel.value if morsel else ""
        principal = self._sessions.find(secret) if secret else None
        return principal, secret if principal else ""


def security_headers(csp: str) -> list[tuple[bytes, bytes]]:
    """Headers of every answer. Referrer-Policy is not no-referrer because that makes the Origin of a form null."""
    return [
        (b"content-security-policy", csp.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        (b"cache-control", b"no-store"),
    ]


def _name(host: str) -> str:
    """A Host header without its port, in lower case; "" when it is no host at all."""
    match = _HOST.fullmatch(host.strip().lower())
    return match[1] if match else ""


def _foreign(headers: dict[str, list[str]], host: str, scope: Scope) -> bool:
    """Another origin is behind this request. A typed address or a bookmark ("none") may open pages, not post forms."""
    site = headers.get("sec-fetch-site", [""])[0]
    safe = scope["method"] in ("GET", "HEAD")
    if site and site != "same-origin" and not (safe and (site == "none" or scope["path"] == "/")):
        return True
    origin = headers.get("origin", [])
    return bool(origin) and origin[0].lower() not in (f"http://{host.lower()}", f"https://{host.lower()}")


async def _answer(send: Send, status: int, detail: str) -> None:
    body = msgspec.json.encode({"detail": detail})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="leeward"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
