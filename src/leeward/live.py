"""The live observation: the kernel sensor, the processes and the pipeline in one loop, for `run` and `exec`.

Invariant: one thread turns `Live.step`; what it yields is handed on by the caller. A wrong turn in a stage is never
swallowed: the loop ends and says so, and with it every probe is gone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from leeward import collector
from leeward.ai.catalogue import Catalogue
from leeward.ai.datafile import Schema, load_yaml
from leeward.ai.ledger import GONE, Blindness
from leeward.data.exchange import Inspector
from leeward.detect.detector import Detector
from leeward.guard import Enforced, Guard
from leeward.identity.processes import ProcessTable
from leeward.identity.procfs import ProcFs
from leeward.identity.runtimes import RuntimeReaders
from leeward.identity.state import RuntimePaths
from leeward.logs import LABEL as LOG
from leeward.logs import Logs
from leeward.model.activity import Activity
from leeward.model.raw import CallJudged, ProcessExec, ProcessStarted, SystemCalled, TlsOpened
from leeward.naming import NameWorker
from leeward.pipeline import Pipeline, Record, Settings
from leeward.policing import Policing
from leeward.sensor import layout as L
from leeward.sensor.files import FILES, files_from
from leeward.sensor.kernel import KernelSensor, Options, Probed
from leeward.sensor.libraries import OTHER_TLS
from leeward.sensor.routes import Routes
from leeward.surroundings import surrounded

_TICK_NS = 10**9
_FINISH_S = 3.0
_MOST_PROCESSES = 4096  # whose log files are found at the start


def boot_id() -> str:
    """The id of this boot of this host (RFC 9562 UUID, made by the kernel)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Live:
    def __init__(
        self,
        options: Options,
        catalogue: Catalogue,
        *,
        tree: set[int] | None = None,
        libraries: Iterable[Path] = (),
        runtimes: RuntimePaths | None = None,
        inspector: Inspector | None = None,
        names: NameWorker | None = None,
        policies: Enforced | None = None,
        record: Callable[[Activity], None] | None = None,
        detectors: Sequence[Detector] = (),
    ) -> None:
        """`tree`: watch only these processes and their children, which are added as they appear (with
        Options.only_tracked). `libraries`: TLS libraries to probe before anything maps them. `runtimes`: where container
        runtimes keep their state, the usual places if not given. `inspector`: looks for sensitive data. `names`: the model that
        helps it. `policies`: what is forbidden here. `record`: is told what the detectors are fed. `detectors`: beside ours."""
        self._tree, self._catalogue = tree, catalogue
        self.started = time.time_ns()
        schema = Schema.read(FILES.with_name("files.schema.json"))
        files = files_from(load_yaml(FILES, schema))
        self.sensor = KernelSensor(options, files)
        try:
            self.processes = ProcessTable(runtimes=RuntimeReaders(runtimes))
            self.processes.scan()
            self.sensor.scan(libraries)
            self.guard = self._guard(policies) if policies is not None else None
        except BaseException:
            self.sensor.close()
            raise
        watched = None if tree is None else tree.__contains__
        settings = Settings(boot_id(), options.max_message, watched, record)
        self.pipeline = Pipeline(
            settings,
            catalogue,
            self.processes,
            quiet=self.sensor,
            explain=self.explain,
            library_of=self.library_of,
            inspector=inspector,
            ask_model=names.ask if names is not None else None,
            policing=_policing(self.guard) if self.guard is not None else None,
            detectors=detectors,
        )
        self._names = names
        self._forms, self._proc = catalogue.key_forms, ProcFs(Path("/proc"), Counter())
        self._logs = Logs(self._forms, lambda pid, ts: self.processes.get(pid, ts).container is None)
        self._logs.running(self._proc.pids(_MOST_PROCESSES) if tree is None else tree, files.label, self.started)
        self._routes = Routes() if tree is None else None
        self._tick = time.time_ns()
        for event in self.sensor.sockets():
            self.pipeline.feed(event)
        collector.settle()
        if self.guard is not None and tree is None:
            self.guard.consider_all()

    def _guard(self, policies: Enforced) -> Guard:
        policies = msgspec.structs.replace(policies, name_of=self._name_of)
        return Guard(self.sensor, self.processes, self._catalogue, policies)

    def enforce(self, policies: Enforced) -> None:
        """The first policies of a host that was watched without any until now. Raises InputError for such as are none."""
        self.guard = self._guard(policies)
        self.pipeline.police(_policing(self.guard))
        self.guard.consider_all()

    def _name_of(self, cookie: int) -> str:
        socket = self.pipeline.flows.find(cookie)
        return socket.flow.sni if socket is not None else ""

    def step(self, timeout: float = 0.05) -> Iterator[Record]:
        """What happened since the last step. Waits up to `timeout` seconds for something to happen."""
        events = self.sensor.poll(timeout)
        yield from self._judged()  # after the poll: a verdict is told before what it let go can be answered
        for event in events:
            if type(event) is ProcessStarted and self._tree is not None:
                self._tree.add(event.pid)
            if type(event) is TlsOpened and not event.sock:
                seen = bool(self.pipeline.flows.by_random(event.client_random))
                event = self.sensor.calibrate(event, seen, self.pipeline.flows.randoms_of(event.pid))
            if type(event) is ProcessExec and (self._tree is None or event.pid in self._tree):
                event = self._look_around(event)
            if type(event) is SystemCalled and event.label == LOG:
                if self._tree is None or event.pid in self._tree:
                    self._logs.opened(event)
                continue  # how often logs are opened says nothing
            if self.guard is not None:
                self.guard.first(event)
            yield from self.pipeline.feed(event)
            if self.guard is not None:
                self.guard.feed(event)
        yield from self._named()
        now = time.time_ns()
        yield from self.pipeline.overdue(now)
        if now - self._tick >= _TICK_NS:
            self._tick = now
            yield from self._totals()
            yield from self._logged(now)
            yield from self.pipeline.tick(now)

    def _logged(self, ts: int, last: bool = False) -> Iterator[Record]:
        for event in self._logs.look(ts, last):
            yield from self.pipeline.feed(event)

    def _look_around(self, event: ProcessExec) -> ProcessExec:
        """The event with what the program was given, if it still runs."""
        files = self._proc.process(event.pid)
        if files is None:
            return surrounded(event, b"", self._forms)
        with files:
            return surrounded(event, files.environ(), self._forms)

    def _judged(self) -> Iterator[Record]:
        """What became of writes that were held."""
        if self.guard is None:
            return
        for event in self.guard.step():
            if isinstance(event, CallJudged) and event.action == "block":
                self._end_connection(event)
            yield from self.pipeline.feed(event)

    def _end_connection(self, event: CallJudged) -> None:
        """The socket under a write that was stopped, if it is known."""
        sock = event.tls ^ L.PLAIN_CONNECTION
        if not event.tls & L.PLAIN_CONNECTION:
            connection = self.pipeline.connections.of_library(event.pid, event.tls)
            sock = connection.socket.sock if connection is not None and connection.socket is not None else 0
        if sock and self.guard is not None:
            self.guard.stopped(event.pid, sock)

    def _named(self) -> Iterator[Record]:
        if self._names is not None:
            for answer in self._names.answers():
                yield from self.pipeline.feed(answer)

    def _totals(self) -> Iterator[Record]:
        for event in self.sensor.stats():
            yield from self.pipeline.feed(event)
        if self._routes is not None:
            for told in self._routes.events(time.time_ns()):
                yield from self.pipeline.feed(told)

    def finish(self) -> Iterator[Record]:
        """Drains what is on its way, as long as that is not for ever on a busy host, and ends the observation."""
        until = time.monotonic() + _FINISH_S
        for _ in range(20):
            yield from self.step(0.05)
            if (not self.sensor.pending() and not self.pipeline.discovery.waits()) or time.monotonic() > until:
                break
        yield from self._totals()
        yield from self._logged(time.time_ns(), last=True)
        yield from self.pipeline.finish(time.time_ns())

    def close(self) -> None:
        if self.guard is not None:
            self.guard.close()
        if self._routes is not None:
            self._routes.close()
        self._logs.close()
        self.sensor.close()

    def counters(self) -> dict[str, int]:
        """The sensor's and the stages' counters."""
        counts = (
            self.sensor.counters | self._logs.counters | (self._routes.counters if self._routes is not None else {})
        )
        sensor = {f"sensor_{name}": count for name, count in sorted(counts.items())}
        guard = self.guard.totals() if self.guard is not None else {}
        return sensor | self.pipeline.totals() | guard

    def losses(self) -> dict[str, int]:
        """What was lost on the way, by name; all zero when nothing was."""
        counters = self.sensor.counters
        names = ("lost_control", "lost_payload", "flow_table_full", "tls_table_full", "unix_table_full", "copy_fault")
        gaps = self.pipeline.connections.counters["plaintext_gaps"]
        return {name: counters[name] for name in names} | {"plaintext_gaps": gaps}

    # -- what a process's TLS is ---------------------------------------------------------------------------------

    def _mapped(self, pid: int) -> list[str]:
        try:
            lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
        except OSError:
            return []
        return sorted({line.split(maxsplit=5)[5] for line in lines if line.count("/") and "x" in line.split()[1]})

    def library_of(self, number: int) -> tuple[str, str]:
        """Name and version of a probed file, and the rung by which its functions were found; ("", "symbol") if unknown."""
        probed = next((p for p in self.sensor.probed.values() if p.layout == number), None)
        return (_describe(probed), probed.target.rung) if probed else ("", "symbol")

    def _probed_in(self, mapped: list[str]) -> str:
        """The probed files among those that a process maps."""
        found = [p for p in self.sensor.probed.values() if not p.paths.isdisjoint(mapped)]
        return ", ".join(sorted({_describe(p) for p in found}))

    def explain(self, pid: int) -> Blindness:
        """Why the content of this process's connections is not seen."""
        mapped = self._mapped(pid)
        if not mapped:
            return GONE
        if library := self._probed_in(mapped):
            return Blindness(
                "its TLS library is seen into, but nothing readable came through it on this connection",
                "if the connection is older than Leeward, restart the workload",
                library,
            )
        for path in mapped:
            for pattern, name in OTHER_TLS:
                if pattern.search(path.rsplit("/", 1)[-1]):
                    return Blindness(f"{name} is not probed", "metadata only", name)
        for unseen in self.sensor.unseen.values():
            if any(unseen.name in path for path in mapped):
                return Blindness(unseen.reason, "report the library to the project", unseen.name)
        return Blindness(
            "no TLS library is mapped: TLS is inside the executable (linked statically, Go, Rust or Java)",
            "metadata only until a later version",
        )


def _policing(guard: Guard) -> Policing:
    return Policing(lambda: guard.policies, guard.writes_held, guard.names_of)


def _describe(probed: Probed) -> str:
    return f"{probed.target.version} ({probed.target.name}, {probed.target.placement})"
