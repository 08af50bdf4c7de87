"""The beginning of what is answered to a request of no interest."""

from __future__ import annotations

import h2.config
import h2.connection
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.wire.beginning import MOST, MOST_FAILED, MOST_SENT, began, of_kept
from leeward.wire.http import Answered, HttpEvent, Interest, Limits
from leeward.wire.http1 import Http1Connection
from leeward.wire.http1_head import read_response
from leeward.wire.http2 import Http2Connection

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
HELLO = b"hello, world"


def head(kind: str = "text/html", *fields: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", *fields, "", ""]
    return "\r\n".join(lines).encode()


def sized(body: bytes, kind: str = "text/html", *fields: str) -> bytes:
    return head(kind, f"Content-Length: {len(body)}", *fields) + body


def answers(*pieces: bytes, asked: bytes = GET, end: bool = False) -> list[tuple[int, bytes]]:
    """(the piece it came with, beginning) of each answer."""
    connection = Http1Connection(Limits(), lambda _: Interest.SKIP)
    connection.feed(True, 1, asked)
    told: list[tuple[int, list[HttpEvent]]] = [(n, connection.feed(False, n, piece)) for n, piece in enumerate(pieces)]
    if end:
        told.append((len(pieces), connection.close(9)))
    return [(n, e.beginning) for n, events in told for e in events if isinstance(e, Answered)]


@pytest.mark.parametrize("kind", ["text/html", "Text/JavaScript; charset=utf-8", "application/json", "application/problem+json",
    "application/x-javascript", "application/xml", "application/octet-stream", ""])  # fmt: skip
def test_text(kind: str) -> None:
    """Of a type that says nothing it may be, as `.env` is that a server of files gives away."""
    assert answers(sized(HELLO, kind)) == [(0, HELLO)]


@pytest.mark.parametrize("answer", [sized(HELLO, "image/png"), sized(HELLO, "text/event-stream"), sized(b""),
    sized(HELLO, "text/html", "Content-Encoding: gzip")])  # fmt: skip
def test_what_is_no_text_is_told_with_its_head(answer: bytes) -> None:
    assert answers(answer) == [(0, b"")]


def test_an_answer_to_head_has_none() -> None:
    assert answers(head("text/html", "Content-Length: 900"), asked=GET.replace(b"GET", b"HEAD")) == [(0, b"")]


def test_a_text_of_known_length_is_waited_for() -> None:
    whole = sized(HELLO)
    assert answers(whole[:20], whole[20:-5], whole[-5:]) == [(2, HELLO)]
    assert answers(sized(b"x " * 5000)[:3000], b"x " * 2000) == [(0, b"x " * (MOST // 2))]
    assert answers(whole[:-5], end=True) == [(1, b"hello, ")]


def test_of_any_other_what_comes_within_a_second() -> None:
    """Head and body are often written apart, the body in pieces; an answer that goes on for hours is told soon."""
    chunked = head("text/html", "Transfer-Encoding: chunked")
    assert answers(chunked + b"6\r\nhello,\r\n6\r\n world\r\n0\r\n\r\n") == [(0, HELLO)]
    assert answers(chunked, b"7\r\nhello, \r\n", b"5\r\nworld\r\n0\r\n\r\n") == [(2, HELLO)]
    assert answers(head(), b"hello, ", b"world", end=True) == [(3, HELLO)]
    assert answers(head(), b"x " * 2000, b"more") == [(1, b"x " * (MOST // 2))]
    connection = Http1Connection(Limits(), lambda _: Interest.SKIP)
    connection.feed(True, 1, GET)
    assert connection.feed(False, 2, chunked + b"7\r\nhello, \r\n") == []
    (event,) = connection.feed(False, 2 * 10**9, b"5\r\nworld\r\n")
    assert isinstance(event, Answered)
    assert event.beginning == b"hello, "  # a word that may go on is left out


def test_of_a_servers_error_there_is_more() -> None:
    """Where a page shows the environment in which it failed, that stands behind the trace."""
    page = b"<p>trace</p> " * 900 + b"OPENAI_API_KEY=k " + b"<p>more</p> " * 900
    failed = sized(page).replace(b"200 OK", b"500 Internal Server Error")
    (told,) = answers(failed[:200], failed[200:9000], failed[9000:])
    assert told[1] == page[:MOST_FAILED].rstrip(b"more")
    assert b"OPENAI_API_KEY=k" in told[1]
    assert len(answers(sized(page))[0][1]) <= MOST
    response = read_response(failed.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", 0, 1)
    assert response is not None
    response.body = page
    assert len(of_kept(response)) > MOST


def test_the_next_answer_has_its_own() -> None:
    connection = Http1Connection(Limits(), lambda _: Interest.SKIP)
    connection.feed(True, 1, GET + GET)
    told = connection.feed(False, 2, sized(HELLO) + sized(b"[1]", "application/json"))
    assert [e.beginning for e in told if isinstance(e, Answered)] == [HELLO, b"[1]"]


def test_a_gap_ends_it() -> None:
    connection = Http1Connection(Limits(), lambda _: Interest.SKIP)
    connection.feed(True, 1, GET)
    assert connection.feed(False, 2, sized(HELLO)[:-6]) == []
    (event,) = connection.gap(False, 3, 2)
    assert isinstance(event, Answered)
    assert event.beginning == b"hello,"


@given(st.binary(max_size=3000), st.lists(st.integers(1, 900), max_size=9))
def test_cut_anywhere_it_is_the_same(body: bytes, sizes: list[int]) -> None:
    whole, pieces = sized(body, "text/plain"), []
    at = 0
    for size in [*sizes, len(whole)]:
        pieces.append(whole[at : at + size])
        at += size
    ((_, beginning),) = answers(*(piece for piece in pieces if piece))
    assert body.startswith(beginning)
    assert beginning == body if len(body) <= MOST else len(beginning) <= MOST
    response = read_response(head("text/plain", f"Content-Length: {len(body)}"), 0, 0)
    assert response is not None
    assert began(response, "GET", body) == beginning
    response.body, response.complete = body, True
    assert of_kept(response) == beginning


def test_of_chunks_that_came_with_a_head() -> None:
    response = read_response(head("text/html", "Transfer-Encoding: chunked"), 0, 0)
    assert response is not None
    assert began(response, "GET", b"6\r\nhello,\r\n6\r\n world\r\n0\r\n\r\n") == HELLO
    assert began(response, "GET", b"c\r\nhello, wor") == b"hello, "
    assert began(response, "GET", b"zz\r\n") == b""


def sent(*pieces: bytes, wanted: Interest = Interest.SENT) -> bytes:
    """The beginning of a request's body, told with its answer."""
    connection = Http1Connection(Limits(), lambda _: wanted)
    for piece in pieces:
        connection.feed(True, 1, piece)
    (event,) = [e for e in connection.feed(False, 2, b"HTTP/1.1 204 No Content\r\n\r\n") if isinstance(e, Answered)]
    return event.sent


def post(*fields: str) -> bytes:
    return "\r\n".join(["POST /c HTTP/1.1", "Host: h", *fields, "", ""]).encode()


def test_what_is_sent() -> None:
    sized_head, chunked = post("Content-Length: 12"), post("Transfer-Encoding: chunked")
    assert sent(sized_head + HELLO) == sent(sized_head, HELLO[:5], HELLO[5:]) == HELLO
    assert sent(chunked, b"6\r\nhello,\r\n", b"6\r\n world\r\n0\r\n\r\n") == HELLO
    assert sent(sized_head, HELLO[:9]) == b"hello, "  # answered before it was over: a word may go on
    assert sent(post("Content-Length: 12", "Content-Encoding: gzip"), HELLO) == b""
    assert sent(sized_head, HELLO, wanted=Interest.SKIP) == b""
    assert len(sent(post("Content-Length: 100000"), b"x " * 50_000)) == MOST_SENT


def test_what_is_sent_over_http2() -> None:
    connection = Http2Connection(Limits(), lambda _: Interest.SENT)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client.initiate_connection()
    server.initiate_connection()
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", "/c")]
    client.send_headers(1, fields)
    client.send_data(1, HELLO[:7])
    client.send_data(1, HELLO[7:], end_stream=True)
    asked = client.data_to_send()
    server.receive_data(asked)
    server.send_headers(1, [(":status", "204")], end_stream=True)
    connection.feed(True, 1, asked)
    (event,) = [e for e in connection.feed(False, 2, server.data_to_send()) if isinstance(e, Answered)]
    assert event.sent == HELLO
