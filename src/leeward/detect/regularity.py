"""Are these points in time regular, or would they come about by chance? Pure.

The measure is Moran's (1951): the logarithm of the intervals' mean less the mean of their logarithms. It is 0 for intervals that
are all alike, does not depend on the period, and no test against the exponential distribution (arrivals that know nothing of
each other: Poisson) is more powerful where the alternative is a gamma distribution, which a timer with jitter is near to.

Uniform jitter of ±30 % has 0.013 in the median of seven intervals and less than 0.035 in 9,999 of 10,000 cases; exponential
intervals are below 0.035 in 0.13 % of cases (simulated, and by the volume of the ball (n-1)!/√n·V(n-1)·(2m/n)^((n-1)/2)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import msgspec

KEPT = 32  # intervals; no look needs more


class Limits(msgspec.Struct, frozen=True):
    """first: intervals that the first looks need; until: rounds up to which they are taken; measure: what Moran's measure may be
    then. later, dropped, later_measure: of looks at more rounds, without their longest. burst: share of the longer intervals
    below which one is part of the same round."""

    first: int
    until: int
    measure: float
    later: int
    dropped: int
    later_measure: float
    burst: float


def moran(intervals: Sequence[float]) -> float:
    """Moran's measure of positive intervals, in nats."""
    count = len(intervals)
    return math.log(sum(intervals) / count) - sum(map(math.log, intervals)) / count


def rounds(intervals: Sequence[float], burst: float) -> list[float]:
    """Intervals between rounds: what follows within a small share of the longer intervals is part of the round before."""
    least = burst * sorted(intervals)[3 * len(intervals) // 4]
    joined: list[float] = []
    waited = 0.0
    for interval in intervals:
        waited += interval
        if waited >= least:
            joined.append(waited)
            waited = 0.0
    return joined


def allowed(measure: float, window: Sequence[float], blur: float) -> float:
    """What Moran's measure may be where points in time are known to within `blur` seconds: two such errors add a variance of
    blur²/6 to an interval, and the measure is about half the variance of intervals as a share of their mean's square."""
    return measure + blur * blur / (12 * (sum(window) / len(window)) ** 2)


def looked_at(intervals: Sequence[float], total: int, limits: Limits, blur: float = 0.0) -> list[float]:
    """The intervals between rounds if they are regular, else none. total: how many intervals there ever were, of which the last
    `KEPT` are given. blur: seconds to within which the points in time are known.

    A few rounds are enough at first only: a look at each of a thousand windows of seven would find one regular by chance. Later
    looks want more rounds, and then some of them may be missed or late."""
    between = rounds(intervals, limits.burst)
    if limits.first <= len(between) <= limits.until and total <= KEPT:
        window = between[-limits.first :]
        return window if moran(window) <= allowed(limits.measure, window, blur) else []
    if len(between) >= limits.later + limits.dropped:
        window = sorted(between)[: len(between) - limits.dropped]
        return between if moran(window) <= allowed(limits.later_measure, window, blur) else []
    return []


def spread(values: Sequence[float]) -> float:
    """Median distance from the median, as a share of it: 0 is constant. 0.15 for uniform ±30 %, 0.69 for exponential."""
    middle = median(values)
    return median(abs(value - middle) for value in values) / middle if middle else 0.0
