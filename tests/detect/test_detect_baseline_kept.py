"""What baselines keep: caps, snapshots, and the signed document."""

from __future__ import annotations

import json
import math
import random

import msgspec
import pytest
import zstandard
from baseline_world import DAY, HOUR, MONDAY, PERIOD, S, asked, assistant, crawler, flow, service, started, told, who
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leeward.detect.baseline import document as D
from leeward.detect.baseline import features as F
from leeward.detect.baseline import places
from leeward.detect.baseline.detector import BaselineDetector
from leeward.detect.baseline.season import Season
from leeward.detect.baseline.snapshot import BaselineError
from leeward.detect.baseline.surprise import NO_PRIOR, Prior, bits, chance_of_news
from leeward.detect.baseline.table import Table

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(scope="module")
def learned() -> BaselineDetector:
    detector = BaselineDetector()
    told(detector, service(1, MONDAY, 3, who("shop", image="shop:1")))
    told(detector, assistant(2, MONDAY + 3 * DAY, 1, who("summariser")))
    told(detector, iter([started(MONDAY + 4 * DAY, who("shop", image="shop:1"), "/usr/bin/curl", "/bin/sh")]))
    return detector


def export(detector: BaselineDetector) -> D.Document:
    return D.Document(D.FORMAT, "2025-10-16T00:00:00Z", [D.baseline(p) for p in detector.population.profiles.values()])


# -- surprise ------------------------------------------------------------------------------------------------------------


@given(st.floats(0, 1e6), st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 1000))
def test_surprise_never_exceeds_what_was_learned(periods, share, chance, weight):
    prior = Prior("node", chance, weight)
    surprise = bits(chance_of_news(periods * share, periods, prior))
    assert 0 <= surprise <= math.log2(2 * (periods + weight + 1)) + 1e-9


def test_a_crawler_is_not_surprised_and_a_quiet_week_is():
    assert bits(chance_of_news(1000, 1008, NO_PRIOR)) < 0.1
    assert bits(chance_of_news(1, 1008, NO_PRIOR)) == pytest.approx(math.log2(1009 / 1.5))
    assert bits(chance_of_news(0, 0, NO_PRIOR)) == 1


def test_one_hour_does_not_move_what_other_hours_expect():
    season = Season()
    for n in range(24 * 14):
        season.learn(n % 168, 1000)
    before = season.expected(12), season.spread
    season.learn(5, 10**12)
    assert season.expected(12) - before[0] < 0.5
    assert season.spread - before[1] < 0.1
    assert season.surprise(12, 10**9) > 8


def test_the_same_hour_of_other_days_is_expected_before_a_week_is_over():
    season = Season()
    for n in range(5 * 24):
        season.learn(n, 10**8 if n % 24 == 2 else 1000)
    assert season.surprise(5 * 24 + 2, 10**8) < 6
    assert season.surprise(5 * 24 + 12, 10**8) > season.surprise(5 * 24 + 2, 10**8)
    assert season.surprise(5 * 24 + 3, 10**8) < 6  # an hour later is no news (clocks that change)


# -- words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "site", "place"),
    [
        ("api.openai.com", "openai.com", "api.openai.com"),
        ("a.b.shop.co.uk", "shop.co.uk", "a.b.shop.co.uk"),
        ("drop.s3.eu-west-1.amazonaws.com", "eu-west-1.amazonaws.com", "drop.s3.eu-west-1.amazonaws.com"),
        ("evil.ngrok.io", "evil.ngrok.io", "evil.ngrok.io"),
        ("shard-20251013.logs.example.com", "example.com", "shard-*.logs.example.com"),
        ("localhost", "localhost", "localhost"),
        ("x.blob.core.windows.net", "blob.core.windows.net", "x.blob.core.windows.net"),
    ],
)
def test_places_of_names(name, site, place):
    assert places.of_name(name) == (site, place)


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("10.2.3.4", ("10.2.0.0/16", "10.2.3.0/24")),
        ("127.0.0.9", ("this host", "this host")),
        ("2001:db8:1:2::3", ("2001:db8::/32", "2001:db8:1::/48")),
        ("/run/app.sock", ("this host", "/run/app.sock")),
        ("@x", ("this host", "@x")),
        ("", ("this host", "unnamed socket")),
        ("nonsense", ("nonsense", "nonsense")),
    ],
)
def test_places_of_addresses(ip, expected):
    assert places.of_address(ip) == expected
    assert places.of_caller("8.8.8.8") == "the internet"


@given(st.text(max_size=200))
def test_words_of_any_name_are_short(name):
    for word in (*places.of_name(name), *places.of_address(name)):
        assert len(word) <= places.WIDTH


def test_instructions_are_the_same_on_another_day_and_hold_no_text():
    first = F.instructions("You are Ann. Today is 2025-10-13. Ticket 8f14e45fceea167a.")
    assert first == F.instructions("You are  ann. Today is 2026-01-02. Ticket 0cc175b9c0f1b6a8.")
    assert first != F.instructions("You are Bob. Today is 2025-10-13.")
    assert F.instructions("") == "none"
    assert len(first) == 16


# -- caps ----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 60), max_size=300), st.integers(1, 20))
def test_a_table_never_exceeds_its_cap(words, cap):
    table = Table()
    for period, word in enumerate(words):
        seen = table.values.get(str(word))
        if seen is None:
            table.add(str(word), period, cap)
        else:
            table.again(seen, period)
        assert len(table.values) <= cap
    assert table.sound(cap, 10)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 12), st.integers(20, 200))
def test_profiles_and_words_are_bounded_whatever_comes(seed, most, most_words):
    rng = random.Random(seed)
    detector = BaselineDetector(most, most_words)
    ts = MONDAY
    for _ in range(400):
        ts += rng.randrange(HOUR)
        process = who(f"w{rng.randrange(30)}", image=rng.choice(["", "a:1", "b:2"]))
        word = f"h{rng.randrange(10**6)}.example"
        detector.feed(rng.choice([flow(ts, process, word), started(ts, process, f"/bin/{word}", "/bin/sh")]))
        detector.tick(ts)
        population = detector.population
        assert len(population.profiles) <= most
        assert sum(p.words() for p in population.profiles.values()) <= most_words + 200  # of the one at hand
    assert detector.counters["baseline_evicted"] > 0


def test_memory_is_flat_over_a_day_of_news():
    """Ten crawlers for a day: after the tables are full, words come and go and their number stays."""
    detector = BaselineDetector()
    sizes = []
    for hour in range(24):
        for n in range(10):
            told(detector, crawler(n * 100 + hour, MONDAY + hour * HOUR, 1 / 24, who(f"c{n}")))
        sizes.append(sum(p.words() for p in detector.population.profiles.values()))
    assert sizes[-1] == sizes[12] == detector.population.words
    assert all(len(known) <= 8192 for known in detector.population.known)


def test_a_workload_silent_for_two_months_is_forgotten():
    detector = BaselineDetector()
    detector.feed(flow(MONDAY, who("old"), "a.example"))
    detector.tick(MONDAY + 59 * DAY)
    assert len(detector.population.profiles) == 1
    detector.tick(MONDAY + 62 * DAY)
    assert not detector.population.profiles


def test_words_not_seen_for_months_are_forgotten():
    detector = BaselineDetector()
    process = who("shop")
    detector.feed(flow(MONDAY, process, "once.example"))
    for day in range(120):
        detector.feed(flow(MONDAY + day * DAY + PERIOD, process, "daily.example"))
    assert list(detector.population.profiles["pod:prod/shop/main"].tables[F.DESTINATION].values) == ["daily.example"]
    assert detector.counters["baseline_words_forgotten"] >= 2


# -- snapshots -----------------------------------------------------------------------------------------------------------


def test_a_snapshot_brings_back_everything(learned):
    data = learned.snapshot()
    other = BaselineDetector()
    other.restore(data)
    assert other.snapshot() == data
    at = MONDAY + 4 * DAY + HOUR
    acts = [
        flow(at, who("shop", image="shop:1"), "drop.evil.example", 50_000_000),
        asked(at + S, who("summariser"), model="other"),
    ]
    copy = BaselineDetector()
    copy.restore(data)
    assert [f.evidence for f in told(copy, iter(acts))] == [f.evidence for f in told(other, iter(acts))] != []


def test_a_snapshot_in_slices_is_the_same_and_forgives_what_leaves_meanwhile(learned):
    writing = learned.writing()
    slices = 1
    while not writing.more(1):
        slices += 1
    assert slices == len(learned.population.profiles) > 1
    assert writing.packed() == learned.snapshot()
    other = BaselineDetector()
    other.restore(learned.snapshot())
    writing = other.writing()
    writing.more(1)
    other.population.evict()
    other.population.evict()
    assert writing.more(10)
    back = BaselineDetector()
    back.restore(writing.packed())
    assert len(back.population.profiles) == slices - 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_restore_or_are_refused_by_name(data):
    for attempt in (data, b"leeward-baselines\n" + data, b"leeward-baselines\n" + zstandard.compress(data)):
        detector = BaselineDetector()
        with pytest.raises(BaselineError):
            detector.restore(attempt)
        assert not detector.population.profiles


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(0, 20), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**16), _VALUES)
def test_a_snapshot_with_a_wrong_value_in_it_restores_or_is_refused_by_name(learned, where, value):
    magic, _, frame = learned.snapshot().partition(b"\n")
    plain = msgspec.msgpack.decode(zstandard.decompress(frame), strict=False)
    _replace(plain, where, value)
    data = magic + b"\n" + zstandard.compress(msgspec.msgpack.encode(plain))
    detector = BaselineDetector()
    try:
        detector.restore(data)
    except BaselineError:
        assert not detector.population.profiles
    else:  # then it also works
        told(
            detector,
            iter([flow(MONDAY + 5 * DAY, who("shop"), "a.example", 10), asked(MONDAY + 5 * DAY, who("summariser"))]),
        )
        detector.snapshot()


def _replace(node, where, value):
    """Something in a nested value becomes another: the way down is told by the digits of `where`."""
    while True:
        keys = range(len(node)) if isinstance(node, list) else sorted(node, key=str)
        if not keys:
            return
        key = keys[where % len(keys)]
        where //= len(keys)
        if not isinstance(node[key], (list, dict)) or not node[key] or where == 0:
            node[key] = value
            return
        node = node[key]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(learned, data):
    damaged = bytearray(learned.snapshot())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    detector = BaselineDetector()
    try:
        detector.restore(bytes(damaged))
    except BaselineError:
        return
    assert detector.snapshot() == learned.snapshot()  # a bit of the frame that means nothing


def test_another_version_says_so(learned):
    magic, _, frame = learned.snapshot().partition(b"\n")
    plain = msgspec.msgpack.decode(zstandard.decompress(frame), strict=False)
    plain[0] = 99
    with pytest.raises(BaselineError, match="another version"):
        BaselineDetector().restore(magic + b"\n" + zstandard.compress(msgspec.msgpack.encode(plain)))


# -- the document --------------------------------------------------------------------------------------------------------


def test_the_document_is_canonical_readable_and_comes_back(learned):
    data = D.signed(export(learned), KEY)
    assert D.signed(export(learned), KEY) == data
    plain = json.loads(data)
    assert json.dumps(plain, sort_keys=True, indent=1) + "\n" == data.decode()
    shop = next(b for b in plain["baselines"] if b["name"] == "prod/shop")
    assert [v["value"] for v in shop["usual"]["destination"]["values"]][:1] == ["api.partner.com"]
    assert shop["usual"]["destination"]["values"][0]["share"] > 0.9
    found, signer = D.verified(data, {plain["signature"]["fingerprint"]}, False)
    assert signer == plain["signature"]["fingerprint"]
    again = [D.baseline(p) for p in found]
    assert [set(b.usual) for b in again] == [set(b.usual) for b in export(learned).baselines]


def test_a_document_of_a_stranger_unsigned_or_changed_is_refused(learned):
    data = D.signed(export(learned), KEY)
    signer = json.loads(data)["signature"]["fingerprint"]
    with pytest.raises(BaselineError, match=f"--key {signer}"):
        D.verified(data, {"0000"}, True)
    with pytest.raises(BaselineError, match="changed after it was signed"):
        D.verified(data.replace(b"api.partner.com", b"api.partner.org"), {signer}, True)
    unsigned = json.loads(data)
    unsigned["signature"] = None
    text = json.dumps(unsigned).encode()
    with pytest.raises(BaselineError, match="--allow-unsigned"):
        D.verified(text, {signer}, False)
    assert D.verified(text, set(), True)[1] == ""


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | _VALUES.map(lambda v: json.dumps(v, default=str).encode("utf-8", "replace")))
def test_any_document_is_refused_by_name(data):
    with pytest.raises(BaselineError):
        D.verified(data, set(), True)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**20), _VALUES)
def test_a_document_with_a_wrong_value_is_taken_or_refused_by_name(learned, where, value):
    plain = json.loads(D.canonical(export(learned)))
    _replace(plain, where, value)
    try:
        found, _ = D.verified(json.dumps(plain, default=str).encode("utf-8", "replace"), set(), True)
    except BaselineError:
        return
    detector = BaselineDetector()
    detector.population.expect(found)
    told(detector, service(3, MONDAY, 0.05, who("shop", image="shop:1")))
    detector.restore(detector.snapshot())


def test_what_was_imported_is_expected_and_its_absence_told(learned):
    found, _ = D.verified(D.signed(export(learned), KEY), {D.fingerprint(KEY.public_key().public_bytes_raw())}, False)
    detector = BaselineDetector()
    detector.population.expect(found)
    process = who("shop", image="shop:1")
    assert told(detector, service(3, MONDAY + 7 * DAY, 1 / 24, process)) == []
    [finding] = told(detector, iter([flow(MONDAY + 7 * DAY + HOUR, process, "drop.evil.example")]))
    assert finding.evidence[0]["prior"] == "imported"
    assert finding.severity in ("info", "low")
