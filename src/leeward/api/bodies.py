"""Request bodies, read only as far as they may be long."""

from __future__ import annotations

from fastapi import Request

LIMIT = 4_096


async def small_body(request: Request) -> bytes:
    """The body, b"" if it is longer than LIMIT bytes."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            return b""
    return body
