"""How much a workload does by hour of the week: bytes, flows, tokens of the busiest ten minutes of the hour.

Amounts are binary logarithms: what matters is how many times as much. An hour of the week (168, UTC) has its own level, drawn to
the same hour of other days while it is little known, and is compared with the busiest of itself and its neighbours (a job that
begins ten minutes later, or an hour when clocks change, is no news). What remains is drift (growth, half a day's memory) and
spread: the mean absolute residual, which makes the tail exponential (Laplace), far heavier than a normal one. Level, drift and
spread learn from residuals clipped at twice the spread: no single hour moves them far. An hour of the week learns in full, but an
eighth of what was told as a deviation, until that was told on three days or accepted: one who trains it must stay below what is
told at each step.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    Floats = array[float]
else:
    Floats = array  # it takes no parameter before Python 3.12

HOURS = 168
_SHRINK = 1.0  # an hour of the same hour on other days
_HEAVIEST = 6.0  # of an hour of the week: what it taught six weeks ago counts a third
_DRIFT = 1 / 12  # half a day of hours
_SPREAD_SLOWEST = 1 / 168  # a week
_FIRST_SPREAD, _FIRST_WEIGHT = 1.5, 3.0  # octaves; weight in hours
_LEAST_SPREAD = 0.4  # octaves: nothing is steadier than a third more or less
_CLIP = 2.0
_ABSURD = 1e7
_LOG2_E = 1.4427
_PERIODS = 6  # of an hour: the chance of a period is a sixth of the hour's


def zeros(count: int) -> Floats:
    return array("f", bytes(4 * count))


class Season(msgspec.Struct):
    """mean, weight: by hour of the week. daily, daily_weight: by hour of the day. n: hours learned. doubt, doubt_day: days on
    which so much must still be seen before it teaches fully, and the latest day on which it was told."""

    mean: Floats = msgspec.field(default_factory=lambda: zeros(HOURS))
    weight: Floats = msgspec.field(default_factory=lambda: zeros(HOURS))
    daily: Floats = msgspec.field(default_factory=lambda: zeros(24))
    daily_weight: Floats = msgspec.field(default_factory=lambda: zeros(24))
    level: float = 0.0
    drift: float = 0.0
    spread: float = _FIRST_SPREAD
    n: float = 0.0
    doubt: int = 0
    doubt_day: int = -1

    def tell(self, day: int, days: int) -> None:
        """It was told as a deviation on this day (Unix time / 86400)."""
        if self.doubt_day < 0 or day - self.doubt_day > 14:
            self.doubt = days
        elif day != self.doubt_day and self.doubt:
            self.doubt -= 1
        self.doubt_day = day

    def learn(self, hour: int, amount: float, gain: float = 1.0) -> None:
        """An hour of the week is over. amount: of its busiest period. gain: less than 1 for what was told as a deviation."""
        x = usual = math.log2(1 + amount)
        n = self.n
        if n:
            clip = _CLIP * (self.spread if self.spread > _LEAST_SPREAD else _LEAST_SPREAD)
            residual = x - self._base(hour) - self.drift
            size, taught = (residual, residual) if residual >= 0 else (-residual, residual)
            if size > clip:
                size, taught = clip, clip if residual > 0 else -clip
            usual = x + taught - residual
            self.spread += gain * max(_SPREAD_SLOWEST, 1 / (n + _FIRST_WEIGHT)) * (size - self.spread)
            self.drift += gain * _DRIFT * taught
        self.n = n = n + gain
        self.level += gain * max(_SPREAD_SLOWEST, 1 / (n + 1)) * (usual - self.level) if n > 1 else usual
        _move(self.daily, self.daily_weight, hour % 24, x, gain)
        _move(self.mean, self.weight, hour, x, gain)

    def expected(self, hour: int) -> float:
        """Binary logarithm of what a period of this hour should have."""
        return self._base(hour) + max(0.0, self.drift)

    def _base(self, hour: int) -> float:
        weight, day = self.weight[hour], hour % 24
        daily = self.daily[day] if self.daily_weight[day] >= 1 else self.level
        return (weight * self.mean[hour] + _SHRINK * daily) / (weight + _SHRINK)

    def surprise(self, hour: int, amount: float) -> float:
        """Bits of so much, or more, in a period. Against the busiest of the hour and its neighbours."""
        if self.n < 1:
            return 0.0
        expected = max(self.expected(h % HOURS) for h in (hour - 1, hour, hour + 1))
        excess = math.log2(1 + amount) - expected
        if excess <= 0:
            return 0.0
        tail = 1 + _LOG2_E * excess / max(self.spread, _LEAST_SPREAD)
        return min(tail, math.log2(2 * self.n + 2)) + math.log2(_PERIODS)

    def decay(self, factor: float) -> None:
        self.n *= factor

    def sound(self) -> bool:
        """Is this what this module can have written?"""
        arrays = (self.mean, self.weight, self.daily, self.daily_weight)
        numbers = (self.level, self.drift, self.spread, self.n, float(self.doubt), float(self.doubt_day))
        return (
            tuple(map(len, arrays)) == (HOURS, HOURS, 24, 24)
            and all(math.isfinite(sum(a)) and min(a) > -_ABSURD and max(a) < _ABSURD for a in arrays)
            and all(math.isfinite(n) and abs(n) < _ABSURD for n in numbers)
        )


def _move(means: Floats, weights: Floats, at: int, x: float, gain: float) -> None:
    weight = weights[at] + gain
    if weight > _HEAVIEST:
        weight = _HEAVIEST
    weights[at] = weight
    means[at] += gain / weight * (x - means[at])
