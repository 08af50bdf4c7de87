"""Who talks to whom, for detectors of what happens at APIs: addresses, and the place that a process is.

Invariants: pure. Names of programs prove nothing; they only say what is usual.
"""

from __future__ import annotations

import functools
import ipaddress
import posixpath
import re

from leeward.model.process import Process


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MINUTE, HOUR, DAY = 60 * 10**9, 3600 * 10**9, 86_400 * 10**9

_VERSION = re.compile(r"[-.]?\d[\d.]*$")
_SHELLS = _words("sh bash dash zsh ash ksh mksh busybox fish csh tcsh pwsh")
_FETCHERS = _words("curl wget http https xh httpie aria2c lynx nc ncat socat openssl")
_INTERPRETERS = _words("python pypy perl ruby node nodejs deno bun php lua java")
_INLINE = frozenset(("-c", "-e", "-", "--eval", "-r", "-E"))
_OPEN_FOLDERS = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/", "/memfd:", "memfd:", "/dev/mqueue/")
#: Programs whose children are their applications' or an intruder's, and that need no AI themselves.
_SERVERS = _words(
    """nginx apache apache2 httpd lighttpd caddy haproxy tomcat catalina php-fpm w3wp mysqld mariadbd postgres redis-server mongod
    memcached named dnsmasq postfix master exim dovecot smbd vsftpd proftpd slapd squid varnishd rabbitmq-server beam.smp
    clickhouse-server"""
)
#: Of these, those whose trade is to pass requests on, to AI services too.
_PROXIES = _words("nginx apache apache2 httpd caddy haproxy envoy traefik squid varnishd")
_LOGINS = _words("sshd sshd-session login su sudo tmux screen gnome-terminal- konsole xterm code agetty script")


def host_of(peer: str) -> str:
    """Of "1.2.3.4:55" or "[::1]:55": the address."""
    if peer.startswith("["):
        return peer[1:].partition("]")[0]
    return peer.rpartition(":")[0] if peer.count(":") == 1 else peer


@functools.lru_cache(maxsize=65536)
def reach(ip: str) -> str:
    """Where an address is: "here" (this host) | "inside" (the organisation's, by its range) | "outside" | "" (no address)."""
    if ":" not in ip and not ip[-1:].isdigit():
        return ""  # a name: IPv4 ends with a digit
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified:
        return "here"
    if any(address in network for network in _DOCUMENTATION if network.version == address.version):
        return "outside"  # RFC 5737 and 3849: nobody's, so not ours
    return "outside" if address.is_global or address.is_multicast else "inside"


_DOCUMENTATION = tuple(
    ipaddress.ip_network(n)
    for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32")
)


def inside_name(name: str) -> bool:
    """Is this a name that only this organisation answers for, as far as its form tells?"""
    name = name.lower().rstrip(".")
    if not name or reach(name):
        return reach(name) in ("here", "inside")
    ends = (".local", ".internal", ".svc", ".lan", ".intranet", ".home.arpa", ".corp", ".localhost", ".consul")
    return "." not in name or name.endswith(ends) or ".svc." in name


def program(exe: str) -> str:
    """The name of an executable without its version."""
    name = posixpath.basename(exe.removesuffix(" (deleted)"))
    return _VERSION.sub("", name) or name


def kind_of(process: Process) -> str:
    """A stable name for what runs, across workloads: the image, else the executable with the script that it runs."""
    if process.container is not None and process.container.image:
        return image_of(process)
    script = _script(process) if interpreted(process) else ""
    return f"{process.exe} {script}".strip()


def image_of(process: Process) -> str:
    """The image without tag and digest: another version of the same thing is the same thing. "" outside containers."""
    image = process.container.image.partition("@")[0] if process.container is not None else ""
    return image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image


def _script(process: Process) -> str:
    return next((word for word in process.argv[1:] if not word.startswith("-")), "")


def interpreted(process: Process) -> bool:
    return program(process.exe) in _INTERPRETERS | _SHELLS


def odd_signs(process: Process) -> list[str]:
    """What is odd about a process that talks to an AI service, by name: "open-folder" (its file lies where anybody may write,
    or is gone), "open-script" (it runs a script from there), "under-server" (a tool of a server that serves something else),
    "server", "one-off" (a shell, a command line)."""
    name, signs = program(process.exe), []
    if process.exe.startswith(_OPEN_FOLDERS) or process.exe.endswith(" (deleted)"):
        signs.append("open-folder")
    elif interpreted(process) and _script(process).startswith(_OPEN_FOLDERS):
        signs.append("open-script")
    inline = name in _INTERPRETERS and any(word in _INLINE for word in process.argv[1:3])
    tool = name in _SHELLS or name in _FETCHERS or inline
    parents = [program(a.exe) for a in process.ancestors]
    served = next((parent for parent in parents if parent in _SERVERS), "")
    if served and served != name and (tool or name not in _INTERPRETERS) and not _by_hand(parents, served):
        signs.append("under-server")
    elif name in _SERVERS and name not in _PROXIES:
        signs.append("server")
    if tool:
        signs.append("one-off")
    return signs


def started_by_person(process: Process) -> bool:
    """Does it descend from a login, a terminal or a switch of user?"""
    return any(program(above.exe) in _LOGINS for above in process.ancestors)


def _by_hand(parents: list[str], server: str) -> bool:
    """Did a person log in between the server and the process?"""
    return any(parent in _LOGINS for parent in parents[: parents.index(server)])


def place(process: Process, address: str = "") -> str:
    """Whose doing it is: the workload, else (captures have no processes) the address."""
    return process.workload.id or (f"address:{address}" if address else "")
