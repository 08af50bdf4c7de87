"""Sigma's YAML with the lines that things stand on: pySigma keeps none.

A document is walked once, however often it refers to a part of itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Item(msgspec.Struct, frozen=True):
    """`field|modifier|modifier: value` in a detection."""

    key: str
    value: Any
    line: int


class Document(msgspec.Struct, frozen=True):
    """data: what YAML says. line: where it begins. lines: of its own keys."""

    data: Any
    line: int
    lines: dict[str, int]
    node: yaml.Node

    def items(self, section: str = "detection") -> Iterator[Item]:
        """What the detections name. section: where they are, "filter" of filters."""
        for name, node in _values(_values(self.node).get(section)).items():
            if name != "condition":
                yield from _items(node, set())

    def condition(self) -> int:
        """The line of the condition."""
        detection = _values(self.node).get("detection")
        return next((line for key, line in _keys(detection) if key == "condition"), self.line)


def documents(text: str) -> list[Document]:
    """Raises yaml.YAMLError; also where a key stands twice, of which the first would be lost."""
    found = []
    for node in yaml.compose_all(text, Loader=Loader):
        _once(node, set())
        loader = Loader("")
        data = loader.construct_document(node)
        loader.dispose()
        found.append(Document(data, node.start_mark.line + 1, dict(_keys(node)), node))
    return found


def _once(node: yaml.Node, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice", problem_mark=key.start_mark)
                keys.add(key.value)
            _once(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _once(child, seen)


def _keys(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), key.start_mark.line + 1) for key, _ in node.value)


def _values(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {str(key.value): value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _items(node: yaml.Node, seen: set[int]) -> Iterator[Item]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _items(child, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            loader = Loader("")
            yield Item(str(key.value), loader.construct_document(value), key.start_mark.line + 1)
            loader.dispose()
