"""Containers as Podman and CRI-O know them, from containers/storage: <graph root>/<driver>-containers/containers.json
(volatile-containers.json for `--rm`), the image's entry in <driver>-images/images.json, and the OCI spec in
userdata/config.json (containers/storage containers.go, images.go; cri-o pkg/annotations).

Podman keeps labels in its own database only: for 4.x that is read here (libpod/bolt_state.db); newer ones use SQLite,
which cannot be read beside its writer without joining its locks, so there labels stay empty.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from leeward.identity.bolt import Bucket, read_bolt
from leeward.identity.cgroup import Candidate
from leeward.identity.state import Found, StateReader, labels
from leeward.model.process import Container

DRIVERS = ("overlay", "vfs", "btrfs", "zfs")

_INDEX_LIMIT, _SPEC_LIMIT = 16 << 20, 4 << 20
_ID = re.compile(r"[0-9a-f]{64}")
_CRIO, _KUBE = "io.kubernetes.cri-o.", "io.kubernetes."


class _Stored(msgspec.Struct):
    """An entry of containers.json. metadata: JSON in a string."""

    id: str = ""
    names: list[str] | None = None
    image: str = ""
    metadata: str = ""


class _Image(msgspec.Struct):
    id: str = ""
    digest: str = ""


class _Metadata(msgspec.Struct, rename="kebab"):
    image_name: str = ""
    name: str = ""
    pod_name: str = ""


class _Spec(msgspec.Struct):
    annotations: dict[str, Any] | None = None


class _Libpod(msgspec.Struct, rename="camel"):
    """Of Podman's ContainerConfig (libpod/container_config.go)."""

    labels: dict[str, str] | None = None
    rootfs_image_name: str = ""


def find(candidate: Candidate, places: tuple[tuple[Path, Path], ...], reader: StateReader) -> Found | None:
    """The container in the first place that lists it."""
    if not _ID.fullmatch(candidate.id):
        return None
    for graph, run in places:
        for driver in DRIVERS:
            containers = graph / f"{driver}-containers"
            for index in (containers / "containers.json", containers / "volatile-containers.json"):
                stamp = reader.stamp(index)
                entries = (reader.json(index, _INDEX_LIMIT, list[_Stored]) or []) if any(stamp) else []
                stored = next((entry for entry in entries if entry.id == candidate.id), None)
                if stored is not None:
                    return _found(candidate, stored, graph, run, driver, reader)
    return None


def _found(candidate: Candidate, stored: _Stored, graph: Path, run: Path, driver: str, reader: StateReader) -> Found:
    directory = graph / f"{driver}-containers" / candidate.id
    spec_path = run / f"{driver}-containers" / candidate.id / "userdata" / "config.json"
    spec = reader.json(spec_path, _SPEC_LIMIT, _Spec)
    if spec is None:
        spec = reader.json(directory / "userdata" / "config.json", _SPEC_LIMIT, _Spec) or _Spec()
    notes = labels(spec.annotations or {})
    metadata = (reader.decode(stored.metadata, _Metadata) if stored.metadata else None) or _Metadata()
    images = reader.json(graph / f"{driver}-images" / "images.json", _INDEX_LIMIT, list[_Image]) or []
    digest = next((image.digest for image in images if image.id == stored.image), "")
    if any(note.startswith(_CRIO) for note in notes):
        container = _crio(candidate, metadata, notes, digest, reader)
    else:
        container = _podman(candidate, stored, metadata, digest, graph, reader)
    return Found(container, directory, reader.stamp(directory))


def _crio(
    candidate: Candidate, metadata: _Metadata, notes: dict[str, str], digest: str, reader: StateReader
) -> Container:
    sandbox = notes.get(_CRIO + "ContainerType") == "sandbox"
    kept = notes.get(_CRIO + "Labels")
    tags = labels((reader.decode(kept, dict[str, Any]) if kept else None) or {})
    return Container(
        id=candidate.id,
        name="POD" if sandbox else notes.get(_KUBE + "container.name") or metadata.name,
        image=notes.get(_CRIO + "ImageName") or metadata.image_name,
        image_digest=digest,
        runtime="crio",
        labels=tags,
        pod_namespace=notes.get(_KUBE + "pod.namespace") or notes.get(_CRIO + "Namespace", ""),
        pod_name=notes.get(_KUBE + "pod.name") or notes.get(_CRIO + "KubeName") or metadata.pod_name,
        pod_uid=notes.get(_KUBE + "pod.uid") or candidate.pod_uid,
    )


def _podman(
    candidate: Candidate, stored: _Stored, metadata: _Metadata, digest: str, graph: Path, reader: StateReader
) -> Container:
    config = _libpod(graph / "libpod" / "bolt_state.db", candidate.id, reader)
    name = metadata.name or next(iter(stored.names or []), "")
    return Container(
        id=candidate.id,
        name=name,
        image=config.rootfs_image_name or metadata.image_name,
        image_digest=digest,
        runtime="podman",
        labels=labels(config.labels or {}),
        pod_uid=candidate.pod_uid,
    )


def _libpod(database: Path, container_id: str, reader: StateReader) -> _Libpod:
    """Podman 4's record of a container: bucket ctr/<id>, key config (libpod/boltdb_state.go)."""
    if not any(reader.stamp(database)):
        return _Libpod()

    def question(root: Bucket) -> bytes:
        bucket = root.bucket(b"ctr", container_id.encode())
        return (bucket.get(b"config") if bucket else None) or b""

    raw = read_bolt(database, question, reader.counters)
    return (reader.decode(raw, _Libpod) if raw else None) or _Libpod()
