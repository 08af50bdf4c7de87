"""Finds HTTP/1 heads in the bytes of one direction: where one begins, where it ends.

Invariants: at most the limit's bytes are buffered; work is linear in the bytes fed, however they are cut. Where a head
is due, it may be cut anywhere; where bytes were lost before, one is looked for at the start of what is fed.
"""

from __future__ import annotations

import enum
import re

from leeward.wire.http1_head import METHOD, STATUS_LINE, request_line

END = re.compile(rb"\n\r?\n")
"""The end of a head. RFC 9112 §2.2: "a recipient MAY recognize a single LF as a line terminator"."""
_METHODS = (
    b"GET POST PUT HEAD PATCH DELETE OPTIONS CONNECT TRACE QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK "
    b"SEARCH REPORT MKACTIVITY CHECKOUT MERGE NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE LINK UNLINK SOURCE BIND REBIND "
    b"UNBIND ACL MKCALENDAR M-SEARCH"
).split()  # RFC 9110 §9, RFC 10008 QUERY, WebDAV and what else llhttp knows


class Found(enum.Enum):
    """HEAD: a whole one. MORE: its end is still to come. NOT: what was fed is no head. LONG: longer than allowed."""

    HEAD = enum.auto()
    MORE = enum.auto()
    NOT = enum.auto()
    LONG = enum.auto()


class HeadFinder:
    """One direction's search. buffer: the beginning of a head; judged: its first line is one; begun: ts of its first
    byte; synced: a head is due at the next byte; dropped: bytes given up, to be counted by who asks."""

    __slots__ = ("_limit", "_request", "_scan", "begun", "buffer", "dropped", "judged", "synced")

    def __init__(self, request: bool, limit: int) -> None:
        self._request, self._limit = request, limit
        self.buffer = bytearray()
        self.judged = self.synced = False
        self._scan = self.begun = self.dropped = 0

    def reset(self, synced: bool) -> None:
        """Forgets what is buffered."""
        self.buffer.clear()
        self.judged, self.synced = False, synced

    def feed(self, ts: int, data: bytes, position: int) -> tuple[Found, bytes, int]:
        """(what was found, the head or for NOT the bytes that are none, where in `data` to go on)"""
        buffer, limit = self.buffer, self._limit
        if buffer and not self.judged and not self.synced and self._alone(data):
            self.dropped += len(buffer)
            buffer.clear()
        if not buffer:
            # RFC 9112 §2.2: "SHOULD ignore at least one empty line (CRLF) received prior to the request-line"
            while position < len(data) and data[position] in b"\r\n":
                position += 1
            if position == len(data):
                return Found.MORE, b"", position
            self.begun, self._scan, self.judged = ts, 0, False
        before = len(buffer)
        if before:  # never more than a head's worth of copying for each call, however much was fed
            buffer += data[position : position + limit + 1 - before]
            found = END.search(buffer, self._scan, limit)
            length = found.end() if found else len(buffer)
            head = bytes(buffer[:length]) if found or not self.judged else b""
        else:
            found = END.search(data, position, position + limit)
            head = data[position : found.end() if found else position + limit + 1]
            length = len(head)
        if not self.judged:
            likely = may_begin(head, self._request, self.synced)
            if likely is False:
                self.dropped += before + len(data) - position
                self.reset(False)
                return Found.NOT, head, len(data)
            self.judged = bool(likely)
        if found is not None:
            self.reset(True)
            return Found.HEAD, head, position + length - before
        if not before:
            buffer += head
        self._scan = max(0, length - 2)
        return Found.LONG if length > limit else Found.MORE, b"", len(data)

    def _alone(self, data: bytes) -> bool:
        """Does `data` begin a head by itself, so that the half line before it only looked like one's beginning?"""
        if may_begin(data, self._request, False) is not True:
            return False
        return not surely_begins(self.buffer + data[: self._limit], self._request)


def may_begin(data: bytes | bytearray, request: bool, synced: bool) -> bool | None:
    """Can a head begin with `data`? None: too early to say. synced: a head is due here, so that half a line may be one.

    Where one is not due, half a line has to begin with a method that is known, so that text does not pass for one.
    """
    if b"\n" in data:
        return bool(request_line(data) if request else STATUS_LINE.match(data))
    if not request:
        return None if b"HTTP/".startswith(data[:5].upper()) else False
    method, space, _ = bytes(data[:33]).partition(b" ")
    if synced and METHOD.match(method):
        return None
    if space:
        return None if method in _METHODS else False
    return None if any(known.startswith(method) for known in _METHODS) else False


def surely_begins(data: bytes | bytearray, request: bool) -> bool:
    """Is the first line of `data` one that no chance would make: a known method and a target without blanks?"""
    if not request:
        return bool(STATUS_LINE.match(data))
    line = request_line(data) if b"\n" in data else None
    return line is not None and line[0].encode("latin-1") in _METHODS and " " not in line[1]
