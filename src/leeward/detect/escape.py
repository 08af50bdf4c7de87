"""`container-escape`: what a process in a container does that is of use only outside of it.

What is structural about it: a container needs no block device, no other's namespaces, no engine's socket and none of the kernel's
usermode helpers to do its work. Node agents need some of them; they are known by name or namespace and told as low: the process
or those above it inside the container, for above its border stands the runtime that made it, as above every container. What the
runtime itself does inside the container before the entry point runs is not told. Invariants: stateless; pure.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import takewhile
from typing import Any

import msgspec

from leeward.detect.detector import occurrence
from leeward.detect.programs import anybodys, program, trusted, words_of
from leeward.detect.rule import rules
from leeward.model.activity import Activity, FlowSeen, Started, System
from leeward.model.finding import Finding
from leeward.model.process import Ancestor, Process
from leeward.model.times import iso

_RULE = "container-escape"
_BLOCK = re.compile(
    r"^/dev/(?:sd[a-z]|nvme\d|vd[a-z]|xvd[a-z]|hd[a-z]|mmcblk\d|dm-\d|mapper/(?!control)|md\d|disk/|block/|loop\d)"
)
_KERNEL_MEMORY = ("/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore")
_OUTSIDE = re.compile(
    r"^/proc/(?:1|self/root/proc/1)/(?:root|cwd|ns)(?:/|$)|^/(?:host|hostfs|rootfs|host-root|host_root|mnt/host|node-?root)(?:/|$)"
)
_SOCKET = re.compile(r"(?:docker|dockershim|containerd|crio|podman|cri-dockerd)\.sock(?:\.ttrpc)?$")
_RUNTIME = re.compile(r"(?:^|/)(?:docker-)?(?:runc|crun|containerd-shim[\w-]*)$|^/proc/(?:\d+|self)/exe$")
_INIT = (("runc", "init"), ("/proc/self/exe", "init"))
_MS_REMOUNT, _MS_BIND, _MS_MOVE, _MS_PROPAGATION = 32, 4096, 8192, 0x1E0000
_NEWNS, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
_KERNEL_SYSTEMS = frozenset({"cgroup", "debugfs", "tracefs", "securityfs", "devtmpfs", "bpf"})
_DISKS = frozenset({"ext4", "ext3", "ext2", "xfs", "btrfs", "vfat", "f2fs", "zfs"})
_ATTACH = frozenset(
    {4, 5, 6, 13, 16, 0x4205, 0x4206}
)  # POKETEXT, POKEDATA, POKEUSER, SETREGS, ATTACH, SETREGSET, SEIZE
#: Programs that begin a container's first process, or another beside it: they and what is above them stand outside.
_MAKERS = words_of(
    """runc docker-runc buildkit-runc sysbox-runc crun youki runsc kata-runtime conmon conmonrs crio-conmon lxc-start lxc-attach
    systemd-nspawn nvidia-container-runtime apptainer singularity starter starter-suid"""
)
#: First processes of containers, which are there whatever runs: they serve nobody's node.
_INITS = words_of("tini docker-init dumb-init catatonit")
_BY_HAND = ("shell", "downloader", "relay", "file-tool")

_ROOT = re.compile(r"/proc/\d+/(?:root|cwd)/")


class _Sign(msgspec.Struct, frozen=True):
    """about: ends the title. agent: do honest node agents do it? Then theirs is low."""

    kind: str
    about: str
    severity: str
    confidence: float
    agent: bool = True


class Escape:
    hears: tuple[type[Activity], ...] = (System, FlowSeen, Started)
    of_flows = "began"

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._namespaces = tuple(rules()[_RULE].settings["system_namespaces"])

    def feed(self, activity: Any) -> list[Finding]:
        process = activity.process
        if process.container is None:
            return []
        if type(activity) is FlowSeen:
            if activity.flow.proto != "unix" or not activity.began or not _SOCKET.search(activity.flow.dst.ip):
                return []
            sign = _socket(process, activity.flow.dst.ip)
            what: dict[str, Any] = {"type": "flow", "id": activity.flow.id, "dst": activity.flow.dst.ip}
        elif type(activity) is Started:
            sign, what = _beyond(process), {"type": "process", "dst": process.exe}
        else:
            if activity.failed:
                return []
            sign = _SIGNS[activity.kind](activity) if activity.kind in _SIGNS else None
            what = {
                "type": "system",
                "call": activity.kind,
                "path": activity.path,
                "source": activity.source,
                "number": activity.number,
            }
        if sign is None or _is_runtime(process):
            return []
        severity, confidence = sign.severity, sign.confidence
        starts = sign.kind.startswith("mount-") and trusted(process, ["service-manager"])
        if sign.agent and (starts or self._serves_node(process)):
            severity, confidence = "low", 0.3
        return [
            occurrence(
                _RULE, process, activity.ts, sign.about, same=[sign.kind, process.container.image],
                subject={"sign": sign.kind, "target": activity.path if type(activity) is System else what["dst"]},
                evidence=[{**what, "time": iso(activity.ts), "pid": process.pid}], severity=severity, confidence=confidence,
            )
        ]  # fmt: skip

    def tick(self, ts: int) -> list[Finding]:
        return []

    def _serves_node(self, process: Process) -> bool:
        container = process.container
        assert container is not None
        above = takewhile(lambda one: not _of_host(one), process.ancestors[:12])
        if _serves(process) or any(_serves(one) for one in above):
            return True
        names = container.pod_namespace
        return any(names == one or (one.endswith("-") and names.startswith(one)) for one in self._namespaces if names)


def _beyond(process: Process) -> _Sign | None:
    """Does it name what is beyond another process's root? Only its words say so: the kernel tells paths as they are there."""
    root = next((found for word in process.argv[1:] if (found := _ROOT.search(word))), None)
    if root is None:
        return None
    return _Sign("other-root", f"{program(process).name} went through {root[0]}", "medium", 0.6)


def _serves(one: Process | Ancestor) -> bool:
    """Is it a node agent or a container engine?"""
    return trusted(one, ["node-agent", "container-runtime"]) and program(one).name not in _INITS


def _of_host(one: Ancestor) -> bool:
    """Is it the container's border or beyond: what made it, or the host's first process? The runtime runs as `runc init` from
    memory before it becomes the entry point."""
    name = program(one).name
    return name.startswith("containerd-shim") or name in _MAKERS or one.argv[:2] in _INIT or one.pid == 1


def _is_runtime(process: Process) -> bool:
    """Is it the runtime before it became the entry point? It has the runtime's program, and was started by the runtime."""
    made = program(process)
    above = process.ancestors[0] if process.ancestors else None
    started = above is None or program(above).any(["container-runtime"])
    own = "container-runtime" in made.kinds or process.argv[:2] in _INIT or "runc" in process.exe
    return own and started and not (anybodys(process.exe) and "memfd:" not in process.exe)


def _mount(activity: System) -> _Sign | None:
    path, source, kind, flags = activity.path, activity.source, activity.label, activity.number
    if flags & (_MS_PROPAGATION | _MS_MOVE) and not source.startswith("/dev/"):
        return None
    if _BLOCK.match(source) or (kind in _DISKS and not flags & (_MS_BIND | _MS_REMOUNT)):
        return _Sign("mount-disk", f"mounted {source or kind} on {path}", "critical", 0.85)
    if kind in _KERNEL_SYSTEMS:
        return _Sign(f"mount-{kind}", f"mounted the kernel's {kind} on {path}", "high", 0.7)
    if flags & _MS_BIND and (_OUTSIDE.match(source) or source == "/"):
        return _Sign("mount-host", f"mounted {source} of the host on {path}", "high", 0.6)
    return None


def _namespace(activity: System) -> _Sign | None:
    if activity.label != "setns":
        return None
    flags, whose = activity.number, activity.source or "namespaces"
    if activity.source and activity.path != "host":
        return _Sign("enter-other", f"entered {whose}, which is neither its own nor the host's", "medium", 0.5)
    if flags and not flags & (_NEWNS | _NEWPID | _NEWUSER):
        return _Sign(
            "enter-network", f"entered {whose} of the host", "medium" if activity.path == "host" else "low", 0.5
        )
    return _Sign("enter-namespace", f"entered {whose} of the host", "critical" if flags & _NEWNS else "high", 0.85)


def _open(activity: System) -> _Sign | None:
    path, writes = activity.path, bool(activity.number) or activity.kind == "rename"
    if activity.label == "device" or _BLOCK.match(path):
        return _Sign("disk", f"opened the disk {path}", "high" if not writes else "critical", 0.85)
    if path in _KERNEL_MEMORY:
        return _Sign("kernel-memory", f"opened the kernel's memory {path}", "critical", 0.9)
    if activity.label == "runtime-socket" or _SOCKET.search(path):
        return _socket(activity.process, path)
    return _written(activity, path) if writes else None


def _written(activity: System, path: str) -> _Sign | None:
    made = program(activity.process)
    if _RUNTIME.search(path) and activity.label in ("container-escape", ""):
        return _Sign("runtime", f"wrote into the container runtime's program {path}", "critical", 0.9, agent=False)
    if path.endswith(("/release_agent", "/uevent_helper", "/sysrq-trigger", "/sys/kernel/modprobe", "/devices.allow")):
        return _Sign("kernel-helper", f"wrote {path}", "critical", 0.9)
    if path.endswith("/notify_on_release"):
        return _Sign("kernel-helper", f"wrote {path}", "high", 0.8)
    if path.endswith("/core_pattern"):
        by_sysctl = made.name in ("sysctl", "systemd-sysctl")
        return _Sign("core-pattern", f"wrote {path}", "low" if by_sysctl else "critical", 0.3 if by_sysctl else 0.9)
    if path.endswith("/binfmt_misc/register"):
        known = made.name in ("binfmt", "qemu-binfmt-conf", "update-binfmts", "systemd-binfmt")
        return _Sign(
            "binfmt", f"registered a program of its own with the kernel ({path})", "low" if known else "high", 0.7
        )
    return None


def _socket(process: Process, path: str) -> _Sign | None:
    """The engine's socket: who speaks to it can start containers with any rights."""
    made = program(process)
    by_hand = made.any(_BY_HAND) or (made.script is not None and made.script.kind in ("code", ""))
    severity, confidence = ("high", 0.8) if by_hand else ("low", 0.4)
    return _Sign(
        "engine-socket", f"{made.name} spoke to the container engine ({path})", severity, confidence, agent=not by_hand
    )


def _module(activity: System) -> _Sign:
    return _Sign("module", f"loaded a kernel module {activity.path or activity.source}".rstrip(), "critical", 0.9)


def _other(activity: System) -> _Sign | None:
    """ptrace, process_vm_writev, a signal: to a process outside of this container."""
    target, process = activity.target, activity.process
    if target is None or not target.pid or activity.kind == "kill":
        return None
    if activity.kind == "ptrace" and activity.number not in _ATTACH:
        return None
    theirs = target.container.id if target.container is not None else ""
    if process.container is None or theirs == process.container.id:
        return None
    where = "of another container" if theirs else "of the host"
    return _Sign("other-process", f"took hold of the process {target.exe or target.pid} {where}", "critical", 0.9)


def _chroot(activity: System) -> _Sign | None:
    if not _OUTSIDE.match(activity.path):
        return None
    return _Sign(
        "chroot", f"made {activity.path} its root", "high" if activity.path.startswith("/proc/") else "medium", 0.6
    )


def _bpf(activity: System) -> _Sign | None:
    """Socket filters (type 1) are everybody's."""
    return (
        _Sign("bpf", f"loaded a BPF program {activity.source}".rstrip(), "medium", 0.5) if activity.number > 1 else None
    )


_SIGNS = {
    "mount": _mount,
    "namespace": _namespace,
    "open": _open,
    "rename": _open,
    "module": _module,
    "ptrace": _other,
    "vm-write": _other,
    "chroot": _chroot,
    "bpf": _bpf,
}
