"""The holder: stops writes of the processes it is told of until the judge has decided, and keeps their deadlines.

A process of its own, which owns no probe: `python -m leeward.enforce.holder` with the descriptors that `hold.Enforcer` gives it.
Invariants: a held call waits no longer than its process's deadline, whatever the judge does. When this process ends, by whatever,
the kernel lets its threads run on; the programs in the kernel hold nothing once its heartbeat is old. Signals that are not the
hold's own are handed on. Agent gone: everything is let go.
"""

from __future__ import annotations

import gc
import heapq
import os
import re
import select
import signal
import socket
import struct
import sys
import time
from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from typing import NamedTuple

import msgspec

from leeward.enforce import tracer
from leeward.enforce.maps import HELD, LEFT, HeldMaps
from leeward.enforce.messages import (
    MOST,
    Ask,
    Counters,
    Decided,
    FromHolder,
    Gone,
    Hold,
    JudgeLost,
    Library,
    NewJudge,
    Receiver,
    Release,
    Taken,
    ToHolder,
    Told,
    Verdict,
    Who,
    send,
    send_ask,
)
from leeward.enforce.parent import end_with, go_first
from leeward.sensor import layout as L
from leeward.sensor.ring import Ring

_BEAT_NS, _STALE_NS = 50 * 10**6, 400 * 10**6
_REPORT_NS = 10**9
_SILENT_NS = 700 * 10**6
_STRANGE_NS = 10**9
_GO_WRITE = L.GO_WRITE
_SHUTDOWN = struct.pack("<I", 1 | 2)  # SSL_SENT_SHUTDOWN, SSL_RECEIVED_SHUTDOWN, openssl/ssl.h
_NOTIFIED = b"\x01"  # crypto/tls.Conn.closeNotifySent
_POINTER, _VECTOR = struct.Struct("<Q"), struct.Struct("<QQ")
_MOST_PARTS = 1024  # of a vector (IOV_MAX)
_MOST_PROCESSES = 4096
_MOST_UNSENT = 4096  # messages to the agent, some kilobytes each
_ARGV = 3  # words of a command line that tell two programs apart
_MOST_BETWEEN = 16_384  # connections
_HEAD = re.compile(rb"(?:POST|PUT|PATCH) [!-~]{1,8192} HTTP/1\.1\r\n(?:[!-~][^\r\n]{0,8191}\r\n){1,128}\r\n")
_BODY_FOLLOWS = re.compile(rb"\r\n(?:content-length:[ \t]*[1-9]|transfer-encoding:[ \t]*chunked)", re.IGNORECASE)


#: How long calls were held is told in counters: `held_us_le_300` of them longer than 200 µs, not longer than 300.
_HELD_US = (100, 150, 200, 250, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 5000, 10_000, 20_000, 50_000, 100_000)
_HELD = (*(f"held_us_le_{us}" for us in _HELD_US), "held_us_more")


class _Call(msgspec.Struct):
    """A held call. number: with the judge; 0: it was not asked yet. deliver: a signal of the program's own, for when it goes
    on. parts: of a vector: address and size each."""

    ts: int
    pid: int
    tid: int
    tls: int
    buffer: int
    size: int
    sp: int
    sent: int
    library: int
    kind: int
    due: int
    number: int = 0
    deliver: int = 0
    parts: list[tuple[int, int]] = []

    def places(self, edits: list[tuple[int, bytes]]) -> list[tuple[int, bytes]] | None:
        """Edits by offset as edits by address; None if one lies outside."""
        if not self.parts:
            inside = all(0 <= at <= self.size - len(put) for at, put in edits)
            return [(self.buffer + at, put) for at, put in edits] if inside else None
        found: list[tuple[int, bytes]] = []
        left = sum(len(put) for _, put in edits)
        begin = 0
        for base, size in self.parts:
            for at, put in edits:
                first, last = max(at, begin), min(at + len(put), begin + size)
                if first < last:
                    found.append((base + first - begin, put[first - at : last - at]))
                    left -= last - first
            begin += size
        return found if not left else None


class _Halted(NamedTuple):
    """A thread stopped by a signal like the hold's. own: a signal of the program's own. number: the signal. until: where in the
    ring its call must have been read, if it is one."""

    own: int
    number: int
    until: int


class Holder:
    """`turn` is one round. agent: its socket. maps: the kernel's tables. epoch: Unix ns at which the monotonic clock began."""

    def __init__(self, agent: socket.socket, maps: HeldMaps, ring: Ring, epoch: int) -> None:
        self.counters: Counter[str] = Counter()
        self._agent, self._maps, self._ring, self._epoch = agent, maps, ring, epoch
        self._from_agent, self._from_judge = Receiver(ToHolder), Receiver(Verdict)
        self._judge: socket.socket | None = None
        self._who: dict[int, Who] = {}
        self._threads: dict[int, int] = {}  # seized thread → process
        self._leaving: set[int] = set()  # threads to be let go when they stop
        self._calls: dict[int, _Call] = {}  # by thread: told of by the kernel, not decided
        self._halted: dict[int, _Halted] = {}  # threads stopped, perhaps for a call that was not read yet
        self._asked: dict[int, int] = {}  # number → thread
        self._due: list[tuple[int, int]] = []  # (deadline, number)
        self._between: OrderedDict[tuple[int, int], int] = OrderedDict()  # connection → where its next request begins
        self._shutdowns: dict[int, int] = {}
        # threads stopped after an exec, until it is told who that is → when they go on anyway
        self._strangers: dict[int, int] = {}
        self._number = 0
        self._since = time.monotonic_ns()
        self._beat = self._reported = self._answered = 0
        self._told: Counter[str] = Counter()
        self._unsent: deque[FromHolder] = deque()
        self.ended = False
        self._poll = select.epoll()
        self._poll.register(ring.fd, select.EPOLLIN)
        self._watch(agent)
        self._wake = _child_signals()
        self._poll.register(self._wake, select.EPOLLIN)

    def _watch(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._poll.register(end.fileno(), select.EPOLLIN)

    def turn(self) -> None:
        """Waits for something to happen, until the next deadline or heartbeat, and deals with it."""
        now = time.monotonic_ns()
        until = min(self._due[0][0] if self._due else now + _BEAT_NS, self._beat + _BEAT_NS)
        ready = {fd for fd, _ in self._poll.poll(max(0, until - now) / 1e9)}
        now = time.monotonic_ns()
        if now - self._beat >= _BEAT_NS:
            self._maps.beat(now, _STALE_NS)
            self._beat = now
        if self._wake in ready:
            os.read(self._wake, 4096)
        self._read_ring()
        self._stops()
        if self._judge is not None and self._judge.fileno() in ready:
            self._hear_judge()
        self._overdue()
        self._silent()
        self._tell_agent()
        for pid in [pid for pid, until in self._strangers.items() if until <= now]:
            self.counters["not_introduced"] += 1
            self._known(pid)
        if self._agent.fileno() in ready:
            self._hear_agent()
        if now - self._reported >= _REPORT_NS:
            self._report(now)

    # -- threads -----------------------------------------------------------------------------------------------

    def take(self, who: Who) -> None:
        """Seizes all threads of a process, also those that begin meanwhile."""
        why = ""
        if who.pid in self._who:
            self._tell_who(who)
            self._known(who.pid)
            return
        if len(self._who) >= _MOST_PROCESSES:
            why = "too many processes are held"
        elif who.pid in (os.getpid(), os.getppid(), 1):
            why = "it is never held"
        self._who[who.pid] = who
        fresh = True
        while fresh and not why:
            fresh = False
            for tid in tracer.threads_of(who.pid):
                if tid not in self._threads and not why:
                    fresh = True
                    why = tracer.seize(tid)
                    if why == os.strerror(3):  # ESRCH: it ended meanwhile
                        why = ""
                        continue
                    if not why:
                        self._threads[tid] = who.pid
        if why or not tracer.threads_of(who.pid):
            self.let_go(who.pid)
            self._to_agent(Taken(who.pid, why or "it is gone"))
            return
        self._tell_who(who)
        self._maps.put(HELD, who.pid, 1)
        self._to_agent(Taken(who.pid))

    def _known(self, pid: int) -> None:
        """It was told who that is, or waited long enough for it."""
        if self._strangers.pop(pid, None) is not None:
            tracer.resume(pid)

    def _tell_who(self, who: Who) -> None:
        self._who[who.pid] = who
        self._to_judge(Told(who))

    def let_go(self, pid: int) -> None:
        """Nothing of this process is held any more; its threads are detached as they stop."""
        self._maps.drop(HELD, pid)
        self._known(pid)
        for tid in [tid for tid, owner in self._threads.items() if owner == pid]:
            call = self._calls.get(tid)
            self._leaving.add(tid)
            if call is not None:
                self._end(call, "allow", "released")
            elif not tracer.interrupt(tid):
                self._forget(tid)
        if self._who.pop(pid, None) is not None:
            self._to_judge(Gone(pid))

    def _forget(self, tid: int) -> None:
        pid = self._threads.pop(tid, 0)
        self._strangers.pop(tid, None)
        self._leaving.discard(tid)
        self._halted.pop(tid, None)
        call = self._calls.pop(tid, None)
        if call is not None:
            self._asked.pop(call.number, None)
            self._decided(call, "gone", "gone", None)
        if tid == pid and pid in self._who:
            self._maps.drop(HELD, pid)
            del self._who[pid]
            self._to_judge(Gone(pid))

    def _stops(self, tid: int = -1) -> None:
        for stop in tracer.stops(tid):
            if stop.kind == "ended":
                self._forget(stop.tid)
                continue
            if stop.tid not in self._threads:
                self._adopt(stop.tid)
            if stop.kind == "held":
                self._halt(stop)
            elif stop.tid in self._leaving and stop.kind != "group":
                self._threads.pop(stop.tid, None)
                self._leaving.discard(stop.tid)
                tracer.detach(stop.tid, stop.number if stop.kind == "signal" else 0)
            elif stop.kind == "group":
                tracer.listen(stop.tid)
            elif stop.kind == "event":
                self._event(stop.tid, stop.number)
            else:
                tracer.resume(stop.tid, stop.number)

    def _adopt(self, tid: int) -> None:
        """A thread or a process that the kernel seized as a child of one that is seized."""
        pid = tracer.process_of(tid)
        self._threads[tid] = pid or tid
        if pid and pid not in self._who:
            parent = _parent_of(pid)
            who = self._who.get(parent)
            if who is None:  # its parent was let go, or is gone
                self._leaving.add(tid)
                return
            self._tell_who(msgspec.structs.replace(who, pid=pid, process=msgspec.structs.replace(who.process, pid=pid)))
            self._maps.put(HELD, pid, 1)
            self._to_agent(Taken(pid, parent=parent))

    def _event(self, tid: int, event: int) -> None:
        if event in (tracer.EVENT_FORK, tracer.EVENT_VFORK, tracer.EVENT_CLONE):
            child = tracer.message(tid)
            if child and child not in self._threads:
                self._adopt(child)
        elif event == tracer.EVENT_EXEC:
            former = tracer.message(tid)
            if former and former != tid:
                self._threads.pop(former, None)
                self._calls.pop(former, None)
            if tid in self._who and not _is(self._who[tid], tid):
                # the agent says who that is before its first instruction
                self._strangers[tid] = time.monotonic_ns() + _STRANGE_NS
                return
        tracer.resume(tid)

    # -- held calls ----------------------------------------------------------------------------------------------

    def _read_ring(self) -> None:
        called = []
        for memory, at in self._ring.records(256):
            ts, _, pid, tls, buffer, size, sp, sent, tid, library, kind, _ = L.HOLD.unpack_from(memory, at)
            who = self._who.get(pid)
            if who is None or tid not in self._threads or ts < self._since:
                # let go meanwhile, or held by a holder that is gone, which let it run on
                self.counters["not_held"] += 1
                continue
            self.counters["held"] += 1
            call = _Call(ts, pid, tid, tls, buffer, size, sp, sent, library, kind, ts + who.deadline_ms * 10**6)
            old = self._calls.pop(tid, None)
            if old is not None:  # it cannot be: a stopped thread calls nothing
                self.counters["held_twice"] += 1
                self._asked.pop(old.number, None)
            self._calls[tid] = call
            if tid in self._halted:
                call.deliver = self._halted.pop(tid).own
                self._ask(call)
            else:
                called.append(tid)
        for tid in [tid for tid, halted in self._halted.items() if halted.until <= self._ring.read]:
            # nothing of ours: urgent data on a socket, a window's new size
            tracer.resume(tid, self._halted.pop(tid).number)
        for tid in called:
            self._stops(tid)

    def _halt(self, stop: tracer.Stop) -> None:
        """A thread is stopped by a signal like the hold's. If the ring tells of its call it is that, or it is one of the
        program's own, which was there already when ours was sent: then it gets it when it goes on. The record of its call may
        stand behind one that another processor is still writing."""
        tid, own = stop.tid, 0 if stop.kernel else stop.number
        call = self._calls.get(tid)
        if call is None:
            self._halted[tid] = _Halted(own, stop.number, self._ring.begun)
            self._read_ring()
        elif call.number:
            tracer.resume(tid, stop.number)
        else:
            call.deliver = own
            self._ask(call)

    def _ask(self, call: _Call) -> None:
        """The thread is stopped, its data is there: asks the judge."""
        if call.tid in self._leaving:
            self._end(call, "allow", "released")
            return
        data = self._written(call)
        if (
            self._between.pop((call.pid, call.tls), None) == call.sent
            and is_head(data)
            and self._went_ahead(call, data)
        ):
            self._end(call, "allow", "")
            return
        self._number += 1
        call.number = self._number
        self._asked[call.number] = call.tid
        heapq.heappush(self._due, (call.due, call.number))
        if self._judge is None:
            self._end(call, "", "judge-lost")
            return
        try:
            send_ask(self._judge, self._question(call), data)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                self._end(call, "", "judge-busy")
            else:
                self._judge_gone(str(error))

    def _question(self, call: _Call) -> Ask:
        """What the judge is told of a call; asked, if the call has a number."""
        return Ask(call.number, call.pid, call.tls, call.ts + self._epoch, call.sent, call.size)

    def _went_ahead(self, call: _Call, data: bytes) -> bool:
        """The head of a request, of which policies ask nothing: the judge is told, not waited for. False: it cannot be told."""
        if self._judge is None:
            return False
        try:
            send_ask(self._judge, self._question(call), data)
        except OSError:  # what it does not know of its body is not understood: it is asked, as it is of every call
            return False
        self.counters["heads_ahead"] += 1
        return True

    def _written(self, call: _Call) -> bytes:
        """The bytes of a call. Those of a vector stand in several places, and its size is known only now."""
        if call.kind <= L.PLAIN:
            return tracer.read(call.pid, call.buffer, min(call.size, MOST))
        vector = tracer.read(call.pid, call.buffer, 16 * min(call.size, _MOST_PARTS))
        left, pieces = MOST, []
        for at in range(0, len(vector) - 15, 16):
            base, size = _VECTOR.unpack_from(vector, at)
            piece = tracer.read(call.pid, base, min(size, left))
            call.parts.append((base, len(piece)))
            pieces.append(piece)
            left -= len(piece)
        data = b"".join(pieces)
        call.size = len(data)
        return data

    def _hear_judge(self) -> None:
        while self._judge is not None:
            try:
                found = self._from_judge.next(self._judge)
            except BlockingIOError:
                return
            except (OSError, msgspec.MsgspecError) as error:
                self._judge_gone(str(error))
                return
            if found is None:
                self._judge_gone("it has ended")
                return
            verdict: Verdict = found[0]
            self._answered = time.monotonic_ns()
            tid = self._asked.get(verdict.number)
            if tid is None:
                self.counters["verdicts_too_late"] += 1
            else:
                call = self._calls[tid]
                if verdict.between:
                    self._expect(call)
                if verdict.leave:
                    self._maps.put_connection(LEFT, call.tls, call.pid, 1)
                self._end(call, verdict.action, "", verdict)

    def _expect(self, call: _Call) -> None:
        """A request begins where this call ends."""
        self._between[call.pid, call.tls] = call.sent + call.size
        if len(self._between) > _MOST_BETWEEN:
            self._between.popitem(last=False)

    def _judge_gone(self, why: str) -> None:
        """What waits for it ends as its policy says; so does what comes until there is another."""
        assert self._judge is not None
        self._poll.unregister(self._judge.fileno())
        self._judge.close()
        self._judge = None
        self._between.clear()
        self.counters["judges_lost"] += 1
        for tid in list(self._asked.values()):
            self._end(self._calls[tid], "", "judge-lost")
        self._to_agent(JudgeLost(why))

    def _overdue(self) -> None:
        now = time.monotonic_ns()
        while self._due and (self._due[0][0] <= now or self._due[0][1] not in self._asked):
            tid = self._asked.get(heapq.heappop(self._due)[1])
            if tid is not None:
                self.counters["deadlines_passed"] += 1
                self._end(self._calls[tid], "", "deadline")

    def _silent(self) -> None:
        """A judge that has answered nothing for long, although it was asked, is none."""
        if self._judge is None or not self._asked:
            return
        now = time.monotonic_ns()
        first = self._calls[next(iter(self._asked.values()))]
        if now - max(self._answered, first.ts) > _SILENT_NS:
            self._judge_gone("it does not answer")

    def _end(self, call: _Call, action: str, why: str, verdict: Verdict | None = None) -> None:
        """Lets the call go on, changed, or not at all. action "": what its policy says for when nobody can tell."""
        self._calls.pop(call.tid, None)
        self._asked.pop(call.number, None)
        if not action:
            who = self._who.get(call.pid)
            action = "block" if who is not None and who.fail == "closed" else "allow"
        if action == "redact":
            assert verdict is not None
            edits = call.places(verdict.edits)
            if edits is None or not tracer.write(call.pid, edits):
                action, why = "block", "unwritable"
        if action == "kill":
            os.kill(call.pid, signal.SIGKILL)
        elif action == "block":
            self._fail(call)
        if call.tid in self._leaving:
            self._threads.pop(call.tid, None)
            self._leaving.discard(call.tid)
            tracer.detach(call.tid, call.deliver)
        else:
            tracer.resume(call.tid, call.deliver)
        self._decided(call, action, why, verdict)

    def _fail(self, call: _Call) -> None:
        """The call will fail. OpenSSL's: the object says that it was shut down, so that the library itself fails it, and
        later ones too. Else the function returns at once with what it returns when it fails."""
        if call.kind >= L.PLAIN:
            self._fail_plain(call)
            return
        shutdown = self._shutdowns.get(call.library, -1)
        flag = _SHUTDOWN if call.kind < _GO_WRITE else _NOTIFIED
        if shutdown >= 0 and tracer.write(call.pid, [(call.tls + shutdown, flag)]):
            return
        values, back = tracer.registers(call.tid), tracer.read(call.pid, call.sp, 8)
        if values is None or len(back) < 8:
            self.counters["block_failed"] += 1
            os.kill(call.pid, signal.SIGKILL)  # better than what it must not say
            return
        values.rip, values.rsp = _POINTER.unpack(back)[0], call.sp + 8
        values.rax = (
            0 if call.kind >= _GO_WRITE else 2**64 - 1
        )  # Go: nothing written, which its callers take for an error
        values.rbx = 0 if call.kind >= _GO_WRITE else values.rbx
        values.rcx = 0 if call.kind >= _GO_WRITE else values.rcx
        values.orig_rax = 2**64 - 1  # no system call to restart
        tracer.set_registers(call.tid, values)

    def _fail_plain(self, call: _Call) -> None:
        """The system call is made on no descriptor: EBADF. The agent ends the connection, which is known by its socket."""
        values = tracer.registers(call.tid)
        if values is None:
            self.counters["block_failed"] += 1
            os.kill(call.pid, signal.SIGKILL)
            return
        values.rdi = 2**64 - 1
        tracer.set_registers(call.tid, values)

    def _decided(self, call: _Call, action: str, why: str, verdict: Verdict | None) -> None:
        held = (time.monotonic_ns() - call.ts) // 1000
        self.counters[f"did_{action}"] += 1
        self.counters[_HELD[bisect_left(_HELD_US, held)]] += 1
        if action == "allow" and not why and (verdict is None or verdict.decided is None):
            return
        decided = verdict.decided if verdict is not None else None
        ts = call.ts + self._epoch
        self._to_agent(Decided(call.pid, call.tid, call.tls, ts, call.size, action, held, why, decided))

    # -- the others ------------------------------------------------------------------------------------------------

    def _hear_agent(self) -> None:
        while not self.ended:
            try:
                found = self._from_agent.next(self._agent)
            except BlockingIOError:
                return
            except ConnectionResetError:
                found = None
            if found is None:
                self.ended = True
                return
            message, descriptor = found
            match message:
                case Hold(who=who):
                    self.take(who)
                case Release(pid=pid):
                    self.let_go(pid)
                case Library(number=number, shutdown=shutdown):
                    self._shutdowns[number] = shutdown
                case NewJudge():
                    self._new_judge(descriptor)

    def _new_judge(self, descriptor: int | None) -> None:
        """Calls that the former was asked about are still its to answer: they end as if it were lost, which only a restart
        causes."""
        if self._judge is not None:
            for tid in list(self._asked.values()):
                self._end(self._calls[tid], "", "judge-changed")
            self._poll.unregister(self._judge.fileno())
            self._judge.close()
        assert descriptor is not None
        self._between.clear()
        self._judge = socket.socket(fileno=descriptor)
        self._watch(self._judge)
        for who in self._who.values():
            self._to_judge(Told(who))

    def _to_judge(self, message: Told | Gone) -> None:
        if self._judge is None:
            return
        try:
            send(self._judge, message)
        except BlockingIOError:
            self.counters["judge_not_told"] += 1
        except OSError as error:
            self._judge_gone(str(error))

    def _to_agent(self, message: FromHolder) -> None:
        self._unsent.append(message)
        if len(self._unsent) > _MOST_UNSENT:
            self._unsent.popleft()
            self.counters["agent_not_told"] += 1
        self._tell_agent()

    def _tell_agent(self) -> None:
        """As much as it takes now: it may be busy for longer than its socket has room."""
        while self._unsent:
            try:
                send(self._agent, self._unsent[0])
            except BlockingIOError:
                return
            except OSError:
                self.ended = True
                return
            self._unsent.popleft()

    def _report(self, now: int) -> None:
        self._reported = now
        if self.counters != self._told:
            self._told = self.counters.copy()
            self._to_agent(Counters(dict(self.counters)))

    def close(self) -> None:
        """Nothing more is held; threads that are stopped go on when this process ends."""
        self._maps.beat(0, 0)
        for pid in list(self._who):
            self.let_go(pid)


def is_head(data: bytes) -> bool:
    """Are these bytes the whole head of an HTTP/1.1 request whose body follows, and nothing else (RFC 9112 §2.1)?"""
    return _HEAD.fullmatch(data) is not None and _BODY_FOLLOWS.search(data) is not None


def _is(who: Who, pid: int) -> bool:
    """Is this what the process runs now?"""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = file.read(4096).decode("utf-8", "replace").split("\0")
        return os.readlink(f"/proc/{pid}/exe") == who.process.exe and argv[:_ARGV] == who.process.argv[:_ARGV]
    except OSError:
        return False


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _child_signals() -> int:
    """A descriptor that is readable when a thread stopped or ended."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def main(arguments: list[str]) -> None:
    """arguments: descriptors of the agent's socket and the ring, its size, the clocks' difference, and the maps in the order of
    `HeldMaps`."""
    agent, ring, size, epoch, *maps = (int(argument) for argument in arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the terminal's are the agent's to deal with; its end is this one's
    end_with(os.getppid())
    go_first()
    holder = Holder(socket.socket(fileno=agent), HeldMaps(*maps), Ring(ring, size), epoch)
    gc.collect()
    gc.freeze()
    try:
        while not holder.ended:
            holder.turn()
    finally:
        holder.close()


if __name__ == "__main__":
    main(sys.argv[1:])
