"""What the readers of runtimes' state share: where state lies, what a reader finds, and bounded JSON.

Invariant: what comes out of a file is bounded (label count and sizes), whatever is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from leeward.identity.procfs import Reader
from leeward.model.process import Container

T = TypeVar("T")

LABELS, LABEL_NAME, LABEL_VALUE = 128, 256, 4096
"""Labels kept of a container, and characters kept of a name and a value."""


class RuntimePaths(msgspec.Struct, frozen=True):
    """Where runtimes keep their state. containerd: (state, root) pairs, as in its configuration; the first that knows
    a container wins. docker: data roots. storage: (graph root, run root) of containers/storage (Podman, CRI-O)."""

    containerd: tuple[tuple[Path, Path], ...] = (
        (Path("/run/containerd"), Path("/var/lib/containerd")),
        (Path("/run/docker/containerd/daemon"), Path("/var/lib/docker/containerd/daemon")),
        (Path("/run/k3s/containerd"), Path("/var/lib/rancher/k3s/agent/containerd")),
        (Path("/var/snap/microk8s/common/run/containerd"), Path("/var/snap/microk8s/common/var/lib/containerd")),
    )
    docker: tuple[Path, ...] = (Path("/var/lib/docker"),)
    storage: tuple[tuple[Path, Path], ...] = ((Path("/var/lib/containers/storage"), Path("/run/containers/storage")),)

    def under(self, root: Path) -> RuntimePaths:
        """The same places in another root directory."""

        def move(path: Path) -> Path:
            return root / path.relative_to("/")

        return RuntimePaths(
            tuple((move(state), move(data)) for state, data in self.containerd),
            tuple(move(data) for data in self.docker),
            tuple((move(graph), move(run)) for graph, run in self.storage),
        )


class Found(msgspec.Struct, frozen=True):
    """A container, and the file that says so with its stamp: when that changes, it may be another container."""

    container: Container
    evidence: Path
    stamp: tuple[int, int, int]


def labels(raw: Mapping[Any, Any]) -> dict[str, str]:
    """The text-to-text part of `raw`, cut at the limits."""
    kept: dict[str, str] = {}
    for name, value in raw.items():
        if len(kept) == LABELS:
            break
        if isinstance(name, str) and isinstance(value, str) and len(name) <= LABEL_NAME:
            kept[name] = value[:LABEL_VALUE]
    return kept


class StateReader:
    """Bounded reads of state files. Counters have the prefix "runtime"; absent files are ordinary, so "runtime_gone"
    only says how often readers looked in vain."""

    def __init__(self, counters: Counter[str]) -> None:
        self.counters = counters
        self._reader = Reader("runtime", counters)
        self.stamp = self._reader.stamp
        self.names = self._reader.names

    def json(self, path: Path, limit: int, shape: type[T]) -> T | None:
        """The file as `shape`; None when it is absent, too large, not JSON or of another shape."""
        raw = self._reader.file(path, limit + 1)
        if raw is None:
            return None
        if len(raw) > limit:
            self.counters["runtime_too_large"] += 1
            return None
        return self.decode(raw, shape)

    def decode(self, raw: bytes | str, shape: type[T]) -> T | None:
        """None and a counter when it is not JSON of this shape."""
        try:
            return msgspec.json.decode(raw, type=shape)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.counters["runtime_malformed"] += 1
            return None
