"""The beginning of an answer of no interest, enough of a page or a script to see what it gives away; and of what is sent.

Invariants: at most `MOST` bytes of an answer, `MOST_FAILED` of a server's error and `MOST_SENT` of a request, only of what
nothing encodes, of answers only text, and none of a word that may go on behind them.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from leeward.model.message import Message
from leeward.wire.http1_body import Chunks
from leeward.wire.http1_head import Body, Framing, response_body

MOST = 2048
MOST_SENT = 16_384  # an environment with all that is in it
MOST_FAILED = MOST_SENT  # pages about errors show environments, behind the error and its trace; and they are few
_TEXT = re.compile(
    r"text/(?!event-stream)|application/octet-stream\b|[\w.-]+/(?:[\w.-]+\+)?(?:x-)?(?:json|javascript|xml)\b",
    re.ASCII | re.IGNORECASE,
)
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_.-"
_BODIES = (Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE)
_UNCODED = frozenset({"identity", ""})


class Beginning:
    """Is fed a body and keeps its first bytes. full: there are as many as are wanted."""

    __slots__ = ("_cut", "_data", "_most")

    def __init__(self, size: int = MOST, most: int = MOST) -> None:
        self._data, self._most, self._cut = b"", min(size, most), False

    def add(self, data: bytes) -> None:
        room = self._most - len(self._data)
        self._data += data[:room]
        self._cut |= len(data) > room

    @property
    def full(self) -> bool:
        return len(self._data) == self._most

    def text(self, complete: bool) -> bytes:
        """What was kept. complete: the body ended with what was fed last."""
        return self._data if complete and not self._cut else self._data.rstrip(_WORD)


def is_text(response: Message) -> bool:
    """By its type, or it may be as nothing is known of it: so servers give away files that begin with a dot. An event stream is
    none, it may go on for hours."""
    kind = response.header("content-type")
    return not kind or _TEXT.match(kind) is not None


def begin(response: Message, body: Body) -> Beginning | None:
    """What keeps the beginning of an answer's body, None if that has none of interest."""
    if body.framing not in _BODIES or not is_text(response) or not _is_plain(body.codings):
        return None
    return Beginning(body.length or MOST_FAILED, most_of(response))


def most_of(response: Message) -> int:
    """How many bytes of it are looked at."""
    return MOST_FAILED if response.status >= 500 else MOST


def begin_sent(body: Body) -> Beginning | None:
    """What keeps the beginning of a request's body, whatever its type says, None if that cannot be read."""
    return Beginning(body.length or MOST_SENT, MOST_SENT) if _is_plain(body.codings) else None


def _is_plain(codings: Collection[str]) -> bool:
    return not codings or _UNCODED.issuperset(codings)


def of_kept(response: Message) -> bytes:
    """The beginning of an answer whose body was kept."""
    most = most_of(response)
    kept = Beginning(most, most)
    if is_text(response):
        kept.add(response.body)
    return kept.text(response.complete)


def began(response: Message, method: str, data: bytes) -> bytes:
    """The beginning of the body of an answer whose head `data` follows; method: of its request."""
    body = response_body(response, method)
    kept = begin(response, body)
    if kept is None:
        return b""
    if body.framing is Framing.CHUNKED:
        chunks = Chunks(len(data))
        chunks.feed(data, 0, kept)
        return kept.text(chunks.done)
    exact = body.framing is Framing.LENGTH
    kept.add(data[: body.length] if exact else data)
    return kept.text(exact and len(data) >= body.length)
