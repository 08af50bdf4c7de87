"""The population as bytes: msgpack, compressed, with a version. Whatever is read is checked before any of it is used.

Invariant: `read` raises BaselineError or restores all of it; no other error whatever the bytes.
"""

from __future__ import annotations

import sys
from array import array
from typing import Any

import msgspec
import zstandard

from leeward.detect.baseline.features import AMOUNTS, FEATURES, WIDTH
from leeward.detect.baseline.population import Population
from leeward.detect.baseline.profile import Profile
from leeward.detect.baseline.season import Season
from leeward.detect.baseline.surprise import News
from leeward.detect.baseline.table import Table
from leeward.model.errors import LeewardError

VERSION = 1
_LARGEST = 512 << 20
_MAGIC = b"leeward-baselines\n"
_ID = 1024  # characters of a workload's id, name or image
_LATEST = 1 << 40


class BaselineError(LeewardError):
    """Baselines that cannot be used as they are."""


class _Kept(msgspec.Struct, array_like=True, omit_defaults=True):
    """A profile without the state of the ten minutes at hand. The fields are Profile's."""

    key: str
    name: str
    kind: str
    image: str
    since: int
    period: int
    day: int
    events: int
    periods: float
    asked: float
    asked_at: int
    images: dict[str, int]
    instances: dict[str, int]
    deployed: int
    deployed_as: str
    begun: int
    shared: int
    own: int
    tables: dict[int, Table]
    seasons: dict[int, Season]
    amounts: list[int]
    peaks: list[int]
    told: int


class _Snapshot(msgspec.Struct, array_like=True):
    version: int
    day: int
    profiles: list[_Kept]
    imported: list[_Kept]
    news: list[News]
    known: list[dict[str, str]]


def _pack(value: Any) -> Any:
    if type(value) is array:
        return value.tobytes()
    raise NotImplementedError(type(value))


def _unpack(_type: type, value: Any) -> Any:
    if type(value) is not bytes or len(value) % 4:
        raise ValueError("not an array")
    found = array("f")
    found.frombytes(value)
    return found


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_pack)
_DECODER = msgspec.msgpack.Decoder(_Snapshot, dec_hook=_unpack)


class Writing:
    """A snapshot that is made in slices, between which the population goes on living: a profile is as it was at its turn."""

    def __init__(self, population: Population, day: int) -> None:
        self._population, self._day = population, day
        self._left = list(population.profiles)
        self._profiles: list[msgspec.Raw] = []
        self._whole = b""

    def more(self, most: int = sys.maxsize) -> bool:
        """Takes so many more profiles; all that are left if nothing is said. Is that all?"""
        turn, self._left = self._left[:most], self._left[most:]
        profiles = self._population.profiles
        self._profiles += [msgspec.Raw(_ENCODER.encode(_keep(profiles[key]))) for key in turn if key in profiles]
        if self._left:
            return False
        imported = [_keep(p) for key, p in self._population.imported.items() if key == p.key]
        # the fields of _Snapshot
        kept = (VERSION, self._day, self._profiles, imported, self._population.news, self._population.known)
        self._whole = _ENCODER.encode(kept)
        return True

    def packed(self) -> bytes:
        """After `more` took all, for any thread."""
        return _MAGIC + zstandard.ZstdCompressor(level=1, write_checksum=True).compress(self._whole)


def read(population: Population, data: bytes, limits: list[float]) -> int:
    """Puts what was written into an empty population. The day on which it last forgot. limits: of a period that begins."""
    kept = _decoded(data)
    if kept.version != VERSION:
        raise BaselineError(f"written by another version of Leeward (format {kept.version}, this one reads {VERSION})")
    if len(kept.news) != len(FEATURES) or not all(news.sound() for news in kept.news):
        raise BaselineError("damaged: the node's rates make no sense")
    if len(kept.known) != len(FEATURES) or not 0 <= kept.day < _LATEST:
        raise BaselineError("damaged: the node's words make no sense")
    profiles = [_profile(p, limits) for p in kept.profiles]
    imported = [_profile(p, limits) for p in kept.imported]
    population.news, population.known = kept.news, kept.known
    population.expect(imported)
    for profile in profiles:
        if profile.key not in population.profiles:
            population.add(profile)
    return kept.day


def _decoded(data: bytes) -> _Snapshot:
    if not data.startswith(_MAGIC):
        raise BaselineError("not a snapshot of baselines")
    try:
        frame = data[len(_MAGIC) :]
        if not 0 <= zstandard.frame_content_size(frame) <= _LARGEST:
            raise BaselineError("damaged: its size makes no sense")
        return _DECODER.decode(zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False))
    except (
        zstandard.ZstdError,
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
        OverflowError,
        ValueError,
    ) as error:
        raise BaselineError(f"damaged: {str(error)[:120] or type(error).__name__}") from None


def _keep(p: Profile) -> _Kept:
    return _Kept(*(getattr(p, name) for name in _Kept.__struct_fields__))


def _profile(kept: _Kept, limits: list[float]) -> Profile:
    profile = Profile(**{name: getattr(kept, name) for name in _Kept.__struct_fields__}, limits=limits.copy())
    if not sound(profile):
        raise BaselineError(f"damaged: the profile of {profile.key[:80]!r} makes no sense")
    return profile


def sound(p: Profile) -> bool:
    """Could this profile have been learned?"""
    texts = (p.key, p.name, p.kind, p.image, p.deployed_as, *p.images, *p.instances)
    times = (
        p.since, p.period, p.day, p.events, p.deployed, p.begun, p.shared, p.own, p.told,
        *p.images.values(), *p.instances.values(), *p.amounts, *p.peaks,
    )  # fmt: skip
    return (
        bool(p.key)
        and all(len(text) <= _ID for text in texts)
        and all(0 <= t < 1 << 60 for t in times)
        and p.since <= p.period < _LATEST
        and 0 <= p.periods < 1e9
        and 0 <= p.asked < 1e9
        and -1 <= p.asked_at < _LATEST
        and len(p.images) + len(p.instances) <= 256
        and len(p.amounts) == len(p.peaks) == len(AMOUNTS)
        and p.told < 1 << len(AMOUNTS)
        and all(0 <= n < len(FEATURES) and t.sound(FEATURES[n].cap, WIDTH) for n, t in p.tables.items())
        and all(0 <= n < len(AMOUNTS) and season.sound() for n, season in p.seasons.items())
    )
