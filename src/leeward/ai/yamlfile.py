"""Builds a checked document straight from YAML's nodes: no tags, no merge keys, no code, and a repeated key is an error."""

from __future__ import annotations

from typing import Any

import yaml

from leeward.ai.datafile import Record, Schema, meant
from leeward.model.errors import InputError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(text: str, name: str, schema: Schema, all_complaints: bool = False) -> Record:
    """The document in `text`, which came from `name`. Raises InputError "file:line: field: what is wrong"; all_complaints:
    not the first only, a line each."""
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


class _Builder:
    """Turns nodes into values and checks them on the way. What is wrong is raised, or kept in `complaints` if all is wanted."""

    def __init__(self, name: str, schema: Schema, all_complaints: bool = False) -> None:
        self.name = name
        self.schema = schema
        self.complaints: list[str] = []
        self._all = all_complaints

    def fail(self, node: yaml.Node, where: str, what: str) -> InputError:
        told = f"{where or 'document'}: {what}"
        shown = told if told.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in told)
        return InputError(f"{self.name}:{node.start_mark.line + 1}: {shown}")

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
