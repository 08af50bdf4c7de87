"""Baselines for people: a document that can be read, signed, and given to another Leeward as what to expect.

Canonical: keys sorted, one spelling of each number, LF line ends, so that the same knowledge is the same bytes. The signature
(Ed25519, RFC 8032) is over the document's canonical text without its "signature" field. Its words are those of features.py:
names of destinations, programs, models and tools, and hashes of instructions; no prompts, no command lines.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from datetime import datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from leeward.detect.baseline.features import AMOUNTS, BY_NAME, FEATURES, is_word, readable
from leeward.detect.baseline.profile import Profile
from leeward.detect.baseline.season import Season
from leeward.detect.baseline.snapshot import BaselineError, sound
from leeward.detect.baseline.surprise import DAY, PERIOD_NS
from leeward.detect.baseline.table import Seen, Table
from leeward.model.times import iso

FORMAT = "leeward-baselines/1"
LARGEST = 64 << 20  # bytes of a document that is read


class Word(msgspec.Struct, omit_defaults=True):
    """value: as findings say it. share: of the active time. since, last: ISO 8601. doubted: days on which it must still be
    seen."""

    value: str
    share: float
    since: str
    last: str
    doubted: int = 0
    word: str = ""


class Habit(msgspec.Struct):
    """One feature. news: periods of ten minutes in which something was new. values: the most usual first."""

    news: float
    values: list[Word]


class Baseline(msgspec.Struct):
    """One workload. active_hours: that it was seen active, decayed. usual: by feature. amounts: by name, of the busiest ten
    minutes of each hour of the week from Thursday 00:00 UTC, null where it is not known."""

    workload: str
    name: str
    kind: str
    image: str
    since: str
    last: str
    events: int
    active_hours: float
    asking_hours: float
    usual: dict[str, Habit]
    amounts: dict[str, list[int | None]]


class Signature(msgspec.Struct):
    """key, value: base64. fingerprint: of the public key."""

    algorithm: str
    key: str
    fingerprint: str
    value: str


class Document(msgspec.Struct):
    format: str
    created: str
    baselines: list[Baseline]
    signature: Signature | None = None


def baseline(profile: Profile) -> Baseline:
    usual = {}
    for number, table in sorted(profile.tables.items()):
        known = max(1.0, profile.time_known(number))
        words = sorted(table.values.items(), key=lambda item: (-item[1].weight, item[0]))
        usual[FEATURES[number].name] = Habit(
            round(table.novel, 3), [_word(number, w, seen, known) for w, seen in words]
        )
    return Baseline(
        profile.key, profile.name, profile.kind, profile.image, iso(profile.since * PERIOD_NS), iso(profile.period * PERIOD_NS),
        profile.events, round(profile.periods / 6, 2), round(profile.asked / 6, 2), usual,
        {AMOUNTS[n]: _by_hour(season) for n, season in sorted(profile.seasons.items())},
    )  # fmt: skip


def _word(number: int, word: str, seen: Seen, known: float) -> Word:
    shown = readable(number, word)
    since, last = iso(seen.first * PERIOD_NS), iso(seen.last * PERIOD_NS)
    return Word(shown, round(min(1.0, seen.weight / known), 4), since, last, seen.doubt, word if word != shown else "")


def _by_hour(season: Season) -> list[int | None]:
    return [
        round(2**mean - 1) if weight >= 1 else None for mean, weight in zip(season.mean, season.weight, strict=True)
    ]


def canonical(made: Document) -> bytes:
    """The text that is signed and written, but for the signature."""
    plain = msgspec.to_builtins(made)
    plain.pop("signature")
    return (json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def fingerprint(key: bytes) -> str:
    """Of a raw public key of 32 bytes."""
    digest = hashlib.sha256(key).hexdigest()[:32]
    return ":".join(digest[n : n + 4] for n in range(0, 32, 4))


def signed(made: Document, key: Ed25519PrivateKey) -> bytes:
    """The document as it is written to a file."""
    public = key.public_key().public_bytes_raw()
    value = key.sign(canonical(made))
    made.signature = Signature(
        "ed25519", base64.b64encode(public).decode(), fingerprint(public), base64.b64encode(value).decode()
    )
    text = json.dumps(msgspec.to_builtins(made), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode()


def read(data: bytes) -> tuple[Document, str]:
    """A document and the fingerprint of the key that signed it, "" if nobody did. Raises BaselineError if it is none, or if
    it is not what was signed."""
    if len(data) > LARGEST:
        raise BaselineError(f"larger than {LARGEST >> 20} MiB")
    try:
        made = msgspec.json.decode(data, type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BaselineError(f"not exported baselines: {str(error)[:160]}") from None
    if made.format != FORMAT:
        raise BaselineError(f"format {made.format[:40]!r} is not known here: this Leeward reads {FORMAT}")
    if made.signature is None:
        return made, ""
    try:
        public = base64.b64decode(made.signature.key, validate=True)
        value = base64.b64decode(made.signature.value, validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(value, canonical(made))
    except (ValueError, InvalidSignature):
        raise BaselineError("its signature is not that of its content: it was changed after it was signed") from None
    return made, fingerprint(public)


def profiles(made: Document) -> list[Profile]:
    """What a document says, as profiles to expect. Raises BaselineError where it makes no sense."""
    return [_profile(b) for b in made.baselines]


def _profile(b: Baseline) -> Profile:
    periods, asked = b.active_hours * 6, b.asking_hours * 6
    since, last = _period(b.since), _period(b.last)
    profile = Profile(
        b.workload, b.name, b.kind, b.image, since, max(since, last), max(since, last) // DAY, b.events, periods, asked
    )
    for name, habit in b.usual.items():
        number = BY_NAME.get(name)
        if number is None:
            raise BaselineError(f"{b.workload[:80]}: {name[:40]!r} is no feature of this Leeward")
        table = profile.tables[number] = Table(novel=habit.news)
        known = max(1.0, profile.time_known(number))
        for word in habit.values:
            text = word.word or word.value
            if not is_word(number, text):
                raise BaselineError(f"{b.workload[:80]}: {text[:40]!r} cannot be a {name}")
            first = _period(word.since)
            table.values[text] = Seen(word.share * known, first, max(first, _period(word.last)), word.doubted)
    for name, hours in b.amounts.items():
        _season(profile, name, hours)
    if not sound(profile):
        raise BaselineError(f"{b.workload[:80]}: makes no sense")
    return profile


def _season(profile: Profile, name: str, hours: list[int | None]) -> None:
    if name not in AMOUNTS or len(hours) != 168 or any(h is not None and not 0 <= h < 1 << 60 for h in hours):
        raise BaselineError(f"{profile.key[:80]}: amounts {name[:40]!r} are not 168 numbers that are known here")
    season = profile.seasons[AMOUNTS.index(name)] = Season()
    for hour, amount in enumerate(hours):
        if amount is not None:
            season.mean[hour], season.weight[hour] = math.log2(1 + amount), 1.0


def _period(text: str) -> int:
    try:
        return int(msgspec.convert(text, datetime).timestamp()) // 600
    except (msgspec.ValidationError, OverflowError, ValueError):
        raise BaselineError(f"{text[:40]!r} is no time") from None


def verified(data: bytes, trusted: set[str], allow_unsigned: bool) -> tuple[list[Profile], str]:
    """The profiles of a document that may be used, and who signed it. trusted: fingerprints of keys."""
    made, signer = read(data)
    if not signer and not allow_unsigned:
        raise BaselineError(
            "it is not signed: anybody may have written it; give --allow-unsigned if you know where it comes from"
        )
    if signer and signer not in trusted:
        raise BaselineError(
            f"it is signed by key {signer}, which is not this host's: give --key {signer} if you know that key"
        )
    return profiles(made), signer


def summary(profile: Profile) -> dict[str, Any]:
    """A line about it for lists."""
    return {
        "workload": profile.key, "name": profile.name, "kind": profile.kind, "image": profile.image,
        "since": iso(profile.since * PERIOD_NS), "last": iso(profile.period * PERIOD_NS), "events": profile.events,
        "active_hours": round(profile.periods / 6, 2),
        "doubted": sum(seen.doubt > 0 for table in profile.tables.values() for seen in table.values.values()),
        "usual": {FEATURES[n].name: len(table.values) for n, table in sorted(profile.tables.items())},
        "deployed": iso(profile.deployed * 10**9) if profile.deployed else "",
    }  # fmt: skip
