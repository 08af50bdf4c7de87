"""DNS messages (RFC 1035), and the table of names that connections get theirs from. Never raises on garbage."""

from __future__ import annotations

from collections import Counter, OrderedDict
from socket import AF_INET, AF_INET6, inet_ntop

import msgspec

_A, _CNAME, _AAAA, _SVCB, _HTTPS = 1, 5, 28, 64, 65  # IANA DNS RR types
_IPV4_HINT, _IPV6_HINT = 4, 6  # RFC 9460 14.3.2
_MOST_RECORDS = 256
_GRACE_NS = 300 * 10**9  # connections follow answers by minutes; clients keep answers beyond their TTL


class Answer(msgspec.Struct, frozen=True, gc=False):
    """data: an address in text form, or a name. ttl: seconds."""

    name: str
    type: int
    ttl: int
    data: str


class DnsMessage(msgspec.Struct, frozen=True):
    """damaged: not all of its answers can be read, or they are not as many as it says."""

    id: int
    response: bool
    rcode: int
    questions: tuple[tuple[str, int], ...]
    answers: tuple[Answer, ...]
    damaged: bool = False


class _Bad(Exception):
    """The message cannot be read further."""


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name and the offset behind it. Pointers may only go backwards (RFC 1035 4.1.4), so there are no loops."""
    labels: list[str] = []
    behind, lowest, size = 0, at, 0
    while True:
        if at >= len(data):
            raise _Bad
        length = data[at]
        if length >= 0xC0:
            if at + 1 >= len(data):
                raise _Bad
            behind = behind or at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            if at >= lowest:
                raise _Bad
            lowest = at
            continue
        if length > 63:
            raise _Bad
        at += 1
        if not length:
            return ".".join(labels), behind or at
        raw = data[at : at + length]
        size += length + 1
        if len(raw) < length or size > 255:
            raise _Bad
        labels.append("".join(chr(b) if 0x21 <= b < 0x7F and b not in b".\\" else f"\\{b:03d}" for b in raw.lower()))
        at += length


def _hints(data: bytes, name: str, kind: int, ttl: int, at: int, end: int) -> list[Answer]:
    """SVCB and HTTPS records (RFC 9460 2.2): the target, and addresses given beside it."""
    target, at = _name(data, at + 2)
    answers = [Answer(name, _CNAME, ttl, target)] if target else []
    owner = target or name
    while at + 4 <= end:
        key, size = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        value = data[at + 4 : min(at + 4 + size, end)]
        if key == _IPV4_HINT:
            answers += [
                Answer(owner, _A, ttl, inet_ntop(AF_INET, value[i : i + 4])) for i in range(0, len(value) - 3, 4)
            ]
        elif key == _IPV6_HINT:
            answers += [
                Answer(owner, _AAAA, ttl, inet_ntop(AF_INET6, value[i : i + 16])) for i in range(0, len(value) - 15, 16)
            ]
        at += 4 + size
    return answers


def parse_dns(data: bytes) -> DnsMessage | None:
    """A UDP payload. None if not even its questions can be read; answers that cannot be are left out."""
    if len(data) < 12:
        return None
    ident, flags, asked, told = (int.from_bytes(data[i : i + 2]) for i in (0, 2, 4, 6))
    if asked > 16:
        return None
    questions: list[tuple[str, int]] = []
    answers: list[Answer] = []
    at = 12
    try:
        for _ in range(asked):
            name, at = _name(data, at)
            if at + 4 > len(data):
                return None
            questions.append((name, int.from_bytes(data[at : at + 2])))
            at += 4
    except _Bad:
        return None
    damaged = False
    try:
        for _ in range(min(told, _MOST_RECORDS)):
            name, at = _name(data, at)
            if at + 10 > len(data):
                raise _Bad
            kind, ttl = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 4 : at + 8])
            start, end = at + 10, at + 10 + int.from_bytes(data[at + 8 : at + 10])
            if end > len(data):
                raise _Bad
            if kind == _A and end - start == 4:
                answers.append(Answer(name, kind, ttl, inet_ntop(AF_INET, data[start:end])))
            elif kind == _AAAA and end - start == 16:
                answers.append(Answer(name, kind, ttl, inet_ntop(AF_INET6, data[start:end])))
            elif kind == _CNAME:
                answers.append(Answer(name, kind, ttl, _name(data, start)[0]))
            elif kind in (_SVCB, _HTTPS):
                answers += _hints(data, name, kind, ttl, start, end)
            at = end
    except _Bad:
        damaged = True  # what was read before it stands
    return DnsMessage(ident, bool(flags & 0x8000), flags & 15, tuple(questions), tuple(answers), damaged)


class Resolved(msgspec.Struct, frozen=True):
    """Where an answer leads. names: the one asked, then those of its chain of CNAMEs. addresses: (text form, TTL in seconds)."""

    names: tuple[str, ...] = ()
    addresses: tuple[tuple[str, int], ...] = ()


def resolved(message: DnsMessage) -> Resolved:
    """What a response says of the name that was asked for; records of other names are none of it."""
    if not message.response or not message.questions:
        return Resolved()
    names = {message.questions[0][0]: None}
    addresses = []
    for answer in message.answers:
        if answer.name not in names:
            continue
        if answer.type == _CNAME:
            names[answer.data] = None
        else:
            addresses.append((answer.data, answer.ttl))
    return Resolved(tuple(names), tuple(addresses))


class NameTable:
    """Address → the name that was asked for. Bounded; the least recently learned leave first."""

    def __init__(self, limit: int = 65536) -> None:
        self.counters: Counter[str] = Counter()
        self._limit = limit
        self._names: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def learn(self, ts: int, message: DnsMessage) -> None:
        """Takes the addresses of an answer; chains of CNAME lead back to the name asked."""
        found = resolved(message)
        for address, ttl in found.addresses:
            self._names[address] = (found.names[0], ts + ttl * 10**9 + _GRACE_NS)
            self._names.move_to_end(address)
        while len(self._names) > self._limit:
            self._names.popitem(last=False)
            self.counters["names_evicted"] += 1

    def name_for(self, ip: str, ts: int) -> str:
        """The name whose answer led to `ip`, "" if none is known or it is too old."""
        name, until = self._names.get(ip, ("", 0))
        return name if ts <= until else ""
