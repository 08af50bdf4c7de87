"""The event stream grammar, with the examples of the WHATWG specification (HTML §9.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.wire.sse import SseEvent, parse_sse

E = SseEvent
CASES = [
    ("empty", b"", []),
    ("one", b"data: x\n\n", [E("message", "x", "", 9)]),
    ("specification: stocks", b"data: YHOO\ndata: +2\ndata: 10\n\n", [E("message", "YHOO\n+2\n10", "", 30)]),
    (
        "specification: comment, ids, no space",
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [E("message", "first event", "1", 40), E("message", "second event", "", 62),
         E("message", " third event", "", 81, complete=False)],
    ),
    ("specification: empty data", b"data\n\ndata\ndata\n\ndata:",
     [E("message", "", "", 6), E("message", "\n", "", 17), E("message", "", "", 22, complete=False)]),
    ("specification: with and without space", b"data:test\n\ndata: test\n\n",
     [E("message", "test", "", 11), E("message", "test", "", 23)]),
    ("named", b"event: message_start\ndata: {}\n\n", [E("message_start", "{}", "", 31)]),
    ("CRLF", b"event: a\r\ndata: x\r\n\r\n", [E("a", "x", "", 21)]),
    ("CR", b"event: a\rdata: x\r\r", [E("a", "x", "", 18)]),
    ("mixed", b"data: a\r\ndata: b\rdata: c\n\r\n", [E("message", "a\nb\nc", "", 27)]),
    ("BOM", b"\xef\xbb\xbfdata: x\n\n", [E("message", "x", "", 12)]),
    ("second BOM is part of a name", b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
    ("event without data is not dispatched", b"event: ping\n\ndata: x\n\n", [E("message", "x", "", 22)]),
    ("id carries over", b"id: 7\ndata: a\n\ndata: b\n\n", [E("message", "a", "7", 15), E("message", "b", "7", 24)]),
    ("id with NUL is ignored", b"id: 7\0\ndata: a\n\n", [E("message", "a", "", 16)]),
    ("unknown fields", b"retry: 10\nfoo: bar\ndata: a\n\n", [E("message", "a", "", 28)]),
    ("cut in the middle", b"data: a\n\nevent: b\ndata: {\"x", [E("message", "a", "", 9), E("b", '{"x', "", 27, complete=False)]),
    ("cut comment is no event", b": ping", []),
    ("not UTF-8", b"data: \xff\n\n", [E("message", "\ufffd", "", 9)]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "events"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_grammar(body: bytes, events: list[SseEvent]) -> None:
    assert parse_sse(body) == events


line = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",)), max_size=20)


@settings(deadline=None, derandomize=True)
@given(
    sent=st.lists(st.tuples(line, st.lists(line, min_size=1, max_size=3)), max_size=8),
    newline=st.sampled_from(["\n", "\r", "\r\n"]),
)
def test_what_is_sent_comes_out(sent: list[tuple[str, list[str]]], newline: str) -> None:
    body = b""
    expected = []
    for kind, data in sent:
        lines = [f"event: {kind}", *(f"data: {part}" for part in data), "", ""]
        body += newline.join(lines).encode()
        expected.append(SseEvent(kind or "message", "\n".join(data), "", len(body)))
    assert parse_sse(body) == expected


@settings(deadline=None, derandomize=True)
@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([b"data", b":", b" ", b"\r", b"\n", b"id", b"x"])).map(b"".join)
)
def test_any_bytes(body: bytes) -> None:
    ends = [event.end for event in parse_sse(body)]
    assert ends == sorted(ends)
    assert all(0 < end <= len(body) for end in ends)
    assert all(event.complete for event in parse_sse(body)[:-1])


def test_count_is_bounded() -> None:
    assert len(parse_sse(b"data: x\n\n" * 50, most=20)) == 20
