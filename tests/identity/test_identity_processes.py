"""The table over a /proc made of files: events, reuse, images, inheritance, bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_proc import BOOT, SECOND, TICK, Host, at

from leeward.identity import processes as table_module
from leeward.identity.entries import IMAGES
from leeward.model.process import Workload
from leeward.model.raw import ProcessExec, ProcessExited, ProcessStarted

A, B = "a" * 64, "b" * 64
IN_DOCKER = f"0::/docker/{A}\n".encode()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.process(1, 0, 0.1, ("/sbin/init",))
    return host


def started(pid: int, ppid: int, seconds: float) -> ProcessStarted:
    return ProcessStarted(at(seconds), pid, ppid, int(seconds * SECOND) + 1234)


def execs(
    pid: int,
    ppid: int,
    start: float,
    argv: tuple[str, ...],
    exe: str = "",
    when: float | None = None,
    uid: int = 0,
    cut: bool = False,
    cgroup: str = "",
) -> ProcessExec:
    when = start if when is None else when
    return ProcessExec(at(when), pid, ppid, int(start * SECOND) + 1234, uid, exe or argv[0], argv, cut, cgroup=cgroup)


def exited(pid: int, seconds: float) -> ProcessExited:
    return ProcessExited(at(seconds), pid)


def docker(host: Host, container: str = A, name: str = "agent") -> None:
    state = {"Name": f"/{name}", "Config": {"Image": "a/b:1"}, "Image": "sha256:77"}
    host.json(f"/var/lib/docker/containers/{container}/config.v2.json", state)


# -- what /proc says ---------------------------------------------------------------------------------------------------


def test_scan_finds_what_runs(host: Host) -> None:
    host.process(40, 30, 3, ("python", "agent.py"), "/usr/bin/python3.11", "/app", 1000, b"0::/user.slice/x.scope\n")
    host.process(30, 1, 2, ("bash",), "/bin/bash")
    table = host.table()
    table.scan()
    process = table.get(40, at(9))
    assert (process.pid, process.start_ns, process.exe) == (40, 3 * SECOND, "/usr/bin/python3.11")
    assert (process.argv, process.cwd, process.uid, process.user) == (("python", "agent.py"), "/app", 1000, "ana")
    assert (process.cgroup, process.container) == ("/user.slice/x.scope", None)
    assert process.workload == Workload("exe:/usr/bin/python3.11:/app/agent.py", "python agent.py", "executable")
    assert [(a.pid, a.exe, a.argv) for a in process.ancestors] == [
        (30, "/bin/bash", ("bash",)),
        (1, "/sbin/init", ("/sbin/init",)),
    ]
    assert table.counters["process_adopted"] == 3


def test_a_process_that_no_event_told_of_is_looked_for_when_asked(host: Host) -> None:
    table = host.table()
    assert table.get(50, at(5)).exe == ""
    host.process(50, 1, 5.5, ("late",), "/bin/late")
    assert table.get(50, at(5.6)).exe == ""  # asked a moment ago
    assert table.get(50, at(6.1)).exe == "/bin/late"


def test_nothing_known(host: Host) -> None:
    process = host.table().get(99, at(1))
    assert (process.pid, process.exe, process.uid, process.workload.id) == (99, "", -1, "")
    assert host.table().get(0, at(1)).workload.id == ""


def test_who_has_the_pid_now_did_not_have_it_then(host: Host) -> None:
    host.process(50, 1, 100, ("new",), "/bin/new")
    table = host.table()
    assert table.get(50, at(50)).exe == ""
    assert table.counters["process_reused_pid"] == 1
    assert table.get(50, at(101)).exe == "/bin/new"
    assert table.get(50, at(50)).exe == ""


def test_kernel_threads_have_their_task_name(host: Host) -> None:
    host.process(2, 0, 0, comm="kworker/0:1-events", flags=0x00200000)
    assert host.table().get(2, at(1)).workload == Workload("exe:[kworker]", "[kworker]", "executable")


def test_malformed_stat_is_no_process(host: Host) -> None:
    host.process(50)
    (host.proc / "50/stat").write_text("50 (x")
    table = host.table()
    table.scan()
    assert table.get(50, at(1)).exe == ""
    assert table.counters["process_malformed_stat"] == 2


# -- exec --------------------------------------------------------------------------------------------------------------


def test_exec_reads_the_rest_from_proc(host: Host) -> None:
    table = host.table()
    table.feed(started(60, 1, 5))
    host.process(60, 1, 5, ("python", "a.py"), "/usr/bin/python3.11", "/app", 1000, b"0::/system.slice/a.service\n")
    table.feed(execs(60, 1, 5, ("python", "a.py"), "/usr/bin/python3", 5.01, 1000))
    process = table.get(60, at(6))
    assert (process.exe, process.cwd, process.user) == ("/usr/bin/python3.11", "/app", "ana")
    assert process.workload == Workload("systemd:a.service", "a.service", "systemd")
    assert process.start_ns == 5 * SECOND


def test_what_vanished_is_known_by_its_event_and_its_parent(host: Host) -> None:
    docker(host)
    host.process(30, 1, 2, ("bash",), "/bin/bash", "/work", 0, IN_DOCKER)
    table = host.table()
    table.scan()
    table.feed(started(60, 30, 5))
    table.feed(execs(60, 30, 5, ("curl", "x"), "./curl", 5.01, 33))
    process = table.get(60, at(5.02))
    assert (process.exe, process.argv, process.cwd, process.uid) == ("/work/curl", ("curl", "x"), "/work", 33)
    assert process.container is not None
    assert process.workload.id == "container:agent@a/b"
    assert [a.pid for a in process.ancestors] == [30, 1]
    assert table.counters["exec_vanished"] == 1


def test_exec_of_a_process_whose_fork_was_not_seen(host: Host) -> None:
    host.process(30, 1, 2, ("bash",), "/bin/bash", "/work")
    table = host.table()
    table.feed(execs(60, 30, 5, ("curl",), "/bin/curl", 5.5, 33))
    process = table.get(60, at(5.6))
    assert (process.exe, process.cwd, process.start_ns) == ("/bin/curl", "/work", 5 * SECOND)
    assert [a.pid for a in process.ancestors] == [30, 1]
    assert table.get(60, at(5.1)).exe == "/bin/curl"  # of the time before nothing else is known


def test_exec_chain_is_told_apart_by_time(host: Host) -> None:
    table = host.table()
    host.process(30, 1, 2, ("bash",), "/bin/bash")
    table.scan()
    table.feed(started(60, 30, 5))
    for n, name in enumerate(("/bin/sh", "/usr/bin/env", "/bin/agent"), 1):
        table.feed(execs(60, 30, 5, (name,), when=5 + n))
    seen = [table.get(60, at(seconds)).exe for seconds in (5.5, 6.5, 7.5, 8.5, 6.5, 5.5)]
    assert seen == ["/bin/bash", "/bin/sh", "/usr/bin/env", "/bin/agent", "/bin/sh", "/bin/bash"]


def test_only_the_last_images_are_kept(host: Host) -> None:
    table = host.table()
    for n in range(IMAGES + 3):
        table.feed(execs(60, 1, 5, (f"/bin/p{n}",), when=5 + n))
    assert table.get(60, at(5)).exe == "/bin/p3"
    assert table.get(60, at(99)).exe == f"/bin/p{IMAGES + 2}"
    assert table.counters["process_image_dropped"] == 3


def test_proc_is_not_believed_when_it_is_further_than_the_event(host: Host) -> None:
    """sh execs python at once: when sh's event is read, /proc shows python already."""
    table = host.table()
    host.process(60, 1, 5, ("python", "a.py"), "/usr/bin/python3.11", "/app", 0, b"0::/system.slice/a.service\n")
    table.feed(execs(60, 1, 5, ("sh", "run.sh"), "/bin/sh", 5.01))
    table.feed(execs(60, 1, 5, ("python", "a.py"), "/usr/bin/python3", 5.02))
    assert table.get(60, at(5.015)).exe == "/bin/sh"
    assert table.get(60, at(5.03)).exe == "/usr/bin/python3.11"
    assert table.counters["exec_overtaken"] == 1


def test_arguments_that_the_sensor_cut_are_completed(host: Host) -> None:
    table = host.table()
    argv = ("prog", "é" * 20, "last")
    host.process(60, 1, 5, argv, "/bin/prog")
    table.feed(execs(60, 1, 5, ("prog", "é" * 9 + "?"), "/bin/prog", cut=True))
    assert table.get(60, at(6)).argv == argv
    host.process(61, 1, 5, argv, "/bin/prog")
    table.feed(execs(61, 1, 5, ("prog", "other"), "/bin/wrong", cut=True))
    assert table.get(61, at(6)).exe == "/bin/wrong"


def test_a_file_name_leads_where_it_led_before(host: Host) -> None:
    table = host.table()
    host.process(60, 1, 5, ("python",), "/usr/bin/python3.11")
    table.feed(execs(60, 1, 5, ("python",), "/usr/bin/python3"))
    table.feed(execs(61, 1, 6, ("python",), "/usr/bin/python3"))
    assert table.get(61, at(6)).exe == "/usr/bin/python3.11"


def test_a_vanished_script_is_its_interpreter(host: Host) -> None:
    """For "#!/usr/bin/node" the kernel names the script, and puts the interpreter into argv."""
    table = host.table()
    table.feed(execs(60, 1, 5, ("/usr/bin/node", "/app/agent"), "/app/agent"))
    assert table.get(60, at(6)).workload.id == "exe:/usr/bin/node:/app/agent"


def test_exec_by_another_thread_after_the_leaders_exit(host: Host) -> None:
    table = host.table()
    table.feed(execs(60, 1, 5, ("/bin/a",)))
    table.feed(exited(60, 6))
    table.feed(execs(60, 1, 5, ("/bin/b",), when=6.01))
    host.process(60, 1, 5, ("/bin/b",))
    assert table.alive(60)
    assert table.get(60, at(7)).exe == "/bin/b"


# -- fork, exit, reuse -------------------------------------------------------------------------------------------------


def test_fork_without_exec_inherits(host: Host) -> None:
    docker(host)
    host.process(30, 1, 2, ("gunicorn", "app"), "/usr/bin/python3.11", "/app", 1000, IN_DOCKER)
    table = host.table()
    table.scan()
    table.feed(started(60, 30, 5))
    parent, child = table.get(30, at(6)), table.get(60, at(6))
    assert (child.exe, child.argv, child.cwd, child.uid) == (parent.exe, parent.argv, parent.cwd, parent.uid)
    assert (child.cgroup, child.container, child.workload) == (parent.cgroup, parent.container, parent.workload)
    assert [a.pid for a in child.ancestors] == [30, 1]
    assert child.start_ns == 5 * SECOND


def test_a_worker_that_gave_up_root_is_seen_as_it_is(host: Host) -> None:
    host.process(30, 1, 2, ("nginx",), "/usr/sbin/nginx", uid=0)
    table = host.table()
    table.scan()
    table.feed(started(60, 30, 5))
    host.process(60, 30, 5, ("nginx: worker",), "/usr/sbin/nginx", uid=1000, cgroup=b"0::/system.slice/nginx.service\n")
    child = table.get(60, at(6))
    assert (child.uid, child.user, child.argv) == (1000, "ana", ("nginx",))
    assert child.workload.id == "systemd:nginx.service"


def test_an_ancestor_that_is_gone_is_remembered(host: Host) -> None:
    table = host.table()
    table.feed(execs(60, 1, 5, ("sh", "-c", "x"), "/bin/sh"))
    table.feed(started(61, 60, 5.1))
    table.feed(exited(60, 5.2))
    table.feed(execs(60, 1, 900, ("other",), "/bin/other"))
    assert [(a.pid, a.exe) for a in table.get(61, at(901)).ancestors] == [(60, "/bin/sh"), (1, "/sbin/init")]


def test_a_pid_used_again_is_another_process(host: Host) -> None:
    table = host.table()
    table.feed(execs(60, 1, 5, ("/bin/old",)))
    table.feed(exited(60, 6))
    table.feed(execs(60, 1, 7, ("/bin/new",)))
    seen = [table.get(60, at(seconds)) for seconds in (5.5, 6.5, 7.5)]
    assert [p.exe for p in seen] == ["/bin/old", "/bin/old", "/bin/new"]
    assert [p.start_ns for p in seen] == [5 * SECOND, 5 * SECOND, 7 * SECOND]


def test_a_pid_used_again_without_an_exit_seen(host: Host) -> None:
    table = host.table()
    table.feed(execs(60, 1, 5, ("/bin/old",)))
    table.feed(started(60, 1, 7))
    assert table.get(60, at(8)).exe == "/sbin/init"
    assert table.get(60, at(6)).exe == "/bin/old"
    assert table.counters["process_exit_missed"] == 1


def test_a_pid_whose_new_owner_no_event_told_of(host: Host) -> None:
    table = host.table()
    table.feed(execs(60, 1, 5, ("/bin/old",)))
    table.feed(exited(60, 6))
    host.process(60, 1, 7, ("/bin/new",))
    assert table.get(60, at(6.5)).exe == "/bin/old"
    assert table.get(60, at(9)).exe == "/bin/new"


def test_threads_that_outlive_their_leader_keep_its_name(host: Host) -> None:
    table = host.table()
    host.process(60, 1, 5, ("/bin/a",))
    table.feed(execs(60, 1, 5, ("/bin/a",)))
    table.feed(exited(60, 6))
    assert table.get(60, at(30)).exe == "/bin/a"
    assert table.counters["process_adopted"] == 1  # init only


@pytest.mark.parametrize("off", [0, 1, TICK - 1, TICK])
def test_start_times_are_equal_within_a_tick(host: Host, off: int) -> None:
    host.process(60, 1, 5, ("/bin/a",))
    table = host.table()
    table.scan()
    table.feed(ProcessStarted(at(5), 60, 1, 5 * SECOND + off))
    assert table.counters["process_known"] == 1


def test_scan_beside_events_makes_no_doubles(host: Host) -> None:
    table = host.table()
    host.process(60, 1, 5, ("/bin/b",))
    table.scan()
    table.feed(started(60, 1, 5))
    table.feed(execs(60, 1, 5, ("/bin/b",), when=5.01))
    table.scan()
    assert (table.counters["process_adopted"], table.counters["process_known"]) == (2, 1)
    assert table.get(60, at(6)).exe == "/bin/b"


def test_alive(host: Host) -> None:
    table = host.table()
    table.feed(execs(60, 1, 5, ("/bin/a",)))
    assert not table.alive(60)
    host.process(60, 1, 5)
    assert table.alive(60)
    host.process(60, 1, 8)
    assert not table.alive(60)  # another process by now
    host.process(60, 1, 5, state="Z")
    assert not table.alive(60)
    host.process(60, 1, 5, state="Z", threads=2)
    assert table.alive(60)
    table.feed(exited(60, 9))
    assert not table.alive(60)


# -- ancestors ---------------------------------------------------------------------------------------------------------


def test_ancestors_are_bounded_and_loops_end(host: Host) -> None:
    for n in range(30):
        host.process(100 + n, 99 + n if n else 1, 2 + n)
    host.process(200, 201)
    host.process(201, 200)
    host.process(300, 300)
    table = host.table()
    table.scan()
    assert [a.pid for a in table.get(129, at(99)).ancestors] == list(range(128, 112, -1))
    assert [a.pid for a in table.get(200, at(99)).ancestors] == [201]
    assert 201 not in [a.pid for a in table.get(201, at(99)).ancestors]
    assert table.get(300, at(99)).ancestors == ()


def test_asked_for_the_last_of_a_long_chain_first(host: Host) -> None:
    for n in range(30):
        host.process(100 + n, 99 + n if n else 1, 2 + n)
    assert len(host.table().get(129, at(99)).ancestors) == 16


# -- containers --------------------------------------------------------------------------------------------------------


def test_container_is_looked_for_again_when_it_was_not_found(host: Host) -> None:
    host.process(60, 1, 5, ("/bin/a",), cgroup=IN_DOCKER)
    table = host.table()
    process = table.get(60, at(6))
    assert process.container is not None
    assert (process.container.id, process.workload.id) == (A, f"container:{A[:12]}@")
    docker(host)
    assert table.get(60, at(7)).workload.id == f"container:{A[:12]}@"
    assert table.get(60, at(10)).workload.id == "container:agent@a/b"


def test_the_user_of_a_container_is_not_named_by_the_host(host: Host) -> None:
    docker(host)
    host.process(60, 1, 5, uid=1000, cgroup=IN_DOCKER)
    host.process(61, 1, 5, uid=0, cgroup=IN_DOCKER)
    table = host.table()
    assert (table.get(60, at(6)).user, table.get(61, at(6)).user) == ("1000", "root")


def test_docker_in_docker_has_the_inner_id_and_the_outer_workload(host: Host) -> None:
    docker(host)
    host.process(60, 1, 5, cgroup=f"0::/docker/{A}/docker/{B}\n".encode())
    process = host.table().get(60, at(6))
    assert process.container is not None
    assert process.container.id == B
    assert process.workload.id == "container:agent@a/b"


def shim(host: Host, name: str = "agent", uid: int = 0) -> None:
    argv = ("/usr/bin/containerd-shim-runc-v2", "-namespace", "default", "-id", name, "-address", "/run/x.sock")
    host.process(30, 1, 2, argv, uid=uid)


def test_a_shim_above_names_the_container(host: Host) -> None:
    host.json("/run/containerd/io.containerd.runtime.v2.task/default/agent/config.json", {})
    shim(host)
    host.process(40, 30, 3, ("/bin/agent",))
    host.process(41, 40, 4, ("/bin/tool",))
    table = host.table()
    for pid in (40, 41):
        process = table.get(pid, at(6))
        assert process.container is not None
        assert process.container.id == "agent"
    assert table.get(30, at(6)).container is None
    table.feed(execs(42, 30, 6, ("runc", "exec"), "/usr/sbin/runc"))
    host.process(42, 30, 6, ("runc", "exec"), "/usr/sbin/runc")
    assert table.get(42, at(7)).container is None


def test_what_vanished_below_a_shim_is_in_its_container(host: Host) -> None:
    """`docker exec` of a program of milliseconds: its cgroup is gone before it can be read."""
    host.json("/run/containerd/io.containerd.runtime.v2.task/default/agent/config.json", {})
    shim(host)
    table = host.table()
    table.scan()
    table.feed(execs(50, 30, 5, ("runc", "exec", "agent"), "/usr/sbin/runc"))
    table.feed(execs(51, 50, 5, ("runc", "init"), "/proc/self/exe"))
    table.feed(execs(52, 51, 5, ("id",), "/usr/bin/id"))
    process = table.get(52, at(6))
    assert process.container is not None
    assert process.container.id == "agent"
    assert table.get(50, at(6)).container is None
    assert table.get(51, at(6)).container is None


@pytest.mark.parametrize(
    ("group", "container"),
    [(f"docker-{A}.scope", A), (A, A), ("a.service", ""), ("user.slice", ""), ("", ""), ("x\n0::/docker/y", "")],
)
def test_what_vanished_is_where_the_kernel_said(host: Host, group: str, container: str) -> None:
    docker(host)
    host.process(30, 1, 2, ("runc", "exec"), "/usr/sbin/runc")
    table = host.table()
    table.scan()
    table.feed(execs(60, 30, 5, ("id",), "/usr/bin/id", cgroup=group))
    process = table.get(60, at(6))
    assert (process.container.id if process.container else "") == container
    assert process.workload.id == ("container:agent@a/b" if container else "exe:/usr/bin/id")


def test_a_users_program_that_is_called_shim_names_nothing(host: Host) -> None:
    host.json("/run/containerd/io.containerd.runtime.v2.task/default/agent/config.json", {})
    shim(host, uid=1000)
    host.process(40, 30, 3, ("/bin/agent",))
    assert host.table().get(40, at(6)).container is None


def test_conmon_above_names_a_rootless_container(host: Host) -> None:
    entry = {"id": A, "names": ["agent"], "image": "77", "metadata": ""}
    host.json("/home/ana/.local/share/containers/storage/overlay-containers/containers.json", [entry])
    host.process(30, 1, 2, ("conmon", "--api-version", "1", "-c", A, "-n", "agent"), "/usr/bin/conmon", uid=1000)
    host.process(40, 30, 3, ("/bin/agent",), uid=1000)
    process = host.table().get(40, at(6))
    assert process.container is not None
    assert process.container.name == "agent"


def test_possible_names_that_no_runtime_knows_are_no_containers(host: Host) -> None:
    host.process(60, 1, 5, ("/bin/a",), cgroup=b"4:memory:/process_api/0e8b37e433b6d712872c00a4906a6018\n0::/\n")
    process = host.table().get(60, at(6))
    assert (process.container, process.workload.id) == (None, "exe:/bin/a")


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_running_processes_are_bounded(host: Host) -> None:
    table = host.table(limit=10)
    for pid in range(100, 150):
        table.feed(execs(pid, 1, 5, (f"/bin/p{pid}",)))
    assert table.counters["process_evicted"] == 41  # init was taken in, too
    assert table.get(149, at(6)).exe == "/bin/p149"
    assert table.get(100, at(6)).exe == ""


def test_exited_processes_are_bounded_by_age_and_number(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "EXITED_KEPT", 3)
    table = host.table()
    for pid in range(100, 105):
        table.feed(execs(pid, 1, 5, (f"/bin/p{pid}",)))
        table.feed(exited(pid, 6))
    assert [table.get(pid, at(6)).exe for pid in range(100, 105)] == ["", "", "/bin/p102", "/bin/p103", "/bin/p104"]
    table.feed(started(200, 1, 6 + 601))
    assert table.get(104, at(6)).exe == ""
    assert table.counters["process_forgotten"] == 5


def test_arguments_are_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "ARGV_BUDGET", 3000)
    table = host.table()
    sizes = []
    for pid in range(100, 106):
        table.feed(execs(pid, 1, 5, ("x" * 5000, "y")))
        sizes.append(len("".join(table.get(pid, at(6)).argv)))
    assert sizes == [2048, 2048, 128, 128, 128, 128]
    for pid in range(100, 106):
        table.feed(exited(pid, 7))
    table.feed(started(90, 1, 700))
    table.feed(execs(91, 1, 700, ("x" * 5000,)))
    assert len(table.get(91, at(701)).argv[0]) == 2048


def test_namesakes_without_start_times_leave_nothing_behind(host: Host) -> None:
    """Where the kernel's start time could not be read, two processes of one tick look alike: the later one stays."""
    table = host.table()
    for n in range(50):
        table.feed(ProcessExec(at(5) + n, 60, 1, 0, 0, f"/bin/p{n}", (f"p{n}",)))
        table.feed(ProcessExited(at(5) + n, 60))
    assert table.get(60, at(5.5)).exe == "/bin/p49"
    table.feed(started(90, 1, 700))
    assert table.get(60, at(5.5)).exe == ""


_EVENTS = st.lists(
    st.one_of(
        st.builds(ProcessStarted, st.integers(0, 2**62), st.integers(-1, 9), st.integers(-1, 9), st.integers(0, 2**62)),
        st.builds(
            ProcessExec,
            st.integers(0, 2**62),
            st.integers(-1, 9),
            st.integers(-1, 9),
            st.sampled_from([0, 1, SECOND, 2**63]),
            st.integers(-1, 5),
            st.text(max_size=4),
            st.lists(st.text(max_size=3), max_size=3).map(tuple),
            st.booleans(),
        ),
        st.builds(ProcessExited, st.integers(0, 2**62), st.integers(-1, 9)),
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_EVENTS, st.integers(0, 2**62))
def test_any_events(tmp_path: Path, events: list[ProcessStarted | ProcessExec | ProcessExited], ts: int) -> None:
    if not (tmp_path / "host").exists():
        Host(tmp_path / "host").process(3, 4)
    table = table_module.ProcessTable(tmp_path / "host/proc", limit=5, boot_offset=BOOT)
    for event in events:
        table.feed(event)
        table.get(event.pid, ts)
    for pid in range(-1, 10):
        process = table.get(pid, ts)
        assert process.pid == pid
        assert len(process.ancestors) <= 16
        table.alive(pid)


def test_the_same_answer_is_the_same_object(host: Host) -> None:
    """A hit costs no read: what was answered once is handed out again."""
    host.process(60, 1, 5)
    table = host.table()
    first = table.get(60, at(6))
    host.gone(60)
    assert table.get(60, at(7)) is first
