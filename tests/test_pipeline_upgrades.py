"""An HTTP request that turns its connection into something else is told to the detectors like any other."""

from __future__ import annotations

import pytest

from leeward.ai.catalogue import load_catalogue
from leeward.model.activity import Activity, HttpSeen
from leeward.model.net import Endpoint
from leeward.model.raw import Segment
from leeward.pipeline import Pipeline, Settings

CLIENT, SERVER = Endpoint("10.0.0.1", 50000), Endpoint("10.0.0.2", 80)


@pytest.mark.parametrize("host", ["api.openai.com", "chat.example"])  # of interest, and not
def test_an_upgrade_is_told_once(host: str) -> None:
    acts: list[Activity] = []
    pipeline = Pipeline(Settings("x", record=acts.append), load_catalogue(), None)
    asked = f"GET /v1/realtime HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    pipeline.feed(Segment(1, 0, "tcp", CLIENT, SERVER, True, 0, b"", 0, True))
    pipeline.feed(Segment(2, 0, "tcp", CLIENT, SERVER, True, 1, asked, len(asked)))
    pipeline.feed(Segment(3, 0, "tcp", SERVER, CLIENT, True, 1, answer, len(answer)))
    pipeline.finish(9)
    told = [(a.host, a.path, a.status) for a in acts if isinstance(a, HttpSeen)]
    assert told == [(host, "/v1/realtime", 101)]
