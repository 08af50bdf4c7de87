"""The connect rung on this kernel: real clients, a resolver and TLS servers of ours, and what arrived at these."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from enforce_world import (
    ALIAS4,
    ALLOWED4,
    ALLOWED6,
    DENIED4,
    DENIED6,
    NAMELESS4,
    PROVIDER,
    SHARED4,
    Process,
    World,
)

from leeward.enforce.rules import Rule
from leeward.sensor import host

pytestmark = pytest.mark.kernel
NO_OPENAI = Rule(1, "deny", providers=("openai",), doh=True)
ONLY_OK = Rule(2, "allow-only", names=("ok.test", "*.ok.test"), unknown="deny")
STRICT = Rule(3, "deny", providers=("openai",), unknown="deny")


@pytest.fixture(scope="module")
def one_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack, tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(one_world: World) -> World:
    one_world.rules(NO_OPENAI, ONLY_OK, STRICT)
    one_world.forget()
    return one_world


@pytest.fixture
def client(world: World) -> Process:
    return world.client(1)


# -- by address --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ip", "kind"), [(DENIED4, 1), (DENIED6, 28), (f"::ffff:{DENIED4}", 1)], ids=["v4", "v6", "mapped"]
)
def test_a_denied_name_is_refused_at_connect(world: World, client: Process, ip: str, kind: int) -> None:
    world.learned(client, PROVIDER, kind=kind)
    assert client("connect", ip) == "PermissionError"
    world.until(lambda: ("address", "") in [(e.reason, e.name) for e in world.denied if e.pid == client.pid])


def test_over_a_cname(world: World, client: Process) -> None:
    world.learned(client, "alias.test")
    assert client("connect", DENIED4) == "PermissionError"


def test_others_are_not_touched(world: World, client: Process) -> None:
    other = world.client()
    world.learned(client, PROVIDER, "ok.test")
    assert other("https", DENIED4, PROVIDER)[0] == "ok"
    assert client("https", ALLOWED4, "ok.test")[0] == "ok"
    assert world.told(other.pid) == []


def test_children_are_of_the_class(world: World, client: Process) -> None:
    world.learned(client, PROVIDER)
    code = f"import socket; socket.create_connection(({DENIED4!r}, 443))"
    assert client("child", code).startswith("PermissionError")


def test_a_process_has_its_class_until_its_last_thread_ends(world: World, client: Process) -> None:
    world.learned(client, PROVIDER)
    assert client("leaderless", DENIED4) == "PermissionError"


def test_what_begins_in_a_cgroup_is_of_its_class(world: World) -> None:
    group = Path(host.cgroup2()) / f"leeward-test-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    try:
        world.rung.assign_cgroup(group.stat().st_ino, 1)
        world.learned(world.client(), PROVIDER)
        code = f"import socket; socket.create_connection(({DENIED4!r}, 443))"
        enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
        command = ["sh", "-c", enter, "sh", *world.inside, sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "PermissionError" in done.stderr
    finally:
        world.rung.release_cgroup(group.stat().st_ino)
        group.rmdir()


def test_a_released_process_may_go(world: World, client: Process) -> None:
    world.learned(client, PROVIDER)
    world.release(client)
    assert client("https", DENIED4, PROVIDER)[0] == "ok"


# -- by name -----------------------------------------------------------------------------------------------------------


def test_connect_right_behind_the_answer(world: World, client: Process) -> None:
    """Whoever wins, the server sees no byte of the request."""
    seen = set()
    for _ in range(40):
        world.forget()
        answer = client("resolved_https", PROVIDER, DENIED4, PROVIDER)
        seen.add(answer if isinstance(answer, str) else answer[0])
        if not isinstance(answer, str):
            assert world.arrived(answer[1]) == {"port": answer[1], "raw": 0, "requests": 0}
    assert seen <= {"PermissionError", "ConnectionAbortedError"}


@pytest.mark.parametrize("ip", [NAMELESS4, ALLOWED6, "127.0.0.1"], ids=["v4", "v6", "loopback"])
def test_an_address_without_a_name_is_judged_by_the_hello(world: World, client: Process, ip: str) -> None:
    told, port, seconds = client("https", ip, PROVIDER)
    assert (told, world.arrived(port)["raw"]) == ("ConnectionAbortedError", 0)
    assert seconds < 5  # ended, not timed out
    assert world.told(client.pid) == [("name", PROVIDER)]
    assert client("https", ip, "other.test")[0] == "ok"


def test_a_shared_address_is_judged_by_the_hello(world: World, client: Process) -> None:
    world.learned(client, "eu.api.openai.com", "beside.test")
    told, port, _ = client("https", SHARED4, "eu.api.openai.com")
    assert (told, world.arrived(port)["raw"]) == ("ConnectionAbortedError", 0)
    assert client("https", SHARED4, "beside.test")[0] == "ok"


@pytest.mark.parametrize("how", ["segments", "records"])
@pytest.mark.parametrize("size", [1, 7, 100, 300])
def test_a_hello_in_pieces_is_read(world: World, client: Process, how: str, size: int) -> None:
    if (how, size) != ("records", 1):  # more pieces in one segment than are looked at: refused whatever its name
        assert client("raw", NAMELESS4, "other.test", how, size)[0] == "answered"
    told, port = client("raw", NAMELESS4, PROVIDER, how, size)
    assert (told, world.arrived(port)["requests"]) == ("ConnectionAbortedError", 0)


@pytest.mark.parametrize(
    "first", ["CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n", "\x05\x01\x00"], ids=["http proxy", "socks"]
)
def test_a_hello_behind_a_proxys_words(world: World, client: Process, first: str) -> None:
    assert client("raw", NAMELESS4, "other.test", "whole", 0, first)[0] == "answered"
    assert client("raw", NAMELESS4, PROVIDER, "whole", 0, first)[0] == "ConnectionAbortedError"


@pytest.mark.parametrize("sni", ["API.OpenAI.com", "api.openai.com.", "a.b.api.openai.com"])
def test_names_are_compared_as_dns_does(world: World, client: Process, sni: str) -> None:
    assert client("raw", NAMELESS4, sni, "whole")[0] == "ConnectionAbortedError"


def test_two_names_in_a_hello_are_refused(world: World) -> None:
    strict = world.client(3)
    assert strict("raw", NAMELESS4, "other.test", "twice")[0] == "ConnectionAbortedError"
    assert world.told(strict.pid) == [("unreadable", "")]


@pytest.mark.parametrize(("class_id", "expected"), [(1, "answered"), (3, "ConnectionAbortedError")])
@pytest.mark.parametrize(
    ("sni", "how"), [("", "whole"), ("front.test", "ech"), ("", "plain")], ids=["none", "ech", "no tls"]
)
def test_what_has_no_name_is_as_the_class_says(world: World, class_id: int, expected: str, sni: str, how: str) -> None:
    client = world.client(class_id)
    assert client("raw", NAMELESS4, sni, how, 0, "GET / HTTP/1.1\r\n\r\n" if how == "plain" else "")[0] == expected
    if class_id == 3:
        assert world.told(client.pid) == [("no-name", "")]


# -- allow-only --------------------------------------------------------------------------------------------------------


def test_only_what_is_named(world: World) -> None:
    client = world.client(2)
    world.learned(client, "ok.test", "beside.test", "cdn.test")
    assert client("https", ALLOWED4, "ok.test")[0] == "ok"
    assert client("raw", ALLOWED4, "", "whole")[0] == "answered"  # the address is known by an allowed name
    assert client("https", ALLOWED4, "other.test")[0] == "ConnectionAbortedError"
    assert client("connect", ALIAS4) == "PermissionError"
    assert client("https", NAMELESS4, "a.ok.test")[0] == "ok"
    assert client("raw", NAMELESS4, "", "whole")[0] == "ConnectionAbortedError"
    assert client("udp", NAMELESS4, 4433, "send") == "PermissionError"


def test_networks_are_allowed_whatever_the_name(world: World) -> None:
    world.rules(Rule(4, "allow-only", unknown="deny", networks=("192.0.2.13/32", "2001:db8::/64")))
    client = world.client(4)
    world.learned(client, PROVIDER, kind=28)
    assert client("https", NAMELESS4, "anything.test")[0] == "ok"
    assert client("https", DENIED6, "anything.test")[0] == "ok"
    assert client("https", ALLOWED4, "anything.test")[0] == "ConnectionAbortedError"


# -- patterns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        (
            "bedrock-runtime.*.amazonaws.com",
            "bedrock-runtime.eu-west-1.amazonaws.com",
            "bedrock-runtime.a.b.amazonaws.com",
        ),
        ("*-aiplatform.googleapis.com", "us-central1-aiplatform.googleapis.com", "a.us-aiplatform.googleapis.com"),
        ("token-plan-*.xiaomimimo.com", "token-plan-cn.xiaomimimo.com", "token-play-cn.xiaomimimo.com"),
        ("*.cursor.sh", "api2.cursor.sh", "cursor.sh"),
        ("api.groq.com", "api.groq.com", "x.api.groq.com"),
    ],
)
def test_patterns(world: World, pattern: str, fits: str, does_not: str) -> None:
    world.rules(Rule(5, "deny", names=(pattern,)))
    client = world.client(5)
    assert client("raw", NAMELESS4, fits, "whole")[0] == "ConnectionAbortedError"
    assert client("raw", NAMELESS4, does_not, "whole")[0] == "answered"


# -- UDP, other protocols ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["connect", "send"])
@pytest.mark.parametrize("ip", [DENIED4, NAMELESS4, DENIED6], ids=["denied", "nameless", "v6"])
def test_quic_to_what_is_not_known_is_refused(world: World, client: Process, how: str, ip: str) -> None:
    world.learned(client, PROVIDER)
    before = world.datagrams()
    assert client("udp", ip, 443, how) == "PermissionError"
    assert world.datagrams() == before


def test_quic_to_an_allowed_name_passes(world: World, client: Process) -> None:
    world.learned(client, "ok.test")
    assert client("udp", ALLOWED4, 443, "connect") == "quic?"


def test_known_resolvers_over_https(world: World, client: Process) -> None:
    assert client("connect", "1.1.1.1", 443) == "PermissionError"
    assert client("connect", "2606:4700:4700::1111", 853) == "PermissionError"
    assert client("raw", NAMELESS4, "cloudflare-dns.com", "whole")[0] == "ConnectionAbortedError"


@pytest.mark.parametrize("how", ["mptcp", "fastopen"])
def test_other_ways_to_connect(world: World, client: Process, how: str) -> None:
    """Multipath TCP (IPPROTO_MPTCP), and a hello that goes out with the SYN."""
    client("run", "sysctl", "-qw", "net.ipv4.tcp_fastopen=0x607")
    assert client("raw", NAMELESS4, "other.test", how)[0] == "answered"
    told, port = client("raw", NAMELESS4, PROVIDER, how)
    assert (told, world.arrived(port)["raw"]) == ("ConnectionAbortedError", 0)
    world.learned(client, PROVIDER)
    assert "PermissionError" in client("raw", DENIED4, "other.test", how)


# -- connections from before -------------------------------------------------------------------------------------------


def test_older_connections_are_ended(world: World) -> None:
    client = world.client()
    world.learned(client, PROVIDER, "ok.test")
    client("open_tls", "denied", DENIED4, PROVIDER)
    client("open_tls", "allowed", ALLOWED4, "ok.test")
    world.assign(client, 1)
    told, seconds = client("wait", "denied")
    assert (told, seconds < 1) == ("ConnectionAbortedError", True)
    assert client("ask_again", "allowed") == "ok"


def test_a_connection_from_before_that_has_not_said_its_name(world: World) -> None:
    client = world.client()
    port = client("open_tcp", "early", NAMELESS4)
    world.assign(client, 1)
    assert client("hello_on", "early", PROVIDER) == "ConnectionAbortedError"
    assert world.arrived(port)["raw"] == 0


def test_a_new_rule_ends_them_too(world: World) -> None:
    client = world.client(6)
    world.learned(client, "ok.test")
    client("open_tls", "c", ALLOWED4, "ok.test")
    world.rules(Rule(6, "deny", names=("ok.test",)))
    assert client("wait", "c")[0] == "ConnectionAbortedError"


def test_nothing_is_kept_of_connections_that_are_gone(world: World, client: Process) -> None:
    asked = set(world.asked())
    client("open_tcp", "open", NAMELESS4)
    (mine,) = set(world.asked()) - asked
    assert client("connect", "203.0.113.1") == "OSError"  # no route
    assert client("connect", NAMELESS4, 81) == "ConnectionRefusedError"
    assert client("https", NAMELESS4, "other.test")[0] == "ok"
    assert client("https", NAMELESS4, PROVIDER)[0] == "ConnectionAbortedError"
    assert set(world.asked()) - asked == {mine}
    client.close()
    world.until(lambda: mine not in world.asked())


# -- programs as they are ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [PROVIDER, "eu.api.openai.com"])
def test_curl_and_httpx(world: World, client: Process, name: str) -> None:
    code, text = client("run", "curl", "-sSk", "--max-time", "20", f"https://{name}/")
    assert (code != 0, "ok" in text) == (True, False), text
    code, text = client("run", sys.executable, "-c", f"import httpx; httpx.get('https://{name}/', verify=False)")
    assert "httpx.ConnectError" in text or "httpx.ReadError" in text
    code, text = client("run", "curl", "-sSk", "--max-time", "20", "https://ok.test/")
    assert (code, text) == (0, "ok")


def test_answers_of_strangers_do_not_allow(world: World) -> None:
    """A resolver of the workload's own says that an address has an allowed name."""
    world.rules(Rule(7, "allow-only", names=("fake.test",), unknown="deny"), resolvers=("192.0.2.53",))
    client = world.client(7)
    world.learned(client, "fake.test", server="192.0.2.54")
    assert client("raw", NAMELESS4, "", "whole")[0] == "ConnectionAbortedError"
    client("resolve", "fake.test")
    world.until(lambda: world.rung.addresses.get(NAMELESS4).owners["fake.test"].trusted)
    assert client("raw", NAMELESS4, "", "whole")[0] == "answered"
