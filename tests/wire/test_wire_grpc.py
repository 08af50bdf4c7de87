"""gRPC framing and protobuf: equal to what Google's own library encodes; any bytes do no harm."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from leeward.wire.grpc import parse_grpc
from leeward.wire.protobuf import MAX_DEPTH, Field, Reader, Schema, Vector

SCALARS = [
    "double",
    "float",
    "int64",
    "uint64",
    "int32",
    "fixed64",
    "fixed32",
    "bool",
    "string",
    "bytes",
    "uint32",
    "sfixed32",
    "sfixed64",
    "sint32",
    "sint64",
]
T = descriptor_pb2.FieldDescriptorProto


def _factory() -> type:
    """A message `t.M` with every scalar alone (1..15) and repeated (21..35), itself (40, 41 repeated), and a Struct (42)."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    message = file.message_type.add(name="M")
    for i, name in enumerate(SCALARS, 1):
        kind = getattr(T, f"TYPE_{name.upper()}")
        message.field.add(name=f"one_{name}", number=i, type=kind, label=T.LABEL_OPTIONAL)
        message.field.add(name=f"many_{name}", number=i + 20, type=kind, label=T.LABEL_REPEATED)
    message.field.add(name="self", number=40, type=T.TYPE_MESSAGE, type_name=".t.M", label=T.LABEL_OPTIONAL)
    message.field.add(name="selves", number=41, type=T.TYPE_MESSAGE, type_name=".t.M", label=T.LABEL_REPEATED)
    message.field.add(
        name="free", number=42, type=T.TYPE_MESSAGE, type_name=".google.protobuf.Struct", label=T.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    known = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(known)
    pool.Add(known)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.M"))


M = _factory()
_fields = {i: Field(f"one_{n}", n) for i, n in enumerate(SCALARS, 1)}
_fields |= {i + 20: Field(f"many_{n}", n, "repeated") for i, n in enumerate(SCALARS, 1)}
_fields |= {
    40: Field("self", "t.M"),
    41: Field("selves", "t.M", "repeated"),
    42: Field("free", "google.protobuf.Struct"),
}
SCHEMA = Schema("test", {}, {"t.M": _fields}, {})

signed32, signed64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
unsigned32, unsigned64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
VALUES = {
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "string": st.text(max_size=20),
    "bytes": st.binary(max_size=20),
    **dict.fromkeys(("int32", "sint32", "sfixed32"), signed32),
    **dict.fromkeys(("int64", "sint64", "sfixed64"), signed64),
    **dict.fromkeys(("uint32", "fixed32"), unsigned32),
    **dict.fromkeys(("uint64", "fixed64"), unsigned64),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def messages(draw: st.DrawFn, depth: int = 2) -> object:
    made = M()
    for name in draw(st.lists(st.sampled_from(SCALARS), max_size=5, unique=True)):
        setattr(made, f"one_{name}", draw(VALUES[name]))
    for name in draw(st.lists(st.sampled_from(SCALARS), max_size=3, unique=True)):
        getattr(made, f"many_{name}").extend(draw(st.lists(VALUES[name], max_size=4)))
    if depth and draw(st.booleans()):
        made.self.CopyFrom(draw(messages(depth - 1)))
        made.selves.append(draw(messages(depth - 1)))
    if draw(st.booleans()):
        ParseDict(draw(st.dictionaries(st.text(max_size=3), JSON, max_size=3)), made.free)
    return made


def plain(value: object) -> object:
    """ProtoJSON's 64-bit integers as numbers, numbers compared as floats."""
    if isinstance(value, dict):
        return {k: int(v) if "64" in k and isinstance(v, str) else plain64(k, v) for k, v in value.items()}
    return value


def plain64(key: str, value: object) -> object:
    if isinstance(value, list) and "64" in key:
        return [int(v) for v in value]
    if isinstance(value, list):
        return [plain(v) for v in value]
    return plain(value)


@given(messages())
def test_equal_to_googles(made: object) -> None:
    wanted = plain(MessageToDict(made, preserving_proto_field_name=True))
    read = Reader(SCHEMA).read("t.M", made.SerializeToString())
    again = M()
    ParseDict(_json_ready(read), again)  # zeros of proto3 that are told explicitly are no difference
    assert plain(MessageToDict(again, preserving_proto_field_name=True)) == wanted


def _json_ready(value: object) -> object:
    if isinstance(value, dict):
        return {k: _json_ready(v) for k, v in value.items()}
    return [_json_ready(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("number", range(1, 16))
def test_a_varint_in_any_field_costs_nothing(number: int) -> None:
    """In a fixed32 it once made as many zeros as it said: here 2^60."""
    tracemalloc.start()
    try:
        Reader(SCHEMA).read("t.M", bytes([number << 3]) + b"\x80" * 8 + b"\x10")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    Reader(SCHEMA).read("t.M", data)
    for encoding in ("", "gzip", "deflate", "br"):
        assert sum(len(f.data) for f in parse_grpc(data, encoding, most=1000)) <= max(len(data), 1000)


def test_depth_and_vectors_are_bounded() -> None:
    deep = b""
    for _ in range(MAX_DEPTH * 3):
        head = len(deep)
        size = b"" if head else b"\x00"
        while head:
            size += bytes([head & 0x7F | (0x80 if head > 0x7F else 0)])
            head >>= 7
        deep = b"\xc2\x02" + size + deep
    found, depth = Reader(SCHEMA).read("t.M", deep), 0
    while "self" in found and isinstance(found["self"], dict):
        found, depth = found["self"], depth + 1
    assert depth <= MAX_DEPTH
    made = M()
    made.many_float.extend([0.5] * 1536)
    vector = Reader(SCHEMA).read("t.M", made.SerializeToString())["many_float"]
    assert isinstance(vector, Vector)
    assert (len(vector), vector.length) == (64, 1536)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("", None)])
def test_frames(encoding: str, pack: object) -> None:
    texts = [b"one", b"", b"three" * 1000]
    packed = [pack(t) if pack else t for t in texts]  # type: ignore[operator]
    body = b"".join(bytes([bool(pack)]) + len(p).to_bytes(4, "big") + p for p in packed)
    frames = list(parse_grpc(body, encoding))
    assert [(f.data, f.whole) for f in frames] == [(t, True) for t in texts]
    assert frames[-1].end == len(body)
    cut = list(parse_grpc(body[:-1], encoding))
    assert not cut[-1].whole


def test_a_bomb_is_cut() -> None:
    packed = gzip.compress(bytes(50 << 20), mtime=0)
    body = b"\x01" + len(packed).to_bytes(4, "big") + packed
    (frame,) = parse_grpc(body, "gzip", most=1 << 20)
    assert (len(frame.data), frame.whole) == (1 << 20, False)
