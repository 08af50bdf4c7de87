"""Which was first, the client or Leeward? It must not matter. And what is left when Leeward is killed: nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live_run import HERE, Run, client_command, seen, told

pytestmark = pytest.mark.kernel

#: include/uapi/linux/bpf.h, enum bpf_cmd
PROG_GET_NEXT_ID, LINK_GET_NEXT_ID, SYS_BPF = 11, 31, 321


def bpf_ids(command: int) -> set[int]:
    """All programs' or links' ids in the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    found: set[int] = set()
    at = 0
    while True:
        attributes = (ctypes.c_uint32 * 3)(at, 0, 0)
        if libc.syscall(SYS_BPF, command, attributes, ctypes.sizeof(attributes)) != 0:
            return found
        at = attributes[1]
        found.add(at)


def test_a_client_that_was_there_first(tls_url: str, tmp_path: Path) -> None:
    """It has a kept connection before Leeward starts; what it sends afterwards is seen."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import httpx, live_client as c\n"
        "client = httpx.Client(verify=False, timeout=60)\n"
        "for number in range(6):\n"
        "    body = c._body('early', 1, number, number % 2 == 0)\n"
        "    print(c._told(body, c._text(client.post(sys.argv[2], json=body), number % 2 == 0)), flush=True)\n"
        "    number or input()\n"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(HERE), tls_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert client.stdout is not None
    before = client.stdout.readline()
    running = Run(tmp_path / "state")
    try:
        out, _ = client.communicate("\n", timeout=60)
        running.wait(lambda: running.stored() >= 5)
        exchanges = running.exchanges()
        assert seen(exchanges) == told(out)
        assert before.strip() not in out
        assert {e["process"]["pid"] for e in exchanges} == {client.pid}
        assert {e["network"]["dst"].rsplit(":", 1)[1] for e in exchanges} == {tls_url.split(":")[2].split("/")[0]}
    finally:
        running.stop()


def test_killed_under_load_leaves_nothing_and_loses_a_second_at_most(tls_url: str, tmp_path: Path) -> None:
    programs, links = bpf_ids(PROG_GET_NEXT_ID), bpf_ids(LINK_GET_NEXT_ID)
    running = Run(tmp_path / "state")
    client = subprocess.Popen(client_command("plain", tls_url, 100000), stdout=subprocess.PIPE)
    try:
        running.wait(lambda: running.stored() >= 50)
        assert bpf_ids(LINK_GET_NEXT_ID) > links
        time.sleep(2)
        before = {e["id"] for e in running.exchanges()}
        time.sleep(1.2)
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        client.kill()
        client.wait()
        end = time.monotonic() + 10
        while time.monotonic() < end and (bpf_ids(PROG_GET_NEXT_ID) != programs or bpf_ids(LINK_GET_NEXT_ID) != links):
            time.sleep(0.2)
        assert bpf_ids(PROG_GET_NEXT_ID) == programs
        assert bpf_ids(LINK_GET_NEXT_ID) == links
        again = Run(tmp_path / "state")
        try:
            assert before <= {e["id"] for e in again.exchanges()}
        finally:
            again.stop()
    finally:
        client.kill()
        running.process.kill()
