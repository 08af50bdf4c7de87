"""Knowledge kept as YAML, checked against a JSON schema; every complaint names the file and the line.

A document is built straight from YAML's nodes: no tags, no merge keys, no code, and a repeated key is an error.
The schema is JSON Schema 2020-12, of which the keywords in `KEYWORDS` are understood; any other is refused when
the schema is read, so that no rule is silently without effect.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from leeward.model.errors import InputError

KEYWORDS = frozenset(
    [
        "$schema",
        "$id",
        "$defs",
        "$ref",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "pattern",
        "minItems",
        "minimum",
        "maximum",
        "minLength",
    ]
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Record(dict[str, Any]):
    """A YAML mapping that remembers where it and its keys stand: `line` and `lines[key]`, counted from 1."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Schema:
    """A JSON schema. `check` returns what is wrong with a value, "" when nothing is."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._known(document)

    @classmethod
    def read(cls, path: Path) -> Schema:
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def _known(self, schema: dict[str, Any]) -> None:
        unknown = set(schema) - KEYWORDS
        if unknown:
            raise ValueError(f"schema keyword not understood: {', '.join(sorted(unknown))}")
        for group in ("properties", "$defs"):
            for child in schema.get(group, {}).values():
                self._known(child)
        if "items" in schema:
            self._known(schema["items"])

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Follows `$ref` ("#/$defs/name")."""
        while "$ref" in schema:
            schema = self.document["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return schema

    def scalar(self, value: Any, schema: dict[str, Any]) -> str:
        """What is wrong with a value that is no mapping and no list."""
        kind = schema.get("type")
        if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
            return f"must be of type {kind}"
        if "enum" in schema and value not in schema["enum"]:
            return "must be one of " + ", ".join(map(str, schema["enum"]))
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"must match {schema['pattern']}"
        if "minLength" in schema and len(value) < schema["minLength"]:
            return "must not be empty"
        if "minimum" in schema and value < schema["minimum"]:
            return f"must be at least {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            return f"must be at most {schema['maximum']}"
        return ""


def load_yaml(path: Path, schema: Schema) -> Record:
    """The document in `path`. Raises InputError "file:line: field: what is wrong"."""
    return parse_yaml(read_text(path), str(path), schema)


def read_text(path: Path) -> str:
    """Raises InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def parse_yaml(text: str, name: str, schema: Schema, all_complaints: bool = False) -> Record:
    """As `load_yaml`, for text that came from `name`. all_complaints: not the first only, a line each."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"{name}:{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{name}: not YAML: {error}") from error
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{name}:1: must be a mapping")
    builder = _Builder(name, schema, all_complaints)
    built = builder.build(node, schema.document, "", 0)
    if builder.complaints:
        raise InputError("\n".join(builder.complaints))
    assert isinstance(built, Record)
    return built


def meant(wrong: str, known: Iterable[str]) -> str:
    """ ", did you mean `...`?" where one of the known names is near, else what is known."""
    known = sorted(known)
    near = difflib.get_close_matches(wrong, known, 1)
    return f", did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"


class _Builder:
    """Turns nodes into values and checks them on the way. What is wrong is raised, or kept in `complaints` if all is wanted."""

    def __init__(self, name: str, schema: Schema, all_complaints: bool = False) -> None:
        self.name = name
        self.schema = schema
        self.complaints: list[str] = []
        self._all = all_complaints

    def fail(self, node: yaml.Node, where: str, what: str) -> InputError:
        return InputError(f"{self.name}:{node.start_mark.line + 1}: {where or 'document'}: {what}")

    def _complain(self, node: yaml.Node, where: str, what: str) -> None:
        error = self.fail(node, where, what)
        if not self._all:
            raise error
        self.complaints.append(str(error))

    def build(self, node: yaml.Node, schema: dict[str, Any], where: str, depth: int) -> Any:
        schema = self.schema.resolve(schema)
        if depth > 32:
            raise self.fail(node, where, "nested too deeply")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, schema, where, depth)
        if isinstance(node, yaml.SequenceNode):
            if schema.get("type") not in (None, "array"):
                self._complain(node, where, f"must be of type {schema['type']}, not a list")
                return []
            values = [
                self.build(child, schema.get("items", {}), f"{where}[{i}]", depth + 1)
                for i, child in enumerate(node.value)
            ]
            if len(values) < schema.get("minItems", 0):
                self._complain(node, where, f"needs at least {schema['minItems']} entries")
            return values
        value = self._scalar(node, where)
        problem = self.schema.scalar(value, schema)
        if problem:
            self._complain(node, where, problem)
        return value

    def _mapping(self, node: yaml.MappingNode, schema: dict[str, Any], where: str, depth: int) -> Record:
        if schema.get("type") not in (None, "object"):
            self._complain(node, where, f"must be of type {schema['type']}, not a mapping")
            return Record(node.start_mark.line + 1)
        record = Record(node.start_mark.line + 1)
        known = schema.get("properties", {})
        for key_node, child in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            path = f"{where}.{key}" if where else key
            if key not in known and schema.get("additionalProperties") is False:
                self._complain(key_node, path, f"unknown field `{key}`{meant(key, known)}")
                continue
            if key in record:
                self._complain(key_node, path, "given twice")
            record[key] = self.build(child, known.get(key, {}), path, depth + 1)
            record.lines[key] = child.start_mark.line + 1
        missing = [name for name in schema.get("required", []) if name not in record]
        if missing:
            self._complain(node, where, f"needs {', '.join(missing)}")
        return record

    def _scalar(self, node: yaml.Node, where: str) -> Any:
        tag, text = node.tag.rpartition(":")[2], node.value
        try:
            if tag == "int":
                return int(text.replace("_", ""), 0)
            if tag == "float":
                return float(text)
        except ValueError:
            raise self.fail(node, where, f"not a number: {text}") from None
        if tag == "bool":
            return text.lower() in ("true", "yes", "on")
        if tag == "null":
            return None
        return text
