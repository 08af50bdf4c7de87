"""Two network namespaces joined by one veth: servers in `lw-<id>-srv`, clients in `lw-<id>-cli`.

Addresses and routes exist inside the namespaces only, and neither has a way out: no default route, no forwarding, no
link to the host. So whatever runs in the clients' namespace reaches the range and nothing else. The network numbers are
drawn anew each time; several ranges may stand at once.

What a dead owner left behind is found by name and by the owner's record in `STATE`, and removed by `cleanup()`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from proving.names import CLIENT_PART, DNS_PART, NAMES

PREFIX = "lw-"
STATE = Path("/run/leeward-range")
_ETC = Path("/etc/netns")
MOUNTS = Path("/var/run/netns")


class NetError(Exception):
    """A command that builds the network failed; says which and why."""


class Net:
    """The two namespaces, from `__enter__` to `__exit__`.

    `server` and `client` are their names, `v4` and `v6` the networks, `resolv` the clients' resolver file."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)
        self.server = f"{PREFIX}{self.id}-srv"
        self.client = f"{PREFIX}{self.id}-cli"
        middle = secrets.randbelow(128 * 256)
        self.v4 = ipaddress.IPv4Network(f"10.{64 + middle // 256}.{middle % 256}.0/24")
        self.v6 = ipaddress.IPv6Network(f"fd77:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}::/64")
        self.resolv = _ETC / self.client / "resolv.conf"
        self._record = STATE / f"{self.id}.json"

    def address4(self, part: int) -> str:
        """The IPv4 address with this last byte."""
        return str(self.v4[part])

    def address6(self, part: int) -> str:
        """The IPv6 address with this last number."""
        return str(self.v6[part])

    def __enter__(self) -> Net:
        STATE.mkdir(parents=True, exist_ok=True)
        pid = os.getpid()
        self._record.write_text(json.dumps({"pid": pid, "start": start_ticks(pid)}))
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kills what still runs inside and removes everything; may be called twice."""
        remove(self.id)

    def _build(self) -> None:
        for name in (self.server, self.client):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.server, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.client)
        parts = sorted({DNS_PART, *(n.part for n in NAMES)})
        self._address(self.server, parts)
        self._address(self.client, [CLIENT_PART])
        text = f"nameserver {self.address4(DNS_PART)}\noptions timeout:2 attempts:2\n"
        for name in (self.server, self.client):
            where = _ETC / name
            where.mkdir(parents=True, exist_ok=True)
            (where / "resolv.conf").write_text(text)

    def _address(self, namespace: str, parts: Sequence[int]) -> None:
        lines = [f"addr add {self.address4(p)}/24 dev eth0" for p in parts]
        # nodad: an address is usable at once, there is nobody to collide with.
        lines += [f"addr add {self.address6(p)}/64 dev eth0 nodad" for p in parts]
        ip("-n", namespace, "-batch", "-", text="\n".join([*lines, "link set eth0 up", ""]))

    def inside(self, namespace: str, command: Sequence[str]) -> list[str]:
        """`command`, to be run in a namespace by `ip netns exec` (a fresh /sys, resolv.conf mounted)."""
        return ["ip", "netns", "exec", namespace, *command]

    def inside_host_sys(self, namespace: str, command: Sequence[str]) -> list[str]:
        """The same, but /sys stays the host's: `ip netns exec` hides cgroups and tracefs, which a sensor that is
        started inside (`leeward exec -- client`) needs. The process is exec'ed all the way: its pid stays."""
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        enter = ["nsenter", f"--net={MOUNTS / namespace}", "unshare", "--mount", "--propagation", "private"]
        return [*enter, "sh", "-c", script, str(_ETC / namespace / "resolv.conf"), *command]


def cleanup() -> list[str]:
    """Removes the namespaces whose owner is dead (killed, say); their ids."""
    # By record only: a namespace without one is not known to be ours and is left alone.
    gone = [p.stem for p in sorted(STATE.glob("*.json")) if not _owner_lives(p)]
    for ident in gone:
        remove(ident)
    return gone


def remove(ident: str) -> None:
    for kind in ("cli", "srv"):
        name = f"{PREFIX}{ident}-{kind}"
        if (MOUNTS / name).exists():
            _kill_inside(name)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        shutil.rmtree(_ETC / name, ignore_errors=True)
    (STATE / f"{ident}.json").unlink(missing_ok=True)


def _kill_inside(namespace: str) -> None:
    """Kills the processes of a namespace of ours, which only the range starts there; waits up to 2 s."""
    me = os.getpid()
    for _ in range(40):
        listed = subprocess.run(["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True)
        pids = [p for p in map(int, listed.stdout.split()) if p != me and not _is_zombie(p)]
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _owner_lives(record: Path) -> bool:
    try:
        owner = json.loads(record.read_text())
        return bool(start_ticks(int(owner["pid"])) == owner["start"])
    except (FileNotFoundError, ProcessLookupError, ValueError, KeyError):
        return False


def start_ticks(pid: int) -> int:
    """When the process began, in ticks since boot (proc(5), stat field 22): tells a reused pid from the owner."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])


def ip(*arguments: str, text: str | None = None) -> None:
    try:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, input=text, timeout=20)
    except FileNotFoundError:
        raise NetError("ip is not installed: apt-get install iproute2") from None
    if done.returncode:
        raise NetError(f"ip {' '.join(arguments)}: {done.stderr.strip() or done.returncode} (root needed)")
