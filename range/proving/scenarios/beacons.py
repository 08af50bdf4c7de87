"""Processes that call home: what stays when all bytes are random is when they call."""

from __future__ import annotations

import socket

from proving.scenario import Must, Repeat, attack
from proving.world import Actor, World

C2, DOMAIN = "203.0.113.50", "cdn-metrics.example"
PERIOD = 2.0
"""Seconds: the shortest that the rule speaks of, so that ten calls take 20 s."""
EIGHT = 8 * PERIOD * 1.3 + 1
"""Eight periods, the longest that 30 % of jitter makes of them, and the second until a tick."""


def answer(connection: socket.socket) -> None:
    """A few bytes for a few bytes, until the other side goes away."""
    while connection.recv(256):
        connection.sendall(b"o" * 16)


def implant(
    world: World, how: str, host: str, port: int, jitter: float, count: int = 10, period: float = PERIOD
) -> Actor:
    """Something that was left in an application's folder."""
    path = world.program("/srv/app/lib/telemetry_helper.py", "beacon.py")
    return world.script(path, how, host, str(port), str(period), str(jitter), str(count))


@attack(
    "beacon-tcp",
    "a connection every two seconds to a host beyond, regular",
    must=(Must("beaconing", "telemetry_helper", DOMAIN, within=EIGHT),),
    must_not=("data-exfiltration", "port-scan", "lateral-movement", "cryptomining"),
)
def beacon_tcp(world: World) -> None:
    world.host(C2, DOMAIN).listen(8443, answer)
    world.mark()
    implant(world, "tcp", DOMAIN, 8443, 0.0).wait(60)


@attack(
    "beacon-tls-jitter",
    "a TLS connection every two seconds, give or take 30 %",
    must=(Must("beaconing", "telemetry_helper", DOMAIN, within=EIGHT),),
    must_not=("data-exfiltration", "port-scan", "lateral-movement", "cryptomining"),
)
def beacon_tls_jitter(world: World) -> None:
    world.host(C2, DOMAIN).listen(443, answer, tls=True)
    world.mark()
    implant(world, "tls", DOMAIN, 443, 0.3).wait(60)


@attack(
    "beacon-kept",
    "one connection, a few bytes through it every two seconds, give or take 10 %",
    must=(Must("beaconing", "telemetry_helper", DOMAIN),),
    must_not=("data-exfiltration", "port-scan", "lateral-movement", "cryptomining"),
)
def beacon_kept(world: World) -> None:
    world.host(C2, DOMAIN).listen(8443, answer)
    world.mark()
    implant(world, "kept", DOMAIN, 8443, 0.1, count=12).wait(60)


@attack(
    "beacon-http",
    "a GET of another made-up script every two seconds, give or take 20 %",
    must=(Must("beaconing", "telemetry_helper", DOMAIN),),
    must_not=("data-exfiltration", "port-scan", "api-access-violation", "cryptomining"),
)
def beacon_http(world: World) -> None:
    from proving.hosts import Reply

    world.host(C2, DOMAIN).http(80, lambda asked: Reply("/* nothing */", kind="text/javascript"))
    world.mark()
    implant(world, "http", DOMAIN, 80, 0.2).wait(60)


@attack(
    "beacon-dns",
    "a name that nobody ever asked for below one domain, every two seconds, give or take 10 %",
    must=(Must("beaconing", "telemetry_helper", DOMAIN),),
    may=("dns-tunnel",),
    must_not=("data-exfiltration", "port-scan"),
)
def beacon_dns(world: World) -> None:
    world.names.below(DOMAIN, lambda name, kind: socket.inet_aton("127.0.0.1") if kind == 1 else None)
    world.mark()
    implant(world, "dns", DOMAIN, 0, 0.1).wait(60)


@attack(
    "beacon-long-sleep",
    "a TLS connection every five minutes, give or take 20 %, told over an hour and a half",
    must=(Must("beaconing", "telemetry_helper", DOMAIN),),
    must_not=("data-exfiltration", "port-scan", "cryptomining"),
    minutes=90.0,
    repeats={"call": Repeat(300.0, 0.2)},
)
def beacon_long_sleep(world: World) -> None:
    world.host(C2, DOMAIN).listen(443, answer, tls=True)
    path = world.program("/srv/app/lib/telemetry_helper.py", "beacon.py")
    actor = world.script(path, "tls", DOMAIN, "443", "4", "0", "3")
    world.sleep(2.0)
    world.mark()
    with world.loop("call"):
        world.sleep(4.0)
    actor.wait(60)
