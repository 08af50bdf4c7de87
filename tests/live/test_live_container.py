"""A client in a container: its own libssl in its own file system, found when it is loaded, named by its image.

The image is built here from files of this host (no network): the C libraries and OpenSSL. Python and the client are
mounted from the host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_run import HERE, Run, client_command, seen, told

sys.path.append(str(HERE.parent / "identity"))
from identity_image import write_image
from test_identity_container import NAMESPACE, Containerd

pytestmark = [pytest.mark.kernel, pytest.mark.container]
IMAGE = "leeward.test/agent:2.1"


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    missing = [name for name in ("containerd", "ctr", "runc", "ldd") if not shutil.which(name)]
    if os.geteuid() or missing:
        pytest.skip(f"needs root, containerd and runc (missing: {', '.join(missing) or 'root'})")
    base = tmp_path_factory.mktemp("containerd")
    daemon = Containerd(base)
    try:
        daemon.wait()
        programs = [sys.executable, *map(str, Path(sys.base_prefix).glob("lib/python3*/lib-dynload/*.so"))]
        write_image(base / "image.tar", IMAGE, tuple(os.path.realpath(p) for p in programs))
        daemon.ctr("images", "import", "--snapshotter", "native", str(base / "image.tar"))
        yield daemon
    finally:
        daemon.close()


def start(daemon: Containerd, name: str, command: list[str]) -> subprocess.Popen[str]:
    """Runs a command in a container on the host's network."""
    roots = {sys.base_prefix, sys.prefix, str(HERE)}
    mounts = [word for root in roots for word in ("--mount", f"type=bind,src={root},dst={root},options=rbind:ro")]
    words = [
        "run",
        "--rm",
        "--net-host",
        "--label",
        "team=agents",
        "--snapshotter",
        "native",
        *mounts,
        IMAGE,
        name,
        *command,
    ]
    base = ["ctr", "-a", str(daemon.socket), "-n", NAMESPACE]
    return subprocess.Popen([*base, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def watching(containerd: Containerd, tmp_path: Path) -> Iterator[Run]:
    running = Run(tmp_path / "state", "--containerd", f"{containerd.state}:{containerd.root}")
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_in_a_container(containerd: Containerd, watching: Run, tls_url: str, stream: bool) -> None:
    name = f"agent-{int(stream)}"
    client = start(containerd, name, client_command("plain", tls_url, 20, stream=stream))
    out, err = client.communicate(timeout=60)
    assert client.returncode == 0, err
    watching.wait(lambda: watching.stored() >= 20)
    exchanges = watching.exchanges()
    assert seen(exchanges) == told(out)
    for exchange in exchanges:
        assert (exchange["container"]["id"], exchange["container"]["image"]) == (name, IMAGE)
        assert exchange["container"]["labels"]["team"] == "agents"
        assert exchange["workload"]["kind"] == "container"
        assert exchange["evidence"]["source"] == "library"
        assert exchange["evidence"]["joined"] == "client-random"
