"""Server-sent events: the text/event-stream grammar (WHATWG HTML §9.2.5 and §9.2.6) over a body that is already there.

Invariant: never raises; the work is linear in the body, the number of events is bounded. Unlike a browser, which throws
away an event that no blank line ends, this returns it flagged, since an observer's view of a stream may be cut.
"""

from __future__ import annotations

import re

import msgspec

MOST_EVENTS = 65536
"""Events read from one body; a completion of 64 k tokens, an event each, is beyond what models write."""
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")


class SseEvent(msgspec.Struct, frozen=True):
    """One event. event: its type, "message" when the stream names none. data: the data lines joined with LF.
    id: the last event id so far (it carries over). end: offset in the body just after the blank line that ended it.
    complete: False for a last event that no blank line ended (`end` is then the body's length).
    """

    event: str
    data: str
    id: str
    end: int
    complete: bool = True


def parse_sse(body: bytes, most: int = MOST_EVENTS) -> list[SseEvent]:
    """The events in `body`, at most `most` of them.

    "Streams must be decoded using the UTF-8 decode algorithm", which replaces what is not UTF-8; here field by field,
    so that offsets stay those of bytes.
    """
    events: list[SseEvent] = []
    data: list[bytes] = []
    kind, last_id, fields = b"", b"", 0
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0  # "strips one leading UTF-8 Byte Order Mark (BOM), if any"
    end = start
    for found in _LINE.finditer(body, start):
        line, ending = found.groups()
        end = found.end()
        if not line:
            if not ending:
                break
            # "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string"
            if data:
                events.append(_event(kind, data, last_id, end, True))
                if len(events) >= most:
                    return events
            data, kind, fields = [], b"", 0
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        fields += name in (b"data", b"event")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value
        elif name == b"id" and b"\0" not in value:
            last_id = value
    if data or fields:
        events.append(_event(kind, data, last_id, end, False))
    return events


def _event(kind: bytes, data: list[bytes], last_id: bytes, end: int, complete: bool) -> SseEvent:
    return SseEvent(_text(kind) or "message", _text(b"\n".join(data)), _text(last_id), end, complete)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
