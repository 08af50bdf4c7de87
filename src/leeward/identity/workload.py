"""The stable identity above a process: pod, container, systemd unit, else executable with its script. Pure.

Invariant: the same thing started again, under another pid, container id, pod suffix or generated name, has the same id.
"""

from __future__ import annotations

import posixpath
import re

from leeward.identity.interpreters import script_of
from leeward.model.process import Container, Workload

UNKNOWN = Workload("", "", "")
"""Of a process of which nothing is known."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Characters of generated names (k8s.io/apimachinery pkg/util/rand)."""

_TEMPLATE_HASH = "[4-9bcdf]{6,10}"
"""pod-template-hash: the decimal digits of a 32-bit sum, each mapped into the alphabet above (SafeEncodeString)."""

_OWNER_SUFFIXES = (
    re.compile(rf"-{_TEMPLATE_HASH}-[{_ALPHABET}]{{5}}$"),  # Deployment: ReplicaSet's hash and pod's suffix
    re.compile(rf"-\d{{8,10}}-[{_ALPHABET}]{{5}}$"),  # CronJob: minutes (formerly seconds) since 1970, and the suffix
    re.compile(rf"-[{_ALPHABET}]{{5}}$"),  # DaemonSet, Job, ReplicaSet
    re.compile(r"-\d{1,5}$"),  # StatefulSet: ordinal
)

_HEX_NAME = re.compile(r"[0-9a-f]{12,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOBY_NAME = re.compile(r"([a-z]+)_[a-z]+\d?")
_ADJECTIVES = """
    admiring adoring affectionate agitated amazing angry awesome beautiful blissful bold boring brave busy charming
    clever compassionate competent condescending confident cool cranky crazy dazzling determined distracted dreamy eager
    ecstatic elastic elated elegant eloquent epic exciting fervent festive flamboyant focused friendly frosty funny
    gallant gifted goofy gracious great happy hardcore heuristic hopeful hungry infallible inspiring intelligent
    interesting jolly jovial keen kind laughing loving lucid magical modest musing mystifying naughty nervous nice
    nifty nostalgic objective optimistic peaceful pedantic pensive practical priceless quirky quizzical recursing
    relaxed reverent romantic sad serene sharp silly sleepy stoic strange stupefied suspicious sweet tender thirsty
    trusting unruffled upbeat vibrant vigilant vigorous wizardly wonderful xenodochial youthful zealous zen"""
"""First words of the names that Docker and Podman make up (moby pkg/namesgenerator)."""

_SERVICE_LABELS = (
    ("com.docker.compose.project", "com.docker.compose.service"),
    ("io.podman.compose.project", "com.docker.compose.service"),
    ("", "com.docker.swarm.service.name"),
)


def pod_owner(pod_name: str) -> str:
    """The name of what made the pod, guessed from the pod's: what controllers append is cut off."""
    for suffix in _OWNER_SUFFIXES:
        owner = suffix.sub("", pod_name)
        if owner and owner != pod_name:
            return owner
    return pod_name


def bare_image(image: str) -> str:
    """An image reference without tag and digest; an image known by its id only keeps the first 12 digits of that."""
    if image.startswith("sha256:"):
        return image[: len("sha256:") + 12]
    name = image.partition("@")[0]
    colon = name.rfind(":")
    return name[:colon] if colon > name.rfind("/") else name


def is_generated(name: str) -> bool:
    """A container's name that another run would not have: an id, or adjective_surname."""
    if _HEX_NAME.fullmatch(name):
        return True
    made_up = _MOBY_NAME.fullmatch(name)
    return bool(made_up and made_up[1] in _ADJECTIVES.split())


def container_workload(container: Container) -> Workload:
    if container.pod_name:
        parts = (container.pod_namespace or "default", pod_owner(container.pod_name), container.name)
        name = "/".join(part for part in parts if part)
        return Workload("pod:" + "/".join(parts), name, "pod")
    image = bare_image(container.image)
    name = _service(container.labels)
    if not name and container.name and not is_generated(container.name):
        name = container.name
    if not name:
        name = posixpath.basename(image) or container.id[:12]
    return Workload(f"container:{name}@{image}", name, "container")


def _service(labels: dict[str, str]) -> str:
    for project, service in _SERVICE_LABELS:
        if labels.get(service) and (not project or labels.get(project)):
            return f"{labels[project]}/{labels[service]}" if project else labels[service]
    return ""


def resolve(path: str, cwd: str) -> str:
    """A path as it is when written relative to `cwd` ("" when unknown: then as written)."""
    if path.startswith("/") or cwd:
        return posixpath.normpath(posixpath.join(cwd, path))
    return path


def executable_workload(exe: str, argv: tuple[str, ...], cwd: str) -> Workload:
    """By executable; an interpreter's script, module or "it was given code" is part of it."""
    script = script_of(exe, argv)
    if script is None:
        return Workload(f"exe:{exe}", posixpath.basename(exe) or exe, "executable")
    if script.kind == "code":
        return Workload(f"exe:{exe}:-c", f"{script.interpreter} -c", "executable")
    if script.kind == "module":
        return Workload(f"exe:{exe}:-m {script.target}", f"{script.interpreter} -m {script.target}", "executable")
    if script.kind == "file":
        path = resolve(script.target, cwd)
        return Workload(f"exe:{exe}:{path}", f"{script.interpreter} {posixpath.basename(path)}", "executable")
    return Workload(f"exe:{exe}", posixpath.basename(exe), "executable")


def workload_of(
    container: Container | None, unit: str, exe: str, argv: tuple[str, ...], cwd: str, comm: str
) -> Workload:
    """The first that is known of container, unit, executable, argv[0], and the task's name (kernel threads)."""
    if container is not None:
        return container_workload(container)
    if unit:
        return Workload(f"systemd:{unit}", unit.rpartition("/")[2], "systemd")
    if exe:
        return executable_workload(exe, argv, cwd)
    if argv and argv[0]:
        return executable_workload(argv[0], argv, cwd)
    if comm:
        task = f"[{comm.partition('/')[0]}]"
        return Workload(f"exe:{task}", task, "executable")
    return UNKNOWN
