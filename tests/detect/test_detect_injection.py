"""Processes that reach into others."""

from __future__ import annotations

import pytest
from detect_acts import TTY, box, flow, found, proc, started, system, worst

from leeward.detect.injection import Injection
from leeward.model.activity import Activity
from leeward.model.net import Endpoint
from leeward.model.process import Process

VICTIM = proc("/usr/sbin/nginx", workload="nginx")


@pytest.mark.parametrize(
    ("command", "number", "severity"),
    [
        ("python3 x.py", 16, "high"),
        ("/opt/x", 0x4206, "high"),
        ("/opt/x", 4, "high"),
        ("/opt/x", 0, ""),  # TRACEME
        ("/opt/x", 1, ""),  # PEEKTEXT
        ("gdb -p 1", 16, ""),
        ("strace -p 1", 0x4206, ""),
        ("py-spy dump -p 1", 0x4206, ""),
        ("/tmp/gdb -p 1", 16, "high"),
    ],
)
def test_ptrace(command: str, number: int, severity: str) -> None:
    assert worst(found(Injection(), system(proc(command), "ptrace", target=VICTIM, number=number))) == severity


def test_what_one_started_is_ones_own() -> None:
    parent = proc("/opt/harness")
    assert not found(Injection(), system(parent, "ptrace", target=proc("/opt/x", parent), number=16))
    assert not found(Injection(), system(parent, "vm-write", target=parent))
    helper = proc("sh -c x", proc("gdb -p 1"))
    assert not found(Injection(), system(helper, "ptrace", target=VICTIM, number=16))


def test_writes_into_memory() -> None:
    thief = proc("/opt/x", workload="x")
    told = found(
        Injection(), started(VICTIM), system(thief, "open", path=f"/proc/{VICTIM.pid}/mem", number=1, label="memory")
    )
    assert worst(told) == "high"
    assert told[0].subject["target"] == VICTIM.exe
    assert worst(found(Injection(), system(thief, "vm-write", target=VICTIM))) == "high"
    assert not found(Injection(), system(thief, "open", path=f"/proc/{VICTIM.pid}/mem", number=0, label="memory"))
    assert not found(Injection(), system(thief, "open", path=f"/proc/{thief.pid}/mem", number=1, label="memory"))
    assert not found(Injection(), system(thief, "vm-write", target=VICTIM, failed=True))


def test_ranks_of_one_parallel_program() -> None:
    one, two = (proc("/opt/mpi/solver", workload="job") for _ in range(2))
    assert not found(Injection(), system(one, "vm-write", target=two))
    assert (
        worst(found(Injection(), system(proc("/opt/mpi/solver", workload="other"), "vm-write", target=two))) == "high"
    )


def test_a_debugger_in_a_container_that_holds_the_hosts() -> None:
    gdb = proc("gdb -p 1", workload="pod", container=box())
    assert worst(found(Injection(), system(gdb, "ptrace", target=VICTIM, number=16))) == "medium"


def test_whose_work_a_debugger_is() -> None:
    """Another service's shell that uses one is odd; not a service that is one, a person, or who looks at what is its own."""

    def attached(gdb: Process, *before: Activity) -> str:
        return worst(found(Injection(), *before, system(gdb, "ptrace", target=VICTIM, number=16)))

    init = proc("/usr/lib/systemd/systemd", pid=1)
    shell = proc("sh -c x", proc("gunicorn app", init, workload="shop"))
    assert attached(proc("gdb -batch -p 1", shell)) == "medium"
    assert attached(proc("py-spy record -p 1", init, workload="profiler")) == ""
    assert attached(proc("gdb -batch -p 1", proc("sh -c x", proc("nginx", init, workload="nginx")))) == ""
    typed = proc("gdb -p 1", proc("bash", proc("/usr/sbin/sshd", init, workload="ssh")))
    assert attached(typed, started(typed, streams=TTY)) == ""


@pytest.mark.parametrize(
    ("variable", "severity"),
    [
        (("LD_PRELOAD", "/tmp/x.so"), "high"),
        (("LD_PRELOAD", "/usr/lib/a.so:/dev/shm/y"), "high"),
        (("NODE_OPTIONS", "--require /tmp/x.js"), "medium"),
        (("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"), ""),
        (("LD_PRELOAD", "libfakeroot-sysv.so"), ""),
        (("LD_PRELOAD", "/tmp/.mount_App123/usr/lib/x.so"), ""),
        (("NODE_OPTIONS", "--max-old-space-size=4096"), ""),
        (("OPENAI_BASE_URL", "http:/tmp/x"), ""),
    ],
)
def test_preloaded_libraries(variable: tuple[str, str], severity: str) -> None:
    assert worst(found(Injection(), started(proc("/usr/bin/app"), variables=(variable,)))) == severity


def test_a_library_for_every_program() -> None:
    seen = {"path": "/etc/ld.so.preload", "number": 1, "label": "persistence"}
    assert worst(found(Injection(), system(proc("/opt/x"), "open", **seen))) == "critical"
    assert not found(Injection(), system(proc("/usr/bin/dpkg -i x"), "open", **seen))
    assert worst(found(Injection(), system(proc("/opt/x", container=box()), "open", **seen))) == "medium"


NODE = proc("node /srv/payments/server.js", workload="payments")
SHELL = proc("sh -c 'kill -USR1 1; python3 x.py'", workload="portal")


def waiting(debugged: Process, port: int) -> Activity:
    listening = flow(debugged, "127.0.0.1:0", inbound=True)
    listening.flow.dst, listening.flow.state = Endpoint("127.0.0.1", port), "listening"
    return listening


@pytest.mark.parametrize(
    ("debugged", "port", "who", "severity"),
    [
        (NODE, 9229, proc("python3 /srv/portal/x.py", SHELL), "medium"),
        (proc("python3 /srv/api.py", workload="api"), 5678, proc("python3 /srv/portal/x.py", SHELL), "medium"),
        (proc("java -jar a.jar", workload="shop"), 5005, proc("/usr/bin/ncat 127.0.0.1 5005", SHELL), "medium"),
        (NODE, 5678, proc("python3 /srv/portal/x.py", SHELL), ""),  # n8n listens there
        (NODE, 9229, proc("node /srv/payments/health.js", workload="payments"), ""),
        (NODE, 9229, proc("/usr/share/code/code", proc("bash", workload="user")), ""),
    ],
)
def test_a_port_at_which_a_debugger_waits(debugged: Process, port: int, who: Process, severity: str) -> None:
    assert worst(found(Injection(), waiting(debugged, port), flow(who, f"127.0.0.1:{port}", 1, began=True))) == severity


def test_a_person_debugs() -> None:
    curl = proc("curl http://127.0.0.1:9229/json", proc("bash", workload="user"))
    assert not found(Injection(), waiting(NODE, 9229), started(curl, TTY), flow(curl, "127.0.0.1:9229", 1, began=True))
