"""Rule `beaconing`: what calls home is found in time, and what is merely regular is left in peace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from network_activities import NOON, SECOND, connection, flow, process, seen

from leeward.detect.beaconing import Beaconing
from leeward.detect.regularity import moran, rounds
from leeward.detect.rule import rules
from leeward.model.activity import Activity, HttpSeen, NameAsked
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import NOBODY, Process

C2 = "203.0.113.7"


def detector() -> Beaconing:
    return Beaconing(lambda name: name == "api.openai.com")


def found(activities: Iterable[Activity], by: Beaconing | None = None) -> list[Finding]:
    by = by or detector()
    return [finding for activity in activities for finding in by.feed(activity)]


def worst(findings: list[Finding]) -> str:
    return max((f.severity for f in findings), key=SEVERITIES.index, default="")


def calls(who: Process, gaps: Iterable[float], ip: str = C2, **more: object) -> Iterator[Activity]:
    """A connection at once, and another after each gap."""
    ts = NOON
    yield from connection(who, ip, ts, **more)  # type: ignore[arg-type]
    for gap in gaps:
        ts += int(gap * SECOND)
        yield from connection(who, ip, ts, **more)  # type: ignore[arg-type]


def steady(period: float, count: int = 12) -> list[float]:
    return [period] * count


def jittered(chance: random.Random, period: float, count: int, jitter: float = 0.3) -> list[float]:
    return [period * chance.uniform(1 - jitter, 1 + jitter) for _ in range(count)]


IMPLANT = ("/tmp/.x/kworker", "/tmp/.x/kworker")


@pytest.mark.parametrize("period", [2.0, 60.0, 3600.0, 6 * 3600.0])
def test_thirty_percent_of_jitter_is_found_within_eight_periods(period: float) -> None:
    """200 seeds in all; each must be found by its eighth call after the first."""
    for seed in range(50):
        gaps = jittered(random.Random(f"{seed} {period}"), period, 8)
        told = found(calls(process(*IMPLANT), gaps))
        assert told, seed
        assert told[0].severity == "high"


def test_poisson_arrivals_are_called_regular_as_seldom_as_the_rule_says() -> None:
    """1,000 destinations that a rare program calls at random, 40 times each."""
    alarms = 0
    for seed in range(1000):
        chance = random.Random(seed)
        gaps = [2 + chance.expovariate(1 / 60) for _ in range(40)]
        alarms += bool(found(calls(process(*IMPLANT), gaps)))
    assert alarms / 1000 <= rules()["beaconing"].settings["false_alarms"]


def test_a_measure_of_the_intervals_alone() -> None:
    assert moran([3.0, 3.0, 3.0]) == pytest.approx(0)
    assert moran([1.0, 2.0, 3.0]) == pytest.approx(moran([10.0, 20.0, 30.0]))
    assert rounds([0.1, 9.9, 0.1, 9.9], 0.15) == pytest.approx([10.0, 10.0])


@pytest.mark.parametrize(
    ("program", "severity"),
    [
        (("/tmp/.x/kworker",), "high"),
        (("/memfd:x (deleted)",), "high"),
        (("/usr/bin/bash", "bash", "-c", "exec 3<>/dev/tcp/203.0.113.7/443"), "high"),
        (("/usr/bin/python3.11", "python3", "-c", "import socket"), "high"),
        (("/usr/bin/curl", "curl", "https://203.0.113.7/"), "high"),
        (("/usr/bin/python3.11", "python3", "/srv/app/lib/helper.py"), "medium"),
    ],
)
def test_an_outside_address_without_a_name(program: tuple[str, ...], severity: str) -> None:
    assert worst(found(calls(process(*program), steady(60)))) == severity


@pytest.mark.parametrize(
    ("program", "severity"),
    [
        (("/tmp/.x/kworker",), "high"),
        (("/usr/bin/curl", "curl", "https://status.example.net/"), "medium"),
        (("/usr/bin/python3.11", "python3", "/srv/app/lib/helper.py"), "medium"),
        (("/usr/local/bin/server",), "low"),
        (("/usr/sbin/agent-we-do-not-know",), "low"),
    ],
)
def test_a_name_that_nobody_else_talks_to(program: tuple[str, ...], severity: str) -> None:
    told = found(calls(process(*program), steady(60), domain="status.example.net"))
    assert worst(told) == severity
    assert told[0].subject["destination"] == "status.example.net"


def test_a_name_that_other_workloads_talk_to() -> None:
    by = detector()
    for n in range(3):
        found(calls(process(workload=f"systemd:other-{n}.service"), [600.0, 30.0], domain="api.partner.example"), by)
    assert worst(found(calls(process(), steady(60), domain="api.partner.example"), by)) in ("", "info")


HONEST: list[tuple[str, Callable[[], Iterable[Activity]]]] = [
    ("a health check of something inside", lambda: calls(process(), steady(30, 200), "10.0.0.9", port=8080)),
    ("prometheus scrapes", lambda: calls(process("/usr/bin/prometheus"), steady(15, 200), "10.0.0.9", port=9100)),
    (
        "a log shipper to a vendor we do not know",
        lambda: calls(process("/opt/fluent-bit/bin/fluent-bit"), steady(5, 200), domain="in.logs.example.com"),
    ),
    (
        "a clock by address",
        lambda: calls(process("/usr/sbin/chronyd"), steady(64, 100), "198.51.100.3", port=123, proto="udp", sent=48),
    ),
    ("a package mirror", lambda: calls(process("/usr/lib/apt/apt"), steady(1800, 48), domain="deb.debian.org")),
    ("telemetry", lambda: calls(process(), steady(10, 200), domain="o4501.ingest.us.sentry.io")),
    ("an AI batch", lambda: calls(process(), steady(30, 200), domain="api.openai.com")),
    ("a model server by address", lambda: calls(process(), steady(30, 200), provider="vllm")),
    (
        "the Kubernetes API",
        lambda: calls(
            process("/usr/local/bin/operator"), steady(10, 100), "10.96.0.1", domain="kubernetes.default.svc"
        ),
    ),
    (
        "a cron job's ping",
        lambda: calls(process("/usr/bin/curl", "curl", "https://hc-ping.com/x"), steady(60, 100), domain="hc-ping.com"),
    ),
    ("an installed program by address", lambda: calls(process("/usr/sbin/wireguard-go"), steady(25, 100), port=51820)),
]


@pytest.mark.parametrize(("what", "activities"), HONEST, ids=[name for name, _ in HONEST])
def test_honest_and_regular(what: str, activities: Callable[[], Iterable[Activity]]) -> None:
    assert worst(found(activities())) in ("", "info", "low")


def test_a_program_that_is_regular_to_many_is_a_poller() -> None:
    by, who = detector(), process()
    told = [
        finding
        for n in range(12)
        for site in range(40)
        for activity in connection(who, C2, NOON + (n * 60 + site) * SECOND, domain=f"site{site}.example", port=80)
        for finding in by.feed(activity)
    ]
    assert worst(told) in ("", "info", "low")


def test_what_comes_in_is_not_a_beacon() -> None:
    who = process("/tmp/server")
    of = [flow("10.0.0.5", 8080, ts=NOON + n * 30 * SECOND, src=C2, direction="inbound") for n in range(20)]
    assert not found(seen(who, one, one.start, 200, 500, began=True, ended=True) for one in of)


def kept_open(who: Process, gaps: Iterable[float], payload: int, **of: Any) -> Iterator[Activity]:
    """One connection; what it says is told of at whole seconds."""
    one = flow(C2, ts=NOON, pid=who.pid, **of)
    yield seen(who, one, NOON, packets=1, began=True)
    at = 1.0
    for gap in gaps:
        at += gap
        yield seen(who, one, NOON + int(at) * SECOND, payload, payload, packets=2, back=2)


@pytest.mark.parametrize(("period", "jitter"), [(2.0, 0.1), (5.0, 0.3), (60.0, 0.3), (7200.0, 0.3)])
def test_a_connection_that_stays_open(period: float, jitter: float) -> None:
    """Told of once a second; nothing is lost by that but for the shortest periods."""
    for seed in range(25):
        gaps = jittered(random.Random(seed), period, 16, jitter)
        assert worst(found(kept_open(process(*IMPLANT), gaps, 40))) == "high", seed


@pytest.mark.parametrize(
    ("proto", "period", "domain", "severity"),
    [
        ("udp", 25, "vpn.acme.example", "low"), ("udp", 90, "vpn.acme.example", "medium"),
        ("tcp", 25, "vpn.acme.example", "low"), ("tcp", 90, "vpn.acme.example", "low"),
        ("tcp", 600, "vpn.acme.example", "medium"), ("tcp", 4, "vpn.acme.example", "low"),
        ("tcp", 2, "vpn.acme.example", "medium"), ("tcp", 25, "", "medium"),
    ],
)  # fmt: skip
def test_what_keeps_a_conversation_open(proto: str, period: int, domain: str, severity: str) -> None:
    script = process("/usr/bin/ruby", "ruby", "/srv/vpn/tunnel.rb")
    acts = kept_open(script, steady(period, 40), 32, proto=proto, port=51820, domain=domain)
    assert worst(found(acts)) == severity


def test_heartbeats_that_are_spread_are_not_what_keeps_tcp_open() -> None:
    script = process("/usr/bin/ruby", "ruby", "/srv/vpn/tunnel.rb")
    acts = kept_open(script, jittered(random.Random(4), 25, 40, 0.2), 32, port=51820, domain="vpn.acme.example")
    assert worst(found(acts)) == "medium"


def test_calls_that_nobody_takes() -> None:
    who = process(*IMPLANT)
    refused = [flow(C2, ts=NOON + n * 60 * SECOND, pid=who.pid) for n in range(12)]
    assert worst(found(seen(who, one, one.start, packets=1, began=True, ended=True) for one in refused)) == "high"


def test_keep_alive_probes_say_nothing() -> None:
    assert not found(kept_open(process(*IMPLANT), steady(15, 40), 0))


def test_a_name_that_is_learned_from_the_handshake() -> None:
    """The connection begins by address; its name is known before it ends."""
    who, by = process("/usr/bin/python3", "python3", "/srv/app.py"), detector()
    told = []
    for n in range(20):
        ts = NOON + n * 30 * SECOND
        one = flow("198.51.100.9", ts=ts, pid=who.pid)
        told += by.feed(seen(who, one, ts, packets=1, began=True))
        one.domain, one.domain_from = "api.openai.com", "sni"
        told += by.feed(seen(who, one, ts + SECOND // 10, 900, 4000, packets=6, back=6, ended=True))
    assert worst(told) in ("", "info", "low")


def questions(who: Process, names: Iterable[str], gap: float = 5.0, query: int = 1) -> Iterator[Activity]:
    for n, name in enumerate(names):
        for kind in (query, 28) if query == 1 else (query,):
            yield NameAsked(ts=NOON + int(n * gap * SECOND), process=who, name=name, query=kind, size=60)


def test_names_that_never_come_twice() -> None:
    chance = random.Random(5)
    names = [f"{chance.randbytes(6).hex()}.cdn-metrics.example" for _ in range(12)]
    told = found(questions(process(), names))
    assert worst(told) == "high"
    assert told[0].evidence[0]["way"] == "dns"
    assert not found(questions(process(), ["api.cdn-metrics.example"] * 40))
    assert not found(questions(process(), [f"{n}.cluster.local" for n in range(40)]))


def test_on_whose_behalf_a_resolver_asks_is_not_known() -> None:
    chance = random.Random(5)
    names = [f"{chance.randbytes(6).hex()}.cdn-metrics.example" for _ in range(12)]
    assert worst(found(questions(process("/usr/sbin/unbound"), names))) == "low"


def test_what_a_resolver_asks_over_tls_is_others_too() -> None:
    gaps = jittered(random.Random(1), 20, 16)
    stubby = process("/usr/bin/python3", "python3", "/usr/lib/stubby/stubby.py")
    assert worst(found(calls(stubby, gaps, domain="dns.acme.example", port=853))) == "low"
    other = process("/usr/bin/python3", "python3", "/usr/lib/x/poll.py")
    assert worst(found(calls(other, gaps, domain="dns.acme.example", port=853))) == "medium"
    assert worst(found(calls(process("/tmp/stubby"), gaps, domain="dns.acme.example", port=853))) == "high"


def test_connections_that_follow_each_other_sooner_than_flows_are_told_of() -> None:
    """A new flow is told of at once, what moved in it up to a second later, which may be right before the next."""
    who, ts, acts, chance = process(*IMPLANT), NOON, [], random.Random(3)
    for n in range(9):
        one = flow(C2, 443, ts=ts, pid=who.pid, source_port=40000 + n, proto="udp", domain="edge.example")
        acts += [seen(who, one, ts, packets=1, began=True), seen(who, one, ts + SECOND, 1200, 40)]
        ts += int(2 * chance.uniform(0.7, 1.3) * SECOND)
    assert found(sorted(acts, key=lambda act: act.ts))


def test_a_resolver_that_asks_for_others_is_not_another() -> None:
    who, resolver, by = process(), process("/usr/sbin/dnsmasq"), detector()
    told = []
    for n in range(14):
        for one in (who, resolver):
            told += by.feed(
                NameAsked(ts=NOON + n * 5 * SECOND, process=one, name=f"x{n * 7919}.cdn-metrics.example", size=60)
            )
    assert {f.process.pid for f in told if f.process} == {who.pid}


def test_http_requests_of_made_up_paths() -> None:
    who = process()
    asked = [
        HttpSeen(
            ts=NOON + n * 20 * SECOND, process=who, direction="outbound", peer=f"{C2}:80", host="cdn.example.org",
            method="GET", path=f"/lib-{n * 7919:x}.js",
        )
        for n in range(12)
    ]  # fmt: skip
    assert worst(found(asked)) == "high"


@pytest.mark.parametrize(("method", "severity"), [("GET", ""), ("DELETE", "medium")])
def test_an_ai_service_as_a_dead_drop(method: str, severity: str) -> None:
    """SesameOp: threads that are made, read and deleted; a batch whose state is asked for is not that."""
    who = process()
    asked = [
        HttpSeen(
            ts=NOON + n * 30 * SECOND, process=who, direction="outbound", peer="198.51.100.11:443", host="api.openai.com",
            method=method, path="/v1/threads/t" if method == "DELETE" else "/v1/batches/b", exchange=True,
        )
        for n in range(20)
    ]  # fmt: skip
    assert worst(found(asked)) == severity


def test_one_path_among_irregular_others() -> None:
    who, chance, by = process(), random.Random(2), detector()
    paths = [(n * 60.0, "/poll") for n in range(40)] + [(chance.uniform(0, 2400), f"/page/{n}") for n in range(60)]
    told = [
        finding
        for at, path in sorted(paths)
        for finding in by.feed(
            HttpSeen(
                ts=NOON + int(at * SECOND), process=who, direction="outbound", peer=f"{C2}:80", method="GET", path=path
            )
        )
    ]
    assert any(f.evidence[0]["period_s"] == pytest.approx(60, rel=0.05) for f in told)


def test_a_capture_has_no_processes() -> None:
    assert worst(found(calls(NOBODY, steady(60)))) in ("low", "medium")


def test_a_crawler_does_not_make_it_forget_who_comes_back_after_hours() -> None:
    who, crawler, by = process(*IMPLANT), process(workload="systemd:crawler.service"), detector()
    told = []
    for n in range(9):
        for activity in connection(who, C2, NOON + n * 14400 * SECOND):
            told += by.feed(activity)
        for m in range(3000):
            ip = f"198.{n}.{m >> 8}.{m & 255}"
            by.feed(connection(crawler, ip, NOON + (n * 14400 + 1 + m) * SECOND)[0])
    assert worst(told) == "high"
    assert len(by._once) <= 262_144


def test_it_says_on_what_grounds() -> None:
    evidence = found(calls(process(*IMPLANT), steady(60)))[0].evidence[0]
    assert evidence["period_s"] == pytest.approx(60, abs=1)
    assert evidence["margin"] == pytest.approx(evidence["threshold"] - evidence["value"], abs=1e-3)
    assert {"nameless", "odd", "small", "constant"} <= set(evidence["signs"])
    assert evidence["flow"]
