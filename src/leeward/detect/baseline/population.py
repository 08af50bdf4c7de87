"""All workloads' normals together: each learns its words, and a new one begins with what those like it know.

Bounded: profiles and words have a cap each; the profile that was silent longest leaves first. Counted: baseline_evicted
(profiles), baseline_words_evicted, baseline_words_forgotten.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from leeward.detect.baseline.features import FEATURES, FIRST_UNTIMED, SITE, neighbours, readable
from leeward.detect.baseline.profile import Deviation, Profile
from leeward.detect.baseline.surprise import DAY, News, Prior, age_class, bits, chance_of_news
from leeward.detect.baseline.table import Seen, Table

_SIBLINGS = 4  # asked about a word, of those with the same image
_ALIKE, _ALIKE_TIMES = (
    4,
    3,
)  # words shared with them, and how many times those not shared, before their habits are a prior
_NODE_WORDS = 8192  # of one feature
_WORTH = 3.0  # bits; less is not remembered even for ten minutes
_DIVERSE = 0.25  # news in more than a quarter of the periods: less than two bits
_EXPIRY = 60 * DAY


class Population:
    """most, most_words: profiles and words at once. doubt_days: see Seen.doubt."""

    def __init__(self, counters: Counter[str], most: int, most_words: int, doubt_days: int) -> None:
        self.counters, self.doubt_days = counters, doubt_days
        self.profiles: OrderedDict[str, Profile] = OrderedDict()
        self.imported: dict[str, Profile] = {}
        self.news = [News() for _ in FEATURES]
        self.known: list[dict[str, str]] = [{} for _ in FEATURES]
        self.words = 0
        self._most, self._most_words = most, most_words
        self._images: dict[str, list[str]] = {}

    def add(self, profile: Profile) -> None:
        self.profiles[profile.key] = profile
        self.words += profile.words()
        if profile.image:
            self._images.setdefault(profile.image, []).append(profile.key)
        while len(self.profiles) > self._most or (self.words > self._most_words and len(self.profiles) > 1):
            self.evict()

    def evict(self) -> None:
        """The profile that was silent longest leaves."""
        key, profile = self.profiles.popitem(last=False)
        self.words -= profile.words()
        keys = self._images.get(profile.image, [])
        if key in keys:
            keys.remove(key)
            if not keys:
                del self._images[profile.image]
        self.counters["baseline_evicted"] += 1

    def expire(self, period: int) -> None:
        """Those silent for two months leave."""
        while self.profiles and next(iter(self.profiles.values())).period < period - _EXPIRY:
            self.evict()

    def lived(self, profile: Profile) -> None:
        """A period of it is over: what is timed could have shown news in it."""
        self.news[SITE].periods[age_class(profile.periods)] += 1
        self.profiles.move_to_end(profile.key)

    def asks(self, profile: Profile) -> None:
        """It speaks to a model in its current period: what is not timed may show news."""
        if profile.asked_at != profile.period:
            profile.asked_at = profile.period
            self.news[FIRST_UNTIMED].periods[age_class(profile.asked)] += 1
            profile.asked += 1

    def meet(self, profile: Profile, number: int, word: str, ts: int) -> Deviation | None:
        """The workload does this, in its current period. What there is to say about it, if it was not to be expected."""
        period = profile.period
        table = profile.tables.get(number)
        if table is None:
            table = profile.tables[number] = Table()
        known = profile.time_known(number)
        seen = table.values.get(word)
        if seen is not None:
            if seen.last >= period or not table.again(seen, period):
                return None
            chance = chance_of_news(table.novel, known, self._node_prior(number, known))
            return self._deviation(number, word, bits(chance) * seen.doubt / self.doubt_days, ts, False, True, "self")
        if (
            len(table.values) >= FEATURES[number].cap
            and table.novel > _DIVERSE * known
            and not self._admit(table, number, known, period)
        ):
            return None
        return self._new(profile, table, number, word, known, ts)

    def _admit(self, table: Table, number: int, known: float, period: int) -> bool:
        """Is this word of a full table that sees news all the time one of those that are looked at? One in eight: what comes
        often gets in, what comes once does not push that out."""
        if table.news(period):
            self.news[number].saw(known, True, False)
        table.other += 1
        return not int(table.other) & 7

    def _new(self, profile: Profile, table: Table, number: int, word: str, known: float, ts: int) -> Deviation | None:
        near = FEATURES[number].near and any(
            (other := table.values.get(w)) is not None and not other.doubt for w in neighbours(word)
        )
        prior = self._prior(profile, number, word, known)
        grown = table.add(word, profile.period, FEATURES[number].cap)
        self._grown(grown)
        known_by = self.known[number].pop(word, None)
        self.known[number][word] = profile.key
        if len(self.known[number]) > _NODE_WORDS:
            del self.known[number][next(iter(self.known[number]))]
        if near:
            return None
        if prior is None:  # those like it do it
            profile.shared += 1
            return None
        profile.own += 1
        chance = chance_of_news(table.novel, known, prior)
        news = self.news[number]
        on_node = known_by is not None and known_by != profile.key
        surprise = bits(chance)
        if surprise >= _WORTH and not on_node:
            surprise += news.node_bits()
        news.saw(known, table.news(profile.period), not on_node)
        kind = "self" if known >= prior.weight else prior.kind
        return self._deviation(number, word, surprise, ts, True, on_node, kind)

    def _deviation(
        self, number: int, word: str, surprise: float, ts: int, first: bool, on_node: bool, prior: str
    ) -> Deviation | None:
        if surprise < _WORTH:
            return None
        feature = FEATURES[number]
        return Deviation(
            feature.group, feature.name, readable(number, word), surprise, ts, first, on_node, prior, number, word
        )

    def _prior(self, profile: Profile, number: int, word: str, known: float) -> Prior | None:
        """What those like it know; None if they know this very word."""
        likes = self._like(profile)
        if not likes:
            return self._node_prior(number, known)
        for _, other in likes:
            table = other.tables.get(number)
            seen = table.values.get(word) if table is not None else None
            if seen is not None and not seen.doubt:
                return None
        imported = [like for like in likes if like[0] == "imported"] if self.imported else []
        alike = profile.shared >= _ALIKE and profile.shared >= _ALIKE_TIMES * profile.own
        if not (alike or imported):
            return self._node_prior(number, known)
        kind, other = max(imported or likes, key=_periods)
        lived = other.time_known(number)
        if lived >= 1 and (alike or other.key == profile.key):
            table = other.tables.get(number)
            novel = table.novel if table is not None else 0.0
            return Prior(kind, min(1.0, (novel + 0.5) / (lived + 1)), min(lived, float(DAY)))
        return self._node_prior(number, known)

    def _node_prior(self, number: int, known: float) -> Prior:
        lived = self.news[SITE if FEATURES[number].timed else FIRST_UNTIMED].periods
        return self.news[number].prior(known, lived)

    def _like(self, profile: Profile) -> list[tuple[str, Profile]]:
        found = []
        if self.imported:
            found = [("imported", p) for k in (profile.key, profile.image) if (p := self.imported.get(k)) is not None]
        keys = self._images.get(profile.image, ()) if profile.image else ()
        if len(keys) > 1:
            for key in keys[:_SIBLINGS]:
                other = self.profiles.get(key) if key != profile.key else None
                if other is not None:
                    found.append(("same image", other))
        return found

    def _grown(self, grown: int) -> None:
        self.words += grown
        if not grown:
            self.counters["baseline_words_evicted"] += 1
        elif self.words > self._most_words and len(self.profiles) > 1:
            self.evict()

    def forget(self, profile: Profile, day: int, half_life: float, gone_half_life: float) -> None:
        """Days have passed for this workload."""
        left = profile.forget(day, half_life, gone_half_life)
        self.words -= left
        self.counters["baseline_words_forgotten"] += left

    def expect(self, profiles: list[Profile]) -> None:
        """What was imported is expected of the workloads of the same id, and of those of the same image."""
        for profile in profiles:
            self.imported[profile.key] = profile
            if profile.image:
                self.imported[profile.image] = profile

    def accept(self, key: str, feature: str = "", word: str = "") -> int:
        """A person says that what was told of this workload (of this feature, this word) is normal. How many words it was."""
        profile = self.profiles.get(key)
        if profile is None:
            return 0
        accepted = 0
        for number, table in profile.tables.items():
            if feature not in ("", FEATURES[number].name):
                continue
            for text, seen in table.values.items():
                if seen.doubt and word in ("", text, readable(number, text)):
                    _trust(seen)
                    accepted += 1
        return accepted


def _periods(like: tuple[str, Profile]) -> float:
    return like[1].periods


def _trust(seen: Seen) -> None:
    seen.doubt = 0
    seen.weight = max(seen.weight, 1.0)
