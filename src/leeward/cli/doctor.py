"""`leeward doctor`: what this host offers, what is missing, what to do about it. Features are tried, not read."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from leeward.cli.printer import printer
from leeward.enforce import sockets
from leeward.model.errors import HostError
from leeward.sensor import host, kernel, libbpf, libraries
from leeward.sensor.target import Target, Unseen


class Check(msgspec.Struct):
    """state: "ok" | "partly" | "missing". needed: without it the live sensor does not work."""

    name: str
    state: str
    detail: str
    remedy: str = ""
    needed: bool = False
    type: str = "check"


def _try(name: str, attempt: Callable[[], str], remedy: str, *, needed: bool = True) -> Check:
    try:
        return Check(name, "ok", attempt(), needed=needed)
    except (HostError, OSError) as error:
        return Check(name, "missing", str(error), remedy, needed)


def _kernel() -> Check:
    release = platform.release()
    digits = release.split("-")[0].split(".")
    version = tuple(int(d) for d in digits[:2] if d.isdigit())
    if version < (5, 15):
        return Check(
            "kernel", "partly" if version >= (5, 8) else "missing", release, "5.15 or newer is tested", version < (5, 8)
        )
    return Check("kernel", "ok", release)


def _machine() -> Check:
    machine = platform.machine()
    if machine == "x86_64":
        return Check("machine", "ok", machine)
    return Check("machine", "missing", f"{machine} is not supported by the live sensor", "replay works", True)


def _load() -> str:
    refused = kernel.missing_programs()
    if refused:
        raise HostError("; ".join(refused))
    return "all programs load and attach"


def _multi() -> str:
    program, multi = kernel.load({})
    program.close()
    if not multi:
        raise HostError("not known to this kernel")
    return "known to this kernel"


def _uprobe() -> str:
    for library in libraries.host_libraries():
        target = libraries.describe(library, str(library))
        if isinstance(target, Target):
            program = libbpf.Object(str(kernel.OBJECT))
            try:
                probe = target.probes[0]
                program.attach_uprobe("on_call", str(library), probe.offset, returns=False, cookie=0)
            finally:
                program.close()
            return f"{library}: {target.version}, probes {target.placement}"
    return "no OpenSSL library of the host to try on; libraries of containers are found when they are mapped"


def _cgroup() -> str:
    root = host.cgroup2()
    program = libbpf.Object(str(kernel.OBJECT))
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        program.attach_cgroup("on_egress", fd)
        program.attach_cgroup("on_connect4", fd)
    finally:
        os.close(fd)
        program.close()
    return str(root)


def _ending() -> str:
    refused = sockets.can_destroy()
    if refused:
        raise HostError(refused)
    return "by SOCK_DESTROY"


def _runtimes() -> Check:
    places = {
        "containerd": "/run/containerd/io.containerd.runtime.v2.task",
        "docker": "/var/lib/docker/containers",
        "podman": "/var/lib/containers/storage",
        "cri-o": "/run/crio",
    }
    found = [name for name, place in places.items() if Path(place).is_dir()]
    return Check(
        "container runtimes", "ok", ", ".join(found) or "none found; processes are named by unit or executable"
    )


def checks() -> Iterator[Check]:
    """All checks, in the order in which they build on each other."""
    yield _machine()
    yield _kernel()
    root = os.geteuid() == 0
    yield Check("root", "ok" if root else "missing", "" if root else "not root", "run with sudo", True)
    btf = Path("/sys/kernel/btf/vmlinux").exists()
    yield Check("BTF", "ok" if btf else "missing", "", "use a kernel with CONFIG_DEBUG_INFO_BTF", True)
    yield _try("libbpf", lambda: str(libbpf._library()._name), "apt-get install libbpf1")
    built = kernel.OBJECT.exists()
    yield Check("BPF object", "ok" if built else "missing", str(kernel.OBJECT), "make setup", True)
    if not (root and btf and built):
        return
    yield _try("tracefs", lambda: str(host.tracefs()), "mount -t tracefs tracefs /sys/kernel/tracing")
    yield _try("tracing programs", _load, "see the words of the kernel at the left")
    yield _try("cgroup v2 programs", _cgroup, "mount -t cgroup2 none /sys/fs/cgroup/unified")
    yield _try("uprobes", _uprobe, "CAP_SYS_ADMIN is needed")
    yield _try("uprobe_multi", _multi, "kernel 6.6 attaches many probes at once; links of one are used", needed=False)
    yield _try(
        "ending connections",
        _ending,
        "CONFIG_INET_DIAG_DESTROY and CAP_NET_ADMIN: else a denied connection that is open already is not ended",
        needed=False,
    )
    yield _runtimes()
    yield from _tls_of_processes()
    for name, detail in NOT_COVERED:
        yield Check(f"not covered: {name}", "partly", detail)


#: What no part of Leeward sees into; said by `doctor`, so that nobody takes silence for calm.
NOT_COVERED = (
    ("kernel TLS", "SSL_sendfile and offload: bytes go from file to socket without passing the library's write"),
    ("TLS over a UNIX socket", "its content may be seen at the library, but no peer and no name"),
    ("system calls by io_uring, or of 32-bit programs", "opens of files of interest and the like: not seen"),
    ("databases' UNIX sockets by io_uring, splice, sendmmsg, preadv2 or 32-bit calls", "not seen; TCP is, by any call"),
    ("NSS, mbedTLS, wolfSSL, rustls, Java", "connections are flows with SNI; `leeward coverage` names the processes"),
    ("QUIC and HTTP/3", "connections are flows with SNI"),
    ("SSH and other encrypted protocols", "connections are flows"),
    ("WebSocket over HTTP/2", "one stream of a connection whose other streams are seen"),
)


def _tls_of_processes() -> Iterator[Check]:
    """One check for each program and TLS library in use now, with who uses it."""
    known: dict[tuple[str, ...], Target | Unseen | None] = {}
    users: dict[tuple[str, str], list[int]] = {}
    for entry in sorted((e for e in os.listdir("/proc") if e.isdigit()), key=int):
        try:
            lines = Path(f"/proc/{entry}/maps").read_text(errors="replace").splitlines()
            program = Path(f"/proc/{entry}/comm").read_text(errors="replace").strip()
        except OSError:
            continue  # it is gone, or a kernel thread
        for line in lines:
            words = line.split(maxsplit=5)
            if len(words) < 6 or "x" not in words[1] or not words[5].startswith("/"):
                continue
            file = (*words[3:5], words[5])
            if file not in known:
                known[file] = libraries.describe(Path(f"/proc/{entry}/map_files/{words[0]}"), words[5])
            found = known[file]
            if found is not None:
                told = f"{'' if isinstance(found, Target) else 'not '}seen|{_told(found)}"
                pids = users.setdefault((program, told), [])
                if int(entry) not in pids:
                    pids.append(int(entry))
    for (program, told), pids in sorted(users.items()):
        state, _, detail = told.partition("|")
        shown = ", ".join(map(str, pids[:4])) + (f" and {len(pids) - 4} more" if len(pids) > 4 else "")
        yield Check(f"TLS of {program} ({shown})", "ok" if state == "seen" else "partly", f"{state}: {detail}")


def _told(found: Target | Unseen) -> str:
    return f"{found.version}, {found.name}" if isinstance(found, Target) else f"{found.name}: {found.reason}"


def register(app: typer.Typer) -> None:
    @app.command()
    def doctor(json: Annotated[bool, typer.Option("--json", help="Newline-delimited JSON.")] = False) -> None:
        """What this host offers, what is missing, what to do about it. Exit code 1 if the live sensor cannot work here."""
        out = printer(json)
        broken = False
        for check in checks():
            broken = broken or (check.needed and check.state == "missing")
            out.check(check)
        if broken:
            raise typer.Exit(1)
