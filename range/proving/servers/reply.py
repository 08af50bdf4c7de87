"""What a server is asked and what it answers: plain values, so that every API is a pure function and easy to test.

A `Reply` carries the bytes to send, in the pieces in which they are sent, and beside them what they mean (`Meaning`):
the truth that an observer of the wire must arrive at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Any
"""Decoded JSON."""


@dataclass(frozen=True)
class Ask:
    """A request: `headers` with lower-case names, `body` as sent, `data` the JSON of it (None if it is not JSON),
    `now` Unix seconds, `serial` the number of the request at this server."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    data: Json = None
    now: float = 0.0
    serial: int = 0

    def bearer(self) -> str:
        """The key of an `Authorization: Bearer` header; empty without."""
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def hash(self, salt: str = "") -> str:
        """64 hex digits that depend on the path and body alone: every id and choice of a reply comes from here."""
        return hashlib.sha256(f"{salt}\0{self.path}\0".encode() + self.body).hexdigest()


@dataclass
class Meaning:
    """What a reply says: kept in the truth file, never sent."""

    operation: str = ""
    model: str = ""
    response_model: str = ""
    response_id: str = ""
    text: str = ""
    texts: list[str] = field(default_factory=list)
    thinking: str = ""
    tool_calls: list[dict[str, Json]] = field(default_factory=list)
    finish: list[str] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    stream: bool = False
    error: str = ""


@dataclass
class Reply:
    """`pieces` are sent one by one with the server's delay between; `cut` closes the connection after that many of
    them, without an end of the message."""

    status: int
    pieces: list[bytes]
    content_type: str
    meaning: Meaning = field(default_factory=Meaning)
    headers: list[tuple[str, str]] = field(default_factory=list)
    cut: int | None = None
    chunked: bool = False


def dumps(value: Json, indent: int | None = None) -> bytes:
    """JSON as the vendors write it: UTF-8, not escaped."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators).encode()


def json_reply(value: Json, meaning: Meaning, *, status: int = 200, indent: int | None = None) -> Reply:
    """One JSON document with a Content-Length."""
    return Reply(status, [dumps(value, indent)], "application/json", meaning)


def sse_reply(events: Sequence[tuple[str, Json]], meaning: Meaning, *, done: bool = False) -> Reply:
    """Server-sent events (name, data); an empty name is left out. `done`: end with OpenAI's `data: [DONE]`."""
    pieces = [(f"event: {n}\n".encode() if n else b"") + b"data: " + dumps(d) + b"\n\n" for n, d in events]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return Reply(200, pieces, "text/event-stream; charset=utf-8", meaning, chunked=True)


def ndjson_reply(lines: Sequence[Json], meaning: Meaning) -> Reply:
    """One JSON document a line, as Ollama streams."""
    return Reply(200, [dumps(v) + b"\n" for v in lines], "application/x-ndjson", meaning, chunked=True)


def cut_if_asked(reply: Reply, model: str) -> Reply:
    """The model `range-cut` breaks off in the middle of a stream, as a server that dies does."""
    if model.endswith("range-cut") and reply.chunked:
        reply.cut = max(1, len(reply.pieces) // 2)
    return reply
