"""Who calls: the fingerprint of what a request shows for itself."""

from __future__ import annotations

import pytest

from leeward.ai.catalogue import default_catalogue
from leeward.ai.keys import caller_key
from leeward.model.message import Message

FORMS = default_catalogue().key_forms


def identity(*headers: tuple[str, str], target: str = "/", anomalies: tuple[str, ...] = ()) -> str:
    return caller_key(
        Message(index=0, target=target, headers=list(headers), anomalies=list(anomalies)), FORMS
    ).fingerprint


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", "Bearer made-up"),
        ("x-api-key", "made-up"),
        ("cookie", "a=b; sessionid=1"),
        ("cookie", "PHPSESSID=1"),
    ],
)
def test_who_shows_something_has_an_identity(header: tuple[str, str]) -> None:
    assert len(identity(header)) == 16


@pytest.mark.parametrize("cookie", ["theme=dark", "_xsrf=1", "csrftoken=2", "XSRF-TOKEN=3", ""])
def test_cookies_that_anybody_gets_are_none(cookie: str) -> None:
    assert identity(("cookie", cookie)) == ""


def test_a_session_is_the_same_whatever_stands_beside_it() -> None:
    assert identity(("cookie", "sessionid=1; theme=dark")) == identity(("cookie", "theme=light; sessionid=1"))


def test_what_was_cut_is_not_known() -> None:
    assert identity(anomalies=("cut-head",)) == "?"
    assert len(identity(("authorization", "Bearer made-up"), anomalies=("cut-head",))) == 16
