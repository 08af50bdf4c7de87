"""What a detector remembers of many things: bounded in number and age, and fair.

Invariants: at most `limit` entries, and of one group (a workload) at most `share` of them, so that a busy workload forgets
its own and not what others did. The entry that was longest unused leaves first; whatever leaves to make room is counted under
`<name>_evicted`. What was not used for `age_ns` is gone, and is not counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import msgspec

_FRESH_NS = 10**9  # what was used less than a second ago keeps its place
_SWEEP = 1024  # groups looked at by one call of `expire`
_ROUNDS = 1024  # in the time that entries are kept, `expire` looks so many times


class Kept(msgspec.Struct):
    """Base of what is remembered. seen: when it was used last, ns, give or take a second."""

    seen: int = 0


V = TypeVar("V", bound=Kept)


class Bounded(Generic[V]):
    """(group, key) → entry."""

    def __init__(self, name: str, counters: Counter[str], limit: int, age_ns: int, share: int = 16) -> None:
        """share: a group has at most a `share`-th part of the room."""
        self._counters, self._counter = counters, f"{name}_evicted"
        self._limit, self._most, self._age = limit, max(1, limit // share), age_ns
        self._groups: OrderedDict[Hashable, OrderedDict[Hashable, V]] = OrderedDict()
        self._size = 0
        self._pause = age_ns // _ROUNDS
        self._looked = 0

    def __len__(self) -> int:
        return self._size

    def get(self, group: Hashable, key: Hashable, ts: int) -> V | None:
        """The entry, which is used by this."""
        entries = self._groups.get(group)
        if entries is None:
            return None
        entry = entries.get(key)
        if entry is None:
            return None
        if ts - entry.seen > _FRESH_NS:
            if ts - entry.seen > self._age:
                self.drop(group, key)
                return None
            entry.seen = ts
            entries.move_to_end(key)
            self._groups.move_to_end(group)
        return entry

    def peek(self, group: Hashable, key: Hashable) -> V | None:
        """The entry; not used by this."""
        entries = self._groups.get(group)
        return entries.get(key) if entries is not None else None

    def put(self, group: Hashable, key: Hashable, entry: V, ts: int) -> V:
        """Remembers a new entry; returns it."""
        entry.seen = ts
        entries = self._groups.get(group)
        if entries is None:
            entries = self._groups[group] = OrderedDict()
        self._size += key not in entries
        entries[key] = entry
        self._groups.move_to_end(group)
        self._trim(entries, ts)
        if len(entries) > self._most:
            entries.popitem(last=False)
            self._size -= 1
            self._counters[self._counter] += 1
        elif self._size > self._limit:
            self._evict()
        return entry

    def drop(self, group: Hashable, key: Hashable) -> None:
        entries = self._groups.get(group)
        if entries is not None and entries.pop(key, None) is not None:
            self._size -= 1
            if not entries:
                del self._groups[group]

    def of(self, group: Hashable) -> Iterator[tuple[Hashable, V]]:
        """A group's entries, the longest unused first; not used by this."""
        entries = self._groups.get(group)
        yield from list(entries.items()) if entries is not None else ()

    def expire(self, ts: int) -> None:
        """Forgets what is old: some of it at a time, all of it in the end. Costs nothing where it was done a moment ago."""
        if 0 <= ts - self._looked < self._pause:
            return
        self._looked = ts
        for _ in range(_SWEEP):
            if not self._groups:
                return
            group, entries = next(iter(self._groups.items()))  # the longest unused
            if ts - next(reversed(entries.values())).seen <= self._age:
                self._trim(entries, ts)
                return
            self._size -= len(entries)
            del self._groups[group]

    def _trim(self, entries: OrderedDict[Hashable, V], ts: int) -> None:
        """Of a group in use, what is old."""
        while ts - next(iter(entries.values())).seen > self._age:
            entries.popitem(last=False)
            self._size -= 1

    def _evict(self) -> None:
        """The oldest entry of the group that was longest unused."""
        group, entries = next(iter(self._groups.items()))
        entries.popitem(last=False)
        if not entries:
            del self._groups[group]
        self._size -= 1
        self._counters[self._counter] += 1
