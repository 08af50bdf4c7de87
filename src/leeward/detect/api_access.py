"""Rule `api-access-violation`: a caller of a server on this host is refused again and again, tries to change what it may only
read, probes for paths, or walks through ids.

A caller is (address, user agent); the credentials that it shows are counted with it, and each (address, credential) is a
caller of its own too, so that one user behind a gateway shows. Counts are of the last minutes, in buckets. State: bounded by
server and by caller; a caller that is never refused and uses no ids costs one small entry.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from statistics import median
from typing import Any

import msgspec

from leeward.detect.api_access_changes import CHANGES, Thing, count_change, thing_of
from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.places import DAY, HOUR, MINUTE, host_of, reach
from leeward.detect.routes import Route, is_probe, route
from leeward.detect.rule import rules
from leeward.model.activity import Activity, HttpSeen
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "api-access-violation"
_REFUSED, _MISSING = (401, 403), (404, 405)
_PATHS, _IDS, _IDENTITIES, _ADDRESSES = 48, 256, 16, 16  # remembered of one caller
_LONGEST = 64  # characters of a path that are remembered


class _Window(msgspec.Struct):
    """What a caller did since `start`. plain: good requests for what has no id, in the window before too."""

    start: int = 0
    good: int = 0
    plain: int = 0
    refused: int = 0
    posted: int = 0
    missing: set[str] = msgspec.field(default_factory=set)
    denied: set[str] = msgspec.field(default_factory=set)
    things: dict[str, Thing] = msgspec.field(default_factory=dict)
    probes: set[str] = msgspec.field(default_factory=set)
    hits: set[str] = msgspec.field(default_factory=set)
    identities: set[str] = msgspec.field(default_factory=set)
    robots: bool = False


class _Caller(Kept, kw_only=True):
    """first: when it was first seen. told: severity told of each kind, until quiet."""

    first: int
    window: _Window
    told: dict[str, str] = msgspec.field(default_factory=dict)


class _Walk(Kept, kw_only=True):
    """One caller on one route, since `start`. numbers: of ids that are numbers. addresses: from which it came."""

    start: int
    ids: set[int]
    numbers: set[int]
    addresses: set[str]
    good: int = 0
    bad: int = 0
    told: str = ""


class _Door(Kept, kw_only=True):
    """What is asked of one route by all, since `start`. refused: requests; addresses, identities: whose; good: let in."""

    start: int
    addresses: set[str]
    identities: set[str]
    refused: int = 0
    posted: int = 0
    good: int = 0
    told: bool = False


class _Usual(Kept):
    """What callers of a route usually do: how many ids each asked for in a window, of the last windows. habit: callers that
    walked through many, and since when."""

    counts: list[int] = msgspec.field(default_factory=list)
    habit: dict[str, int] = msgspec.field(default_factory=dict)


class ApiAccess:
    """See the module."""

    hears: tuple[type[Activity], ...] = (HttpSeen,)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._callers: Bounded[_Caller] = Bounded("api_callers", self.counters, 16384, DAY, share=4)
        self._walks: Bounded[_Walk] = Bounded("api_walks", self.counters, 4096, 2 * DAY, share=4)
        self._usual: Bounded[_Usual] = Bounded("api_routes", self.counters, 16384, 30 * DAY, share=4)
        self._doors: Bounded[_Door] = Bounded("api_doors", self.counters, 16384, DAY, share=4)
        self._set = rules()[_RULE].settings
        self._length = self._set["window_minutes"] * MINUTE

    def feed(self, activity: HttpSeen) -> list[Finding]:
        if activity.direction != "inbound" or not activity.status:
            return []
        server = activity.process.workload.id or f"address:{activity.host}"
        address = host_of(activity.peer)
        where = route(activity.path)
        found = self._seen(activity, server, (address, activity.user_agent), activity.identity)
        if activity.identity not in ("", "?") and activity.status != 401:  # which says that it is nobody's
            found += self._seen(activity, server, (address, "identity", activity.identity), activity.identity)
        found += self._tried(activity, server, address, where.template)
        if where.ids and activity.status < 500:
            found += self._walked(activity, server, address, where)
        return found[:1]  # of the same request: what was looked at first

    def tick(self, ts: int) -> list[Finding]:
        for bounded in (self._callers, self._walks, self._usual, self._doors):
            bounded.expire(ts)
        return []

    # -- refused and probing -----------------------------------------------------------------------------------------

    def _seen(self, activity: HttpSeen, server: str, name: tuple[str, ...], identity: str) -> list[Finding]:
        ts, status = activity.ts, activity.status
        caller = self._callers.get(server, name, ts)
        if caller is None:
            caller = self._callers.put(server, name, _Caller(first=ts, window=_Window(start=ts), told={}), ts)
        window = caller.window
        if ts - window.start > self._length:
            recent = window.plain if ts - window.start < 2 * self._length else 0
            window = caller.window = _Window(start=ts, plain=recent, robots=window.robots)
            caller.told = {}
        if status < 400:
            window.good += activity.sampled
            if not route(activity.path).ids:
                window.plain += activity.sampled
        if activity.path == "/robots.txt":
            window.robots = True
        probe = is_probe(activity.path)
        if status < 400 and not probe and not window.refused and not window.probes:
            return []
        self._count(window, activity, probe)
        one_identity = len(name) == 3
        return (
            self._judge_refused(activity, caller, window, one_identity)
            or self._judge_changes(activity, caller, window, one_identity)
            or self._judge_probing(activity, caller, window)
        )

    def _count(self, window: _Window, activity: HttpSeen, probe: bool) -> None:
        status, path = activity.status, activity.path[:_LONGEST]
        if status in _REFUSED:
            window.refused += activity.sampled
            window.posted += activity.sampled if activity.method == "POST" else 0
            _add(window.denied, path, _PATHS)
            if activity.identity not in ("", "?"):
                _add(window.identities, activity.identity, _IDENTITIES)
        elif status in _MISSING and route(path).template == path:  # a missing id is no missing path
            _add(window.missing, path, _PATHS)
        count_change(window.things, activity, refused=status in _REFUSED)
        if probe and (status >= 400 or activity.identity == ""):
            _add(window.probes, path, _PATHS)
            if 200 <= status < 300:
                _add(window.hits, path, _PATHS)

    def _judge_refused(self, activity: HttpSeen, caller: _Caller, window: _Window, one_identity: bool) -> list[Finding]:
        """Refused many times, and not let in more often than that."""
        least = self._set["refused"]
        if window.refused < least or window.good > window.refused / self._set["refused_per_success"]:
            broken_in = (
                window.refused >= least and window.good > 0 and activity.status < 400 and "refused" in caller.told
            )
            if not broken_in:
                return []
        guessing = (
            len(window.identities) >= self._set["identities"]
            or window.posted >= least
            or len(window.denied) >= self._set["denied_paths"]
        )
        severity = "medium" if guessing else "low"
        if guessing and activity.status < 300 and "refused" in caller.told and not is_probe(activity.path):
            severity = "high"  # let in after all
        about = f"refused {window.refused} times from {host_of(activity.peer)}"
        return self._tell(activity, caller, "refused", severity, about, {
            "value": window.refused, "threshold": least, "successes": window.good, "identities": len(window.identities),
            "paths": len(window.denied), "by": "identity" if one_identity else "caller",
        })  # fmt: skip

    def _judge_changes(self, activity: HttpSeen, caller: _Caller, window: _Window, one_identity: bool) -> list[Finding]:
        """Tries to change many things and may not, whatever it may read."""
        if activity.method not in CHANGES or (activity.status not in _REFUSED and "changes" not in caller.told):
            return []
        if caller.told.get("refused", "low") != "low":
            return []  # it is told of already
        s = self._set
        things = {name: t for name, t in window.things.items() if t.good * s["refused_per_success"] <= t.refused}
        refused = sum(thing.refused for thing in things.values())
        if refused < s["refused"] or len(things) < s["things"]:
            return []
        searched = sum(len(thing.verbs) >= s["verbs"] for thing in things.values())
        severity = "medium" if searched >= s["things"] else "low"
        if activity.status < 300 and caller.told.get("changes", "low") != "low" and thing_of(activity.path) in things:
            severity = "high"  # let in after all
        about = f"{refused} changes refused to {host_of(activity.peer)}, of {len(things)} kinds of things"
        return self._tell(activity, caller, "changes", severity, about, {
            "value": refused, "threshold": s["refused"], "successes": sum(thing.good for thing in things.values()),
            "paths": sorted(things)[:8], "verbs": sorted(set[str]().union(*(thing.verbs for thing in things.values()))),
            "several_verbs": searched, "by": "identity" if one_identity else "caller",
        })  # fmt: skip

    def _judge_probing(self, activity: HttpSeen, caller: _Caller, window: _Window) -> list[Finding]:
        """Asked for many paths that are not there, or for some that only who probes asks for."""
        paths = len(window.missing) + len(window.denied)
        least = self._set["missing_paths"] * (3 if window.robots else 1)
        many = (
            paths >= least and len(window.missing) >= least // 2 and window.good < self._set["good_per_missing"] * paths
        )
        probes = len(window.probes) >= self._set["probes"]
        if not many and not probes:
            return []
        severity = "high" if window.hits else "medium" if probes or paths >= 2 * least else "low"
        value, threshold = (len(window.probes), self._set["probes"]) if probes else (paths, least)
        return self._tell(activity, caller, "probing", severity, f"{host_of(activity.peer)} probes for paths", {
            "value": value, "threshold": threshold, "successes": window.good,
            "paths": sorted(window.probes or window.missing)[:8], "answered": sorted(window.hits)[:4],
        })  # fmt: skip

    # -- one door, many callers ------------------------------------------------------------------------------------

    def _tried(self, activity: HttpSeen, server: str, address: str, template: str) -> list[Finding]:
        """Credentials tried from many addresses, a few at each: no caller does much."""
        ts, refused = activity.ts, activity.status in _REFUSED
        door = self._doors.get(server, template, ts)
        if door is None or ts - door.start > self._length:
            if not refused:
                return []
            door = self._doors.put(server, template, _Door(start=ts, addresses=set(), identities=set()), ts)
        if not refused:
            door.good += activity.sampled if activity.status < 400 else 0
            return []
        door.refused += activity.sampled
        door.posted += activity.method == "POST"
        _add(door.addresses, address, _IDS)
        if activity.identity not in ("", "?"):
            _add(door.identities, activity.identity, _IDS)
        least, value = self._set["spread"], len(door.addresses)
        many = len(door.identities) >= least or (not door.identities and door.posted >= least)
        if door.told or value < least or not many or door.refused < self._set["refused_per_success"] * door.good:
            return []
        door.told = True
        evidence = self._evidence(activity, {
            "value": value, "threshold": least, "refused": door.refused, "successes": door.good,
            "identities": len(door.identities), "route": template,
        })  # fmt: skip
        about = f"{value} addresses were refused at {template}, {door.refused} times"
        return [self._finding(activity, "spread", "medium", about, evidence, template)]

    # -- walking through ids ---------------------------------------------------------------------------------------

    def _walked(self, activity: HttpSeen, server: str, address: str, where: Route) -> list[Finding]:
        ts = activity.ts
        template = f"{activity.method} {where.template}"
        known = activity.identity not in ("", "?")  # then it is the same caller wherever it comes from
        name = ("" if known else address, activity.identity or activity.user_agent, template)
        walk = self._walks.get(server, name, ts)
        if walk is None or ts - walk.start > self._length:
            if walk is not None:
                self._remember(server, template, name, walk, ts)
            walk = self._walks.put(server, name, _Walk(start=ts, ids=set(), numbers=set(), addresses=set()), ts)
        _add(walk.addresses, address, _ADDRESSES)
        _add_id(walk.ids, "/".join(where.ids))
        if where.number >= 0:
            _add_number(walk.numbers, where.number)
        if activity.status < 400:
            walk.good += activity.sampled
        elif activity.status in (*_REFUSED, 404):
            walk.bad += activity.sampled
        least = self._set["ids"]
        if len(walk.ids) < least or len(walk.ids) % 5:
            return []
        return self._judge_walk(activity, server, address, name, walk)

    def _judge_walk(
        self, activity: HttpSeen, server: str, address: str, name: tuple[str, str, str], walk: _Walk
    ) -> list[Finding]:
        template = name[2]
        usual = self._usual.peek(server, template)
        typical = median(usual.counts) if usual is not None and usual.counts else 0.0
        count, least = len(walk.ids), self._set["ids"]
        if count < self._set["beyond_usual"] * typical:
            return []
        since = usual.habit.get(f"{name[0]} {name[1]}", 0) if usual is not None else 0
        habit = bool(since) and activity.ts - since > self._set["habit_hours"] * HOUR
        steps = _steps(walk.numbers)
        failing = walk.bad / max(1, walk.bad + walk.good)
        if habit and failing < self._set["walk_failing"]:
            return []
        outside = reach(address) == "outside"
        severity = "low"
        if failing >= self._set["walk_failing"] and not habit:
            severity = "high" if walk.good >= self._set["walk_hits"] else "medium"
        elif not habit:
            stepping = steps >= self._set["walk_steps"] and (outside or activity.identity == "")
            alone = len(walk.addresses) == 1
            guessing = outside and alone and self._guesses(activity, server, address, count)
            severity = "medium" if stepping or guessing else "low"
        if walk.told and SEVERITIES.index(severity) <= SEVERITIES.index(walk.told):
            return []
        walk.told = severity
        evidence = self._evidence(activity, {
            "value": count, "threshold": least, "usual": typical, "route": template, "successes": walk.good, "failures": walk.bad,
            "sequential": round(steps, 2), "always_did": habit, "addresses": len(walk.addresses),
        })  # fmt: skip
        who = address if len(walk.addresses) == 1 else f"one caller at {len(walk.addresses)} addresses"
        return [
            self._finding(
                activity, "walk", severity, f"{who} walks through {count} ids of {template}", evidence, template
            )
        ]

    def _guesses(self, activity: HttpSeen, server: str, address: str, count: int) -> bool:
        """Does somebody with a credential ask for ids that no list gave it? Not known where only a share of requests is seen."""
        if activity.identity in ("", "?") or count < self._set["unlisted_ids"] or activity.sampled > 1:
            return False
        caller = self._callers.peek(server, (address, "identity", activity.identity))
        return caller is not None and caller.window.plain * self._set["ids_of_a_list"] < count

    def _remember(self, server: str, template: str, name: tuple[str, str, str], walk: _Walk, ts: int) -> None:
        usual = self._usual.get(server, template, ts)
        if usual is None:
            usual = self._usual.put(server, template, _Usual(counts=[], habit={}), ts)
        if not walk.told or walk.told in ("info", "low"):
            usual.counts = [*usual.counts[-63:], len(walk.ids)]
        if len(walk.ids) >= self._set["ids"]:
            usual.habit.setdefault(f"{name[0]} {name[1]}", walk.start)
            if len(usual.habit) > 64:
                usual.habit.pop(next(iter(usual.habit)))

    # -- findings ----------------------------------------------------------------------------------------------------

    def _tell(
        self, activity: HttpSeen, caller: _Caller, kind: str, severity: str, about: str, values: dict[str, Any]
    ) -> list[Finding]:
        told = caller.told.get(kind, "")
        if told and SEVERITIES.index(severity) <= SEVERITIES.index(told):
            return []
        caller.told[kind] = severity
        values["observed_for"] = (activity.ts - caller.first) // 10**9
        return [self._finding(activity, kind, severity, about, self._evidence(activity, values), "")]

    def _evidence(self, activity: HttpSeen, values: dict[str, Any]) -> dict[str, Any]:
        base = {
            "type": "http", "time": iso(activity.ts), "peer": activity.peer, "method": activity.method, "path": activity.path,
            "status": activity.status, "identity": activity.identity, "user_agent": activity.user_agent,
        }  # fmt: skip
        return base | values | {"margin": round(values["value"] / values["threshold"], 3)}

    def _finding(
        self, activity: HttpSeen, kind: str, severity: str, about: str, evidence: dict[str, Any], template: str
    ) -> Finding:
        process: Process = activity.process
        return occurrence(
            _RULE, process, activity.ts, about, same=(kind, host_of(activity.peer), template),
            subject={"source": host_of(activity.peer), "kind": kind, "target": activity.host}, evidence=[evidence],
            severity=severity,
        )  # fmt: skip


def _add(values: set[str], value: str, most: int) -> None:
    if len(values) < most:
        values.add(value)


def _add_id(ids: set[int], text: str) -> None:
    _add_number(ids, int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()))


def _add_number(numbers: set[int], number: int) -> None:
    if len(numbers) < _IDS:
        numbers.add(number)


def _steps(numbers: set[int]) -> float:
    """Of numbers, the share whose next one is among them too: near 1 for a walk, near 0 for what people ask for."""
    return sum(n + 1 in numbers for n in numbers) / len(numbers) if len(numbers) > 1 else 0.0
