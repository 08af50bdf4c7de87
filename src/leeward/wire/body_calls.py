"""What a request asks for where its path does not say so: GraphQL (GraphQL over HTTP, §5) and JSON-RPC 2.0.

Invariants: never raises on any bytes; reads at most `MOST` bytes, and only a body that is whole.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from leeward.model.message import Message

MOST = 2048
_PATH = re.compile(r"/(?:graphql|gql|rpc|jsonrpc|json-rpc)/?$", re.IGNORECASE)
_IS_ID = re.compile(r"(?:^|_)id$|I[dD]$|^ID$")
_VALUE = re.compile(r"[\w.:-]{1,64}")
_NAMED = re.compile(
    r"\s*(?:query|mutation|subscription)?\s*(?:\w+\s*(?:\([^)]{0,512}\))?\s*)?\{\s*(?:\w+\s*:\s*)?(\w{1,64})"
)
_GIVEN = re.compile(r"\b(\w{0,32}(?:_id|I[dD]|\bid))\s*:\s*\"?([\w.:-]{1,64})")


def is_call(request: Message) -> bool:
    """May the body say what this request asks for?"""
    return request.method == "POST" and _PATH.search(request.target.partition("?")[0]) is not None


def called(request: Message, body: bytes) -> str:
    """`order/52300`: the operation, and the id that it is given if it is given one; "" if the body does not say. It stands
    behind the path then, as where the path says it."""
    if not body or len(body) > MOST or not is_call(request):
        return ""
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    if not isinstance(asked, dict):
        return ""
    query, method = asked.get("query"), asked.get("method")
    if isinstance(query, str):
        named = _NAMED.match(query)
        name, ids = named[1] if named else "", _ids(asked.get("variables")) or _written(query)
    else:
        name, ids = method if isinstance(method, str) else "", _ids(asked.get("params"))
    if not _VALUE.fullmatch(name):
        return ""
    return f"{name}/{ids[0]}" if len(ids) == 1 else name


def _ids(given: Any) -> list[str]:
    """Values of what is called an id, at the top."""
    if not isinstance(given, dict):
        return []
    found = [str(value) for key, value in given.items() if _IS_ID.search(key) and type(value) in (str, int)]
    return [value for value in found if _VALUE.fullmatch(value)]


def _written(query: str) -> list[str]:
    """The same, where the query itself has them."""
    return [value for _, value in _GIVEN.findall(query) if value != "ID"]
