"""What the commands say on a host, or to a user, that they cannot serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEEWARD = str(Path(sys.executable).with_name("leeward"))
AS_NOBODY = (
    "import os, sys, leeward.cli.main as m; from leeward.cli import demo, exec, run; os.setuid(65534); "
    "sys.argv = ['leeward', *sys.argv[1:]]; m.main()"
)


@pytest.mark.parametrize("arguments", [["run"], ["exec", "--", "true"], ["demo"]])
def test_without_root_one_line_says_what_is_needed(arguments: list[str]) -> None:
    if os.geteuid() != 0:
        command = [LEEWARD, *arguments]
    else:
        command = [sys.executable, "-c", AS_NOBODY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "needs root" in done.stderr
    assert "leeward replay" in done.stderr
    assert done.stderr.count("\n") == 1


def test_doctor_says_what_the_host_offers() -> None:
    done = subprocess.run([LEEWARD, "doctor", "--json"], capture_output=True, text=True, timeout=120)
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"machine", "kernel", "root", "libbpf", "BPF object"} <= {c["name"] for c in checks}
    missing = [c for c in checks if c["needed"] and c["state"] == "missing"]
    assert done.returncode == (1 if missing else 0)
    assert all(c["remedy"] for c in missing)
    assert "SSL_sendfile" in done.stdout or missing


def test_a_command_that_does_not_exist() -> None:
    done = subprocess.run([LEEWARD, "exec", "--", "no-such-command"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no such command" in done.stderr


def test_usage_errors_are_exit_2_without_a_traceback() -> None:
    for arguments in (["replay"], ["nonsense"], ["run", "--port", "x"], ["replay", "--pace", "slow", "x.pcap"]):
        done = subprocess.run([LEEWARD, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
