"""Event logs: what is written is read again; whatever is not a log is an InputError with its line; loops go on."""

import contextlib
import gzip
import itertools
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leeward.ai.catalogue import load_catalogue
from leeward.detect.eventlog import EventLog, Loop, head, read_log, write_log
from leeward.detect.rerun import SECOND, Repeat, repeated, rerun
from leeward.model.activity import Activity, Ended, ExchangeSeen, FlowSeen, HttpSeen, NameAsked, Started, System
from leeward.model.errors import InputError
from leeward.model.exchange import Exchange
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Container, Process, Workload
from leeward.model.raw import FoundKey

T0 = 1_800_000_000 * SECOND
BOOT = T0 - 3600 * SECOND


def process(pid: int, started: int = T0 - 60 * SECOND) -> Process:
    box = Container("c" * 64, "web", labels={"a": "b"}) if pid % 2 else None
    workload = Workload("exe:/x", "x", "executable")
    return Process(pid, started - BOOT, "/x", ("x", "é"), "/", 0, "root", (), "/", workload, box)


def flow(ident: str, ts: int, pid: int, sent: int) -> Flow:
    ends = (Endpoint("10.0.0.1", 4000), Endpoint("192.0.2.1", 443))
    return Flow(ident, ts, "tcp", *ends, "outbound", pid=pid, start=ts, bytes_sent=sent)


def sample() -> list[Activity]:
    old, new = process(1), process(2, T0 + SECOND)
    return [
        Started(ts=T0, process=old),
        FlowSeen(ts=T0 + 1, process=old, flow=flow("kept", T0 + 1, 1, 100), sent=100, peer=new),
        Started(ts=T0 + SECOND, process=new),
        FlowSeen(ts=T0 + SECOND + 5, process=new, flow=flow("new", T0 + SECOND + 5, 2, 10), sent=10, began=True),
        FlowSeen(ts=T0 + SECOND + 6, process=old, flow=flow("kept", T0 + SECOND + 6, 1, 140), sent=40),
        HttpSeen(ts=T0 + SECOND + 7, process=new, direction="outbound", peer="192.0.2.1:443", path="/é"),
        HttpSeen(
            ts=T0 + SECOND + 7,
            process=new,
            direction="inbound",
            keys=(FoundKey("openai", "f" * 16, "answer", "/c.js"),),
        ),
        System(ts=T0 + SECOND + 8, process=new, kind="kill", number=9, target=old),
        ExchangeSeen(ts=T0 + SECOND + 9, process=new, exchange=Exchange(id="x1")),
        Ended(ts=T0 + SECOND + 10, process=new),
        NameAsked(ts=T0 + 3 * SECOND, process=old, name="a.example", server=Endpoint("192.0.2.53", 53)),
    ]


def log(activities: list[Activity] | None = None) -> EventLog:
    loops = [Loop("round", T0 + SECOND, T0 + 2 * SECOND)]
    top = head("sample", BOOT, T0, T0 + 3 * SECOND, {"attack": T0 + 1}, loops)
    return EventLog(top, tuple(sample() if activities is None else activities))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_log(tmp_path / "a.events.gz", log())
    assert read_log(tmp_path / "a.events.gz") == log()


def test_the_same_log_makes_the_same_bytes(tmp_path: Path) -> None:
    write_log(tmp_path / "a", log())
    write_log(tmp_path / "b", log())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_process_is_written_once(tmp_path: Path) -> None:
    write_log(tmp_path / "a", log())
    lines = gzip.decompress((tmp_path / "a").read_bytes()).splitlines()
    assert sum(b'"is":' in line for line in lines) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"activity":"Ended","ts":1,"process":7}', "no process 7"),
        (b'{"activity":"Ended","ts":1,"process":true}', "no process True"),
        (b'{"activity":"Ended","ts":1,"target":0}', "Ended has no target"),
        (b'{"activity":"Ended","ts":"1","process":0}', "Expected `int`"),
        (b'{"activity":"Nothing","ts":1,"process":0}', "Invalid value"),
        (b'{"number":9,"is":{}}', "process 9 where 3 comes next"),
        (b'{"number":3,"is":{"pid":1}}', "missing required field"),
        (b"[]", "not an object"),
        (b"{", "truncated"),
        (b'{"activity":"FlowSeen","ts":1,"process":0,"peer":"a"}', "got `str`"),
        (b'{"activity":"Ended","ts":1,"process":0}', "not in the time of the observation"),
        (b'{"activity":"Ended","ts":1800000000000000001,"process":0}', "before what stands before it"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "a.events.gz"
    write_log(path, log())
    good = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(good + line + b"\n", mtime=0))
    with pytest.raises(InputError, match=rf"a\.events\.gz:{good.count(10) + 1}: .*{says}"):
        read_log(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"", mtime=0),
        gzip.compress(b"{}\n", mtime=0),
        gzip.compress(b'{"format":99,"name":"","boot":0,"start":0,"end":0}\n', mtime=0),
        gzip.compress(
            b'{"format":1,"name":"","boot":0,"start":0,"end":0,"loops":[{"name":"","start":2,"end":1}]}\n', mtime=0
        ),
        gzip.compress(b'{"format":1,"name":"","boot":0,"start":0,"end":9000000000000000000}\n', mtime=0),
        gzip.compress(b'{"format":1,"name":"","boot":0,"start":0,"end":0}', mtime=0),
        gzip.compress(b"x" * 100, mtime=0)[:-5],
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError):
        read_log(tmp_path / "a")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_log(tmp_path / "none")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_an_input_error_or_another_log(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a"
    write_log(path, log())
    raw = bytearray(gzip.decompress(path.read_bytes()))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(gzip.compress(bytes(raw), 1, mtime=0))
    with contextlib.suppress(InputError):
        assert read_log(path).head.format == 1


def rounds(seconds: float, **repeat: float) -> list[Activity]:
    return list(repeated(log(), seconds, {"round": Repeat(**repeat)}))


def test_a_loop_goes_on_until_the_end() -> None:
    told = rounds(60, every=10)
    assert [a.ts for a in told] == sorted(a.ts for a in told)
    begun = [a.ts for a in told if type(a) is Started and a.process.pid != 1]
    assert begun == [T0 + SECOND + n * 10 * SECOND for n in range(6)]
    assert told[-1].ts == T0 + 61 * SECOND  # what stood a second after the loop comes a second after the end
    assert type(told[-1]) is NameAsked


def test_each_round_has_processes_and_flows_of_its_own() -> None:
    told = rounds(60, every=10)
    born = {a.process.pid for a in told if type(a) is Ended}
    assert len(born) == 6
    assert {a.process.pid for a in told if type(a) is NameAsked} == {1}
    flows = [a for a in told if type(a) is FlowSeen]
    assert len({a.flow.id for a in flows if a.process.pid != 1}) == 6
    assert all(a.flow.pid == a.process.pid for a in flows)
    assert len({a.exchange.id for a in told if type(a) is ExchangeSeen}) == 6


def test_what_was_there_before_goes_on_growing() -> None:
    kept = [a.flow.bytes_sent for a in rounds(60, every=10) if type(a) is FlowSeen and a.flow.id == "kept"]
    assert kept == [100, 140, 180, 220, 260, 300, 340]


def test_jitter_moves_the_rounds_within_its_share() -> None:
    begun = [a.ts for a in rounds(600, every=10, jitter=0.3) if type(a) is Started and a.process.pid != 1]
    gaps = [(b - a) / SECOND for a, b in itertools.pairwise(begun)]
    assert 7 <= min(gaps) < 8.5
    assert 11.5 < max(gaps) <= 13


def test_without_a_repeat_a_loop_follows_on_itself() -> None:
    begun = [a.ts for a in repeated(log(), 10, {}) if type(a) is Started and a.process.pid != 1]
    assert begun == [T0 + n * SECOND for n in range(1, 10)]


def test_rerunning_gives_the_same(tmp_path: Path) -> None:
    first, second = (rerun(log().activities, load_catalogue(), until=T0 + 30 * SECOND) for _ in range(2))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert first.activities == len(sample())
