"""One workload's normal, and the state of the ten minutes at hand."""

from __future__ import annotations

import msgspec

from leeward.detect.baseline.features import AMOUNTS, FEATURES
from leeward.detect.baseline.season import Season
from leeward.detect.baseline.surprise import DAY, PERIOD_S
from leeward.detect.baseline.table import Table
from leeward.model.process import Container

_INSTANCES, _IMAGES = 64, 8
_HOUR = 3600 // PERIOD_S
GONE_DAYS = 7


class Deviation(msgspec.Struct):
    """Something that was not expected. what: its feature or amount. first: was it never seen before now (else it is doubted
    still)? on_node: did another workload here do it before? prior: what the surprise rests on, beside the workload itself."""

    group: str
    what: str
    value: str
    bits: float
    ts: int
    first: bool
    on_node: bool
    prior: str
    number: int = -1
    word: str = ""


class Profile(msgspec.Struct):
    """key: workload id, or `address:<ip>` in captures. image: without tag and digest. since, period: the first and the current
    period (Unix time / 600 s); day: when it last forgot. events: words and flows heard. periods: those it was active in,
    decayed; asked: those in which it spoke to a model, and the latest.
    images, instances: image references and container ids, with the second in which each appeared. deployed, deployed_as: the
    latest new image. begun: the second in which a main program outside containers began again. shared, own: words that those with
    the same image knew, and did not. tables: by feature; seasons: by amount.
    amounts: of the current period; peaks: the most of a period of this hour; limits: beyond them it is looked at; told: bits of
    the amounts that were told in this hour."""

    key: str
    name: str = ""
    kind: str = ""
    image: str = ""
    since: int = 0
    period: int = 0
    day: int = 0
    events: int = 0
    periods: float = 0.0
    asked: float = 0.0
    asked_at: int = -1
    images: dict[str, int] = {}
    instances: dict[str, int] = {}
    deployed: int = 0
    deployed_as: str = ""
    begun: int = 0
    shared: int = 0
    own: int = 0
    tables: dict[int, Table] = {}
    seasons: dict[int, Season] = {}
    amounts: list[int] = msgspec.field(default_factory=lambda: [0] * len(AMOUNTS))
    peaks: list[int] = msgspec.field(default_factory=lambda: [0] * len(AMOUNTS))
    limits: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(AMOUNTS))
    told: int = 0
    fresh: dict[str, Deviation] = {}

    def place(self, container: Container, now: int) -> None:
        """It runs in this container, which was not heard of before. now: Unix seconds."""
        new = not self.instances and not self.periods  # it may be older than we are
        self.instances[container.id] = 0 if new else now
        if len(self.instances) > _INSTANCES:
            del self.instances[next(iter(self.instances))]
        image = container.image_digest or container.image
        if image and image not in self.images:
            if self.images:
                self.deployed, self.deployed_as = now, container.image or image
            self.images[image] = now
            if len(self.images) > _IMAGES:
                del self.images[next(iter(self.images))]

    def close_period(self, period: int, doubtful_gain: float) -> None:
        """What was heard in the current period becomes part of the past; the next one begins."""
        self.periods += 1
        for number, amount in enumerate(self.amounts):
            if amount:
                if amount > self.peaks[number]:
                    self.peaks[number] = amount
                self.amounts[number] = 0
        if period // _HOUR != self.period // _HOUR:
            self._close_hour(doubtful_gain)
        self.period = period

    def _close_hour(self, doubtful_gain: float) -> None:
        hour = hour_of(self.period)
        for number, peak in enumerate(self.peaks):
            season = self.seasons.get(number)
            if season is None:
                if not peak:
                    continue
                season = self.seasons[number] = Season()
            told = self.told >> number & 1
            season.learn(hour, peak, doubtful_gain if told and season.doubt else 1.0)
            self.peaks[number] = 0
        self.told = 0

    def forget(self, day: int, half_life: float, gone_half_life: float) -> int:
        """Days have passed. How many words left."""
        days = day - self.day
        self.day = day
        if days <= 0:
            return 0
        factor = 0.5 ** (days / half_life)
        self.periods *= factor
        self.asked *= factor
        for season in self.seasons.values():
            season.decay(factor)
        deploy = self.deployed // PERIOD_S
        gone_before = deploy if deploy and day - deploy // DAY <= GONE_DAYS else 0
        gone = 0.5 ** (days / gone_half_life)
        return sum(table.decay(factor, gone_before, gone) for table in self.tables.values())

    def words(self) -> int:
        return sum(len(table.values) for table in self.tables.values())

    def known_s(self, ts: int) -> int:
        return max(0, ts // 10**9 - self.since * PERIOD_S)

    def time_known(self, number: int) -> float:
        """Periods in which something new of this feature would have shown."""
        return self.periods if FEATURES[number].timed else self.asked


def hour_of(period: int) -> int:
    """Hour of the week, from Thursday 00:00 UTC, as Unix time began."""
    return period // _HOUR % 168
