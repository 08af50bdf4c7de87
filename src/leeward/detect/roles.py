"""What a program's work is, as far as its name and place say: a hand on a keyboard, a tool, an agent of the system.

A name alone proves nothing, so a name counts only for files where installed programs are; what runs out of a folder that
anybody may write to, out of memory or from a deleted file is "odd" whatever it calls itself.
"""

from __future__ import annotations

import functools
import re
from collections import Counter

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.lists import groups
from leeward.detect.programs import SERVICES, program
from leeward.model.activity import Ended, Started, System
from leeward.model.process import Process

_OPEN_FOLDERS = ("/tmp/", "/var/tmp/", "/dev/", "/run/shm/", "/run/user/", "/proc/")
_JOBS = ("/tmp/ray/",)  # where Ray puts the code of its jobs
_VERSION = re.compile(r"[-_.]?\d+(\.\d+)*$")
_SCRIPT_END = re.compile(r"\.(py|js|mjs|cjs|ts|rb|pl|sh|php|lua|pyc|jar)$")
_INLINE = frozenset(("-c", "-e", "-E", "-r", "--eval", "-"))
_MANY = frozenset(("busybox", "toybox", "coreutils"))  # many programs in one
_DAY_NS = 86_400 * 10**9
_LOOK_AFTER = frozenset(("builder", "administration", "agent", "backup", "login", "storage"))


class Role(msgspec.Struct, frozen=True):
    """name: the program's, of an interpreter the script's. kind: "odd" | "shell" | "inline" (an interpreter whose program is on
    its command line, comes from its input or lies where anybody may write) | "dropped" (a script that lies where a service
    writes what it is given) | "tool" (moves bytes for whoever calls it) | "script" | "installed" | "unknown" (no process is
    known). groups: of lists/programs.yaml."""

    name: str
    kind: str
    groups: frozenset[str] = frozenset()

    @property
    def by_hand(self) -> bool:
        """Is it something that somebody else may have got into their hands?"""
        return self.kind in ("odd", "shell", "inline", "dropped", "tool")


def role(process: Process) -> Role:
    """Of a process, by its executable and command line; of a service's programs also by the service's name, which who installed
    it chose, and not who got into it. What may be in somebody else's hands has no share in that."""
    found = _role(process.exe, process.argv[:4])
    if found.kind in ("script", "installed") and process.workload.kind in SERVICES:
        return _in_service(found, process.workload.name)
    return found


@functools.lru_cache(maxsize=16384)
def _in_service(found: Role, service: str) -> Role:
    name = service.removesuffix(".service")
    more = _known().get(name, frozenset()) | _known().get(name.replace("-", "_"), frozenset())
    more -= {"shell", "interpreter", "tool", "scanner", "login"}
    return msgspec.structs.replace(found, groups=found.groups | more) if more - found.groups else found


def ancestor_roles(process: Process) -> list[Role]:
    """Those of its ancestors, nearest first."""
    return [_role(a.exe, a.argv[:4]) for a in process.ancestors]


def under(process: Process, group: str) -> bool:
    """Is the process, or one of its ancestors, of this group?"""
    return group in role(process).groups or any(group in one.groups for one in ancestor_roles(process))


@functools.lru_cache(maxsize=16384)
def odd_place(exe: str) -> bool:
    """Does it run from where no program is installed: a folder that anybody may write to, memory, a deleted or hidden file?"""
    return (
        exe.endswith(" (deleted)") or exe.startswith(_OPEN_FOLDERS) or "memfd:" in exe or "/." in exe[exe.rfind("/") :]
    )


@functools.lru_cache(maxsize=16384)
def _role(exe: str, argv: tuple[str, ...]) -> Role:
    if not exe:
        return Role("", "unknown")
    name = exe.removesuffix(" (deleted)").rsplit("/", 1)[-1]
    plain = _plain(name)
    if odd_place(exe):
        return Role(name, "odd")
    known = _known()
    if name in _MANY and argv:
        name = plain = next(
            (word.rsplit("/", 1)[-1] for word in argv[:2] if word.rsplit("/", 1)[-1] not in _MANY), name
        )
    found = known.get(name, frozenset()) | known.get(plain, frozenset())
    if "shell" in found:  # one that talks to the network itself is out of place, whatever script it runs
        return Role(name, "shell", found)
    if "interpreter" in found:
        return _interpreted(plain, argv, found)
    return Role(name, "tool" if "tool" in found else "installed", found)


def _interpreted(name: str, argv: tuple[str, ...], found: frozenset[str]) -> Role:
    """What an interpreter runs."""
    words = list(argv[1:])
    while words and words[0].startswith("-") and words[0] not in _INLINE and words[0] != "-m":
        words.pop(0)
    if not words or words[0] in _INLINE:
        return Role(name, "inline", found)
    module = words[0] == "-m"
    if module and len(words) < 2:
        return Role(name, "inline", found)
    script = words[1] if module else words[0]
    called = _SCRIPT_END.sub("", script.rsplit("/", 1)[-1])
    if script.startswith(_OPEN_FOLDERS):
        if not script.startswith(_JOBS):
            return Role(called or name, "inline")
    elif _is_filled(script):
        return Role(called or name, "dropped")
    installed = module or script.startswith("/")
    known = _known()
    more = known.get(called, frozenset()) | known.get(_plain(called), frozenset()) if installed else frozenset()
    return Role(called or name, "script", more - {"shell", "interpreter"})


def _is_filled(script: str) -> bool:
    """Does it lie where a service writes what it is given, and no tool keeps its programs?"""
    known, folders = groups("folders"), script.split("/")[1:-1] if script.startswith("/") else []
    return not frozenset(known["filled"]).isdisjoint(folders) and frozenset(known["tool-cache"]).isdisjoint(folders)


def _plain(name: str) -> str:
    """Without a version: python3.11 → python."""
    return _VERSION.sub("", name) or name


@functools.cache
def _known() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group, names in groups("programs").items():
        for name in names:
            found.setdefault(name, set()).add(group)
    return {name: frozenset(several) for name, several in found.items()}


def typed_in_a_service(process: Process) -> bool:
    """Did a shell of a service start it that was given words, not a script; and nobody whose work is to build or to look after
    things?"""
    if process.workload.kind not in SERVICES:
        return False
    above = list(zip(process.ancestors, ancestor_roles(process), strict=True))
    for at, (one, its) in enumerate(above):
        made = program(one)
        if its.kind == "shell" and made.script is not None and made.script.kind != "file":
            return not any(further.groups & _LOOK_AFTER for _, further in above[at + 1 :])
    return False


class _Seat(Kept, gc=False):
    pass


class Terminals:
    """Which processes were started at a terminal. Fed Started, Ended and System activities."""

    def __init__(self, name: str, counters: Counter[str]) -> None:
        self._seats: Bounded[_Seat] = Bounded(f"{name}_terminals", counters, 65536, 30 * _DAY_NS, share=1)

    def feed(self, activity: Started | Ended | System) -> None:
        process = activity.process
        match activity:
            case Started(streams=streams) if any(stream.kind == "tty" for stream in streams):
                self._seats.put("", (process.pid, process.start_ns), _Seat(), activity.ts)
            case Ended():
                self._seats.drop("", (process.pid, process.start_ns))

    def seat(self, process: Process, ts: int) -> str:
        """ "person": at a terminal, in a session that somebody logged in to; "terminal": at one, but who made it is not known (a
        shell that was broken into can be given one); "" for neither."""
        if self._seats.get("", (process.pid, process.start_ns), ts) is None:
            return ""
        return "person" if any("login" in one.groups for one in ancestor_roles(process)) else "terminal"
