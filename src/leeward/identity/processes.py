"""Which process had this pid at this time: fed with process events, asked by everyone who has a pid and a time.

Invariants: a process is (pid, start time), so a reused pid is another process; an exec is another image of the same one
and both are found by time; what the kernel's event said is never overwritten by what /proc says of a later image.
All is bounded: processes that run, exited ones (by age too), images of each, characters of arguments. `get` always
answers. The only I/O are the readers of /proc and of the runtimes' state, at exec, at `scan`, and at a first `get`.
"""

from __future__ import annotations

import os
import time
from collections import Counter, OrderedDict
from pathlib import Path

from leeward.identity.cgroup import parse_cgroup
from leeward.identity.entries import (
    ARGV_KEPT,
    ARGV_SPARE,
    FOREVER,
    Entry,
    Image,
    ancestor_of,
    cut,
)
from leeward.identity.placement import contain, place, place_unseen
from leeward.identity.procfs import ProcessFiles, ProcFs, Stat
from leeward.identity.runtimes import RuntimeReaders
from leeward.identity.users import Users
from leeward.identity.workload import UNKNOWN, resolve, workload_of
from leeward.model.process import Process
from leeward.model.raw import ProcessExec, ProcessExited, ProcessStarted

ANCESTORS = 16
"""Steps up the parent chain."""

EXITED_KEPT, EXITED_NS = 16384, 600 * 10**9
"""How many exited processes are kept for late events, and for how long (event time)."""

ARGV_BUDGET = 64 << 20
"""Characters of arguments in the whole table; beyond it new ones are cut to ARGV_SPARE."""

_SLACK_NS = 100 * 10**6
"""How far an event's time may lie before a process's start: the two clocks are compared once, not for ever."""

_LATE_NS = 10**9
"""An event later than this after an exit: other threads outlived the leader, or another process has the pid."""

_ABSENT, _ABSENT_NS, _LEARNED = 4096, 10**9, 4096


class ProcessTable:
    """Counters: proc_* (reads that failed), process_* and exec_* (what was odd or dropped), and those of the readers.

    proc: the mounted proc file system. limit: processes that run. boot_offset: Unix ns of the boot; taken from the
    clocks once when not given. users: names of uids."""

    def __init__(
        self,
        proc: Path = Path("/proc"),
        runtimes: RuntimeReaders | None = None,
        limit: int = 65536,
        *,
        boot_offset: int | None = None,
        users: Users | None = None,
    ) -> None:
        self._counters: Counter[str] = Counter()
        self._proc = ProcFs(proc, self._counters)
        self._users = users or Users()
        self._runtimes = runtimes or RuntimeReaders(users=self._users)
        self._limit = limit
        if boot_offset is None:
            boot_offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._boot = boot_offset
        self._tick = 10**9 // os.sysconf("SC_CLK_TCK")
        self._by_pid: dict[int, list[Entry]] = {}
        self._running: OrderedDict[tuple[int, int], Entry] = OrderedDict()
        self._exited: OrderedDict[tuple[int, int], Entry] = OrderedDict()
        self._absent: OrderedDict[int, int] = OrderedDict()
        self._learned: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._argv = 0

    @property
    def counters(self) -> Counter[str]:
        """A copy: this table's counters and its readers'."""
        return self._counters + self._runtimes.counters + self._users.counters

    def scan(self) -> None:
        """Takes in all processes that run now."""
        for pid in self._proc.pids(self._limit):
            if pid not in self._by_pid:
                self._adopt(pid, FOREVER)

    def feed(self, event: ProcessStarted | ProcessExec | ProcessExited) -> None:
        self._absent.pop(event.pid, None)
        if isinstance(event, ProcessExited):
            self._on_exit(event)
        elif isinstance(event, ProcessExec):
            self._on_exec(event)
        else:
            self._on_start(event)
        self._prune(event.ts)

    def get(self, pid: int, ts: int) -> Process:
        """Best knowledge of the process that had this pid at `ts` (Unix ns); exe and workload id "" if none."""
        entry = self._at(pid, ts)
        if entry is None or (entry.exited and ts > entry.exited + _LATE_NS):
            entry = self._seek(pid, ts) or entry
        image = entry.image_at(ts) if entry else None
        if entry is None or image is None:
            self._counters["process_unknown"] += 1
            return Process(pid, 0, "", (), "", -1, "", (), "", UNKNOWN)
        if image.process is None or ts >= image.recheck:
            image.process = self._answer(entry, image, ts)
        return image.process

    def alive(self, pid: int) -> bool:
        """Does the process that the table knows under this pid still run (any thread of it)?"""
        entries = self._by_pid.get(pid)
        if entries and entries[-1].exited:
            return False
        files = self._proc.process(pid)
        if files is None:
            return False
        with files:
            stat = files.stat()
        if stat is None or (stat.state in ("Z", "X") and stat.threads <= 1):
            return False
        return not entries or self._same(entries[-1].start_ns, stat.start_ticks * self._tick)

    def stdio_client(self, pid: int, pipe: int, ts: int) -> int:
        """Which process talks to this one over its standard input or output, whose inode is `pipe`: the nearest ancestor that
        does not have it there itself (wrappers such as npx and uv hand theirs on). 0: none is known."""
        for ancestor in self.get(pid, ts).ancestors:
            files = self._proc.process(ancestor.pid)
            if files is None:
                return 0
            with files:
                ends = [files.descriptor(number) for number in (0, 1)]
            if not any(end.endswith(f":[{pipe}]") for end in ends):
                return ancestor.pid
        return 0

    # -- events --------------------------------------------------------------------------------------------------

    def _on_start(self, event: ProcessStarted) -> None:
        if self._match(event.pid, event.start_ns) is not None:
            self._counters["process_known"] += 1  # the scan was faster than the event
            return
        self._new(event.pid, event.start_ns, event.ts, event.ppid, event.ts)

    def _on_exec(self, event: ProcessExec) -> None:
        entry = self._match(event.pid, event.start_ns)
        if entry is None:
            started = min(event.ts, event.start_ns + self._boot) if event.start_ns else event.ts
            entry = self._new(event.pid, event.start_ns, started, event.ppid, event.ts)
            entry.images.clear()  # what the parent runs says nothing of this one before its exec
        elif entry.exited:
            # The leader's exit was seen, yet another thread called execve and took its place.
            entry.exited = 0
            self._exited.pop(entry.key, None)
            self._running[entry.key] = entry
        before = entry.image_at(event.ts)
        cwd = before.cwd if before else self._parent_cwd(entry, event.ts)
        if event.uid >= 0:
            entry.uid = event.uid
        entry.looked = False
        exe, argv, cwd = self._read_exec(entry, event, cwd)
        self._add_image(entry, event.ts, exe, argv, cwd)

    def _on_exit(self, event: ProcessExited) -> None:
        entry = self._at(event.pid, event.ts)
        if entry is None or entry.exited:
            self._counters["process_exit_unknown"] += 1
            return
        self._end(entry, event.ts)

    def _read_exec(self, entry: Entry, event: ProcessExec, cwd: str) -> tuple[str, tuple[str, ...], str]:
        """exe, argv and cwd of the new image. /proc is believed where its arguments say that it is still this image."""
        files = self._proc.process(event.pid)
        if files is not None:
            with files:
                stat = files.stat()
                if stat is not None and self._same(event.start_ns or entry.start_ns, stat.start_ticks * self._tick):
                    entry.comm = stat.comm
                    place(entry, files.cgroup(), event.ts, event.exe, self._runtimes)
                    argv = files.argv()
                    if _same_argv(event.argv, event.argv_cut, argv):
                        exe = files.exe() or self._guess(entry, event, cwd)
                        self._learn(entry, event.exe, exe)
                        return exe, argv or event.argv, files.cwd() or cwd
                    self._counters["exec_overtaken"] += 1
                    return self._guess(entry, event, cwd), event.argv, cwd
        self._counters["exec_vanished"] += 1
        exe = self._guess(entry, event, cwd)
        place_unseen(entry, event, exe, self._runtimes)
        return exe, event.argv, cwd

    def _learn(self, entry: Entry, asked: str, exe: str) -> None:
        """What a file name led to, for processes that vanish before they can be looked at."""
        if asked.startswith("/") and asked != exe and not asked.startswith(("/proc/", "/dev/")):
            self._learned[entry.container.id if entry.container else "", asked] = exe
            if len(self._learned) > _LEARNED:
                self._learned.popitem(last=False)

    def _guess(self, entry: Entry, event: ProcessExec, cwd: str) -> str:
        """The executable by the event alone. The kernel names the file that was asked for: a link, or a script, whose
        interpreter then stands in argv (fs/binfmt_script.c)."""
        asked, argv = event.exe, event.argv
        container = entry.container.id if entry.container else ""
        if learned := self._learned.get((container, asked)):
            return learned
        if len(argv) > 1 and asked in argv[1:3] and argv[0] != asked and argv[0].startswith("/"):
            asked = argv[0]
        return self._learned.get((container, asked)) or resolve(asked, cwd)

    # -- entries -------------------------------------------------------------------------------------------------

    def _same(self, a: int, b: int) -> bool:
        return abs(a - b) <= self._tick

    def _match(self, pid: int, start_ns: int) -> Entry | None:
        """The entry of (pid, start_ns); with an unknown start the one that runs."""
        for entry in reversed(self._by_pid.get(pid, ())):
            if (not start_ns and not entry.exited) or (start_ns and self._same(entry.start_ns, start_ns)):
                return entry
        return None

    def _at(self, pid: int, ts: int) -> Entry | None:
        """The entry that had this pid at `ts`, by what the table knows."""
        entries = self._by_pid.get(pid)
        if not entries:
            return None
        for entry in reversed(entries):
            if entry.started <= ts:
                return entry
        return entries[0] if entries[0].started <= ts + _SLACK_NS else None

    def _seek(self, pid: int, ts: int) -> Entry | None:
        """A process that no event told of: looked for in /proc, and not again for a second when it is not there."""
        if pid <= 0 or ts < self._absent.get(pid, 0):
            return None
        entry = self._adopt(pid, ts)
        if entry is None or entry.exited:
            self._absent[pid] = ts + _ABSENT_NS
            if len(self._absent) > _ABSENT:
                self._absent.popitem(last=False)
        return entry

    def _adopt(self, pid: int, ts: int, depth: int = 0) -> Entry | None:
        """Reads a process that runs; None when there is none, or it started after `ts` and so is another one."""
        files = self._proc.process(pid)
        if files is None:
            return None
        with files:
            stat = files.stat()
            if stat is None:
                self._counters["process_malformed_stat"] += 1
                return None
            start_ns = stat.start_ticks * self._tick
            if start_ns + self._boot > ts + _SLACK_NS:
                self._counters["process_reused_pid"] += 1
                return None
            if (known := self._match(pid, start_ns)) is not None:
                return known
            self._counters["process_adopted"] += 1
            return self._take(pid, stat, files, start_ns, min(ts, start_ns + self._boot), depth)

    def _take(self, pid: int, stat: Stat, files: ProcessFiles, start_ns: int, started: int, depth: int) -> Entry:
        entry = self._insert(Entry(pid, start_ns, started, stat.ppid))
        self._link(entry, started, depth)
        entry.images.clear()
        entry.comm, entry.looked = stat.comm, True
        entry.uid = files.uid()
        if stat.kernel_thread:
            self._add_image(entry, started, "", (), "")
        else:
            exe = files.exe()
            place(entry, files.cgroup(), started, exe, self._runtimes)
            self._add_image(entry, started, exe, files.argv(), files.cwd())
        return entry

    def _new(self, pid: int, start_ns: int, started: int, ppid: int, ts: int) -> Entry:
        """An entry by an event; it inherits from its parent."""
        rounded = (start_ns or max(0, started - self._boot)) // self._tick * self._tick
        entry = self._insert(Entry(pid, rounded, started, ppid))
        self._link(entry, ts, 0)
        return entry

    def _insert(self, entry: Entry) -> Entry:
        entries = self._by_pid.setdefault(entry.pid, [])
        for older in entries:
            if not older.exited:
                self._counters["process_exit_missed"] += 1
                self._end(older, entry.started)
        entries.append(entry)
        self._running[entry.key] = entry
        if len(self._running) > self._limit:
            self._drop(self._running.popitem(last=False)[1])
            self._counters["process_evicted"] += 1
        return entry

    def _link(self, entry: Entry, ts: int, depth: int) -> None:
        """Ties an entry to its parent as the parent is at `ts`: what it inherits, and the chain above it."""
        if entry.ppid <= 0 or entry.ppid == entry.pid:
            return
        parent = self._at(entry.ppid, ts)
        if parent is None and depth < ANCESTORS and entry.ppid not in self._by_pid:
            parent = self._adopt(entry.ppid, ts, depth + 1)
        if parent is None:
            self._counters["process_parent_unknown"] += 1
            return
        if not parent.exited:
            self._running.move_to_end(parent.key)  # what has children is the last to be evicted
        entry.inherit(parent, ts)
        above = (ancestor_of(parent, ts), *(parent.ancestors if parent.pid != 1 else ()))
        loop = next((n for n, ancestor in enumerate(above) if ancestor.pid == entry.pid), ANCESTORS)
        entry.ancestors = above[: min(loop, ANCESTORS)]

    def _parent_cwd(self, entry: Entry, ts: int) -> str:
        parent = self._at(entry.ppid, ts)
        image = parent.image_at(ts) if parent else None
        return image.cwd if image else ""

    def _add_image(self, entry: Entry, since: int, exe: str, argv: tuple[str, ...], cwd: str) -> None:
        kept = cut(argv, ARGV_KEPT if self._argv < ARGV_BUDGET else ARGV_SPARE)
        if kept is not argv:
            self._counters["process_argv_cut"] += 1
        cost = sum(map(len, kept)) + len(kept)
        self._argv += cost
        gone = entry.add(Image(since, exe, kept, cwd, cost))
        if gone is not None:
            self._argv -= gone.cost
            self._counters["process_image_dropped"] += 1

    def _end(self, entry: Entry, ts: int) -> None:
        entry.exited = ts or 1
        self._running.pop(entry.key, None)
        namesake = self._exited.pop(entry.key, None)  # possible only where events lack the start time
        if namesake is not None and namesake is not entry:
            self._drop(namesake)
        self._exited[entry.key] = entry

    def _drop(self, entry: Entry) -> None:
        self._argv -= sum(image.cost for image in entry.images)
        entries = self._by_pid.get(entry.pid, [])
        if entry in entries:
            entries.remove(entry)
        if not entries:
            self._by_pid.pop(entry.pid, None)

    def _prune(self, ts: int) -> None:
        while self._exited:
            entry = next(iter(self._exited.values()))
            if len(self._exited) <= EXITED_KEPT and entry.exited > ts - EXITED_NS:
                return
            self._exited.popitem(last=False)
            self._drop(entry)
            self._counters["process_forgotten"] += 1

    # -- answers -------------------------------------------------------------------------------------------------

    def _look(self, entry: Entry, exe: str, ts: int) -> None:
        """Once in an image's life: a daemon may have changed its uid, and been moved to another cgroup, since."""
        entry.looked = True
        files = self._proc.process(entry.pid)
        if files is None:
            return
        with files:
            stat = files.stat()
            if stat is None or not self._same(entry.start_ns, stat.start_ticks * self._tick):
                return
            uid, raw = files.uid(), files.cgroup()
        if uid >= 0:
            entry.uid = uid
        if raw and parse_cgroup(raw) != entry.cgroup:
            place(entry, raw, ts, exe, self._runtimes)

    def _answer(self, entry: Entry, image: Image, ts: int) -> Process:
        if not entry.looked and not entry.exited:
            self._look(entry, image.exe, ts)
        if ts >= entry.retry:
            contain(entry, entry.cgroup.candidates, ts, self._runtimes)
            entry.forget_answers()
        image.recheck = entry.retry
        container = entry.container
        workload = entry.outer or workload_of(
            container, entry.cgroup.unit, image.exe, image.argv, image.cwd, entry.comm
        )
        if container is None:
            user = self._users.name(entry.uid)
        else:  # another user database holds there; only the number is known
            user = "root" if entry.uid == 0 else str(entry.uid) if entry.uid >= 0 else ""
        return Process(
            entry.pid,
            entry.start_ns,
            image.exe,
            image.argv,
            image.cwd,
            entry.uid,
            user,
            entry.ancestors,
            entry.cgroup.path,
            workload,
            container,
        )


def _same_argv(told: tuple[str, ...], told_cut: bool, read: tuple[str, ...]) -> bool:
    """Is what /proc says the event's argument list? An event without one (its page was not there) excludes nothing."""
    if not told or told == read:
        return True
    if not told_cut or len(read) < len(told):
        return False
    whole, last = told[:-1], told[-1].rstrip("?")  # the cut may have split a character
    return read[: len(whole)] == whole and read[len(whole)].startswith(last)
