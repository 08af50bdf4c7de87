"""Protocol Buffers messages as JSON values, by tables of field numbers and names.

Sources: protobuf.dev "Encoding" and "ProtoJSON Format"; unlike there, 64-bit integers stay numbers and bytes are given as their
base64 only up to a limit. Invariant: never raises; depth, number of fields and sizes are bounded; what the tables do not know
is left out and counted.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from typing import Any

import msgspec

MAX_DEPTH = 64
MAX_FIELDS = 100_000
_STRUCT, _VALUE, _LIST = "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"
_DOUBLE, _FLOAT = Struct("<d"), Struct("<f")
_NUMBERS_KEPT = 64  # of a packed list of numbers (a vector): the first ones, and how many there are


class Field(msgspec.Struct, frozen=True, array_like=True):
    """name: as in JSON. type: a scalar's, or a message's or an enum's full name. label: "", "repeated" or "map"."""

    name: str
    type: str
    label: str = ""


class Schema(msgspec.Struct, frozen=True):
    """methods: gRPC path → (request, response). messages: full name → field number → Field. enums: name → number → name."""

    source: str
    methods: Mapping[str, tuple[str, str]]
    messages: Mapping[str, Mapping[int, Field]]
    enums: Mapping[str, Mapping[int, str]]


class Vector(list[Any]):
    """The first numbers of a packed list. length: how many there are."""

    length: int = 0


class Reader:
    """Reads messages of one schema. `unknown` counts fields that the tables do not have, `bad` what is not protobuf."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.unknown = self.bad = 0
        self._left = MAX_FIELDS

    def read(self, name: str, data: bytes) -> dict[str, Any]:
        """The message `name`, as far as `data` can be read."""
        self._left = MAX_FIELDS
        return self._message(name, memoryview(data), 0)

    def _message(self, name: str, data: memoryview, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        fields = self.schema.messages.get(name, {})
        for number, kind, value in self._fields(data):
            field = fields.get(number)
            if field is None:
                self.unknown += 1
            elif depth < MAX_DEPTH:
                self._take(found, field, kind, value, depth)
        return found

    def _take(self, found: dict[str, Any], field: Field, kind: int, value: Any, depth: int) -> None:
        if field.label == "map":
            entry = self._message(field.type, value, depth + 1) if kind == 2 else {}
            found.setdefault(field.name, {})[str(entry.get("key", ""))] = entry.get("value")
        elif field.label == "repeated" and (one := _PACKED.get(self._scalar(field.type))) is not None:
            held = found.setdefault(field.name, Vector())
            items = one(value) if kind == 2 else [_SCALARS[self._scalar(field.type)](value)]
            for item in items:  # a packed field may come in parts, and unpacked
                held.length += 1
                if len(held) < _NUMBERS_KEPT:
                    held.append(self._named(field.type, item))
        elif field.label == "repeated":
            found.setdefault(field.name, []).append(self._value(field.type, kind, value, depth))
        else:
            found[field.name] = self._value(field.type, kind, value, depth)

    def _scalar(self, name: str) -> str:
        return "enum" if name in self.schema.enums else name

    def _named(self, kind: str, number: Any) -> Any:
        names = self.schema.enums.get(kind)
        return names.get(_signed(number), number) if names is not None else number

    def _value(self, name: str, kind: int, value: Any, depth: int) -> Any:
        if kind == 2:
            if name == "string":
                return bytes(value).decode("utf-8", "replace")
            if name == "bytes":
                return base64.b64encode(value).decode()
            if name in (_STRUCT, _VALUE, _LIST):
                return self._any(name, value, depth + 1)
            return self._message(name, value, depth + 1)
        one = _SCALARS.get(self._scalar(name))
        if one is None:
            self.bad += 1
            return None
        return self._named(name, one(value))

    def _any(self, name: str, data: memoryview, depth: int) -> Any:
        """google.protobuf.Struct {1: map}, Value {1 null, 2 number, 3 string, 4 bool, 5 struct, 6 list}, ListValue {1}."""
        if depth > MAX_DEPTH:
            return None
        if name == _VALUE:
            return self._any_value(data, depth)
        values: dict[str, Any] = {}
        items: list[Any] = []
        for number, kind, value in self._fields(data):
            if number != 1 or kind != 2:
                self.unknown += 1
            elif name == _LIST:
                items.append(self._any_value(value, depth + 1))
            else:
                entry = {n: v for n, k, v in self._fields(value) if k == 2}
                values[bytes(entry.get(1, b"")).decode("utf-8", "replace")] = self._any_value(
                    entry.get(2, memoryview(b"")), depth + 1
                )
        return items if name == _LIST else values

    def _any_value(self, data: memoryview, depth: int) -> Any:
        found: Any = None
        for number, kind, value in self._fields(data):
            if number == 2 and kind == 1:
                found = _number(_DOUBLE.unpack(value)[0])
            elif number == 3 and kind == 2:
                found = bytes(value).decode("utf-8", "replace")
            elif number == 4 and kind == 0:
                found = bool(value)
            elif number in (5, 6) and kind == 2:
                found = self._any(_STRUCT if number == 5 else _LIST, value, depth + 1)
        return found

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int, Any]]:
        """(number, wire type, value): int for varints, memoryview otherwise. Groups (3, 4) are not read."""
        at, size = 0, len(data)
        while at < size and self._left > 0:
            self._left -= 1
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            if at < 0 or not number:
                self.bad += 1
                return
            if kind == 0:
                value, at = _varint(data, at)
                if at < 0:
                    self.bad += 1
                    return
                yield number, kind, value
                continue
            length = {1: 8, 5: 4}.get(kind, -1)
            if kind == 2:
                length, at = _varint(data, at)
            if length < 0 or at < 0 or at + length > size:
                self.bad += 1
                if kind == 2 and 0 <= at < size and length >= 0:
                    yield number, kind, data[at:]  # cut: what there is of it
                return
            yield number, kind, data[at : at + length]
            at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(value, where it ends); the end is -1 for one that is cut or longer than ten bytes."""
    value = shift = 0
    for i in range(at, min(at + 10, len(data))):
        byte = data[i]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, i + 1
        shift += 7
    return 0, -1


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _number(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    whole = value.is_integer() and abs(value) < 1 << 53 and (value or math.copysign(1, value) > 0)
    return int(value) if whole else value


def _fixed(size: int, signed: bool) -> Callable[[Any], int]:
    """A varint where a fixed number belongs reads as 0: `bytes` of a number would be that many zeros."""
    return lambda value: 0 if isinstance(value, int) else int.from_bytes(value[:size], "little", signed=signed)


_SCALARS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("int32", "int64"), lambda value: _signed(value) if isinstance(value, int) else 0),
    **dict.fromkeys(("uint32", "uint64"), lambda value: value if isinstance(value, int) else 0),
    **dict.fromkeys(("sint32", "sint64"), lambda value: _zigzag(value) if isinstance(value, int) else 0),
    "bool": bool,
    "enum": lambda value: value if isinstance(value, int) else 0,
    "double": lambda value: (
        _number(_DOUBLE.unpack(value)[0]) if not isinstance(value, int) and len(value) == 8 else None
    ),
    "float": lambda value: _number(_FLOAT.unpack(value)[0]) if not isinstance(value, int) and len(value) == 4 else None,
    "fixed64": _fixed(8, False),
    "fixed32": _fixed(4, False),
    "sfixed64": _fixed(8, True),
    "sfixed32": _fixed(4, True),
}


def _packed_fixed(size: int, one: Callable[[Any], Any]) -> Callable[[memoryview], Iterator[Any]]:
    return lambda data: (one(data[i : i + size]) for i in range(0, len(data) - size + 1, size))


def _packed_varints(one: Callable[[Any], Any]) -> Callable[[memoryview], Iterator[Any]]:
    def items(data: memoryview) -> Iterator[Any]:
        at = 0
        while at < len(data):
            value, at = _varint(data, at)
            if at < 0:
                return
            yield one(value)

    return items


_PACKED: dict[str, Callable[[memoryview], Iterator[Any]]] = {
    name: _packed_fixed(size, _SCALARS[name])
    for names, size in ((("double", "fixed64", "sfixed64"), 8), (("float", "fixed32", "sfixed32"), 4))
    for name in names
} | {
    name: _packed_varints(_SCALARS[name])
    for name in ("int32", "int64", "uint32", "uint64", "sint32", "sint64", "bool", "enum")
}
