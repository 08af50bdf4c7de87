"""Addresses of machines: IPv4, IPv6, MAC, and names of hosts that only resolve inside."""

from __future__ import annotations

import ipaddress
from random import Random

from bench.data.grammar import render

# RFC 5737 and RFC 1122: those that documentation and machines use for themselves; never planted as sensitive.
HARMLESS_IPV4 = ("127.0.0.1", "0.0.0.0", "255.255.255.0", "255.255.255.255", "255.255.0.0")


def ipv4(random: Random) -> str:
    while True:
        address = ipaddress.IPv4Address(random.getrandbits(32))
        if address.is_global and not address.is_multicast and address.packed[0] not in (0, 1, 2, 3, 4, 5):
            return str(address)


def ipv4_private(random: Random) -> str:
    return render(
        "(10\\.[1-9][0-9]\\.[1-9]|192\\.168\\.[1-9]|172\\.2[0-9]\\.[1-9])[0-9]\\.(1[0-9]{2}|[2-9][0-9])", random
    )


def ipv6(random: Random) -> str:
    head = random.choice((0x20010000, 0x2A020000, 0x26070000, 0xFD000000)) | random.getrandbits(15)
    tail = random.getrandbits(64) if random.random() < 0.6 else random.getrandbits(12)
    address = ipaddress.IPv6Address(head << 96 | random.getrandbits(32) << 64 | tail)
    return str(address)


def mac(random: Random) -> str:
    pairs = [f"{random.getrandbits(8):02x}" for _ in range(6)]
    pairs[0] = f"{int(pairs[0], 16) & 0xFE:02x}"
    written = random.choice((":", ":", "-")).join(pairs)
    return written.upper() if random.random() < 0.4 else written


def internal_host(random: Random) -> str:
    """By the endings that are not in the public DNS: RFC 6762 (.local), RFC 8375, ICANN's .internal, and habits (.corp, .lan)."""
    role = random.choice(
        [
            "db",
            "sql",
            "api",
            "auth",
            "jenkins",
            "vault",
            "ldap",
            "git",
            "mail",
            "redis",
            "kafka",
            "mq",
            "files",
            "build",
            "grafana",
            "nexus",
            "web",
            "billing",
            "hr",
        ]
    )
    number = random.choice(("", "", "01", "2", "-prod", "-stg", "-primary", "03"))
    zone = random.choice(("", "", "eu1.", "prod.", "int.", "dc2.", "hq.", "muc."))
    ending = random.choice(
        ("internal", "corp", "local", "lan", "intranet", "corp.internal", "svc.cluster.local", "home.arpa")
    )
    return f"{role}{number}.{zone}{ending}"
