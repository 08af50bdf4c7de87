"""The agent's side of holding: begins holder and judge, says whose writes are held, hears what was decided, and looks after both.

Invariants: the agent's loop never waits for either. A holder whose heart stands still is killed, so that what it holds runs on;
a judge that does not answer is replaced. What ends is begun again, at most `_MOST_BEGUN` times an hour each.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct

import msgspec

from leeward.enforce import maps
from leeward.enforce.messages import (
    Counters,
    Decided,
    FromHolder,
    Hold,
    JudgeLost,
    Library,
    NewJudge,
    Receiver,
    Release,
    Taken,
    Verdict,
    Who,
    pair,
    send,
)
from leeward.model.errors import HostError
from leeward.sensor import layout as L
from leeward.sensor.kernel import KernelSensor

_U32 = Struct("<I")
_STILL_NS = 500 * 10**6  # a heart that did not beat for so long
_LOOK_S = 0.1
_READY_S = 60.0
_MOST_BEGUN = 60
_HOUR_NS = 3600 * 10**9
_MOST_WAITING = 4096  # messages to the holder that it has no room for


class _Part:
    """A process of ours that is begun again when it ends."""

    def __init__(self, name: str, begin: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name = name
        self._begin = begin
        self.process: subprocess.Popen[bytes] | None = None
        self._former: subprocess.Popen[bytes] | None = None
        self._begun: deque[int] = deque(maxlen=_MOST_BEGUN)

    def start(self) -> bool:
        """Ends the former and begins another; False if that was done too often."""
        self.kill()
        now = time.monotonic_ns()
        if len(self._begun) == _MOST_BEGUN and now - self._begun[0] < _HOUR_NS:
            return False
        self._begun.append(now)
        self.process = self._begin()
        return True

    def replace(self) -> None:
        """Begins another beside it, which takes over; the former ends when its socket does."""
        self._former, self.process = self.process, None
        self.start()

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        if self._former is not None:
            self._former.poll()


class Enforcer:
    """sensor: whose probes tell of writes. policies: files and folders, read by the judge; checked before. key: for hashes of
    found values. config: the user's data.yaml."""

    def __init__(self, sensor: KernelSensor, policies: Sequence[Path], key: bytes, config: Path | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self.held: dict[int, Who] = {}
        self.refused: dict[int, str] = {}  # process → why it could not be held
        self._sensor, self._policies, self._key, self._config = sensor, list(policies), key, config
        self._told_libraries: dict[int, int] = {}
        self._waiting: deque[msgspec.Struct] = deque()
        self._of_holder: Counter[str] = Counter()
        self._from_holder, self._from_judge = Receiver(FromHolder), Receiver(Verdict)
        self._agent_end: socket.socket | None = None
        self._new_judge: socket.socket | None = None
        self._holder = _Part("holder", self._begin_holder)
        self._judge = _Part("judge", self._begin_judge)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._holder.start()
        self._judge.start()
        self._watcher = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._watcher.start()

    def _begin_holder(self) -> subprocess.Popen[bytes]:
        ours, theirs = pair()
        sensor = self._sensor
        ring = sensor.map("holds")
        descriptors = [theirs.fileno(), ring.fd, *(sensor.map(name).fd for name in maps.NAMES)]
        arguments = [descriptors[0], ring.fd, sensor.ring_size("holds"), sensor.epoch, *descriptors[2:]]
        process = _python("leeward.enforce.holder", list(map(str, arguments)), descriptors)
        theirs.close()
        ours.setblocking(False)
        if self._agent_end is not None:
            self._agent_end.close()
        self._agent_end = ours
        self._told_libraries.clear()
        self._waiting = deque(Hold(who) for who in self.held.values())
        return process

    def _begin_judge(self) -> subprocess.Popen[bytes]:
        if self._new_judge is not None:
            self._new_judge.close()
        ours, theirs = pair()
        reading, writing = os.pipe()
        os.write(writing, self._key)  # a pipe keeps it, so that a judge whose agent is killed now finds it whole
        os.close(writing)
        arguments = [str(theirs.fileno()), str(reading), str(self._config or ""), *map(str, self._policies)]
        process = _python("leeward.enforce.judge", arguments, [theirs.fileno(), reading])
        os.close(reading)
        theirs.close()
        ours.setblocking(False)
        self._new_judge = ours
        return process

    # -- what the agent does ---------------------------------------------------------------------------------------

    def ready(self, timeout: float = _READY_S) -> None:
        """Waits until judge and holder answer. Raises HostError if they do not."""
        until = time.monotonic() + timeout
        while self._new_judge is not None:
            if time.monotonic() > until or self._judge.ended():
                raise HostError("the judge of the policies does not start: see above, and try `leeward policy check`")
            self.poll()
            time.sleep(0.02)

    def hold(self, who: Who) -> None:
        """From now on the writes of this process and of its children to come are held."""
        self.held[who.pid] = who
        self._send(Hold(who))

    def release(self, pid: int) -> None:
        self.held.pop(pid, None)
        self._send(Release(pid))

    def reload(self, policies: Sequence[Path]) -> None:
        """Another judge, with these policies, takes over when it is ready."""
        self._policies = list(policies)
        with self._lock:
            self._judge.replace()

    def poll(self) -> list[Decided]:
        """What was decided since the last call; begins again what has ended."""
        self._libraries()
        self._adopt_judge()
        self._flush()
        decided: list[Decided] = []
        for message in self._heard():
            match message:
                case Decided():
                    decided.append(message)
                case Taken(pid=pid, why=why, parent=parent):
                    self._taken(pid, why, parent)
                case JudgeLost():
                    self._again(self._judge)
                case Counters(counts=counts):
                    self._of_holder = Counter(counts)
        if self._holder.ended():
            self._again(self._holder)
        if self._judge.ended():
            self._again(self._judge)
        return decided

    def pids(self) -> dict[str, int]:
        """Of its processes."""
        return {part.name: part.process.pid for part in (self._holder, self._judge) if part.process is not None}

    def totals(self) -> Counter[str]:
        return self.counters + self._of_holder

    def close(self) -> None:
        """Nothing is held any more."""
        self._stop.set()
        self._watcher.join()
        for end in (self._agent_end, self._new_judge):
            if end is not None:
                end.close()
        if self._holder.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._holder.process.wait(1.0)
        self._holder.kill()
        self._judge.kill()

    # -- how -------------------------------------------------------------------------------------------------------

    def _again(self, part: _Part) -> None:
        self.counters[f"{part.name}_ended"] += 1
        with self._lock:
            begun = part.start()
        if not begun:
            raise HostError(f"the {part.name} of the enforcement ends again and again: nothing would be enforced")
        if part is self._holder:
            self._again_judge()

    def _again_judge(self) -> None:
        """A new holder has no judge yet."""
        with self._lock:
            self._judge.start()

    def _adopt_judge(self) -> None:
        """A judge that says that it is ready is handed to the holder."""
        if self._new_judge is None:
            return
        try:
            found = self._from_judge.next(self._new_judge)
        except BlockingIOError:
            return
        except OSError:
            found = None
        if found is None:
            return  # it has ended: poll begins another
        end, self._new_judge = self._new_judge, None
        assert self._agent_end is not None
        self._agent_end.setblocking(True)
        with suppress(OSError):
            send(self._agent_end, NewJudge(), end.fileno())
        self._agent_end.setblocking(False)
        self.counters["judges_adopted"] += 1
        end.close()

    def _libraries(self) -> None:
        """Tells the holder of libraries that were found meanwhile."""
        for probed in self._sensor.probed.values():
            if self._told_libraries.get(probed.layout) != probed.since:
                self._told_libraries[probed.layout] = probed.since
                self._send(Library(probed.layout, probed.target.shutdown))

    def _send(self, message: msgspec.Struct) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.counters["holder_not_told"] += 1
            return
        self._waiting.append(message)
        self._flush()

    def _flush(self) -> None:
        assert self._agent_end is not None
        while self._waiting:
            try:
                send(self._agent_end, self._waiting[0])
            except OSError:  # full, or gone: later, or by the next holder
                return
            self._waiting.popleft()

    def _heard(self) -> Iterable[FromHolder]:
        assert self._agent_end is not None
        while True:
            try:
                found = self._from_holder.next(self._agent_end)
            except OSError:
                return
            if found is None:
                return
            yield found[0]

    def _taken(self, pid: int, why: str, parent: int) -> None:
        self.counters["taken"] += not why
        if why:
            self.refused[pid] = why
            self.held.pop(pid, None)
            self.counters["not_held"] += 1
        elif parent and parent in self.held:
            who = self.held[parent]
            self.held[pid] = msgspec.structs.replace(
                who, pid=pid, process=msgspec.structs.replace(who.process, pid=pid)
            )

    def exited(self, pid: int) -> None:
        """The process is gone."""
        self.held.pop(pid, None)
        self.refused.pop(pid, None)

    def _watch(self) -> None:
        """Kills a holder whose heart stands still: what it holds runs on then."""
        beats = self._sensor.map("heartbeat")
        since, watched = time.monotonic_ns(), None
        while not self._stop.wait(_LOOK_S):
            raw = beats.get(_U32.pack(0), L.HEART.size)
            beat = L.HEART.unpack(raw)[0] if raw else 0
            now = time.monotonic_ns()
            with self._lock:
                process = self._holder.process
                if beat == 0 or process is not watched or process is None or process.returncode is not None:
                    since, watched = now, process
                elif now - max(beat, since) > _STILL_NS:
                    self.counters["holder_stood_still"] += 1
                    process.send_signal(signal.SIGKILL)
                    since = now + 10 * _STILL_NS  # it ends meanwhile


def _python(module: str, arguments: list[str], descriptors: list[int]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal is the agent's to hear
    )
