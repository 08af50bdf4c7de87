"""Who can reach a workload, who did, and over which route: its network posture, which findings carry.

Kept from activities alone. Bounded: so many workloads, and of each so many addresses; what does not fit is still counted.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import address_kind, is_internal
from leeward.model.activity import Activity, Ended, FlowSeen, System
from leeward.model.net import Endpoint
from leeward.model.times import iso

_AGE_NS = 30 * 86_400 * 10**9
_WORKLOADS, _PEERS, _LISTENERS, _CHANGES, _SHOWN = 32768, 256, 64, 32, 8
_EXPOSURE = {"any": "any", "public": "any", "loopback": "loopback"}


class _Peer(msgspec.Struct, gc=False):
    """The other side, by address or name. first, last: ns; flows: how many."""

    first: int
    last: int
    flows: int = 1
    port: int = 0


class _Listener(msgspec.Struct):
    pid: int
    proto: str
    since: int


def _none_yet() -> dict[str, int]:
    return {"outside": 0, "inside": 0, "host": 0}


class _Workload(Kept, kw_only=True):
    """inbound, outbound: the other sides. flows_*: how many there were, also of those that are no longer remembered."""

    listening: dict[Endpoint, _Listener] = msgspec.field(default_factory=dict)
    inbound: OrderedDict[str, _Peer] = msgspec.field(default_factory=OrderedDict)
    outbound: OrderedDict[str, _Peer] = msgspec.field(default_factory=OrderedDict)
    flows_in: dict[str, int] = msgspec.field(default_factory=_none_yet)
    flows_out: dict[str, int] = msgspec.field(default_factory=_none_yet)
    first_outside: int = 0


class Reach:
    hears: tuple[type[Activity], ...] = (FlowSeen, System, Ended)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._workloads: Bounded[_Workload] = Bounded("reach", self.counters, _WORKLOADS, _AGE_NS, 1)
        self._owners: dict[int, str] = {}  # listening process → its workload
        self._routes: list[dict[str, str]] = []
        self._devices: list[dict[str, str]] = []

    def feed(self, activity: Activity) -> None:
        if type(activity) is FlowSeen:
            if activity.began:
                self._flow(activity)
        elif type(activity) is System:
            self._changed(activity)
        elif type(activity) is Ended:
            self._gone(activity.process.pid, activity.ts)

    def _changed(self, activity: System) -> None:
        """The host's own routes and devices."""
        if activity.kind == "route":
            change = {"time": iso(activity.ts), "to": activity.path, "over": activity.source}
            self._routes = [*self._routes[1 - _CHANGES :], change]
        elif activity.kind == "device":
            change = {"time": iso(activity.ts), "device": activity.source, "kind": activity.label}
            self._devices = [*self._devices[1 - _CHANGES :], change]

    def _of(self, workload: str, ts: int) -> _Workload:
        return self._workloads.get("", workload, ts) or self._workloads.put("", workload, _Workload(), ts)

    def _flow(self, activity: FlowSeen) -> None:
        flow, workload = activity.flow, activity.process.workload.id
        if not workload:
            return
        known = self._of(workload, activity.ts)
        if flow.state == "listening":
            if len(known.listening) < _LISTENERS or flow.dst in known.listening:
                known.listening.setdefault(flow.dst, _Listener(flow.pid, flow.proto, flow.start or activity.ts))
                self._owners[flow.pid] = workload
            return
        inbound = flow.direction == "inbound"
        other = flow.src.ip if inbound else flow.dst.ip
        where = _where(other)
        counts = known.flows_in if inbound else known.flows_out
        counts[where] += 1
        if inbound and where == "outside" and not known.first_outside:
            known.first_outside = activity.ts
        peers, name = (known.inbound, other) if inbound else (known.outbound, flow.domain or other)
        peer = peers.get(name)
        if peer is None:
            peers[name] = _Peer(activity.ts, activity.ts, port=flow.dst.port)
            if len(peers) > _PEERS:
                peers.popitem(last=False)
                self.counters["reach_peers_evicted"] += 1
        else:
            peer.last, peer.flows = activity.ts, peer.flows + 1
            peers.move_to_end(name)

    def _gone(self, pid: int, ts: int) -> None:
        """A process that listened ended, and its sockets with it."""
        workload = self._owners.pop(pid, None)
        known = self._workloads.get("", workload, ts) if workload is not None else None
        if known is not None:
            known.listening = {where: who for where, who in known.listening.items() if who.pid != pid}

    def posture(self, workload: str) -> dict[str, Any] | None:
        """What is known of a workload, as findings carry it; None for one without any traffic. exposure: "loopback" (this host
        only) | "private" (an address inside) | "any" (all addresses, or one outside) | "" (it listens nowhere that is known)."""
        known = self._workloads.peek("", workload)
        routes, devices = self._routes[-_SHOWN:], self._devices[-_SHOWN:]
        if known is None:
            return {"routes": routes, "devices": devices} if routes or devices else None
        listening = [
            {"address": str(where), "proto": who.proto, "exposure": exposure(where.ip), "since": iso(who.since)}
            for where, who in known.listening.items()
        ]
        kinds = {entry["exposure"] for entry in listening}
        return {
            "exposure": next((kind for kind in ("any", "private", "loopback") if kind in kinds), ""),
            "listening": listening,
            "inbound": {
                "outside": known.flows_in["outside"], "inside": known.flows_in["inside"],
                "this_host": known.flows_in["host"],
                "first_outside": iso(known.first_outside) if known.first_outside else "", "peers": _shown(known.inbound),
            },
            "outbound": {
                "outside": known.flows_out["outside"], "inside": known.flows_out["inside"],
                "this_host": known.flows_out["host"], "destinations": _shown(known.outbound),
            },
            "routes": routes, "devices": devices,
        }  # fmt: skip


def exposure(ip: str) -> str:
    """Who reaches what listens on this address."""
    return _EXPOSURE.get(address_kind(ip), "private")


@functools.lru_cache(maxsize=65536)
def _where(other: str) -> str:
    """ "host" (this one, UNIX sockets too) | "inside" | "outside", of an address or a name."""
    kind = address_kind(other)
    if not kind and "." in other and "/" not in other:
        return "inside" if is_internal(other) else "outside"
    return "host" if kind in ("loopback", "") else "outside" if kind == "public" else "inside"


def _shown(peers: OrderedDict[str, _Peer]) -> list[dict[str, Any]]:
    """The latest few, those outside first."""
    latest: Iterable[tuple[str, _Peer]] = sorted(
        peers.items(), key=lambda item: (_where(item[0]) != "outside", -item[1].last)
    )
    return [
        {"peer": name, "port": peer.port, "first": iso(peer.first), "last": iso(peer.last), "flows": peer.flows}
        for name, peer in list(latest)[:_SHOWN]
    ]
