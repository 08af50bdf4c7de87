"""Layers 3 and 4: addresses, flows, and names for addresses."""

from __future__ import annotations

import msgspec

from leeward.model.process import Workload


class Endpoint(msgspec.Struct, frozen=True):
    """An address (text form; IPv4-mapped IPv6 is written as IPv4) and a port. Of a UNIX socket: the path that it is bound to,
    which has a "/" in it, or begins with "@" if it is abstract; "" if it has none; and port 0."""

    ip: str
    port: int

    def __str__(self) -> str:
        if "/" in self.ip or self.ip[:1] in ("", "@"):
            return self.ip
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Flow(msgspec.Struct, omit_defaults=False):
    """One TCP connection or UDP conversation as one socket saw it. `src` is the side that opened it.

    direction: "outbound" (this host's socket opened it), "inbound" (it accepted), "unknown" (seen from the middle).
    bytes_*/packets_*: layer-3 sizes counted in the kernel, sent and received by the socket observed.
    state: "open" | "closed" | "listening". l7: "tls" | "http" | "quic" | "dns" | "postgresql" | "mysql" |
    "stratum" (miners'; in the clear, or in TLS that is seen into) | "" (not recognised).
    workload, exe: of the process whose socket it is. provider: whose AI service `dst` is, "" if it is none by its name.
    content: "" | "visible" | "not visible: <reason>", for flows to an AI service and those that carried an exchange.
    """

    id: str
    time: int
    proto: str
    src: Endpoint
    dst: Endpoint
    direction: str
    pid: int = 0
    start: int = 0
    end: int = 0
    state: str = "open"
    bytes_sent: int = 0
    bytes_received: int = 0
    packets_sent: int = 0
    packets_received: int = 0
    domain: str = ""
    domain_from: str = ""
    sni: str = ""
    alpn: tuple[str, ...] = ()
    l7: str = ""
    provider: str = ""
    content: str = ""
    workload: Workload | None = None
    exe: str = ""
