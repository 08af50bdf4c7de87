"""Where a flow goes, as two words that a person knows: its site (registered domain, network) and the place in it.

Invariant: the same name or address always gives the same words; they are at most 120 characters long.
"""

from __future__ import annotations

import ipaddress
import re

WIDTH = 120
#: Second labels under which names are registered in country zones (the Public Suffix List's common ones).
_SECOND = frozenset({"ac", "co", "com", "edu", "gob", "gov", "go", "gv", "mil", "ne", "net", "nom", "or", "org", "sch"})
#: Names under which anybody may have one of their own: the label before them is whose it is (the list's private section).
_SHARED = (
    "amazonaws.com", "azureedge.net", "azurewebsites.net", "cloudapp.azure.com", "cloudfront.net", "core.windows.net",
    "duckdns.org", "firebaseapp.com", "fly.dev", "github.io", "githubusercontent.com", "gitlab.io", "googleapis.com",
    "herokuapp.com", "hf.space", "netlify.app", "ngrok-free.app", "ngrok.app", "ngrok.io", "onrender.com", "pages.dev",
    "r2.cloudflarestorage.com", "r2.dev", "run.app", "supabase.co", "trycloudflare.com", "vercel.app", "web.app", "workers.dev",
)  # fmt: skip
_SHARED_BY_LENGTH = {n: frozenset(s for s in _SHARED if s.count(".") + 1 == n) for n in (2, 3)}
_GENERATED = re.compile(r"[0-9a-f]{16,}|\d{6,}")


def of_name(name: str) -> tuple[str, str]:
    """(registered domain, the whole name), what is generated (ids of shards, dates) before the site as "*"."""
    labels = name.rstrip(".").split(".")
    keep = 2
    if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND:
        keep = 3
    for length, shared in _SHARED_BY_LENGTH.items():
        if ".".join(labels[-length:]) in shared:
            keep = length + 1
    site = ".".join(labels[-keep:])
    host = [_GENERATED.sub("*", label) for label in labels[:-keep]]
    return site[-WIDTH:], ".".join([*host, site])[-WIDTH:]


def of_address(ip: str) -> tuple[str, str]:
    """(wide network, narrow network): /16 and /24, of IPv6 /32 and /48. Loopback is one place; a socket's path stays."""
    if "/" in ip or ip[:1] in ("", "@"):
        return "this host", (_GENERATED.sub("*", ip) or "unnamed socket")[:WIDTH]
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip[:WIDTH], ip[:WIDTH]
    if address.is_loopback:
        return "this host", "this host"
    wide, narrow = (16, 24) if address.version == 4 else (32, 48)
    return (
        str(ipaddress.ip_network((ip, wide), strict=False)),
        str(ipaddress.ip_network((ip, narrow), strict=False)),
    )


def of_caller(ip: str) -> str:
    """Who calls: of the internet it only matters that it is the internet."""
    site, place = of_address(ip)
    if site == "this host":
        return site
    try:
        return "the internet" if ipaddress.ip_address(ip).is_global else place
    except ValueError:
        return place
