"""Addresses, names, services, programs, and what is remembered of them."""

from __future__ import annotations

import ipaddress
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_activities import NOON, SECOND, process

from leeward.detect import destinations
from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import address_kind, is_internal, service_of
from leeward.detect.lists import groups, load_groups
from leeward.detect.roles import role
from leeward.model.errors import InputError


@pytest.mark.parametrize(
    ("ip", "kind"),
    [
        ("127.0.0.1", "loopback"), ("::1", "loopback"), ("10.1.2.3", "private"), ("172.16.0.1", "private"),
        ("172.32.0.1", "public"),
        ("192.168.1.1", "private"), ("100.64.0.1", "private"), ("100.128.0.1", "public"), ("169.254.169.254", "link-local"),
        ("fd00::1", "private"), ("fe80::1%eth0", "link-local"), ("224.0.0.1", "multicast"), ("0.0.0.0", "any"), ("::", "any"),
        ("203.0.113.7", "public"), ("2001:db8::1", "public"), ("::ffff:10.0.0.1", "private"), ("/run/x.sock", ""),
        ("example.com", ""),
        ("1.2.3", ""), ("1.2.3.400", ""), ("", ""),
    ],
)  # fmt: skip
def test_kinds_of_addresses(ip: str, kind: str) -> None:
    assert address_kind(ip) == kind


@given(st.ip_addresses(v=4))
def test_the_quick_way_says_the_same(address: ipaddress.IPv4Address) -> None:
    expected = next((kind for kind, network in destinations._KINDS if address in network), "public")
    assert address_kind(str(address)) == expected


@given(st.text(max_size=30))
def test_anything_may_stand_for_an_address(text: str) -> None:
    assert address_kind(text) in ("", "public", "private", "loopback", "link-local", "multicast", "any")


def test_services_by_the_longest_name() -> None:
    assert service_of("gateway.discord.gg") == "work"
    assert service_of("api.telegram.org") == "messenger"
    assert service_of("x.blob.core.windows.net") == "storage"
    assert service_of("update.windows.net") == "cloud"
    assert service_of("notpastebin.com") == ""
    assert is_internal("db")
    assert is_internal("a.svc.cluster.local")
    assert not is_internal("local.example.com")


@pytest.mark.parametrize(
    ("argv", "kind", "name"),
    [
        (("/usr/bin/bash", "bash", "/srv/run.sh"), "shell", "bash"),
        (("/usr/bin/python3.11", "python3", "-u", "/usr/bin/waagent"), "script", "waagent"),
        (("/usr/bin/python3.11", "python3", "-m", "twine", "upload"), "script", "twine"),
        (("/usr/bin/python3.11", "python3", "-c", "x"), "inline", "python"),
        (("/usr/bin/python3.11", "python3"), "inline", "python"),
        (("/usr/bin/node", "node", "server.js"), "script", "server"),
        (("/usr/bin/busybox", "nc", "x"), "tool", "nc"),
        (("/usr/bin/busybox", "busybox", "wget"), "tool", "wget"),
        (("/dev/shm/prometheus", "prometheus"), "odd", "prometheus"),
        (("/usr/bin/x (deleted)", "x"), "odd", "x"),
        (("/memfd:x (deleted)", "x"), "odd", "memfd:x"),
        (("/work/.venv/bin/server", "server"), "installed", "server"),
        (("", ""), "unknown", ""),
    ],
)
def test_what_programs_are(argv: tuple[str, ...], kind: str, name: str) -> None:
    found = role(process(*argv))
    assert (found.kind, found.name) == (kind, name)


def test_a_name_counts_only_where_programs_are_installed() -> None:
    assert "agent" in role(process("/usr/bin/prometheus")).groups or role(process("/usr/bin/prometheus")).groups
    assert not role(process("/tmp/prometheus")).groups
    assert "cloud" not in role(process("/usr/bin/python3", "python3", "/tmp/waagent")).groups


def test_a_services_name_says_what_its_own_programs_are_for() -> None:
    unit = "systemd:zabbix-proxy.service"
    assert "monitor" in role(process("/usr/bin/node", "node", "/srv/zabbix/proxy.js", workload=unit)).groups
    assert not role(process("/usr/bin/bash", "bash", "-c", "x", workload=unit)).groups & {"monitor"}
    assert not role(process("/usr/bin/curl", "curl", "x", workload=unit)).groups & {"monitor"}
    assert not role(process("/tmp/x", workload=unit)).groups


class Entry(Kept):
    value: int = 0


def test_a_busy_group_forgets_its_own() -> None:
    counters: Counter[str] = Counter()
    kept: Bounded[Entry] = Bounded("kept", counters, limit=100, age_ns=10 * SECOND, share=4)
    kept.put("quiet", 0, Entry(), NOON)
    for n in range(1000):
        kept.put("busy", n, Entry(), NOON + n)
    assert kept.get("quiet", 0, NOON + 2000) is not None
    assert len(kept) == 26
    assert counters["kept_evicted"] == 975


def test_the_whole_is_bounded_and_the_longest_unused_leaves() -> None:
    kept: Bounded[Entry] = Bounded("kept", Counter(), limit=10, age_ns=10**18, share=1)
    for n in range(10):
        kept.put(n, "x", Entry(value=n), NOON + n * 2 * SECOND)
    assert kept.get(0, "x", NOON + 100 * SECOND) is not None
    kept.put(10, "x", Entry(), NOON + 101 * SECOND)
    assert kept.peek(0, "x") is not None
    assert kept.peek(1, "x") is None
    assert len(kept) == 10


def test_what_is_old_is_gone() -> None:
    kept: Bounded[Entry] = Bounded("kept", Counter(), limit=1000, age_ns=10 * SECOND)
    for n in range(200):
        kept.put(n, "x", Entry(), NOON)
    assert kept.get(0, "x", NOON + 11 * SECOND) is None
    for _ in range(4):
        kept.expire(NOON + 11 * SECOND)
    assert len(kept) == 0
    assert list(kept.of(5)) == []


@pytest.mark.parametrize("name", ["suffixes", "services", "programs", "ports", "mining", "metadata"])
def test_lists_are_sound(name: str) -> None:
    for group, members in groups(name).items():
        assert len(set(members)) == len(members), (name, group)
        assert all(member == member.strip() for member in members)


def test_a_group_that_stands_twice_is_refused(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "x.yaml"
    path.write_text("groups:\n  - {name: a, why: x, members: [b]}\n  - {name: a, why: x, members: [c]}\n")
    with pytest.raises(InputError, match=r"x\.yaml:3"):
        load_groups(path)


def test_a_script_that_lies_where_anybody_may_write() -> None:
    assert role(process("/usr/bin/python3", "python3", "/tmp/.x/go.py")).kind == "inline"
    assert role(process("/usr/bin/python3", "python3", "/tmp/ray/session_1/job.py")).kind == "script"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("/srv/shop/uploads/2026/11/avatar.php", "dropped"), ("/var/www/html/wp-content/cache/x.php", "dropped"),
        ("/home/app/.cache/fontconfig/up.pl", "dropped"), ("/srv/shop/app.php", "script"),
        ("/root/.cache/uv/archive-v0/a1/bin/tool.py", "script"), ("/home/ci/.cache/pre-commit/repo1/hook.py", "script"),
        ("/home/bob/.ansible/tmp/ansible-tmp-1/AnsiballZ_setup.py", "script"), ("cache/x.py", "script"),
    ],
)  # fmt: skip
def test_a_script_that_lies_where_a_service_writes_what_it_is_given(script: str, kind: str) -> None:
    assert role(process("/usr/bin/python3", "python3", script)).kind == kind


def test_what_is_old_leaves_a_group_that_is_in_use() -> None:
    kept: Bounded[Entry] = Bounded("kept", Counter(), limit=1000, age_ns=10 * SECOND, share=1)
    for n in range(100):
        kept.put("", n, Entry(), NOON + n * SECOND)
    assert len(kept) == 11
    assert kept.get("", 95, NOON + 99 * SECOND) is not None
