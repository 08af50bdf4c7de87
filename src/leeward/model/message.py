"""Layer 7: one request or response as the wire parsers leave it."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, kw_only=True):
    """One HTTP request or response.

    index: position of the exchange on its connection, from 0; request and response share it.
    headers: names in lower case, values as Latin-1 text, in wire order. body: content decoded (transfer and
    content encoding undone), at most the configured limit. body_size: decoded bytes that passed, kept or not.
    marks: (decoded bytes so far, ts) at each arrival, so that a later stage can tell when byte n was there.
    complete: the end was seen. truncated: `body` lacks bytes because of a limit. gap: bytes in the middle were
    never seen. anomalies: names of what was odd, e.g. "bad-gzip", "expansion-limit", "joined-mid-message". trailers: fields
    that came after the body (HTTP/2 only).
    """

    index: int
    version: str = ""
    method: str = ""
    target: str = ""
    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    body_size: int = 0
    marks: list[tuple[int, int]] = []
    start: int = 0
    end: int = 0
    complete: bool = False
    truncated: bool = False
    gap: bool = False
    anomalies: list[str] = []
    trailers: list[tuple[str, str]] = []

    def header(self, name: str) -> str:
        """First value of the header `name` (lower case), "" if there is none."""
        for key, value in self.headers:
            if key == name:
                return value
        return ""
