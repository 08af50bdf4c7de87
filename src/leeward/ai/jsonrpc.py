"""JSON-RPC 2.0: its messages in a JSON text, and the texts in a byte stream.

Never raises on any bytes. A stream is newline-delimited JSON or, as LSP frames it and old MCP servers do, "Content-Length"
headers before each text; both may come in one stream. What is kept of a text is bounded: of a longer one the beginning is
read, mended, together with the id at its very end, where some writers put it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from leeward.ai.dialect import MAX_ERROR_TEXT
from leeward.ai.jsontext import Slice, dumps, load
from leeward.ai.values import record, scalar_text, text
from leeward.model.exchange import AiError

MOST_IN_BATCH = 1024
#: Section 5.1.
ERRORS = {
    -32700: "parse_error",
    -32600: "invalid_request",
    -32601: "method_not_found",
    -32602: "invalid_params",
    -32603: "internal_error",
}
_TAIL = 192
# No newline ends a text of known length, so behind a hole the next header stands after its rest.
_LENGTH = re.compile(rb"(?i)content-length[ \t]*:[ \t]*(\d{1,10})$")
_OTHER_HEADER = re.compile(rb"(?i)content-[a-z]{1,32}[ \t]*:")
# The end of a text whose writer puts the id last: {"result": ..., "jsonrpc": "2.0", "id": 7}
_LAST_ID = re.compile(rb'"id"\s*:\s*("[^"\\]{0,128}"|-?\d{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


class Rpc(msgspec.Struct):
    """One message. kind: request | notification | result | error. key: the id with its type, since "1" is not 1.

    source: the message's own JSON text. size: its bytes on the wire. cut: it was not whole or no valid JSON, and read as
    far as it goes. truncated, gap: why, when it is known.
    """

    kind: str
    key: str = ""
    method: str = ""
    params: dict[str, Any] = {}
    result: Any = None
    error: dict[str, Any] = {}
    source: Slice = msgspec.field(default_factory=lambda: Slice(b""))
    size: int = 0
    cut: bool = False
    truncated: bool = False
    gap: bool = False

    @property
    def id(self) -> str:
        """The id as text, "" for none."""
        return self.key[2:]


class Frame(msgspec.Struct):
    """One text of a stream. start, end: ts of its first and last byte. size: its bytes; more than `text` has if cut."""

    start: int
    end: int
    text: bytes
    size: int
    tail: bytes = b""


def read(body: bytes, tail: bytes = b"") -> list[Rpc]:
    """The messages of one JSON text: an object or a batch ("an Array filled with Request objects", section 6).

    What is not JSON-RPC is left out, as is what a batch has beyond `MOST_IN_BATCH`. tail: the end of a text whose
    beginning `body` is."""
    if body.lstrip()[:1] not in (b"{", b"[", b"\xef"):
        return []
    document = load(body)
    source = Slice(document.text)
    cut = not document.exact or bool(tail)
    if isinstance(document.value, list):
        size = len(body) // max(len(document.value), 1)
        items = enumerate(document.value[:MOST_IN_BATCH])
        found = [_message(record(item), source.at(i), size, cut) for i, item in items]
    else:
        found = [_message(record(document.value), source, len(body), cut, tail)]
    return [message for message in found if message is not None]


def _message(fields: dict[str, Any], source: Slice, size: int, cut: bool, tail: bytes = b"") -> Rpc | None:
    # Section 4: "A String specifying the version of the JSON-RPC protocol. MUST be exactly '2.0'". Writers may put it last.
    if fields.get("jsonrpc") != "2.0" and not (cut and "jsonrpc" not in fields):
        return None
    key = id_key(fields.get("id"))
    if not key and tail:
        last = _LAST_ID.search(tail)
        key = id_key(load(last[1]).value) if last else ""
    method = text(fields.get("method"))
    if method:
        kind = "request" if key else "notification"
        return Rpc(kind, key, method, record(fields.get("params")), source=source, size=size, cut=cut)
    if isinstance(fields.get("error"), dict):
        return Rpc("error", key, error=fields["error"], source=source, size=size, cut=cut)
    if "result" in fields:
        return Rpc("result", key, result=fields["result"], source=source, size=size, cut=cut)
    return None


def id_key(value: Any) -> str:
    """An id with its type: "n:1", "s:1"; "" for null and what may not be an id.

    Section 4: "MUST contain a String, Number, or NULL value"."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, str):
        return f"s:{value[:256]}"
    return f"n:{value}" if scalar_text(value) or isinstance(value, float) else ""


def rpc_error(error: dict[str, Any], names: dict[int, str]) -> AiError:
    """An error object; code is its number, type the number's name by `names`, else JSON-RPC's own."""
    code = error.get("code")
    kind = names.get(code) or ERRORS.get(code) if isinstance(code, int) else None
    message = text(error.get("message")) or (dumps(error["data"]) if error.get("data") is not None else "")
    return AiError(kind or "jsonrpc_error", message[:MAX_ERROR_TEXT], scalar_text(code))


class Frames:
    """One direction of a stream: bytes in, texts out, whatever the pieces. `limit`: bytes kept of a text."""

    def __init__(self, limit: int, counters: Counter[str]) -> None:
        self._limit, self._counters = limit, counters
        self._kept = bytearray()
        self._tail = b""
        self._size = self._start = 0
        self._want = 0  # bytes missing of a text of known length
        self._length = 0  # what the headers just read announce
        self._skipping = False

    def feed(self, ts: int, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        at = 0
        while at < len(data):
            if not self._size:
                self._start = ts
            if self._want:
                piece = data[at : at + self._want]
                self._want -= len(piece)
                self._keep(piece)
                at += len(piece)
                if not self._want:
                    self._emit(ts, frames)
                continue
            newline = data.find(b"\n", at)
            stop = len(data) if newline < 0 else newline + 1
            self._keep(data[at:stop])
            at = stop
            if newline >= 0:
                self._line(ts, frames)
        return frames

    def flush(self, ts: int) -> list[Frame]:
        """The stream ends or has a hole: what has come of the text that is not whole. The next newline resyncs after
        a hole (`skip`)."""
        frames: list[Frame] = []
        self._want = self._length = 0
        if self._skipping:
            self._drop()
        else:
            self._emit(ts, frames)
        return frames

    def skip(self) -> None:
        """What comes up to the next newline is the rest of a text whose beginning is lost."""
        self._skipping = True

    def _keep(self, piece: bytes) -> None:
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += piece[:room]
        self._size += len(piece)
        if self._size > self._limit:
            self._tail = (self._tail + piece)[-_TAIL:]

    def _line(self, ts: int, frames: list[Frame]) -> None:
        line = bytes(self._kept).strip()
        length = _LENGTH.search(line[-64:]) if self._size <= self._limit else None
        if not line:
            self._want, self._length = self._length, 0
            self._skipping = False
            self._reset()
        elif length:
            self._kept = bytearray(line[: len(line) - len(length[0])])
            self._length = int(length[1])
            self._whole(ts, frames)
        elif self._length and _OTHER_HEADER.match(line):
            self._reset()
        else:
            self._length = 0
            self._whole(ts, frames)

    def _whole(self, ts: int, frames: list[Frame]) -> None:
        """A line has ended. Behind a hole it counts if it is JSON from its first byte: what was lost ended before it."""
        if self._skipping and not (self._kept.lstrip()[:1] == b"{" and load(bytes(self._kept)).exact):
            self._drop()
        self._skipping = False
        self._emit(ts, frames)

    def _drop(self) -> None:
        self._counters["jsonrpc_bytes_lost"] += self._size
        self._skipping = False
        self._reset()

    def _emit(self, ts: int, frames: list[Frame]) -> None:
        if self._kept.strip():
            tail = self._tail if self._size > self._limit else b""
            frames.append(Frame(self._start, ts, bytes(self._kept), self._size, tail))
        self._reset()

    def _reset(self) -> None:
        self._kept = bytearray()
        self._tail = b""
        self._size = 0
