"""multipart/form-data (RFC 7578): the fields and files of a form, as files and audio are sent to AI services.

Invariants: never raises; parts, headers and text are bounded; a cut body gives what is there of it. A file is a record
{"filename", "content_type", "size", "sha256", "text"}: its text only where it is text, its hash only where all of it is there.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from typing import Any

MAX_PARTS = 256
MAX_HEAD = 8 << 10
_MAX_FIELD = 64 << 10
_MAX_BOUNDARY = 200  # RFC 2046 allows 70
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;,"]+))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*(name|filename)(\*)?=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_BINARY = ("audio/", "video/", "image/", "application/zip", "application/gzip", "application/pdf")


def read_multipart(body: bytes, content_type: str) -> tuple[dict[str, Any], bool]:
    """(the form, is all of it there). A name that comes more than once has a list."""
    found, left = _BOUNDARY.search(content_type), MAX_PARTS
    boundary = (found[1] or found[2]).encode("latin-1", "replace") if found else b""
    if not 0 < len(boundary) <= _MAX_BOUNDARY:
        return {}, False
    form: dict[str, Any] = {}
    start = -1
    for mark in re.finditer(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]{0,64}(?=\r\n|\Z)", body):
        if start >= 0:
            _add(form, body[start : mark.start()], True)
            left -= 1
        if mark[1] or not left:
            return form, bool(mark[1])
        start = mark.end()
    if start >= 0:
        _add(form, body[start:], False)
    return form, False


def _add(form: dict[str, Any], part: bytes, whole: bool) -> None:
    """Reads a part: what is between its line of the boundary and the next one."""
    head, found, data = part[: MAX_HEAD + 4].partition(b"\r\n\r\n")
    if not found:
        return
    data = part[len(head) + 4 :]
    fields = _head(head)
    name, filename = _names(fields.get("content-disposition", ""))
    if not name:
        return
    kind = fields.get("content-type", "")
    value: Any = file_record(data, kind, whole, filename) if filename is not None else decoded(data[:_MAX_FIELD], False)
    if name in form:
        held = form[name] if isinstance(form[name], list) else [form[name]]
        form[name] = [*held, value]
    else:
        form[name] = value


def _head(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in lines if name.strip()}


def _names(disposition: str) -> tuple[str, str | None]:
    """The field's name, and the file's where it is one."""
    found: dict[str, str] = {}
    for key, extended, quoted, plain in _PARAMETER.findall(disposition):
        value = re.sub(r"\\(.)", r"\1", quoted) or plain
        if extended:  # filename*=UTF-8''name (RFC 8187)
            value = _unquoted(value.rpartition("'")[2])
        found.setdefault(key.lower(), value)
    return found.get("name", ""), found.get("filename")


def _unquoted(value: str) -> str:
    pieces = re.sub(r"%([0-9A-Fa-f]{2})", lambda code: chr(int(code[1], 16)), value)
    return pieces.encode("latin-1", "replace").decode("utf-8", "replace")


def file_record(data: bytes, kind: str, whole: bool, filename: str = "") -> dict[str, Any]:
    """What is known of a file, without its bytes. whole: nothing of it is missing."""
    file: dict[str, Any] = {"filename": filename} if filename else {}
    file |= {"content_type": kind, "size": len(data)}
    if whole:
        file["sha256"] = hashlib.sha256(data).hexdigest()
    if not kind.startswith(_BINARY) and (words := decoded(data, whole)):
        file["text"] = words
    return file


def file_reference(file: dict[str, Any], kind: str) -> dict[str, Any]:
    """The part of a message that stands for a file read here. kind: "file", "audio", "image"."""
    named = {
        "media_type": file.get("content_type"),
        **{name: file.get(name) for name in ("filename", "size", "sha256")},
    }
    return {"type": kind, **{name: value for name, value in named.items() if value not in (None, "")}}


def decoded(data: bytes, whole: bool) -> str:
    """UTF-8 text, "" for what is none; the end may be cut inside a character if it is not whole."""
    if b"\0" in data:
        return ""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=whole)
    except UnicodeDecodeError:
        return ""
