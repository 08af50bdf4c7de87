"""Files of interest: which paths are of which class, and that the kernel's keys find each of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.datafile import Schema, load_yaml
from leeward.model.errors import InputError
from leeward.sensor import layout
from leeward.sensor.files import FILES, READ, WRITE, FileClass, Files, Key, files_of_interest, key_of

RECORD: dict[str, Any] = load_yaml(FILES, Schema.read(FILES.with_name("files.schema.json")))
PATTERNS = [(pattern, entry["access"]) for entry in RECORD["classes"] for pattern in entry["paths"]]
NUMBERS = {key.number(): access for key, access in files_of_interest().keys.items()}


def kernel_finds(path: str, access: int) -> bool:
    """What bpf/system.h does with a path, step by step."""
    *folders, name = path.encode().lstrip(b"/").split(b"/")
    near = folders[::-1][: 8 if access & WRITE else 2]
    keys = [layout.name_key("name", name)]
    dot = name.rfind(b".", -16)
    if dot >= 0:
        keys.append(layout.name_key("suffix", name[dot:]))
    if near:
        keys.append(layout.name_key("pair", name, near[0]))
    keys += [layout.name_key("folder", b"", folder) for folder in near]
    keys += [layout.name_key("folders", lower, upper) for lower, upper in pairwise(near)]
    return any(NUMBERS.get(key, 0) & access for key in keys)


PART = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda text: text not in (".", "..")
)


@st.composite
def path_of(draw: st.DrawFn, pattern: str) -> str:
    """A path that the pattern means."""
    out: list[str] = []
    parts = pattern.strip("/").split("/")
    for at, part in enumerate(parts):
        if part == "**":
            out += draw(st.lists(PART, min_size=int(at == len(parts) - 1), max_size=3))
        elif "*" in part:
            some = st.just("") if part != "*" else PART
            out.append("".join(piece + draw(PART | some) for piece in part.split("*")[:-1]) + part.split("*")[-1])
        else:
            out.append(part)
    return "/" + "/".join(out)


@given(st.data())
def test_the_kernel_never_misses_what_a_pattern_means(data: st.DataObject) -> None:
    pattern, access = data.draw(st.sampled_from(PATTERNS))
    path = data.draw(path_of(pattern))
    assert Files([FileClass("x", access, (pattern,))]).label(path, True) == "x"
    assert kernel_finds(path, WRITE)
    if access == "any":
        assert kernel_finds(path, READ)


@pytest.mark.parametrize(
    ("path", "write", "label"),
    [
        ("/root/.ssh/id_rsa", False, "ssh-key"),
        ("/root/.ssh/id_rsa.pub", False, ""),
        ("/root/.ssh/known_hosts", False, ""),
        ("/home/a/.ssh/authorized_keys", True, "authorized-keys"),
        ("/home/a/.ssh/authorized_keys", False, ""),
        ("/home/a/.aws/credentials", False, "cloud-credential"),
        ("/home/a/project/credentials", False, ""),
        ("/home/a/.aws/sso/cache/0a1b.json", False, "cloud-credential"),
        ("/var/run/secrets/kubernetes.io/serviceaccount/..2024_10/token", False, "kube-credential"),
        ("/srv/app/.env", False, "ai-credential"),
        ("/home/a/.claude/.credentials.json", False, "ai-credential"),
        ("/home/a/.config/google-chrome/Default/Login Data", False, "browser-credential"),
        ("/etc/shadow", False, "shadow"),
        ("/etc/passwd", False, ""),
        ("/etc/passwd", True, "shadow"),
        ("/proc/12/environ", False, "environ"),
        ("/home/a/environ", False, ""),
        ("/proc/12/task/13/mem", True, "memory"),
        ("/w/repo/.claude/skills/a/SKILL.md", True, "agent-config"),
        ("/w/repo/CLAUDE.md", False, ""),
        ("/w/repo/.cursor/rules/deep/er/a.mdc", True, "agent-config"),
        ("/usr/lib/python3/site-packages/evil.pth", True, "python-startup"),
        ("/usr/lib/python3/site-packages/evil.pth", False, ""),
        ("/models/weights.pth", False, "model"),
        ("/etc/systemd/system/multi-user.target.wants/x.service", True, "persistence"),
        ("/repo/.git/hooks/pre-commit", True, "persistence"),
        ("/repo/.git/hooks/pre-commit.sample", True, ""),
        ("/sys/fs/cgroup/rdma/release_agent", True, "container-escape"),
        ("/home/a/\n/.ssh/id_rsa", False, "ssh-key"),
    ],
)
def test_classes(path: str, write: bool, label: str) -> None:
    assert files_of_interest().label(path, write) == label


def test_ordinary_files_are_not_even_looked_at_twice() -> None:
    ordinary = (
        "/usr/lib/python3/site-packages/openai/types/chat.py",
        "/usr/lib/python3/site-packages/kubernetes/client/models/v1_pod.py",
        "/etc/hosts",
        "/repo/.git/config",
        "/var/lib/app/cache/config.json",
        "/etc/ssl/certs/ca-certificates.crt",
    )
    assert [path for path in ordinary if kernel_finds(path, READ)] == []


@pytest.mark.parametrize(
    ("pattern", "access", "key"),
    [
        ("/etc/shadow", "any", Key("pair", "shadow", "etc")),
        ("**/.netrc", "any", Key("name", ".netrc")),
        ("**/.ssh/*", "any", Key("folder", folder=".ssh")),
        ("**/.claude/hooks/**", "write", Key("folders", "hooks", ".claude")),
        ("**/*.gguf", "any", Key("suffix", ".gguf")),
        ("/proc/*/mem", "any", Key("name", "mem")),
    ],
)
def test_keys(pattern: str, access: str, key: Key) -> None:
    assert key_of(pattern, access) == key


@pytest.mark.parametrize("pattern", ["/*/*/*", "**/.ssh/**", "/secret/*/*/*"])
def test_a_pattern_that_the_kernel_cannot_find_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="the kernel cannot find it"):
        key_of(pattern, "any")


def test_a_bad_file_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "files.yaml"
    path.write_text("classes: [{label: x, access: any}]")
    with pytest.raises(InputError, match=r"files.yaml: .*paths"):
        files_of_interest(path)


@given(st.binary(max_size=80))
def test_only_names_of_up_to_64_bytes_have_a_hash(name: bytes) -> None:
    assert (layout.name_hash(name) == 0) == (not 0 < len(name) <= 64)
