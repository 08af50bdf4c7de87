"""Masks for a request that is about to be written: same length, JSON stays JSON, `content-length` stays true.

Invariant: a list of edits is given only if every match has its bytes in the buffer, or was masked when its piece was written;
None else, and then the request has to be blocked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from leeward.data.masking import same_length
from leeward.enforce.spans import bytes_of, places
from leeward.model.data import DataMatch
from leeward.model.message import Message

Edit = tuple[int, bytes]
_FRAME_HEAD = 9  # RFC 9113 §4.1
_DATA, _PADDED = 0, 8
_MOST_EDITS = 4096


def edits_for(
    buffer: bytes, request: Message, matches: Sequence[DataMatch], gone: Mapping[bytes, int] = MappingProxyType({})
) -> list[Edit] | None:
    """What to write where in `buffer`, which ends the request, so that none of these matches is in its body any more.
    gone: values that were masked before, in pieces of the body that were written already, and how often."""
    body = request.body
    pieces = _pieces(buffer, request)
    if pieces is None:
        pieces = _last_pieces(buffer, request)
    if pieces is None or request.truncated or request.gap or any(match.side != "request" for match in matches):
        return None
    masks = _masks(body, matches)
    if masks is None or len(masks) > _MOST_EDITS or not _still_json(body, masks):
        return None
    edits: list[Edit] = []
    here, left = min((begin for begin, _, _ in pieces), default=len(body)), Counter(gone)
    for at, put in masks:
        if at < here:
            value = body[at : at + len(put)]
            left[value] -= 1
            if at + len(put) > here or left[value] < 0:
                return None
        for begin, size, where in pieces:  # (offset in the body, its length, offset in the buffer)
            first, last = max(at, begin), min(at + len(put), begin + size)
            if first < last:
                edits.append((where + first - begin, put[first - at : last - at]))
    return edits


def _masks(body: bytes, matches: Sequence[DataMatch]) -> list[Edit] | None:
    """(offset in the body, mask) each."""
    by_path: dict[str, list[tuple[int, int]]] = {}
    for match in matches:
        by_path.setdefault(match.path, []).append((match.start, match.end))
    found = places(body, by_path)
    if not found and set(by_path) == {"$"} and body[:1] not in (b"{", b"[", b'"'):
        found = {"$": (0, len(body), False)}
    if len(found) != len(by_path):
        return None
    masks: list[Edit] = []
    for path, spans in by_path.items():
        start, end, bare = found[path]
        for first, last in bytes_of(body, start, end, spans):
            if last <= first:
                return None
            masks.append((first, same_length(body[first:last], number=bare)))
    return masks


def _still_json(body: bytes, masks: Sequence[Edit]) -> bool:
    """What was JSON is JSON after it, and nothing else has changed."""
    after = bytearray(body)
    for at, put in masks:
        after[at : at + len(put)] = put
    if len(after) != len(body):
        return False
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return True  # it was none
    try:
        msgspec.json.decode(bytes(after))
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _pieces(buffer: bytes, request: Message) -> list[tuple[int, int, int]] | None:
    """Where the body stands in the buffer; None if it is not all there as it was read."""
    body = request.body
    if not body:
        return []
    if request.header("content-encoding") not in ("", "identity"):
        return None
    if request.version.startswith("HTTP/2"):
        return _checked(buffer, body, _frames(buffer))
    if "chunked" in request.header("transfer-encoding").lower():
        return _checked(buffer, body, _chunks(buffer))
    at = buffer.rfind(body)
    return [(0, len(body), at)] if at >= 0 else None


def _last_pieces(buffer: bytes, request: Message) -> list[tuple[int, int, int]] | None:
    """The same of a buffer that has the end of the body only, maybe none of it."""
    body = request.body
    if request.header("content-encoding") not in ("", "identity"):
        return None
    if request.version.startswith("HTTP/2"):
        return _ending(buffer, body, _frames(buffer, to_end=True))
    if "chunked" in request.header("transfer-encoding").lower():
        return _ending(buffer, body, _chunks(buffer, to_end=True))
    return [(len(body) - len(buffer), len(buffer), 0)] if body.endswith(buffer) else None


def _checked(buffer: bytes, body: bytes, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]] | None:
    """The pieces that together are the body, the last of those that the buffer has."""
    pieces = _ending(buffer, body, spans)
    return pieces if sum(size for _, size, _ in pieces) == len(body) else None


def _ending(buffer: bytes, body: bytes, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """The pieces that are the end of the body."""
    pieces: list[tuple[int, int, int]] = []
    left = len(body)
    for start, end in reversed(spans):
        if left and body[:left].endswith(buffer[start:end]):
            left -= end - start
            pieces.append((left, end - start, start))
    return pieces


def _frames(buffer: bytes, *, to_end: bool = False) -> list[tuple[int, int]]:
    """Where the contents of HTTP/2 DATA frames are in a buffer that begins with a frame (or the preface). [] if they are of
    several streams: what is alike in them could be taken for each other. to_end: only if the buffer ends with a frame: one that
    does not begin with one might pretend to."""
    at = 24 if buffer.startswith(b"PRI * HTTP/2.0") else 0
    spans: list[tuple[int, int]] = []
    streams: set[bytes] = set()
    while at + _FRAME_HEAD <= len(buffer):
        size = int.from_bytes(buffer[at : at + 3], "big")
        start = at + _FRAME_HEAD
        if start + size > len(buffer):
            break
        if buffer[at + 3] == _DATA and size:
            padding = buffer[start] + 1 if buffer[at + 4] & _PADDED else 0
            first = start + (1 if padding else 0)
            streams.add(buffer[at + 5 : at + 9])
            spans.append((first, max(first, start + size - max(padding - 1, 0))))
        at = start + size
    return [] if len(streams) > 1 or (to_end and at != len(buffer)) else spans


def _chunks(buffer: bytes, *, to_end: bool = False) -> list[tuple[int, int]]:
    """Where the contents of chunks (RFC 9112 §7.1) are in a buffer that begins with a head or with a chunk. to_end: only if
    they are followed by the last chunk, as for `_frames`."""
    head = buffer.find(b"\r\n\r\n")
    begins_with_head = buffer[:8].split(b" ")[0].isalpha() and b" HTTP/1." in buffer[: max(head, 0)]
    at = head + 4 if begins_with_head else 0
    spans: list[tuple[int, int]] = []
    ended = False
    while (line := buffer.find(b"\r\n", at)) >= 0:
        try:
            size = int(buffer[at:line].split(b";")[0], 16)
        except ValueError:
            break
        ended = not size
        if ended or line + 2 + size > len(buffer):
            break
        spans.append((line + 2, line + 2 + size))
        at = line + 2 + size + 2
    return spans if ended or not to_end else []
