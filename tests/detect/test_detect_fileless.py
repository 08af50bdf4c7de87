"""Programs that run from no file."""

from __future__ import annotations

import pytest
from detect_acts import T0, box, ended, found, proc, started, worst

from leeward.detect.fileless import Fileless
from leeward.model.activity import System
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


# -- services that go on from a file that was replaced ----------------------------------------------------------------


def test_a_service_outside_the_managed_folders_starts_its_replaced_self_again() -> None:
    manager = proc("/usr/lib/systemd/systemd", pid=1)
    main = proc("/srv/app", manager, workload="systemd:app.service")
    worker = proc("worker w", main, exe="/srv/app (deleted)")
    assert worst(found(Fileless(), started(main), started(worker, origin="deleted"))) == "low"
    assert severity(worker, "deleted") == "low"  # it began before we looked
    again = proc("/srv/app", manager, exe="/srv/app (deleted)", workload="systemd:app.service", pid=main.pid)
    assert worst(found(Fileless(), started(main), started(again, origin="deleted"))) == "low"


def test_workers_that_were_started_from_the_file_before() -> None:
    main = proc("/srv/app", proc("bash"), workload="systemd:app.service")
    before, after = proc("worker w", main, exe="/srv/app"), proc("worker w", main, exe="/srv/app (deleted)")
    assert worst(found(Fileless(), started(main), started(before), started(after, origin="deleted"))) == "low"


def test_a_loader_that_deletes_itself_is_told() -> None:
    """It was started by the service, not by what starts services, and goes on from its deleted file at once."""
    shop = proc("python3 app.py", proc("/usr/lib/systemd/systemd", pid=1), workload="systemd:shop.service")
    loader = proc("/srv/shop/uploads/x", proc("sh -c x", shop))
    later = proc("kworker", loader, exe="/srv/shop/uploads/x (deleted)")
    acts = [started(shop), started(proc("sh -c x", shop, pid=loader.ancestors[0].pid)), started(loader)]
    assert worst(found(Fileless(), *acts, started(later, origin="deleted"))) == "high"
    for hidden in ("/tmp/x", "/srv/.x/y"):
        main = proc(hidden, proc("/usr/lib/systemd/systemd", pid=1), workload="systemd:x.service")
        child = proc("y", main, exe=f"{hidden} (deleted)")
        assert worst(found(Fileless(), started(main), started(child, origin="deleted"))) == "high"


def test_a_library_out_of_memory() -> None:
    shop = proc("python3 app.py", exe="/usr/bin/python3.11")
    mapped = System(ts=T0, process=shop, kind="exec-map", path="/memfd:lib (deleted)", label="memfd")
    assert worst(found(Fileless(), mapped)) == "high"
    assert not found(Fileless(), System(ts=T0, process=shop, kind="memfd", source="lib"))
