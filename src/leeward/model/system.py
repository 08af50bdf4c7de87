"""Something a process asked of the kernel, as it is kept and shown. The JSON of these structs is a contract (DESIGN §6)."""

from __future__ import annotations

import msgspec

from leeward.model.exchange import ProcessRef
from leeward.model.process import Container, Workload


class Target(msgspec.Struct, frozen=True):
    """The other process."""

    pid: int
    exe: str = ""


class SystemRecord(msgspec.Struct, kw_only=True):
    """kind: "exec", or as in activity.System, which says what path, source, label, number, target, before and after then mean.

    id: hash of boot, process, kind and time. origin, euid, setuid: of an exec, as in activity.Started. container: without its
    labels. failed: it was refused.
    """

    type: str = "system"
    id: str
    time: str
    kind: str
    process: ProcessRef | None = None
    workload: Workload | None = None
    container: Container | None = None
    path: str = ""
    source: str = ""
    label: str = ""
    number: int = 0
    target: Target | None = None
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    failed: bool = False
    origin: str = ""
    euid: int | None = None
    setuid: bool = False
