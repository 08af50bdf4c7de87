"""From the kernel's records of system calls, ICMP and rights to events; no kernel needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.model.raw import ProcessExec, Stream, SystemCalled
from leeward.sensor import decode, layout
from leeward.sensor.calls import SystemCalls, process_in_namespace, whole
from leeward.sensor.files import files_of_interest
from leeward.sensor.pings import ping_events
from leeward.sensor.rights import parse_rights

READER = SystemCalls(files_of_interest(), lambda pid, number, level: 1000 * level + number)
NOTHING = (0,) * 10


def record(
    kind: str,
    *,
    number: int = 0,
    target: int = 0,
    flags: int = 0,
    level: int = 0,
    rights: tuple[int, ...] = NOTHING,
    stream: tuple[int, ...] = (0, 0, 0, 0),
    name: bytes = b"",
    other: bytes = b"",
    chain: tuple[bytes, ...] = (),
    label: bytes = b"",
) -> bytes:
    texts = [text + b"\0" if text else b"" for text in (name, other)]
    texts.append(b"".join(part + b"\0" for part in chain))
    text = b"".join(texts)
    head = (5, layout.SYSTEM_CALL, 11, number, layout.SYSTEM_KINDS.index(kind), target, flags, level)
    return layout.SYSTEM.pack(*head, *rights, *stream, *map(len, texts), len(text), label) + text


def told(kind: str, **fields: object) -> SystemCalled | None:
    return READER.event(b"before" + record(kind, **fields), 6, 100)  # type: ignore[arg-type]


def test_a_path_from_the_leaf_up() -> None:
    assert told("open", chain=(b"id_rsa", b".ssh", b"root")) == SystemCalled(
        105, 11, "open", "/root/.ssh/id_rsa", label="ssh-key"
    )


def test_a_file_of_no_class_is_left_out() -> None:
    assert told("open", chain=(b"token", b"app")) is None
    assert told("chmod", number=0o755, name=b"/srv/tool") is None


def test_a_block_device_is_told_whatever_it_is_called() -> None:
    event = told("open", number=1, flags=layout.ON_BLOCK_DEVICE, chain=(b"sda", b"dev"))
    assert event is not None
    assert (event.path, event.label, event.number) == ("/dev/sda", "device", 1)


def test_a_relative_path_begins_where_the_process_was() -> None:
    event = told("rename", name=b"../.mcp.json", other=b"new", chain=(b"tmp", b"repo"))
    assert event is not None
    assert (event.path, event.source, event.label) == ("/repo/.mcp.json", "/repo/tmp/new", "agent-config")


@pytest.mark.parametrize(
    ("name", "start", "path"),
    [
        ("/a//b/./c", "/x", "/a/b/c"),
        ("c", "/", "/c"),
        ("../../../c", "/a", "/c"),
        ("//c", "/", "/c"),
        ("", "/a", "/a"),
    ],
)
def test_whole(name: str, start: str, path: str) -> None:
    assert whole(name, start) == path


def test_who_is_meant_in_another_namespace() -> None:
    event = told("vm-write", target=7, flags=layout.TARGET_IN_NAMESPACE, level=2)
    assert event is not None
    assert event.target == 2007
    assert told("vm-write", target=11, flags=layout.TARGET_IN_NAMESPACE) is None  # itself
    assert told("ptrace", target=7, number=16) == SystemCalled(105, 11, "ptrace", number=16, target=7)


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "label"), [(17, 2, 768, "packet"), (2, 3, 1, "raw"), (10, 2, 58, "icmp"), (44, 3, 0, "xdp")]
)  # fmt: skip
def test_sockets(family: int, kind: int, protocol: int, label: str) -> None:
    assert told("socket", number=protocol | family << 32 | kind << 48) == SystemCalled(
        105, 11, "socket", label=label, number=protocol
    )


def test_the_others() -> None:
    rights = (1, 0, 2, 0, 3, 4, 5, 6, 0, 7)
    assert told("identity", rights=rights, label=b"e") == SystemCalled(
        105, 11, "identity", label="exec", before=(1, 0, 2, 3), after=(4, 5, 6, 7)
    )
    assert told("stream", number=1, stream=(9, 8, 2, 0)) == SystemCalled(
        105, 11, "stream", number=1, stream=Stream("unix", 9, 8)
    )
    assert told("memfd", name=b"memfd:x") == SystemCalled(105, 11, "memfd", source="x")
    assert told("mount", number=4096, name=b"/mnt", other=b"/dev/sda", label=b"ext4\0") == SystemCalled(
        105, 11, "mount", "/mnt", "/dev/sda", "ext4", 4096
    )
    assert told("module") == SystemCalled(105, 11, "module")
    assert told("clock") == SystemCalled(105, 11, "clock")


@given(st.binary(min_size=layout.SYSTEM.size, max_size=layout.SYSTEM.size + 64))
def test_any_bytes_are_taken(raw: bytes) -> None:
    event = READER.event(raw, 0, 0)
    assert event is None or isinstance(event, SystemCalled)


def test_an_exec() -> None:
    streams = (5, 0, 1, 0, 6, 7, 2, 0, 0, 0, 6, 0)
    head = (9, layout.EXEC, 11, 50, 10, 1000, 9, 10, 0, 1, 1, 0)
    group = b"docker-1.scope\0left over"
    raw = (
        layout.EXEC_HEAD.pack(*head, *streams, group)
        + b"/bin/true".ljust(512, b"\0")
        + b"true\0-x\0--".ljust(1024, b"\0")
    )
    assert decode.record(raw, 0, 100) == ProcessExec(
        109, 11, 10, 50, 1000, "/bin/true", ("true", "-x", "--"), False,
        (Stream("socket", 5), Stream("unix", 6, 7), Stream("null")), "memfd", 0, True,
        cgroup="docker-1.scope",
    )  # fmt: skip


def test_what_a_number_means_in_another_namespace(tmp_path: Path) -> None:
    for pid, numbers, space in ((20, "20 1", "a"), (21, "21 5", "a"), (22, "22 5", "b"), (23, "23", "host")):
        folder = tmp_path / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "status").write_text(f"Name:\tx y\nTgid:\t{pid}\nNStgid:\t{numbers.replace(' ', chr(9))}\n")
        (folder / "ns/pid").symlink_to(f"pid:[{space}]")
    assert process_in_namespace(20, 5, 1, tmp_path) == 21
    assert process_in_namespace(22, 5, 1, tmp_path) == 22
    assert process_in_namespace(20, 9, 1, tmp_path) == 0
    assert process_in_namespace(20, 23, 0, tmp_path) == 23
    assert process_in_namespace(20, 99, 0, tmp_path) == 0


def test_rights_of_a_status_file() -> None:
    status = b"Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nCapInh:\t0\nCapEff:\t00000000a80425fb\nCapBnd:\t0\n"
    assert parse_rights(status) == layout.RIGHTS.pack(1, 2, 5, 0, 0xA80425FB, 0)
    assert parse_rights(b"Name:\tx\n") is None


@given(st.binary(max_size=200))
def test_rights_of_any_bytes(raw: bytes) -> None:
    assert parse_rights(raw) is None or len(parse_rights(raw) or b"") == layout.RIGHTS.size


def ping(sock: int, sent: int) -> tuple[bytes, bytes]:
    key = layout.FLOW_KEY.pack(sock, bytes((192, 0, 2, 1)).ljust(16, b"\0"), 0, 0)
    return key, layout.PINGED.pack(sent, 1, 11, 4)


def test_pings_are_told_by_what_came_since() -> None:
    events, before = ping_events([ping(1, 100), ping(2, 50)], {}, 7)
    assert events == [SystemCalled(7, 11, "icmp", "192.0.2.1", number=n) for n in (100, 50)]
    events, before = ping_events([ping(1, 130), ping(2, 50)], before, 8)
    assert events == [SystemCalled(8, 11, "icmp", "192.0.2.1", number=30)]
    events, _ = ping_events([ping(1, 20)], before, 9)  # the kernel let the entry go meanwhile
    assert [e.number for e in events] == [20]
