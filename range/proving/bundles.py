"""Containers in a scenario: runc, a root file system of this host's /usr (read-only), the scenario's network, a cgroup as Docker
makes them. Nothing is left when it has ended."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proving.world import Actor, ScenarioError, World

_FEW = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
]
"""Most of what Docker gives by default."""
_NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
"""By their numbers (linux/capability.h)."""


def _ours() -> list[str]:
    """Those that we have and may hand on: what `docker run --privileged` gives."""
    lines = Path("/proc/self/status").read_text().splitlines()
    held = int(next(line for line in lines if line.startswith("CapBnd")).split()[1], 16)
    return [f"CAP_{name}" for number, name in enumerate(_NAMES) if held >> number & 1]


@dataclass
class Container:
    """id: 64 hexadecimal digits, as the runtime's cgroup is called."""

    world: World
    id: str
    shim: Actor
    _count: int = 0

    def execute(self, *argv: str, code: int | None = 0, timeout: float = 20) -> str:
        """Runs a program in it, as `docker exec` does; what it said. ScenarioError if its exit status is not `code`."""
        self._count += 1
        where = f"{self._bundle}/{self._count}"
        with self.world.path(f"{self._bundle}/orders").open("r+b", buffering=0) as orders:
            orders.write(json.dumps({"argv": argv, "out": where}).encode() + b"\n")
        done = self.world.path(f"{where}.code")
        self.world.wait(done.exists, f"{argv[0]} in the container goes on", timeout)
        said = self.world.path(where).read_text(errors="replace")
        if code is not None and int(done.read_text()) != code:
            raise ScenarioError(f"{argv[0]} in the container ended with {done.read_text()}: {said[-300:]}")
        return said

    def said(self) -> str:
        """What its first process wrote."""
        return self.world.path(f"{self._bundle}/init.out").read_text(errors="replace")

    def end(self) -> None:
        """Kills it and takes its cgroup away."""
        self.world.run("runc", "--root", "/tmp/runc", "delete", "-f", self.id[:12], code=None)
        self.shim.stop()

    @property
    def _bundle(self) -> str:
        return f"/srv/containers/{self.id[:12]}"


def start(
    world: World, *argv: str, privileged: bool = False, host_pid: bool = False, binds: Sequence[tuple[str, str]] = ()
) -> Container:
    """A container that runs this. privileged: may do nearly everything. host_pid: sees the host's processes. binds: (source,
    target) of files that it is given."""
    identity = secrets.token_hex(32)
    bundle = f"/srv/containers/{identity[:12]}"
    root = world.path(bundle) / "rootfs"
    for folder in ("usr", "proc", "tmp", "dev", "etc", "root", "mnt", "run", "srv", "sys", "var"):
        (root / folder).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    world.file(f"{bundle}/rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n")
    capabilities = _ours() if privileged else _FEW
    namespaces = ["mount", "ipc", "uts", *(() if host_pid else ("pid",))]
    config = {
        "ociVersion": "1.0.2",
        "hostname": identity[:12],
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(argv),
            "cwd": "/srv",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["bind", "ro"]},
            {
                "destination": "/etc/resolv.conf",
                "type": "bind",
                "source": "/etc/resolv.conf",
                "options": ["bind", "ro"],
            },
            *({"destination": to, "type": "bind", "source": of, "options": ["rbind", "rw"]} for of, to in binds),
        ],
        "linux": {
            "cgroupsPath": f"/system.slice/docker-{identity}.scope",
            "namespaces": [{"type": kind} for kind in namespaces],
            "resources": {"devices": [{"allow": True, "access": "rwm"}]} if privileged else {},
        },
    }
    world.file(f"{bundle}/config.json", json.dumps(config))
    os.mkfifo(world.path(f"{bundle}/orders"))
    program = world.program("/srv/bin/containerd-shim-runc-v2", "shim.py")
    shim = world.script(program, "/tmp/runc", bundle, identity[:12], cwd=bundle)
    started = world.path(f"{bundle}/pid")
    world.wait(lambda: started.exists() or shim.done.is_set(), "the container does not start", 20)
    container = Container(world, identity, shim)
    if shim.done.is_set():
        raise ScenarioError(f"{shim.said()[-200:]} {container.said()[-300:]}")
    return container
