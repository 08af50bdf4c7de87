"""How much is usual: a robust estimate of bytes per stretch of time, online, in a few numbers. Pure.

Volumes are spread over magnitudes, so they are looked at as logarithms to base 2. Centre and spread follow with exponential
forgetting; one step moves them by a bounded amount only (Huber), so that the unusual does not become usual by happening once.
"""

from __future__ import annotations

import math

import msgspec

_FORGET = 0.1  # weight of a new stretch: half of what is known comes from the last seven
_LEAST_SPREAD = 0.5  # a factor of 1.4 either way: nothing is steadier over days


class Volume(msgspec.Struct, gc=False):
    """since: when the stretch began, ns. bytes: in it. stretches: that are over and had any. limit: bytes above which a stretch
    is unusual; infinite while too little is known."""

    since: int = 0
    bytes: int = 0
    stretches: int = 0
    centre: float = 0.0
    spread: float = 1.0
    limit: float = math.inf


class Scale(msgspec.Struct, frozen=True):
    """length_ns: of a stretch. least: stretches that must be known. floor: bytes below which nothing is unusual."""

    length_ns: int
    least: int
    spreads: float
    floor: int


def add(volume: Volume, count: int, ts: int, scale: Scale) -> bool:
    """Bytes of now. Is this stretch unusual by them?"""
    if ts - volume.since >= scale.length_ns:
        if volume.bytes:
            _learn(volume)
            if volume.stretches >= scale.least:
                volume.limit = max(float(scale.floor), 2 ** min(60.0, volume.centre + scale.spreads * volume.spread))
        volume.since, volume.bytes = ts, 0
    volume.bytes += count
    return volume.bytes > volume.limit


def _learn(volume: Volume) -> None:
    value = math.log2(1 + volume.bytes)
    volume.stretches += 1
    if volume.stretches == 1:
        volume.centre = value
        return
    weight = max(_FORGET, 1 / volume.stretches)
    away = value - volume.centre
    most = 3 * volume.spread
    away = max(-most, min(most, away))
    volume.spread = max(_LEAST_SPREAD, volume.spread + weight * (abs(away) - volume.spread))
    volume.centre += weight * away
