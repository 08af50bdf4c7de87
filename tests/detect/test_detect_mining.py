"""Rule `cryptomining`: command lines, names, and conversations without a look into them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_activities import NOON, SECOND, connection, flow, process, seen

from leeward.detect.cryptomining import Cryptomining
from leeward.model.activity import Activity, FlowSeen, NameAsked, Started
from leeward.model.finding import SEVERITIES
from leeward.model.process import Process

WALLET = "4" + "8edfHu7V9Z84YzzMa6fUueoELZ9ZRXq9VetWzYGzKt52XU5xvqgzYnDK9URnRoJMk1j8nLwEVsaSWJ4fhdUyZijBGUicoD"[:94]


def worst(detector: Cryptomining, activities: list[Activity] | Iterator[Activity]) -> str:
    found = [finding.severity for activity in activities for finding in detector.feed(activity)]
    return max(found, key=SEVERITIES.index, default="")


@pytest.mark.parametrize(
    ("argv", "severity"),
    [
        (["xmrig", "-o", "stratum+tcp://pool.example:3333", "-u", WALLET], "high"),
        (["python3", "-o", "gulf.moneroocean.stream:10128", "-u", "x"], "high"),
        (["kworkerds", "--donate-level=1", "--cpu-max-threads-hint", "75"], "high"),
        (["sshd", "--algo", "rx/0", "-o", "203.0.113.9:443", "-u", WALLET, "--tls"], "high"),
        (["t-rex", "-a", "kawpow", "-o", "203.0.113.9:3333"], "high"),
        (["payments", "--address", WALLET], "low"),
        (["hasher", "-a", "scrypt"], "low"),
        (["curl", "-o", "stratum.html", "https://example.org/pool"], ""),
        (["git", "clone", "https://github.com/xmrig/xmrig"], ""),
        (["vllm", "serve", "--nicehash"], "low"),
        (["python3", "train.py", "--cpu-affinity"], "low"),
        ([], ""),
    ],
)
def test_command_lines(argv: list[str], severity: str) -> None:
    who = process("/usr/bin/whatever", *argv) if argv else process("/usr/bin/whatever", "")
    assert worst(Cryptomining(), [Started(ts=NOON, process=who)]) == severity


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_command_line_is_read(argv: list[str]) -> None:
    Cryptomining().signs_of("/usr/bin/x", tuple(argv))


def test_pools_by_name() -> None:
    detector = Cryptomining()
    assert worst(detector, [NameAsked(ts=NOON, process=process(), name="xmr-eu1.nanopool.org")]) == "medium"
    assert worst(detector, [NameAsked(ts=NOON, process=process(), name="pool.ntp.org")]) == ""
    assert worst(detector, connection(process(), "203.0.113.9", NOON, port=443, domain="pool.supportxmr.com")) == "high"


def talk(who: Process, *, port: int = 3333, domain: str = "", seconds: int = 300, size: int = 250, every: int = 25,
         ip: str = "203.0.113.9", burst: int = 0) -> Iterator[FlowSeen]:  # fmt: skip
    """Jobs in and shares out, at chance moments, over one connection."""
    chance, one = random.Random(1), flow(ip, port, ts=NOON, domain=domain, pid=who.pid)
    yield seen(who, one, NOON, packets=1, began=True)
    for second in range(1, seconds):
        out = size if chance.random() < 1 / every else 0
        job = size * 3 if chance.random() < 1 / every else 0
        if burst and second == seconds // 4:
            job = burst
        if out or job:
            yield seen(who, one, NOON + second * SECOND, out, job, packets=2, back=2)


def test_the_shape_of_the_conversation() -> None:
    assert worst(Cryptomining(), talk(process("/usr/local/bin/update"))) == "medium"
    assert worst(Cryptomining(), talk(process("/tmp/update"))) == "high"
    assert worst(Cryptomining(), talk(process(), port=443)) == "medium"  # a pool behind no name that speaks no TLS
    assert worst(Cryptomining(), talk(process("/usr/local/bin/x"), port=80, domain="xmr-eu.example.org")) == "high"


@pytest.mark.parametrize(
    "other",
    [
        {"port": 443, "domain": "wss.chat.example.com"},
        {"port": 5222},
        {"seconds": 60},
        {"size": 4000, "every": 2},
        {"burst": 60_000},
        {"ip": "10.0.0.9"},
        {"port": 8888, "domain": "hooks.slack.com"},
    ],
)
def test_other_long_conversations(other: dict[str, object]) -> None:
    assert worst(Cryptomining(), talk(process(), **other)) in ("", "low")  # type: ignore[arg-type]


def shares(sizes: list[int], *, port: int = 443, domain: str = "", answer: int = 300) -> Iterator[FlowSeen]:
    """What a script says each second over one connection, and is answered; nothing of it is TLS or HTTP."""
    who = process()
    one = flow("203.0.113.9", port, ts=NOON, domain=domain, pid=who.pid)
    yield seen(who, one, NOON, packets=1, began=True)
    for second, size in enumerate(sizes, 1):
        yield seen(who, one, NOON + second * SECOND, size, answer, packets=2, back=2)


def test_a_share_a_second_as_pools_begin() -> None:
    assert worst(Cryptomining(), shares([350, 236, 236, 237, 236, 237, 238, 236])) == "medium"


@pytest.mark.parametrize(
    "other",
    [
        {"sizes": [350, 236, 236, 237, 236]},  # a few
        {"sizes": [40] * 30},  # a heart-beat
        {"sizes": [236, 300, 180] * 10},  # questions differ
        {"sizes": [236] * 30, "answer": 0},  # nobody answers
        {"sizes": [236] * 30, "port": 5222},
        {"sizes": [236] * 30, "domain": "metrics.example.com"},
    ],
)
def test_what_is_said_each_second_otherwise(other: dict[str, object]) -> None:
    assert worst(Cryptomining(), shares(**other)) == ""  # type: ignore[arg-type]


def test_stratum_is_told_once_whatever_the_name_and_the_port() -> None:
    detector, who = Cryptomining(), process("/usr/bin/node")
    spoken = flow("198.51.100.9", 2053, domain="edge7.stats-hub.example", l7="stratum")
    found = [f for _ in range(3) for f in detector.feed(seen(who, spoken, NOON))]
    assert [(f.severity, f.subject["destination"]) for f in found] == [("high", "edge7.stats-hub.example")]
    inside = flow("10.0.0.9", 3333, l7="stratum")
    assert worst(detector, [seen(who, inside, NOON)]) == "high"
    assert worst(detector, [seen(who, flow("10.0.0.9", 3333, l7="stratum", direction="inbound"), NOON)]) == ""
