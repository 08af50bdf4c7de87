"""Rule `data-exfiltration`: much leaves for where it never went, more than ever leaves for where it always went, or anything for
a place that is there to be fetched from by others.

Kept for each (workload, program, destination): bytes both ways since the first contact, and what is usual. What a program's
work is (backups to storage, images to a registry, prompts to a model) is a reason. Only flows that this host opened count:
what a server answers is its work. Bytes are layer 3's, as the kernel counts them.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import address_kind, payload_sent, registered, service_of
from leeward.detect.detector import occurrence
from leeward.detect.roles import Role, Terminals, ancestor_roles, role, typed_in_a_service
from leeward.detect.rule import rules
from leeward.detect.volume import Scale, Volume, add
from leeward.model.activity import Activity, Ended, FlowSeen, HttpSeen, Started, System
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "data-exfiltration"
_HOUR_NS = 3600 * 10**9
_AGE_NS = 30 * 24 * _HOUR_NS
_WORTH_COUNTING = 4096  # bytes told of at once; acknowledgements and keep-alives are less
_UDP_SERVERS = 32768  # below it begin the ports that Linux gives to clients (ip_local_port_range)
_EXPECTED = {
    "ai": frozenset(("shell", "inline", "dropped", "tool", "script", "installed", "unknown")),
    "telemetry": frozenset(("script", "installed", "unknown")),
    "work": frozenset(("script", "installed", "unknown")),
}
"""Kinds of program whose uploads to a service need no explanation."""
_WORK = {
    "storage": frozenset(("backup", "storage", "builder", "agent")),
    "code": frozenset(("builder",)),
    "cloud": frozenset(("agent", "storage", "builder")),
    "telemetry": frozenset(("agent",)),
}
"""Groups of programs whose work uploads to a service are."""
_UPLOADS = frozenset().union(*_WORK.values())
_DROPS = frozenset(("dropzone", "messenger"))


class _To(Kept, kw_only=True, gc=False):
    """first: contact. reason: "yes" (uploads are expected), "weak" (they may be), "" (nothing speaks for them). look: bytes at
    which to look again. piece, piece_ts: bytes since the last pause, and when the latest were told of; usual: those of the
    piece before; equal: how many in a row were like it."""

    first: int
    reason: str
    service: str
    look: float
    sent: int = 0
    received: int = 0
    volume: Volume
    whole: Volume
    piece: int = 0
    piece_ts: int = 0
    usual: int = 0
    equal: int = 0


class _Whole(Kept, kw_only=True):
    """A workload's all. first: when it was seen first. stores: the storage that it sent to first."""

    first: int
    volume: Volume
    stores: str = ""


class _Echo(Kept, kw_only=True):
    """ICMP to an address. since: begin of the stretch; bytes in it; total: of the day."""

    since: int
    day: int
    bytes: int = 0
    total: int = 0


class Exfiltration:
    """is_provider: is this the name of an AI service's host?"""

    hears: tuple[type[Activity], ...] = (FlowSeen, HttpSeen, System, Started, Ended)
    of_flows = "sent"

    def __init__(self, is_provider: Callable[[str], object]) -> None:
        self.counters: Counter[str] = Counter()
        self.closest: dict[str, float] = {}
        self._is_provider = is_provider
        self._settings = rules()[_RULE].settings
        self._to: Bounded[_To] = Bounded("exfiltration", self.counters, 131_072, _AGE_NS)
        self._whole: Bounded[_Whole] = Bounded("exfiltration_workloads", self.counters, 32768, _AGE_NS, 1)
        self._echoes: Bounded[_Echo] = Bounded("exfiltration_icmp", self.counters, 16384, 24 * _HOUR_NS)
        self._terminals = Terminals("exfiltration", self.counters)
        self._stretch_ns = self._settings["stretch_minutes"] * 60 * 10**9
        self._scale = Scale(
            self._stretch_ns, self._settings["stretches"], self._settings["spreads"], self._settings["past_bytes"]
        )  # fmt: skip
        self._new_ns = self._settings["new_days"] * 24 * _HOUR_NS

    def feed(self, activity: FlowSeen | HttpSeen | System | Started | Ended) -> list[Finding]:
        if type(activity) is FlowSeen:
            return self._flow(activity) if activity.sent else []
        if type(activity) is HttpSeen:
            return self._posted(activity) if activity.direction == "outbound" and activity.request_size else []
        if type(activity) is System:
            return self._icmp(activity) if activity.kind == "icmp" else []
        assert isinstance(activity, Started | Ended)
        if type(activity) is Started:
            self._whole_of(activity.process.workload.id, activity.ts)
        self._terminals.feed(activity)
        return []

    def tick(self, ts: int) -> list[Finding]:
        for kept in (self._to, self._whole, self._echoes):
            kept.expire(ts)
        return []

    # -- flows -----------------------------------------------------------------------------------------------------

    def _flow(self, activity: FlowSeen) -> list[Finding]:
        flow, ts = activity.flow, activity.ts
        if flow.direction == "inbound" or flow.l7 == "dns" or address_kind(flow.dst.ip) != "public":
            return []
        process = activity.process
        who = process.workload.id or flow.src.ip
        where = _place(flow.domain) if flow.domain else flow.dst.ip
        to = self._to.get(who, (process.exe, where), ts)
        if to is None:
            if flow.proto == "udp" and 0 < flow.src.port < _UDP_SERVERS and flow.src.port != flow.dst.port:
                return []  # it answers
            to = self._to.put(who, (process.exe, where), self._begin(activity, who, where), ts)
        if to.reason == "yes":
            return []
        to.sent += activity.sent
        to.received += activity.received
        if activity.ended and not to.reason and not to.service and to.sent >= self._settings["ratio"] * to.received:
            nearest = max(self.closest.get(_RULE, 0.0), to.sent / self._settings["new_bytes"])
            self.closest[_RULE] = nearest
        found = self._dropped(activity, to, where) if to.service in _DROPS else []
        unusual = self._beyond_past(activity, to)
        if not found and to.sent >= to.look:
            found = self._new(activity, to, who, where)
        if to.reason == "weak" and activity.sent >= _WORTH_COUNTING:
            found += self._in_pieces(activity, to, where)
        return found or ([self._unusual(activity, to, where, unusual)] if unusual else [])

    def _begin(self, activity: FlowSeen, who: str, where: str) -> _To:
        """A destination that this program never had."""
        flow, whole = activity.flow, self._whole_of(who, activity.ts)
        service = "ai" if flow.provider or self._is_provider(flow.domain) else service_of(flow.domain)
        program = role(activity.process)
        reason = _reason(service, bool(flow.domain), program, activity.process)
        if service == "storage":
            whole.stores = whole.stores or where
        return _To(
            first=activity.ts, reason=reason, service=service, look=float(self._settings["new_bytes"]),
            volume=Volume(activity.ts), whole=whole.volume,
        )  # fmt: skip

    def _whole_of(self, who: str, ts: int) -> _Whole:
        return self._whole.get("", who, ts) or self._whole.put("", who, _Whole(first=ts, volume=Volume(ts)), ts)

    def _new(self, activity: FlowSeen, to: _To, who: str, where: str) -> list[Finding]:
        """Much has left for a destination since the first contact, which was not long ago."""
        settings, ts = self._settings, activity.ts
        to.look = to.sent * 2.0
        ratio = to.sent / max(1, to.received)
        if ts - to.first > self._new_ns or ratio < settings["ratio"]:
            return []
        program, whole = role(activity.process), self._whole_of(who, ts)
        quick = ts - to.first <= self._stretch_ns
        of_old = to.first - whole.first <= self._stretch_ns
        named = bool(activity.flow.domain)
        its_own = to.service == "storage" and whole.stores == where
        if to.reason == "weak" or (its_own and program.kind == "tool" and of_old):
            severity = "low"  # the second: a job whose first deed this is, backups by curl for one
        elif program.by_hand or (not named and program.kind in ("script", "unknown")):
            severity = "high"
        elif program.kind == "installed" and named and of_old and not quick:
            severity = "low"  # little by little, for a name it had from its beginning: its own telemetry
        else:
            severity = "medium"
        evidence = {
            "new_for_s": round((ts - to.first) / 1e9), "received": to.received, "ratio": round(ratio, 1),
            "value": to.sent, "threshold": settings["new_bytes"], "margin": to.sent - settings["new_bytes"],
        }  # fmt: skip
        return [self._told(activity, severity, where, to.sent, "a destination never seen before", evidence)]

    def _in_pieces(self, activity: FlowSeen, to: _To, where: str) -> list[Finding]:
        """Pieces of one size with pauses between them (ATT&CK T1030): who has something to store sends it at once."""
        settings, ts = self._settings, activity.ts
        least, most = settings["piece_pause_seconds"]
        pause = (ts - to.piece_ts) / 1e9
        if pause < least:
            to.piece, to.piece_ts = to.piece + activity.sent, ts
            return []
        like = to.piece >= settings["piece_bytes"] and abs(to.piece - to.usual) <= settings["piece_spread"] * to.usual
        to.equal = to.equal + 1 if like and pause <= most else 0
        to.usual, to.piece, to.piece_ts = to.piece, activity.sent, ts
        if to.equal != settings["pieces"] or role(activity.process).groups & _UPLOADS:
            return []
        evidence = {
            "piece_bytes": to.usual, "value": to.equal, "threshold": settings["pieces"],
            "new_for_s": round((ts - to.first) / 1e9),
        }  # fmt: skip
        how = "in pieces of one size with pauses between them"
        return [self._told(activity, "medium", where, to.sent, how, evidence)]

    def _beyond_past(self, activity: FlowSeen, to: _To) -> Volume | None:
        """The volume that is beyond what was usual, if any is: this destination's, else the workload's."""
        here = add(to.volume, activity.sent, activity.ts, self._scale)
        everywhere = add(to.whole, activity.sent, activity.ts, self._scale)
        return to.volume if here else to.whole if everywhere else None

    def _unusual(self, activity: FlowSeen, to: _To, where: str, volume: Volume) -> Finding:
        limit, usual = volume.limit, 2**volume.centre
        volume.limit = volume.bytes * 2.0  # the next telling of this stretch
        program = role(activity.process)
        severity = "low" if to.reason == "weak" and not program.by_hand else "medium"
        evidence = {
            "stretch_s": round((activity.ts - volume.since) / 1e9), "usual": round(usual), "value": volume.bytes,
            "threshold": round(limit), "margin": round(volume.bytes - limit),
        }  # fmt: skip
        return self._told(activity, severity, where, volume.bytes, "more than it ever sends", evidence)

    # -- places to be fetched from ---------------------------------------------------------------------------------

    def _dropped(self, activity: FlowSeen, to: _To, where: str) -> list[Finding]:
        """Anything for a paste, a file service, a tunnel, a bot."""
        settings, flow = self._settings, activity.flow
        size = payload_sent(flow, flow.bytes_sent, flow.packets_sent)
        contact = to.sent == activity.sent
        if size < settings["upload_bytes"] and not (to.sent >= settings["uploads_bytes"] and to.sent >= to.received):
            return [self._drop(activity, where, size, settings["upload_bytes"], "low")] if contact else []
        before = payload_sent(flow, flow.bytes_sent - activity.sent, flow.packets_sent - activity.packets_out)
        if settings["upload_bytes"] <= before and size < 2 * before and not activity.ended:
            return []  # told of already, and not twice as much since
        to.look = max(to.look, to.sent * 2.0)
        return [self._drop(activity, where, size, settings["upload_bytes"], "")]

    def _posted(self, activity: HttpSeen) -> list[Finding]:
        """The same, where the request is seen."""
        host = activity.host.partition(":")[0].lower()
        service, size = service_of(host), activity.request_size
        if service not in _DROPS or activity.method not in ("POST", "PUT", "PATCH"):
            return []
        program = role(activity.process)
        bot = not program.by_hand or program.kind == "dropped"
        few = bot and service == "messenger" and size < self._settings["upload_bytes"]
        return [self._drop(activity, registered(host), size, 0, "low" if few else "", path=activity.path)]

    def _drop(
        self, activity: FlowSeen | HttpSeen, where: str, size: int, threshold: int, severity: str, **more: Any
    ) -> Finding:
        program = role(activity.process)
        severity = severity or ("high" if program.by_hand else "medium")
        evidence = {"value": size, "threshold": threshold, "margin": size - threshold, **more}
        return self._told(activity, severity, where, size, "where anybody can fetch it", evidence)

    # -- ICMP ------------------------------------------------------------------------------------------------------

    def _icmp(self, activity: System) -> list[Finding]:
        """Echo requests that carry more than echo requests do."""
        if address_kind(activity.path) not in ("public", "private") or activity.number <= 0:
            return []
        settings, process, ts = self._settings, activity.process, activity.ts
        who = process.workload.id
        echo = self._echoes.get(who, (process.exe, activity.path), ts)
        if echo is None:
            echo = self._echoes.put(who, (process.exe, activity.path), _Echo(since=ts, day=ts), ts)
        if ts - echo.since > self._stretch_ns:
            echo.since, echo.bytes = ts, 0
        if ts - echo.day > 24 * _HOUR_NS:
            echo.day, echo.total = ts, 0
        echo.bytes += activity.number
        echo.total += activity.number
        pings = "icmp" in role(process).groups and role(process).kind != "odd"
        value, threshold = (
            (echo.bytes, settings["icmp_ping_bytes"]) if pings else (echo.total, settings["icmp_other_bytes"])
        )
        if value < threshold:
            return []
        echo.bytes = echo.total = 0
        severity = "medium" if pings or address_kind(activity.path) == "private" else "high"
        evidence = {"value": value, "threshold": threshold, "margin": value - threshold}
        return [self._told(activity, severity, activity.path, value, "inside ICMP", evidence)]

    # -- findings --------------------------------------------------------------------------------------------------

    def _told(
        self, activity: FlowSeen | HttpSeen | System, severity: str, where: str, size: int, how: str, evidence: dict[str, Any]
    ) -> Finding:  # fmt: skip
        process, program = activity.process, role(activity.process)
        if self._terminals.seat(process, activity.ts) == "person":
            severity = "low"
        first: dict[str, Any] = {"type": "transfer", "time": iso(activity.ts), "bytes": size}
        subject = {"destination": where, "program": program.name, "size": amount(size)}
        if type(activity) is FlowSeen:
            first["flow"], subject["address"] = activity.flow.id, str(activity.flow.dst)
            if activity.flow.domain:
                subject["domain"] = activity.flow.domain
        return occurrence(
            _RULE, process, activity.ts, f"{amount(size)} from {program.name or 'a host'} to {where}, {how}",
            same=(process.exe, where), subject=subject, evidence=[{**first, **evidence}], severity=severity,
            confidence={"low": 0.4, "high": 0.85}.get(severity),
        )  # fmt: skip


@functools.lru_cache(maxsize=8192)
def _place(name: str) -> str:
    """What a name's owner has there: of stores that give each customer a name of its own, that."""
    return name.lower() if service_of(name) == "storage" else registered(name)


def _reason(service: str, named: bool, program: Role, process: Process) -> str:
    """What speaks for uploads of this program to this kind of place: "yes" | "weak" | ""."""
    if program.kind == "odd" or service in _DROPS or service == "dynamic-dns":
        return ""
    work = program.groups
    if program.name == "ssh":  # a transport for whoever started it
        work = work.union(*(above.groups for above in ancestor_roles(process)[:2]))
    if service == "ai" and program.kind == "tool" and typed_in_a_service(process):
        return ""  # its own program asks the model; a shell that uploads to the same host may have another account
    if program.kind in _EXPECTED.get(service, ()) or work & _WORK.get(service, frozenset()):
        return "yes"
    if not service:
        if "agent" in work:
            return "yes"
        if work & {"backup", "storage"}:
            return "weak" if named else ""
        return "weak" if named and "builder" in work and not typed_in_a_service(process) else ""
    return "" if program.by_hand and service in ("storage", "cloud", "mirror", "time", "lookup") else "weak"


def amount(size: float) -> str:
    """Bytes as people say them."""
    if size < 1000:
        return f"{size:.0f} bytes"
    power = min(4, int(math.log10(size) / 3))
    return f"{size / 1000**power:.3g} {('', 'kB', 'MB', 'GB', 'TB')[power]}"
