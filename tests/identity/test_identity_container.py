"""A private containerd runs a real container; the table finds its id, image, labels and digest without asking it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from identity_image import write_image

from leeward.identity.processes import ProcessTable
from leeward.identity.runtimes import RuntimeReaders
from leeward.identity.state import RuntimePaths

pytestmark = pytest.mark.container

IMAGE = "leeward.test/sleeper:1.0"
NAMESPACE = f"leeward-test-{os.getpid()}"

CONFIG = """version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "{socket}"
[ttrpc]
address = "{socket}.ttrpc"
"""


class Containerd:
    def __init__(self, base: Path) -> None:
        self.root, self.state, self.socket = base / "root", base / "state", base / "c.sock"
        config = base / "config.toml"
        config.write_text(CONFIG.format(root=self.root, state=self.state, socket=self.socket))
        self.log = (base / "log").open("wb")
        command = ["containerd", "-c", str(config)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)

    def ctr(self, *words: str, check: bool = True) -> str:
        command = ["ctr", "-a", str(self.socket), "-n", NAMESPACE, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.stderr}")
        return done.stdout

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.socket.exists() and "Server" in self.ctr("version", check=False):
                return
            time.sleep(0.1)
        raise AssertionError("containerd did not start")

    def close(self) -> None:
        """Ends every task that this containerd started, then itself."""
        for name in self.ctr("tasks", "ls", "-q", check=False).split():
            self.ctr("tasks", "rm", "-f", name, check=False)
        for name in self.ctr("containers", "ls", "-q", check=False).split():
            self.ctr("containers", "rm", name, check=False)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.log.close()
        for folder in Path("/sys/fs/cgroup").glob(f"**/{NAMESPACE}"):
            folder.rmdir()


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    missing = [name for name in ("containerd", "ctr", "runc", "ldd") if not shutil.which(name)]
    if os.geteuid() or missing:
        pytest.skip(f"needs root, containerd and runc (missing: {', '.join(missing) or 'root'})")
    daemon = Containerd(tmp_path_factory.mktemp("containerd"))
    try:
        daemon.wait()
        yield daemon
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def digest(containerd: Containerd) -> str:
    tar = containerd.root.parent / "image.tar"
    found = write_image(tar, IMAGE)
    containerd.ctr("images", "import", "--snapshotter", "native", str(tar))
    return found


def run(daemon: Containerd, name: str) -> int:
    """Starts a container that sleeps; its pid on the host."""
    words = ("run", "-d", "--snapshotter", "native", "--label", "team=ai", IMAGE, name, "/bin/sleep", "300")
    daemon.ctr(*words)
    rows = [line.split() for line in daemon.ctr("tasks", "ls").splitlines()]
    return int(next(row[1] for row in rows if row[0] == name))


def table_for(daemon: Containerd) -> ProcessTable:
    paths = RuntimePaths(containerd=((daemon.state, daemon.root),), docker=(), storage=())
    return ProcessTable(runtimes=RuntimeReaders(paths))


def test_a_containers_process_is_found_with_image_labels_and_digest(containerd: Containerd, digest: str) -> None:
    pid = run(containerd, "my-agent.v1")
    table = table_for(containerd)
    table.scan()
    process = table.get(pid, time.time_ns())
    container = process.container
    assert container is not None
    assert (container.id, container.name, container.image) == ("my-agent.v1", "my-agent.v1", IMAGE)
    assert (container.image_digest, container.runtime) == (digest, "containerd")
    assert container.labels["team"] == "ai"
    assert process.workload.id == "container:my-agent.v1@leeward.test/sleeper"
    assert (process.exe, process.argv, process.cwd) == ("/bin/sleep", ("/bin/sleep", "300"), "/")
    assert process.cgroup == f"/{NAMESPACE}/my-agent.v1"
    assert process.ancestors[0].exe.endswith("containerd-shim-runc-v2")
    assert table.get(process.ancestors[0].pid, time.time_ns()).container is None


def test_the_database_can_be_read_while_it_is_written(containerd: Containerd, digest: str) -> None:
    pid = run(containerd, "busy")
    command = ["ctr", "-a", str(containerd.socket), "-n", NAMESPACE, "images", "label", IMAGE]
    writers = [subprocess.Popen([*command, f"n{n}={n}"], stdout=subprocess.DEVNULL) for n in range(5)]
    answers = []
    while any(writer.poll() is None for writer in writers):
        table = table_for(containerd)
        process = table.get(pid, time.time_ns())
        assert process.container is not None
        answers.append(process.container.image_digest)
        assert table.counters["bolt_malformed"] == 0
    assert answers.count(digest) >= 0.9 * len(answers)
