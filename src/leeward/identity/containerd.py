"""Containers as containerd knows them, from its files: the OCI spec of a running task, and image, labels and digest
from its metadata database. Needs neither its socket nor its client; works for CRI, nerdctl, ctr, and dockerd's "moby".

Layout: runtime v2 tasks are in <state>/io.containerd.runtime.v2.task/<namespace>/<id>/ (containerd
runtime/v2/manager.go), metadata buckets are v1/<namespace>/{containers,images}/... (containerd metadata/buckets.go).
A container is found only if its task directory is there: names from cgroup paths are never believed alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from leeward.identity.bolt import Bucket, read_bolt
from leeward.identity.cgroup import IDENTIFIER, Candidate
from leeward.identity.procfs import text
from leeward.identity.state import LABELS, Found, StateReader, labels
from leeward.model.process import Container

TASKS = "io.containerd.runtime.v2.task"
METADATA = "io.containerd.metadata.v1.bolt/meta.db"

_SPEC_LIMIT = 4 << 20
_NAMESPACES = 64

_CRI = "io.kubernetes.cri."
"""Prefix of the CRI plugin's annotations (containerd pkg/cri/annotations)."""


class _Spec(msgspec.Struct):
    """Of the OCI runtime specification's config.json, what is needed."""

    annotations: dict[str, Any] | None = None


class _Record(msgspec.Struct):
    """What the metadata database says of a container."""

    image: str = ""
    digest: str = ""
    labels: dict[str, str] = {}


def find(candidate: Candidate, places: tuple[tuple[Path, Path], ...], reader: StateReader) -> Found | None:
    """The container in the first place that has a task of this id."""
    if not IDENTIFIER.fullmatch(candidate.id):
        return None
    for state, root in places:
        for namespace in _namespaces(candidate, state / TASKS, reader):
            spec_path = state / TASKS / namespace / candidate.id / "config.json"
            stamp = reader.stamp(spec_path)
            if not any(stamp):
                continue
            spec = reader.json(spec_path, _SPEC_LIMIT, _Spec) or _Spec()
            notes = labels(spec.annotations or {})
            record = _record(root / METADATA, namespace, candidate.id, notes, reader)
            return Found(_container(candidate, namespace, notes, record), spec_path, stamp)
    return None


def _namespaces(candidate: Candidate, tasks: Path, reader: StateReader) -> list[str]:
    if candidate.namespace:
        return [candidate.namespace] if IDENTIFIER.fullmatch(candidate.namespace) else []
    return [name for name in sorted(reader.names(tasks, _NAMESPACES)) if IDENTIFIER.fullmatch(name)]


def _record(database: Path, namespace: str, name: str, notes: dict[str, str], reader: StateReader) -> _Record:
    """Image, digest and labels; a pod's labels (kept with its sandbox) stand below the container's own."""
    sandbox = notes.get(_CRI + "sandbox-id", "")
    asked = notes.get(_CRI + "image-name", "")

    def question(root: Bucket) -> _Record:
        here = root.bucket(b"v1", namespace.encode())
        containers = here.bucket(b"containers") if here else None
        own = containers.bucket(name.encode()) if containers else None
        if here is None or containers is None or own is None:
            return _Record()
        image = text(own.get(b"image") or b"")
        record = _Record(image=image or asked)
        if sandbox and sandbox != name:
            record.labels |= _labels(containers.bucket(sandbox.encode(), b"labels"))
        record.labels |= _labels(own.bucket(b"labels"))
        for image in (record.image, asked):
            target = here.bucket(b"images", image.encode(), b"target") if image else None
            if target and not record.digest:
                record.digest = text(target.get(b"digest") or b"")[:256]
        return record

    return read_bolt(database, question, reader.counters) or _Record(image=asked)


def _labels(bucket: Bucket | None) -> dict[str, str]:
    return labels({text(key): text(value) for key, value in bucket.items(LABELS)}) if bucket else {}


def _container(candidate: Candidate, namespace: str, notes: dict[str, str], record: _Record) -> Container:
    tags = labels(record.labels)
    name = notes.get(_CRI + "container-name") or tags.get("io.kubernetes.container.name") or tags.get("nerdctl/name")
    if notes.get(_CRI + "container-type") == "sandbox":
        name = "POD"  # what the kubelet calls the container that holds a pod's namespaces
    return Container(
        id=candidate.id,
        name=name or candidate.id,
        image=notes.get(_CRI + "image-name") or record.image,
        image_digest=record.digest,
        runtime="docker" if namespace == "moby" else "containerd",
        labels=tags,
        pod_namespace=notes.get(_CRI + "sandbox-namespace") or tags.get("io.kubernetes.pod.namespace", ""),
        pod_name=notes.get(_CRI + "sandbox-name") or tags.get("io.kubernetes.pod.name", ""),
        pod_uid=notes.get(_CRI + "sandbox-uid") or tags.get("io.kubernetes.pod.uid") or candidate.pod_uid,
    )
