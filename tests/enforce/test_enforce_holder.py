"""What the holder makes of stops and records that come in any order, and what it has to say to an agent that is busy."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator

import pytest

from leeward.enforce import holder as module
from leeward.enforce import tracer
from leeward.enforce.holder import Holder, _Call, is_head
from leeward.enforce.messages import Ask, FromHolder, Receiver, Taken, ToJudge, Verdict, Who, pair, send
from leeward.model.exchange import ProcessRef
from leeward.model.process import Workload
from leeward.sensor import layout as L
from leeward.sensor.ring import Ring
from ring_file import RingFile

PID, TID, OTHER = 10, 11, 12


class Held(Holder):
    """A holder of one process; what it asks the judge and what it lets go on is kept."""

    def __init__(self, ring: Ring) -> None:
        self._ring, self.counters, self._since = ring, Counter(), 0
        self._who = {PID: Who(PID, ProcessRef(pid=PID), Workload("exe:/a", "a", "executable"))}
        self._threads = {TID: PID, OTHER: PID}
        self._calls, self._halted, self._asked, self._leaving = {}, {}, {}, set()
        self._due: list[tuple[int, int]] = []
        self._between, self._number, self._epoch, self._answered = OrderedDict(), 0, 0, 0
        self._from_judge = Receiver(Verdict)
        self._judge, self.court = pair()
        self._judge.setblocking(False)
        self._unsent, self.written = deque(), b""
        self.asked: list[tuple[int, int]] = []

    def _ask(self, call: _Call) -> None:
        self.asked.append((call.tid, call.deliver))
        super()._ask(call)

    def _written(self, call: _Call) -> bytes:
        return self.written

    def call(self, sent: int, data: bytes) -> Ask:
        """A thread writes; returns what the judge is told."""
        self.written = data
        self._calls[TID] = call = _Call(1, PID, TID, 0xABC, 0x1000, len(data), 0x2000, sent, 0, 0, 10**18)
        self._ask(call)
        return Receiver(ToJudge).next(self.court)[0]  # type: ignore[index]

    def _tell_agent(self) -> None:
        pass

    def hear(self, verdict: Verdict) -> None:
        send(self.court, verdict)
        self._hear_judge()


def record(tid: int) -> bytes:
    return L.HOLD.pack(1, 0, PID, 0xABC, 0x1000, 5, 0x2000, 0, tid, 0, 0, 0)


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nContent-Length: 11\r\n\r\n"
BODY = b'{"a": "bc"}'


@pytest.fixture
def ring_file() -> Iterator[RingFile]:
    made = RingFile()
    yield made
    made.close()


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(module.tracer, "resume", lambda tid, number=0: found.append((tid, number)))
    monkeypatch.setattr(module.tracer, "stops", lambda tid=-1: iter(()))
    return found


def halt(tid: int, kernel: bool = True) -> tracer.Stop:
    return tracer.Stop(tid, "held", signal.SIGURG, kernel)


def test_a_call_behind_one_that_is_being_written_is_held(ring_file: RingFile, resumed: list[tuple[int, int]]) -> None:
    holder = Held(Ring(ring_file.fd, ring_file.size))
    busy = ring_file.begin(record(OTHER))
    ring_file.add(record(TID))
    holder._halt(halt(TID))
    holder._read_ring()
    assert (holder.asked, resumed) == ([], [])
    ring_file.submit(busy)
    holder._read_ring()
    assert (holder.asked, resumed) == ([(TID, 0)], [])
    holder._halt(halt(OTHER))
    assert (holder.asked, resumed) == ([(TID, 0), (OTHER, 0)], [])
    assert holder.counters == {"held": 2}


def test_a_signal_that_is_not_the_holds_is_handed_on(ring_file: RingFile, resumed: list[tuple[int, int]]) -> None:
    holder = Held(Ring(ring_file.fd, ring_file.size))
    holder._halt(halt(TID))
    assert (holder.asked, resumed) == ([], [(TID, signal.SIGURG)])
    busy = ring_file.begin(record(OTHER))
    holder._halt(halt(TID))
    assert len(resumed) == 1  # perhaps its record is behind that one
    ring_file.submit(busy)
    holder._read_ring()
    assert resumed == [(TID, signal.SIGURG)] * 2
    holder._halt(halt(OTHER, kernel=False))  # one of its own, which took the place of ours
    assert holder.asked == [(OTHER, signal.SIGURG)]
    holder._halt(halt(OTHER))
    assert resumed[2:] == [(OTHER, signal.SIGURG)]


def test_a_head_goes_ahead_where_the_judge_said_that_a_request_begins(
    ring_file: RingFile, resumed: list[tuple[int, int]]
) -> None:
    holder = Held(Ring(ring_file.fd, ring_file.size))
    assert holder.call(0, HEAD).number == 1
    holder.hear(Verdict(1, "allow"))
    at = len(HEAD)
    assert holder.call(at, BODY).number == 2
    holder.hear(Verdict(2, "allow", between=True))
    at += len(BODY)
    assert len(resumed) == 2
    ahead = holder.call(at, HEAD)
    assert (ahead.number, ahead.sent, ahead.data) == (0, at, HEAD)
    assert len(resumed) == 3
    assert holder.call(at + len(HEAD), HEAD).number == 3  # a body that looks like a head
    assert len(resumed) == 3
    assert holder.counters["heads_ahead"] == 1


def test_a_head_waits_where_another_place_was_said_or_the_judge_cannot_be_told(
    ring_file: RingFile, resumed: list[tuple[int, int]]
) -> None:
    holder = Held(Ring(ring_file.fd, ring_file.size))
    holder.call(0, HEAD + BODY)
    holder.hear(Verdict(1, "allow", between=True))
    assert holder.call(0, HEAD).number == 2  # another connection at the same place in memory
    holder.hear(Verdict(2, "allow", between=True))
    with contextlib.suppress(BlockingIOError):
        while True:
            send(holder._judge, Ask(9, PID, 1, 1, 0, 9, b"x" * 10_000))  # type: ignore[arg-type]
    assert holder.call(len(HEAD), HEAD).number == 9  # what was sent first is read first
    assert [one.why for one in holder._unsent] == ["judge-busy"]  # type: ignore[union-attr]
    assert "heads_ahead" not in holder.counters


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        (HEAD, True),
        (HEAD.replace(b"Content-Length: 11", b"transfer-encoding: chunked"), True),
        (HEAD + BODY, False),
        (HEAD.replace(b"Content-Length: 11\r\n", b""), False),
        (HEAD.replace(b"Content-Length: 11", b"content-length: 0"), False),
        (HEAD.replace(b"POST", b"GET"), False),
        (HEAD.replace(b"1.1", b"1.0"), False),
        (HEAD[:-2], False),
        (HEAD.replace(b"\r\n", b"\n"), False),
        (HEAD.replace(b"host", b"\nGET / HTTP/1.1\n\nhost"), False),
        (HEAD + HEAD, False),
        (BODY, False),
        (b"", False),
    ],
)
def test_what_is_a_head(data: bytes, is_one: bool) -> None:
    assert is_head(data) is is_one


def test_what_the_agent_has_no_room_for_is_told_when_it_has() -> None:
    ours, theirs = pair()
    ours.setblocking(False)
    theirs.setblocking(False)
    holder = object.__new__(Holder)
    holder._agent, holder._unsent, holder.counters, holder.ended = ours, deque(), Counter(), False
    for number in range(3000):
        holder._to_agent(Taken(number, "x" * 2000))
    assert holder._unsent
    receiver, heard = Receiver(FromHolder), []
    while len(heard) < 3000:
        try:
            found = receiver.next(theirs)
        except BlockingIOError:
            holder._tell_agent()
            continue
        assert found is not None
        heard.append(found[0].pid)
    assert heard == list(range(3000))
    assert not holder._unsent
    assert not holder.counters
    for number in range(20_000):
        holder._to_agent(Taken(number, "x" * 2000))
    assert len(holder._unsent) == 4096
    assert holder.counters["agent_not_told"] > 10_000
    theirs.close()
    ours.close()
