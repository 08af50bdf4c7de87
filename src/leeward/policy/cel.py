"""The conditions' language, CEL (cel.dev), behind one small interface: Google's C++ implementation.

Invariants: a condition is compiled and type-checked once. Evaluation ends: the library bounds nesting (32) and iterations.
Whatever goes wrong in it is an `EvaluationError`; whatever is wrong with a condition is a `ConditionError` that says where in
its text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from cel_expr_python import cel

from leeward.policy.expression import Expr, parse

LONGEST = 8_000
"""Characters of a condition."""
_TYPES = {
    "string": cel.Type.STRING,
    "int": cel.Type.INT,
    "bool": cel.Type.BOOL,
    "timestamp": cel.Type.TIMESTAMP,
    "list(string)": cel.Type.List(cel.Type.STRING),
    "map(string, string)": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "list(map(string, dyn))": cel.Type.List(cel.Type.Map(cel.Type.STRING, cel.Type.DYN)),
}
_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNKNOWN = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")


class ConditionError(Exception):
    """A condition that is no CEL, or not about what there is. line, column: in its text, from 1."""

    def __init__(self, what: str, line: int = 1, column: int = 1, unknown: str = "") -> None:
        super().__init__(what)
        self.what, self.line, self.column, self.unknown = what, line, column, unknown


class EvaluationError(Exception):
    """A condition that has no value for these facts: a label that is missing, a number divided by zero."""


class Bound:
    """Values of names, for one or many conditions of one environment."""

    def __init__(self, activation: Any) -> None:
        self._activation = activation


class Condition(msgspec.Struct, frozen=True):
    """A compiled expression. tree: what it is made of. type: what it gives, "BOOL" for a condition."""

    text: str
    tree: Expr
    type: str
    _compiled: Any

    def value(self, bound: Bound) -> Any:
        """Its value: plain Python. Raises EvaluationError."""
        try:
            value = self._compiled.eval(bound._activation)
            plain = value.value()
            if plain is True or plain is False:  # asking for the type costs as much as a small condition
                return plain
            if value.type() == cel.Type.ERROR:
                raise EvaluationError(str(plain))
            return value.plain_value()
        except RuntimeError as error:
            raise EvaluationError(str(error)) from error


class Environment:
    """The names that conditions may use, and their types; names have dots in them: `workload.id`."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self.types = dict(types)
        self._declared = {name: _TYPES[kind] for name, kind in types.items()}
        self._env = cel.NewEnv(variables=self._declared)

    def with_conditions(self, conditions: Mapping[str, Condition]) -> Environment:
        """The same and more: each name has the type of its condition."""
        wider = Environment(self.types)
        wider._declared = {
            **self._declared, **{name: condition._compiled.return_type() for name, condition in conditions.items()}
        }  # fmt: skip
        wider._env = cel.NewEnv(variables=wider._declared)
        return wider

    @property
    def names(self) -> list[str]:
        return list(self._declared)

    def compile(self, text: str) -> Condition:
        """Raises ConditionError."""
        if len(text) > LONGEST:
            raise ConditionError(f"longer than {LONGEST} characters: make variables of its parts")
        try:
            compiled = self._env.compile(text)
        except RuntimeError as error:
            raise _condition_error(str(error)) from error
        try:
            tree = parse(compiled.serialize())
        except ValueError as error:
            raise ConditionError(f"{error}: make variables of its parts") from error
        return Condition(text, tree, compiled.return_type().name(), compiled)

    def bind(self, values: Mapping[str, Any]) -> Bound:
        """Names that are left out are unknown. Raises EvaluationError."""
        try:
            return Bound(self._env.Activation(values))
        except RuntimeError as error:
            raise EvaluationError(str(error)) from error


def _condition_error(text: str) -> ConditionError:
    places = _PLACE.findall(text)
    if not places:
        return ConditionError(text.split("\n", 1)[0].removeprefix("INVALID_ARGUMENT: "))
    line, column, what = max(1, int(places[0][0])), max(1, int(places[0][1])), places[0][2]
    what = what.replace(" [INVALID_ARGUMENT]", "").removeprefix("Syntax error: ")
    if unknown := _UNKNOWN.search(what):
        return ConditionError(what, line, column, unknown[1])
    if overload := _OVERLOAD.search(what):
        what = f"`{overload[1].strip('_')}` does not go with {overload[2]}"
    return ConditionError(what.split(" expecting ", 1)[0], line, column)
