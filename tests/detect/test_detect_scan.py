"""Rules `port-scan` and `lateral-movement`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import msgspec
import pytest
from network_activities import NOON, SECOND, flow, process, seen

from leeward.detect.lateral import Lateral
from leeward.detect.scan import Scan, has_answered
from leeward.model.activity import Activity, FlowSeen, Started
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.net import Flow
from leeward.model.process import NOBODY, Ancestor, Process
from leeward.model.raw import Stream

APP = ("/usr/bin/python3", "python3", "/srv/app.py")
TTY = (Stream("tty", 1), Stream("tty", 1), Stream("tty", 1))


def contact(
    who: Process, ip: str, port: int, ts: int, outcome: str, proto: str = "tcp", direction: str = "outbound"
) -> list[FlowSeen]:
    """A connection as a kernel's counts show it. outcome: "open" | "refused" | "silent" | "waiting" (nobody closes it)."""
    one = flow(ip, port, ts=ts, pid=who.pid, proto=proto, direction=direction)
    first = seen(who, one, ts, began=True)
    one.bytes_sent, one.packets_sent = 60, 1
    if outcome == "open":
        one.bytes_sent, one.packets_sent, one.bytes_received, one.packets_received = 400, 5, 900, 4
    elif outcome == "refused":
        one.bytes_received, one.packets_received = 40, 1
    if outcome == "waiting":
        return [first]
    one.state = "closed"
    later = ts + (SECOND if outcome == "silent" else SECOND // 1000)
    return [first, seen(who, one, later, ended=True)]


def run(by: Scan | Lateral, activities: Iterable[Activity]) -> list[Finding]:
    found: list[Finding] = []
    last = NOON
    for activity in activities:
        last = activity.ts
        found += by.feed(activity)  # type: ignore[arg-type]
    return found + by.tick(last + 10 * SECOND)


def worst(found: list[Finding]) -> str:
    return max((f.severity for f in found), key=SEVERITIES.index, default="")


def sweep(who: Process, outcomes: Iterable[str], port: int = 22, gap: int = SECOND // 20) -> Iterator[FlowSeen]:
    for n, outcome in enumerate(outcomes):
        yield from contact(who, f"10.77.{n >> 8}.{n & 255}", port, NOON + n * gap, outcome)


@pytest.mark.parametrize("outcome", ["refused", "silent"])
@pytest.mark.parametrize("program", [APP, ("/usr/bin/nmap", "nmap"), ("/usr/bin/bash", "bash"), ("/usr/local/bin/x",)])
def test_found_within_twenty_targets(outcome: str, program: tuple[str, ...]) -> None:
    by, who, tried = Scan(), process(*program), set()
    for activity in sweep(who, [outcome] * 40):
        tried.add(activity.flow.dst.ip)
        if told := by.feed(activity):
            assert len(tried) <= 20
            assert told[0].severity in ("medium", "high")
            assert told[0].evidence[0]["margin"] >= 0
            return
    raise AssertionError("not found")


def test_a_quarter_of_the_targets_may_answer() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        outcomes = ["open" if chance.random() < 0.25 else "refused" for _ in range(60)]
        assert run(Scan(), sweep(process(*APP), outcomes)), seed


def test_many_at_once_that_nobody_answers() -> None:
    assert worst(run(Scan(), sweep(process(*APP), ["waiting"] * 30))) == "medium"


def test_ports_of_one_host() -> None:
    who = process("/usr/bin/nc", "nc", "-z")
    told = run(Scan(), (a for port in range(1, 40) for a in contact(who, "10.0.0.9", port, NOON + port, "refused")))
    assert worst(told) == "high"
    assert told[0].evidence[0]["hosts"] == 1


def test_services_tried_by_hand_that_all_answer() -> None:
    who = process("/usr/bin/python3", "python3", "-c", "import socket")
    assert worst(run(Scan(), sweep(who, ["open"] * 20))) == "high"


@pytest.mark.parametrize(
    ("program", "port", "failing"),
    [
        (("/usr/bin/prometheus",), 9100, 0.1),
        (("/usr/sbin/haproxy",), 8080, 0.05),
        (("/usr/bin/ssh", "ssh"), 22, 0.05),
        (("/usr/bin/python3", "python3", "/usr/bin/ansible"), 22, 0.05),
        (APP, 8000, 0.2),
    ],
)
def test_honest_fan_out(program: tuple[str, ...], port: int, failing: float) -> None:
    for seed in range(20):
        chance = random.Random(seed)
        outcomes = ["silent" if chance.random() < failing else "open" for _ in range(300)]
        assert worst(run(Scan(), sweep(process(*program), outcomes, port))) in ("", "low"), seed


def test_a_crawler() -> None:
    who, chance = process(*APP), random.Random(1)
    visits = (
        a
        for n in range(500)
        for a in contact(
            who, f"198.51.{n >> 8}.{n & 255}", 443, NOON + n, "silent" if chance.random() < 0.6 else "open"
        )
    )
    assert not run(Scan(), visits)


def test_a_worm_outside() -> None:
    who = process("/tmp/x")
    assert run(Scan(), (a for n in range(30) for a in contact(who, f"198.51.100.{n}", 2375, NOON + n, "silent")))


def test_targets_that_answered_before_and_are_gone() -> None:
    by, who = Scan(), process(*APP)
    assert not run(by, sweep(who, ["open"] * 40, 8000))
    assert not run(by, sweep(who, ["refused"] * 40, 8000))


def test_one_dead_dependency_tried_again_and_again() -> None:
    who = process(*APP)
    assert not run(
        Scan(), (a for n in range(500) for a in contact(who, "10.0.0.9", 5432, NOON + n * SECOND, "refused"))
    )


@pytest.mark.parametrize(
    ("sent", "out", "received", "back", "answered"),
    [
        (60, 1, 0, 0, False),
        (60, 1, 40, 1, False),  # refused
        (120, 2, 40, 1, False),  # refused the second time
        (112, 2, 60, 1, True),  # accepted, nothing said yet
        (600, 5, 900, 4, True),
        (0, 1, 0, 1, False),  # the same in captures, where payload counts
        (0, 2, 0, 1, True),
        (0, 0, 900, 0, True),  # nobody counted packets
    ],
)
def test_what_a_refusal_looks_like(sent: int, out: int, received: int, back: int, answered: bool) -> None:
    one: Flow = flow("10.0.0.9", 22)
    one.bytes_sent, one.packets_sent, one.bytes_received, one.packets_received = sent, out, received, back
    assert has_answered(one) is answered


def test_a_capture_has_no_processes() -> None:
    assert worst(run(Scan(), sweep(NOBODY, ["refused"] * 30))) == "medium"


# -- lateral movement ----------------------------------------------------------------------------------------------


def edges(who: Process, *targets: tuple[str, int], start: int = NOON) -> list[FlowSeen]:
    return [a for n, (ip, port) in enumerate(targets) for a in contact(who, ip, port, start + n * SECOND, "open")]


ONE = ("10.0.0.9", 22)
THREE = tuple((f"10.0.0.{n}", 22) for n in (7, 8, 9))


@pytest.mark.parametrize(
    ("program", "targets", "severity"),
    [
        (("/usr/bin/bash", "bash"), (ONE,), "high"),
        (("/usr/bin/curl", "curl"), (("10.0.0.9", 8265),), "high"),
        (("/usr/bin/nc", "nc"), (("10.0.0.9", 6379),), "medium"),
        (("/tmp/x",), (("10.0.0.9", 445),), "high"),
        (("/usr/bin/ssh", "ssh", "root@10.0.0.9"), (ONE,), "medium"),
        (("/usr/bin/ssh", "ssh", "root@10.0.0.9"), THREE, "high"),
        (("/usr/bin/kubectl", "kubectl"), (("10.0.0.9", 6443),), "medium"),
        (APP, THREE, "high"),
        (APP, (ONE,), "low"),
    ],
)
def test_new_edges(program: tuple[str, ...], targets: tuple[tuple[str, int], ...], severity: str) -> None:
    assert worst(run(Lateral(), edges(process(*program), *targets))) == severity


def test_a_client_that_is_no_services_child() -> None:
    """Somebody's command, or cron's: worth a note; three hosts in a row are more."""
    who = process("/usr/bin/ssh", "ssh", "x", workload="exe:/usr/bin/ssh")
    who = msgspec.structs.replace(who, workload=msgspec.structs.replace(who.workload, kind="executable"))
    assert worst(run(Lateral(), edges(who, ONE))) == "low"
    assert worst(run(Lateral(), edges(who, *THREE))) == "high"


def test_a_model_server_is_there_to_be_asked() -> None:
    assert not run(Lateral(), edges(process("/usr/bin/curl", "curl"), ("10.0.0.9", 11434)))


def test_several_kinds_of_services_count_together() -> None:
    targets = (("10.0.0.8", 22), ("10.0.0.6", 6443), ("10.0.0.7", 445))
    assert worst(run(Lateral(), edges(process(*APP), *targets))) == "high"


def test_a_workload_that_never_did() -> None:
    by, who = Lateral(), process(*APP)
    by.feed(Started(ts=NOON, process=who))
    assert worst(run(by, edges(who, ("10.0.0.9", 2375), start=NOON + 7200 * SECOND))) == "medium"
    assert not run(by, edges(who, ("10.0.0.9", 2375), start=NOON + 7300 * SECOND))


HONEST: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, int], ...]]] = {
    "databases": (APP, (), (("10.0.0.7", 5432), ("10.0.0.8", 6379), ("10.0.0.9", 6333))),
    "a cache's cluster": (APP, (), tuple((f"10.0.0.{n}", 6379) for n in range(6))),
    "prometheus": (("/usr/bin/prometheus",), (), tuple((f"10.0.0.{n}", 10250) for n in range(200))),
    "ansible": (("/usr/bin/ssh", "ssh"), ("/usr/bin/python3", "ansible-playbook"), THREE),
    "git over ssh": (("/usr/bin/ssh", "ssh"), ("/usr/bin/git",), (ONE,)),
    "a backup over ssh": (("/usr/bin/ssh", "ssh"), ("/usr/bin/rsync",), (ONE,)),
    "kubelet": (("/usr/bin/kubelet",), (), (("10.0.0.9", 6443),)),
    "a load balancer": (("/usr/sbin/haproxy",), (), tuple((f"10.0.0.{n}", 8888) for n in range(9))),
    "this host": (APP, (), (("127.0.0.1", 2375),)),
    "outside": (APP, (), (("203.0.113.9", 22),)),
}


@pytest.mark.parametrize("what", HONEST)
def test_honest_edges(what: str) -> None:
    program, above, targets = HONEST[what]
    who = process(*program, ancestors=above[:1] if len(above) < 2 else ("/usr/bin/ansible-playbook",))
    assert not run(Lateral(), edges(who, *targets))


@pytest.mark.parametrize(
    ("script", "severity"),
    [("/usr/bin/wsrep_sst_mariabackup", ""), ("/tmp/wsrep_sst_mariabackup", "high"), ("/srv/x/run.sh", "high")],
)
def test_a_script_whose_work_it_is(script: str, severity: str) -> None:
    """A shell has no name of its own; what it runs has."""
    who = process("/usr/bin/socat", "socat", "-u", "stdio", "openssl-connect:10.0.0.9:4444")
    above = (Ancestor(2, "/usr/bin/bash", ("bash", script, "--role", "donor")),)
    assert worst(run(Lateral(), edges(msgspec.structs.replace(who, ancestors=above), ("10.0.0.9", 4444)))) == severity


def test_a_person_at_a_terminal() -> None:
    by = Lateral()
    person = process("/usr/bin/ssh", "ssh", "x", ancestors=("/usr/bin/bash", "/usr/sbin/sshd"))
    by.feed(Started(ts=NOON, process=person, streams=TTY))
    assert not run(by, edges(person, *THREE))
    unknown = process("/usr/bin/ssh", "ssh", "x", ancestors=("/usr/bin/bash", "/usr/bin/python3"))
    by.feed(Started(ts=NOON, process=unknown, streams=TTY))
    assert worst(run(by, edges(unknown, ("10.0.1.1", 22)))) == "low"


def test_a_shells_client_goes_round_the_databases() -> None:
    """An application has a library for its own one."""

    def went(hosts: int, *, workload: str = "systemd:shop.service") -> str:
        acts = [
            activity
            for n in range(hosts)
            for activity in contact(
                process("/usr/bin/psql", "psql", "-h", "x", ancestors=("/usr/bin/dash",), workload=workload),
                f"10.77.1.{n}", 5432, NOON + n * SECOND, "open",
            )
        ]  # fmt: skip
        return worst(run(Lateral(), acts))

    assert went(2) == "low"
    assert went(3) == "medium"
