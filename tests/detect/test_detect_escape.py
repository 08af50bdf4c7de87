"""What a process in a container does to its host, and who may."""

from __future__ import annotations

from typing import Any

import pytest
from detect_acts import T0, box, flow, found, proc, started, system, worst

from leeward.detect.escape import Escape
from leeward.model.activity import FlowSeen
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Container, Process

SHIM = proc("/usr/bin/containerd-shim-runc-v2 -id x", workload="systemd:containerd")


def inside(command: str, container: Container | None = None, parent: Process | None = None) -> Process:
    return proc(command, parent or SHIM, workload="pod", container=container or box())


def severity(process: Process, kind: str, **more: Any) -> str:
    return worst(found(Escape(), system(process, kind, **more)))


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("mount", {"source": "/dev/sda1", "path": "/mnt", "label": "ext4"}, "critical"),
        ("mount", {"source": "/dev/nvme0n1p1", "path": "/mnt", "label": "xfs"}, "critical"),
        ("mount", {"source": "cgroup", "path": "/tmp/cgrp", "label": "cgroup"}, "high"),
        ("mount", {"source": "/proc/1/root", "path": "/mnt", "number": 4096}, "high"),
        ("mount", {"source": "tmpfs", "path": "/mnt", "label": "tmpfs"}, ""),
        ("mount", {"source": "overlay", "path": "/var/lib/docker/x", "label": "overlay"}, ""),
        ("mount", {"source": "", "path": "/", "number": 0x44000}, ""),
        ("namespace", {"label": "setns", "number": 0x20000}, "critical"),
        ("namespace", {"label": "setns", "number": 0}, "high"),
        ("namespace", {"label": "setns", "number": 0x40000000}, "low"),
        ("namespace", {"label": "setns", "number": 0x20000, "source": "mnt:[1]", "path": "host"}, "critical"),
        ("namespace", {"label": "setns", "number": 0x40000000, "source": "net:[1]", "path": "host"}, "medium"),
        ("namespace", {"label": "setns", "number": 0x20000, "source": "mnt:[2]"}, "medium"),
        ("namespace", {"label": "unshare", "number": 0x20000}, ""),
        ("open", {"path": "/data/disk", "label": "device", "number": 1}, "critical"),
        ("open", {"path": "/tmp/cgrp/release_agent", "number": 1, "label": "container-escape"}, "critical"),
        ("open", {"path": "/proc/sys/kernel/core_pattern", "number": 1, "label": "container-escape"}, "critical"),
        ("open", {"path": "/proc/sys/kernel/core_pattern", "number": 0}, ""),
        ("open", {"path": "/sys/kernel/uevent_helper", "number": 1}, "critical"),
        ("open", {"path": "/proc/sys/fs/binfmt_misc/register", "number": 1}, "high"),
        ("open", {"path": "/usr/sbin/runc", "number": 1, "label": "container-escape"}, "critical"),
        ("open", {"path": "/proc/self/exe", "number": 1, "label": "container-escape"}, "critical"),
        ("rename", {"path": "/usr/bin/docker-runc", "source": "/tmp/x", "label": "container-escape"}, "critical"),
        ("open", {"path": "/dev/sda", "number": 0}, "high"),
        ("open", {"path": "/dev/sda1", "number": 1}, "critical"),
        ("open", {"path": "/dev/null", "number": 1}, ""),
        ("open", {"path": "/dev/mem"}, "critical"),
        ("open", {"path": "/var/run/docker.sock", "number": 1, "label": "runtime-socket"}, "high"),
        ("module", {"source": "rootkit"}, "critical"),
        ("chroot", {"path": "/host"}, "medium"),
        ("chroot", {"path": "/proc/1/root"}, "high"),
        ("chroot", {"path": "/var/empty"}, ""),
        ("bpf", {"number": 5, "source": "x"}, "medium"),
        ("bpf", {"number": 1}, ""),
        ("mount", {"source": "/dev/sda1", "path": "/mnt", "failed": True}, ""),
    ],
)
def test_signs(kind: str, more: dict[str, Any], expected: str) -> None:
    assert severity(inside("bash -i"), kind, **more) == expected
    assert severity(proc("bash -i"), kind, **more) == ""  # not in a container


def test_a_process_outside() -> None:
    own, host, other = inside("python3 x"), proc("sshd"), inside("redis-server", Container("d" * 64, "db"))
    for target, expected in ((host, "critical"), (other, "critical"), (inside("app"), "")):
        assert severity(own, "ptrace", target=target, number=16) == expected
        assert severity(own, "vm-write", target=target) == expected
    assert severity(own, "ptrace", target=host, number=0) == ""


@pytest.mark.parametrize("exe", ["/usr/bin/runc", "/memfd:runc_cloned:/proc/self/exe (deleted)", "/usr/bin/crun"])
def test_the_runtime_before_the_entry_point_is_silent(exe: str) -> None:
    init = proc("runc init", SHIM, exe=exe, workload="pod", container=box())
    assert not severity(init, "mount", source="/dev/sda1", path="/data", label="ext4")
    assert not severity(init, "namespace", label="setns", number=0x20000)


def test_its_name_does_not_help_whoever_is_inside() -> None:
    fake = proc("runc init", inside("bash"), exe="/tmp/runc", workload="pod", container=box())
    assert severity(fake, "namespace", label="setns", number=0x20000) == "critical"
    named = proc("runc init", inside("bash"), exe="/usr/bin/runc", workload="pod", container=box())
    assert severity(named, "open", path="/usr/sbin/runc", number=1, label="container-escape") == "critical"


@pytest.mark.parametrize(
    "agent",
    [
        inside("/bin/calico-node -felix"),
        inside("mount -t ext4 /dev/sdb /x", parent=inside("/aws-ebs-csi-driver node")),
        inside("/opt/anything", box("x", "registry.example/our-csi:1", namespace="kube-system")),
        inside("/opt/anything", box("x", "registry.example/x:1", namespace="openshift-storage")),
    ],
)
def test_node_agents_are_low(agent: Process) -> None:
    assert severity(agent, "mount", source="/dev/sdb", path="/var/lib/kubelet/x", label="ext4") == "low"
    assert severity(agent, "namespace", label="setns", number=0x20000) == "low"
    assert severity(agent, "module", source="ip_vs") == "low"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("traefik", "low"),
        ("docker ps", "low"),
        ("curl --unix-socket /var/run/docker.sock x", "high"),
        ("python3 -c x", "high"),
        ("portainer", "low"),
    ],
)
def test_the_engines_socket(command: str, expected: str) -> None:
    who = inside(command)
    seen = FlowSeen(
        ts=T0,
        process=who,
        flow=Flow("f", T0, "unix", Endpoint("", 0), Endpoint("/var/run/docker.sock", 0), "outbound"),
        began=True,
    )
    assert worst(found(Escape(), seen)) == expected
    assert not found(Escape(), flow(who, "10.0.0.1:5432"))


def test_an_init_system_and_an_engine_in_a_container() -> None:
    for who in (
        inside("/usr/lib/systemd/systemd"),
        inside("mount -t cgroup x", parent=inside("sh /usr/local/bin/dind dockerd")),
    ):
        assert severity(who, "mount", source="cgroup", path="/sys/fs/cgroup/x", label="cgroup") == "low"


def test_sysctl_may_say_where_core_files_go() -> None:
    assert (
        severity(
            inside("sysctl -w kernel.core_pattern=/cores/%p"), "open", path="/proc/sys/kernel/core_pattern", number=1
        )
        == "low"
    )


# -- where a container ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "above",
    [
        ["runc run -d x", "runc init", "runc init"],
        ["/usr/bin/crun exec x"],
        ["/usr/bin/conmon -c x"],
        ["kubelet", "/usr/bin/containerd-shim-runc-v2 -id x", "tini -- app"],
        ["dockerd", "/usr/bin/containerd-shim-runc-v2 -id x", "docker-init -- app"],
    ],
)
def test_what_made_the_container_serves_nobody_in_it(above: list[str]) -> None:
    """It is above every container, and so is the node's own agent that asked it."""
    parent = None
    for command in above:
        parent = proc(command, parent, exe="/" if command == "runc init" else "")
    shell = inside("sh -c 'mount -t cgroup x /tmp/c'", parent=parent)
    assert severity(shell, "mount", source="cgroup", path="/tmp/c", label="cgroup") == "high"


def test_an_engine_inside_a_container_serves() -> None:
    engine = inside("dockerd", parent=proc("tini -- dockerd", SHIM, container=box()))
    helper = inside("iptables -L", parent=engine)
    assert severity(helper, "mount", source="cgroup", path="/sys/fs/cgroup", label="cgroup") == "low"


def test_the_root_of_another_process() -> None:
    inside = proc("sh -c 'cat /proc/8846/root/home/app/.ssh/id_ed25519'", container=box())
    assert worst(found(Escape(), started(inside))) == "medium"
    assert not found(Escape(), started(proc("cat /proc/8846/root/x")))
    assert not found(Escape(), started(proc("ls /proc/self/root/", container=box())))
