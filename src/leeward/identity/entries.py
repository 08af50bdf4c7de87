"""What the process table remembers of one process: its images (what it executed, since when), place and parents."""

from __future__ import annotations

from itertools import pairwise

from leeward.identity.cgroup import NOTHING, Candidate, Cgroup
from leeward.model.process import Ancestor, Container, Process, Workload

IMAGES = 8
"""Images kept of a process: the last ones. A version manager (pyenv, nvm) takes seven to get to its program."""

ARGV_KEPT, ANCESTOR_ARGV_KEPT, ARGV_SPARE = 2048, 512, 128
"""Characters kept of an argument list: of a process, of an ancestor, and when the table's budget is spent."""

FOREVER = 1 << 63


class Image:
    """One program that a process ran. since: Unix ns. process: what was answered for it, until `recheck` (Unix ns).
    cost: characters of argv that are its own, not shared with the parent it was forked from."""

    __slots__ = ("argv", "cost", "cwd", "exe", "process", "recheck", "since")

    def __init__(self, since: int, exe: str, argv: tuple[str, ...], cwd: str, cost: int = 0) -> None:
        self.since, self.exe, self.argv, self.cwd, self.cost = since, exe, argv, cwd, cost
        self.process: Process | None = None
        self.recheck = FOREVER


class Entry:
    """One process. start_ns: since boot, rounded down to clock ticks. started, exited: Unix ns, 0 while it runs.
    outer: workload of the outer container when the inner one is not known. shim: the container that the nearest
    shim above says. looked: uid and cgroup were read since the process began."""

    __slots__ = (
        "ancestors",
        "cgroup",
        "comm",
        "container",
        "exited",
        "images",
        "looked",
        "outer",
        "pid",
        "ppid",
        "retry",
        "shim",
        "start_ns",
        "started",
        "uid",
    )

    def __init__(self, pid: int, start_ns: int, started: int, ppid: int) -> None:
        self.pid, self.start_ns, self.started, self.ppid = pid, start_ns, started, ppid
        self.exited = 0
        self.uid = -1
        self.comm = ""
        self.cgroup: Cgroup = NOTHING
        self.container: Container | None = None
        self.outer: Workload | None = None
        self.shim: Candidate | None = None
        self.ancestors: tuple[Ancestor, ...] = ()
        self.images: list[Image] = []
        self.looked = False
        self.retry = FOREVER

    @property
    def key(self) -> tuple[int, int]:
        return self.pid, self.start_ns

    def image_at(self, ts: int) -> Image | None:
        """The image that ran at `ts`: the oldest known one when that was before all of them."""
        images = self.images
        for image in reversed(images):
            if image.since <= ts:
                return image
        return images[0] if images else None

    def add(self, image: Image) -> Image | None:
        """Puts the image where its time says; returns the one that had to go."""
        at = len(self.images)
        while at and self.images[at - 1].since > image.since:
            at -= 1
        if at and self.images[at - 1].since == image.since:
            gone = self.images[at - 1]
            self.images[at - 1] = image
            return gone
        self.images.insert(at, image)
        return self.images.pop(0) if len(self.images) > IMAGES else None

    def inherit(self, parent: Entry, ts: int) -> None:
        """What fork(2) copies."""
        self.uid, self.comm, self.cgroup = parent.uid, parent.comm, parent.cgroup
        self.container, self.outer, self.retry = parent.container, parent.outer, parent.retry
        self.shim = shim_of(parent) or parent.shim
        image = parent.image_at(ts)
        if image is not None:
            self.add(Image(self.started, image.exe, image.argv, image.cwd))

    def forget_answers(self) -> None:
        for image in self.images:
            image.process = None


def cut(argv: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """The arguments that fit into `limit` characters, the last one cut; empty ones cost one too."""
    if len(argv) <= limit and sum(map(len, argv)) + len(argv) <= limit:
        return argv
    kept: list[str] = []
    for word in argv:
        if limit <= 0:
            break
        kept.append(word[:limit])
        limit -= len(word) + 1
    return tuple(kept)


def ancestor_of(entry: Entry, ts: int) -> Ancestor:
    image = entry.image_at(ts)
    if image is None:
        return Ancestor(entry.pid, "", ())
    return Ancestor(entry.pid, image.exe, cut(image.argv, ANCESTOR_ARGV_KEPT))


_RUNTIME_HELPERS = ("runc", "crun", "youki", "runsc", "conmon", "conmonrs")


def is_runtime_helper(exe: str) -> bool:
    """Programs between a shim and its container, which are not in it."""
    name = exe.rpartition("/")[2]
    return name in _RUNTIME_HELPERS or name.startswith("containerd-shim")


def shim_of(entry: Entry) -> Candidate | None:
    """The container that `entry` watches over, when it is a containerd shim run by root or a conmon.

    containerd: `-namespace NS -id ID` (runtime/v2/shim/shim.go); conmon: `-c ID` or `--cid ID` (conmon(8))."""
    image = entry.images[-1] if entry.images else None
    if image is None:
        return None
    name = image.exe.rpartition("/")[2]
    if name.startswith("containerd-shim") and entry.uid == 0:
        container, namespace = _after(image.argv, "-id", "--id"), _after(image.argv, "-namespace", "--namespace")
        return Candidate(container, "containerd", namespace, sure=False) if container else None
    if name == "conmon":
        container = _after(image.argv, "-c", "--cid")
        return Candidate(container, owner=entry.uid or -1, sure=False) if container else None
    return None


def _after(argv: tuple[str, ...], *options: str) -> str:
    for word, value in pairwise(argv):
        if word in options:
            return value
    return ""
