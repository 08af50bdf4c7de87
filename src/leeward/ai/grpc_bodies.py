"""gRPC bodies of AI services as the JSON that the same services speak over REST.

The tables in `protobufs/` (made by scripts/protobuf_tables.py from the services' published packages) give the names; a
decoder of the REST API reads the result. Invariant: never raises; a method that no table knows gives nothing.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec

from leeward.model.message import Message
from leeward.wire.grpc import parse_grpc
from leeward.wire.protobuf import Reader, Schema

TABLES = Path(__file__).parent / "protobufs"


class GrpcMessage(msgspec.Struct, frozen=True):
    """value: the message as JSON. end: offset in the body after it. whole: nothing of it is missing."""

    value: dict[str, Any]
    end: int
    whole: bool


@functools.cache
def methods() -> dict[str, tuple[Schema, tuple[str, str]]]:
    """gRPC path → the table that knows it, and the names of its request and response."""
    schemas = [msgspec.json.decode(p.read_bytes(), type=Schema, strict=False) for p in sorted(TABLES.glob("*.json"))]
    return {path: (schema, types) for schema in schemas for path, types in schema.methods.items()}


def is_grpc(message: Message) -> bool:
    """Does its content type say gRPC (not gRPC-Web, whose trailers are in the body)?"""
    return message.header("content-type").partition(";")[0].split("+")[0].strip().lower() == "application/grpc"


def grpc_messages(request: Message, message: Message) -> list[GrpcMessage]:
    """The messages of `message`, which is `request` itself or its response; [] if the method is not known."""
    known = methods().get(request.target.partition("?")[0])
    if known is None:
        return []
    schema, (asked, answered) = known
    reader = Reader(schema)
    name = asked if message is request else answered
    frames = parse_grpc(message.body, message.header("grpc-encoding"))
    return [GrpcMessage(reader.read(name, frame.data), frame.end, frame.whole) for frame in frames]
