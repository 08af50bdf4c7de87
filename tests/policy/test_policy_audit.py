"""The audit log: whatever is done to it is found, and it stays bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leeward.model.errors import InputError
from leeward.policy.audit import Audit, AuditError, rotated, verify

TIME = "2026-06-01T12:00:00Z"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    audit = Audit(tmp_path / "audit.jsonl")
    for n in range(6):
        audit.append(TIME, "ann", "policy.changed", {"n": n})
    return audit.path


def test_policy_audit_whole_log(log: Path) -> None:
    result = verify(log)
    assert (result.lines, result.first, result.last, result.wrong) == (6, 1, 6, "")
    assert log.stat().st_mode & 0o777 == 0o600
    Audit(log).append(TIME, "bob", "x", {})
    assert verify(log).last == 7
    assert verify(log).head != result.head


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b"ann", b"bob"), *lines[3:]], "4: entry 3 is not the one"),
        (lambda lines: [*lines[:2], *lines[3:]], "3: number 4 comes after 2"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "3: number 2 comes after 2"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "2: number 1 comes after 2"),
        (lambda lines: [*lines[:-1], lines[-1][:-5]], "6: the line was not written whole"),
        (lambda lines: [*lines[:3], b"{}\n", *lines[3:]], "4: no entry"),
    ],
)
def test_policy_audit_tampering_is_found(log: Path, change: object, says: str) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(change(lines)))  # type: ignore[operator]
    assert says in verify(log).wrong


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_policy_audit_any_changed_byte_before_the_last_line_is_found(log: Path, data: st.DataObject) -> None:
    good = log.read_bytes()
    at = data.draw(st.integers(0, good[:-1].rindex(b"\n")))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != good[at]))
    try:
        log.write_bytes(good[:at] + bytes((byte,)) + good[at + 1 :])
        assert verify(log).wrong
    finally:
        log.write_bytes(good)


def test_policy_audit_is_bounded_and_goes_on_over_rotations(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "a", limit=600, keep=2)
    for n in range(40):
        audit.append(TIME, "a", "e", {"n": n})
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["a", "a.1", "a.2", "a.lock"]
    assert all(path.stat().st_size < 900 for path in tmp_path.iterdir())
    result = verify(audit.path)
    assert (result.last, result.wrong) == (40, "")
    assert result.first == 40 - result.lines + 1 > 1
    rotated(audit.path, 1).unlink()
    rotated(audit.path, 2).rename(rotated(audit.path, 1))
    assert "lines are missing" in verify(audit.path).wrong


def test_policy_audit_detail_is_bounded(tmp_path: Path) -> None:
    entry = Audit(tmp_path / "a").append(TIME, "a", "e", {"x": "y" * 100_000})
    assert entry.detail == {"cut": 100_000 + entry.detail["cut"] - 100_000}
    assert (tmp_path / "a").stat().st_size < 1000
    assert verify(tmp_path / "a").wrong == ""


def test_policy_audit_of_many_writers(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from leeward.policy.audit import Audit; a = Audit(Path(sys.argv[1]))\n"
        f"for n in range(25): a.append({TIME!r}, sys.argv[2], 'e', {{'n': n}})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a"), f"w{i}"]) for i in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert (verify(tmp_path / "a").last, verify(tmp_path / "a").wrong) == (75, "")


def test_policy_audit_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="cannot write"):
        Audit(tmp_path / "missing" / "a").append(TIME, "a", "e", {})
    (tmp_path / "a").write_text("nonsense\n")
    with pytest.raises(AuditError, match="the last line is no entry"):
        Audit(tmp_path / "a").append(TIME, "a", "e", {})
    with pytest.raises(InputError, match="cannot be read"):
        verify(tmp_path / "none")
