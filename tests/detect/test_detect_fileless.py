"""Programs that run from no file."""

from __future__ import annotations

import pytest
from detect_acts import box, ended, found, proc, started, worst

from leeward.detect.fileless import Fileless
from leeward.model.process import Process


def severity(process: Process, origin: str) -> str:
    return worst(found(Fileless(), started(process, origin=origin)))


@pytest.mark.parametrize(
    ("exe", "origin", "expected"),
    [
        ("/memfd:x (deleted)", "memfd", "critical"),
        ("/memfd: (deleted)", "memfd", "critical"),
        ("/memfd:runc_cloned:/proc/self/exe (deleted)", "memfd", "critical"),  # by its name alone
        ("/dev/shm/.x", "shm", "high"),
        ("/tmp/go-build1/x.test", "shm", ""),
        ("/tmp/.x/y", "shm", ""),
        ("/tmp/.hidden", "shm", "low"),
        ("/tmp/x (deleted)", "deleted", "high"),
        ("/home/bob/x (deleted)", "deleted", "high"),
        ("/usr/sbin/dbus-daemon (deleted)", "deleted", "low"),
        ("/usr/bin/x", "", ""),
    ],
)
def test_origins(exe: str, origin: str, expected: str) -> None:
    assert severity(proc("x", proc("bash"), exe=exe), origin) == expected


def test_the_container_runtime_copies_itself() -> None:
    shim = proc("/usr/bin/containerd-shim-runc-v2 -id x")
    runc = proc("runc init", shim, exe="/memfd:runc_cloned:/usr/bin/runc (deleted)")
    assert not severity(runc, "memfd")
    assert not severity(
        proc("runc init", runc, exe="/memfd:runc_cloned:/proc/self/exe (deleted)", container=box()), "memfd"
    )
    again = Fileless()
    by_hand = proc("runc run x", proc("bash"), exe="/usr/bin/runc", pid=9)
    found(again, started(by_hand))
    assert not found(
        again, started(proc("runc run x", proc("bash"), exe="/memfd:runc_cloned (deleted)", pid=9), origin="memfd")
    )
    fake = proc("runc init", proc("/tmp/containerd-shim-runc-v2"), exe="/memfd:runc_cloned (deleted)")
    assert severity(fake, "memfd") == "critical"
    other = proc("x", shim, exe="/memfd:payload (deleted)", container=box())
    assert severity(other, "memfd") == "critical"


def test_a_service_that_was_updated_starts_itself_again() -> None:
    nginx = proc("nginx", exe="/usr/sbin/nginx")
    again = proc("nginx", nginx, exe="/usr/sbin/nginx (deleted)")
    assert not severity(again, "deleted")
    detector = Fileless()
    same = proc("x", exe="/usr/lib/x", pid=5)
    found(detector, started(same))
    assert not found(detector, started(proc("x", exe="/usr/lib/x (deleted)", pid=5), origin="deleted"))
    found(detector, ended(same))
    assert worst(found(detector, started(proc("x", exe="/usr/lib/x (deleted)", pid=5), origin="deleted"))) == "low"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python3 /proc/self/fd/3", "high"),
        ("bash /dev/shm/x.sh", "medium"),
        ("bash /dev/fd/63", ""),
        ("python3 /srv/app.py", ""),
    ],
)
def test_scripts(command: str, expected: str) -> None:
    assert severity(proc(command), "") == expected
