"""Routes and devices: the parser on any bytes, and what a real namespace tells."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.sensor.routes import GONE_ROUTE, NEW_LINK, NEW_ROUTE, Device, Route, messages, parse


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(*attributes: bytes, family: int = 0, index: int = 7) -> bytes:
    return struct.pack("=BxHiII", family, 1, index, 0, 0) + b"".join(attributes)


def route(
    *attributes: bytes, family: int = 2, prefix: int = 24, table: int = 254, kind: int = 1, flags: int = 0
) -> bytes:
    return struct.pack("=8BI", family, prefix, 0, 0, table, 3, 0, kind, flags) + b"".join(attributes)


GATE = attribute(5, bytes((192, 0, 2, 1)))
TO = attribute(1, bytes((198, 51, 100, 0)))


def test_a_device() -> None:
    body = link(attribute(3, b"wg0\0"), attribute(18, attribute(1, b"wireguard")))
    assert parse(NEW_LINK, body) == Device(7, "wg0", "wireguard", False)
    assert parse(NEW_LINK, link(attribute(3, b"eth0\0"))) == Device(7, "eth0", "", False)
    assert parse(NEW_LINK, link(attribute(3, b"eth0\0"), family=7)) is None
    assert parse(NEW_LINK, link()) is None


def test_a_route() -> None:
    device = attribute(4, struct.pack("=I", 3))
    assert parse(NEW_ROUTE, route(TO, GATE, device)) == Route("198.51.100.0/24", "192.0.2.1", 3, False)
    assert parse(GONE_ROUTE, route(GATE, prefix=0)) == Route("0.0.0.0/0", "192.0.2.1", 0, True)
    assert parse(NEW_ROUTE, route(attribute(1, bytes(16)), family=10, prefix=64)) == Route("::/64", "", 0, False)


@pytest.mark.parametrize(
    "body",
    [
        route(TO, table=255),
        route(TO, attribute(15, struct.pack("=I", 255))),
        route(TO, kind=3),
        route(TO, flags=0x200),
        route(TO, prefix=33),
        route(attribute(1, b"short")),
        route(TO, attribute(5, bytes(16))),
        route(TO, family=28),
    ],
    ids=["local", "local table", "broadcast", "cloned", "long prefix", "short address", "odd gateway", "mpls"],
)
def test_routes_that_are_no_news_or_malformed(body: bytes) -> None:
    assert parse(NEW_ROUTE, body) is None


@given(st.sampled_from([16, 17, 24, 25, 0]), st.binary(max_size=120))
def test_any_body(kind: int, body: bytes) -> None:
    assert parse(kind, body) is None or isinstance(parse(kind, body), Device | Route)


@given(st.binary(max_size=200))
def test_any_datagram(data: bytes) -> None:
    assert sum(16 + len(body) for _, body in messages(data)) <= len(data)


def test_messages_end_at_one_that_is_cut() -> None:
    one = struct.pack("=IHHII", 18, 24, 0, 0, 0) + b"ab"
    assert list(messages(one + bytes(2) + one[:-1])) == [(24, b"ab")]


CODE = """
import json, subprocess
from leeward.sensor.routes import Routes
routes = Routes()
for command in (
    "link set lo up", "link add d0 type veth peer name d1", "link set d0 up", "link set d1 up",
    "tuntap add dev t0 mode tun", "addr add 192.0.2.5/24 dev d0",
    "route add 198.51.100.0/24 via 192.0.2.1", "route del 198.51.100.0/24",
):
    subprocess.run(["ip", *command.split()], check=True)
told = [e for e in routes.events(1) if ":" not in e.path]
print(json.dumps([[e.kind, e.path, e.source, e.label] for e in told]))
routes.close()
"""


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_namespaces_changes() -> None:
    name = f"lw-routes-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        command = ["ip", "netns", "exec", name, sys.executable, "-c", CODE]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    assert json.loads(said.stdout) == [
        ["device", "", "d1", "veth"],
        ["device", "", "d0", "veth"],
        ["device", "", "t0", "tun"],
        ["route", "192.0.2.0/24", "d0", "added"],
        ["route", "198.51.100.0/24", "192.0.2.1 d0", "added"],
        ["route", "198.51.100.0/24", "192.0.2.1 d0", "removed"],
    ]
