"""The ASGI application that sends replies: delays, compression, ragged writes, and the truth file.

One line of truth for each request, written when the reply has been sent or has failed: what came in, what went out,
whether all of it went out.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import brotli
import zstandard

from proving.servers import anthropic, bedrock, cohere, gemini, ollama, openai_api, realtime, site, words
from proving.servers.openai_common import GROQ, HUGGING_FACE, MISTRAL, OPENAI, VLLM
from proving.servers.reply import Ask, Json, Meaning, Reply, dumps

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_SEPARATORS = {b"\xe2\x80\xa8": b"\\u2028", b"\xe2\x80\xa9": b"\\u2029"}
_GO = {**_SEPARATORS, b"<": b"\\u003c", b">": b"\\u003e", b"&": b"\\u0026"}


def escaping(handle: Callable[[Ask], Reply], table: Mapping[bytes, bytes]) -> Callable[[Ask], Reply]:
    """The same server, whose JSON encoder escapes more: Go's (Ollama) never writes these characters as they are. For
    the others it is a choice: some of their clients split streams at U+2028 (httpx's iter_lines) and would lose text."""

    def handled(ask: Ask) -> Reply:
        reply = handle(ask)
        if "json" in reply.content_type or "event-stream" in reply.content_type:
            for plain, escaped in table.items():
                reply.pieces = [p.replace(plain, escaped) for p in reply.pieces]
        return reply

    return handled


APPS: Mapping[str, Callable[[Ask], Reply]] = {
    "openai": functools.partial(openai_api.handle, OPENAI),
    "groq": escaping(functools.partial(openai_api.handle, GROQ), _SEPARATORS),
    "mistral": escaping(functools.partial(openai_api.handle, MISTRAL), _SEPARATORS),
    "hugging_face": escaping(functools.partial(openai_api.handle, HUGGING_FACE), _SEPARATORS),
    "bedrock": bedrock.handle,
    "cohere": escaping(cohere.handle, _SEPARATORS),
    "vllm": functools.partial(openai_api.handle, VLLM),
    "anthropic": escaping(anthropic.handle, _SEPARATORS),
    "gemini": escaping(gemini.handle, _SEPARATORS),
    "ollama": escaping(ollama.handle, _GO),
    "site": site.handle,
}
_ORDER = ("br", "zstd", "gzip", "deflate")


@dataclass(frozen=True)
class Habits:
    """How servers behave. `delay_ms`: between the pieces of a stream. `compress`: "auto" takes the best coding that the
    client accepts, a coding's name takes that one if accepted, "none" never. `compress_streams`: event streams too.
    `ragged`: streams are written in pieces that respect neither events nor characters. `max_body`: bytes, over which
    a request is refused with 413."""

    delay_ms: float = 2.0
    compress: str = "auto"
    compress_streams: bool = False
    ragged: bool = False
    max_body: int = 64 << 20


class Truth:
    """Appends one JSON object a line; flushed at once, so that a reader sees what has been answered."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def write(self, record: dict[str, Json]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")


class App:
    """One server: `name` as in the truth, `api` a key of `APPS`, `tls` whether it is behind TLS."""

    def __init__(self, name: str, api: str, tls: bool, habits: Habits, truth: Truth) -> None:
        self._name, self._api, self._tls, self._habits, self._truth = name, APPS[api], tls, habits, truth
        self._serial = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._session(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.time()
        self._serial += 1
        body = await _read_body(receive, self._habits.max_body)
        ask = _ask(scope, body or b"", started, self._serial)
        if body is None:
            reply = Reply(413, [b"too large"], "text/plain", Meaning(error="too_large"))
        else:
            reply = self._api(ask)
        coding = choose_coding(self._habits, ask.headers.get("accept-encoding", ""), reply)
        pieces = list(encode(self._pieces(reply, ask), coding))
        record = self._record(scope, ask, reply, coding, pieces)
        try:
            await self._send(send, reply, pieces, coding, ask.method == "HEAD")
            record["complete"] = reply.cut is None
        finally:
            record["ended"] = time.time()
            self._truth.write(record)

    async def _session(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket: one line of truth an answer."""
        ask = _ask({**scope, "method": "GET"}, b"", time.time(), self._serial)
        session = realtime.handler(ask.path)
        await receive()  # websocket.connect
        if session is None:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})

        async def take() -> Json:
            message = await receive()
            return None if message["type"] == "websocket.disconnect" else realtime.parse(message)

        async def tell(event: Json) -> None:
            await send({"type": "websocket.send", "text": dumps(event).decode()})
            await asyncio.sleep(self._habits.delay_ms / 1000)

        async for meaning in session(ask, take, tell):
            self._serial += 1
            reply = Reply(101, [], "application/json", meaning)
            record = self._record(scope | {"method": "GET"}, replace(ask, serial=self._serial), reply, "", [])
            self._truth.write(record | {"complete": True, "ended": time.time()})

    def _pieces(self, reply: Reply, ask: Ask) -> list[bytes]:
        return ragged(reply.pieces, ask.hash("ragged")) if self._habits.ragged and reply.chunked else reply.pieces

    async def _send(self, send: Send, reply: Reply, pieces: list[bytes], coding: str, head: bool) -> None:
        headers = [("content-type", reply.content_type), *reply.headers]
        if coding:
            headers += [("content-encoding", coding), ("vary", "accept-encoding")]
        if not reply.chunked:
            headers.append(("content-length", str(sum(map(len, pieces)))))
        raw = [(k.encode(), v.encode()) for k, v in headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        for index, piece in enumerate([] if head else pieces):
            if reply.cut is not None and index >= reply.cut:
                return  # no end of the message: uvicorn closes the connection
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if reply.chunked and self._habits.delay_ms:
                await asyncio.sleep(self._habits.delay_ms / 1000)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _record(self, scope: Scope, ask: Ask, reply: Reply, coding: str, pieces: list[bytes]) -> dict[str, Json]:
        client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
        return {
            "server": self._name,
            "serial": ask.serial,
            "tls": self._tls,
            "client": list(client),
            "local": list(server),
            "method": ask.method,
            "path": ask.path,
            "query": ask.query,
            "headers": dict(ask.headers),
            "host": ask.headers.get("host", ""),
            "request": ask.data,
            "request_sha256": hashlib.sha256(ask.body).hexdigest(),
            "request_size": len(ask.body),
            "status": reply.status,
            "response_headers": dict(reply.headers),
            "request_id": dict(reply.headers).get("x-request-id") or dict(reply.headers).get("request-id", ""),
            "content_encoding": coding,
            "response_size": sum(map(len, reply.pieces)),
            "sent_size": sum(map(len, pieces)),
            "response_sha256": hashlib.sha256(b"".join(reply.pieces)).hexdigest(),
            "markers": sorted(set(words.MARKER.findall(ask.body.decode("utf-8", "replace")))),
            **asdict(reply.meaning),
            "started": ask.now,
            "complete": False,
        }


async def _read_body(receive: Receive, limit: int) -> bytes | None:
    """The request's body; None when it is longer than `limit` (the rest is read and thrown away)."""
    body = bytearray()
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            body += part
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(body) if size <= limit else None


def _ask(scope: Scope, body: bytes, now: float, serial: int) -> Ask:
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    try:
        data = json.loads(body) if body else None
    except ValueError:
        data = None
    return Ask(scope["method"], scope["path"], scope["query_string"].decode(), headers, body, data, now, serial)


def choose_coding(habits: Habits, accepted: str, reply: Reply) -> str:
    """The content coding of a reply, empty for none. Small bodies are left alone, as edges do."""
    if habits.compress == "none" or (reply.chunked and not habits.compress_streams):
        return ""
    if not reply.chunked and sum(map(len, reply.pieces)) < 256:
        return ""
    offered = {
        o.split(";")[0].strip().lower() for o in accepted.split(",") if "q=0" not in o.replace(" ", "").split(";")
    }
    wanted = _ORDER if habits.compress == "auto" else (habits.compress,)
    return next((c for c in wanted if c in offered), "")


def encode(pieces: Iterable[bytes], coding: str) -> Iterable[bytes]:
    """The pieces in a content coding, each flushed so that a stream stays one."""
    if not coding:
        yield from pieces
        return
    if coding == "br":
        br = brotli.Compressor(quality=4)
        yield from (br.process(p) + br.flush() for p in pieces)
        yield br.finish()
    elif coding == "zstd":
        z = zstandard.ZstdCompressor(level=3).compressobj()
        yield from (z.compress(p) + z.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for p in pieces)
        yield z.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
    else:
        d = zlib.compressobj(6, zlib.DEFLATED, 31 if coding == "gzip" else 15)
        yield from (d.compress(p) + d.flush(zlib.Z_SYNC_FLUSH) for p in pieces)
        yield d.flush(zlib.Z_FINISH)


def ragged(pieces: Iterable[bytes], seed: str) -> list[bytes]:
    """The same bytes in other pieces: 1 to 700 bytes, across events and characters."""
    source = words.rng("ragged", seed)
    data = b"".join(pieces)
    out = []
    at = 0
    while at < len(data):
        size = source.choice((1, 7, 40, 150, 300, 700))
        out.append(data[at : at + size])
        at += size
    return out
