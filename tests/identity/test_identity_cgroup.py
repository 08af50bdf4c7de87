"""Tables: what the lines of /proc/PID/cgroup say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.identity.cgroup import NOTHING, Cgroup, parse_cgroup

A, B = "a" * 64, "0123456789abcdef" * 4
UID = "0c5e9d6a-1b2c-4d3e-8f90-112233445566"
UID_ = UID.replace("-", "_")


def facts(*paths: str) -> Cgroup:
    return parse_cgroup("".join(f"{path}\n" for path in paths).encode())


@pytest.mark.parametrize(
    ("path", "ids", "runtime", "pod", "owner"),
    [
        (f"/docker/{A}", [A], "docker", "", -1),
        (f"/system.slice/docker-{A}.scope", [A], "docker", "", -1),
        (f"/system.slice/docker-{A}.scope/init.scope", [A], "docker", "", -1),
        (f"/docker/{A}/docker/{B}", [B, A], "docker", "", -1),
        (f"/system.slice/docker-{A}.scope/docker/{B}/system.slice/ssh.service", [B, A], "", "", -1),
        (f"/kubepods/besteffort/pod{UID}/{A}", [A], "", UID, -1),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{A}.scope",
            [A],
            "containerd",
            UID,
            -1,
        ),
        (f"/kubepods.slice/kubepods-pod{UID_}.slice/crio-{A}.scope", [A], "crio", UID, -1),
        (f"/kubepods.slice/kubepods-pod{UID_}.slice/crio-{A}.scope/container", [A], "crio", UID, -1),
        (f"/kubepods.slice/kubepods-pod{UID_}.slice/crio-{A}.scope/crio-{B}.scope/x", [B, A], "crio", UID, -1),
        (f"/kubepods/pod{UID.replace('-', '')}/crio-{A}", [A], "crio", UID.replace("-", ""), -1),
        (
            f"/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{A}",
            [A],
            "containerd",
            UID,
            -1,
        ),
        (f"/machine.slice/libpod-{A}.scope/container", [A], "podman", "", -1),
        (f"/libpod_parent/libpod-{A}", [A], "podman", "", -1),
        (f"/machine.slice/libpod-conmon-{A}.scope", [], "", "", -1),
        (f"/kubepods.slice/kubepods-pod{UID_}.slice/crio-conmon-{A}.scope", [], "", "", -1),
        (
            f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
            [A],
            "podman",
            "",
            1000,
        ),
        (f"/default/{A}", [A], "", "", -1),
        (f"/../../docker/{A} (deleted)", [A], "docker", "", -1),
        ("/user.slice/user-1000.slice/session-3.scope", [], "", "", -1),
        (f"/docker/{A[:-1]}", [], "", "", -1),
        (f"/docker/{A.upper()}", [], "", "", -1),
    ],
)
def test_container_ids(path: str, ids: list[str], runtime: str, pod: str, owner: int) -> None:
    found = [c for c in facts(f"0::{path}").candidates if c.sure]
    assert [c.id for c in found] == ids
    if ids:
        assert (found[0].runtime, found[0].pod_uid, found[0].owner) == (runtime, pod, owner)


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/default/my-agent", "default", "my-agent"),
        ("/default/my_agent.v2/nested/deeper", "default", "my_agent.v2"),
        ("/process_api/0e8b37e433b6d712872c00a4906a6018", "process_api", "0e8b37e433b6d712872c00a4906a6018"),
        ("/system.slice/foo", "", ""),
        ("/init.scope/foo", "", ""),
        ("/docker/foo", "", ""),
        ("/default", "", ""),
        ("/default/-bad", "", ""),
        ("/default/" + "x" * 77, "", ""),
    ],
)
def test_names_that_plain_containerd_could_have_given(path: str, namespace: str, name: str) -> None:
    found = facts("9:name=systemd:/", f"0::{path}").candidates
    assert [(c.namespace, c.id, c.sure) for c in found] == ([(namespace, name, False)] if name else [])


def test_a_sure_id_on_any_hierarchy_beats_possible_names_on_others() -> None:
    found = facts("4:memory:/process_api/abc", f"1:cpu:/docker/{A}", "0::/")
    assert [c.id for c in found.candidates] == [A]
    assert found.path in ("/process_api/abc", f"/docker/{A}")


def test_the_hierarchy_that_names_the_most_containers_gives_the_order() -> None:
    found = facts(f"0::/docker/{A}", f"9:name=systemd:/docker/{A}/docker/{B}")
    assert [c.id for c in found.candidates] == [B, A]
    assert found.path == f"/docker/{A}/docker/{B}"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/nginx.service/workers", "nginx.service"),
        ("/system.slice/agent.service/nginx.service", "agent.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service", "user-1000/agent.service"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", ""),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-12.scope", ""),
        ("/user.slice/user-1000.slice/session-2.scope", ""),
        ("/user.slice/user-1000.slice/session-2.scope/nginx.service", ""),
        ("/system.slice/run-u12.service", ""),
        ("/system.slice/run-r0123abcd.service", ""),
        ("/system.slice/run-p12-i34.service", ""),
        ("/init.scope", ""),
        ("/mine/nginx.service", ""),
        ("/system.slice/.service", ""),
        ("/", ""),
    ],
)
def test_units(path: str, unit: str) -> None:
    assert facts("4:memory:/", f"9:name=systemd:{path}", "0::/").unit == unit


@pytest.mark.parametrize("raw", [b"", b"\n", b"nonsense", b"0::relative", b"::", b"\xff\xfe:\0:/\xff"])
def test_text_that_says_nothing(raw: bytes) -> None:
    assert parse_cgroup(raw).candidates == ()
    assert parse_cgroup(raw).unit == ""


def test_nothing_is_nothing() -> None:
    assert parse_cgroup(b"") == NOTHING


@given(st.binary(max_size=400))
def test_any_bytes(raw: bytes) -> None:
    parse_cgroup(raw)


_part = st.sampled_from(
    ["docker", A, f"docker-{B}.scope", "user@1000.service", "a.service", "x.slice", f"pod{UID}", ":", "..", "é", " "]
)


@given(st.lists(st.lists(_part, max_size=80), max_size=80))
def test_any_path_is_bounded(lines: list[list[str]]) -> None:
    found = parse_cgroup("\n".join("1:x:/" + "/".join(parts) for parts in lines).encode())
    assert len(found.path) <= 4097
    assert len({c.id for c in found.candidates}) == len(found.candidates)
