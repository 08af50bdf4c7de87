"""Knowledge kept as YAML (yamlfile.py), checked against a JSON schema; every complaint names the file and the line.

The schema is JSON Schema 2020-12, of which the keywords in `KEYWORDS` are understood; any other is refused when
the schema is read, so that no rule is silently without effect. Our own documents are kept as they were built: parsing them
again at each start would take longer than all the rest of it.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from leeward.ai.kept import cache_folder, identity, keep, read_kept
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
_HERE = Path(__file__).parent
_OURS = _HERE.parent
_KEPT = 512  # files
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def meant(wrong: str, known: Iterable[str]) -> str:
    """ ", did you mean `...`?" where one of the known names is near, else what is known."""
    known = sorted(known)
    near = difflib.get_close_matches(wrong, known, 1)
    return f", did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"


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
    text = read_text(path)
    folder = cache_folder() if path.is_relative_to(_OURS) else None
    if folder is None:
        return _parsed(text, str(path), schema)
    made_from = b"\0".join([_own_code(), msgspec.json.encode(schema.document), text.encode()])
    kept = folder / f"document-{identity(made_from)}.msgpack"
    packed = read_kept(kept)
    document = _unpacked(packed) if packed is not None else None
    if document is None:
        document = _parsed(text, str(path), schema)
        keep(kept, _packed(document), _KEPT)
    return document


def read_text(path: Path) -> str:
    """Raises InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _parsed(text: str, name: str, schema: Schema) -> Record:
    from leeward.ai.yamlfile import parse_yaml  # what is kept needs no parser

    return parse_yaml(text, name, schema)


@functools.cache
def _own_code() -> bytes:
    return b"".join((_HERE / name).read_bytes() for name in ("datafile.py", "yamlfile.py"))


def _packed(document: Record) -> bytes:
    body = msgspec.msgpack.encode(_plain(document))
    return zlib.crc32(body).to_bytes(4, "big") + body


def _plain(value: Any) -> Any:
    """A value without Records. Every mapping of a document is one, so `_record` knows them again."""
    if isinstance(value, Record):
        return {
            "line": value.line,
            "lines": [*value.lines.values()],
            "fields": {k: _plain(v) for k, v in value.items()},
        }
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _unpacked(packed: bytes) -> Record | None:
    """None: the file is broken."""
    body = packed[4:]
    if zlib.crc32(body).to_bytes(4, "big") != packed[:4]:
        return None
    document = _record(msgspec.msgpack.decode(body))
    assert isinstance(document, Record)
    return document


def _record(value: Any) -> Any:
    """What `_plain` undid."""
    if isinstance(value, list):
        return [_record(one) if isinstance(one, dict | list) else one for one in value]
    record = Record(value["line"])
    record.lines = dict(zip(value["fields"], value["lines"], strict=True))
    for name, one in value["fields"].items():
        record[name] = _record(one) if isinstance(one, dict | list) else one
    return record
