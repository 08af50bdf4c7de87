"""An ordinary web site: what must not be taken for AI. Pages, a JSON API with words like model and messages, plain SSE."""

from __future__ import annotations

from proving.servers import words
from proving.servers.reply import Ask, Meaning, Reply, json_reply, sse_reply

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""


def handle(ask: Ask) -> Reply:
    """Any request to example.com."""
    reply = _operation(ask)
    reply.headers.append(("server", "nginx/1.22.1"))
    return reply


def _operation(ask: Ask) -> Reply:
    match ask.method, ask.path:
        case "GET" | "HEAD", "/" | "/about":
            text = words.answer(ask.path, "page", (20, 40))
            page = _PAGE.format(title="Example Domain", text=text).encode()
            return Reply(200, [page], "text/html; charset=utf-8", Meaning(text=page.decode()))
        case "GET", "/api/events":
            events = [("", {"price": i * 7 % 31, "symbol": "LWD"}) for i in range(20)]
            return sse_reply(events, Meaning(stream=True))
        case "GET", "/api/items":
            items = [{"id": i, "name": words.answer(str(i), "item", (1, 1)), "model": f"X{i}"} for i in range(20)]
            return json_reply({"items": items, "total": 20}, Meaning())
        case "POST", "/api/items" | "/api/messages":
            return json_reply({"id": ask.hash()[:12], "stored": True, "echo": ask.data}, Meaning(), status=201)
        case "POST", "/login":
            return Reply(302, [b""], "text/html", headers=[("location", "/"), ("set-cookie", "sid=" + ask.hash()[:24])])
    return Reply(404, [b"<h1>Not Found</h1>"], "text/html")
