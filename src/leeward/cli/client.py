"""The command line's way to the local API.

Invariant: whatever goes wrong between here and the agent is a LeewardError of one line that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from leeward.model.errors import LeewardError
from leeward.store.paths import CLI_TOKEN_NAME, state_dir

DEFAULT_URL = "http://127.0.0.1:8420"
TIMEOUT_SECONDS = 30.0
PAGE = 1_000


class ApiError(LeewardError):
    """The API cannot be reached or refuses."""


class Api:
    """A client of one Leeward. url and token: from LEEWARD_URL and LEEWARD_TOKEN, else this host's own."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers={"authorization": f"Bearer {token}"},
                timeout=TIMEOUT_SECONDS,
                transport=transport,
                # A proxy from the environment must not see the token of a local service.
                trust_env=False,
            )
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise ApiError(f"LEEWARD_URL or LEEWARD_TOKEN is malformed: {error}") from error

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer of GET /api/v1`path`; empty parameters are left out."""
        return self.decoded(self.raw(path, parameters))

    def raw(self, path: str, parameters: Mapping[str, Any] | None = None) -> bytes:
        """The answer as it came."""
        with self._errors():
            response = self._http.get(f"/api/v1{path}", params=_given(parameters))
            self._check(response)
            return response.content

    def post(self, path: str, body: Any) -> Any:
        """The decoded answer of POST /api/v1`path` with `body` as JSON."""
        with self._errors():
            headers = {"content-type": "application/json"}
            response = self._http.post(f"/api/v1{path}", content=msgspec.json.encode(body), headers=headers)
            self._check(response)
            return self.decoded(response.content)

    def decoded(self, content: bytes) -> Any:
        """An answer's JSON."""
        try:
            return msgspec.json.decode(content)
        except msgspec.DecodeError:
            raise ApiError(f"{self.url} does not answer as Leeward does: is LEEWARD_URL right?") from None

    def pages(self, path: str, name: str, limit: int, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Up to `limit` records of a list, page after page."""
        cursor = ""
        while limit > 0:
            page = self.get(path, {**parameters, "limit": min(limit, PAGE), "cursor": cursor})
            yield from page[name]
            limit -= len(page[name])
            cursor = page["next"]
            if not cursor:
                return

    def stream(self, types: str = "", last_id: str = "") -> Iterator[tuple[str, str, bytes]]:
        """(id, event, data) of the live stream until the server ends it. A comment comes as ("", "", b"")."""
        headers = {"last-event-id": last_id} if last_id else {}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=60.0)
        with (
            self._errors(),
            self._http.stream(
                "GET", "/api/v1/stream", params=_given({"types": types}), headers=headers, timeout=timeout
            ) as response,
        ):
            if response.status_code != 200:
                response.read()
            self._check(response)
            yield from _parse_sse(response.iter_bytes())

    def close(self) -> None:
        self._http.close()

    def _check(self, response: httpx.Response) -> None:
        if response.status_code == 200:
            return
        try:
            detail = msgspec.json.decode(response.content)["detail"]
            text = detail if isinstance(detail, str) else _validation(detail)
        except (msgspec.DecodeError, KeyError, TypeError):
            raise ApiError(f"{self.url} answers {response.status_code}: is LEEWARD_URL right?") from None
        if response.status_code == 401:
            raise ApiError(
                f"{self.url} does not know this token: set LEEWARD_TOKEN, or run as the user of `leeward run`"
            )
        raise ApiError(text)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            raise ApiError(
                f"nothing answers at {self.url}: start `leeward run`, or name another with LEEWARD_URL"
            ) from None
        except httpx.TimeoutException:
            raise ApiError(f"{self.url} does not answer in time: try again, or ask for less") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiError(f"the connection to {self.url} broke: {error or type(error).__name__}") from None


def connect(env: Mapping[str, str] | None = None) -> Api:
    """The Api that the environment names."""
    env = os.environ if env is None else env
    url = env.get("LEEWARD_URL") or DEFAULT_URL
    token = env.get("LEEWARD_TOKEN") or ("" if env.get("LEEWARD_URL") else _local_token(state_dir(env)))
    if not token:
        raise ApiError("LEEWARD_URL is set but LEEWARD_TOKEN is not: set it to a token of that server")
    return Api(url, token.strip())


def _local_token(directory: Path) -> str:
    path = directory / CLI_TOKEN_NAME
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        # Most likely nothing runs here; the connection will say so, and if something does, the 401 will.
        return "none"
    except PermissionError:
        raise ApiError(f"{path} is only for the user of `leeward run`: use sudo, or set LEEWARD_TOKEN") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError(f"cannot read the token in {path}: {error}") from None


def _given(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (parameters or {}).items() if value not in ("", None)}


def _validation(detail: Any) -> str:
    """FastAPI's list of what is wrong, as one line."""
    return "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in detail)


def _parse_sse(chunks: Iterator[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """Our own server's frames: one `data` line each, LF line ends."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        *frames, buffer = buffer.split(b"\n\n")
        for frame in frames:
            fields = dict(line.partition(b": ")[::2] for line in frame.split(b"\n") if not line.startswith(b":"))
            yield fields.get(b"id", b"").decode(), fields.get(b"event", b"").decode(), fields.get(b"data", b"")
