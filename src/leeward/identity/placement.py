"""Puts a process where it belongs: its cgroup, and the container that the cgroup, or a shim above it, names."""

from __future__ import annotations

from leeward.identity.cgroup import NOTHING, Candidate, parse_cgroup
from leeward.identity.entries import FOREVER, Entry, is_runtime_helper
from leeward.identity.runtimes import RETRY_NS, RuntimeReaders
from leeward.identity.workload import container_workload
from leeward.model.process import Container
from leeward.model.raw import ProcessExec


def place(entry: Entry, raw: bytes, ts: int, exe: str, runtimes: RuntimeReaders) -> None:
    """From the text of /proc/PID/cgroup. Without one (it could not be read) what was inherited stays."""
    if not raw:
        return
    entry.cgroup = parse_cgroup(raw)
    candidates = entry.cgroup.candidates
    if not (candidates and candidates[0].sure) and entry.shim and not is_runtime_helper(exe):
        candidates = (*candidates, entry.shim)
    contain(entry, candidates, ts, runtimes)


def place_unseen(entry: Entry, event: ProcessExec, exe: str, runtimes: RuntimeReaders) -> None:
    """Of a process that ended before its cgroup could be read: `docker exec` of a program of milliseconds. What it inherited is
    its parent's, a runtime's on the host. The kernel told the last part of the path: enough if that names a container, for a
    service that hangs there may be a user's. Without it a shim or conmon above says whose it is."""
    told = parse_cgroup(f"0::/{event.cgroup}".encode()) if event.cgroup else NOTHING
    sure = tuple(candidate for candidate in told.candidates if candidate.sure)
    if sure and (entry.container is None or entry.container.id != sure[0].id):
        entry.cgroup = told
        contain(entry, sure, event.ts, runtimes)
    elif (
        entry.container is None
        and entry.shim is not None
        and not is_runtime_helper(exe)
        and event.argv[1:2] != ("init",)
    ):
        contain(entry, (entry.shim,), event.ts, runtimes)


def contain(entry: Entry, candidates: tuple[Candidate, ...], ts: int, runtimes: RuntimeReaders) -> None:
    """The deepest id names the container. A runtime of this host may know only an outer one (Docker in Docker):
    then that one gives the workload, since the inner id means nothing after a restart."""
    entry.container, entry.outer, entry.retry = None, None, FOREVER
    for candidate in candidates:
        known = runtimes.find(candidate, ts)
        if known is None:
            continue
        entry.container = known
        if candidate is not candidates[0] and candidates[0].sure:
            inner = candidates[0]
            pod = (known.pod_namespace, known.pod_name, known.pod_uid)
            entry.container = Container(inner.id, "", "", "", inner.runtime, {}, *pod)
            entry.outer = container_workload(known)
        return
    if candidates and candidates[0].sure:
        first = candidates[0]
        entry.container = Container(first.id, runtime=first.runtime, pod_uid=first.pod_uid)
        entry.retry = ts + RETRY_NS
