"""What is in a body, whatever it is written in: one JSON value, or the events of a stream.

JSON and streams of it (server-sent events, newline-delimited, AWS event streams, a JSON array of chunks), and protobuf over
gRPC with names from tables; forms and bare files as records that describe them. Invariant: never raises; what had to be mended
or is missing is said.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

import msgspec

from leeward.ai.grpc_bodies import grpc_messages, is_grpc
from leeward.ai.jsontext import Json, Slice, dumps, load
from leeward.ai.multipart import file_record, read_multipart
from leeward.ai.values import record, text
from leeward.model.message import Message
from leeward.wire.eventstream import parse_eventstream
from leeward.wire.ndjson import parse_lines
from leeward.wire.sse import parse_sse

_FRAMINGS = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonl": "ndjson",
    "application/stream+json": "ndjson",
    "application/vnd.amazon.eventstream": "eventstream",
}
_FILES = (
    "multipart/form-data",
    "text/plain",
    "audio/",
    "image/",
    "video/",
    "application/octet-stream",
    "application/pdf",
)
NOTHING = Json(None, b"", True)


class Event(msgspec.Struct):
    """One event of a stream. done: it is the "[DONE]" that ends OpenAI's. end: offset in the body. whole: nothing is missing."""

    name: str
    body: Json
    end: int
    whole: bool
    done: bool = False


def media_type(message: Message) -> str:
    return message.header("content-type").partition(";")[0].strip().lower()


def framing(message: Message) -> str:
    """How the stream in this body is divided, by its content type; "" if that does not say."""
    return "grpc" if is_grpc(message) else _FRAMINGS.get(media_type(message), "")


def read(request: Message, message: Message) -> Json:
    """The body of `message`, which is `request` itself or its response, as one JSON value: a gRPC body's first message, the
    list of all lines, a form's fields, what is known of a file."""
    if is_grpc(message):
        first = next(iter(grpc_messages(request, message)), None)
        return _written(first.value, first.whole) if first else NOTHING
    body, kind = message.body, media_type(message)
    if not body.strip():
        return NOTHING
    if not kind.startswith(_FILES) and framing(message) != "ndjson":
        return load(body)
    if body.lstrip()[:1] in (b"{", b"[") and b"\0" not in body:  # many servers take JSON whatever type it is given
        return _lines(body) or load(body)
    if kind == "multipart/form-data":
        return _written(*read_multipart(body, message.header("content-type")))
    whole = message.complete and not message.truncated and not message.gap
    return _written(file_record(body, kind, whole), True)


def _lines(body: bytes) -> Json | None:
    """Several lines of JSON as a list; None if this is one value, on one line or on many."""
    lines = [line for line, _ in parse_lines(body)]
    if len(lines) < 2 or not load(lines[0]).exact:
        return None
    found = [load(line) for line in lines]
    return _written([line.value for line in found], all(line.exact for line in found))


def events(request: Message, response: Message, how: str) -> Iterator[Event]:
    """The events of a streamed response, divided as `how` says."""
    body = response.body
    if how == "grpc":
        for message in grpc_messages(request, response):
            yield Event("", _written(message.value, message.whole), message.end, message.whole)
    elif how == "eventstream":
        yield from _aws(body)
    elif how == "json-array":
        yield from _array(body)
    elif how == "ndjson":
        for line, end in parse_lines(body):
            if line.strip():
                yield Event("", load(line), end, True)
    else:
        for event in parse_sse(body):
            done = event.data.strip() == "[DONE]"
            if event.data.strip():
                yield Event(event.event, NOTHING if done else load(event.data), event.end, event.complete, done)


def _written(value: object, whole: bool) -> Json:
    return Json(value, dumps(value).encode(), whole)


def _aws(body: bytes) -> Iterator[Event]:
    """Events by the name in their header. An exception is an event "error" in the form of the other APIs. What
    invoke-with-response-stream wraps ({"bytes": base64 of the model's own JSON}) comes out unwrapped."""
    for frame in parse_eventstream(body):
        name = frame.text(":event-type")
        read = load(frame.payload) if frame.payload.strip() else NOTHING
        if frame.text(":message-type") in ("exception", "error"):
            kind = frame.text(":exception-type") or frame.text(":error-code")
            message = text(record(read.value).get("message")) or frame.text(":error-message")
            read, name = _written({"error": {"type": kind, "message": message}}, True), "error"
        elif name == "chunk" and isinstance(inner := record(read.value).get("bytes"), str):
            try:
                read = load(base64.b64decode(inner))
            except (binascii.Error, ValueError):
                read = Json(None, b"", False)
        yield Event(name, read, frame.end, frame.whole)


def _array(body: bytes) -> Iterator[Event]:
    """The elements of a JSON array, as far as it has come."""
    read = load(body)
    if not isinstance(read.value, list):
        yield Event("", read, len(body), read.exact)
        return
    source, at = Slice(read.text), 0
    for number, value in enumerate(read.value):
        piece = source.at(number).text().encode()
        found = body.find(piece, at)
        at = found + len(piece) if found >= 0 else len(body)
        yield Event("", Json(value, piece, read.exact), at, True)
