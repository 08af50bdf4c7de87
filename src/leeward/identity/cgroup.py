"""What a process's cgroup paths say: which container, which pod, which systemd unit. Pure: bytes in, facts out.

All lines count, since on hybrid hosts some hierarchies know nothing. What a user can name is not believed to be the
system's: ids below `user@UID.service` carry that uid as `owner`, and only units that hang on slices are units.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """A container id that a path names. runtime: what the form of the name says, "" when nothing. namespace:
    containerd's. owner: uid of the user manager it runs under (rootless), -1 for the system's. sure: the form is a
    container's; else it only could be one, and a runtime must know it."""

    id: str
    runtime: str = ""
    namespace: str = ""
    pod_uid: str = ""
    owner: int = -1
    sure: bool = True


class Cgroup(msgspec.Struct, frozen=True):
    """path: the deepest of all hierarchies. candidates: deepest first. unit: a systemd service, "" if none;
    for a unit of a user manager `user-<uid>/<unit>`."""

    path: str = ""
    candidates: tuple[Candidate, ...] = ()
    unit: str = ""


NOTHING = Cgroup()

_LINES, _SEGMENTS, _PATH = 64, 64, 4096

_FULL_ID = re.compile(r"(?:(?P<prefix>[A-Za-z][A-Za-z0-9_.-]{0,63})[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_POD = re.compile(
    r"(?:kubepods(?:-[a-z]+){0,2}-)?pod(?P<uid>[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?:\.slice)?"
)
_USER_MANAGER = re.compile(r"user@(\d{1,10})\.service")
_TRANSIENT = re.compile(r"run-(?:u\d+|r[0-9a-f]+|p\d+-i\d+)\.service")
"""systemd-run's generated names (src/run/run.c): another one each time, so no identity."""

IDENTIFIER = re.compile(r"(?=.{1,76}\Z)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
"""containerd's names of namespaces and containers: identifiers/validate.go."""

_RUNTIMES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "crio",
    "libpod": "podman",
    "libpod-payload": "podman",
}
_NOT_NAMESPACES = {"docker", "kubepods", "init.scope", "machine", "libpod_parent", "lxc", "user", "system"}


@lru_cache(maxsize=4096)
def parse_cgroup(raw: bytes) -> Cgroup:
    """Facts from the text of /proc/PID/cgroup (cgroups(7)); empty ones for text that is none."""
    paths: list[tuple[int, list[str]]] = []
    for line in raw.split(b"\n")[:_LINES]:
        fields = line.split(b":", 2)
        if len(fields) == 3 and fields[2].startswith(b"/"):
            rank = 0 if fields[:2] == [b"0", b""] else 1 if fields[1] == b"name=systemd" else 2
            paths.append((rank, _segments(fields[2])))
    if not paths:
        return NOTHING
    paths.sort(key=lambda item: item[0])
    deepest = max((segments for _, segments in paths), key=len)
    return Cgroup("/" + "/".join(deepest), _candidates(paths), next(filter(None, (_unit(s) for _, s in paths)), ""))


def _segments(raw: bytes) -> list[str]:
    decoded = raw[:_PATH].decode("utf-8", "replace").removesuffix(" (deleted)")
    return [part for part in decoded.split("/") if part not in ("", ".", "..")][:_SEGMENTS]


def _candidates(paths: list[tuple[int, list[str]]]) -> tuple[Candidate, ...]:
    """Sure ones if there are any, else those that could be; the path that names the most comes first."""
    found = sorted((_named(segments) for _, segments in paths), key=len, reverse=True)
    sure = {c.id: c for candidates in reversed(found) for c in reversed(candidates)}
    if sure:
        return tuple(reversed(sure.values()))
    possible = {(c.namespace, c.id): c for _, segments in paths for c in _possible(segments)}
    return tuple(possible.values())


def _named(segments: list[str]) -> list[Candidate]:
    """Containers by the forms of known runtimes, deepest first."""
    pod, owner = "", -1
    found: list[Candidate] = []
    for segment in segments:
        if manager := _USER_MANAGER.fullmatch(segment):
            owner = int(manager[1])
        elif match := _POD.fullmatch(segment):
            pod = _uid(match["uid"])
        elif match := _FULL_ID.fullmatch(segment.rsplit(":", 1)[-1] if segment.count(":") == 2 else segment):
            prefix = match["prefix"] or (segment.split(":")[1] if segment.count(":") == 2 else "")
            if prefix.endswith("conmon"):
                continue  # the monitor beside a container, not the container
            runtime = _RUNTIMES.get(prefix, "docker" if "docker" in segments[:1] and not prefix else "")
            if segment.count(":") == 2 and (slice_pod := _POD.fullmatch(segment.split(":")[0])):
                pod = _uid(slice_pod["uid"])
            found.append(Candidate(match["id"], runtime, "", pod, owner))
    return found[::-1]


def _uid(raw: str) -> str:
    return raw.replace("_", "-")


def _possible(segments: list[str]) -> list[Candidate]:
    """`/<namespace>/<name>`, where plain containerd puts a container: any two names, so a runtime must confirm it."""
    if len(segments) < 2:
        return []
    namespace, name = segments[:2]
    if namespace in _NOT_NAMESPACES or namespace.endswith((".slice", ".service", ".scope")):
        return []
    if not IDENTIFIER.fullmatch(namespace) or not IDENTIFIER.fullmatch(name):
        return []
    return [Candidate(name, "containerd", namespace, sure=False)]


def _unit(segments: list[str]) -> str:
    """The service that hangs on slices only: what is below a service is named by that service, not by systemd."""
    user = ""
    for segment in segments:
        if segment.endswith(".slice"):
            continue
        if not user and (manager := _USER_MANAGER.fullmatch(segment)):
            user = f"user-{manager[1]}/"
            continue
        if not segment.endswith(".service") or len(segment) == len(".service") or _TRANSIENT.fullmatch(segment):
            return ""
        return user + segment
    return ""
