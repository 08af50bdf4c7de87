"""Parsers take any bytes; reads are bounded, never block, follow no last link, and count what they could not do."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.identity.procfs import ARGV_LIMIT, ProcFs, Reader, Stat, parse_cmdline, parse_link, parse_stat, parse_uid
from leeward.identity.users import Users, parse_passwd

STAT = b"42 (a) b (c) S 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 1234 1 2\n"


def test_stat() -> None:
    assert parse_stat(STAT) == Stat("a) b (c", "S", 7, False, 3, 1234)
    assert parse_stat(STAT.replace(b"4194560", b"2129984")) == Stat("a) b (c", "S", 7, True, 3, 1234)


@pytest.mark.parametrize(
    "raw", [b"", b"42 a S 7", STAT[:40], STAT.replace(b" 7 ", b" x "), STAT.replace(b"1234", b"9" * 30)]
)
def test_stat_that_is_none(raw: bytes) -> None:
    assert parse_stat(raw) is None


@pytest.mark.parametrize(
    ("raw", "uid"),
    [
        (b"Name:\tx\nUid:\t1000\t0\t0\t0\n", 1000),
        (b"Name:\tUid:\t5\nUid:\t33\t33\t33\t33\n", 33),
        (b"", -1),
        (b"\nUid:", -1),
        (b"\nUid:\tx", -1),
    ],
)
def test_uid(raw: bytes, uid: int) -> None:
    assert parse_uid(raw) == uid


def test_cmdline_and_links() -> None:
    assert parse_cmdline(b"a\0\0b c\0") == ("a", "", "b c")
    assert parse_cmdline(b"\0\0") == ()
    assert parse_cmdline(b"\xff\0") == ("?",)
    assert parse_link("/bin/x (deleted)") == "/bin/x"
    assert parse_link("(unreachable)/a") == "/a"
    assert parse_link(os.fsdecode(b"/\xff")) == "/?"


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    parse_stat(raw)
    parse_stat(b"1 (" + raw + b") " + raw)
    assert -1 <= parse_uid(b"\nUid:" + raw) < 1 << 32
    for word in parse_cmdline(raw):
        word.encode()
    parse_passwd(raw)
    parse_link(os.fsdecode(raw)).encode()


def test_a_large_file_is_cut(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "cmdline").write_bytes(b"x" * (ARGV_LIMIT + 1))
    files = ProcFs(tmp_path, Counter()).process(7)
    assert files is not None
    with files:
        assert len(files.argv()[0]) == ARGV_LIMIT


@pytest.mark.timeout(10)
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    counters: Counter[str] = Counter()
    reader = Reader("t", counters)
    assert [reader.file(tmp_path / name, 10) for name in ("fifo", "link", "none", ".")] == [None] * 4
    assert reader.file(tmp_path / "none" / ("x" * 300), 10) is None
    assert counters == {"t_odd_path": 3, "t_gone": 2}


@pytest.mark.parametrize(
    ("code", "name"), [(errno.ESRCH, "t_gone"), (errno.EACCES, "t_denied"), (errno.EIO, "t_unreadable")]
)
def test_expected_failures_are_counted(code: int, name: str) -> None:
    counters: Counter[str] = Counter()
    Reader("t", counters).failed(OSError(code, "x"))
    assert counters == {name: 1}


def test_our_own_failures_are_raised() -> None:
    with pytest.raises(OSError, match="too many"):
        Reader("t", Counter()).failed(OSError(errno.EMFILE, "too many"))


def test_the_files_of_a_process_stay_its_own(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text("0::/old\n")
    files = ProcFs(tmp_path, Counter()).process(7)
    assert files is not None
    with files:
        (tmp_path / "7").rename(tmp_path / "old")
        (tmp_path / "7").mkdir()
        (tmp_path / "7/cgroup").write_text("0::/new\n")
        assert files.cgroup() == b"0::/old\n"


def test_this_process() -> None:
    files = ProcFs(Path("/proc"), Counter()).process(os.getpid())
    assert files is not None
    with files:
        stat = files.stat()
        assert stat is not None
        assert (stat.ppid, files.uid(), files.cwd()) == (os.getppid(), os.getuid(), os.getcwd())
        assert files.exe() == os.path.realpath("/proc/self/exe")


def test_users(tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0::/root:/bin/sh\n# no\nbad:x:y:0::/\ntoor:x:0:0::/t:/bin/sh\n")
    users = Users(passwd)
    assert [users.name(uid) for uid in (0, 5, -1)] == ["root", "5", ""]
    assert (users.home(0), users.home(5)) == ("/root", "")
    passwd.write_text("root:x:0:0::/root:/bin/sh\nana:x:5:5:Ana:/home/ana:/bin/sh\n")
    assert (users.name(5), users.home(5)) == ("ana", "/home/ana")
