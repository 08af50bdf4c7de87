"""Reading fields of any type: the wrong type reads as absent, so that no decoder has to check twice.

Also the references that stand for what is not text: a URL, or for data inside the message its media type, size and
SHA-256, never the data.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from leeward.ai.jsontext import clean, dumps

MAX_COUNT = 2**63 - 1
_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
)
_TEXT_TYPES = frozenset(("text", "input_text", "output_text", "summary_text", "reasoning_text"))


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A number of tokens or things: an integer from 0 to 2^63 - 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        return None
    return value


def record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def records(value: Any) -> list[dict[str, Any]]:
    return [item for item in sequence(value) if isinstance(item, dict)]


def scalar_text(value: Any) -> str:
    """Text of a string or an integer (error codes come as either)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_COUNT else ""


def chosen(body: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The request parameters `names` that are given and not null."""
    return {name: clean(body[name]) for name in names if body.get(name) is not None}


def summed(body: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Of the request parameters `names` that are long lists or tables, which is which: number of entries, SHA-256."""
    found = {name: body[name] for name in names if isinstance(body.get(name), dict | list) and body[name]}
    return {
        name: {"entries": len(value), "sha256": hashlib.sha256(dumps(value).encode("utf-8", "replace")).hexdigest()}
        for name, value in found.items()
    }


def embedded(kind: str, data: str, media_type: str = "") -> dict[str, Any]:
    """A reference for base64 data inside a message. Text that is not base64 is hashed as it stands."""
    try:
        raw = binascii.a2b_base64(data.encode("ascii") + b"=" * (-len(data) % 4))
    except (binascii.Error, UnicodeEncodeError):
        raw = data.encode("utf-8", "replace")
    if not media_type:
        media_type = _sniff(raw)
    return {"type": kind, "media_type": media_type, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def _sniff(raw: bytes) -> str:
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "image/webp"
    return next((name for magic, name in _MAGIC if raw.startswith(magic)), "")


def linked(kind: str, url: str) -> dict[str, Any]:
    """A reference for a URL, which may be a data: URL (RFC 2397)."""
    if url[:5].lower() != "data:":
        return {"type": kind, "url": url}
    head, _, data = url[5:].partition(",")
    media_type, *options = head.split(";")
    if "base64" in (option.strip().lower() for option in options):
        return embedded(kind, data, media_type)
    raw = data.encode("utf-8", "replace")
    return {"type": kind, "media_type": media_type, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def readable(value: Any, depth: int = 16) -> Any:
    """`value` fit to be shown as JSON text: without encrypted fields and data inside data: URLs."""
    if isinstance(value, dict):
        fields = ((key, item) for key, item in value.items() if not key.startswith("encrypted_"))
        return {key: readable(item, depth - 1) for key, item in fields} if depth else None
    if isinstance(value, list):
        return [readable(item, depth - 1) for item in value] if depth else None
    if isinstance(value, str) and value[:5].lower() == "data:":
        return f"[{value[5:].partition(',')[0]}, {len(value)} characters]"
    return value


class Content(msgspec.Struct):
    """What a message's content holds. documents: (title, text) of text that came as a document of its own."""

    text: str = ""
    reasoning: str = ""
    parts: list[dict[str, Any]] = []
    documents: list[tuple[str, str]] = []


def content(value: Any) -> Content:
    """Content of a message in any of the APIs: a string, a list of typed parts, or one part."""
    if isinstance(value, str):
        return Content(text=value)
    found = Content()
    texts: list[str] = []
    thoughts: list[str] = []
    for part in [value] if isinstance(value, dict) else sequence(value):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            _read_part(part, texts, thoughts, found)
    found.text = "".join(texts)
    found.reasoning = "".join(thoughts)
    return found


def _read_part(part: dict[str, Any], texts: list[str], thoughts: list[str], found: Content) -> None:
    kind = text(part.get("type"))
    if kind in _TEXT_TYPES:
        texts.append(text(part.get("text")))
    elif kind == "refusal":
        texts.append(text(part.get("refusal")))
        found.parts.append({"type": "refusal"})
    elif kind == "thinking":
        thought = part.get("thinking")
        if isinstance(thought, str):
            thoughts.append(thought)
        else:
            thoughts.extend(text(piece.get("text")) for piece in records(thought))
    elif kind == "redacted_thinking":
        found.parts.append({"type": kind, "size": len(text(part.get("data")))})
    elif kind in ("document", "search_result"):
        _read_document(kind, part, found)
    elif kind in ("image_url", "input_image", "image", "computer_screenshot"):
        found.parts.append(_image(part))
    elif kind == "input_audio":
        audio = record(part.get("input_audio")) or part
        media_type = f"audio/{text(audio.get('format'))}" if text(audio.get("format")) else ""
        found.parts.append(embedded("audio", text(audio.get("data")), media_type))
    elif kind in ("file", "input_file"):
        found.parts.append(_file(record(part.get("file")) or part))
    elif isinstance(part.get("text"), str):
        texts.append(part["text"])
    else:
        found.parts.append(_other(kind, part))


def _image(part: dict[str, Any]) -> dict[str, Any]:
    link = part.get("image_url")
    source = record(part.get("source"))
    url = link if isinstance(link, str) else text(record(link).get("url")) or text(source.get("url"))
    if url:
        return linked("image", url)
    if isinstance(source.get("data"), str):
        return embedded("image", source["data"], text(source.get("media_type")))
    return {"type": "image", "file_id": text(part.get("file_id")) or text(source.get("file_id"))}


def _file(item: dict[str, Any]) -> dict[str, Any]:
    data, url = text(item.get("file_data")), text(item.get("file_url"))
    if data:
        reference = linked("file", data) if data[:5].lower() == "data:" else embedded("file", data)
    elif url:
        reference = linked("file", url)
    else:
        reference = {"type": "file", "file_id": text(item.get("file_id"))}
    if text(item.get("filename")):
        reference["filename"] = item["filename"]
    return reference


def _read_document(kind: str, part: dict[str, Any], found: Content) -> None:
    """Anthropic's document and search_result blocks: text ones are text that was sent, others become references."""
    source = record(part.get("source"))
    title = text(part.get("title"))
    if text(source.get("type")) == "text":
        found.documents.append((title, text(source.get("data"))))
    elif isinstance(source.get("data"), str):
        found.parts.append(embedded("document", source["data"], text(source.get("media_type"))))
    elif text(source.get("url")):
        found.parts.append(linked("document", source["url"]))
    elif text(source.get("file_id")):
        found.parts.append({"type": "document", "file_id": source["file_id"]})
    else:
        inner = source.get("content") if kind == "document" else part.get("content")
        pieces = inner if isinstance(inner, str) else "".join(text(piece.get("text")) for piece in records(inner))
        found.documents.append((title, pieces))
        found.parts.extend(_image(piece) for piece in records(inner) if piece.get("type") == "image")


def _other(kind: str, part: dict[str, Any]) -> dict[str, Any]:
    """A part of a kind not known here: its name and what identifies it."""
    reference: dict[str, Any] = {"type": kind or "unknown"}
    for name in ("id", "tool_use_id", "file_id", "name"):
        if text(part.get(name)):
            reference[name] = part[name]
    url = part.get(kind) if kind.endswith("_url") else None
    if text(record(url).get("url")):
        reference = {
            **linked(kind.removesuffix("_url"), record(url)["url"]),
            **reference,
            "type": kind.removesuffix("_url"),
        }
    return reference
