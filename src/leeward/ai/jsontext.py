"""JSON from peers that may be hostile and from captures that may be cut.

`load` never raises. What is valid is decoded as it is; what is not is repaired as far as it goes: open strings,
arrays and objects are closed, everything after the first error is dropped. Every string that comes out can be
encoded as UTF-8. Recursion is bounded by `MAX_DEPTH` here and by the interpreter's own limit in msgspec.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

MAX_DEPTH = 200
MAX_TOKENS = 400_000
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(
    rb"[ \t\r\n]*+(?:(?P<mark>[\[\]{}:,])"
    rb'|(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+")'
    rb"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)"
    rb"|(?P<word>true|false|null|NaN|-?Infinity))",
    re.DOTALL,
)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_CONTROL = re.compile("[\x00-\x1f]")
# An escape in a JSON string, a surrogate pair taken as one (RFC 8259 section 7).
_ESCAPE = re.compile(r'\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|["\\/bfnrt]|)')
_FAILURES = (msgspec.MsgspecError, ValueError, RecursionError)


class Json(msgspec.Struct):
    """value: None when nothing could be read. text: the strict JSON it was read from. exact: nothing was mended."""

    value: Any
    text: bytes
    exact: bool


class Slice:
    """A JSON value's own text, found lazily: looking at every child of a list costs one pass over it."""

    __slots__ = ("_children", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._children: dict[str | int, Slice] | None = None

    def at(self, *path: str | int) -> Slice:
        """The descendant at `path`; an empty slice when there is none."""
        here = self
        for key in path:
            here = here._kids().get(key, NOTHING)
        return here

    def text(self) -> str:
        return self._text.strip().decode("utf-8", "replace")

    def _kids(self) -> dict[str | int, Slice]:
        if self._children is None:
            self._children = {}
            head = self._text.lstrip()[:1]
            try:
                if head == b"{":
                    fields = msgspec.json.decode(self._text, type=dict[str, msgspec.Raw])
                    self._children = {key: Slice(bytes(raw)) for key, raw in fields.items()}
                elif head == b"[":
                    values = msgspec.json.decode(self._text, type=list[msgspec.Raw])
                    self._children = {i: Slice(bytes(raw)) for i, raw in enumerate(values)}
            except _FAILURES:
                return self._children  # no strict JSON: it has no children whose text could be shown
        return self._children


NOTHING = Slice(b"")


def load(body: bytes | str) -> Json:
    """Reads `body`, mending it where needed."""
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if raw.startswith(_BOM):
        raw = raw[len(_BOM) :]
    try:
        return Json(msgspec.json.decode(raw), raw, True)
    except _FAILURES:
        mended = repair(raw)
    try:
        return Json(msgspec.json.decode(mended), mended, False)
    except _FAILURES:
        return Json(None, b"", False)


def dumps(value: Any) -> str:
    """Compact JSON text of a value that came from `load`; "" for what has none."""
    try:
        return msgspec.json.encode(clean(value)).decode()
    except (*_FAILURES, TypeError):
        return ""


def clean(value: Any, depth: int = 48) -> Any:
    """A copy fit to be kept: what nests deeper than `depth` becomes None, so that any encoder can write it."""
    if isinstance(value, dict):
        return {key: clean(item, depth - 1) for key, item in value.items()} if depth else None
    if isinstance(value, list):
        return [clean(item, depth - 1) for item in value] if depth else None
    return value


def repair(raw: bytes) -> bytes:
    """The longest prefix of `raw` that is JSON, with what is open in it closed; b"" when there is none."""
    return _Repair(raw).run()


class _Repair:
    """A pushdown automaton over tokens. `safe` pieces can be followed by the closers of `stack` at any time,
    since only safe pieces change the stack."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.pieces: list[bytes] = []
        self.safe = 0
        self.stack: list[bytes] = []
        self.need = "value"
        self.space = b""

    def run(self) -> bytes:
        position = 0
        for _ in range(MAX_TOKENS):
            match = _TOKEN.match(self.raw, position)
            if match is None:
                self._cut_string(position)
                break
            position = match.end()
            kind = match.lastgroup or ""
            self.space = self.raw[match.start() : match.start(kind)]
            if kind == "mark":
                if not self._mark(match["mark"]):
                    break
            elif kind == "number" and position == len(self.raw) and self.stack:
                break  # digits may be missing
            elif not self._leaf(kind, match[kind]):
                break
            if not self.stack and self.safe:
                break
        closers = [b"}" if opener == b"{" else b"]" for opener in reversed(self.stack)]
        return b"".join(self.pieces[: self.safe] + closers)

    def _put(self, token: bytes) -> None:
        """The white space is kept, so that what is whole keeps its own text."""
        self.pieces.append(self.space + token)

    def _after_value(self) -> None:
        self.safe = len(self.pieces)
        self.need = "comma"

    def _mark(self, mark: bytes) -> bool:
        if mark in (b"{", b"["):
            if self.need not in ("value", "first-value") or len(self.stack) >= MAX_DEPTH:
                return False
            self._put(mark)
            self.stack.append(mark)
            self.safe = len(self.pieces)
            self.need = "first-key" if mark == b"{" else "first-value"
        elif mark in (b"}", b"]"):
            opener = b"{" if mark == b"}" else b"["
            if not self.stack or self.stack[-1] != opener or self.need not in ("comma", "first-key", "first-value"):
                return False
            self._put(mark)
            self.stack.pop()
            self._after_value()
        elif mark == b"," and self.need == "comma":
            self._put(mark)
            self.need = "key" if self.stack[-1] == b"{" else "value"
        elif mark == b":" and self.need == "colon":
            self._put(mark)
            self.need = "value"
        else:
            return False
        return True

    def _leaf(self, kind: str, token: bytes) -> bool:
        if self.need in ("key", "first-key") and kind == "string":
            self._put(_mend_string(token))
            self.need = "colon"
            return True
        if self.need not in ("value", "first-value"):
            return False
        if kind == "string":
            token = _mend_string(token)
        elif token not in (b"true", b"false", b"null"):
            token = _mend_number(token)
        self._put(token)
        self._after_value()
        return True

    def _cut_string(self, position: int) -> None:
        """The input ends inside a string, or what follows is no JSON."""
        space = _SPACE.match(self.raw, position)
        start = space.end() if space else position
        if self.raw[start : start + 1] == b'"' and self.need in ("value", "first-value"):
            self.pieces.append(_mend_string(_without_cut_end(self.raw[start:]) + b'"'))
            self._after_value()


def _without_cut_end(text: bytes) -> bytes:
    """`text` without an escape or a UTF-8 sequence that its end cut in two."""
    tail = re.search(rb"\\(?:u[0-9a-fA-F]{0,3})?$", text[-5:])
    if tail:
        start = len(text) - len(tail.group())
        backslashes = len(text[: start + 1]) - len(text[: start + 1].rstrip(b"\\"))
        if backslashes % 2:
            text = text[:start]
    half = re.search(rb"\\u[dD][89abAB][0-9a-fA-F]{2}$", text[-6:])
    if half and (len(text[:-5]) - len(text[:-5].rstrip(b"\\"))) % 2:
        text = text[:-6]
    for back in range(1, min(4, len(text))):
        byte = text[-back]
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return text[:-back] if width > back else text
        if byte < 0x80:
            break
    return text


def _mend_string(token: bytes) -> bytes:
    """A string token as strict JSON: valid UTF-8, no raw control characters, no lone surrogate, no unknown escape."""
    text = token[1:-1].decode("utf-8", "replace")
    if "\\" in text:
        text = _ESCAPE.sub(_mend_escape, text)
    text = _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    return b'"' + text.encode("utf-8") + b'"'


def _mend_escape(found: re.Match[str]) -> str:
    escape = found.group()
    if escape == "\\":
        return "\\\\"
    if len(escape) == 6 and escape[2:4].lower() in ("d8", "d9", "da", "db", "dc", "dd", "de", "df"):
        return "\\ufffd"
    return escape


def _mend_number(token: bytes) -> bytes:
    """null for a number that no reader here can hold (NaN, 1e999, thousands of digits)."""
    try:
        msgspec.json.decode(token)
    except _FAILURES:
        return b"null"
    return token
