"""Where traffic goes: what kind of address that is, who registered a name, what is known to answer there. Pure, and remembered,
since the same few thousand are asked about all the time.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Container

from leeward.detect.lists import groups
from leeward.model.net import Flow

#: IANA special-purpose registries. Networks for documentation and benchmarks (RFC 5737, 2544) are not in them: nobody
#: uses those inside, they stand for the outside wherever they turn up.
_KINDS = tuple(
    (kind, ipaddress.ip_network(network))
    for kind, networks in {
        "any": ("0.0.0.0/32", "::/128"),
        "loopback": ("127.0.0.0/8", "::1/128"),
        "link-local": ("169.254.0.0/16", "fe80::/10"),
        "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
        "multicast": ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"),
    }.items()
    for network in networks
)
_MIXED = frozenset((0, 100, 169, 172))  # first numbers of which a part is special


@functools.lru_cache(maxsize=16384)
def address_kind(ip: str) -> str:
    """ "loopback" | "private" | "link-local" | "multicast" | "any" | "public"; "" for what is no address (UNIX sockets)."""
    if ":" not in ip:
        return _kind4(ip)
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return next((kind for kind, network in _KINDS if address in network), "public")


@functools.lru_cache(maxsize=8192)
def registered(name: str) -> str:
    """The part of a name that somebody registered: `a.b.example.co.uk` → `example.co.uk`, `x.y.vercel.app` → `y.vercel.app`.
    Of internal names the whole, of addresses the address."""
    name = name.lower().rstrip(".")
    if not name or is_internal(name) or address_kind(name.strip("[]")):
        return name
    host = _longest(name.partition(".")[2], _suffixes())
    if host:
        return name[: -len(host) - 1].rpartition(".")[2] + "." + host
    labels = name.split(".")
    country = len(labels[-1]) == 2 and len(labels) > 2 and labels[-2] in _second_level()
    return ".".join(labels[-3 if country else -2 :])


@functools.lru_cache(maxsize=8192)
def is_internal(name: str) -> bool:
    """Does nobody outside answer for this name? Names of one label are looked up inside too."""
    if "." not in name:
        return True
    return _longest(name.rstrip("."), _internal()) != ""


@functools.lru_cache(maxsize=8192)
def service_of(name: str) -> str:
    """The group of lists/services.yaml that a name belongs to, "" for none: the longest entry decides."""
    known = _services()
    return known.get(_longest(name.lower().rstrip("."), known), "")


@functools.lru_cache(maxsize=8192)
def keeps_secrets(name: str) -> bool:
    """Is it a secret manager's, or the interface of a platform that is given secrets (lists/secrets.yaml)?"""
    name, known = name.lower().rstrip("."), _keepers()
    first, _, rest = name.partition(".")
    return bool(_longest(name, known)) or f"{first}.*.{rest.partition('.')[2]}" in known


def destination(flow: Flow) -> str:
    """By what a flow's other end is known: its name, else its address."""
    return flow.domain or flow.sni or flow.dst.ip


def payload_sent(flow: Flow, sent: int, packets: int) -> int:
    """About how many of the bytes told were the program's own. Kernel totals have the headers of every packet in them (RFC 791,
    8200, 9293: 20 or 40 bytes of IP; of TCP 20, 12 more with the usual time stamps); captures count payload."""
    if sent < packets * 28:
        return sent
    header = (72 if ":" in flow.dst.ip else 52) if flow.proto == "tcp" else (48 if ":" in flow.dst.ip else 28)
    return max(0, sent - packets * header)


def _kind4(ip: str) -> str:
    """Of IPv4, and of what is no address; by hand, since `ipaddress` takes ten times as long."""
    parts = ip.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and len(part) <= 3 for part in parts):
        return ""
    first, second = int(parts[0]), int(parts[1])
    if first == 10 or (first, second) == (192, 168):
        return "private"
    if first == 127:
        return "loopback"
    if 224 <= first < 240 or ip == "255.255.255.255":
        return "multicast"
    if first in _MIXED:
        address = ipaddress.ip_address(ip)
        return next((kind for kind, network in _KINDS if address in network), "public")
    return "public" if max(map(int, parts)) < 256 else ""


def _longest(name: str, known: Container[str]) -> str:
    """The name, or the first above it (a.b.c, b.c, c) that is known; "" if none is."""
    while name and name not in known:
        name = name.partition(".")[2]
    return name


@functools.cache
def _suffixes() -> frozenset[str]:
    return frozenset(groups("suffixes")["hosting"])


@functools.cache
def _second_level() -> frozenset[str]:
    return frozenset(groups("suffixes")["second-level"])


@functools.cache
def _internal() -> frozenset[str]:
    return frozenset(groups("suffixes")["internal"])


@functools.cache
def _keepers() -> frozenset[str]:
    return frozenset(groups("secrets")["keepers"])


@functools.cache
def _services() -> dict[str, str]:
    return {name: group for group, names in groups("services").items() for name in names}
