"""Checks of addresses and names in networks: what points at somebody's machine, and what only looks like it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

Check = Callable[[str], bool]

_FOUR = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_PRIVATE_V4 = frozenset(
    [(10,), (192, 168), (169, 254), (198, 18), (198, 19), (192, 0, 2), (198, 51, 100), (203, 0, 113)]
    + [(172, octet) for octet in range(16, 32)]
    + [(100, octet) for octet in range(64, 128)]
)  # first octets of the networks of RFC 1918, 3927, 2544, 5737, 6598
_NOBODY_V4 = frozenset(["169.254.169.254", "169.254.170.2", "100.100.100.200"])  # metadata services of clouds
_RESOLVERS = frozenset(
    ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220", "4.2.2.2"]
)
_OIDS = ("2.5.4.", "2.5.29.", "1.3.6.")  # attributes and extensions of certificates, the arcs of the internet (X.660)
_SMALL = 30  # numbers of versions, sections and OIDs are seldom larger
_PRIVATE_V6 = tuple(ipaddress.IPv6Network(net) for net in ("fc00::/7", "fe80::/10", "2001:db8::/32", "3fff::/20"))
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_MAPPED_V6 = ipaddress.IPv6Network("::ffff:0:0/96")
_TRANSLATED_V6 = ipaddress.IPv6Network("64:ff9b::/96")

_NOT_HEX = re.compile(r"[^0-9a-f]")
_SAME_PAIRS = re.compile(r"(?:([0-9a-f])\1){6}")
_ASCENDING = frozenset(["001122334455", "112233445566", "0123456789ab", "123456789abc", "123456123456", "010203040506"])
_PLACEHOLDERS = """
address bar baz domain example false foo host hostname hosts http https kubernetes localhost metadata mydomain myhost myserver
name none null path proxy server site some the true undefined url user username website www yourdomain yourhost yourserver
"""
_NO_HOSTS = frozenset(_PLACEHOLDERS.split())


def ipv4_public(value: str) -> bool:
    """An address that one host on the internet can have, and no version number that looks like one (1.2.3.4, 117.0.0.0)."""
    octets = _octets(value)
    return (
        _is_host(octets)
        and not _private_v4(octets)
        and sum(octet > _SMALL for octet in octets) > 1
        and value not in _RESOLVERS
        and any(octets[2:])
    )


def ipv4_small(value: str) -> bool:
    """Any public address: of small numbers (a version?) or of a server that everybody knows, so the words around decide."""
    octets = _octets(value)
    return _is_host(octets) and not _private_v4(octets) and not value.startswith(_OIDS)


def ipv4_private(value: str) -> bool:
    """An address of a host in a private, shared, link-local or documentation network."""
    octets = _octets(value)
    return _is_host(octets) and octets[3] != 0 and _private_v4(octets) and value not in _NOBODY_V4


def _octets(value: str) -> tuple[int, ...]:
    """Its four numbers; nothing when they are not written as numbers of an address are."""
    return tuple(int(part) for part in value.split(".")) if _FOUR.fullmatch(value) else ()


def _is_host(octets: tuple[int, ...]) -> bool:
    """Not this network, loopback, multicast, reserved, broadcast or a mask (RFC 6890)."""
    return len(octets) == 4 and max(octets) < 256 and 1 <= octets[0] < 224 and octets[0] != 127 and octets[3] != 255


def _private_v4(octets: tuple[int, ...]) -> bool:
    return any(octets[:size] in _PRIVATE_V4 for size in (1, 2, 3))


def ipv6_public(value: str) -> bool:
    """Global unicast, or IPv4 in IPv6 that is public. A form without `::` has proved itself: then any unicast."""
    address = _v6(value)
    if address is None or any(address in net for net in _PRIVATE_V6):
        return False
    if address in _MAPPED_V6 or address in _TRANSLATED_V6:
        inner = str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        return ipv4_small(inner)
    if "::" not in value:
        return max(map(len, value.split(":"))) > 2
    return address in _GLOBAL_V6 or (value.count(":") > 4 and not address.is_multicast)


def ipv6_private(value: str) -> bool:
    """Unique local, link-local or for documentation (RFC 4193, 4291, 3849, 9637)."""
    address = _v6(value)
    return address is not None and any(address in net for net in _PRIVATE_V6)


def _v6(value: str) -> ipaddress.IPv6Address | None:
    """The address; None for none, for loopback and the unspecified one, and for what has hardly a digit."""
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return None
    return None if int(address) < 1 << 32 or len(set(value)) < 4 else address


def mac(value: str) -> bool:
    """EUI-48 of one card (IEEE 802): no group address, no placeholder, and not decimal digits alone."""
    digits = _NOT_HEX.sub("", value.lower())
    return (
        mac_any(value)
        and not int(digits[:2], 16) & 1
        and not _SAME_PAIRS.fullmatch(digits)
        and digits not in _ASCENDING
        and not digits.isdigit()
    )


def mac_any(value: str) -> bool:
    """EUI-48 in upper or lower case, where a word says that it is one: not broadcast, not a well-known group."""
    digits = _NOT_HEX.sub("", value.lower())
    if len(digits) != 12 or len(set(digits)) < 2:
        return False
    return value in (value.lower(), value.upper()) and not digits.startswith(("01005e", "3333", "000000", "ffffff"))


def host_name(value: str) -> bool:
    """A name that somebody gave to a machine, not a word that stands for any."""
    first = value.lower().split(".", 1)[0]
    return first not in _NO_HOSTS and not first.startswith(("your", "my-", "example", "foo", "xxx"))


SIMPLE: dict[str, Check] = {
    check.__name__: check
    for check in (ipv4_public, ipv4_small, ipv4_private, ipv6_public, ipv6_private, mac, mac_any, host_name)
}
