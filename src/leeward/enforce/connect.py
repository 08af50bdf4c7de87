"""The connect rung: keeps the kernel's tables (bpf/deny.h) in step with rules, processes and DNS answers, and ends connections.

Invariants: what is not in the tables is asked about by name, so an entry that is missing, late or evicted never allows what a
name would refuse; a table that is full is counted. Fed with the sensor's events in their order; reads no clock. When this process
ends its programs go with it, and everything is allowed again.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from struct import Struct
from typing import Final, Protocol

from leeward.ai.catalogue import Catalogue
from leeward.enforce import sockets
from leeward.enforce.addresses import Addresses, Place
from leeward.enforce.names import canonical
from leeward.enforce.rules import Compiled, Rule, compile_rule
from leeward.enforce.sockets import Connection
from leeward.model.errors import HostError
from leeward.model.net import Endpoint
from leeward.model.raw import Datagram, Denied, ProcessExited, ProcessStarted, RawEvent
from leeward.sensor import layout as L
from leeward.sensor.libbpf import BpfError
from leeward.wire.dns import parse_dns, resolved

_U32, _U64 = Struct("<I"), Struct("<Q")
_DNS, _HTTPS = 53, 443
_EXPIRE_NS: Final = 10 * 10**9
#: The kernel's tables that are written here.
TABLES: Final = ("classes", "cgroup_classes", "class_rules", "destinations", "networks", "names", "asks")
#: Refused when the hello left: the connection is there, and is ended.
_LATE: Final = frozenset(("name", "no-name", "unreadable"))


class Table(Protocol):
    """A map of the kernel's."""

    def __setitem__(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> bool: ...


class Sockets(Protocol):
    """enforce/sockets.py."""

    def established(self, pid: int) -> list[Connection]: ...
    def destroy(self, pid: int, proto: str, local: Endpoint, remote: Endpoint, cookie: int = 0) -> bool: ...


class ConnectRung:
    """`tables`: the kernel's, by the names in `TABLES`. `name_of`: the SNI that was seen on the socket of a cookie, "" for none.
    `resolvers`: addresses of the DNS servers whose answers allow; if none are given, all do. What any server answers refuses."""

    def __init__(
        self,
        tables: Mapping[str, Table],
        catalogue: Catalogue,
        *,
        name_of: Callable[[int], str] = lambda _cookie: "",
        resolvers: Iterable[str] = (),
        kernel_sockets: Sockets = sockets,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.addresses = Addresses()
        self._tables, self._catalogue, self._name_of = tables, catalogue, name_of
        self._resolvers, self._sockets = frozenset(resolvers), kernel_sockets
        self._rules: dict[int, Compiled] = {}
        self._members: dict[int, int] = {}
        self._written: dict[str, dict[bytes, bytes]] = {name: {} for name in ("destinations", "networks", "names")}
        self._expired = 0

    # -- told ----------------------------------------------------------------------------------------------------

    def rules(self, rules: Iterable[Rule]) -> None:
        """Puts these in the place of all rules before, and judges open connections anew. Raises InputError, and changes nothing
        then, if one of them cannot be understood."""
        fresh = {rule.class_id: compile_rule(rule, self._catalogue) for rule in rules}
        gone, self._rules = self._rules.keys() - fresh.keys(), fresh
        self._lay_out()
        for class_id, compiled in fresh.items():
            self._put("class_rules", _U32.pack(class_id), L.CLASS_RULE.pack(compiled.unlisted, compiled.unknown, 0, 0))
        for class_id in gone:
            self._tables["class_rules"].delete(_U32.pack(class_id))
        self.counters["patterns_by_address_only"] = sum(len(c.patterns.by_address_only) for c in fresh.values())
        for pid in self._members:
            self._judge_open(pid)

    def assign(self, pid: int, class_id: int) -> None:
        """This process, and every child to come, is of this class; its connections to what the class may not reach are ended."""
        self._members[pid] = class_id
        self._put("classes", _U32.pack(pid), _U32.pack(class_id))
        self._judge_open(pid)

    def release(self, pid: int) -> None:
        """This process may go anywhere again; its children keep their class."""
        self._members.pop(pid, None)
        self._tables["classes"].delete(_U32.pack(pid))

    def assign_cgroup(self, cgroup_id: int, class_id: int) -> None:
        """Whatever begins a program in this cgroup (v2, by its inode) is of this class from its first instruction on."""
        self._put("cgroup_classes", _U64.pack(cgroup_id), _U32.pack(class_id))

    def release_cgroup(self, cgroup_id: int) -> None:
        self._tables["cgroup_classes"].delete(_U64.pack(cgroup_id))

    def feed(self, event: RawEvent) -> None:
        """One of the sensor's events."""
        match event:
            case Datagram() if event.remote.port == _DNS and not event.sent:
                self._learn(event)
            case ProcessStarted() if event.ppid in self._members:
                self._members[event.pid] = self._members[event.ppid]
            case ProcessExited():
                self._members.pop(event.pid, None)
            case Denied() if event.reason in _LATE:
                self._end(event.pid, "tcp", event.local, event.remote, event.sock)
            case _:
                pass  # none of its business
        if event.ts - self._expired > _EXPIRE_NS:
            self._expired = event.ts
            self._place(self.addresses.expire(event.ts))

    def names_of(self, ip: str) -> list[str]:
        """The names that an address was asked for by, for people."""
        place = self.addresses.get(ip)
        return sorted(place.owners) if place else []

    # -- tables --------------------------------------------------------------------------------------------------

    def _put(self, table: str, key: bytes, value: bytes) -> bool:
        try:
            self._tables[table][key] = value
        except BpfError:
            self.counters[f"{table}_full"] += 1
            return False
        return True

    def _write(self, table: str, wanted: dict[bytes, bytes]) -> None:
        """Makes a table say `wanted`, what is new first."""
        written = self._written[table]
        for key, value in wanted.items():
            if written.get(key) != value and self._put(table, key, value):
                written[key] = value
        for key in written.keys() - wanted.keys():
            self._tables[table].delete(key)
            del written[key]

    def _lay_out(self) -> None:
        names: dict[bytes, bytes] = {}
        networks: dict[bytes, bytes] = {}
        for class_id, compiled in self._rules.items():
            for value, answer in compiled.patterns.hashes.items():
                names[L.NAME_KEY.pack(class_id, 0, value)] = _U32.pack(answer)
            for network, answer in compiled.networks.items():
                bits = network.prefixlen + (96 if network.version == 4 else 0)
                address = _mapped(str(network.network_address))
                networks[L.NETWORK.pack(32 + bits, class_id, address)] = _U32.pack(answer)
        self._write("names", names)
        self._write("networks", networks)
        self._write("destinations", self._destinations(self.addresses.known()) | self._fixed())

    def _fixed(self) -> dict[bytes, bytes]:
        return {
            L.DESTINATION.pack(class_id, port, _mapped(ip)): _U32.pack(answer)
            for class_id, compiled in self._rules.items()
            for (ip, port), answer in compiled.places.items()
        }

    def _destinations(self, addresses: Iterable[str]) -> dict[bytes, bytes]:
        wanted = {}
        for ip in addresses:
            place = self.addresses.get(ip)
            for class_id, compiled in self._rules.items():
                answer = _answer(compiled, place) if place else None
                if answer is not None:
                    wanted[L.DESTINATION.pack(class_id, 0, _mapped(ip))] = _U32.pack(answer)
        return wanted

    def _place(self, news: Iterable[str]) -> None:
        """Writes what the classes answer for addresses that have other names now."""
        written = self._written["destinations"]
        for ip in news:
            wanted = self._destinations([ip])
            for class_id in self._rules:
                key = L.DESTINATION.pack(class_id, 0, _mapped(ip))
                value = wanted.get(key)
                if value is None and written.pop(key, None) is not None:
                    self._tables["destinations"].delete(key)
                elif value is not None and written.get(key) != value and self._put("destinations", key, value):
                    written[key] = value

    def _learn(self, event: Datagram) -> None:
        message = parse_dns(event.data)
        if message is None:
            self.counters["bad_dns"] += 1
            return
        trusted = not self._resolvers or event.remote.ip in self._resolvers
        self._place(self.addresses.learn(event.ts, resolved(message), trusted=trusted))

    # -- connections ---------------------------------------------------------------------------------------------

    def _judge_open(self, pid: int) -> None:
        """The connections that a process has already: those that its class may not have are ended, those that have not said
        their name yet will be asked."""
        compiled = self._rules.get(self._members[pid])
        if compiled is None:
            return
        for connection in self._sockets.established(pid):
            if connection.inbound:
                continue
            answer = self._open_answer(compiled, connection)
            if answer == L.DENY:
                self._end(pid, connection.proto, connection.local, connection.remote, connection.cookie)
            elif answer == L.ASK:
                self._ask(pid, compiled, connection)

    def _open_answer(self, compiled: Compiled, connection: Connection) -> int:
        """DENY, ALLOW, or ASK: not known until it says its name."""
        ip, port = connection.remote.ip, connection.remote.port
        place = self.addresses.get(ip)
        answer = compiled.of_network(ip) or compiled.places.get((ip, port))
        answer = answer or (_answer(compiled, place) if place else None)
        known = answer == L.ALLOW or port == _DNS or ipaddress.ip_address(ip).is_loopback
        if answer in (L.DENY, L.PASS):
            return L.DENY if answer == L.DENY else L.ALLOW
        if connection.proto == "udp":
            quic = port == _HTTPS and answer != L.ALLOW
            return L.DENY if quic or not (known or compiled.unknown == L.ALLOW) else L.ALLOW
        name = canonical(self._name_of(connection.cookie))
        if name:
            return compiled.of_names((name,))
        return L.ASK if known or compiled.unknown == L.ALLOW else L.DENY

    def _ask(self, pid: int, compiled: Compiled, connection: Connection) -> None:
        ask = L.ASK_ENTRY.pack(compiled.rule.class_id, pid, L.ALLOW, *([0] * 23), b"", b"", b"")
        self._put("asks", _U64.pack(connection.cookie), ask)

    def _end(self, pid: int, proto: str, local: Endpoint, remote: Endpoint, cookie: int) -> None:
        try:
            ended = self._sockets.destroy(pid, proto, local, remote, cookie)
        except HostError:
            self.counters["connections_not_ended"] += 1  # refused all the same: its client waits for its time-out
            return
        self.counters["connections_ended" if ended else "connections_gone_before_end"] += 1


def _mapped(ip: str) -> bytes:
    """An address as the kernel's tables have it: of IPv6, those of IPv4 mapped."""
    address = ipaddress.ip_address(ip)
    return b"\0" * 10 + b"\xff\xff" + address.packed if address.version == 4 else address.packed


def _answer(compiled: Compiled, place: Place) -> int | None:
    """What a class answers for an address: ASK if some of its names are refused and some are not; None if it has no name whose
    word counts."""
    if place.crowded:
        return L.ASK
    found = {(compiled.of_names(owner.names), owner.trusted) for owner in place.owners.values()}
    answers = {answer for answer, trusted in found if answer == L.DENY or trusted}
    if not answers:
        return None
    return answers.pop() if len(answers) == 1 else L.ASK
