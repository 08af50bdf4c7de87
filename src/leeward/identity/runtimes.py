"""Container ids to containers: asks the readers of Docker, containerd, Podman and CRI-O, and remembers the answers.

Invariant: the cache is bounded; a container stays known after its runtime forgot it; when the file that described it
changes it is read again (ctr names may be used again); "not found" is asked again after a while of event time.
A rootless container is looked for only in its owner's home, a system's never there: no user can describe another's.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from pathlib import Path
from typing import TypeVar

from leeward.identity import containerd, docker, storage
from leeward.identity.cgroup import Candidate
from leeward.identity.state import Found, RuntimePaths, StateReader
from leeward.identity.users import Users
from leeward.model.process import Container

T = TypeVar("T")

RETRY_NS = 3 * 10**9
"""Event time after which a container that was not found is looked for again."""


class RuntimeReaders:
    """Counters: runtime_* and bolt_* for reads; container_found, container_not_found, container_changed,
    containers_evicted."""

    def __init__(
        self,
        paths: RuntimePaths | None = None,
        users: Users | None = None,
        *,
        root: Path = Path("/"),
        limit: int = 4096,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._root, self._limit = root, limit
        self._paths = paths or RuntimePaths().under(root)
        self._users = users or Users(root / "etc/passwd")
        self._reader = StateReader(self.counters)
        self._known: OrderedDict[Candidate, Found] = OrderedDict()
        self._missing: OrderedDict[Candidate, int] = OrderedDict()

    def find(self, candidate: Candidate, ts: int) -> Container | None:
        """The container of this id, None when no runtime on this host says that it exists."""
        known = self._known.get(candidate)
        if known is not None:
            stamp = self._reader.stamp(known.evidence)
            if stamp == known.stamp or not any(stamp):
                self._known.move_to_end(candidate)
                return known.container
            self.counters["container_changed"] += 1
        elif ts < self._missing.get(candidate, ts):
            return None
        found = self._ask(candidate)
        if found is None:
            self.counters["container_not_found"] += 1
            self._keep(self._missing, candidate, ts + RETRY_NS)
            return known.container if known else None
        self.counters["container_found"] += 1
        self._missing.pop(candidate, None)
        self._keep(self._known, candidate, found)
        return found.container

    def _keep(self, cache: OrderedDict[Candidate, T], candidate: Candidate, value: T) -> None:
        cache[candidate] = value
        cache.move_to_end(candidate)
        if len(cache) > self._limit:
            cache.popitem(last=False)
            self.counters["containers_evicted"] += 1

    def _ask(self, candidate: Candidate) -> Found | None:
        if candidate.owner >= 0:
            return self._ask_user(candidate)
        paths, reader = self._paths, self._reader
        return (
            docker.find(candidate, paths.docker, reader)
            or containerd.find(candidate, paths.containerd, reader)
            or storage.find(candidate, paths.storage, reader)
        )

    def _ask_user(self, candidate: Candidate) -> Found | None:
        """Rootless Podman and Docker keep their state in the user's home."""
        home = self._users.home(candidate.owner)
        if not home:
            return None
        share = self._root / home.lstrip("/") / ".local/share"
        run = self._root / f"run/user/{candidate.owner}/containers"
        return storage.find(candidate, ((share / "containers/storage", run),), self._reader) or docker.find(
            candidate, (share / "docker",), self._reader
        )
