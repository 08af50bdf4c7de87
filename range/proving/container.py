"""A containerd of our own and clients in its containers, joined to a range's network.

    with Range() as r, Containers(r) as c:
        done = c.client("openai_sync", n=3, stream=True)

Root, state and socket are in a temporary directory, so nothing of a host's own containerd is touched. Leaving kills the
containers, their shims and the daemon, and removes mounts and files.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from proving import image as images
from proving.run import ClientResult, Range, RangeError, RunningClient

_START_SECONDS = 20.0
_CONFIG = """version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
"""


class Containers:
    """A private containerd. `address` is its socket, `root` and `state` its directories, `namespace` where containers are;
    `image` the imported image; `start_seconds` and `import_seconds` what it took. `last_id` is the last container's."""

    namespace = "range"

    def __init__(
        self,
        r: Range,
        *,
        labels: Mapping[str, str] | None = None,
        name: str = "range.test/team/agent:1",
        packages: Sequence[str] = ("openai", "zstandard"),
    ) -> None:
        self._range = r
        self._labels, self._name, self._packages = dict(labels or images.LABELS), name, tuple(packages)
        self._directory = Path(tempfile.mkdtemp(prefix="lw-ctr-"))
        self.address = self._directory / "containerd.sock"
        self.root = self._directory / "root"
        self.state = self._directory / "state"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._running: list[RunningClient] = []
        self.snapshotter = "overlayfs"
        self.start_seconds = self.import_seconds = self.build_seconds = 0.0
        self.last_id = ""

    def __enter__(self) -> Containers:
        missing = [tool for tool in ("containerd", "ctr", "runc") if shutil.which(tool) is None]
        if missing:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise RangeError(f"not installed: {' '.join(missing)} (apt-get install containerd runc)")
        try:
            began = time.monotonic()
            self.image = images.build(self._name, self._labels, self._packages)
            built = time.monotonic()
            self._start()
            started = time.monotonic()
            self._import()
        except BaseException:
            self.close()
            raise
        self.build_seconds, self.start_seconds = built - began, started - built
        self.import_seconds = time.monotonic() - started
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def ctr(self, *arguments: str, timeout: float = 60) -> str:
        """Runs ctr against this containerd; its output. Raises RangeError with what it said."""
        command = ["ctr", "--address", str(self.address), "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise RangeError(f"ctr {' '.join(arguments[:3])}: {done.stderr.strip()}")
        return done.stdout

    def client(
        self,
        name: str,
        *,
        timeout: float = 120,
        n: int = 1,
        stream: bool = False,
        mode: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> ClientResult:
        """Runs a client script of the image to its end, in a new container."""
        return self.popen_client(name, n=n, stream=stream, mode=mode, args=args, env=env).wait(timeout)

    def popen_client(
        self,
        name: str,
        *,
        n: int = 1,
        stream: bool = False,
        mode: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> RunningClient:
        """Starts a client script in a new container, whose id is `last_id`; the pid is that of `ctr run`."""
        run = secrets.token_hex(4)
        shared = self._range.directory
        truth = shared / f"truth-{name}-{run}.jsonl"
        # The range's files are at the same path inside: the environment of ordinary clients holds there too.
        mounts = [(shared, shared, "rw"), (self._range.net.resolv, Path("/etc/resolv.conf"), "ro")]
        given = {**self._range.env, "RANGE_TRUTH": str(truth), "RANGE_RUN": run, **(env or {})}
        given |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "RANGE_PYTHON": self.image.python}
        self.last_id = f"agent-{run}"
        command = ["ctr", "--address", str(self.address), "--namespace", self.namespace, "run", "--rm"]
        command += ["--snapshotter", self.snapshotter, "--with-ns", f"network:/var/run/netns/{self._range.net.client}"]
        for source, target, how in mounts:
            command += ["--mount", f"type=bind,src={source},dst={target},options=rbind:{how}"]
        for key, value in given.items():
            command += ["--env", f"{key}={value}"]
        options = ["--n", str(n), "--stream" if stream else "--no-stream", *(["--mode", mode] if mode else []), *args]
        command += [self.image.name, self.last_id, self.image.python, f"/app/{name}.py", *options]
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        running = RunningClient(process, truth, time.monotonic(), out, err)
        self._running.append(running)
        return running

    def close(self) -> None:
        """Ends everything; may be called twice."""
        for running in self._running:
            running.kill()
        self._running.clear()
        if self._daemon is not None:
            with contextlib.suppress(RangeError, subprocess.TimeoutExpired):
                for ident in self.ctr("task", "ls", "-q", timeout=10).split():
                    self.ctr("task", "delete", "--force", ident, timeout=10)
            self._daemon.terminate()
            try:
                self._daemon.wait(10)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait(10)
            self._daemon = None
        for pid in self._shims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for point in sorted(self._mounts(), reverse=True):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self) -> None:
        config = self._directory / "config.toml"
        config.write_text(_CONFIG)
        command = ["containerd", "--config", str(config), "--root", str(self.root), "--state", str(self.state)]
        log = self._directory / "containerd.log"
        with log.open("wb") as file:
            self._daemon = subprocess.Popen(
                [*command, "--address", str(self.address)], stdout=file, stderr=file, start_new_session=True
            )
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._daemon.poll() is None:
            if self.address.exists():
                with contextlib.suppress(RangeError):
                    self.ctr("version", timeout=5)
                    return
            time.sleep(0.02)
        raise RangeError(f"containerd did not come up: {log.read_text()[-1500:].strip()}")

    def _import(self) -> None:
        """With overlayfs, or by plain copies where overlay cannot be mounted."""
        try:
            self.ctr("images", "import", "--snapshotter", self.snapshotter, str(self.image.path), timeout=120)
        except RangeError:
            self.snapshotter = "native"
            self.ctr("images", "import", "--snapshotter", self.snapshotter, str(self.image.path), timeout=120)

    def _shims(self) -> Iterator[int]:
        """Shims of this containerd: they name its socket, which nobody else's do."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"shim" in words[0] and str(self.address).encode() in words:
                yield int(path.parent.name)

    def _mounts(self) -> list[str]:
        points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        return [p for p in points if p.startswith(f"{self._directory}/")]
