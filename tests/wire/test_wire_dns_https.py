"""Questions to resolvers over HTTPS, from the heads of requests."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.model.message import Message
from leeward.wire.dns_https import question_of

QUERY = b"\0\0\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1"  # RFC 8484 4.1.1


def asked(target: str, method: str = "GET") -> tuple[tuple[str, int], ...]:
    message = question_of(Message(index=0, method=method, target=target))
    return message.questions if message is not None else ()


def test_the_example_of_the_standard() -> None:
    text = base64.urlsafe_b64encode(QUERY).decode().rstrip("=")
    assert text == "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB"
    assert asked(f"/dns-query?dns={text}") == (("www.example.com", 1),)


@pytest.mark.parametrize(
    ("target", "question"),
    [
        ("/dns-query?name=ab.x.example&type=TXT", ("ab.x.example", 16)),
        ("/resolve?name=AB.example.&type=28", ("ab.example", 28)),
        ("/resolve?name=a.example", ("a.example", 1)),
        ("/a/b/dns-query?type=NONE&name=a.example", ("a.example", 0)),
    ],
)
def test_the_json_of_the_large_resolvers(target: str, question: tuple[str, int]) -> None:
    assert asked(target) == (question,)


@pytest.mark.parametrize(
    "target",
    [
        "/dns-query",
        "/dns-query?ct=x",
        "/search?name=a.example",
        "/dns-query?dns=%%%",
        "/resolve?name=a b",
        "/resolve?name=",
    ],
)
def test_other_requests(target: str) -> None:
    assert not asked(target)
    assert not asked("/dns-query?name=a.example", "POST")


@given(st.text(max_size=60))
def test_anything_may_stand_in_a_query(text: str) -> None:
    for key in ("dns", "name"):
        question_of(Message(index=0, method="GET", target=f"/dns-query?{key}={text}"))
