"""Rule `beaconing`: one program contacts one destination again and again at regular intervals.

Points in time are kept for each (workload, program, destination): connections that begin, activity after silence in those
that stay open, questions of DNS below a registered domain, HTTP requests to a host and to a path of it. Whether they are
regular is decided by regularity.py; being regular is no offence, so what is known of the destination and the program decides
the rest (see the rule's `signs`). Invariant: a destination that was contacted once costs one small entry, so that a crawler's
many do not displace those that come back after hours.
"""

from __future__ import annotations

import functools
from array import array
from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import address_kind, is_internal, payload_sent, registered, service_of
from leeward.detect.detector import occurrence
from leeward.detect.lists import groups
from leeward.detect.names import Echoes
from leeward.detect.regularity import KEPT, Limits, allowed, looked_at, moran, rounds, spread
from leeward.detect.roles import Role, odd_place, role
from leeward.detect.rule import rules
from leeward.model.activity import Activity, FlowSeen, HttpSeen, NameAsked
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "beaconing"
_AGE_NS = 14 * 86_400 * 10**9
_ONCE, _SERIES, _DESTINATIONS, _NAMED = 131_072, 65_536, 131_072, 65_536
_TOLD_NS = 10**9  # what moves in flows is told of about once a second, that they begin at once
_PAUSE_NS = 1_200_000_000  # what is nearer is the same activity
_CARRIERS = frozenset(
    (5, 10, 15, 16, 25, 65, 255)
)  # IANA RR types that carry data of a choice: CNAME NULL MX TXT KEY HTTPS ANY
_WELL_KNOWN = frozenset(("storage", "code", "mirror", "telemetry", "cloud", "time", "work", "lookup", "reference"))
_AWAY = frozenset(("public", "private"))
_TLS = 443
_LATER_LOOKS, _AFTER_TOLD = 4, 8  # rounds until the next look


class _Once(Kept, gc=False):
    """Contacted once. first, active: when it began, was last active; late: that was told up to `_TOLD_NS` late; sent: bytes."""

    first: int = 0
    active: int = 0
    sent: float = 0.0
    late: bool = False


class _Series(Kept, gc=False, kw_only=True):
    """Contacted several times. start: of the last round; active, late: last activity in it, as of _Once; sent: bytes in it.
    intervals: seconds; sizes: bytes of the rounds that are over; forms: hashes of what was asked for. look: at which `total`
    the next look is due. within: is there a round inside a flow, of which we are told about once a second?"""

    first: int
    start: int
    active: int
    sent: float
    intervals: array[float]
    sizes: array[float]
    forms: tuple[int, ...] = ()
    total: int = 0
    look: int = 0
    within: bool = False
    late: bool = False


class _Known(Kept, kw_only=True):
    """A destination: which workloads and programs of this host talk to it, a few. answers, contents: to requests over HTTP, and
    how many of them had something in them."""

    workloads: set[str]
    programs: set[tuple[str, str]]
    answers: int = 0
    contents: int = 0


class _Rhythm(Kept):
    """A program of a workload: the destinations outside that it comes back to, as far as they are not known services."""

    destinations: set[str] = msgspec.field(default_factory=set)


class _Name(Kept, gc=False):
    name: str = ""


class _Place(msgspec.Struct, frozen=True):
    """What an activity says of the destination. way: "flow" | "dns" | "http". name: "" if only the address is known. proto: of a
    flow."""

    way: str
    name: str
    ip: str
    port: int
    provider: bool
    reference: str
    proto: str = "tcp"


class Beaconing:
    """is_provider: is this the name of an AI service's host?"""

    hears: tuple[type[Activity], ...] = (FlowSeen, NameAsked, HttpSeen)

    def __init__(self, is_provider: Callable[[str], object]) -> None:
        self.counters: Counter[str] = Counter()
        self.closest: dict[str, float] = {}
        self._is_provider = is_provider
        self._once: Bounded[_Once] = Bounded("beaconing_once", self.counters, _ONCE, _AGE_NS)
        self._series: Bounded[_Series] = Bounded("beaconing", self.counters, _SERIES, _AGE_NS)
        self._known: Bounded[_Known] = Bounded("beaconing_destinations", self.counters, _DESTINATIONS, _AGE_NS, 1)
        self._rhythms: Bounded[_Rhythm] = Bounded("beaconing_programs", self.counters, 32768, _AGE_NS)
        self._named: Bounded[_Name] = Bounded("beaconing_names", self.counters, _NAMED, _AGE_NS, 1)
        self._is_well_known = functools.lru_cache(maxsize=8192)(self._known_name)
        self._echoes = Echoes("beaconing", self.counters)
        self._proxies: Bounded[Kept] = Bounded("beaconing_proxies", self.counters, 4096, _AGE_NS, 1)
        settings = rules()[_RULE].settings
        self._settings = settings
        self._signs: dict[str, float] = settings["signs"]
        self._severities = sorted(settings["severity"].items(), key=lambda item: -item[1])
        self._blur: float = settings["blur_seconds"]
        self._limits = Limits(
            settings["first_intervals"], settings["first_until"], settings["first_measure"], settings["later_intervals"],
            settings["later_dropped"], settings["later_measure"], settings["burst"],
        )  # fmt: skip
        self._usual = frozenset(int(port) for port in groups("ports")["usual"])

    def feed(self, activity: FlowSeen | NameAsked | HttpSeen) -> list[Finding]:
        if type(activity) is FlowSeen:
            return self._flow(activity)
        if type(activity) is NameAsked:
            return self._question(activity)
        assert isinstance(activity, HttpSeen)
        return self._request(activity)

    def tick(self, ts: int) -> list[Finding]:
        for kept in (self._once, self._series, self._known, self._rhythms, self._named, self._proxies):
            kept.expire(ts)
        return []

    # -- points in time --------------------------------------------------------------------------------------------

    def _flow(self, activity: FlowSeen) -> list[Finding]:
        flow = activity.flow
        if flow.direction == "inbound" or not (activity.began or activity.sent):
            return []
        ip, port, process = flow.dst.ip, flow.dst.port, activity.process
        if port == 53 or address_kind(ip) not in _AWAY:
            return []
        if flow.domain_from == "sni" and activity.ended:
            self._named.put("", ip, _Name(name=flow.domain), activity.ts)
        if flow.domain and self._is_well_known(flow.domain) and not odd_place(process.exe):
            return []
        sent = payload_sent(flow, activity.sent, activity.packets_out)
        if not activity.began and not sent:
            return []  # acknowledgements and keep-alive probes
        ts = activity.ts
        who = process.workload.id or flow.src.ip
        key = (process.exe, flow.domain or ip, port)
        began = flow.start or ts
        series = self._point(who, key, ts, began if activity.began else ts, sent, began)
        if series is None:
            return []
        there, port = self._beyond(flow.domain, ip, port)
        place = _Place("flow", flow.domain, there, port, bool(flow.provider), flow.id, flow.proto)
        return self._look(who, process, series, place, ts)

    def _question(self, activity: NameAsked) -> list[Finding]:
        name = activity.name
        if activity.rcode != -1 or is_internal(name) or self._echoes.heard(activity):
            return []
        process = activity.process
        who, domain = process.workload.id, registered(name)
        series = self._point(
            who, (process.exe, domain, "dns"), activity.ts, activity.ts, activity.size, form=hash(name)
        )
        if series is None or (len(set(series.forms)) < len(series.forms) and activity.query not in _CARRIERS):
            return []  # the same name again is asked by whoever connects to it: the connections decide
        place = _Place("dns", domain, "", 53, bool(self._is_provider(name)), name)
        return self._look(who, process, series, place, activity.ts)

    def _request(self, activity: HttpSeen) -> list[Finding]:
        if activity.direction != "outbound" or (activity.exchange and activity.method != "DELETE"):
            return []
        peer, _, port = activity.peer.rpartition(":")
        ip = peer.strip("[]")
        if address_kind(ip) not in ("public", "private"):
            return []
        process, ts, at = activity.process, activity.ts, int(port) if port.isdigit() else 0
        asked = activity.host
        if activity.method == "CONNECT":
            self._proxies.put("", (ip, at), Kept(), ts)
            asked = activity.path  # RFC 9110 9.3.6
        host = asked.partition(":")[0] if asked[:1] != "[" else ""
        name = "" if address_kind(host) else host
        who = process.workload.id or ip
        if activity.method != "CONNECT":
            self._answered(name or ip, activity)
        place = _Place("http", name, *self._beyond(name, ip, at), activity.exchange, activity.path)
        size = activity.request_size + len(activity.path)
        found: list[Finding] = []
        for what in ("DELETE",) if activity.exchange else ("", activity.path):
            key = (process.exe, name or ip, what, "http")
            series = self._point(who, key, ts, ts, size, form=hash(activity.path))
            if series is not None and not found:
                found = self._look(who, process, series, place, ts)
        return found

    def _beyond(self, name: str, ip: str, port: int) -> tuple[str, int]:
        """Address and port; behind a proxy none is known, and it lets through what is usual."""
        return ("", _TLS) if name and self._proxies.peek("", (ip, port)) is not None else (ip, port)

    def _answered(self, place: str, activity: HttpSeen) -> None:
        known = self._known.get("", place, activity.ts)
        if known is not None and activity.status:
            known.answers += 1
            known.contents += activity.status < 300 and activity.response_size >= self._settings["content_bytes"]

    def _point(
        self, who: str, key: tuple[Any, ...], ts: int, at: int, sent: float, began: int = 0, form: int | None = None
    ) -> _Series | None:
        """Remembers activity; the series, if a round began that is to be looked at. began: when the flow did, if it is one's."""
        series = self._series.get(who, key, ts)
        if series is None:
            if 0 < at - began < _PAUSE_NS:
                return None  # what a new flow says first belongs to its beginning
            once = self._once.get(who, key, ts)
            if once is None:
                self._once.put(who, key, _Once(first=at, active=at, sent=sent), ts)
                return None
            if _goes_on(once, at, began):
                once.sent += sent
                return None
            self._once.drop(who, key)
            series = _Series(
                first=once.first,
                start=once.first,
                active=once.active,
                late=once.late,
                sent=once.sent,
                intervals=array("d"),
                sizes=array("d"),
            )
            self._series.put(who, key, series, ts)
            self._meet(who, key, ts)
            series.look = self._limits.first
        if _goes_on(series, at, began):
            series.sent += sent
            return None
        series.intervals.append((at - series.start) / 1e9)
        if series.sent:
            series.sizes.append(series.sent)
        del series.intervals[:-KEPT], series.sizes[:-KEPT]
        if form is not None:
            series.forms = (*series.forms, form)[-self._limits.first :]
        series.late = at > began > 0
        series.within |= series.late
        series.start = series.active = at
        series.sent = sent
        series.total += 1
        return series if series.total >= series.look else None

    def _meet(self, who: str, key: tuple[Any, ...], ts: int) -> None:
        """A program talks to a destination again."""
        exe, place = key[:2]
        known = self._known.get("", place, ts)
        if known is None:
            known = self._known.put("", place, _Known(workloads=set(), programs=set()), ts)
        if len(known.programs) < 8:
            known.workloads.add(who)
            known.programs.add((who, exe))
        rhythm = self._rhythms.get(who, exe, ts) or self._rhythms.put(who, exe, _Rhythm(), ts)
        if len(rhythm.destinations) <= self._settings["many"] and address_kind(place) in ("", "public"):
            rhythm.destinations.add(place)

    # -- what they mean --------------------------------------------------------------------------------------------

    def _look(self, who: str, process: Process, series: _Series, place: _Place, ts: int) -> list[Finding]:
        """A round began: are they regular, and if so, is that odd?"""
        window = looked_at(series.intervals, series.total, self._limits, self._blur if series.within else 0.0)
        if not window:
            series.look = series.total + (1 if series.total <= KEPT else _LATER_LOOKS)
            return []
        series.look = series.total + _AFTER_TOLD
        program = role(process)
        if place.way == "flow" and not place.name and self._named.get("", place.ip, ts) is not None:
            return []  # its name comes with the handshake; the rounds are counted under it
        known = self._well_known(place, program)
        if known is None:
            return []
        signs = known or self._signs_of(who, process, program, series, place, ts)
        score = sum(signs.values())
        self.closest[_RULE] = max(self.closest.get(_RULE, 0.0), score / self._settings["severity"]["medium"])
        severity = "low" if known else next((name for name, least in self._severities if score >= least), "")
        if severity and "resolver" in program.groups and not program.by_hand:
            severity = "low"  # on whose behalf is not known
        if not severity:
            return []
        return [self._told(process, program, series, window, place, signs, severity, ts)]

    def _well_known(self, place: _Place, program: Role) -> dict[str, float] | None:
        """None: a service that is known, and nothing odd about who asks it. Empty: no such service."""
        if place.way == "http" and place.provider:
            return {}  # what it deletes again and again at an AI service
        if not place.provider and not self._is_well_known(place.name):
            return {}
        return {"odd": self._signs["odd"]} if program.kind == "odd" else None

    def _known_name(self, name: str) -> bool:
        return service_of(name) in _WELL_KNOWN or bool(self._is_provider(name))

    def _signs_of(
        self, who: str, process: Process, program: Role, series: _Series, place: _Place, ts: int
    ) -> dict[str, float]:
        """Which signs there are, with their weights."""
        settings, found = self._settings, []
        known = self._known.get("", place.name or place.ip, ts)
        inside = is_internal(place.name) if place.name else address_kind(place.ip) == "private"
        if place.provider:
            found.append("deletes")
        elif inside or (place.ip and address_kind(place.ip) == "private"):
            found.append("internal")
        elif not place.name:
            found.append("nameless")
        elif (service := service_of(place.name)) in ("dropzone", "messenger", "dynamic-dns"):
            found.append("dropzone" if service == "messenger" else service)
        elif known is None or len(known.programs) <= settings["rare_programs"]:
            found.append("rare")
        if known is not None and len(known.workloads) >= settings["popular_workloads"]:
            found.append("popular")
        if place.way != "dns" and "internal" not in found and place.port not in self._usual:
            found.append("unusual-port")
        if program.groups & {"agent", "monitor"} and not program.by_hand:
            found.append("agent")
        elif program.kind in self._signs:
            found.append(program.kind)
        if not program.by_hand and self._is_one_of_many(who, process.exe, ts):
            found.append("one-of-many")
        window = sum(series.intervals) * 1e9
        if series.start - window - series.first > settings["familiar_hours"] * 3600e9:
            found.append("familiar")
        sizes = series.sizes or (0.0,)  # connections that are refused carry nothing
        if median(sizes) <= settings["small_bytes"]:
            found.append("small")
        if spread(sizes) <= settings["constant_spread"]:
            found.append("constant")
        if series.within and self._keeps_awake(place, series):
            found.append("kept-awake")
        if len(series.forms) > 1 and len(set(series.forms)) == len(series.forms):
            found.append("never-the-same")
        elif known is not None and self._fetches(known) and spread(series.intervals) <= settings["timer_spread"]:
            found.append("fetches")
        return {sign: self._signs[sign] for sign in found}

    def _keeps_awake(self, place: _Place, series: _Series) -> bool:
        """Is it what keeps a conversation open: over UDP by how often, over TCP exact as well, to somebody who has a name?"""
        tcp = place.proto != "udp"
        least, most = self._settings["awake_tcp_seconds" if tcp else "awake_seconds"]
        if not least <= median(series.intervals) <= most:
            return False
        return not tcp or (place.name != "" and spread(series.intervals) <= self._settings["awake_spread"])

    def _fetches(self, known: _Known) -> bool:
        """Does each answer bring something, as to who asks for data, not for orders?"""
        return known.answers >= self._limits.first - 2 and known.contents >= 0.9 * known.answers

    def _is_one_of_many(self, who: str, exe: str, ts: int) -> bool:
        """Does the program come back to many destinations, as pollers and crawlers do?"""
        rhythm = self._rhythms.get(who, exe, ts)
        many: int = self._settings["many"]
        return rhythm is not None and len(rhythm.destinations) > many

    def _told(
        self, process: Process, program: Role, series: _Series, window: list[float], place: _Place,
        signs: dict[str, float], severity: str, ts: int,
    ) -> Finding:  # fmt: skip
        period, where = median(window), place.name or place.ip
        early = len(window) == self._limits.first
        kept = window if early else sorted(window)[: len(window) - self._limits.dropped]
        measure = self._settings["first_measure" if early else "later_measure"]
        value, threshold = moran(kept), allowed(measure, kept, self._blur if series.within else 0.0)
        least = dict(self._severities)[severity]
        score = sum(signs.values())
        evidence = {
            "type": "beacon", "time": iso(ts), "way": place.way, place.way: place.reference, "period_s": round(period, 3),
            "jitter": round(spread(window), 3), "rounds": len(rounds(series.intervals, self._limits.burst)) + 1,
            "bytes": round(median(series.sizes or (0,))), "value": round(value, 4), "threshold": round(threshold, 4),
            "margin": round(threshold - value, 4), "signs": signs, "score": round(score, 2),
            "score_margin": round(score - least, 2),
        }  # fmt: skip
        return occurrence(
            _RULE, process, ts, f"{program.name or 'a host'} to {where} every {_length(period)}",
            same=(process.exe or place.ip, registered(where)),
            subject={"destination": where, "address": place.ip, "program": program.name, "period": _length(period)},
            evidence=[evidence], severity=severity, confidence=0.9 if severity == "high" else None,
        )  # fmt: skip


def _goes_on(kept: _Once | _Series, at: int, began: int) -> bool:
    """Is this the activity that there is already? It is remembered as its latest then."""
    if at - kept.active + (_TOLD_NS if kept.late and at == began else 0) >= _PAUSE_NS:
        return False
    if at > kept.active:
        kept.active, kept.late = at, at > began > 0
    return True


def _length(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
