"""What a condition is made of, read from the checked expression that the compiler writes (cel/expr/checked.proto, syntax.proto).

Invariant: an expression is read whole or refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from leeward.wire.protobuf import Field, Reader, Schema

_EXPR = "Expr"
_MESSAGES = {
    "Any": {2: Field("value", "Checked")},
    "Checked": {4: Field("expr", _EXPR)},
    _EXPR: {
        3: Field("const", "Constant"),
        4: Field("ident", "Ident"),
        5: Field("select", "Select"),
        6: Field("call", "Call"),
        7: Field("list", "List"),
        8: Field("struct", "Struct"),
        9: Field("fold", "Fold"),
    },
    "Constant": {
        1: Field("null", "int64"), 2: Field("bool", "bool"), 3: Field("int", "int64"), 4: Field("uint", "uint64"),
        5: Field("double", "double"), 6: Field("string", "string"), 7: Field("bytes", "string"),
    },
    "Ident": {1: Field("name", "string")},
    "Select": {1: Field("operand", _EXPR), 2: Field("field", "string"), 3: Field("test_only", "bool")},
    "Call": {1: Field("target", _EXPR), 2: Field("function", "string"), 3: Field("args", _EXPR, "repeated")},
    "List": {1: Field("elements", _EXPR, "repeated")},
    "Struct": {2: Field("entries", "Entry", "repeated")},
    "Entry": {3: Field("map_key", _EXPR), 4: Field("value", _EXPR)},
    "Fold": {
        1: Field("variable", "string"), 2: Field("range", _EXPR), 3: Field("accumulator", "string"),
        4: Field("start", _EXPR), 5: Field("loop_condition", _EXPR), 6: Field("step", _EXPR), 7: Field("result", _EXPR),
    },
}  # fmt: skip
_SCHEMA = Schema("cel.expr", {}, _MESSAGES, {})


class Expr(msgspec.Struct, frozen=True):
    """kind: "const" | "name" | "field" | "has" | "call" | "list" | "map" | "fold".

    value: of a constant. name: of a name, a field (or one that is asked for: has) or a function; a fold's variable. parts: a
    field's operand; a call's target, if it has one, and its arguments; elements; keys and values; a fold's range, start,
    condition, step and result.
    """

    kind: str
    name: str = ""
    value: Any = None
    parts: tuple[Expr, ...] = ()

    def walk(self) -> Iterator[Expr]:
        """It and everything in it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def names(self) -> frozenset[str]:
        """Names that stand for facts and variables; those that a fold makes are left out."""
        if self.kind == "name":
            return frozenset((self.name,))
        inner: frozenset[str] = frozenset().union(*(part.names() for part in self.parts))
        return inner - {self.name, "@result"} if self.kind == "fold" else inner


def parse(checked: bytes) -> Expr:
    """checked: a serialized CheckedExpr in a google.protobuf.Any. Raises ValueError for what is nested too deeply."""
    try:
        return _expr(Reader(_SCHEMA).read("Any", checked)["value"]["expr"])
    except KeyError as error:
        raise ValueError("nested too deeply") from error


def _expr(raw: dict[str, Any]) -> Expr:
    if "const" in raw:
        return Expr("const", value=next(iter(raw["const"].values()), None))
    if "ident" in raw:
        return Expr("name", raw["ident"].get("name", ""))
    if "select" in raw:
        kind = "has" if raw["select"].get("test_only") else "field"
        return Expr(kind, raw["select"].get("field", ""), parts=(_expr(raw["select"]["operand"]),))
    if "call" in raw:
        call = raw["call"]
        operands = [*([call["target"]] if "target" in call else []), *call.get("args", [])]
        return Expr("call", call["function"], parts=tuple(map(_expr, operands)))
    if "list" in raw:
        return Expr("list", parts=tuple(map(_expr, raw["list"].get("elements", []))))
    if "struct" in raw:
        entries = raw["struct"].get("entries", [])
        return Expr("map", parts=tuple(_expr(entry[side]) for entry in entries for side in ("map_key", "value")))
    if "fold" in raw:
        fold = raw["fold"]
        parts = tuple(_expr(fold[name]) for name in ("range", "start", "loop_condition", "step", "result"))
        return Expr("fold", fold["variable"], parts=parts)
    raise ValueError("nested too deeply")
