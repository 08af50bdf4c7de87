"""The live source: loads the BPF programs, finds TLS libraries, and hands out raw events.

Invariants: events come out in the order of their time stamps; nothing is held back longer than one round; what was
lost is counted by the kernel and told as `Lost`. Closing the sensor (or the death of its process by any signal) removes
every program: links live as long as this process's descriptors.
"""

from __future__ import annotations

import mmap
import os
import re
import select
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from struct import Struct

import msgspec

from leeward.model.errors import HostError
from leeward.model.raw import Lost, ProcessExec, RawEvent, SocketOpened, SocketStats, SystemCalled, TlsOpened
from leeward.sensor import calibrate, decode, host, libraries, plain, programs
from leeward.sensor import layout as L
from leeward.sensor.calls import SystemCalls
from leeward.sensor.files import Files, files_of_interest
from leeward.sensor.libbpf import BpfError, Map
from leeward.sensor.pings import ping_events
from leeward.sensor.proc_sockets import open_sockets
from leeward.sensor.programs import OBJECT as OBJECT
from leeward.sensor.programs import load as load
from leeward.sensor.programs import missing_programs as missing_programs
from leeward.sensor.rights import rights_of
from leeward.sensor.ring import Ring
from leeward.sensor.target import Target, Unseen
from leeward.sensor.unix_counts import UnixCounts, unix_stats

_SHARED = ("flows", "flow_verdicts", "tls_conns", "tls_verdicts", "boring", "callers", "stdio_verdicts", "unix_sockets")
_OWN = ("settings", "tracked", "libraries", "layouts", "counters", "name_keys", "name_filter", "rights_known", "pings")
_BATCH = 8192
_IDLE_FLOW_NS = 600 * 10**9  # a flow without a packet for so long is forgotten by the kernel's table
_HEADS = 1 << 16  # copied of a call beyond a message's bytes, for heads and the framing of chunks
_MOST_LOOKED = 1 << 16  # files that were looked at and need not be again
_PIPE = re.compile(r"(?:pipe|socket):\[(\d{1,19})\]")
_U32, _U64 = Struct("<I"), Struct("<Q")


class Options(msgspec.Struct, frozen=True):
    """max_message: bytes copied of one library call. payload_ring/control_ring: bytes, powers of two. only_tracked: watch
    nothing but what `track` names, and its children."""

    max_message: int = 1 << 20
    payload_ring: int = 1 << 25
    control_ring: int = 1 << 22
    only_tracked: bool = False


class Probed(msgspec.Struct):
    """A file that speaks TLS and is seen into. layout: its place in the kernel's table. paths: as mapped, for people."""

    target: Target
    layout: int
    paths: set[str]
    since: int
    detach: list[Callable[[], None]]
    calibration: calibrate.Calibration = msgspec.field(default_factory=calibrate.Calibration)


class KernelSensor:
    """Use: construct, `track` for exec, then `poll` for ever, `close`. One thread only."""

    def __init__(self, options: Options, files: Files | None = None) -> None:
        """files: whose opening is told; those of files.yaml if none are given."""
        host.need_root()
        if not OBJECT.exists():
            raise HostError(f"{OBJECT} is missing: build it with `make setup` (or `python hatch_build.py`)")
        host.tracefs()
        self.counters: Counter[str] = Counter()
        self.probed: dict[tuple[int, int], Probed] = {}
        self.unseen: dict[tuple[int, int], Unseen] = {}
        self._examined: set[tuple[int, int]] = set()
        self.batch = _BATCH  # records taken from a ring in one round
        self._looked: OrderedDict[str, None] = OrderedDict()
        self._held: list[tuple[int, int, RawEvent]] = []
        self._number = 0
        self._horizon = 0
        self._flow_counts: dict[bytes, tuple[int, ...]] = {}
        self._unix_counts: UnixCounts = {}
        self._pings: dict[bytes, int] = {}
        self._told: Counter[str] = Counter()
        self.epoch = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        sizes = {"payload": options.payload_ring, "control": options.control_ring}
        self._object, self._multi = load(sizes)
        maps = {name: self._object.map(name) for name in _OWN}
        self._maps = maps | {n: self._object.map(n) for n in _SHARED}
        self._options, self._calls = options, False
        self._helpers = (0, 0)
        self._settle()
        files = files or files_of_interest()
        self._look_for(files)
        self._calls_read = SystemCalls(files)
        self._control = Ring(self._object.map("control").fd, self._object.map_entries("control"))
        self._payload = Ring(self._object.map("payload").fd, self._object.map_entries("payload"))
        self._poll = select.poll()
        for ring in (self._control, self._payload):
            self._poll.register(ring.fd, select.POLLIN)
        self._layouts = 0
        programs.attach(self._object)

    def _watch_calls(self) -> None:
        """A database's UNIX socket is on this host: from here on the calls on sockets are watched."""
        if self._calls:
            return
        self._calls = True
        try:
            programs.attach_calls(self._object)
        except BpfError:
            self.counters["socket_calls_attach_failed"] = 1
            return
        self._settle()
        self.counters["socket_calls_watched"] = 1

    def _settle(self) -> None:
        """Tells the kernel its settings."""
        only, most = int(self._options.only_tracked), min(self._options.max_message + _HEADS, 1 << 22)
        self._maps["settings"][_U32.pack(0)] = L.CONFIG.pack(
            only, os.getpid(), most, int(self._calls), *self._helpers, *programs.told_bits()
        )

    def _look_for(self, files: Files) -> None:
        """Tells the kernel which files are of interest."""
        keys, bits = files.tables()
        for number, access in keys.items():
            self._maps["name_keys"][_U64.pack(number)] = _U32.pack(access)
        self._maps["name_filter"][_U32.pack(0)] = bits

    def helpers(self, pids: Iterable[int]) -> None:
        """Processes of ours, two at most, whose system calls are no news."""
        first, second, *_ = (*pids, 0, 0)
        if (first, second) != self._helpers:
            self._helpers = (first, second)
            self._settle()

    # -- libraries ---------------------------------------------------------------------------------------------

    def scan(self, extra: Iterable[Path] = ()) -> None:
        """Looks at every file that is mapped executable now, at the libraries of the host, at `extra`, and at pipes and UNIX
        sockets that are open already."""
        for path in (*libraries.host_libraries(), *extra):
            self._examine(path, str(path))
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                self._scan_process(int(entry), None)
                self._scan_stdio(int(entry))
                if (rights := rights_of(int(entry))) is not None:
                    self._maps["rights_known"][_U32.pack(int(entry))] = rights
        if self._object.iterate("on_each_file"):
            self._watch_calls()

    def _scan_process(self, pid: int, address: int | None) -> str:
        """Looks at what process `pid` maps executable; only at the mapping that holds `address` if one is given. Returns the name
        of a program or library in it that is in memory only, "" if there is none."""
        in_memory = ""
        try:
            text = Path(f"/proc/{pid}/maps").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            self.counters["process_gone_before_scan"] += 1
            return in_memory
        for line in text.splitlines():
            span, rights, _, rest = line.split(" ", 3)
            if "x" not in rights or "/" not in rest:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            if address is not None and not start <= address < end:
                continue
            if address is None and not self._fresh(rest):
                continue
            name, path = "/" + rest.split("/", 1)[1], Path(f"/proc/{pid}/map_files/{start:x}-{end:x}")
            if name.startswith("/memfd:") and _is_elf(path):
                in_memory = name
            self._examine(path, name)
        return in_memory

    def _scan_stdio(self, pid: int) -> None:
        """Does this process, which began before us, have pipes or sockets for its standard input and output?"""
        pipes = []
        for number in (0, 1):
            try:
                match = _PIPE.fullmatch(os.readlink(f"/proc/{pid}/fd/{number}"))
            except OSError:
                return
            if match is None:
                return
            pipes.append(int(match[1]))
        known = self._maps["callers"].get(_U32.pack(pid), L.CALLER.size)
        sockets = L.CALLER.unpack(known)[6] if known else 0
        self._maps["callers"][_U32.pack(pid)] = L.CALLER.pack(*pipes, 0, 0, 0, 0, sockets, 0)

    def _fresh(self, what: str) -> bool:
        """Is this "device inode path" of /proc/PID/maps new? Saves looking at the same library in each process."""
        if what in self._looked:
            return False
        self._looked[what] = None
        if len(self._looked) > _MOST_LOOKED:
            self._looked.popitem(last=False)
        return True

    def _examine_program(self, pid: int, name: str) -> None:
        """What a process runs; if it is gone already, what its name means to us: the next that runs it is seen from its start."""
        self._examine(Path(f"/proc/{pid}/exe"), name, Path(name))

    def _examine(self, path: Path, name: str, otherwise: Path | None = None) -> None:
        """otherwise: in its place if it is gone. The file is pinned while it is looked at: a process that ends meanwhile must not
        leave it known as one that means nothing."""
        for place in (path, otherwise):
            if place is None:
                continue
            try:
                pin = os.open(place, os.O_PATH | os.O_CLOEXEC)  # opens no device
            except OSError:  # ENOENT, ESRCH: it ended
                continue
            try:
                self._examine_pinned(Path(f"/proc/self/fd/{pin}"), name)
            finally:
                os.close(pin)
            return
        self.counters["library_gone_before_look"] += 1

    def _examine_pinned(self, path: Path, name: str) -> None:
        status = path.stat()
        key = (status.st_dev, status.st_ino)
        if key in self._examined:
            if key in self.probed:
                self.probed[key].paths.add(name)
            return
        if len(self._examined) >= _MOST_LOOKED:
            self._examined = set(self.probed) | set(self.unseen)
        self._examined.add(key)
        match libraries.describe(path, name):
            case Target() as target:
                self._probe(key, path, name, target)
            case Unseen() as unseen:
                self.unseen[key] = unseen

    def _probe(self, key: tuple[int, int], path: Path, name: str, target: Target) -> None:
        number = self._layouts % 256
        self._layouts += 1
        self._maps["layouts"][_U32.pack(number)] = target.layout
        detach: list[Callable[[], None]] = []
        groups: dict[tuple[str, bool], dict[int, int]] = defaultdict(dict)
        for probe in target.probes:
            program, cookie = probe.program, number
            if program in L.CALLS:
                kind = L.CALLS.index(program)
                program = "on_go_call" if kind >= L.GO_WRITE else "on_call"
                cookie |= kind << 32
            elif program.startswith("on_go_done_"):
                program, kind = "on_go_done", L.CALLS.index(program.replace("done_", ""))
                cookie |= kind << 32
            groups[program, probe.returns][probe.offset] = cookie
        try:
            for (program, returns), places in groups.items():
                detach += self._uprobes(str(path), program, places, returns)
        except BpfError as error:
            for undo in detach:
                undo()
            self.counters["library_attach_failed"] += 1
            self.unseen[key] = Unseen(target.name, str(error))
            return
        self.probed[key] = Probed(target, number, {name}, time.time_ns(), detach)

    def watch_plain(self, pid: int) -> list[Callable[[], None]]:
        """Has the calls of this process's libc that write to sockets looked at (bpf/plain.h). Returns what ends that, which takes
        the kernel a while. The libraries are looked for where its root has them, since it may not have mapped any yet."""
        detach: list[Callable[[], None]] = []
        for path, calls in plain.libraries_of(pid):
            places = {
                "on_plain": [(at, L.CALLS.index(program) << 32) for program, at in calls],
                "on_plain_done": [(at, 0) for _, at in calls],
            }
            try:
                for program, where in places.items():
                    detach += self._uprobes(str(path), program, dict(where), program == "on_plain_done", pid)
            except BpfError:
                self.counters["plain_attach_failed"] += 1
        return detach

    def _uprobes(
        self, path: str, program: str, places: dict[int, int], returns: bool, pid: int = 0
    ) -> list[Callable[[], None]]:
        if self._multi:
            return [self._object.attach_uprobe_multi(program, path, list(places.items()), returns=returns, pid=pid)]
        return [
            self._object.attach_uprobe(program, path, at, returns=returns, cookie=c, pid=pid or -1)
            for at, c in places.items()
        ]

    def calibrate(self, event: TlsOpened, seen: bool, randoms: Iterable[bytes]) -> TlsOpened:
        """The event with its client random. seen: the one it has was seen on the wire; else it is looked for in the process's
        memory, where it has to be one of `randoms`. Once it is certain where the library keeps it, the kernel relies on it."""
        probed = next((p for p in self.probed.values() if p.layout == event.library), None)
        if probed is None or probed.target.certain or probed.calibration.place is not None:
            return event
        if seen:
            random = probed.calibration.judge({calibrate.place_in(probed.target.layout): event.client_random})
        else:
            random = probed.calibration.look(event.pid, event.tls, randoms)
        self.counters["client_random_found" if random else "client_random_not_found"] += 1
        if (place := probed.calibration.place) is not None:
            layout = calibrate.with_place(probed.target.layout, place, not probed.target.frees)
            self._maps["layouts"][_U32.pack(event.library)] = layout
        return msgspec.structs.replace(event, client_random=random)

    def map(self, name: str) -> Map:
        """One of the kernel's tables, for who shares it."""
        return self._object.map(name)

    def ring_size(self, name: str) -> int:
        """Of a ring, in bytes."""
        return self._object.map_entries(name)

    # -- what user space decides -------------------------------------------------------------------------------

    def track(self, pid: int) -> None:
        """Watches this process and its children to come (with Options.only_tracked)."""
        self._maps["tracked"][_U32.pack(pid)] = b"\x01"

    def quiet_tls(self, pid: int, tls: int, line: bytes | None) -> None:
        """Stops copying this TLS object until a request with a body begins, whose line is not `line`; None: for good."""
        if line is not None:
            self._maps["boring"][_U64.pack(L.line_hash(line, tls ^ (pid << 32)))] = b"\x01"
        self._maps["tls_verdicts"][L.TLS_KEY.pack(tls, pid, 0)] = _U32.pack(L.IGNORE if line is None else L.DORMANT)

    def quiet_socket(self, sock: int, line: bytes | None) -> None:
        """The same for a socket."""
        if line is not None:
            self._maps["boring"][_U64.pack(L.line_hash(line, sock))] = b"\x01"
        self._maps["flow_verdicts"][_U64.pack(sock)] = _U32.pack(L.IGNORE if line is None else L.DORMANT)

    def glance_tls(self, pid: int, tls: int, line: bytes) -> None:
        """As quiet_tls, and shows the heads of a share of its exchanges as HeadsSeen."""
        self._maps["boring"][_U64.pack(L.line_hash(line, tls ^ (pid << 32)))] = b"\x01"
        self._maps["tls_verdicts"][L.TLS_KEY.pack(tls, pid, 0)] = _U32.pack(L.GLANCE)

    def glance_socket(self, sock: int, line: bytes) -> None:
        """The same for a socket."""
        self._maps["boring"][_U64.pack(L.line_hash(line, sock))] = b"\x01"
        self._maps["flow_verdicts"][_U64.pack(sock)] = _U32.pack(L.GLANCE)

    def quiet_stdio(self, pid: int) -> None:
        """Stops copying what this process reads and writes on its standard descriptors."""
        self._maps["stdio_verdicts"][_U32.pack(pid)] = _U32.pack(L.IGNORE)

    def forget_tls(self, pid: int, tls: int) -> None:
        """The process ended without freeing this object: another one of this number is another connection."""
        key = L.TLS_KEY.pack(tls, pid, 0)
        self._maps["tls_conns"].delete(key)
        self._maps["tls_verdicts"].delete(key)

    # -- events ------------------------------------------------------------------------------------------------

    def sockets(self) -> list[SocketOpened]:
        """The sockets that were open before the sensor was."""
        return open_sockets(time.time_ns())

    def poll(self, timeout: float) -> list[RawEvent]:
        """The events since the last call, in order; waits up to `timeout` seconds for the first."""
        self._poll.poll(int(timeout * 1000))
        horizon = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + self.epoch
        found, seen = self._held, self._number
        mapped: list[tuple[int, int, int, int]] = []
        for ring in (self._control, self._payload):
            last = 0
            for memory, at in ring.records(self.batch):
                match L.HEAD.unpack_from(memory, at)[1]:
                    case L.LIB:
                        mapped.append(decode.library(memory, at))
                    case L.DATABASE:
                        self._watch_calls()
                    case L.SYSTEM_CALL:
                        last = self._take_call(found, memory, at)
                    case _:
                        last = self._take(found, memory, at)
            if ring.waiting():  # what the other ring says of later times has to wait for this one
                horizon = min(horizon, last or self._horizon)
        self._horizon = horizon
        for pid, inode, device, address in mapped:
            self._maps["libraries"][L.LIBRARY_KEY.pack(inode, device, 0)] = b"\x01"
            if name := self._scan_process(pid, address):
                self._number += 1
                now = time.time_ns()
                found.append((now, self._number, SystemCalled(now, pid, "exec-map", path=name, label="memfd")))
        for _, number, event in found:
            if number > seen and type(event) is ProcessExec:
                self._examine_program(event.pid, event.exe)
        found.sort(key=lambda item: item[:2])
        ready = [event for ts, _, event in found if ts <= horizon]
        self._held = found[len(ready) :]
        self.counters["events"] += len(ready)
        return ready

    def pending(self) -> bool:
        """Is anything on its way?"""
        return bool(self._held) or self._control.waiting() or self._payload.waiting()

    def _take(self, found: list[tuple[int, int, RawEvent]], memory: mmap.mmap, at: int) -> int:
        """Adds a record's event to `found`; returns its time."""
        event = decode.record(memory, at, self.epoch)
        if event is None:
            self.counters["unknown_record"] += 1
            return 0
        self._number += 1
        found.append((event.ts, self._number, event))
        return event.ts

    def _take_call(self, found: list[tuple[int, int, RawEvent]], memory: mmap.mmap, at: int) -> int:
        event = self._calls_read.event(memory, at, self.epoch)
        if event is None:
            self.counters["files_of_no_interest"] += 1
            return 0
        self._number += 1
        found.append((event.ts, self._number, event))
        return event.ts

    def stats(self) -> list[RawEvent]:
        """Totals of the sockets that moved since the last call, and what was lost. Call it about once a second."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        events: list[RawEvent] = []
        counts: dict[bytes, tuple[int, ...]] = {}
        for key, value in self._maps["flows"].items(L.FLOW_KEY.size, L.FLOW.size, 131072):
            flow = L.FLOW.unpack(value)
            four, last, sock = flow[:4], flow[-1], _U64.unpack_from(key)[0]
            idle = now - last > _IDLE_FLOW_NS
            if idle:
                self._maps["flows"].delete(key)
                self.counters["idle_flows_swept"] += 1
            else:
                counts[key] = four
            if idle or self._flow_counts.get(key) != four:
                remote = decode.endpoint(flow[5], flow[7], flow[8]) if flow[9] == L.UDP else None
                sent, received, packets_sent, packets_received = four
                stats = SocketStats(
                    now + self.epoch, sock, sent, received, packets_sent, packets_received, idle, remote
                )
                events.append(stats)
        self._flow_counts = counts
        found = self._maps["pings"].items(L.FLOW_KEY.size, L.PINGED.size, 4096)
        pings, self._pings = ping_events(found, self._pings, now + self.epoch)
        return [*events, *pings, *self._unix_stats(now + self.epoch), *self._losses(now + self.epoch)]

    def _unix_stats(self, ts: int) -> list[RawEvent]:
        found = self._maps["unix_sockets"].items(8, L.UNIX_SOCKET.size, 16384)
        events, self._unix_counts, idle = unix_stats(found, self._unix_counts, ts)
        for key in idle:
            self._maps["unix_sockets"].delete(key)
            self.counters["idle_unix_swept"] += 1
        return [*events]

    def _losses(self, ts: int) -> list[RawEvent]:
        events: list[RawEvent] = []
        for number, name in enumerate(L.COUNTERS):
            raw = self._maps["counters"].get(_U32.pack(number), 8 * self._object.cpus) or b""
            total = sum(_U64.unpack_from(raw, at)[0] for at in range(0, len(raw), 8))
            self.counters[name] = total
            if total > self._told[name]:
                events.append(Lost(ts, name, total - self._told[name]))
                self._told[name] = total
        return events

    def close(self) -> None:
        self._control.close()
        self._payload.close()
        self._object.close()


def _is_elf(path: Path) -> bool:
    """Does it hold a program or library? What a just-in-time compiler keeps there does not begin so (elf(5))."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False
