"""Puts a process where it belongs: its cgroup, and the container that the cgroup, or a shim above it, names."""

from __future__ import annotations

from leeward.identity.cgroup import Candidate, parse_cgroup
from leeward.identity.entries import FOREVER, Entry, is_runtime_helper
from leeward.identity.runtimes import RETRY_NS, RuntimeReaders
from leeward.identity.workload import container_workload
from leeward.model.process import Container


def place(entry: Entry, raw: bytes, ts: int, exe: str, runtimes: RuntimeReaders) -> None:
    """From the text of /proc/PID/cgroup. Without one (it could not be read) what was inherited stays."""
    if not raw:
        return
    entry.cgroup = parse_cgroup(raw)
    candidates = entry.cgroup.candidates
    if not (candidates and candidates[0].sure) and entry.shim and not is_runtime_helper(exe):
        candidates = (*candidates, entry.shim)
    contain(entry, candidates, ts, runtimes)


def place_unseen(entry: Entry, ts: int, exe: str, argv: tuple[str, ...], runtimes: RuntimeReaders) -> None:
    """Without its cgroup, for it ended before that could be read. What it inherited is its parent's; what a shim or conmon starts
    (`docker exec` of a program of milliseconds) is in the container that this one is for."""
    helps = is_runtime_helper(exe) or argv[1:2] == ("init",)
    if entry.container is None and entry.shim is not None and not helps:
        contain(entry, (entry.shim,), ts, runtimes)


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
