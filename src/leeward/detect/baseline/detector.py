"""The detector of baseline-deviation: activities in, findings out.

The common path is a few dictionary look-ups: a flow's words are learned once, when it began or when its name is known; its bytes
are added up by period. Bounded: profiles and words (population.py), flows that wait for a name, words of destinations.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Any

from leeward.detect.baseline import features as F
from leeward.detect.baseline import judge as J
from leeward.detect.baseline import snapshot
from leeward.detect.baseline.places import of_caller
from leeward.detect.baseline.population import Population
from leeward.detect.baseline.profile import Deviation, Profile, hour_of
from leeward.detect.baseline.snapshot import Writing
from leeward.detect.baseline.surprise import DAY, PERIOD_NS
from leeward.detect.baseline.table import DOUBTED_GAIN
from leeward.detect.rule import rules
from leeward.identity.workload import bare_image
from leeward.model.activity import Activity, ExchangeSeen, FlowSeen, Started, System
from leeward.model.finding import Finding
from leeward.model.net import Flow
from leeward.model.process import Process

MOST_PROFILES, MOST_WORDS = 16_384, 750_000
_WAITING, _WAIT_NS = 65_536, 3 * 10**9
_PLACES = 16_384


class BaselineDetector:
    hears: tuple[type[Activity], ...] = (Started, System, FlowSeen, ExchangeSeen)

    def __init__(self, most: int = MOST_PROFILES, most_words: int = MOST_WORDS) -> None:
        self.counters: Counter[str] = Counter()
        self.settings = s = J.Settings.of(rules()[J.RULE].settings)
        self.population = Population(self.counters, most, most_words, s.doubt_days)
        self._floors = [float(s.volume_floor_bytes), float(s.volume_floor_flows), float(s.volume_floor_tokens)]
        self._waiting: OrderedDict[str, tuple[int, Profile, FlowSeen]] = OrderedDict()
        self._profiles = self.population.profiles
        self._places: dict[str, tuple[str, str]] = {}
        self._callers: dict[str, str] = {}
        self._ports: dict[tuple[str, int], str] = {}
        self._period, self._day = 0, 0

    # -- activities ------------------------------------------------------------------------------------------------

    def feed(self, activity: Any) -> list[Finding]:
        kind = type(activity)
        if kind is FlowSeen:
            return self._flow(activity)
        profile = self._profile(activity)
        profile.events += 1
        if kind is Started:
            return self._started(profile, activity)
        if kind is System:
            return self._do(profile, activity, F.of_system(activity))
        return self._exchange(profile, activity)

    def _profile(self, act: Activity, address: str = "") -> Profile:
        """The profile of who did it, in the period of this activity."""
        process = act.process
        key = process.workload.id or f"address:{address}"
        period = act.ts // PERIOD_NS
        profile = self.population.profiles.get(key)
        if profile is None:
            container = process.container
            profile = Profile(
                key, process.workload.name or address, process.workload.kind or "address",
                bare_image(container.image) if container is not None else "", period, period, period // DAY,
                limits=self._floors.copy(),
            )  # fmt: skip
            self.population.add(profile)
        elif period > profile.period:
            self._turn(profile, period)
        container = process.container
        if container is not None and container.id not in profile.instances:
            profile.place(container, act.ts // 10**9)
        return profile

    def _turn(self, profile: Profile, period: int) -> None:
        """A new period begins for this workload."""
        self.population.lived(profile)
        profile.close_period(period, DOUBTED_GAIN)
        profile.limits[:] = self._floors
        day = period // DAY
        if day != profile.day:
            self.population.forget(profile, day, self.settings.half_life_days, self.settings.gone_half_life_days)

    def _started(self, profile: Profile, act: Started) -> list[Finding]:
        if profile.periods and self._is_main(profile, act.process):
            profile.begun = act.ts // 10**9
        return self._do(profile, act, ((F.PROGRAM, F.of_program(act)),))

    def _is_main(self, profile: Profile, process: Process) -> bool:
        """Is this the main program of a service (containers are known by their ids)?"""
        if process.container is not None or not process.ancestors or profile.kind == "executable":
            return False
        parent = process.ancestors[0]
        return parent.pid == 1 or F.is_one_of(parent.exe, self.settings.starters)

    def _exchange(self, profile: Profile, act: ExchangeSeen) -> list[Finding]:
        ai = act.exchange.gen_ai
        self.population.asks(profile)
        more = self._more(profile, F.TOKENS, (ai.input_tokens or 0) + (ai.output_tokens or 0), act.ts)
        return self._do(profile, act, F.of_exchange(act), more)

    def _flow(self, act: FlowSeen) -> list[Finding]:
        if act.began:
            return self._began(act)
        flow = act.flow
        profile = self._profiles.get(act.process.workload.id)
        if profile is None or profile.period < act.ts // PERIOD_NS:
            profile = self._profile(act, flow.src.ip)
        found = self._sent(profile, act) if act.sent else []
        if flow.id in self._waiting:
            if flow.domain or act.ended or act.ts - self._waiting[flow.id][0] > _WAIT_NS:
                del self._waiting[flow.id]
                found += self._place(profile, act)
        elif act.ended and flow.l7:
            found += self._do(profile, act, ((F.PROTOCOL, self._protocol(flow)),))
        return found

    def _began(self, act: FlowSeen) -> list[Finding]:
        flow = act.flow
        profile = self._profile(act, flow.src.ip)
        profile.events += 1
        found = self._sent(profile, act) if act.sent else []
        amounts = profile.amounts
        amounts[1] += 1
        if amounts[1] > profile.limits[1] and (more := self._more(profile, F.FLOWS, 0, act.ts)):
            found += self._met(profile, act, [more])
        if flow.domain or act.ended or flow.direction == "inbound" or act.peer is not None:
            return found + self._place(profile, act)
        self._waiting[flow.id] = (act.ts, profile, act)
        if len(self._waiting) > _WAITING:
            self._waiting.popitem(last=False)
            self.counters["baseline_flows_evicted"] += 1
        return found

    def _sent(self, profile: Profile, act: FlowSeen) -> list[Finding]:
        total = profile.amounts[0] = profile.amounts[0] + act.sent
        if total > profile.limits[0] and (more := self._more(profile, F.SENT, 0, act.ts)):
            return self._met(profile, act, [more])
        return []

    def _place(self, profile: Profile, act: FlowSeen) -> list[Finding]:
        """A flow's words, once."""
        flow = act.flow
        port = self._port(flow.proto, flow.dst.port)
        if flow.state == "listening":
            return self._do(profile, act, ((F.LISTENING, port),))
        if flow.direction == "inbound":
            return self._do(profile, act, ((F.LISTENING, port), (F.CALLER, self._caller(flow.src.ip))))
        site, place = self._destination(act)
        words = ((F.SITE, site), (F.DESTINATION, place), (F.SERVICE, port))
        if act.ended and flow.l7:
            words = (*words, (F.PROTOCOL, self._protocol(flow)))  # type: ignore[assignment]
        return self._do(profile, act, words)

    def _caller(self, ip: str) -> str:
        word = self._callers.get(ip)
        if word is None:
            if len(self._callers) >= _PLACES:
                self._callers.clear()
            word = self._callers[ip] = of_caller(ip)
        return word

    def _destination(self, act: FlowSeen) -> tuple[str, str]:
        flow = act.flow
        if act.peer is not None and act.peer.workload.id:
            return "this host", act.peer.workload.id[: F.WIDTH]
        key = flow.domain or flow.dst.ip
        words = self._places.get(key)
        if words is None:
            if len(self._places) >= _PLACES:
                self._places.clear()
            words = self._places[key] = F.destination(flow.domain, flow.dst.ip)
        return words

    def _port(self, proto: str, number: int) -> str:
        key = (proto, number)
        word = self._ports.get(key)
        if word is None:
            word = self._ports[key] = F.port(proto, number)
        return word

    def _protocol(self, flow: Flow) -> str:
        return f"{self._port(flow.proto, flow.dst.port)} {flow.l7}"

    # -- what it amounts to ----------------------------------------------------------------------------------------

    def _do(
        self, profile: Profile, act: Activity, words: Iterable[tuple[int, str]], more: Deviation | None = None
    ) -> list[Finding]:
        """The workload does what these words say. What it usually does is settled here."""
        period, tables = profile.period, profile.tables
        news = [more] if more is not None else None
        for number, word in words:
            table = tables.get(number)
            if table is not None:
                seen = table.values.get(word)
                if seen is not None:
                    if seen.last >= period:
                        continue
                    if number < F.FIRST_UNTIMED and not seen.doubt:
                        seen.weight += 1.0
                        seen.last = period
                        continue
            deviation = self.population.meet(profile, number, word or "?", act.ts)
            if deviation is not None:
                news = [deviation] if news is None else [*news, deviation]
        return self._met(profile, act, news) if news is not None else []

    def _more(self, profile: Profile, number: int, amount: int, ts: int) -> Deviation | None:
        """So much more in this period; a deviation if that is too much already."""
        total = profile.amounts[number] = profile.amounts[number] + amount
        if total <= profile.limits[number]:
            return None
        profile.limits[number] = total * 2.0
        season = profile.seasons.get(number)
        surprise = season.surprise(hour_of(profile.period), total) if season is not None else 0.0
        if surprise < 3:
            return None
        value = f"{F.amount(total)} in ten minutes"
        return Deviation("volume", F.AMOUNTS[number], value, surprise, ts, True, True, "self", ~number)

    def _met(self, profile: Profile, act: Activity, news: list[Deviation]) -> list[Finding]:
        """There were deviations: what is to be told of them, with others of the last ten minutes."""
        for d in news:
            held = profile.fresh.get(d.group)
            if held is None or d.bits >= held.bits or act.ts - held.ts >= PERIOD_NS:
                profile.fresh[d.group] = d
        deviations = J.recent(profile, act.ts)
        verdict = J.judge(profile, act.process, deviations, act.ts, self.settings)
        if verdict is None:
            return []
        days = 1 if verdict.after else self.settings.doubt_days
        for d in (*deviations, *news):
            self._doubt(profile, d, days)
        self.counters["baseline_deviations"] += 1
        return [J.finding(profile, act.process, deviations, verdict, act.ts, self.settings)]

    def _doubt(self, profile: Profile, d: Deviation, days: int) -> None:
        """It was told: it must not become normal by itself, but on so many days."""
        if d.number >= 0:
            seen = profile.tables[d.number].values.get(d.word)
            if seen is not None and d.first and not seen.doubt:
                seen.doubt = days
        elif not profile.told >> ~d.number & 1:
            profile.told |= 1 << ~d.number
            profile.seasons[~d.number].tell(profile.period // DAY, days)

    def tick(self, ts: int) -> list[Finding]:
        found: list[Finding] = []
        while self._waiting:
            began, profile, act = next(iter(self._waiting.values()))
            if ts - began < _WAIT_NS:
                break
            self._waiting.popitem(last=False)
            found += self._place(profile, act)
        period = ts // PERIOD_NS
        if period != self._period:
            self._period = period
            self.population.expire(period)
            if period // DAY != self._day:
                if self._day:
                    days = max(0, period // DAY - self._day)  # a clock may go back
                    factor = 0.5 ** (days / self.settings.half_life_days)
                    for news in self.population.news:
                        news.decay(factor)
                self._day = period // DAY
        return found

    # -- kept over restarts ----------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All that was learned, compressed."""
        writing = self.writing()
        writing.more()
        return writing.packed()

    def writing(self) -> Writing:
        """The same, to be made in slices."""
        return Writing(self.population, self._day)

    def restore(self, data: bytes) -> None:
        """What `snapshot` gave. Raises BaselineError if it is damaged, and then changes nothing."""
        self._day = snapshot.read(self.population, data, self._floors)
