"""What the API answers: pages, filters, masking, the document, the page, the stream."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from api_server import World, make_world, serve
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import T0, coverage, exchange, flow, moment

from leeward.api import hub as hub_module
from leeward.api.masking import HIDDEN, mask
from leeward.api.times import parse_time
from leeward.api.visible import one_line, visible
from leeward.model.exchange import AiError, ChatMessage, Exchange, Observer, ProcessRef, ToolCall
from leeward.store.errors import QueryError

SECRETS = ("my prompt text", "its answer text", "tool description", "schema secret", "hidden_name", "argument secret",
           "stop secret", "argv secret", "url-secret", "error secret", "reasoning secret", "part secret")  # fmt: skip


def talkative(n: int = 1) -> Exchange:
    x = exchange(n, error=AiError(type="bad", message="error secret"))
    call = ToolCall(id="c", name="shell", arguments='{"x": "argument secret"}')
    x.gen_ai.output.append(
        ChatMessage(
            role="assistant",
            content="",
            reasoning="reasoning secret",
            parts=[{"type": "file", "part secret": "part secret", "sha256": "part secret"}],
            tool_calls=[call],
        )
    )
    x.observers = [Observer(process=ProcessRef(pid=1, exe="/bin/s", argv=["s", "argv secret"]))]
    assert x.process is not None
    x.process.ancestors = [{"pid": 2, "exe": "/bin/sh", "argv": ["sh", "-c", "argv secret"]}]
    return x


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("api"))
    for n in range(25):
        made.store.add(exchange(n))
        made.store.add(flow(n))
    made.store.add(talkative(100))
    made.store.add(coverage())
    assert made.store.flush()
    yield made
    made.store.close()


def test_api_exchanges_by_pages(world: World) -> None:
    client, seen, cursor = world.client("analyst"), [], ""
    while True:
        page = client.get("/api/v1/exchanges", params={"limit": 7, "cursor": cursor}).json()
        seen += [x["id"] for x in page["exchanges"]]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == [exchange(n).id for n in (100, *range(24, -1, -1))]


def test_api_one_exchange_is_byte_for_byte_the_stored_one(world: World) -> None:
    response = world.client("analyst").get(f"/api/v1/exchanges/{exchange(3).id}")
    assert response.content == msgspec.json.encode(exchange(3))
    assert response.headers["content-type"] == "application/json"
    missing = world.client("analyst").get("/api/v1/exchanges/nothing")
    assert (missing.status_code, missing.json()) == (404, {"detail": "no exchange has the id 'nothing'"})


def test_api_filters_reach_the_store(world: World) -> None:
    client = world.client("analyst")

    def count(**parameters: Any) -> int:
        return len(client.get("/api/v1/exchanges", params={"limit": 1000, **parameters}).json()["exchanges"])

    assert count() == 26
    assert count(workload="app1") == 9
    assert count(provider="nobody") == 0
    assert count(model="gpt", domain="openai", operation="chat", status="2xx") == 26
    assert count(status="error") == 1
    assert count(since=moment(20), until=moment(23)) == 3
    assert count(since="590s") == 16
    assert count(q="my prompt") == 26
    assert len(client.get("/api/v1/flows", params={"since": moment(20)}).json()["flows"]) == 5
    assert len(client.get("/api/v1/coverage").json()["coverage"]) == 1


def test_api_viewer_reads_no_content_anywhere(world: World) -> None:
    viewer, analyst = world.client("viewer"), world.client("analyst")
    for path in ("/api/v1/exchanges?limit=1000", f"/api/v1/exchanges/{exchange(100).id}"):
        open_, closed = analyst.get(path).text, viewer.get(path).text
        for secret in SECRETS:
            assert secret in open_
            assert secret not in closed
    x = viewer.get(f"/api/v1/exchanges/{exchange(100).id}").json()
    assert x["gen_ai"]["input"][0] == {"role": "user", "content": HIDDEN}
    assert x["gen_ai"]["tool_calls"][0] == {"id": "c1", "name": "shell", "arguments": HIDDEN, "type": "function"}
    assert (x["gen_ai"]["request_model"], x["gen_ai"]["input_tokens"]) == ("gpt-4o", 10)
    assert x["http"]["url"] == "/v1/chat/completions?" + HIDDEN
    assert x["process"]["argv"] == ["app1", HIDDEN]


def test_api_viewer_cannot_search_in_content(world: World) -> None:
    """A search that answers yes or no would give the text away, letter by letter."""
    for q, analyst, viewer in (("my prompt", 26, 0), ("url-secret", 26, 0), ("argv secret", 26, 0), ("app1", 9, 9)):
        for role, expected in (("analyst", analyst), ("viewer", viewer)):
            got = world.client(role).get("/api/v1/exchanges", params={"q": q, "limit": 1000}).json()
            assert len(got["exchanges"]) == expected, (q, role)


def test_api_masking_hides_what_it_does_not_know() -> None:
    record = {"type": "exchange", "gen_ai": {"provider": "x", "new_field": {"deep": ["text"]}, "input": "not a list"}}
    assert mask(record)["gen_ai"] == {"provider": "x", "new_field": HIDDEN, "input": HIDDEN}
    assert mask({"type": "exchange", "gen_ai": {"input": [{"role": "my text"}, "text"]}})["gen_ai"]["input"] == [
        {"role": HIDDEN}, HIDDEN,
    ]  # fmt: skip


def test_api_stats_carry_every_loss(world: World) -> None:
    stats = world.client("viewer").get("/api/v1/stats").json()
    assert stats["type"] == "stats"
    assert stats["summary"]["exchanges"] == 26
    assert stats["counters"]["store"]["stored"] == 52
    assert stats["status"]["lost"] == {"payload_ring_lost": 3}
    assert stats["health"]["ok"] is True


def test_api_health_is_open_and_says_little(world: World) -> None:
    assert world.client("").get("/api/v1/health").json() == {"status": "ok"}


def test_api_document_describes_the_structs(world: World) -> None:
    document = world.client("viewer").get("/api/v1/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"Exchange", "GenAI", "FlowRecord", "Coverage", "ExchangePage", "Stats"} <= schemas.keys()
    assert schemas["GenAI"]["properties"]["input_tokens"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert document["paths"]["/api/v1/exchanges"]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ] == {"$ref": "#/components/schemas/ExchangePage"}
    assert document["security"] == [{"token": []}]
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert refs <= schemas.keys()
    names = {p["name"] for p in document["paths"]["/api/v1/exchanges"]["get"]["parameters"]}
    assert names == {"since", "until", "limit", "cursor", "workload", "provider", "operation", "model", "domain",
                     "status", "q"}  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"since": "yesterday"}, "since 'yesterday'"),
        ({"until": "5x"}, "until"),
        ({"since": "999999999w"}, "since"),
        ({"cursor": "###"}, "cursor"),
        ({"status": "4"}, "status"),
    ],
)
def test_api_bad_questions_are_400_and_one_line(world: World, parameters: dict[str, str], says: str) -> None:
    response = world.client("viewer").get("/api/v1/exchanges", params=parameters)
    assert response.status_code == 400
    assert says in response.json()["detail"]
    assert "\n" not in response.json()["detail"]


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"q": "x" * 300}])
def test_api_out_of_range_is_422(world: World, parameters: dict[str, Any]) -> None:
    assert world.client("viewer").get("/api/v1/exchanges", params=parameters).status_code == 422


ANY = st.text(max_size=40)


@settings(max_examples=80, deadline=None)
@given(
    parameters=st.fixed_dictionaries(
        {},
        optional={
            "since": st.one_of(ANY, st.from_regex(r"[0-9]{1,12}[smhdw]", fullmatch=True)),
            "until": ANY,
            "limit": st.one_of(ANY, st.integers()),
            "cursor": ANY,
            "workload": ANY,
            "provider": ANY,
            "model": ANY,
            "domain": ANY,
            "status": ANY,
            "q": ANY,
            "unknown": ANY,
        },
    ),
    role=st.sampled_from(["viewer", "analyst"]),
)
def test_api_any_parameters_give_an_answer(world: World, parameters: dict[str, Any], role: str) -> None:
    response = world.client(role).get("/api/v1/exchanges", params=parameters)
    assert response.status_code in (200, 400, 422)
    assert isinstance(response.json(), dict)
    assert world.client(role).get("/api/v1/flows", params=parameters).status_code in (200, 400, 422)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_api_any_id_gives_an_answer(world: World, id_: str) -> None:
    assert id_ is not None
    url = httpx.URL("http://127.0.0.1:8420").copy_with(raw_path=b"/api/v1/exchanges/" + _quoted(id_))
    assert world.client("viewer").get(url).status_code in (200, 404, 307)


def _quoted(text: str) -> bytes:
    from urllib.parse import quote

    return quote(text, safe="").encode()


@settings(max_examples=150, deadline=None)
@given(st.one_of(ANY, st.from_regex(r"[0-9]{1,12}[smhdw]", fullmatch=True), st.datetimes().map(str)))
def test_api_times_are_utc_or_refused(text: str) -> None:
    try:
        found = parse_time(text, T0, "since")
    except QueryError:
        return
    assert found is None or found.utcoffset() == timedelta(0)


def test_api_times() -> None:
    assert parse_time("15m", T0, "since") == T0 - timedelta(minutes=15)
    assert parse_time("2w", T0, "since") == T0 - timedelta(weeks=2)
    assert parse_time("2026-11-01T13:00:00+01:00", T0, "since") == datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert parse_time("", T0, "since") is None


# ---- the page


EVIL = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=alert(3) \u202e\x1b[31m"


TAGS = {"html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "form", "button", "table", "thead",
        "tbody", "tr", "th", "td"}  # fmt: skip


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_api_page_is_the_same_whatever_traffic_says(tmp_path: Path) -> None:
    """What was seen reaches browsers as JSON only, which the built page shows as text (tests/ui)."""
    world = make_world(tmp_path)
    try:
        before = world.client("admin").get("/").text
        world.store.add(exchange(1, prompt=EVIL, answer=EVIL, model=EVIL, domain=EVIL, provider=EVIL, workload=EVIL))
        world.store.flush()
        assert world.client("admin").get("/").text == before
        assert "unsafe" not in world.client("admin").get("/").headers["content-security-policy"]
    finally:
        world.store.close()


@pytest.mark.parametrize(
    "name", ["../index.html", "..%2findex.html", "%2e%2e/page.py", "leeward.svg/../../page.py", "x.py"]
)
def test_api_only_assets_are_served(world: World, name: str) -> None:
    assert world.client("admin").get(f"/assets/{name}").status_code == 404


def test_api_page_style_matches_its_policy(world: World) -> None:
    import base64
    import hashlib

    response = world.client("")
    page = response.get("/")
    style = page.text.split("<style>")[1].split("</style>")[0]
    wanted = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{wanted}'" in page.headers["content-security-policy"]
    assert "<form" in page.text
    assert "Counters" not in page.text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_api_visible_text_is_visible(text: str) -> None:
    assert visible(text).isprintable()
    assert all(c.isprintable() or c in "\n\t" for c in visible(text, lines=True))
    assert len(one_line(text, 20)) <= 20
    assert one_line(text, 20).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢 🙂", "plain ä 漢 🙂"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb\u200bc", "a\\u202eb\\u200bc"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("a\nb", "a\\nb"),
    ],
)
def test_api_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


# ---- the stream


class Reader:
    """Reads a live stream in a thread, frame by frame."""

    def __init__(self, url: str, token: str, last_id: str = "", types: str = "") -> None:
        self.frames: list[dict[str, str]] = []
        self.comments = 0
        self.ended = threading.Event()
        self.ready = threading.Event()
        headers = {"authorization": f"Bearer {token}", **({"last-event-id": last_id} if last_id else {})}
        self._args = (f"{url}/api/v1/stream", headers, {"types": types} if types else {})
        self.stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.ready.wait(5)

    def _run(self) -> None:
        url, headers, params = self._args
        with httpx.stream("GET", url, headers=headers, params=params, timeout=5) as response:
            self.status = response.status_code
            buffer = ""
            for chunk in response.iter_text():
                self.ready.set()
                buffer += chunk
                *frames, buffer = buffer.split("\n\n")
                for frame in frames:
                    if frame.startswith(":"):
                        self.comments += 1
                    else:
                        self.frames.append(dict(line.split(": ", 1) for line in frame.split("\n")))  # type: ignore[misc]
                if self.stop:
                    break
        self.ready.set()
        self.ended.set()

    def wait_for(self, count: int) -> list[dict[str, str]]:
        deadline = time.monotonic() + 5
        while len(self.frames) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.frames

    def close(self) -> None:
        self.stop = True
        self.ended.wait(5)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[World, str]]:
    world = make_world(tmp_path, heartbeat=0.05)
    with serve(world.app) as url:
        yield world, url
        world.hub.close()
    world.store.close()


def test_api_stream_carries_what_happens(live: tuple[World, str]) -> None:
    world, url = live
    reader = Reader(url, world.secrets["analyst"])
    for record in (exchange(1), flow(1), coverage()):
        world.hub.publish(record)
    frames = reader.wait_for(3)
    assert [frame["event"] for frame in frames] == ["exchange", "flow", "coverage"]
    assert json.loads(frames[0]["data"]) == msgspec.to_builtins(exchange(1))
    assert json.loads(frames[1]["data"])["type"] == "flow"
    deadline = time.monotonic() + 5
    while reader.comments < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reader.comments >= 3, "no heartbeat"
    reader.close()


def test_api_stream_hides_content_from_viewers(live: tuple[World, str]) -> None:
    world, url = live
    reader = Reader(url, world.secrets["viewer"], types="exchange,coverage")
    world.hub.publish(talkative())
    world.hub.publish(flow(1))
    world.hub.publish(coverage())
    frames = reader.wait_for(2)
    assert [frame["event"] for frame in frames] == ["exchange", "coverage"]
    assert not [secret for secret in SECRETS if secret in frames[0]["data"]]
    assert HIDDEN in frames[0]["data"]
    reader.close()


def test_api_stream_resumes_where_it_was(live: tuple[World, str]) -> None:
    world, url = live
    first = Reader(url, world.secrets["analyst"])
    for n in range(3):
        world.hub.publish(exchange(n))
    last = first.wait_for(3)[1]["id"]
    first.close()
    again = Reader(url, world.secrets["analyst"], last_id=last)
    assert json.loads(again.wait_for(1)[0]["data"])["id"] == exchange(2).id
    again.close()
    stranger = Reader(url, world.secrets["analyst"], last_id="0badc0de-7")
    frames = stranger.wait_for(4)
    assert [frame["event"] for frame in frames] == ["lost", "exchange", "exchange", "exchange"]
    stranger.close()


def test_api_stream_tells_the_slow_what_they_lost(live: tuple[World, str], monkeypatch: pytest.MonkeyPatch) -> None:
    world, url = live
    monkeypatch.setattr(hub_module, "CLIENT_EVENTS", 5)
    reader = Reader(url, world.secrets["analyst"])
    with world.hub.lock:  # the loop cannot take anything meanwhile
        (client,) = world.hub._clients
        for n in range(20):
            event = hub_module.LiveEvent(n + 1, "exchange", b'{"n":%d}' % n)
            client.offer(event)
    frames = reader.wait_for(6)
    assert (frames[0]["event"], json.loads(frames[0]["data"])) == ("lost", {"type": "lost", "count": 15})
    assert [json.loads(frame["data"])["n"] for frame in frames[1:]] == [15, 16, 17, 18, 19]
    reader.close()


def test_api_stream_ends_when_the_token_goes(live: tuple[World, str]) -> None:
    world, url = live
    reader = Reader(url, world.secrets["viewer"])
    world.tokens.revoke("a-viewer")
    assert reader.ended.wait(5)


def test_api_stream_ends_when_the_hub_closes_and_clients_are_bounded(
    live: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, url = live
    monkeypatch.setattr(hub_module, "CLIENTS", 1)
    reader = Reader(url, world.secrets["viewer"])
    refused = httpx.get(f"{url}/api/v1/stream", headers={"authorization": f"Bearer {world.secrets['viewer']}"})
    assert refused.status_code == 503
    world.hub.close()
    assert reader.ended.wait(5)
    deadline = time.monotonic() + 5
    while world.hub._clients and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not world.hub._clients, "a client that is gone keeps its place"


def test_api_stream_kinds_are_checked(world: World) -> None:
    assert world.client("viewer").get("/api/v1/stream", params={"types": "secrets"}).status_code == 400


def test_api_hub_is_bounded_and_survives_odd_records() -> None:
    hub = hub_module.LiveHub()
    for n in range(hub_module.KEEP_EVENTS + 50):
        hub.publish(exchange(n, prompt="lone \ud800" if n % 2 else "x"))
    assert len(hub._kept.events) == hub_module.KEEP_EVENTS
    assert hub.counters["live_published"] == hub_module.KEEP_EVENTS + 50
    bounded = hub_module._Bounded(10, 100)
    assert bounded.push(hub_module.LiveEvent(1, "exchange", b"x" * 60)) == 0
    assert bounded.push(hub_module.LiveEvent(2, "exchange", b"x" * 60)) == 1
    assert bounded.push(hub_module.LiveEvent(3, "exchange", b"x" * 600)) == 2
