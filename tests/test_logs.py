"""Keys in log files: of this process, which may look at its own descriptors, so no root is needed."""

from __future__ import annotations

import os
import random
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leeward.ai.catalogue import load_catalogue
from leeward.ai.keys import fingerprint
from leeward.logs import Logs
from leeward.model.raw import SystemCalled
from leeward.sensor.files import files_of_interest

FORMS = load_catalogue().key_forms
SECOND = 10**9
LETTERS = string.ascii_letters + string.digits


def key(seed: int, size: int = 48) -> str:
    return "sk-ant-api03-" + "".join(random.Random(seed).choices(LETTERS, k=size))


def logs(on_host: bool = True) -> Logs:
    return Logs(FORMS, lambda _pid, _ts: on_host)


def opening(path: Path, ts: int = SECOND, pid: int = 0, kind: str = "open", number: int = 1) -> SystemCalled:
    return SystemCalled(ts, pid or os.getpid(), kind, path=str(path), label="log", number=number)


def told(found: Logs, ts: int, last: bool = False) -> list[tuple[str, str]]:
    return [(Path(event.path).name, event.source) for event in found.look(ts, last)]


def test_a_key_that_is_written_later_is_told_once(tmp_path: Path) -> None:
    path, found = tmp_path / "app.log", logs()
    with path.open("w") as file:
        found.opened(opening(path))
        print("started", file=file, flush=True)
        assert told(found, 4 * SECOND) == []
        print(f"DEBUG headers: {{'x-api-key': '{key(1)}'}}", file=file, flush=True)
        assert told(found, 5 * SECOND) == []  # not yet due
        (event,) = list(found.look(15 * SECOND))
        assert (event.kind, event.pid, event.path, event.label) == ("key-written", os.getpid(), str(path), "anthropic")
        assert event.source == fingerprint(key(1))
        print(f"again {key(1)} and {key(2)}", file=file, flush=True)
        assert told(found, 30 * SECOND) == [("app.log", fingerprint(key(2)))]
        assert key(1) not in repr(vars(found)["_files"])
    found.close()


def test_what_stood_in_it_before(tmp_path: Path) -> None:
    path, found = tmp_path / "app.log", logs()
    path.write_text(f"{key(1)}\n" + "x" * 100_000 + f"\n{key(2)}\n")
    with path.open("a"):
        found.opened(opening(path))
        assert told(found, 4 * SECOND) == [("app.log", fingerprint(key(2)))]  # the first is too far back
    found.close()


def test_a_line_is_read_when_it_has_ended(tmp_path: Path) -> None:
    path, found = tmp_path / "app.log", logs()
    with path.open("w") as file:
        found.opened(opening(path))
        print("one", file=file)
        print(f"key {key(1)[:40]}", end="", file=file, flush=True)
        assert told(found, 4 * SECOND) == []
        print(key(1)[40:], file=file, flush=True)
        assert told(found, 20 * SECOND) == [("app.log", fingerprint(key(1)))]
    found.close()


def test_removed_renamed_and_cut_files_are_read(tmp_path: Path) -> None:
    path, found = tmp_path / "app.log", logs()
    with path.open("w") as file:
        found.opened(opening(path))
        print("x" * 1000, file=file, flush=True)
        assert told(found, 4 * SECOND) == []
        path.unlink()
        print(key(1), file=file, flush=True)
        assert told(found, 20 * SECOND) == [("app.log", fingerprint(key(1)))]
        file.truncate(0)
        file.seek(0)
        print(key(2), file=file, flush=True)
        assert told(found, 40 * SECOND) == [("app.log", fingerprint(key(2)))]
    found.close()


def test_the_file_that_follows_when_logs_are_rotated(tmp_path: Path) -> None:
    path, found = tmp_path / "app.log", logs()
    with path.open("w"):
        found.opened(opening(path))
        assert told(found, 4 * SECOND) == []
    path.rename(tmp_path / "app.log.1")
    with path.open("w") as file:
        found.opened(opening(path, 60 * SECOND))
        print(key(1), file=file, flush=True)
        assert told(found, 63 * SECOND) == [("app.log", fingerprint(key(1)))]
    found.close()


def test_a_writer_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(f"{key(1)}\n")
    for on_host, expected in ((True, [("app.log", fingerprint(key(1)))]), (False, [])):
        found = logs(on_host)
        found.opened(opening(path, pid=2**22 + 1))
        assert told(found, 4 * SECOND) == expected
        assert found.counters["logs_not_opened"] == (not on_host)
        found.close()


def test_files_that_were_open_before(tmp_path: Path) -> None:
    label = files_of_interest().label
    written, read, other = tmp_path / "w.log", tmp_path / "r.log", tmp_path / "w.txt"
    for number, path in enumerate((written, read, other)):
        path.write_text(f"{key(number)}\n")
    found = logs()
    with written.open("a"), read.open(), other.open("a"):
        found.running([os.getpid()], label, SECOND)
        assert told(found, 4 * SECOND) == [("w.log", fingerprint(key(0)))]
    found.close()


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    pipe, link, secret = tmp_path / "pipe.log", tmp_path / "link.log", tmp_path / "secret"
    os.mkfifo(pipe)
    secret.write_text(f"{key(1)}\n")
    link.symlink_to(secret)
    found = logs()
    for path in (pipe, link, tmp_path / "none.log", Path("relative.log"), Path("/dev/null")):
        found.opened(opening(path))
    found.opened(opening(secret, kind="rename"))
    found.opened(opening(secret, number=0))
    assert told(found, 4 * SECOND, last=True) == []
    assert found.counters["logs_not_opened"] == 5


def test_placeholders_and_other_tokens_are_no_keys(tmp_path: Path) -> None:
    path, found = tmp_path / "app.log", logs()
    path.write_text(
        f"set ANTHROPIC_API_KEY=sk-ant-your-key-here-xxxxxxxx\nsk-ant-{'0' * 40}\nsk-ant-***\n{key(1)[7:]}\n"
    )
    found.opened(opening(path))
    assert told(found, 4 * SECOND, last=True) == []
    found.close()


def test_files_and_bytes_are_bounded(tmp_path: Path) -> None:
    found = logs()
    for number in range(300):
        path = tmp_path / f"{number}.log"
        path.write_text("x\n")
        found.opened(opening(path))
    assert found.counters["logs_evicted"] == 44
    large = tmp_path / "large.log"
    large.write_text("")
    found.opened(opening(large))
    large.write_text(f"{key(1)}\n" + "x" * (1 << 20) + f"\n{key(2)}\n")
    assert ("large.log", fingerprint(key(2))) in told(found, 4 * SECOND)
    assert found.counters["log_bytes_skipped"] > 700_000
    assert len(os.listdir("/proc/self/fd")) < 400
    list(found.look(10_000 * SECOND))  # quiet for hours
    assert vars(found)["_files"] == {}
    found.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_any_bytes_are_read(tmp_path: Path, raw: bytes, at: int) -> None:
    path, found = tmp_path / "any.log", logs()
    path.write_bytes(raw[:at] + b"\n" + key(1).encode() + b"\n" + raw[at:])
    found.opened(opening(path))
    assert ("any.log", fingerprint(key(1))) in told(found, 4 * SECOND, last=True)
    found.close()


@pytest.mark.parametrize(
    ("path", "label"),
    [("/srv/app/app.log", "log"), ("/var/log/app/out.json", "log"), ("/srv/logs/a/today", "log"), ("/var/log/wtmp", ""),
     ("/home/a/nohup.out", "log"), ("/srv/app/blog", ""), ("/srv/app/catalog.py", "")],
)  # fmt: skip
def test_what_is_called_as_logs_are(path: str, label: str) -> None:
    assert files_of_interest().label(path, True) == label
    assert files_of_interest().label(path, False) == ""
