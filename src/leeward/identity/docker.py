"""Containers as dockerd knows them, from <data root>/containers/<id>/config.v2.json (moby container/container.go) and,
for the digest that the image was pulled by, <data root>/image/<driver>/repositories.json (moby reference/store.go).
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from leeward.identity.cgroup import Candidate
from leeward.identity.state import Found, StateReader, labels
from leeward.model.process import Container

_CONFIG_LIMIT, _REPOSITORIES_LIMIT = 4 << 20, 16 << 20
_ID = re.compile(r"[0-9a-f]{64}")


class _Config(msgspec.Struct, rename="pascal"):
    image: str = ""
    labels: dict[str, str] | None = None


class _Manifest(msgspec.Struct):
    digest: str = ""


class _State(msgspec.Struct, rename="pascal"):
    """config.v2.json. image: the image's id, which is the digest of its configuration. image_manifest: given by the
    containerd image store."""

    name: str = ""
    image: str = ""
    driver: str = ""
    config: _Config | None = None
    image_manifest: _Manifest | None = None


class _Repositories(msgspec.Struct, rename="pascal"):
    """name → reference (with tag or digest) → image id."""

    repositories: dict[str, dict[str, str]] | None = None


def find(candidate: Candidate, roots: tuple[Path, ...], reader: StateReader) -> Found | None:
    """The container in the first data root that has it. image_digest: the manifest's; if unknown, the image id."""
    if not _ID.fullmatch(candidate.id):
        return None
    for root in roots:
        path = root / "containers" / candidate.id / "config.v2.json"
        stamp = reader.stamp(path)
        if not any(stamp):
            continue
        state = reader.json(path, _CONFIG_LIMIT, _State)
        if state is not None:
            return Found(_container(candidate, root, state, reader), path, stamp)
    return None


def _container(candidate: Candidate, root: Path, state: _State, reader: StateReader) -> Container:
    config = state.config or _Config()
    tags = labels(config.labels or {})
    sandbox = tags.get("io.kubernetes.docker.type") == "podsandbox"
    pod_container = "POD" if sandbox else tags.get("io.kubernetes.container.name", "")
    return Container(
        id=candidate.id,
        name=pod_container or state.name.removeprefix("/"),
        image=config.image,
        image_digest=_digest(root, state, config.image, reader),
        runtime="docker",
        labels=tags,
        pod_namespace=tags.get("io.kubernetes.pod.namespace", ""),
        pod_name=tags.get("io.kubernetes.pod.name", ""),
        pod_uid=tags.get("io.kubernetes.pod.uid") or candidate.pod_uid,
    )


def _digest(root: Path, state: _State, image: str, reader: StateReader) -> str:
    if state.image_manifest and state.image_manifest.digest:
        return state.image_manifest.digest
    if "@sha256:" in image:
        return image.rpartition("@")[2]
    if state.driver and re.fullmatch(r"[a-z0-9]{1,32}", state.driver):
        path = root / "image" / state.driver / "repositories.json"
        known = reader.json(path, _REPOSITORIES_LIMIT, _Repositories) or _Repositories()
        for references in (known.repositories or {}).values():
            for reference, image_id in references.items():
                if image_id == state.image and "@sha256:" in reference:
                    return reference.rpartition("@")[2]
    return state.image
