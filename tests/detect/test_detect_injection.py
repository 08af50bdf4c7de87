"""Processes that reach into others."""

from __future__ import annotations

import msgspec
import pytest
from detect_acts import TTY, box, ended, flow, found, proc, started, system, worst
from hypothesis import given
from hypothesis import strategies as st

from leeward.detect.debuggers import options_ports
from leeward.detect.injection import Injection
from leeward.model.activity import Activity
from leeward.model.net import Endpoint
from leeward.model.process import Process, Workload

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


INIT = proc("/usr/lib/systemd/systemd", pid=1)
NODE = proc("node /srv/payments/server.js", INIT, workload="payments")
API = proc("python3 -m debugpy --listen 0.0.0.0:5680 app.py --port 8000", INIT, workload="api")
PORTAL = proc("gunicorn portal:app", INIT, workload="portal")
SHELL = proc("sh -c 'kill -USR1 1; python3 x.py'", PORTAL)


def debugged(
    target: Process, port: int, who: Process | None, *, answer: int = 200, src: str = "127.0.0.1"
) -> list[Activity]:
    """It begins to listen; somebody connects, and is answered with so many bytes."""
    listening = flow(target, "127.0.0.1:0", inbound=True)
    listening.flow.dst, listening.flow.state = Endpoint("127.0.0.1", port), "listening"
    opened = flow(target, f"{src}:41000", 1, inbound=True)
    said = flow(target, f"{src}:41000", 2, inbound=True, sent=answer + 4 * 52, began=False)
    for one in (opened, said):
        one.flow.dst = Endpoint("127.0.0.1", port)
    with_peer = [msgspec.structs.replace(one, peer=who, packets_out=4) for one in (opened, said)]
    return [listening, *with_peer]


def java(*options: str) -> Process:
    return proc(f"java {' '.join(options)} -jar shop.jar", INIT, workload="shop")


@pytest.mark.parametrize(
    ("target", "port", "severity"),
    [
        (NODE, 9229, "medium"),
        (NODE, 8097, ""),  # what it serves
        (proc("node --inspect=0.0.0.0:9400 app.js", INIT, workload="app"), 9400, "medium"),
        (proc("node --inspect-brk app.js", INIT, workload="app"), 9229, "medium"),
        (proc("node --inspect app.js 9400", INIT, workload="app"), 9400, ""),
        (API, 5680, "medium"),
        (API, 8000, ""),
        (
            proc("python3 /v/debugpy/adapter --for-server 40123 --host 127.0.0.1 --port 5678", workload="api"),
            5678,
            "medium",
        ),
        (proc("python3 /srv/api.py", INIT, workload="api"), 5678, ""),  # a service like any other
        (java("-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=*:8000"), 8000, "medium"),
        (java("-Xrunjdwp:transport=dt_socket,address=5005,server=y"), 5005, "medium"),
        (java("-Dserver.port=8000"), 8000, ""),
        (proc("dlv --listen=:40000 --headless exec ./app", INIT, workload="app"), 40000, "medium"),
        (proc("rdbg --open --port 4321 -- app.rb", INIT, exe="/usr/bin/ruby", workload="app"), 4321, "medium"),
    ],
)
def test_who_speaks_to_a_debugger(target: Process, port: int, severity: str) -> None:
    assert worst(found(Injection(), *debugged(target, port, proc("python3 /srv/portal/x.py", SHELL)))) == severity


def test_options_of_the_environment_count() -> None:
    plain, options = java(), (("JAVA_TOOL_OPTIONS", "-Xmx1g -agentlib:jdwp=transport=dt_socket,server=y,address=8787"),)
    spoken = debugged(plain, 8787, proc("nc 127.0.0.1 8787", SHELL))
    assert worst(found(Injection(), started(plain, variables=options), *spoken)) == "medium"
    assert not found(Injection(), started(plain), *spoken)
    assert not found(Injection(), started(plain, variables=options), ended(plain), *spoken)


@pytest.mark.parametrize("answer", [0, 8])
def test_an_open_port_is_no_talk(answer: int) -> None:
    assert not found(
        Injection(), *debugged(NODE, 9229, proc("/usr/bin/blackbox_exporter", workload="probe"), answer=answer)
    )


SSHD = proc("/usr/sbin/sshd", INIT, workload="ssh")
IDE = proc("/opt/idea/jbr/bin/java com.intellij.idea.Main", workload="user")


@pytest.mark.parametrize(
    ("who", "severity"),
    [
        (proc("/usr/share/code/code", proc("bash", workload="user")), ""),
        (
            proc(
                "node /x/js-debug/src/dapDebugServer.js",
                proc("/home/a/.vscode-server/bin/x/node server.js", workload="user"),
            ),
            "",
        ),
        (IDE, ""),
        (SSHD, ""),  # ssh -L
        (proc("docker-proxy -container-port 9229", INIT, workload="docker"), ""),
        (proc("node probe.js", proc("/actions-runner/bin/Runner.Worker", INIT, workload="runner")), ""),
        (proc("curl http://127.0.0.1:9229/json", proc("bash", proc("sshd-session", workload=""))), "low"),
        (proc("gdb -ex x", proc("sh -c x", PORTAL)), "medium"),
        (proc("ssh -R 9:127.0.0.1:9229 x@203.0.113.9", proc("sh -c x", PORTAL)), "medium"),
        (proc("node inspect 127.0.0.1:9229", SHELL), "medium"),
        (proc("node /srv/payments/health.js", INIT, workload="payments"), ""),  # the service itself
        (
            proc("wget -qO- 127.0.0.1:9229/json/version", proc("sh -c x", INIT, workload="payments")),
            "",
        ),  # its manager's check
        (proc("curl 127.0.0.1:9229/json", proc("sh -c x", proc("php-fpm", INIT, workload="payments"))), "medium"),
    ],
)
def test_whose_business_a_debugger_is(who: Process, severity: str) -> None:
    assert worst(found(Injection(), *debugged(NODE, 9229, who))) == severity


def test_a_person_debugs() -> None:
    curl = proc("curl http://127.0.0.1:9229/json", proc("bash", proc("sshd-session", workload="user")))
    assert not found(Injection(), started(curl, TTY), *debugged(NODE, 9229, curl))
    operator = proc("curl http://127.0.0.1:9229/json", proc("sh", proc("containerd-shim")), container=box())
    operator = msgspec.structs.replace(operator, workload=Workload("container:web", "web", "container"))
    assert worst(found(Injection(), started(operator, TTY), *debugged(NODE, 9229, operator))) == "low"
    got = proc("curl http://127.0.0.1:9229/json", SHELL)  # a pty in a service was made by whoever got into it
    assert worst(found(Injection(), started(got, TTY), *debugged(NODE, 9229, got))) == "medium"


def test_who_drives_a_browser() -> None:
    words = "/opt/google/chrome/chrome --remote-debugging-port=9333 --user-data-dir=/home/a/.config/google-chrome"
    persons, service = proc(words), proc(words, INIT, workload="browser")
    thief, scraper = proc("/opt/x/stealer"), proc("python3 /srv/scrape.py", INIT, workload="scrape")
    assert worst(found(Injection(), *debugged(persons, 9333, thief))) == "medium"
    assert not found(Injection(), *debugged(service, 9333, scraper))
    driver = proc("/usr/bin/chromedriver")
    assert not found(Injection(), *debugged(proc(words, driver), 9333, driver))
    runner = proc("/usr/bin/ctest")
    assert not found(Injection(), *debugged(proc(words, runner), 9333, proc("python3 t.py", runner)))


def test_a_stranger_speaks_to_a_debugger() -> None:
    assert worst(found(Injection(), *debugged(NODE, 9229, None, src="203.0.113.9"))) == "medium"
    assert not found(Injection(), *debugged(NODE, 9229, None, src="10.0.0.7"))


def test_what_waits_is_bounded() -> None:
    detector = Injection()
    for number in range(1100):
        found(detector, *debugged(proc("node x.js", workload="w", pid=50_000 + number), 9229, None))
    assert detector.counters["injection_debugged_evicted"] == 76


@given(st.lists(st.text(max_size=30), max_size=12), st.sampled_from(["java", "node", "python3", "chrome", "dlv"]))
def test_any_command_line(words: list[str], name: str) -> None:
    process = msgspec.structs.replace(proc(name), argv=(name, *words, "--inspect", *words, "jdwp=address=", *words))
    assert all(0 <= port < 100_000 for port in options_ports(process, (("NODE_OPTIONS", " ".join(words)),)))
