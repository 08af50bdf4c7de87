"""Findings that belong together become incidents.

Invariants: every finding is in at most one incident. One of medium severity or worse opens an incident (of rules that only say
that something is unusual or unseen: of high); lesser ones only where at least two of them belong together and serve two tactics;
`info` joins as context and never opens, joins or worsens anything. An incident's severity never falls. Bounded: findings that are
remembered, incidents that are open, findings and steps of each; what leaves is counted. No clock: the same activities and
findings give the same incidents. Why findings belong together: linking.py.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from leeward.detect.context import Context
from leeward.detect.findings import identity
from leeward.detect.linking import ENOUGH, Tie, score, ties
from leeward.detect.severity import Weighed, weigh
from leeward.detect.summary import told
from leeward.detect.tactics import tactics
from leeward.detect.telling import steps_of
from leeward.detect.traits import Traits, traits
from leeward.model.activity import Activity
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.incident import Incident, Step
from leeward.model.times import nanoseconds

_FINDINGS = 4_096  # that are in no incident
_OPEN = 512
_MEMBERS = 128  # findings of an incident
_STEPS = 400
_BECAUSE = 32
_ALIKE = 64  # findings that are looked at for one trait: the latest
_REFRESHED = 8  # findings of an incident, the latest, whose steps are brought up to date when it is told
_AT_ONCE = 16  # findings that one may bring along
_LOOSE_NS = 6 * 3600 * 10**9
_QUIET_NS = 24 * 3600 * 10**9
"""An incident without news for a day is closed: a beacon that sleeps for hours is still the same attack."""
_SECOND_NS = 10**9
_PACE, _SLOWEST_NS = 100, 60 * 10**9
"""Repetitions of what is in an incident are told after a hundredth of its age, a second at least and a minute at most; whatever
joins it or makes it worse is told within a second."""
_MEDIUM, _HIGH = SEVERITIES.index("medium"), SEVERITIES.index("high")

Token = tuple[str, object]


class Held(msgspec.Struct):
    """A finding that is remembered. incident: id of its own, "" for none."""

    finding: Finding
    traits: Traits
    tokens: tuple[Token, ...]
    incident: str = ""


class Opened(msgspec.Struct):
    """An incident that is open. steps: by name; severity: as told, it only rises. left_out: steps that there was no room for.
    due: when its news are to be told (ns)."""

    id: str
    members: dict[str, Held]
    first: int
    last: int
    because: dict[str, None] = {}
    steps: dict[str, Step] = {}
    left_out: int = 0
    weighed: Weighed = Weighed()
    before: Incident | None = None
    due: int = 0


class Incidents:
    """Fed activities, which lead from one finding to the next, and findings as they are told; yields incidents that changed."""

    def __init__(self) -> None:
        self._counters: Counter[str] = Counter()
        self._context = Context()
        self.heed: Callable[[Activity], None] = self._context.heed
        """Remembers what may link findings."""
        self._held: OrderedDict[str, Held] = OrderedDict()  # of no incident, the latest last
        self._joined: dict[str, Held] = {}
        self._open: OrderedDict[str, Opened] = OrderedDict()  # the one with the latest news last
        self._news: dict[str, Opened] = {}  # those of the open ones that have news which were not told
        self._late: list[Incident] = []  # closed since the last tick, for want of room
        self._alike: dict[Token, OrderedDict[str, None]] = {}

    @property
    def counters(self) -> Counter[str]:
        return self._counters + self._context.counters

    def __len__(self) -> int:
        return len(self._open)

    def feed(self, finding: Finding, ts: int) -> list[Incident]:
        """A finding as it is told, for the first time or again. Incidents that are new, got worse or were merged."""
        held = self._joined.get(finding.id) or self._held.pop(finding.id, None)
        about = traits(finding, ts, self._context)
        if held is None:
            held = Held(finding, about, ())
            fresh = True
        else:
            fresh = about.rank > held.traits.rank or not set(_tokens(about, self._context)) <= set(held.tokens)
            held.finding, held.traits = finding, about
        self._index(held)
        if held.incident:
            self._renew(self._open[held.incident], held)
        else:
            self._held[finding.id] = held
        out = self._place(held, ts) if fresh else []
        self._bound()
        return out

    def tick(self, ts: int) -> list[Incident]:
        """About once a second: incidents with news, those that came to an end, and what is old is forgotten."""
        out, self._late = self._late, []
        out += [self._tell(opened, ts) for opened in list(self._news.values()) if ts >= opened.due]
        while self._open and ts - (oldest := next(iter(self._open.values()))).last > _QUIET_NS:
            out.append(self._close(oldest, ts))
        while self._held and ts - (loose := next(iter(self._held.values()))).traits.last > _LOOSE_NS:
            self._forget(loose)
        return out

    def finish(self, ts: int) -> list[Incident]:
        """The observation ends: all news are told."""
        for opened in self._news.values():
            opened.due = ts
        return self.tick(ts)

    def restore(self, incidents: Iterable[Incident], finding: Callable[[str], Finding | None]) -> None:
        """Those that were open before a restart go on. finding: one by its id, as it was kept."""
        for known in sorted(incidents, key=lambda incident: incident.last_seen):
            if known.status != "open" or known.id in self._open:
                continue
            ts = nanoseconds(known.last_seen)
            opened = Opened(known.id, {}, nanoseconds(known.first_seen), ts, dict.fromkeys(known.because), before=known)
            opened.steps = {
                f"{step.layer} {step.time} {step.what}": step for step in known.chain if not _of_finding(step)
            }
            opened.weighed, opened.left_out = Weighed(known.severity, known.confidence, ()), known.dropped
            for found in filter(None, map(finding, known.findings[:_MEMBERS])):
                self._held.pop(found.id, None)
                held = Held(found, traits(found, ts, self._context), (), known.id)
                self._joined[found.id] = opened.members[found.id] = held
                self._index(held)
                opened.steps |= dict(steps_of(found, held.traits, self._context))
            if opened.members:
                self._open[known.id] = opened

    # -- which belong together -----------------------------------------------------------------------------------------

    def _place(self, held: Held, ts: int) -> list[Incident]:
        """A finding goes where it belongs, and takes along what belongs to it."""
        merged: list[Incident] = []
        waiting, target = [held], self._open.get(held.incident)
        for _ in range(_AT_ONCE):
            if not waiting:
                break
            one = waiting.pop(0)
            incidents, loose = self._related(one)
            if not one.traits.rank:  # context: it joins the nearest, and brings nothing with it
                target = target or (incidents[0][0] if incidents else None)
                if target is not None and not one.incident:
                    because = next((why for opened, why in incidents if opened is target), "")
                    self._join(target, one, because)
                continue
            found = [opened for opened, _ in incidents]
            if target is None:
                if not found and not self._opens(one, [other for other, _ in loose]):
                    continue
                target = min(found, key=lambda o: (o.first, o.id), default=None) or self._begin(one)
            for opened, why in incidents:
                if opened is not target and opened.id in self._open:
                    older, younger = sorted((target, opened), key=lambda o: (o.first, o.id))
                    merged.append(self._merge(older, younger, why, ts))
                    target = older
            if not one.incident:
                self._join(target, one, next((why for _, why in incidents), ""))
            for other, why in loose:
                if not other.incident:
                    self._join(target, other, why)
                    waiting += [other] if other.traits.rank else []
        if target is None or not (merged or target.before is None or self._worse(target)):
            return merged
        return [*merged, self._tell(target, ts)]

    def _opens(self, held: Held, loose: list[Held]) -> bool:
        if held.traits.rank >= (_HIGH if held.finding.rule in tactics().aimless else _MEDIUM):
            return True
        group = [held, *(other for other in loose if other.traits.rank)]
        return len(group) > 1 and len({one.traits.tactic for one in group} - {""}) > 1

    def _related(self, held: Held) -> tuple[list[tuple[Opened, str]], list[tuple[Held, str]]]:
        """The incidents, oldest first, and the loose findings that it belongs to, and why."""
        by_incident: dict[str, list[tuple[Held, list[Tie]]]] = {}
        settled: dict[str, str] = {held.incident: ""} if held.incident else {}
        loose: list[tuple[Held, str]] = []
        for other in self._candidates(held):
            if other.incident and (other.incident in settled or not other.traits.rank):  # context leads nowhere
                continue
            found = ties(held.traits, other.traits, self._context)
            total, because = score(found)
            if not other.incident:
                loose += [(other, _why(other, held, because))] if total >= ENOUGH else []
            elif total >= ENOUGH:
                settled[other.incident] = _why(other, held, because)
            elif found:
                by_incident.setdefault(other.incident, []).append((other, found))
        for id_, pairs in by_incident.items():  # none is enough alone: all of them together?
            total, because = score([tie for _, found in pairs for tie in found])
            if id_ not in settled and total >= ENOUGH:
                nearest, _ = max(pairs, key=lambda pair: score(pair[1])[0])
                settled[id_] = _why(nearest, held, because)
        settled.pop(held.incident, None)
        incidents = [(self._open[id_], why) for id_, why in settled.items()]
        return sorted(incidents, key=lambda pair: (pair[0].first, pair[0].id)), loose

    def _candidates(self, held: Held) -> list[Held]:
        """Findings that share anything with it."""
        ids: dict[str, None] = {}
        for token in (*held.tokens, *_ends(held.traits, self._context)):
            ids |= dict.fromkeys(reversed(self._alike.get(token, {})))  # the latest first
        ids.pop(held.finding.id, None)
        return [found for id_ in ids if (found := self._joined.get(id_) or self._held.get(id_)) is not None]

    def _index(self, held: Held) -> None:
        fresh = tuple(dict.fromkeys((*held.tokens, *_tokens(held.traits, self._context))))
        held.tokens = fresh
        for token in fresh:
            ids = self._alike.setdefault(token, OrderedDict())
            ids[held.finding.id] = None
            if len(ids) > _ALIKE:
                ids.popitem(last=False)
                self._counters["incident_index_evicted"] += 1

    def _forget(self, held: Held) -> None:
        self._held.pop(held.finding.id, None)
        self._joined.pop(held.finding.id, None)
        for token in held.tokens:
            ids = self._alike.get(token)
            if ids is not None:
                ids.pop(held.finding.id, None)
                if not ids:
                    del self._alike[token]

    def _bound(self) -> None:
        while len(self._held) > _FINDINGS:
            self._forget(next(iter(self._held.values())))
            self._counters["incident_findings_evicted"] += 1

    # -- the incidents -------------------------------------------------------------------------------------------------

    def _begin(self, held: Held) -> Opened:
        about = held.traits
        opened = Opened(identity("incident", held.finding.id, about.first, about.last), {}, about.first, about.last)
        self._open[opened.id] = opened
        self._counters["incidents"] += 1
        if len(self._open) > _OPEN:
            self._late.append(self._close(next(iter(self._open.values())), about.last))
            self._counters["incidents_evicted"] += 1
        return opened

    def _join(self, opened: Opened, held: Held, because: str) -> None:
        self._held.pop(held.finding.id, None)
        if len(opened.members) >= _MEMBERS:  # the least leaves; what it told stays
            least = min(opened.members.values(), key=lambda member: (member.traits.rank, member.traits.last))
            del opened.members[least.finding.id]
            self._forget(least)
            self._counters["incident_members_evicted"] += 1
        held.incident, opened.due = opened.id, 0
        opened.members[held.finding.id] = self._joined[held.finding.id] = held
        if because and len(opened.because) < _BECAUSE:
            opened.because[because] = None
        self._renew(opened, held)

    def _merge(self, older: Opened, younger: Opened, why: str, ts: int) -> Incident:
        """The younger's findings are the older's from now on. The younger as it is told for the last time."""
        last = self._tell(younger, ts)
        del self._open[younger.id]
        self._counters["incidents_merged"] += 1
        for held in younger.members.values():
            self._join(older, held, "")
        older.because |= {reason: None for reason in (*younger.because, why) if len(older.because) < _BECAUSE}
        older.left_out += younger.left_out
        return msgspec.structs.replace(last, status="merged", merged_into=older.id)

    def _renew(self, opened: Opened, held: Held) -> None:
        """What this finding adds to the chain, as it is now."""
        opened.first, opened.last = min(opened.first, held.traits.first), max(opened.last, held.traits.last)
        for name, step in steps_of(held.finding, held.traits, self._context):
            if name in opened.steps or len(opened.steps) < _STEPS:
                opened.steps[name] = step
            else:
                opened.left_out += 1
        if opened.id in self._open:
            self._news[opened.id] = opened
            self._open.move_to_end(opened.id)

    def _worse(self, opened: Opened) -> bool:
        weighed = weigh([held.traits for held in opened.members.values()], _confidences(opened))
        return SEVERITIES.index(weighed.severity) > SEVERITIES.index(opened.weighed.severity)

    def _tell(self, opened: Opened, ts: int, status: str = "open") -> Incident:
        for held in sorted(opened.members.values(), key=lambda held: held.traits.last)[
            -_REFRESHED:
        ]:  # connections went on
            for name, step in steps_of(held.finding, held.traits, self._context):
                if name in opened.steps:
                    opened.steps[name] = step
        weighed = weigh([held.traits for held in opened.members.values()], _confidences(opened))
        if SEVERITIES.index(weighed.severity) < SEVERITIES.index(opened.weighed.severity):
            weighed = msgspec.structs.replace(weighed, severity=opened.weighed.severity)
        opened.weighed = weighed
        self._news.pop(opened.id, None)
        opened.due = ts + max(_SECOND_NS, min(_SLOWEST_NS, (ts - opened.first) // _PACE))
        opened.before = told(opened.id, [held.finding for held in opened.members.values()], weighed, opened.steps,
                             list(opened.because), opened.left_out, ts, status, opened.before)  # fmt: skip
        return opened.before

    def _close(self, opened: Opened, ts: int) -> Incident:
        incident = self._tell(opened, ts, "closed")
        self._drop(opened)
        self._counters["incidents_closed"] += 1
        return incident

    def _drop(self, opened: Opened) -> None:
        self._open.pop(opened.id, None)
        self._news.pop(opened.id, None)
        for held in list(opened.members.values()):
            self._forget(held)


def _confidences(opened: Opened) -> dict[str, float]:
    return {held.finding.id: held.finding.confidence for held in opened.members.values()}


def _why(one: Held, other: Held, because: str) -> str:
    earlier, later = sorted((one.traits, other.traits), key=lambda t: (t.first, t.id))
    names = [t.name if earlier.name != later.name else t.title for t in (earlier, later)]
    return f"{names[0]} – {names[1]}: {because}"


def _of_finding(step: Step) -> bool:
    return bool(step.refs) and step.refs[0].get("type") == "finding"


def _tokens(about: Traits, context: Context) -> tuple[Token, ...]:
    """What others may share with it."""
    tokens: dict[Token, None] = {}
    for key in about.processes:
        tokens[("process", key)] = None
        tokens |= {("process", node.key): None for node in context.ancestors(key)[1:5] if node.key[0] != 1}
    for kind, values in (
        ("exchange", about.exchanges), ("flow", about.flows), ("destination", about.destinations), ("key", about.keys),
        ("file", about.files), ("value", about.values.keys()),
    ):  # fmt: skip
        tokens |= {(kind, value): None for value in sorted(values)[:32]}
    if about.workload:
        tokens[("workload", about.workload)] = None
    return tuple(tokens)


def _ends(about: Traits, context: Context) -> list[Token]:
    """Processes that its own are linked to."""
    nodes = [node for key in about.processes for node in context.ancestors(key)[:4]]
    return [("process", link.other) for node in nodes for link in node.links]
