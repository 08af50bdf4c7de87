"""Who did it: a process, and the workload, which is the stable identity above it."""

from __future__ import annotations

import msgspec


class Workload(msgspec.Struct, frozen=True, omit_defaults=False):
    """The stable identity above a process. Restarting the same thing gives the same `id`.

    kind: "pod" | "container" | "systemd" | "executable".
    id: `pod:<namespace>/<owner>/<container>`, `container:<name>@<image>`, `systemd:<unit>`, `exe:<path>`.
    name: what a person calls it.
    """

    id: str
    name: str
    kind: str


class Container(msgspec.Struct, frozen=True):
    """A container as its runtime describes it. `id` is the full 64-digit id; `image_digest` is "" when not known."""

    id: str
    name: str = ""
    image: str = ""
    image_digest: str = ""
    runtime: str = ""
    labels: dict[str, str] = {}
    pod_namespace: str = ""
    pod_name: str = ""
    pod_uid: str = ""


class Ancestor(msgspec.Struct, frozen=True):
    """One step up the parent chain, nearest first."""

    pid: int
    exe: str
    argv: tuple[str, ...] = ()


class Process(msgspec.Struct, frozen=True):
    """One process (thread group). The pair (pid, start_ns) never names two processes, a bare pid may.

    start_ns: nanoseconds since boot at which the process started, as in /proc/PID/stat field 22 rounded
    to clock ticks (10 ms). exe: path as seen in the process's own mount namespace. user: name, else the number.
    cgroup: the deepest cgroup path found for it, "" when unknown.
    """

    pid: int
    start_ns: int
    exe: str
    argv: tuple[str, ...]
    cwd: str
    uid: int
    user: str
    ancestors: tuple[Ancestor, ...]
    cgroup: str
    workload: Workload
    container: Container | None = None


#: Stands where no process is known: captures have none.
NOBODY = Process(0, 0, "", (), "", -1, "", (), "", Workload("", "", ""))
