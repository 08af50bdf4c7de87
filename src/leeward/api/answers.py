"""What the routes share: parameters, who asks, and answers made of records as they were stored."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Query, Request
from fastapi.responses import Response

from leeward.api.tokens import Principal
from leeward.store.query import LIMIT_MAX

Text = Annotated[str, Query(max_length=256)]
Time = Annotated[str, Query(max_length=64, description="A span back from now (15m, 2h, 7d) or ISO 8601 (UTC)")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str, Query(max_length=4096, description="`next` of the page before")]


def principal(request: Request) -> Principal:
    """Who asks: the guard has seen to it that there is someone."""
    found: Principal = request.scope["state"]["principal"]
    return found


def reads_content(request: Request) -> bool:
    """Whether they may read the words of a conversation."""
    return principal(request).may("analyst")


def json_answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def page_answer(name: str, items: list[Any], next_: str | None = None) -> Response:
    """Records are spliced in as they were stored: no second writing, no second opinion."""
    raw: dict[str, Any] = {name: [msgspec.Raw(item) for item in items]}
    return json_answer(msgspec.json.encode(raw if next_ is None else {**raw, "next": next_}))
