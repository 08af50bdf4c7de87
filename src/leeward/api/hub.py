"""What happens now, from the pipeline's thread to whoever watches.

Invariants: `publish` never waits: a client that reads too slowly loses events, is told how many, and nobody else
notices. What is kept (per client, and for those who come back) is bounded in events and bytes.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import Counter, deque

import msgspec

from leeward.model.net import Flow
from leeward.store.rows import Record, to_json

KEEP_EVENTS, KEEP_BYTES = 1_000, 8 * 1024 * 1024
CLIENT_EVENTS, CLIENT_BYTES = 1_000, 8 * 1024 * 1024
CLIENTS = 32
KINDS = ("exchange", "flow", "finding", "incident", "coverage", "system", "triage")
UNKEPT = frozenset({"system"})
"""Too many to keep for those who come back; sent to those who ask for them, with the number of the event before."""
USUAL = frozenset(KINDS) - UNKEPT


class LiveEvent(msgspec.Struct, frozen=True, gc=False):
    """number: counts from 1 in this run. kind: the record's type. body: its JSON on one line."""

    number: int
    kind: str
    body: bytes


class _Bounded:
    """The newest events within a count and a size."""

    def __init__(self, events: int, size: int) -> None:
        self.events: deque[LiveEvent] = deque()
        self._limits = (events, size)
        self._bytes = 0

    def push(self, event: LiveEvent) -> int:
        """Append, drop the oldest until it fits, and say how many were dropped (the event itself may be one)."""
        self.events.append(event)
        self._bytes += len(event.body)
        dropped = 0
        while len(self.events) > self._limits[0] or self._bytes > self._limits[1]:
            self._bytes -= len(self.events.popleft().body)
            dropped += 1
        return dropped

    def take(self) -> list[LiveEvent]:
        taken = list(self.events)
        self.events.clear()
        self._bytes = 0
        return taken


class Subscription:
    """One client's queue. Its owner awaits `wait` and then calls `take`, in the loop it subscribed from."""

    def __init__(self, hub: LiveHub, loop: asyncio.AbstractEventLoop, kinds: frozenset[str]) -> None:
        self._hub = hub
        self._kinds = kinds
        self._loop = loop
        self._ready = asyncio.Event()
        self._queue = _Bounded(CLIENT_EVENTS, CLIENT_BYTES)
        self._lost = 0

    async def wait(self, timeout: float) -> bool:
        """True when there is something to take (or the hub closed), False after `timeout` seconds without."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def take(self) -> tuple[list[LiveEvent], int]:
        """What came since, oldest first, and how many were lost before it."""
        with self._hub.lock:
            self._ready.clear()
            lost, self._lost = self._lost, 0
            return self._queue.take(), lost

    def offer(self, event: LiveEvent) -> int:
        """Called by the hub, under its lock, from any thread. Events dropped."""
        if event.kind not in self._kinds:
            return 0
        woken = bool(self._queue.events)
        dropped = self._queue.push(event)
        self._lost += dropped
        if not woken or dropped:
            self.wake()
        return dropped

    def lose(self, count: int) -> None:
        """Events that this client will never get."""
        self._lost += count
        self.wake()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._ready.set)


class LiveHub:
    """publish() from any thread; subscribe() inside an event loop. `lock` guards everything in it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counters: Counter[str] = Counter()
        self.closed = False
        self.run = secrets.token_hex(4)
        """Names this run in event ids, so that an id of an earlier one is not mistaken for ours."""
        self._number = 0
        self._kept = _Bounded(KEEP_EVENTS, KEEP_BYTES)
        self._clients: set[Subscription] = set()

    def publish(self, record: Record) -> None:
        """Hand a record to every client. Never raises on its content; counted: live_published, live_lost."""
        kind = "flow" if isinstance(record, Flow) else record.type
        try:
            body = to_json(record)
        except (TypeError, ValueError):
            with self.lock:
                self.counters["live_unencodable"] += 1
            return
        with self.lock:
            if kind not in UNKEPT:
                self._number += 1
            event = LiveEvent(self._number, kind, body)
            if kind not in UNKEPT:
                self._kept.push(event)
            self.counters["live_published"] += 1
            for client in tuple(self._clients):
                try:
                    self.counters["live_lost"] += client.offer(event)
                except RuntimeError:  # its loop is closed
                    self._clients.discard(client)

    def subscribe(self, last_id: str = "", kinds: frozenset[str] = USUAL) -> Subscription | None:
        """A queue of these kinds that begins after the event `last_id` if that is still kept, else now. None: too many
        clients."""
        client = Subscription(self, asyncio.get_running_loop(), kinds)
        with self.lock:
            if len(self._clients) >= CLIENTS or self.closed:
                self.counters["live_refused"] += 1
                return None
            self._resume(client, last_id)
            self._clients.add(client)
        return client

    def unsubscribe(self, client: Subscription) -> None:
        with self.lock:
            self._clients.discard(client)

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        with self.lock:
            self.closed = True
            for client in self._clients:
                client.wake()

    def event_id(self, event: LiveEvent) -> str:
        return f"{self.run}-{event.number}"

    def _resume(self, client: Subscription, last_id: str) -> None:
        run, _, number = last_id.partition("-")
        if not number.isascii() or not number.isdigit() or len(number) > 18:
            return
        after = int(number) if run == self.run else 0
        if run != self.run or after > self._number:
            # Another run's numbers say nothing about ours: what was missed in between cannot be counted.
            client.lose(max(1, self._number - len(self._kept.events)))
            after = 0
        kept = [event for event in self._kept.events if event.number > after]
        if run == self.run and (missed := self._number - after - len(kept)):
            client.lose(missed)
        for event in kept:
            client.offer(event)
