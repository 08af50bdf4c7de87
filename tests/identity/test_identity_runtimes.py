"""Each runtime's state, built as that runtime writes it, and what is remembered of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_bolt import write_bolt
from identity_proc import Host, at, state_reader

from leeward.identity.cgroup import Candidate
from leeward.identity.runtimes import RETRY_NS, RuntimeReaders
from leeward.identity.state import LABEL_VALUE, LABELS, labels

A, B = "a" * 64, "b" * 64
TASKS = "/run/containerd/io.containerd.runtime.v2.task"
META = "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"
DIGEST = "sha256:" + "1" * 64
NOW = at(10)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def metadata(host: Host, namespace: str, containers: dict[str, dict[bytes, Any]]) -> None:
    images = {b"docker.io/a/b:1": {b"target": {b"digest": DIGEST.encode(), b"size": b"\1"}}}
    found = {name.encode(): bucket for name, bucket in containers.items()}
    write_bolt(host.root / META, {b"v1": {namespace.encode(): {b"containers": found, b"images": images}}})


def test_ctr_container(host: Host) -> None:
    host.json(f"{TASKS}/default/my-agent/config.json", {"ociVersion": "1.0.2", "annotations": {"x": "y"}})
    record = {b"image": b"docker.io/a/b:1", b"labels": {b"team": b"ai"}, b"spec": b"S" * 9000}
    metadata(host, "default", {"my-agent": record})
    found = host.runtimes().find(Candidate("my-agent", "containerd", "default", sure=False), NOW)
    assert found is not None
    assert (found.name, found.runtime) == ("my-agent", "containerd")
    assert (found.image, found.image_digest) == ("docker.io/a/b:1", DIGEST)
    assert found.labels == {"team": "ai"}


def test_cri_container_with_its_pods_labels(host: Host) -> None:
    notes = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": "app",
        "io.kubernetes.cri.sandbox-id": B,
        "io.kubernetes.cri.sandbox-name": "chat-7d9c6bd6b8-x2x5q",
        "io.kubernetes.cri.sandbox-namespace": "prod",
        "io.kubernetes.cri.sandbox-uid": "u-1",
        "io.kubernetes.cri.image-name": "docker.io/a/b:1",
    }
    host.json(f"{TASKS}/k8s.io/{A}/config.json", {"annotations": notes})
    own, pod = {b"image": b"sha256:77", b"labels": {b"a": b"own"}}, {b"labels": {b"a": b"pod", b"app": b"chat"}}
    metadata(host, "k8s.io", {A: own, B: pod})
    found = host.runtimes().find(Candidate(A, "containerd"), NOW)
    assert found is not None
    assert (found.name, found.pod_namespace, found.pod_uid) == ("app", "prod", "u-1")
    assert found.pod_name == "chat-7d9c6bd6b8-x2x5q"
    assert (found.image, found.image_digest) == ("docker.io/a/b:1", DIGEST)
    assert found.labels == {"a": "own", "app": "chat"}


def test_cri_sandbox_and_nerdctl(host: Host) -> None:
    host.json(f"{TASKS}/k8s.io/{B}/config.json", {"annotations": {"io.kubernetes.cri.container-type": "sandbox"}})
    host.json(f"{TASKS}/default/{A}/config.json", {})
    metadata(host, "default", {A: {b"image": b"docker.io/a/b:1", b"labels": {b"nerdctl/name": b"agent"}}})
    sandbox, nerdctl = (host.runtimes().find(Candidate(name), NOW) for name in (B, A))
    assert sandbox is not None
    assert sandbox.name == "POD"
    assert nerdctl is not None
    assert nerdctl.name == "agent"


def test_containerd_without_its_database(host: Host) -> None:
    host.json(f"{TASKS}/default/x/config.json", {"annotations": None})
    readers = host.runtimes()
    found = readers.find(Candidate("x", "containerd", "default", sure=False), NOW)
    assert found is not None
    assert (found.name, found.image) == ("x", "")
    assert readers.counters["bolt_gone"] == 1


@pytest.mark.parametrize(
    "candidate", [Candidate("../x"), Candidate("a/b"), Candidate(""), Candidate("x", namespace="..")]
)
def test_names_that_would_leave_the_directory(host: Host, candidate: Candidate) -> None:
    host.json("/run/containerd/io.containerd.runtime.v2.task/x/config.json", {})
    host.json("/run/containerd/x/config.json", {})
    assert host.runtimes().find(candidate, NOW) is None


def docker_state(host: Host, base: str = "/var/lib/docker", **more: Any) -> Path:
    config = {"Image": "a/b:1", "Labels": {"com.docker.compose.project": "p"}, "Env": ["X=1"], "Cmd": None}
    state = {"ID": A, "Name": "/agent", "Image": "sha256:77", "Driver": "overlay2", "Config": config}
    return host.json(f"{base}/containers/{A}/config.v2.json", state | {"State": {"Pid": 1}} | more)


def test_docker(host: Host) -> None:
    docker_state(host)
    found = host.runtimes().find(Candidate(A, "docker"), NOW)
    assert found is not None
    assert (found.name, found.image, found.image_digest, found.runtime) == ("agent", "a/b:1", "sha256:77", "docker")
    assert found.labels == {"com.docker.compose.project": "p"}


def test_docker_digest_by_repository_and_by_manifest(host: Host) -> None:
    references = {"a/b:1": "sha256:77", f"a/b@{DIGEST}": "sha256:77"}
    host.json("/var/lib/docker/image/overlay2/repositories.json", {"Repositories": {"a/b": references}})
    docker_state(host)
    by_repository = host.runtimes().find(Candidate(A, "docker"), NOW)
    docker_state(host, ImageManifest={"digest": "sha256:99", "size": 1})
    by_manifest = host.runtimes().find(Candidate(A, "docker"), NOW)
    assert by_repository is not None
    assert by_manifest is not None
    assert (by_repository.image_digest, by_manifest.image_digest) == (DIGEST, "sha256:99")


def test_docker_beats_containerds_view_of_the_same_container(host: Host) -> None:
    host.json(f"{TASKS}/moby/{A}/config.json", {})
    docker_state(host)
    found = host.runtimes().find(Candidate(A, "docker"), NOW)
    assert found is not None
    assert found.name == "agent"


def stored(base: Path | str, host: Host, index: str = "containers.json") -> None:
    metadata = {"image-name": "docker.io/a/b:1", "image-id": "77", "name": "agent", "created-at": 1}
    entry = {"id": A, "names": ["agent"], "image": "77", "layer": "l", "metadata": json.dumps(metadata), "flags": {}}
    host.json(f"{base}/overlay-containers/{index}", [{"id": B}, entry])
    host.json(f"{base}/overlay-images/images.json", [{"id": "77", "digest": DIGEST, "names": None}])


@pytest.mark.parametrize("index", ["containers.json", "volatile-containers.json"])
def test_podman(host: Host, index: str) -> None:
    stored("/var/lib/containers/storage", host, index)
    config = {"id": A, "labels": {"team": "ai"}, "rootfsImageName": "docker.io/a/b:1"}
    tree = {b"ctr": {A.encode(): {b"config": json.dumps(config).encode()}}}
    write_bolt(host.root / "var/lib/containers/storage/libpod/bolt_state.db", tree)
    found = host.runtimes().find(Candidate(A, "podman"), NOW)
    assert found is not None
    assert (found.name, found.runtime) == ("agent", "podman")
    assert (found.image, found.image_digest) == ("docker.io/a/b:1", DIGEST)
    assert found.labels == {"team": "ai"}


def test_crio(host: Host) -> None:
    stored("/var/lib/containers/storage", host)
    notes = {
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.ImageName": "quay.io/a/b:2",
        "io.kubernetes.cri-o.Labels": '{"app":"chat"}',
        "io.kubernetes.container.name": "app",
        "io.kubernetes.pod.name": "chat-0",
        "io.kubernetes.pod.namespace": "prod",
        "io.kubernetes.pod.uid": "u-1",
    }
    host.json(f"/run/containers/storage/overlay-containers/{A}/userdata/config.json", {"annotations": notes})
    found = host.runtimes().find(Candidate(A, "crio"), NOW)
    assert found is not None
    assert (found.runtime, found.name, found.pod_namespace, found.pod_name) == ("crio", "app", "prod", "chat-0")
    assert (found.image, found.image_digest, found.labels) == ("quay.io/a/b:2", DIGEST, {"app": "chat"})


def test_rootless_state_speaks_only_for_its_owner(host: Host) -> None:
    stored("/home/ana/.local/share/containers/storage", host)
    readers = host.runtimes()
    assert readers.find(Candidate(A, "podman"), NOW) is None
    assert readers.find(Candidate(A, "podman", owner=0), NOW) is None
    found = readers.find(Candidate(A, "podman", owner=1000), NOW)
    assert found is not None
    assert found.name == "agent"


def test_a_user_cannot_take_a_systems_container_id(host: Host) -> None:
    docker_state(host)
    assert host.runtimes().find(Candidate(A, "docker", owner=1000), NOW) is None


def test_rootless_docker(host: Host) -> None:
    docker_state(host, "/home/ana/.local/share/docker")
    found = host.runtimes().find(Candidate(A, "docker", owner=1000), NOW)
    assert found is not None
    assert found.name == "agent"


def test_not_found_is_asked_again_after_a_while(host: Host) -> None:
    readers, candidate = host.runtimes(), Candidate(A, "docker")
    assert readers.find(candidate, NOW) is None
    docker_state(host)
    assert readers.find(candidate, NOW + RETRY_NS - 1) is None
    assert readers.find(candidate, NOW + RETRY_NS) is not None
    assert readers.counters["container_not_found"] == 1


def test_a_container_stays_known_when_its_state_is_gone(host: Host) -> None:
    path = docker_state(host)
    readers, candidate = host.runtimes(), Candidate(A, "docker")
    found = readers.find(candidate, NOW)
    path.unlink()
    assert readers.find(candidate, NOW + 60 * RETRY_NS) == found
    assert readers.counters["container_found"] == 1


def test_a_name_used_again_is_read_again(host: Host) -> None:
    readers, candidate = host.runtimes(), Candidate("agent", "containerd", "default", sure=False)
    path = host.json(f"{TASKS}/default/agent/config.json", {})
    metadata(host, "default", {"agent": {b"image": b"docker.io/a/b:1"}})
    first = readers.find(candidate, NOW)
    metadata(host, "default", {"agent": {b"image": b"docker.io/a/b:2"}})
    assert readers.find(candidate, NOW) == first
    os.utime(path, ns=(5, 5))
    second = readers.find(candidate, NOW)
    assert second is not None
    assert second.image == "docker.io/a/b:2"
    assert readers.counters["container_changed"] == 1


def test_the_caches_are_bounded(host: Host) -> None:
    readers = host.runtimes(limit=3)
    for n in range(10):
        host.json(f"{TASKS}/default/c{n}/config.json", {})
        assert readers.find(Candidate(f"c{n}", "containerd", "default", sure=False), NOW) is not None
        assert readers.find(Candidate(f"none{n}"), NOW) is None
    assert readers.counters["containers_evicted"] == 14
    assert readers.find(Candidate("c9", "containerd", "default", sure=False), NOW) is not None


def test_labels_are_bounded() -> None:
    many = {f"k{n}": "v" * (LABEL_VALUE + 1) for n in range(LABELS + 5)} | {"x" * 999: "v"}
    kept = labels(many | {1: "x", "y": 2})
    assert (len(kept), {len(value) for value in kept.values()}) == (LABELS, {LABEL_VALUE})


_KEYS = st.sampled_from(["annotations", "Name", "Config", "id", "labels", "Image", "metadata"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(_json.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60)))
def test_any_state(tmp_path: Path, raw: bytes) -> None:
    for path in (
        f"{TASKS}/default/{A}/config.json",
        f"/var/lib/docker/containers/{A}/config.v2.json",
        "/var/lib/containers/storage/overlay-containers/containers.json",
        "/var/lib/docker/image/overlay2/repositories.json",
    ):
        target = tmp_path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
    (tmp_path / "etc").mkdir(exist_ok=True)
    RuntimeReaders(root=tmp_path).find(Candidate(A), NOW)


def test_deep_json_and_too_much_of_it(host: Host) -> None:
    reader = state_reader()
    path = host.root / "deep"
    path.write_text('{"annotations":' + "[" * 100_000)
    assert reader.json(path, 1 << 20, dict) is None
    assert reader.json(path, 100, dict) is None
    assert (reader.counters["runtime_malformed"], reader.counters["runtime_too_large"]) == (1, 1)
