"""Rule `data-exfiltration`: what must be found before 10 MB have left, and what is a program's work."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from network_activities import NOON, SECOND, flow, process, seen

from leeward.detect.exfiltration import Exfiltration, amount
from leeward.detect.volume import Scale, Volume, add
from leeward.model.activity import Activity, FlowSeen, HttpSeen, Started, System
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import NOBODY, Ancestor, Process
from leeward.model.raw import Stream

MB = 1_000_000
APP = ("/usr/bin/python3", "python3", "/srv/shop/app.py")


def detector() -> Exfiltration:
    return Exfiltration(lambda name: name == "api.openai.com")


def upload(
    who: Process, size: int, *, ip: str = "203.0.113.7", domain: str = "", port: int = 443, rate: int = MB, back: float = 0.02,
    start: int = NOON, proto: str = "tcp", source_port: int = 40000, direction: str = "outbound",
) -> Iterator[FlowSeen]:  # fmt: skip
    """One flow that sends `rate` bytes each second until `size` are gone."""
    one = flow(
        ip, port, ts=start, domain=domain, pid=who.pid, proto=proto, source_port=source_port, direction=direction
    )
    yield seen(who, one, start, packets=1, began=True)
    for n in range(-(-size // rate)):
        part = min(rate, size - n * rate)
        yield seen(who, one, start + (n + 1) * SECOND, part, int(part * back), ended=(n + 1) * rate >= size)


def run(by: Exfiltration, activities: Iterator[Activity]) -> list[Finding]:
    return [finding for activity in activities for finding in by.feed(activity)]


def worst(found: list[Finding]) -> str:
    return max((f.severity for f in found), key=SEVERITIES.index, default="")


@pytest.mark.parametrize(
    ("program", "domain", "severity"),
    [
        (APP, "", "high"),
        (APP, "files.example.net", "medium"),
        (("/usr/bin/curl", "curl", "-T", "x"), "files.example.net", "high"),
        (("/usr/bin/bash", "bash"), "bucket.s3.eu-west-1.amazonaws.com", "high"),
        (("/tmp/x",), "o1.ingest.sentry.io", "high"),
        (("/usr/local/bin/server",), "files.example.net", "medium"),
        (("/usr/bin/rclone", "rclone", "copy"), "", "medium"),
    ],
)
def test_found_before_ten_megabytes_have_left(program: tuple[str, ...], domain: str, severity: str) -> None:
    by, left = detector(), 0
    for activity in upload(process(*program), 30 * MB, domain=domain):
        left += activity.sent
        if told := by.feed(activity):
            assert left < 10 * MB
            assert told[0].severity == severity
            evidence = told[0].evidence[0]
            assert evidence["margin"] == evidence["value"] - evidence["threshold"] >= 0
            return
    raise AssertionError("not found")


HONEST = [
    (("/usr/bin/restic", "restic", "backup"), "backup.s3.amazonaws.com"),
    (("/usr/bin/rclone", "rclone", "sync"), "storage.googleapis.com"),
    (("/usr/local/bin/aws", "aws", "s3", "sync"), "x.s3.amazonaws.com"),
    (("/usr/bin/borg", "borg", "create"), "backup.example.net"),
    (("/usr/bin/dockerd",), "registry-1.docker.io"),
    (("/usr/bin/dockerd",), "registry.example.com"),
    (("/usr/bin/git-remote-https",), "github.com"),
    (("/usr/bin/python3", "python3", "-m", "twine", "upload"), "upload.pypi.org"),
    (("/opt/fluent-bit/bin/fluent-bit",), "logs.example.net"),
    (APP, "api.openai.com"),
    (APP, "http-intake.logs.datadoghq.com"),
    (("/usr/bin/python3", "python3", "/srv/etl.py"), "bucket.s3.amazonaws.com"),
    (("/opt/zoom/zoom",), "zoom.us"),
    (("/actions/Runner.Worker",), "results-receiver.actions.githubusercontent.com"),
]


@pytest.mark.parametrize(("program", "domain"), HONEST)
def test_a_programs_own_work(program: tuple[str, ...], domain: str) -> None:
    assert worst(run(detector(), upload(process(*program), 300 * MB, domain=domain, rate=20 * MB))) in ("", "low")


def test_curl_to_a_bucket() -> None:
    """A job that was made for it is left at low; in a workload that did other things before, it is not."""
    who, bucket = process("/usr/bin/curl", "curl", "-T", "-"), "bucket.s3.eu-west-1.amazonaws.com"
    assert worst(run(detector(), upload(who, 12 * MB, domain=bucket))) == "low"
    by = detector()
    by.feed(Started(ts=NOON - 3600 * SECOND, process=process(*APP)))
    assert worst(run(by, upload(who, 12 * MB, domain=bucket))) == "high"


def test_curl_to_another_bucket_than_the_workloads_own() -> None:
    by = detector()
    run(by, upload(process(*APP), 20_000, domain="ours.s3.eu-west-1.amazonaws.com"))
    who = process("/usr/bin/curl", "curl", "-T", "-")
    theirs = upload(who, 12 * MB, domain="theirs.s3.eu-west-1.amazonaws.com", start=NOON + 60 * SECOND)
    assert worst(run(by, theirs)) == "high"


@pytest.mark.parametrize(
    ("above", "severity"),
    [
        ((("/usr/bin/git", "git", "push"), ("/usr/bin/dash", "sh", "-c", "git push")), "medium"),
        ((("/usr/bin/git", "git", "push"), ("/usr/bin/dash", "sh", "/srv/shop/publish.sh")), "low"),
        ((("/usr/bin/git", "git", "push"), ("/usr/bin/bash", "bash", "-e"), ("/opt/Runner.Worker", "Runner.Worker")), "low"),
    ],
)  # fmt: skip
def test_git_pushes_to_where_nobody_was(above: tuple[tuple[str, ...], ...], severity: str) -> None:
    """A service's shell that was given words is not a build."""
    who = msgspec.structs.replace(
        process("/usr/lib/git-core/git-remote-https"),
        ancestors=tuple(Ancestor(n + 2, exe, tuple(argv)) for n, (exe, *argv) in enumerate(above)),
    )
    assert worst(run(detector(), upload(who, 14 * MB, domain="code.mirror-hub.example"))) == severity


def test_ssh_is_a_transport_for_who_started_it() -> None:
    below_git = process("/usr/bin/ssh", "ssh", "git@x", ancestors=("/usr/bin/git",))
    assert worst(run(detector(), upload(below_git, 50 * MB, port=22, domain="gitlab.com"))) in ("", "low")
    alone = process("/usr/bin/ssh", "ssh", "x", ancestors=("/usr/bin/python3",))
    assert worst(run(detector(), upload(alone, 50 * MB, port=22))) == "medium"


@pytest.mark.parametrize(
    "other",
    [
        {"direction": "inbound"},
        {"back": 0.9},  # a call with sound and picture
        {"back": 30.0},  # a download
        {"ip": "10.0.0.9"},
        {"proto": "udp", "source_port": 443, "port": 51000},  # it answers over QUIC
        {"size": 2 * MB},
    ],
)
def test_traffic_that_takes_nothing_away(other: dict[str, object]) -> None:
    size = int(other.pop("size", 60 * MB))  # type: ignore[call-overload]
    assert not run(detector(), upload(process(*APP), size, **other))  # type: ignore[arg-type]


def test_a_slow_drip_adds_up() -> None:
    by, told = detector(), []
    for hour in range(100):
        told += run(by, upload(process(*APP), 60_000, start=NOON + hour * 3600 * SECOND, rate=60_000))
    assert worst(told) == "high"
    assert told[0].evidence[0]["new_for_s"] > 24 * 3600


def test_its_own_telemetry_stays_low() -> None:
    by, told, who = detector(), [], process("/usr/local/bin/server")
    by.feed(Started(ts=NOON, process=who))
    for minute in range(600):
        told += run(by, upload(who, 20_000, start=NOON + minute * 60 * SECOND, rate=20_000, domain="in.vendor.example"))
    assert worst(told) == "low"


def pieces(who: Process, sizes: list[int], pause: float, domain: str) -> Iterator[FlowSeen]:
    one = flow("203.0.113.7", 443, ts=NOON, domain=domain, pid=who.pid)
    yield seen(who, one, NOON, packets=1, began=True)
    for n, size in enumerate(sizes):
        ts = NOON + int(n * pause * SECOND)
        yield seen(who, one, ts, size // 2)
        yield seen(who, one, ts + SECOND, size - size // 2)


STORE = "archive.s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("program", "sizes", "pause", "expected"),
    [
        (APP, [300_000] * 30, 20, "medium"),
        (APP, [300_000] * 20, 20, "low"),  # too few
        (APP, [300_000 + 40_000 * (n % 5) for n in range(60)], 20, "low"),  # what an application stores differs
        (APP, [300_000] * 60, 600, "low"),  # a job every ten minutes
        (APP, [300_000] * 60, 2, "low"),  # an upload
        (("/usr/bin/rclone", "rclone", "copy"), [300_000] * 60, 20, ""),
    ],
)
def test_pieces_of_one_size_with_pauses(
    program: tuple[str, ...], sizes: list[int], pause: float, expected: str
) -> None:
    told = run(detector(), pieces(process(*program), sizes, pause, STORE))
    assert worst(told) == expected


def test_more_than_it_ever_sent() -> None:
    by, told, who = detector(), [], process("/usr/bin/rclone", "rclone", "copy")
    for n in range(40):
        told += run(by, upload(who, 3 * MB, domain="partner.example.org", start=NOON + n * 600 * SECOND, back=0.5))
    assert worst(told) == ""
    told = run(
        by, upload(who, 400 * MB, domain="partner.example.org", start=NOON + 41 * 600 * SECOND, rate=20 * MB, back=0.5)
    )
    assert worst(told) == "low"  # a backup program's work, of which there is suddenly much
    by, told, who = detector(), [], process("/usr/bin/server")
    for n in range(40):
        told += run(by, upload(who, 3 * MB, domain="partner.example.org", start=NOON + n * 600 * SECOND, back=0.5))
    told += run(
        by, upload(who, 400 * MB, domain="partner.example.org", start=NOON + 41 * 600 * SECOND, rate=20 * MB, back=0.5)
    )
    assert worst(told) == "medium"
    assert told[-1].evidence[0]["value"] > told[-1].evidence[0]["threshold"]


def test_what_is_usual_is_learned_robustly() -> None:
    volume, scale = Volume(), Scale(SECOND, 12, 6.0, MB)
    for n in range(50):
        assert not add(volume, 10 * MB, n * SECOND, scale)
    usual = volume.centre
    assert add(volume, 10_000 * MB, 51 * SECOND, scale)
    add(volume, 1, 52 * SECOND, scale)
    assert volume.centre - usual < 0.5


@pytest.mark.parametrize(
    ("program", "size", "severity"),
    [
        (("/usr/bin/curl", "curl", "-F", "f=@x"), 6000, "high"),
        (APP, 6000, "medium"),
        (APP, 900, "low"),
    ],
)
def test_places_where_anybody_can_fetch_it(program: tuple[str, ...], size: int, severity: str) -> None:
    assert worst(run(detector(), upload(process(*program), size, domain="transfer.sh", back=1.0))) == severity


def test_a_post_that_is_seen() -> None:
    who = process(*APP)
    posted = HttpSeen(
        ts=NOON, process=who, direction="outbound", peer="203.0.113.7:443", host="webhook.site", method="POST", path="/x",
        request_size=300,
    )  # fmt: skip
    told = detector().feed(posted)
    assert [f.severity for f in told] == ["medium"]
    assert told[0].evidence[0]["bytes"] == 300


def test_a_person_at_a_terminal() -> None:
    by, who = detector(), process("/usr/bin/scp", ancestors=("/usr/bin/bash", "/usr/sbin/sshd"))
    by.feed(Started(ts=NOON, process=who, streams=(Stream("tty", 1), Stream("tty", 1), Stream("tty", 1))))
    assert worst(run(by, upload(who, 20 * MB, port=22))) == "low"


def pings(who: Process, size: int, count: int) -> Iterator[System]:
    for n in range(count):
        yield System(ts=NOON + n * SECOND, process=who, kind="icmp", path="203.0.113.7", number=size)


def test_icmp() -> None:
    assert worst(run(detector(), pings(process("/usr/bin/ping"), 84, 3600))) == ""
    assert worst(run(detector(), pings(process("/usr/bin/ping"), 20_000, 600))) == "medium"
    assert worst(run(detector(), pings(process(*APP), 1400, 60))) == "high"
    assert worst(run(detector(), pings(process(*APP), 84, 60))) == ""


def test_a_capture_has_no_processes() -> None:
    assert worst(run(detector(), upload(NOBODY, 20 * MB))) == "high"


def test_amounts() -> None:
    assert [amount(n) for n in (0, 999, 4_200_000, 3e9)] == ["0 bytes", "999 bytes", "4.2 MB", "3 GB"]


@pytest.mark.parametrize(
    ("program", "host", "size", "severity"),
    [
        (APP, "discord.com", 300, "low"),
        (APP, "discord.com", 9000, "medium"),
        (("/usr/bin/curl", "curl", "-d", "@x"), "discord.com", 300, "high"),
        (APP, "pastebin.com", 300, "medium"),
    ],
)
def test_what_a_bot_says_is_few_words(program: tuple[str, ...], host: str, size: int, severity: str) -> None:
    posted = HttpSeen(
        ts=NOON, process=process(*program), direction="outbound", host=host, method="POST", request_size=size
    )
    assert worst(detector().feed(posted)) == severity
