"""The connect rung without a kernel: events in, what is written to the tables and which connections are ended out."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

import pytest

from leeward.ai.catalogue import default_catalogue
from leeward.enforce.connect import TABLES, ConnectRung
from leeward.enforce.names import kernel_hash
from leeward.enforce.rules import Rule
from leeward.enforce.sockets import Connection
from leeward.model.errors import HostError, InputError
from leeward.model.net import Endpoint
from leeward.model.raw import Datagram, Denied, ProcessExited, ProcessStarted
from leeward.sensor import layout as L
from leeward.sensor.libbpf import BpfError

SECOND = 10**9
RESOLVER = Endpoint("192.0.2.53", 53)
ME = Endpoint("192.0.2.1", 40000)


class Table(dict[bytes, bytes]):
    """A map with room for `most` entries."""

    most = 1 << 20

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if key not in self and len(self) >= self.most:
            raise BpfError("map", 7)
        super().__setitem__(key, value)

    def delete(self, key: bytes) -> bool:
        return self.pop(key, None) is not None


class Sockets:
    """What processes have open, and which of it was ended."""

    def __init__(self) -> None:
        self.open: dict[int, list[Connection]] = {}
        self.ended: list[int] = []
        self.unable = False

    def established(self, pid: int) -> list[Connection]:
        return self.open.get(pid, [])

    def destroy(self, pid: int, proto: str, local: Endpoint, remote: Endpoint, cookie: int = 0) -> bool:
        if self.unable:
            raise HostError("this kernel cannot end sockets")
        self.ended.append(cookie)
        return any(c.cookie == cookie for c in self.open.get(pid, []))


class Rung(ConnectRung):
    def __init__(self, name_of: Callable[[int], str] = lambda _cookie: "", resolvers: tuple[str, ...] = ()) -> None:
        self.tables = {name: Table() for name in TABLES}
        self.sockets = Sockets()
        super().__init__(
            self.tables, default_catalogue(), name_of=name_of, resolvers=resolvers, kernel_sockets=self.sockets
        )

    def answers(self, class_id: int, ip: str, port: int = 0) -> int | None:
        address = ipaddress.ip_address(ip)
        raw = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
        value = self.tables["destinations"].get(struct.pack("<IHH16s", class_id, port, 0, raw))
        return None if value is None else struct.unpack("<I", value)[0]

    def answer(self, ts: int, name: str, *ips: str, chain: tuple[str, ...] = (), server: Endpoint = RESOLVER) -> None:
        self.feed(Datagram(ts, 1, ME, server, False, dns(name, ips, chain), 0))


def wire(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def dns(name: str, ips: tuple[str, ...], chain: tuple[str, ...] = ()) -> bytes:
    """An answer, its addresses at the end of a chain of CNAMEs; TTL 60."""
    records, owner = [], name
    for target in chain:
        records.append(wire(owner) + struct.pack("!HHIH", 5, 1, 60, len(wire(target))) + wire(target))
        owner = target
    for ip in ips:
        raw = ipaddress.ip_address(ip).packed
        records.append(wire(owner) + struct.pack("!HHIH", 1 if len(raw) == 4 else 28, 1, 60, len(raw)) + raw)
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, len(records), 0, 0)
    return head + wire(name) + struct.pack("!HH", 1, 1) + b"".join(records)


NO_OPENAI, ONLY_OK = Rule(1, "deny", providers=("openai",)), Rule(2, "allow-only", names=("ok.test",), unknown="deny")


@pytest.fixture
def rung() -> Rung:
    made = Rung()
    made.rules([NO_OPENAI, ONLY_OK])
    return made


@pytest.mark.parametrize(
    ("name", "chain", "expected"),
    [
        ("api.openai.com", (), (L.DENY, L.DENY)),
        ("alias.test", ("api.openai.com",), (L.DENY, L.DENY)),
        ("api.openai.com", ("edge.cdn.test",), (L.DENY, L.DENY)),
        ("ok.test", (), (L.ALLOW, L.ALLOW)),
        ("ok.test", ("edge.cdn.test",), (L.ALLOW, L.ALLOW)),
        ("other.test", (), (L.ALLOW, L.DENY)),
    ],
)
@pytest.mark.parametrize("ip", ["192.0.2.10", "2001:db8::10"])
def test_an_address_is_as_its_name(
    rung: Rung, name: str, chain: tuple[str, ...], expected: tuple[int, int], ip: str
) -> None:
    rung.answer(0, name, ip, chain=chain)
    assert (rung.answers(1, ip), rung.answers(2, ip)) == expected
    assert rung.names_of(ip) == [name]


def test_an_address_of_several_names_is_asked(rung: Rung) -> None:
    rung.answer(0, "api.openai.com", "192.0.2.10")
    rung.answer(1, "other.test", "192.0.2.10")
    assert (rung.answers(1, "192.0.2.10"), rung.answers(2, "192.0.2.10")) == (L.ASK, L.DENY)
    rung.answer(2, "ok.test", "192.0.2.10")
    assert rung.answers(2, "192.0.2.10") == L.ASK


def test_answers_leave_with_their_time(rung: Rung) -> None:
    rung.answer(0, "api.openai.com", "192.0.2.10")
    rung.answer(300 * SECOND, "other.test", "192.0.2.10")
    assert rung.answers(1, "192.0.2.10") == L.ASK
    rung.feed(ProcessExited(500 * SECOND, 9))
    assert rung.answers(1, "192.0.2.10") == L.ALLOW
    rung.feed(ProcessExited(900 * SECOND, 9))
    assert rung.answers(1, "192.0.2.10") is None


def test_only_answers_that_were_received_count(rung: Rung) -> None:
    rung.feed(Datagram(0, 1, Endpoint("192.0.2.53", 53), ME, True, dns("api.openai.com", ("192.0.2.10",)), 0))
    rung.feed(Datagram(0, 1, ME, RESOLVER, True, dns("api.openai.com", ("192.0.2.10",)), 0))
    rung.feed(Datagram(0, 1, ME, Endpoint("192.0.2.53", 443), False, dns("api.openai.com", ("192.0.2.10",)), 0))
    rung.feed(Datagram(0, 1, ME, RESOLVER, False, b"\0\0", 0))
    assert (rung.answers(1, "192.0.2.10"), rung.counters["bad_dns"]) == (None, 1)


def test_a_strangers_answer_refuses_and_does_not_allow() -> None:
    rung, stranger = Rung(resolvers=("192.0.2.53",)), Endpoint("203.0.113.1", 53)
    rung.rules([NO_OPENAI, ONLY_OK])
    rung.answer(0, "ok.test", "192.0.2.10", server=stranger)
    assert (rung.answers(1, "192.0.2.10"), rung.answers(2, "192.0.2.10")) == (None, None)
    rung.answer(1, "api.openai.com", "192.0.2.10", server=stranger)
    assert (rung.answers(1, "192.0.2.10"), rung.answers(2, "192.0.2.10")) == (L.DENY, L.DENY)
    rung.answer(2, "ok.test", "192.0.2.10")
    assert (rung.answers(1, "192.0.2.10"), rung.answers(2, "192.0.2.10")) == (L.ASK, L.ASK)


def test_rules_are_written_and_what_is_gone_is_taken_away(rung: Rung) -> None:
    rung.answer(0, "api.openai.com", "192.0.2.10")
    key = struct.pack("<IIQ", 1, 0, kernel_hash("api.openai.com"))
    assert rung.tables["names"][key] == struct.pack("<I", L.DENY)
    assert rung.tables["class_rules"][struct.pack("<I", 2)][:8] == struct.pack("<II", L.DENY, L.DENY)
    rung.rules([Rule(3, "deny", names=("x.test",), doh=True, networks=("10.0.0.0/8", "2001:db8::/32"))])
    assert list(rung.tables["class_rules"]) == [struct.pack("<I", 3)]
    assert key not in rung.tables["names"]
    assert rung.answers(1, "192.0.2.10") is None
    assert (rung.answers(3, "192.0.2.10"), rung.answers(3, "1.1.1.1", 443)) == (L.ALLOW, L.DENY)
    assert rung.answers(3, "1.1.1.1") is None
    assert {struct.unpack_from("<II", k) for k in rung.tables["networks"]} == {(32 + 96 + 8, 3), (32 + 32, 3)}


def test_a_bad_rule_changes_nothing(rung: Rung) -> None:
    before = {name: dict(table) for name, table in rung.tables.items()}
    with pytest.raises(InputError):
        rung.rules([Rule(3, "deny", names=("x.test",)), Rule(4, "deny", providers=("nobody",))])
    assert {name: dict(table) for name, table in rung.tables.items()} == before


def test_a_full_table_is_counted_and_filled_when_there_is_room(rung: Rung) -> None:
    rung.tables["destinations"].most = 1
    rung.answer(0, "api.openai.com", "192.0.2.10")
    assert rung.counters["destinations_full"] == 1
    assert (rung.answers(1, "192.0.2.10"), rung.answers(2, "192.0.2.10")) == (L.DENY, None)
    rung.tables["destinations"].most = 2
    rung.rules([NO_OPENAI, ONLY_OK])
    assert rung.answers(2, "192.0.2.10") == L.DENY


def test_patterns_that_the_kernel_cannot_tell_are_counted(rung: Rung) -> None:
    rung.rules([Rule(1, "deny", names=("a.*.*.test",))])
    assert rung.counters["patterns_by_address_only"] == 1
    rung.answer(0, "a.b.c.test", "192.0.2.10")
    assert rung.answers(1, "192.0.2.10") == L.DENY


# -- processes and their connections -----------------------------------------------------------------------------------


def connection(cookie: int, ip: str, port: int = 443, proto: str = "tcp", *, inbound: bool = False) -> Connection:
    return Connection(proto, ME, Endpoint(ip, port), cookie, 0, 0, False, inbound)


@pytest.mark.parametrize(
    ("class_id", "open_", "name", "fate"),
    [
        (1, connection(5, "192.0.2.10"), "", "ended"),
        (1, connection(5, "192.0.2.11"), "", "asked"),
        (1, connection(5, "192.0.2.11"), "api.openai.com", "ended"),
        (1, connection(5, "192.0.2.99"), "", "asked"),
        (1, connection(5, "192.0.2.99"), "other.test", "left"),
        (1, connection(5, "192.0.2.10", inbound=True), "", "left"),
        (1, connection(5, "192.0.2.99", 443, "udp"), "", "ended"),
        (1, connection(5, "192.0.2.11", 443, "udp"), "", "left"),
        (1, connection(5, "192.0.2.99", 123, "udp"), "", "left"),
        (2, connection(5, "192.0.2.11"), "", "asked"),
        (2, connection(5, "192.0.2.11"), "other.test", "ended"),
        (2, connection(5, "192.0.2.99"), "", "ended"),
        (2, connection(5, "192.0.2.99"), "ok.test", "left"),
        (2, connection(5, "192.0.2.99", 123, "udp"), "", "ended"),
        (2, connection(5, "192.0.2.99", 53, "udp"), "", "left"),
        (2, connection(5, "127.0.0.1", 5432), "", "asked"),
        (3, connection(5, "10.1.2.3", 5432), "x.test", "left"),
        (4, connection(5, "10.1.2.3", 5432), "x.test", "ended"),
        (4, connection(5, "1.1.1.1"), "", "ended"),
        (9, connection(5, "192.0.2.10"), "", "left"),
    ],
)
def test_connections_from_before(class_id: int, open_: Connection, name: str, fate: str) -> None:
    rung = Rung(name_of=lambda cookie: name if cookie == 5 else "")
    more = [Rule(n, m, networks=("10.0.0.0/8",), doh=True, unknown="deny") for n, m in ((3, "allow-only"), (4, "deny"))]
    rung.rules([NO_OPENAI, ONLY_OK, *more])
    rung.answer(0, "api.openai.com", "192.0.2.10")
    rung.answer(0, "ok.test", "192.0.2.11")
    rung.sockets.open[77] = [open_]
    rung.assign(77, class_id)
    asked = [struct.unpack("<Q", key)[0] for key in rung.tables["asks"]]
    assert (rung.sockets.ended, asked) == ([5] if fate == "ended" else [], [5] if fate == "asked" else [])
    assert rung.tables["classes"] == {struct.pack("<I", 77): struct.pack("<I", class_id)}


def test_new_rules_judge_open_connections_of_children_too(rung: Rung) -> None:
    rung.assign(77, 1)
    rung.feed(ProcessStarted(0, 78, 77, 0))
    rung.feed(ProcessStarted(0, 80, 79, 0))
    rung.sockets.open = {pid: [connection(pid, "192.0.2.10")] for pid in (77, 78, 80)}
    rung.answer(0, "late.test", "192.0.2.10")
    assert rung.sockets.ended == []
    rung.rules([Rule(1, "deny", names=("late.test",))])
    assert rung.sockets.ended == [77, 78]


def test_who_is_gone_or_released_is_not_judged(rung: Rung) -> None:
    for pid in (77, 78):
        rung.assign(pid, 1)
        rung.sockets.open[pid] = [connection(pid, "192.0.2.10")]
    rung.feed(ProcessExited(0, 77))
    rung.release(78)
    rung.answer(0, "late.test", "192.0.2.10")
    rung.rules([Rule(1, "deny", names=("late.test",))])
    assert rung.sockets.ended == []
    assert struct.pack("<I", 78) not in rung.tables["classes"]


@pytest.mark.parametrize(
    ("reason", "ended"), [("name", 1), ("no-name", 1), ("unreadable", 1), ("address", 0), ("quic", 0), ("limit", 0)]
)
def test_what_was_refused_when_it_was_open_is_ended(rung: Rung, reason: str, ended: int) -> None:
    rung.sockets.open[77] = [connection(5, "192.0.2.10")]
    rung.feed(Denied(0, 5, 77, "tcp", ME, Endpoint("192.0.2.10", 443), 1, reason))
    assert len(rung.sockets.ended) == ended
    assert (rung.counters["connections_ended"], rung.counters["connections_gone_before_end"]) == (ended, 0)
    if ended:
        rung.feed(Denied(0, 6, 77, "tcp", ME, Endpoint("192.0.2.10", 443), 1, reason))
        assert rung.counters["connections_gone_before_end"] == 1


def test_a_kernel_that_cannot_end_connections(rung: Rung) -> None:
    rung.sockets.unable = True
    rung.feed(Denied(0, 5, 77, "tcp", ME, Endpoint("192.0.2.10", 443), 1, "name"))
    assert rung.counters["connections_not_ended"] == 1


def test_cgroups(rung: Rung) -> None:
    rung.assign_cgroup(1234, 2)
    assert rung.tables["cgroup_classes"] == {struct.pack("<Q", 1234): struct.pack("<I", 2)}
    rung.release_cgroup(1234)
    assert rung.tables["cgroup_classes"] == {}
