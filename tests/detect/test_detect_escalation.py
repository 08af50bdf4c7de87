"""Rights that a process gains, and files that give them."""

from __future__ import annotations

import msgspec
import pytest
from detect_acts import NULL, SECOND, T0, TTY, box, ended, found, proc, started, system, worst

from leeward.detect.escalation import Escalation
from leeward.model.activity import Activity
from leeward.model.finding import Finding

ALL = (1 << 41) - 1
USER, ROOT = (1000, 1000, 1000, 0), (1000, 0, 1000, ALL)


def tell(*activities: Activity, until: float = 2) -> list[Finding]:
    return found(Escalation(), *activities, until=until)


# -- out of nothing --------------------------------------------------------------------------------------------------


def test_root_without_any_program_that_gives_it() -> None:
    exploit = proc("./x", exe="/home/bob/x", uid=1000)
    told = tell(started(exploit, euid=1000), system(exploit, "identity", 1, before=USER, after=(0, 0, 0, ALL)))
    assert worst(told) == "critical"
    assert told[0].evidence[0]["after"] == [0, 0, 0, ALL]


def test_the_exploit_starts_a_shell_at_once() -> None:
    exploit = proc("./x", exe="/home/bob/x", uid=1000)
    detector = Escalation()
    found(detector, started(exploit, euid=1000), system(exploit, "identity", 1, before=USER, after=(0, 0, 0, ALL)))
    shell = proc("/bin/sh", pid=exploit.pid, uid=0)
    assert [f.severity for f in detector.feed(started(shell, TTY, 1.01, euid=0))] == ["critical"]


def test_it_is_gone_before_a_tick() -> None:
    exploit = proc("./x", uid=1000)
    detector = Escalation()
    found(detector, system(exploit, "identity", before=USER, after=(0, 0, 0, ALL)))
    assert worst(detector.feed(ended(exploit, 0.01))) == "critical"


def test_a_program_that_runs_as_root_whose_process_was_not() -> None:
    """The kernel was tricked, no call told it: it shows when the next program starts."""
    shell = proc("/bin/sh", proc("/home/bob/x"))
    told = tell(
        system(shell, "identity", before=USER, after=(0, 0, 0, ALL), label="exec"), started(shell, euid=0, setuid=True)
    )
    assert worst(told) == "critical"
    sudo = proc("sudo id", uid=1000)
    assert not tell(
        system(sudo, "identity", before=USER, after=ROOT, label="exec"), started(sudo, TTY, euid=0, setuid=True)
    )
    apart = system(proc("x", uid=1000), "identity", before=USER, after=(1000, 1000, 1000, ALL), label="user-namespace")
    assert not tell(apart)


@pytest.mark.parametrize("setuid_is_told_first", [True, False])
def test_sudo_is_what_it_is(setuid_is_told_first: bool) -> None:
    shell = proc("bash", uid=1000)
    sudo = proc("sudo id", uid=1000, pid=shell.pid)
    gain = system(shell, "identity", 1, before=USER, after=ROOT)
    start = started(sudo, TTY, 1.001, euid=0, setuid=True)
    assert not tell(*([start, gain] if setuid_is_told_first else [gain, start]))
    assert not tell(gain, start, system(sudo, "identity", 2, before=ROOT, after=(0, 0, 0, ALL)))


def test_a_setuid_program_that_takes_its_rights_back() -> None:
    mount = proc("mount /x", uid=1000)
    acts = [
        started(mount, TTY, euid=0, setuid=True),
        system(mount, "identity", 1, before=ROOT, after=(1000, 1000, 1000, 0)),
    ]
    assert not tell(*acts, system(mount, "identity", 2, before=(1000, 1000, 1000, 0), after=ROOT))


def test_a_daemon_that_changes_its_effective_id_to_and_fro() -> None:
    sshd = proc("sshd")
    down = system(sshd, "identity", before=(0, 0, 0, ALL), after=(0, 1000, 1000, 0))
    assert not tell(down, system(sshd, "identity", 1, before=(0, 1000, 1000, 0), after=(0, 0, 0, ALL)))


def test_file_capabilities_of_a_system_program() -> None:
    shell = proc("bash", uid=1000)
    ping = proc("ping x", uid=1000, pid=shell.pid)
    gain = system(shell, "identity", 1, before=USER, after=(1000, 1000, 1000, 1 << 7))
    assert not tell(gain, started(ping, TTY, 1.001, euid=1000))


def test_capabilities_out_of_nothing() -> None:
    app = proc("python3 app.py", uid=1000)
    assert worst(tell(system(app, "identity", before=USER, after=(1000, 1000, 1000, 1 << 21)))) == "medium"
    assert not tell(system(app, "identity", before=USER, after=(1000, 1000, 1000, 1 << 10)))  # binds low ports


def test_a_user_namespace_gives_capabilities_in_itself() -> None:
    app = proc("bwrap --unshare-user sh", uid=1000)
    acts = [
        system(app, "namespace", number=0x10000000, label="unshare"),
        system(app, "identity", before=USER, after=(1000, 1000, 1000, ALL)),
    ]
    assert not tell(*acts)


# -- files that give rights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exe", "severity"),
    [
        ("/tmp/rootshell", "critical"),
        ("/dev/shm/x", "critical"),
        ("/home/bob/x", "critical"),
        ("/usr/bin/bash", "high"),
        ("/usr/bin/python3.11", "high"),
        ("/usr/bin/find", "high"),
        ("/opt/vendor/helper", "low"),
        ("/usr/bin/passwd", ""),
        ("/usr/bin/sudo", ""),
        ("/tmp/sudo", "critical"),
    ],
)
def test_setuid_programs(exe: str, severity: str) -> None:
    who = proc("x", proc("bash", uid=1000), exe=exe, uid=1000)
    assert worst(tell(started(who, TTY, euid=0, setuid=True))) == severity


def test_sudo_without_a_terminal_is_low() -> None:
    assert worst(tell(started(proc("sudo id", uid=1000), NULL, euid=0, setuid=True))) == "low"


def test_a_shell_that_keeps_roots_rights() -> None:
    assert worst(tell(started(proc("bash -p", uid=1000), TTY, euid=0))) == "high"


@pytest.mark.parametrize(
    ("path", "mode", "by", "severity"),
    [
        ("/tmp/.x/bash", 0o4755, "chmod 4755 /tmp/.x/bash", "critical"),
        ("/usr/bin/bash", 0o4755, "chmod u+s /usr/bin/bash", "critical"),
        ("/tmp/x", 0o4755, "chmod u+s /tmp/x", "high"),
        ("/home/bob/x", 0o6755, "cp -p", "high"),
        ("/usr/bin/sudo", 0o4755, "/usr/bin/dpkg --unpack x", ""),
        ("/usr/local/bin/tool", 0o4755, "install -m 4755", "low"),
        ("/var/games", 0o2755, "chmod g+s", "low"),
        ("/tmp/x", 0o0755, "chmod +x", ""),
        ("/usr/bin/bash", 0o4755, "npm install x", "critical"),
    ],
)
def test_making_a_file_setuid(path: str, mode: int, by: str, severity: str) -> None:
    by_systemd = proc(by, proc("/usr/lib/systemd/systemd", pid=1))
    assert worst(tell(system(by_systemd, "chmod", path=path, number=mode))) == severity
    shim = proc("/usr/bin/containerd-shim-runc-v2")
    assert worst(tell(system(proc(by, shim, container=box()), "chmod", path=path, number=mode))) == severity


def test_layers_unpacked_by_the_container_engine_are_silent() -> None:
    assert not tell(system(proc("containerd"), "chmod", path="/var/lib/containerd/x/usr/bin/su", number=0o4755))


@pytest.mark.parametrize(
    ("path", "by", "severity"),
    [
        ("/etc/passwd", "python3 x.py", "high"),
        ("/etc/sudoers.d/x", "tee /etc/sudoers.d/x", "high"),
        ("/etc/shadow", "/usr/sbin/usermod -p x bob", ""),
        ("/etc/sudoers", "visudo", ""),
        ("/etc/passwd", "/usr/bin/dpkg -i x", ""),
        ("/etc/hosts", "python3 x.py", ""),
    ],
)
def test_account_files(path: str, by: str, severity: str) -> None:
    assert (
        worst(tell(system(proc(by, proc("/usr/lib/systemd/systemd", pid=1)), "open", path=path, number=1))) == severity
    )
    assert not tell(system(proc(by), "open", path=path, number=0))


def test_account_files_by_a_person_or_in_a_container_are_low() -> None:
    editor = proc("vim /etc/sudoers")
    assert worst(tell(started(editor, TTY), system(editor, "open", 1, path="/etc/sudoers", number=1))) == "low"
    entry = proc("sh -c 'echo x >> /etc/passwd'", container=box())
    assert worst(tell(system(entry, "open", path="/etc/passwd", number=1))) == "low"


# -- namespaces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "severity"),
    [("unshare -Ur sh", ""), ("bwrap x", ""), ("chrome", ""), ("podman run x", ""), ("/opt/app/thing", "low")],
)
def test_user_namespaces(command: str, severity: str) -> None:
    assert worst(tell(system(proc(command, uid=1000), "namespace", number=0x10000000, label="unshare"))) == severity


def test_a_server_that_makes_one() -> None:
    server = proc("python3 -m gunicorn app", uid=1000)
    child = proc("unshare -Ur id", server, uid=1000)
    assert worst(tell(system(child, "namespace", number=0x10020000, label="unshare"))) == "medium"
    assert not tell(system(child, "namespace", number=0x40000000, label="unshare"))
    worker = proc("/opt/app/thing", proc("/usr/lib/systemd/systemd", pid=1), uid=1000)
    assert worst(tell(system(worker, "namespace", number=0x10000000, label="unshare"))) == "low"


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ("sh -c x", "medium"),
        ("python3 app.py", "medium"),
        ("make check", ""),  # a build's
        ("/usr/bin/bwrap --unshare-all x", ""),
        ("/usr/lib/systemd/systemd", ""),  # the unit's own command
    ],
)
def test_a_service_that_makes_one_with_unshare(above: str, expected: str) -> None:
    parent = proc(above, proc("sh run.sh", workload="systemd:shop.service"), uid=33)
    child = proc("unshare -Urm sh", parent, uid=33)
    assert worst(tell(system(child, "namespace", number=0x10020000, label="unshare"))) == expected


def test_a_persons_unshare_is_let_be() -> None:
    shell = proc("bash", workload="systemd:user-1000/foot.service", uid=1000)
    theirs = proc("unshare -Ur sh", shell, uid=1000)
    theirs = msgspec.structs.replace(theirs, cgroup="/user.slice/user-1000.slice/user@1000.service/foot.service")
    assert not tell(system(theirs, "namespace", number=0x10020000, label="unshare"))


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.detect.escalation._MOST", 100)
    detector = Escalation()
    for _ in range(150):
        detector.feed(system(proc("x", uid=1000), "identity", before=USER, after=(0, 0, 0, ALL)))
    assert detector.counters["escalation_gains_evicted"] == 50
    assert detector.tick(T0 + SECOND)
    assert not detector._gains


def test_a_setuid_helper_runs_what_its_caller_put_there() -> None:
    shell = proc("sh -c x", uid=65534, workload="reports.service")
    helper = proc("/srv/backup/bin/nightly-helper", shell, uid=65534)
    run = proc("sh -c rsync", helper, uid=0)
    begun = started(helper, euid=0, setuid=True)
    usual = proc("rsync --version", run, uid=0)
    assert worst(found(Escalation(), begun, started(run, euid=0), started(usual, euid=0))) == "low"
    theirs = proc("sh /tmp/.b/rsync --version", run, uid=0)
    told = found(Escalation(), begun, started(run, euid=0), started(theirs, euid=0))
    assert worst(told) == "critical"
    assert "/tmp/.b/rsync" in told[-1].title
