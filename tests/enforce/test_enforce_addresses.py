"""Names of addresses: how long, how many, and what is news."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leeward.enforce.addresses import GRACE_NS, LEAST_NS, MOST_NAMES, Addresses
from leeward.wire.dns import Resolved

SECOND = 10**9


def answer(name: str, *ips: str, ttl: int = 60) -> Resolved:
    return Resolved((name,), tuple((ip, ttl) for ip in ips))


def test_news_is_what_changes_who_owns_an_address() -> None:
    table = Addresses()
    assert table.learn(0, answer("a.test", "192.0.2.1", "192.0.2.2")) == {"192.0.2.1", "192.0.2.2"}
    assert table.learn(1, answer("A.test.", "192.0.2.1")) == set()
    assert table.learn(2, answer("b.test", "192.0.2.1")) == {"192.0.2.1"}
    assert table.learn(3, Resolved(("c.test", "b.test"), (("192.0.2.1", 60),))) == {"192.0.2.1"}
    assert table.learn(4, answer("b.test", "192.0.2.1"), trusted=False) == {"192.0.2.1"}
    assert table.learn(5, Resolved()) == set()


@given(st.integers(0, 2**31))
def test_never_earlier_than_the_answer_says(ttl: int) -> None:
    table = Addresses()
    table.learn(0, answer("a.test", "192.0.2.1", ttl=ttl))
    until = max(ttl * SECOND, LEAST_NS) + GRACE_NS
    assert table.expire(until) == set()
    assert table.get("192.0.2.1") is not None
    assert table.expire(until + 1) == {"192.0.2.1"}
    assert table.get("192.0.2.1") is None


def test_a_shorter_answer_takes_nothing_away() -> None:
    table = Addresses()
    table.learn(0, answer("a.test", "192.0.2.1", ttl=86400))
    table.learn(1, answer("a.test", "192.0.2.1", ttl=1))
    assert table.expire(86400 * SECOND) == set()


def test_one_name_goes_and_the_other_stays() -> None:
    table = Addresses()
    table.learn(0, answer("a.test", "192.0.2.1", ttl=1))
    table.learn(0, answer("b.test", "192.0.2.1", ttl=86400))
    assert table.expire(3600 * SECOND) == {"192.0.2.1"}
    place = table.get("192.0.2.1")
    assert place is not None
    assert list(place.owners) == ["b.test"]


def test_bounds() -> None:
    table = Addresses(limit=2)
    table.learn(0, answer("a.test", "192.0.2.1"))
    table.learn(0, answer("a.test", "192.0.2.2"))
    table.learn(0, answer("a.test", "192.0.2.1"))
    assert table.learn(0, answer("a.test", "192.0.2.3")) == {"192.0.2.3", "192.0.2.2"}
    assert (table.known(), table.counters["addresses_evicted"]) == (["192.0.2.1", "192.0.2.3"], 1)
    for number in range(MOST_NAMES):
        table.learn(0, answer(f"n{number}.test", "192.0.2.1"))
    place = table.get("192.0.2.1")
    assert place is not None
    assert (place.crowded, len(place.owners)) == (True, MOST_NAMES)
