"""Which names the addresses of the last answers belong to. Fed with DNS answers, says which addresses have news.

Invariants: a name stays with an address at least as long as its answer says, at least `LEAST_NS`, and `GRACE_NS` more, since
clients keep answers beyond their time; at most `limit` addresses, the least recently learned leave first and are counted; an
address with more than `MOST_NAMES` names is `crowded` until it is forgotten.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

import msgspec

from leeward.enforce.names import canonical
from leeward.wire.dns import Resolved

LEAST_NS: Final = 60 * 10**9
GRACE_NS: Final = 300 * 10**9
MOST_NAMES: Final = 64


class Owner(msgspec.Struct, frozen=True):
    """An answer that led to an address. names: what was asked, and the names that its CNAMEs led over. trusted: it came from a
    resolver whose word allows."""

    names: frozenset[str]
    until: int
    trusted: bool


class Place(msgspec.Struct):
    """An address. owners: by the name that was asked."""

    owners: dict[str, Owner] = msgspec.field(default_factory=dict)
    crowded: bool = False


class Addresses:
    def __init__(self, limit: int = 16384) -> None:
        self.counters: Counter[str] = Counter()
        self._limit = limit
        self._places: OrderedDict[str, Place] = OrderedDict()

    def known(self) -> list[str]:
        return list(self._places)

    def get(self, ip: str) -> Place | None:
        return self._places.get(ip)

    def learn(self, ts: int, found: Resolved, *, trusted: bool = True) -> set[str]:
        """Takes an answer; returns the addresses that are now called otherwise, or are forgotten."""
        if not found.addresses:
            return set()
        names = [canonical(name) for name in found.names]
        news = set()
        for ip, ttl in found.addresses:
            place = self._places.setdefault(ip, Place())
            self._places.move_to_end(ip)
            known = place.owners.get(names[0])
            until = max(ttl * 10**9, LEAST_NS) + GRACE_NS + ts
            owner = Owner(frozenset(names), max(until, known.until if known else 0), trusted)
            if known is None or (known.names, known.trusted) != (owner.names, owner.trusted):
                news.add(ip)
            place.owners[names[0]] = owner
            if len(place.owners) > MOST_NAMES:
                place.crowded = True
                del place.owners[next(iter(place.owners))]
        while len(self._places) > self._limit:
            news.add(self._places.popitem(last=False)[0])
            self.counters["addresses_evicted"] += 1
        return news

    def expire(self, ts: int) -> set[str]:
        """Lets names go whose time is over; returns their addresses."""
        news = set()
        for ip, place in list(self._places.items()):
            old = [asked for asked, owner in place.owners.items() if owner.until < ts]
            for asked in old:
                del place.owners[asked]
            if old:
                news.add(ip)
            if not place.owners:
                del self._places[ip]
        return news
