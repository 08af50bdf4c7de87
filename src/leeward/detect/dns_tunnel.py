"""Rule `dns-tunnel`: data inside questions of DNS, or inside their answers.

A tunnel or an exfiltration must ask for names that nobody asked before (caches would swallow the rest) below a domain whose
server its owner runs, and the names must carry the data. So what is added up for each (workload, registered domain) is the
information in names that are new: characters times the bits that their alphabet can carry. Host names, words, reversed
addresses, service labels and search domains carry next to nothing that way. Forgets with a half-life of hours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import is_internal, registered, service_of
from leeward.detect.detector import occurrence
from leeward.detect.lists import groups
from leeward.detect.names import Echoes
from leeward.detect.roles import role
from leeward.detect.rule import rules
from leeward.model.activity import Activity, NameAsked
from leeward.model.finding import Finding
from leeward.model.times import iso

_RULE = "dns-tunnel"
_AGE_NS = 3 * 86_400 * 10**9
_REMEMBERED = 1024  # hashes of a domain's names
_CARRIERS = frozenset(
    (5, 10, 15, 16, 25, 33, 65, 255, 65399)
)  # RR types: CNAME NULL MX TXT KEY SRV HTTPS ANY, iodine's PRIVATE
_HEX = re.compile(r"[0-9a-f]+")
_WORD = re.compile(r"[a-z]+([-]?[a-z]+)*\d{0,4}")
_VOWELS = frozenset("aeiouy")


class _Zone(Kept, kw_only=True):
    """What was asked below a domain. information: bytes in new names. at: when the sums were right. next: information at which to
    look again."""

    at: int
    next: float
    names: set[int] = msgspec.field(default_factory=set)
    asked: float = 0.0
    fresh: float = 0.0
    information: float = 0.0
    carriers: float = 0.0
    carried: float = 0.0
    missing: float = 0.0
    answered: float = 0.0
    foreign: bool = False
    longest: int = 0


class DnsTunnel:
    """is_provider: is this the name of an AI service's host?"""

    hears: tuple[type[Activity], ...] = (NameAsked,)

    def __init__(self, is_provider: Callable[[str], object]) -> None:
        self.counters: Counter[str] = Counter()
        self.closest: dict[str, float] = {}
        self._is_provider = is_provider
        self._settings = rules()[_RULE].settings
        self._half_ns = self._settings["half_life_hours"] * 3600e9
        self._ends = frozenset(groups("suffixes")["public"])
        self._zones: Bounded[_Zone] = Bounded("dns_tunnel", self.counters, 32768, _AGE_NS)
        self._echoes = Echoes("dns_tunnel", self.counters)

    def feed(self, activity: NameAsked) -> list[Finding]:
        name = activity.name
        if is_internal(name):
            return []
        domain = registered(name)
        below = name[: -len(domain) - 1]
        if not below or service_of(name) not in ("", "dropzone", "messenger", "dynamic-dns") or self._is_provider(name):
            return []
        if self._echoes.heard(activity):
            return []
        zone = self._zone(activity.process.workload.id, domain, activity.ts)
        if activity.rcode == -1:
            return self._asked(activity, zone, domain, below)
        self._answered(activity, zone)
        return []

    def tick(self, ts: int) -> list[Finding]:
        self._zones.expire(ts)
        return []

    def _zone(self, who: str, domain: str, ts: int) -> _Zone:
        zone = self._zones.get(who, domain, ts)
        if zone is None:
            first = _Zone(at=ts, next=float(self._settings["information_bytes"]))
            return self._zones.put(who, domain, first, ts)
        if ts - zone.at > 60 * 10**9:
            left = 0.5 ** ((ts - zone.at) / self._half_ns)
            zone.at = ts
            for field in ("asked", "fresh", "information", "carriers", "carried", "missing", "answered"):
                setattr(zone, field, getattr(zone, field) * left)
            zone.next = max(float(self._settings["information_bytes"]), zone.next * left)
        return zone

    def _answered(self, activity: NameAsked, zone: _Zone) -> None:
        zone.answered += 1
        zone.missing += activity.rcode == 3
        if activity.query in _CARRIERS and activity.rcode == 0 and activity.records:
            zone.carried += max(0, activity.size - len(activity.name) - 40)  # header, question, the record's own fields
        if activity.rcode == 0 and any(not data.startswith("127.") for data in activity.answers):
            zone.foreign = True  # lists answer with 127.0.0.0/8 or not at all (RFC 5782 2.1)

    def _asked(self, activity: NameAsked, zone: _Zone, domain: str, below: str) -> list[Finding]:
        zone.asked += 1
        zone.carriers += activity.query in _CARRIERS
        key = hash((below, activity.query in _CARRIERS))
        if key in zone.names:
            return []
        if len(zone.names) >= _REMEMBERED:
            zone.names = set()
        zone.names.add(key)
        zone.fresh += 1
        zone.longest = max(zone.longest, len(below))
        zone.information += information(below, self._ends, zone.foreign)
        return self._look(activity, zone, domain)

    def _look(self, activity: NameAsked, zone: _Zone, domain: str) -> list[Finding]:
        """Is there more in it than host names carry?"""
        settings = self._settings
        if zone.fresh < settings["names"] or zone.fresh < settings["fresh_share"] * zone.asked:
            return []
        carrying = zone.carriers >= settings["carrier_share"] * zone.asked
        each = zone.information / zone.fresh
        if each >= settings["carrier_each" if carrying else "each"]:
            self.closest[_RULE] = max(self.closest.get(_RULE, 0.0), zone.information / settings["information_bytes"])
        upwards = zone.information >= zone.next and each >= settings["carrier_each" if carrying else "each"]
        downwards = carrying and zone.carried >= max(zone.next, settings["carried_bytes"])
        if not upwards and not downwards:
            return []
        value = max(zone.information, zone.carried if downwards else 0)
        threshold = settings["information_bytes"] if upwards else settings["carried_bytes"]
        zone.next = 2 * value
        program = role(activity.process)
        strong = program.by_hand or (carrying and upwards) or zone.information >= settings["much_bytes"]
        evidence = {
            "type": "dns", "time": iso(activity.ts), "names": round(zone.fresh), "asked": round(zone.asked),
            "bytes_each": round(each, 1), "bytes_in_answers": round(zone.carried), "longest": zone.longest,
            "carrier_share": round(zone.carriers / zone.asked, 2),
            "missing_share": round(zone.missing / max(1.0, zone.answered), 2),
            "server": str(activity.server) if activity.server else "", "value": round(value), "threshold": threshold,
            "margin": round(value - threshold),
        }  # fmt: skip
        return [
            occurrence(
                _RULE, activity.process, activity.ts, f"about {round(value)} bytes in names below {domain}", same=(domain,),
                subject={"destination": domain, "program": program.name}, evidence=[evidence],
                severity="high" if strong else "medium", confidence=0.9 if strong else None,
            )
        ]  # fmt: skip


def information(below: str, ends: frozenset[str], foreign: bool = False) -> float:
    """Bytes that the part of a name below its registered domain can carry. ends: labels that public names end in. foreign: does
    the domain answer otherwise than lists of addresses do?"""
    labels = [label for label in below.split(".") if label and not label.startswith("_")]
    if not labels or (is_address(labels) and not foreign):
        return 0.0
    if labels[-1] in ends and len(labels) > 1:  # a search domain behind a public name
        labels = labels[:-1]
    return sum(_carried(label) for label in labels)


def _carried(label: str) -> float:
    """Bytes that a label can carry. Words have about 2 bits a character (Shannon 1951 gives 1 to 2.6); digits log2 10."""
    size = len(label)
    if size <= 24 and _WORD.fullmatch(label):
        vowels = sum(letter in _VOWELS for letter in label) / size
        if 0.15 <= vowels <= 0.65 or size <= 4:
            return size * 2 / 8
    if label.isdigit():
        return size * 3.32 / 8
    return size * (4 if _HEX.fullmatch(label) else 5) / 8


def is_address(labels: list[str]) -> bool:
    """Four numbers or 32 hexadecimal digits: an address backwards, as lists are asked (RFC 5782)."""
    if len(labels) == 4:
        return all(label.isdigit() and len(label) <= 3 and int(label) < 256 for label in labels)
    return len(labels) == 32 and all(len(label) == 1 and _HEX.fullmatch(label) for label in labels)
