"""What the gateway itself answers, in the error format of the API that was called, so that the API's own SDK understands it.

The forms are the providers' published ones. Invariant: a message is one line of plain text, and nothing of the request is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from leeward.ai.catalogue import Match

BLOCKED, MISDIRECTED, TOO_MUCH, BROKEN = 403, 421, 503, 502
_MOST = 1000  # characters of a message
_REASONS: Final = {
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 421: "Misdirected Request", 502: "Bad Gateway",
    503: "Service Unavailable",
}  # fmt: skip
_OURS: Final = "x-leeward-gateway"


class Answer(msgspec.Struct, frozen=True):
    """A whole HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def reason(self) -> str:
        return _REASONS.get(self.status, "Error")


def _openai(status: int, message: str) -> dict[str, Any]:
    kind = "permission_error" if status == BLOCKED else "invalid_request_error" if status < 500 else "server_error"
    code = {BLOCKED: "blocked_by_policy", BROKEN: "bad_gateway", TOO_MUCH: "unavailable"}.get(status)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic(status: int, message: str) -> dict[str, Any]:
    kinds = {BLOCKED: "permission_error", 404: "not_found_error", TOO_MUCH: "overloaded_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _google(status: int, message: str) -> dict[str, Any]:
    codes = {BLOCKED: "PERMISSION_DENIED", 404: "NOT_FOUND"}
    code = codes.get(status, "INVALID_ARGUMENT" if status < 500 else "UNAVAILABLE")
    return {"error": {"code": status, "message": message, "status": code}}


def _bedrock(status: int, message: str) -> dict[str, Any]:
    return {"message": message}


def _ollama(status: int, message: str) -> dict[str, Any]:
    return {"error": message}


_Form = Callable[[int, str], dict[str, Any]]
#: By the first part of the API's id, then by the provider; all others speak OpenAI's.
_BY_API: Final[Mapping[str, _Form]] = {
    "anthropic": _anthropic, "gemini": _google, "vertex": _google, "bedrock": _bedrock, "ollama": _ollama,
    "cohere": _bedrock, "tgi": _ollama,
}  # fmt: skip
_BY_PROVIDER: Final[Mapping[str, _Form]] = {
    "anthropic": _anthropic, "anthropic_compatible": _anthropic, "gcp.gemini": _google, "gcp.vertex_ai": _google,
    "gcp.gen_ai": _google, "aws.bedrock": _bedrock, "ollama": _ollama, "cohere": _bedrock, "hugging_face": _ollama,
}  # fmt: skip
#: Bedrock's SDKs find the exception's name in this header.
_EXCEPTIONS: Final = {BLOCKED: "AccessDeniedException", BROKEN: "ServiceUnavailableException"}


def answer(match: Match | None, status: int, message: str, provider: str = "") -> Answer:
    """match: what was called, None if no API is known. provider: whose host it is, if that is all that is known."""
    api = match.api.partition(".")[0] if match is not None else ""
    form = _BY_API.get(api) or _BY_PROVIDER.get(match.provider if match is not None else provider, _openai)
    body = json.dumps(form(status, _plain(message))).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    if form is _bedrock and status in _EXCEPTIONS:
        headers.append(("x-amzn-errortype", _EXCEPTIONS[status]))
    return Answer(status, [*headers, (_OURS, "blocked" if status == BLOCKED else "failed")], body)


def plain(status: int, message: str) -> Answer:
    """For who called no API: a tunnel, a path that leads nowhere."""
    body = f"leeward gateway: {_plain(message)}\n".encode()
    headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body))), (_OURS, "failed")]
    return Answer(status, headers, body)


def _plain(message: str) -> str:
    return "".join(c if c.isprintable() else " " for c in message)[:_MOST]
