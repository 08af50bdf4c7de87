"""Rule `metadata-service-access`: at the first packet, and by what is asked for."""

from __future__ import annotations

import pytest
from network_activities import NOON, SECOND, flow, process, seen

from leeward.detect.metadata import Metadata
from leeward.model.activity import FlowSeen, HttpSeen, Started
from leeward.model.finding import Finding
from leeward.model.process import NOBODY, Process
from leeward.model.raw import Stream

AWS = "169.254.169.254"
TTY = (Stream("tty", 1), Stream("tty", 1), Stream("tty", 1))


def first_packet(who: Process, ip: str = AWS, port: int = 80, proto: str = "tcp", ts: int = NOON) -> FlowSeen:
    return seen(who, flow(ip, port, ts=ts, proto=proto, pid=who.pid), ts, packets=1, began=True)


def severities(found: list[Finding]) -> list[str]:
    return [finding.severity for finding in found]


@pytest.mark.parametrize(
    ("program", "severity"),
    [
        (("/usr/bin/curl", "curl", "http://169.254.169.254/"), "high"),
        (("/usr/bin/wget", "wget", "http://169.254.169.254/"), "high"),
        (("/usr/bin/bash", "bash", "-i"), "high"),
        (("/usr/bin/python3", "python3", "-c", "import urllib"), "high"),
        (("/usr/bin/busybox", "wget", "-qO-", "x"), "high"),
        (("/tmp/cloud-init", "/tmp/cloud-init"), "high"),
        (("/usr/bin/python3", "python3", "/srv/app/worker.py"), "low"),
    ],
)
def test_who_asks_decides_at_the_first_packet(program: tuple[str, ...], severity: str) -> None:
    assert severities(Metadata().feed(first_packet(process(*program)))) == [severity]


@pytest.mark.parametrize("ip", ["fd00:ec2::254", "100.100.100.200", "169.254.170.2", "169.254.170.23"])
def test_other_clouds(ip: str) -> None:
    assert severities(Metadata().feed(first_packet(process("/usr/bin/curl", "curl"), ip))) == ["high"]


@pytest.mark.parametrize(
    "program",
    [
        ("/usr/bin/python3", "/usr/bin/python3", "/usr/bin/cloud-init", "init"),
        ("/usr/bin/amazon-ssm-agent",),
        ("/usr/bin/kubelet",),
        ("/usr/bin/google_guest_agent",),
        ("/usr/bin/python3", "python3", "-u", "/usr/sbin/waagent", "-daemon"),
        ("/usr/local/bin/aws", "aws", "s3", "ls"),
    ],
)
def test_agents_of_clouds(program: tuple[str, ...]) -> None:
    assert not Metadata().feed(first_packet(process(*program)))


def test_names_and_time_are_served_at_the_same_address() -> None:
    detector = Metadata()
    assert not detector.feed(first_packet(process("/usr/bin/curl"), port=53, proto="udp"))
    assert not detector.feed(first_packet(process("/usr/sbin/ntp-like"), port=123, proto="udp"))


def test_a_workload_that_never_did_in_its_first_hour() -> None:
    detector, who = Metadata(), process("/usr/local/bin/server")
    detector.feed(Started(ts=NOON, process=who))
    assert severities(detector.feed(first_packet(who, ts=NOON + 7200 * SECOND))) == ["medium"]
    assert severities(detector.feed(first_packet(who, ts=NOON + 14400 * SECOND))) == ["low"]


def test_a_person_at_a_terminal() -> None:
    detector = Metadata()
    who = process("/usr/bin/curl", "curl", "x", ancestors=("/usr/bin/bash", "/usr/sbin/sshd"))
    detector.feed(Started(ts=NOON, process=who, streams=TTY))
    assert severities(detector.feed(first_packet(who))) == ["low"]
    broken_in = process("/usr/bin/curl", "curl", "x", ancestors=("/usr/bin/bash", "/usr/bin/python3"))
    detector.feed(Started(ts=NOON, process=broken_in, streams=TTY))
    assert severities(detector.feed(first_packet(broken_in))) == ["high"]


def test_a_server_that_was_talked_into_asking_for_credentials() -> None:
    detector, who = Metadata(), process("/usr/bin/python3", "python3", "/srv/app.py")

    def asks(agent: str, path: str) -> list[str]:
        return severities(
            detector.feed(
                HttpSeen(
                    ts=NOON, process=who, direction="outbound", peer=f"{AWS}:80", host=AWS, method="GET", path=path,
                    status=200, response_size=900, user_agent=agent,
                )
            )
        )  # fmt: skip

    role = "/latest/meta-data/iam/security-credentials/role"
    assert asks("python-requests/2.32", role) == ["high"]
    assert asks("Boto3/1.40 md/Botocore", role) == []
    assert asks("python-requests/2.32", "/latest/meta-data/placement/region") == []
    assert asks("python-requests/2.32", "/computeMetadata/v1/instance/service-accounts/default/token") == []
    assert asks("Python-urllib/3.11", "/computeMetadata/v1/instance/service-accounts/default/token") == [
        "high"
    ]  # no SDK's


def test_a_capture_has_no_processes() -> None:
    assert severities(Metadata().feed(first_packet(NOBODY))) == ["medium"]
