"""The least that an addon of mitmproxy needs to judge requests: it reads each body and looks for card numbers in it."""

from __future__ import annotations

import json
import re

from mitmproxy import http

_CARD = re.compile(r"\b[3-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,4}\b")


def request(flow: http.HTTPFlow) -> None:
    for message in json.loads(flow.request.get_text() or "{}").get("messages", ()):
        if _CARD.search(message["content"]):
            flow.response = http.Response.make(403)
