"""MCP's content blocks: text, and references for what is not text.

Source: the schemas' ContentBlock, SamplingMessageContentBlock and ResourceContents. Never raises on odd values. Data inside a
message becomes its media type, size and SHA-256.
"""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.ai.jsontext import Slice
from leeward.ai.values import embedded, record, text
from leeward.model.exchange import ToolCall

MOST_NESTED = 4


class Said(msgspec.Struct):
    """text: parts joined. calls: tools that a sampled message asks for. answers: the call that it answers."""

    text: str = ""
    parts: list[dict[str, Any]] = []
    calls: list[ToolCall] = []
    answers: str = ""


def blocks(value: Any, source: Slice, depth: int = MOST_NESTED) -> Said:
    """Content: a list of blocks, one block, or (as some servers write) a bare string."""
    if isinstance(value, str):
        return Said(value)
    said = Said()
    words: list[str] = []
    pairs = [(value, source)] if isinstance(value, dict) else []
    if isinstance(value, list):
        pairs = [(item, source.at(i) if _calls(item) else Slice(b"")) for i, item in enumerate(value)]
    for item, its_source in pairs:
        if isinstance(item, str):
            words.append(item)
        elif isinstance(item, dict):
            _block(item, its_source, words, said, depth)
    said.text = "".join(words)
    return said


def _calls(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") in ("tool_use", "tool_result")


def _block(item: dict[str, Any], source: Slice, words: list[str], said: Said, depth: int) -> None:
    kind = text(item.get("type"))
    if kind == "text":
        words.append(text(item.get("text")))
    elif kind in ("image", "audio"):
        said.parts.append(embedded(kind, text(item.get("data")), text(item.get("mimeType"))))
    elif kind == "resource":
        inner = resource(record(item.get("resource")))
        words.append(inner.text)
        said.parts.extend(inner.parts or [_named({"type": kind}, record(item.get("resource")))])
    elif kind == "tool_use":
        call = ToolCall(text(item.get("id")), text(item.get("name")), source.at("input").text())
        said.calls.append(call)
    elif kind == "tool_result" and depth:
        inner = blocks(item.get("content"), source.at("content"), depth - 1)
        words.append(inner.text or source.at("structuredContent").text())
        said.parts.extend(inner.parts)
        said.answers = said.answers or text(item.get("toolUseId"))
    elif isinstance(item.get("text"), str):
        words.append(item["text"])
    else:
        said.parts.append(_named({"type": kind or "unknown"}, item))


def resource(item: dict[str, Any]) -> Said:
    """Contents of a resource: its text, or a reference to its data."""
    if isinstance(item.get("blob"), str):
        reference = embedded("resource", item["blob"], text(item.get("mimeType")))
        return Said(parts=[_named(reference, item)])
    return Said(text(item.get("text")))


def _named(reference: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    for key, name in (("uri", "uri"), ("name", "name"), ("mimeType", "media_type")):
        if text(item.get(key)):
            reference[name] = item[key]
    return reference
