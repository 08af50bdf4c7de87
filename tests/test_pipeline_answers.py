"""Keys in what is answered come with the server's side of a request, and only with that."""

from __future__ import annotations

import random
import string

import pytest

from leeward.ai.catalogue import load_catalogue
from leeward.ai.keys import fingerprint
from leeward.model.activity import Activity, HttpSeen
from leeward.model.net import Endpoint
from leeward.model.raw import FoundKey, Segment, SocketOpened
from leeward.pipeline import Pipeline, Settings

HERE, THERE = Endpoint("10.0.0.1", 50000), Endpoint("203.0.113.7", 80)
KEY = "sk-proj-" + "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=48))
ASKED = b"GET /config.js?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n"
PAGE = f'window.ENV = {{"key": "{KEY}"}};'.encode()


def seen(role: str, page: bytes = PAGE, kind: str = "text/javascript") -> HttpSeen:
    acts: list[Activity] = []
    pipeline = Pipeline(Settings("x", record=acts.append), load_catalogue(), None)
    pipeline.feed(SocketOpened(1, 7, 70, role, "tcp", HERE, THERE))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(page)}\r\n\r\n".encode()
    asks = role == "client"
    pipeline.feed(Segment(2, 7, "tcp", HERE, THERE, asks, 1, ASKED, len(ASKED)))
    pipeline.feed(Segment(3, 7, "tcp", HERE, THERE, not asks, 1, head, len(head)))
    pipeline.feed(Segment(4, 7, "tcp", HERE, THERE, not asks, 1 + len(head), page, len(page)))
    (http,) = [act for act in acts if isinstance(act, HttpSeen)]
    assert (http.response_size, http.status, http.ts) == (len(page), 200, 3)
    assert KEY not in repr(http)
    return http


def test_a_server_here_gives_a_key_away() -> None:
    http = seen("server")
    assert (http.direction, http.keys) == (
        "inbound",
        (FoundKey("openai", fingerprint(KEY), "answer", "/config.js"),),
    )


@pytest.mark.parametrize(
    ("role", "page", "kind"),
    [
        ("client", PAGE, "text/javascript"),
        ("server", PAGE, "image/png"),
        ("server", b"x" * 2048 + PAGE, "text/plain"),
        ("server", b" " * 2000 + PAGE, "text/plain"),
    ],
)
def test_what_is_not_looked_at(role: str, page: bytes, kind: str) -> None:
    assert seen(role, page, kind).keys == ()
