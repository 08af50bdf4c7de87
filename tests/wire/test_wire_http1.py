"""Conversations as they may be seen on a wire, and what the parser makes of them.

A conversation is a list of steps: C(bytes) from the client, S(bytes) from the server, Gap(to_server, size). Each step
is seen one tick after the one before.
"""

# ruff: noqa: E501 (tables)
from __future__ import annotations

import gzip
import random
import time
import tracemalloc
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.model.message import Message
from leeward.wire import http1_head
from leeward.wire.http1 import (
    Answered,
    ExchangeDone,
    Http1Connection,
    HttpEvent,
    Interest,
    Limits,
    NotHttp,
    RequestDone,
    RequestHead,
    Skipped,
    Upgraded,
)


class Gap(NamedTuple):
    to_server: bool
    size: int


def C(data: bytes) -> tuple[bool, bytes]:
    return True, data


def S(data: bytes) -> tuple[bool, bytes]:
    return False, data


Step = tuple[bool, bytes] | Gap


def run(
    steps: Iterable[Step],
    limits: Limits | None = None,
    interest: Interest = Interest.FULL,
    clean: bool = True,
    close: bool = True,
) -> tuple[list[HttpEvent], Http1Connection]:
    connection = Http1Connection(limits or Limits(), lambda request: interest)
    events: list[HttpEvent] = []
    ts = 0
    for ts, step in enumerate(steps, 1):
        if isinstance(step, Gap):
            events += connection.gap(step.to_server, ts, step.size)
        else:
            events += connection.feed(step[0], ts, step[1])
    if close:
        events += connection.close(ts + 1, clean)
    return events, connection


def exchanges(events: list[HttpEvent]) -> list[tuple[Message | None, Message | None]]:
    return [(e.request, e.response) for e in events if isinstance(e, ExchangeDone)]


def short(events: list[HttpEvent]) -> list[str]:
    """Exchanges as "target body[!] status body[!]"; "!" marks what is not complete, "~" what lacks bytes."""

    def one(message: Message | None, name: str) -> str:
        if message is None:
            return "-"
        flags = "" if message.complete else "!"
        return f"{name} {message.body.decode('latin-1')}{flags}{'~' if message.gap else ''}".replace(" !", "!").strip()

    return [
        f"{one(request, request.target if request else '')} | {one(response, str(response.status) if response else '')}"
        for request, response in exchanges(events)
    ]


GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
GET_B = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\n"

PLAYBOOK: list[tuple[str, list[Step], list[str]]] = [
    ("get", [C(GET), S(OK)], ["/a | 200 ok"]),
    ("keep-alive", [C(GET), S(OK), C(GET_B), S(OK)], ["/a | 200 ok", "/b | 200 ok"]),
    ("pipelined", [C(GET + POST + b"12345" + GET_B), S(OK + OK + OK)], ["/a | 200 ok", "/p 12345 | 200 ok", "/b | 200 ok"]),
    ("empty line before", [C(b"\r\n" + GET + b"\r\n"), C(GET_B), S(OK + b"\r\n" + OK)], ["/a | 200 ok", "/b | 200 ok"]),
    ("chunked", [C(GET), S(CHUNKED + b"3;x=\"y\"\r\nabc\r\n02 \r\nde\r\n0\r\nTrailer: t\r\n\r\n" + OK)], ["/a | 200 abcde"]),
    ("chunked request", [C(b"POST /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), S(OK)], ["/c hi | 200 ok"]),
    ("100", [C(POST), S(b"HTTP/1.1 100 Continue\r\n\r\n"), C(b"12345"), S(OK)], ["/p 12345 | 200 ok"]),
    ("103", [C(GET), S(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK)], ["/a | 200 ok"]),
    ("head", [C(HEAD + GET), S(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + OK)], ["/h | 200", "/a | 200 ok"]),
    ("204", [C(GET + GET_B), S(b"HTTP/1.1 204 No\r\nContent-Length: 99\r\n\r\n" + OK)], ["/a | 204", "/b | 200 ok"]),
    ("304", [C(GET + GET_B), S(b"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n" + OK)], ["/a | 304", "/b | 200 ok"]),
    ("delimited by close", [C(GET), S(UNTIL_CLOSE + b"ab"), S(b"cd")], ["/a | 200 abcd"]),
    ("no response", [C(GET)], ["/a | -"]),
    ("cut response", [C(GET), S(OK[:-1])], ["/a | 200 o!"]),
    ("cut response head", [C(GET), S(b"HTTP/1.1 200 OK\r\nContent-Le")], ["/a | 200!"]),
    ("cut request", [C(POST + b"12")], ["/p 12! | -"]),
    ("cut request head", [C(b"GET /cut HTTP/1.1\r\nHost: h\r\n")], ["/cut! | -"]),
    ("early error, request goes on", [C(POST + b"1"), S(OK), C(b"2345"), C(GET), S(OK)], ["/p 12345 | 200 ok", "/a | 200 ok"]),
    ("early error, request stops", [C(POST + b"1"), S(OK)], ["/p 1! | 200 ok"]),
    ("content withheld after refusal",
     [C(b"POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
      S(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"), C(GET), S(OK)], ["/e! | 417", "/a | 200 ok"]),
    ("response seen before the request's end", [C(GET[:20]), S(OK[:9]), S(OK[9:]), C(GET[20:])], ["/a | 200 ok"]),
    ("same, with the next request behind", [C(GET[:4]), S(OK), C(GET[4:] + GET_B[:5]), C(GET_B[5:]), S(OK)],
     ["/a | 200 ok", "/b | 200 ok"]),
    ("server only", [S(OK), S(OK)], []),
    ("joined in a response", [S(b"rest of it"), C(GET), S(OK)], ["/a | 200 ok"]),
    ("joined before a response", [S(OK), C(GET), S(OK)], ["/a | 200 ok"]),
    ("joined in a request", [C(b'{"half": 1}'), S(OK), C(GET), S(OK)], ["/a | 200 ok"]),
    ("joined before an endless response", [S(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"), C(GET), S(OK)], ["/a | 200 ok"]),
    ("a word that might become a method", [C(b"GET"), C(GET), S(OK)], ["/a | 200 ok"]),
    ("gap in a known length", [C(GET + GET_B), S(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab"), Gap(False, 2), S(b"ef" + OK)],
     ["/a | 200 abef~", "/b | 200 ok"]),
    ("gap to the very end", [C(GET + GET_B), S(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab"), Gap(False, 4), S(OK)],
     ["/a | 200 ab!~", "/b | 200 ok"]),
    ("gap in a chunk", [C(GET), S(CHUNKED + b"6\r\nab"), Gap(False, 2), S(b"ef\r\n0\r\n\r\n")], ["/a | 200 abef~"]),
    ("gap over chunks", [C(GET), S(CHUNKED + b"6\r\nab"), Gap(False, 9), S(b"ef\r\n0\r\n\r\n"), C(GET_B), S(OK)],
     ["/a | 200 ab!~", "/b | 200 ok"]),
    ("gap of unknown size", [C(POST + b"1"), Gap(True, 0), C(b"45"), S(OK), C(GET), S(OK)], ["/p 1!~ | 200 ok", "/a | 200 ok"]),
    ("gap until close", [C(GET), S(UNTIL_CLOSE + b"ab"), Gap(False, 0), S(b"ef")], ["/a | 200 abef!~"]),
    ("gap in a head", [C(b"GET /g HTTP/1.1\r\nHost: h\r\nAccept"), Gap(True, 9), C(b": x\r\n\r\n"), S(OK), C(GET), S(OK)],
     ["/g!~ | 200 ok", "/a | 200 ok"]),
    ("lost response", [C(GET), Gap(False, 0), C(GET_B), S(OK)], ["/a | -", "/b | 200 ok"]),
    ("lost response, its end is seen", [C(GET), Gap(False, 50), S(b"ok"), C(GET_B), S(OK)], ["/a | -", "/b | 200 ok"]),
    ("lost request", [C(GET), S(OK), Gap(True, 0), S(OK), C(GET_B), S(OK)], ["/a | 200 ok", "/b | 200 ok"]),
    ("lost on both sides", [C(GET), Gap(True, 0), Gap(False, 0), C(GET_B), S(OK)], ["/a | -", "/b | 200 ok"]),
    ("bad chunk", [C(GET), S(CHUNKED + b"2\r\nab\r\nzz\r\n"), S(b"more"), C(GET_B), S(OK)], ["/a | 200 ab!", "/b | 200 ok"]),
    ("upgrade refused", [C(b"GET /u HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"), S(OK), C(GET), S(OK)],
     ["/u | 200 ok", "/a | 200 ok"]),
    ("connect refused", [C(b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"), S(b"HTTP/1.1 403 F\r\nContent-Length: 2\r\n\r\nno"), C(GET), S(OK)],
     ["h:1 | 403 no", "/a | 200 ok"]),
    ("101 unasked", [C(GET), S(b"HTTP/1.1 101 Switching\r\n\r\n" + OK)], ["/a | 200 ok"]),
    ("own method", [C(b"FROB /f HTTP/1.1\r\nHost: h\r\n\r\n"), S(OK)], ["/f | 200 ok"]),
    ("lower-case name", [C(b"GET /l http/1.1\r\nHost: h\r\n\r\n"), S(b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")], ["/l | 200 ok"]),
    ("bytes after a response", [C(GET), S(OK + b"cruft"), C(GET_B), S(OK)], ["/a | 200 ok", "/b | 200 ok"]),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "expected"), [case[1:] for case in PLAYBOOK], ids=[case[0] for case in PLAYBOOK])
def test_playbook(steps: list[Step], expected: list[str]) -> None:
    events, _ = run(steps)
    assert short(events) == expected


def test_order_of_events_and_fields() -> None:
    steps = [C(POST[:30]), C(POST[30:]), C(b"12345"), S(OK[:-1]), S(OK[-1:])]
    connection = Http1Connection(Limits(), lambda request: Interest.FULL)
    seen = [[type(e) for e in connection.feed(*step[:1], ts, step[1])] for ts, step in enumerate(steps, 1)]
    assert seen == [[], [RequestHead], [RequestDone], [], [ExchangeDone]]
    events, _ = run(steps)
    request, response = exchanges(events)[0]
    assert request is not None
    assert response is not None
    assert request.headers == [("host", "h"), ("content-length", "5")]
    assert (request.method, request.target, request.version, request.start, request.end) == ("POST", "/p", "1.1", 1, 3)
    assert (response.status, response.reason, response.start, response.end) == (200, "OK", 4, 5)
    assert (response.body, response.body_size, response.marks) == (b"ok", 2, [(1, 4), (2, 5)])
    assert request.index == response.index == 0
    assert request.anomalies == response.anomalies == []


def test_skip() -> None:
    steps = [C(b"POST /x?secret=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), S(OK), C(GET), S(OK[:-1])]
    events, connection = run(steps, interest=Interest.SKIP)
    assert [e.line for e in events if isinstance(e, Skipped)] == [b"POST /x", b"GET /a HTTP/1.1"]
    assert answers(events) == [("/x?secret=1", 200), ("/a", 200)]
    assert len(events) == 4
    assert connection.counters["skipped"] == 2


def answers(events: list[HttpEvent]) -> list[tuple[str, int]]:
    """(target, status) of each request of no interest; 0 if no answer is surely its own."""
    return [
        (e.request.target, e.response.status if e.response is not None else 0)
        for e in events
        if isinstance(e, Answered)
    ]


def test_a_skipped_request_that_nobody_answers_is_told_too() -> None:
    events, _ = run([C(GET)], interest=Interest.SKIP)
    assert answers(events) == [("/a", 0)]
    events, _ = run([C(b"POST /big HTTP/1.1\r\nContent-Length: 900\r\n\r\nabc")], interest=Interest.SKIP)
    assert answers(events) == [("/big", 0)]


def test_what_is_odd_in_a_message_is_counted() -> None:
    events, connection = run([C(b"POST /x HTTP/1.1\r\nContent-Length: -5\r\n\r\n")], interest=Interest.SKIP)
    assert answers(events) == [("/x", 0)]
    assert connection.counters["odd_bad_content_length"] == 1


@pytest.mark.parametrize(("length", "body"), [(b"0" * 40 + b"2", b"hi"), (b"000", b"")])
def test_zeros_may_lead_a_length(length: bytes, body: bytes) -> None:
    events, _ = run([C(b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n" + body + GET)])
    (first, _), (second, _) = exchanges(events)
    assert first is not None
    assert second is not None
    assert (first.body, first.anomalies, second.target) == (body, [], "/a")


def test_interest_is_asked_once_a_request() -> None:
    asked: list[str] = []

    def interest(request: Message) -> Interest:
        asked.append(request.target)
        return Interest.SKIP if request.target == "/a" else Interest.FULL

    connection = Http1Connection(Limits(), interest)
    events = connection.feed(True, 1, GET + HEAD + GET_B)
    events += connection.feed(False, 2, OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + OK)
    assert asked == ["/a", "/h", "/b"]
    assert short(events) == ["/h | 200", "/b | 200 ok"]
    assert [r.index for r, _ in exchanges(events) if r] == [1, 2]


@pytest.mark.parametrize(
    ("request_head", "response_head"),
    [
        (b"GET /ws HTTP/1.1\r\nUpgrade: spdy\r\nConnection: Upgrade\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: spdy\r\n\r\n"),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 Connection established\r\nContent-Length: 4\r\n\r\n"),
    ],
    ids=["upgrade", "connect"],
)  # fmt: skip
def test_upgraded(request_head: bytes, response_head: bytes) -> None:
    events, connection = run([C(request_head), S(response_head + b"abcd"), C(GET), S(OK)])
    assert [type(e) for e in events] == [RequestHead, RequestDone, Upgraded]
    assert connection.counters["bytes_after_upgrade"] == 4 + len(GET) + len(OK)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([C(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04")], "HTTP/2"),
        ([C(b"\x16\x03\x01\x02\0\x01")], "TLS"),
        ([S(b"SSH-2.0-OpenSSH_9\r\n")], "SSH"),
        ([C(b"x" * 1000)] * 1100, "no head in its beginning"),
    ],
)
def test_not_http(steps: list[Step], reason: str) -> None:
    events, _ = run([*steps, C(GET), S(OK)])
    assert [e.reason for e in events if isinstance(e, NotHttp)] == [reason]
    assert len(events) == 1


def test_request_is_not_lost_when_the_server_speaks_something_else() -> None:
    events, _ = run([C(GET), S(b"SSH-2.0-OpenSSH_9\r\n")])
    assert [type(e) for e in events] == [RequestHead, RequestDone, ExchangeDone, NotHttp]


REQUEST_ODDITIES = [
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"2\r\nhi\r\n0\r\n\r\n", b"hi", ["content-length-and-transfer-encoding"]),
    (b"Content-Length: 2\r\nContent-Length: 2", b"hi", b"hi", ["duplicate-content-length"]),
    (b"Content-Length: 2, 2", b"hi", b"hi", ["duplicate-content-length"]),
    (b"Content-Length: 2\r\nContent-Length: 3", b"hi", b"hi", ["conflicting-content-length"]),
    (b"Content-Length: -1", b"", b"", ["bad-content-length"]),
    (b"Content-Length: +2", b"", b"", ["bad-content-length"]),
    (b"Content-Length: 18446744073709551617", b"", b"", ["bad-content-length"]),
    (b"Content-Length: " + b"9" * 5000, b"", b"", ["bad-content-length"]),
    (b"Content-Length: 0x2", b"", b"", ["bad-content-length"]),
    (b"Content-Length:", b"", b"", ["bad-content-length"]),
    (b"A: b\r\n c\r\nContent-Length: 2", b"hi", b"hi", ["obs-fold"]),
    (b"Content-Length : 2", b"hi", b"hi", ["space-before-colon"]),
    (b"no colon\r\nContent-Length: 2", b"hi", b"hi", ["bad-header-line"]),
    (b"X: \0\r\nContent-Length: 2", b"hi", b"hi", ["nul-in-header"]),
    (b"X: y\nContent-Length: 2", b"hi", b"hi", ["bare-lf"]),
    (b"Transfer-Encoding: chunked, chunked", b"2\r\nhi\r\n0\r\n\r\n", b"hi", ["chunked-twice"]),
    (b"Transfer-Encoding: xchunked\r\nContent-Length: 2", b"hi", b"hi", ["content-length-and-transfer-encoding", "transfer-encoding-not-chunked"]),
    (b"Transfer-Encoding: \x0bchunked", b"", b"", ["transfer-encoding-not-chunked"]),
    (b"Transfer-Encoding: chunked", b"2\nhi\n0\n\n", b"hi", ["bare-lf"]),
    (b"Transfer-Encoding: chunked", b"2\r\nhiX\r\n", b"hi", ["bad-chunk"]),
    (b"Transfer-Encoding: chunked", b"8000000000000000\r\nhi", b"", ["bad-chunk"]),
    (b"Transfer-Encoding: chunked", b"-2\r\nhi\r\n", b"", ["bad-chunk"]),
    (b"Transfer-Encoding: gzip, chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(gzip.compress(b"hi", mtime=0)), gzip.compress(b"hi", mtime=0)), b"hi", []),
    (b"Content-Length: 2\r\nContent-Encoding: gzip", b"hi", b"hi", ["bad-gzip"]),
    (b"\r\n".join(b"X%d: y" % i for i in range(2000)), b"", b"", ["header-limit"]),
]  # fmt: skip


IN_THE_BODY = (  # heads that llhttp takes
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Length: 2\r\nContent-Encoding: gzip",
)


@pytest.mark.parametrize(("fields", "wire", "body", "anomalies"), REQUEST_ODDITIES)
def test_odd_requests(fields: bytes, wire: bytes, body: bytes, anomalies: list[str]) -> None:
    events, _ = run([C(b"POST / HTTP/1.1\r\n" + fields + b"\r\n\r\n" + wire), S(OK), C(GET), S(OK)])
    (request, response), (second, _) = exchanges(events)
    assert request is not None
    assert response is not None
    assert second is not None
    assert request.body == body
    assert [name for name in request.anomalies if name != "odd-head"] == anomalies
    assert ("odd-head" in request.anomalies) == (fields not in IN_THE_BODY)
    assert response.body == b"ok"
    assert second.target == "/a"


@pytest.mark.parametrize(
    ("fields", "wire", "anomalies"),
    [
        (b"Content-Length: 18446744073709551618", b"hi", ["bad-content-length"]),
        (b"Content-Length: -5", b"hi", ["bad-content-length"]),
        (b"Transfer-Encoding: gzip", gzip.compress(b"hi", mtime=0), ["transfer-encoding-not-chunked"]),
        (b"Content-Encoding: br, unheard-of", b"hi", ["unknown-encoding"]),
    ],
)
def test_odd_responses_are_read_until_close(fields: bytes, wire: bytes, anomalies: list[str]) -> None:
    events, _ = run([C(GET), S(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + wire)])
    _, response = exchanges(events)[0]
    assert response is not None
    named = [name for name in response.anomalies if name != "odd-head"]
    assert (response.body, named, response.complete) == (b"hi", anomalies, True)


def test_an_unclean_end_does_not_complete_a_response() -> None:
    events, _ = run([C(GET), S(UNTIL_CLOSE + b"ab")], clean=False)
    assert short(events) == ["/a | 200 ab!"]


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_body_limit() -> None:
    events, _ = run([C(GET), S(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300)], Limits(body=100))
    _, response = exchanges(events)[0]
    assert response is not None
    assert (len(response.body), response.body_size, response.truncated, response.complete) == (100, 300, True, True)


def test_bomb() -> None:
    wire = gzip.compress(bytes(64 << 20), mtime=0)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(wire)
    start = time.process_time()
    events, _ = run([C(GET), S(head + wire), C(GET_B), S(OK)], Limits(body=1 << 18))
    assert time.process_time() - start < 1
    _, response = exchanges(events)[0]
    assert response is not None
    assert response.anomalies == ["expansion-limit"]
    assert (len(response.body), response.body_size, response.truncated) == (1 << 18, 1 << 20, True)
    assert short(events)[1] == "/b | 200 ok"


def test_head_limit() -> None:
    events, connection = run(
        [C(b"GET /big HTTP/1.1\r\nA: b\r\nX: " + b"y" * 2000 + b"\r\n\r\n"), S(OK)], Limits(head=1000)
    )
    request, response = exchanges(events)[0]
    assert request is not None
    assert response is not None
    assert (request.target, request.header("a"), request.truncated, request.complete) == ("/big", "b", True, False)
    assert request.anomalies == ["head-limit"]
    assert connection.counters["head_limit"] == 1


def test_pipeline_limit() -> None:
    """Beyond the limit requests still come out, without responses; what was held is given up."""
    events, connection = run([C(GET * 10), S(OK * 10)], Limits(pending=4))
    assert [(r is not None, s is None) for r, s in exchanges(events)] == [(True, True)] * 10
    assert connection.counters["pipeline_limit"] == 1


def test_bodies_of_all_pending_requests_are_bounded_together() -> None:
    events, _ = run([C((POST + b"12345") * 10)], Limits(held=20))
    assert sum(len(r.body) for r, _ in exchanges(events) if r) == 20
    assert [r.truncated for r, _ in exchanges(events) if r] == [False] * 4 + [True] * 6


def test_marks_keep_the_first_and_the_last() -> None:
    steps = [C(GET), S(CHUNKED), *(S(b"1\r\nx\r\n") for _ in range(50)), S(b"0\r\n\r\n")]
    events, _ = run(steps, Limits(marks=10))
    _, response = exchanges(events)[0]
    assert response is not None
    assert response.marks == [*((n, n + 2) for n in range(1, 10)), (50, 52)]


def test_decoded_bytes_are_marked_when_they_arrive() -> None:
    squeezer = zlib.compressobj(wbits=31)
    pieces = [squeezer.compress(b"data: %d\n\n" % i) + squeezer.flush(zlib.Z_SYNC_FLUSH) for i in range(3)]
    pieces.append(squeezer.flush())
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    steps = [C(GET), S(head), *(S(b"%x\r\n%b\r\n" % (len(p), p)) for p in pieces), S(b"0\r\n\r\n")]
    _, response = exchanges(run(steps)[0])[0]
    assert response is not None
    assert response.marks == [(9, 3), (18, 4), (27, 5)]
    assert (response.complete, response.anomalies) == (True, [])


@pytest.mark.parametrize(
    "wire",
    [
        b"GET " + b" " * 65000,
        b"GET " + b" " * 60000 + b"\r\n\r\n",
        b"HTTP/1.1 200" + b" " * 60000 + b"\rx\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"\t" * 60000,
        b"\r\n" * 200000,
        GET * 20000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 500000,
    ],
)
@pytest.mark.parametrize("to_server", [True, False])
def test_work_is_linear(wire: bytes, to_server: bool) -> None:
    """Shapes that make careless expressions and buffers quadratic, at once and in small pieces."""
    start = time.process_time()
    run([(to_server, wire)])
    run([(to_server, wire[i : i + 64]) for i in range(0, len(wire), 64)])
    assert time.process_time() - start < 4


# -- properties --------------------------------------------------------------------------------------------------------


def plain(events: list[HttpEvent]) -> list[object]:
    """Events without times."""
    for event in events:
        for message in (getattr(event, "request", None), getattr(event, "response", None)):
            if message is not None:
                message.start = message.end = 0
                message.marks = []
    return [repr(event) for event in events]


def split(step: Step, sizes: random.Random | None) -> list[Step]:
    if isinstance(step, Gap):
        return [step]
    direction, data = step
    pieces: list[Step] = []
    while data:
        size = sizes.randint(1, 40) if sizes else 1
        pieces.append((direction, data[:size]))
        data = data[size:]
    return pieces


SYNCED = [case for case in PLAYBOOK if not any(word in case[0] for word in ("joined", "server only", "lost", "gap", "bad", "word", "withheld", "after", "own", "cut"))]  # fmt: skip


@pytest.mark.parametrize("steps", [case[1] for case in SYNCED], ids=[case[0] for case in SYNCED])
def test_splits_do_not_matter(steps: list[Step]) -> None:
    """Where nothing is lost, the pieces in which bytes are seen change times only."""
    whole = plain(run(steps)[0])
    assert plain(run([piece for step in steps for piece in split(step, None)])[0]) == whole
    for seed in range(5):
        rng = random.Random(seed)
        assert plain(run([piece for step in steps for piece in split(step, rng)])[0]) == whole


TOKENS = [
    b"GET ", b"POST /x", b" HTTP/1.1", b"HTTP/1.1 ", b"200 OK", b"101 S", b"100 C", b"\r\n", b"\r\n\r\n", b"\n", b" ", b"\t", b":",
    b"Content-Length: ", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Upgrade: x", b"5", b"0", b"-1", b"ffffffffffffffff",
    GET, OK, POST, CHUNKED, HEAD, b"\x1f\x8b\x08", b"\0", b"\xff", b";", b"PRI * HTTP/2.0\r\n\r\n",
]  # fmt: skip
wire_bytes = st.binary(max_size=60) | st.lists(st.sampled_from(TOKENS), max_size=12).map(b"".join)
any_step = st.one_of(
    st.tuples(st.booleans(), wire_bytes),
    st.builds(Gap, st.booleans(), st.integers(0, 50)),
)


@given(st.lists(any_step, max_size=25), st.sampled_from(Interest), st.booleans())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_bytes(steps: list[Step], interest: Interest, clean: bool) -> None:
    """Never an error; every request of interest has its three events in order, and bodies keep to the limit."""
    limits = Limits(body=50, head=200, pending=3, held=100, early=100, marks=3)
    events, _ = run(steps, limits, interest, clean)
    order: dict[int, list[type]] = {}
    for event in events:
        if isinstance(event, NotHttp):
            continue
        assert event.request is not None
        order.setdefault(event.request.index, []).append(type(event))
        for message in (event.request, getattr(event, "response", None)):
            if message is not None and not isinstance(event, RequestHead):
                assert len(message.body) <= 50
                assert len(message.marks) <= 3
    whole = ([RequestHead, RequestDone, ExchangeDone], [RequestHead, RequestDone, Upgraded])
    for kinds in order.values():
        assert kinds in whole if interest is Interest.FULL else kinds in ([Skipped], [Skipped, Answered])


def test_memory_is_bounded() -> None:
    limits = Limits(body=1000, head=1000, pending=8, held=4000, early=1000)
    rng = random.Random(4)
    connection = Http1Connection(limits, lambda request: Interest.FULL)
    pieces = [*TOKENS, b"x" * 500]
    tracemalloc.start()
    try:
        for ts in range(30000):
            connection.feed(rng.random() < 0.5, ts, rng.choice(pieces[:-1]) if ts % 3 else pieces[-1])
            if ts % 500 == 0:  # a fresh start now and then, so that upgrades do not end the test
                connection = Http1Connection(limits, lambda request: Interest.FULL)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Step], list[tuple[str, str, bytes, int, bytes]]]:
    """A valid conversation as h11 writes it, and what was said in it."""
    steps: list[Step] = []
    said: list[tuple[str, str, bytes, int, bytes]] = []
    window = draw(st.integers(1, 4))
    requests, responses = b"", b""
    for i in range(draw(st.integers(1, 6))):
        method = draw(st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE"]))
        sent = draw(st.binary(max_size=200)) if method in ("POST", "PUT") else b""
        status = draw(st.sampled_from([200, 201, 204, 304, 404, 500]))
        answer = b"" if method == "HEAD" or status in (204, 304) else draw(st.binary(max_size=300))
        client, server = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
        wire = write(
            draw,
            client,
            h11.Request(method=method, target=f"/{i}", headers=[("Host", "h"), *lengths(draw, sent)]),
            sent,
        )
        server.receive_data(wire)
        while not isinstance(server.next_event(), h11.EndOfMessage):
            pass
        back = b""
        for interim in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2)):
            back += server.send(h11.InformationalResponse(status_code=interim, headers=[])) or b""
        encoded, fields = answer, []
        if answer and draw(st.booleans()):
            encoded, fields = gzip.compress(answer, mtime=0), [("Content-Encoding", "gzip")]
        head = h11.Response(status_code=status, headers=[*fields, *lengths(draw, encoded)])
        back += write(draw, server, head, encoded)
        requests, responses = requests + wire, responses + back
        said.append((method, f"/{i}", sent, status, answer))
        if (i + 1) % window == 0:
            steps += [C(requests), S(responses)]
            requests, responses = b"", b""
    return [*steps, C(requests), S(responses)], said


def lengths(draw: st.DrawFn, body: bytes) -> list[tuple[str, str]]:
    """h11 chunks what has no length."""
    return (
        [("Content-Length", str(len(body)))] if not body or draw(st.booleans()) else [("Transfer-Encoding", "chunked")]
    )


def write(draw: st.DrawFn, connection: h11.Connection, head: h11.Request | h11.Response, body: bytes) -> bytes:
    wire = connection.send(head) or b""
    while body:
        size = draw(st.integers(1, 200))
        wire += connection.send(h11.Data(data=body[:size])) or b""
        body = body[size:]
    return wire + (connection.send(h11.EndOfMessage()) or b"")


@given(conversations(), st.integers(0, 1 << 30))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_what_was_said_is_heard(
    conversation: tuple[list[Step], list[tuple[str, str, bytes, int, bytes]]], seed: int
) -> None:
    steps, said = conversation
    rng = random.Random(seed)
    for pieces in (steps, [piece for step in steps for piece in split(step, rng)]):
        heard = []
        for request, response in exchanges(run(pieces, close=False)[0]):
            assert request is not None
            assert response is not None
            assert request.complete
            assert response.complete
            assert request.anomalies == response.anomalies == []
            heard.append((request.method, request.target, request.body, response.status, response.body))
        assert heard == said


fields = st.lists(
    st.tuples(
        st.from_regex(r"\A[A-Za-z][A-Za-z0-9-]{0,10}\Z"),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15).map(str.strip),
    ),
    max_size=6,
)


@settings(deadline=None, derandomize=True)
@given(fields, st.sampled_from(["/", "/a?b=c", "*", "http://h/x"]))
def test_the_forgiving_reader_agrees_with_llhttp(headers: list[tuple[str, str]], target: str) -> None:
    """Where llhttp takes a head, what reads the heads that it refuses says the same."""
    framing = ("content-length", "transfer-encoding", "connection", "upgrade")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers if name.lower() not in framing)
    head = f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
    strict = http1_head.read_request(head, 0, 0)
    assert strict is not None
    assert strict.anomalies == []
    forgiving = Message(index=0, method="GET", target=target, version="1.1")
    http1_head._forgiving(head, head.index(b"\n") + 1, forgiving)
    assert forgiving.anomalies == ["odd-head"]
    forgiving.anomalies = []
    assert forgiving == strict
