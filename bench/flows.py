"""The same conversations for every decoder that is measured: connections as pieces of bytes in both directions.

A connection carries ten chat calls. A file of them is read by the decoders, which run in environments of their own.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

PER_CONNECTION = 10
PIECE = 1400  # bytes: about a segment
SHAPES = ("json", "sse", "http2")
_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 200}}],
    "usage": {"prompt_tokens": 300, "completion_tokens": 200, "total_tokens": 500},
}
_CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "word "}}],
}
Piece = tuple[bool, bytes]


def _bodies(stream: bool) -> tuple[bytes, list[bytes]]:
    """A request's body, and the answer's: whole, or event by event."""
    asked = {"model": "m", "messages": [{"role": "user", "content": "Please say it again. " * 60}]}
    if not stream:
        return json.dumps(asked).encode(), [json.dumps(_ANSWER).encode()]
    event = b"data: " + json.dumps(_CHUNK).encode() + b"\n\n"
    return json.dumps(asked | {"stream": True}).encode(), [event] * 200 + [b"data: [DONE]\n\n"]


def _cut(pieces: Iterator[Piece]) -> list[Piece]:
    return [(side, data[at : at + PIECE]) for side, data in pieces for at in range(0, len(data), PIECE)]


def _http1(stream: bool) -> Iterator[Piece]:
    body, answer = _bodies(stream)
    kind = b"text/event-stream\r\ntransfer-encoding: chunked" if stream else b"application/json"
    for _ in range(PER_CONNECTION):
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\ncontent-type: application/json\r\n"
        yield True, head + b"content-length: %d\r\n\r\n" % len(body) + body
        if stream:
            yield False, b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n\r\n" % kind
            for event in answer:
                yield False, b"%x\r\n%s\r\n" % (len(event), event)
            yield False, b"0\r\n\r\n"
        else:
            length = b"content-length: %d\r\n\r\n" % len(answer[0])
            yield False, b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s" % (kind, length) + answer[0]


def _http2() -> Iterator[Piece]:
    """Calls one after the other, every other one streamed, as `h2` writes them."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection

    client, server = H2Connection(H2Configuration(True)), H2Connection(H2Configuration(False))
    client.initiate_connection()
    server.initiate_connection()
    client.increment_flow_control_window(1 << 24)

    def up() -> Iterator[Piece]:
        data = client.data_to_send()
        server.receive_data(data)
        yield True, data

    def down() -> Iterator[Piece]:
        data = server.data_to_send()
        client.receive_data(data)
        yield False, data

    yield from up()
    yield from down()
    yield from up()
    for number in range(PER_CONNECTION):
        body, answer = _bodies(number % 2 == 1)
        stream = client.get_next_available_stream_id()
        head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "api.openai.com"),
            (":path", "/v1/chat/completions"),
        ]
        client.send_headers(stream, [*head, ("content-type", "application/json")])
        client.send_data(stream, body, end_stream=True)
        yield from up()
        kind = "text/event-stream" if number % 2 else "application/json"
        server.send_headers(stream, [(":status", "200"), ("content-type", kind)])
        for event in answer:
            server.send_data(stream, event)
            yield from down()
            client.increment_flow_control_window(len(event), stream)
            client.increment_flow_control_window(len(event))
            yield from up()
        server.end_stream(stream)
        yield from down()


def connection(shape: str) -> list[Piece]:
    """One connection of this shape."""
    return _cut(_http2() if shape == "http2" else _http1(shape == "sse"))


def write(path: Path, pieces: list[Piece]) -> None:
    path.write_bytes(b"".join(struct.pack(">BI", side, len(data)) + data for side, data in pieces))


def read(path: Path) -> list[Piece]:
    data, at, pieces = path.read_bytes(), 0, []
    while at < len(data):
        side, size = struct.unpack_from(">BI", data, at)
        pieces.append((bool(side), data[at + 5 : at + 5 + size]))
        at += 5 + size
    return pieces
