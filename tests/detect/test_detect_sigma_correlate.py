"""Sigma's filters and correlations."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sigma", reason="pySigma is not installed (requirements/sigma.txt)")

from tests.detect.sigma_events import SECOND, asked, detector, flow, rule, ruleset, started, titles

from leeward.detect.sigma.correlate import Correlator

_GOOD = "s: {Image: /x}\ncondition: s"


def test_a_filter_narrows_a_rule(tmp_path: Path) -> None:
    one = rule("s: {Image|endswith: /curl}\ncondition: s", more="name: curl_used\n")
    narrow = (
        "title: Not the backup\nlogsource: {category: process_creation}\n"
        "filter:\n  rules: [curl_used]\n  f: {User: backup}\n  condition: not f\n"
    )
    sigma = detector(tmp_path, one, narrow)
    assert titles(sigma.feed(started("curl", "/usr/bin/curl", user="backup"))) == []
    assert titles(sigma.feed(started("curl", "/usr/bin/curl"))) == ["A rule"]


def test_a_filter_of_unknown_fields_is_named(tmp_path: Path) -> None:
    wrong = "title: F\nlogsource: {category: process_creation}\nfilter:\n  rules: [x]\n  f: {Usr: backup}\n  condition: not f\n"
    (complaint,) = ruleset(tmp_path, rule(_GOOD), wrong).complaints
    assert (complaint.line, complaint.why.partition(":")[0]) == (13, "Usr")


_CONNECTS = rule("s: {DestinationPort: 22}\ncondition: s", "network_connection", "Connects", "name: connects\n")
_ASKS = rule("s: {QueryName|contains: evil}\ncondition: s", "dns_query", "Asks", "name: asks\n")


def _correlation(body: str) -> str:
    return f"title: Together\nlevel: high\ncorrelation:\n  timespan: 1m\n{body}"


def test_so_many_events_within_a_time(tmp_path: Path) -> None:
    counts = _correlation(
        "  type: event_count\n  rules: [connects]\n  group-by: [DestinationIp]\n  condition: {gte: 3}\n"
    )
    sigma = detector(tmp_path, _CONNECTS, counts)
    told = [
        titles(sigma.feed(flow(ip=ip, port=22, ts=at * SECOND)))
        for at, ip in [(0, "a"), (20, "a"), (30, "b"), (59, "a"), (61, "a")]
    ]
    assert told == [[], [], [], ["Together"], []]
    spread = [titles(sigma.feed(flow(ip="c", port=22, ts=at * SECOND))) for at in (100, 140, 180, 220)]
    assert spread == [[], [], [], []]


def test_what_a_correlation_says(tmp_path: Path) -> None:
    counts = _correlation(
        "  type: event_count\n  rules: [connects]\n  group-by: [DestinationIp]\n  condition: {gt: 0}\n  generate: true\n"
    )
    alone, together = detector(tmp_path, _CONNECTS, counts).feed(flow(port=22))
    assert (alone.subject["title"], together.subject["title"]) == ("Connects", "Together")
    evidence = together.evidence[0]
    assert (evidence["group"], evidence["threshold"], together.severity) == (
        {"DestinationIp": "203.0.113.7"},
        1,
        "high",
    )


def test_so_many_values_within_a_time(tmp_path: Path) -> None:
    counts = _correlation(
        "  type: value_count\n  rules: [connects]\n  group-by: [User]\n  condition: {gte: 3, field: DestinationIp}\n"
    )
    sigma = detector(tmp_path, _CONNECTS, counts)
    told = [titles(sigma.feed(flow(ip=ip, port=22, ts=at * SECOND))) for at, ip in enumerate("aabbabc")]
    assert told == [[]] * 6 + [["Together"]]


@pytest.mark.parametrize(("kind", "reversed_too"), [("temporal", True), ("temporal_ordered", False)])
def test_events_of_each_rule_within_a_time(tmp_path: Path, kind: str, reversed_too: bool) -> None:
    joined = _correlation(f"  type: {kind}\n  rules: [asks, connects]\n  group-by: [User]\n")
    sigma = detector(tmp_path, _ASKS, _CONNECTS, joined)
    assert titles(sigma.feed(asked("evil.example", ts=1))) == []
    assert titles(sigma.feed(flow(port=22, ts=2))) == ["Together"]
    sigma = detector(tmp_path, _ASKS, _CONNECTS, joined)
    assert titles(sigma.feed(flow(port=22, ts=1))) == []
    assert titles(sigma.feed(asked("evil.example", ts=2))) == ["Together"] * reversed_too
    sigma = detector(tmp_path, _ASKS, _CONNECTS, joined)
    assert titles(sigma.feed(asked("evil.example", ts=1))) == []
    assert titles(sigma.feed(flow(port=22, ts=70 * SECOND))) == []


def test_groups_are_bounded_and_forgotten(tmp_path: Path) -> None:
    counts = _correlation(
        "  type: event_count\n  rules: [connects]\n  group-by: [DestinationIp]\n  condition: {gte: 3}\n"
    )
    sigma = detector(tmp_path, _CONNECTS, counts)
    (correlator,) = sigma._correlators
    assert isinstance(correlator, Correlator)
    for number in range(5000):
        sigma.feed(flow(ip=f"host-{number}", port=22, ts=number))
    assert len(correlator) == 4096
    assert sigma.counters["sigma_groups_evicted"] == 904
    sigma.tick(61 * SECOND)
    assert len(correlator) == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            "  type: value_sum\n  rules: [connects]\n  condition: {gte: 3, field: DestinationPort}\n",
            "value_sum is not supported",
        ),
        ("  type: event_count\n  rules: [connects]\n  condition: {lt: 3}\n", "condition lt is not supported"),
        ("  type: event_count\n  rules: [nobody]\n  condition: {gte: 3}\n", "there is no rule nobody that runs"),
        ("  type: event_count\n  rules: [connects]\n  condition: {gte: 3000000}\n", "a count of 3000000"),
        (
            "  type: event_count\n  rules: [connects]\n  group-by: [QueryName]\n  condition: {gte: 3}\n",
            "QueryName: no such field",
        ),
        ("  type: temporal\n  rules: [connects, asks]\n  condition: connects and not asks\n", "in words"),
        ("  type: strange\n  rules: [connects]\n  condition: {gte: 3}\n", "strange"),
    ],
)
def test_correlations_that_are_not_done_are_named(tmp_path: Path, body: str, why: str) -> None:
    made = ruleset(tmp_path, _CONNECTS, _ASKS, _correlation(body))
    (complaint,) = made.complaints
    assert why in complaint.why
    assert all(r.tells for r in made.rules)
