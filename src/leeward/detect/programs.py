"""What a program is (shell, downloader, agent, package manager ...), by the names in programs.yaml; and what a command line runs.

Invariants: pure; any path and any argv give an answer. An interpreter is also what its script is: `node .../npm-cli.js` is an
interpreter and a package manager. Names prove nothing where anybody may write: see `anybodys`.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from leeward.ai.datafile import Schema, load_yaml
from leeward.identity.interpreters import Script, script_of
from leeward.model.process import Ancestor, Process


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HERE = Path(__file__).parent
_VERSION = re.compile(r"(?<=[A-Za-z])[-_.]?\d+(?:\.\d+)*[a-z]?$")
_ENDINGS = (".py", ".js", ".mjs", ".cjs", ".sh", ".pl", ".rb", ".pyz", ".exe")
_BOXES = ("busybox", "toybox", "coreutils")
_OPEN = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/", "/dev/mqueue/")
#: pip runs itself with another Python (--python, build environments) as `python …/pip/__pip-runner__.py install …`.
_CALLED = {"__pip-runner__": "pip"}
_NOTHING: frozenset[str] = frozenset()
#: Kinds of workloads that are services, and kinds of programs that start them.
SERVICES = ("systemd", "pod", "container")
MANAGERS = ("container-runtime", "service-manager")
SHELL_HOSTS = words_of(
    """login-server container-runtime container-client terminal ci-runner agent remote-access ssh config-manager vcs
    package-manager node-agent"""
)
"""Who may hold a shell's streams beside a connection: they serve shells to people who proved who they are, or run jobs."""
SHELL_SHOWS = frozenset({"notebook", "web-terminal", "editor"})
"""These show shells to people over the network."""

#: Verbs by which a package manager installs, which runs scripts that came over the network.
_INSTALL = words_of(
    "install i ci add update upgrade up rebuild sync get require build develop isntall in clean-install"
)
#: Words before the verb: `uv pip install`, `python -m pip install`.
_BEFORE = frozenset({"pip", "global", "tool", "workspace", "-m"})
_INSTALLERS = words_of(
    """npm npm-cli pnpm yarn yarnpkg bun pip pip3 pipx uv poetry pdm conda mamba micromamba gem bundle bundler cargo
    composer easy_install pixi rye"""
)


class Program(msgspec.Struct, frozen=True):
    """name: basename without version; of busybox the applet's. kinds: of programs.yaml. script: what an interpreter runs, None
    if it is none."""

    name: str
    kinds: frozenset[str] = _NOTHING
    script: Script | None = None

    def any(self, kinds: Iterable[str]) -> bool:
        return not self.kinds.isdisjoint(kinds)

    @property
    def commanded(self) -> bool:
        """Does it take its commands from its standard input or from a person: a shell or interpreter without a program?"""
        return self.script is not None and not self.script.kind


class _Known(msgspec.Struct, frozen=True):
    names: dict[str, frozenset[str]]
    paths: tuple[tuple[str, str], ...]
    modules: dict[str, frozenset[str]]


@functools.cache
def _known() -> _Known:
    record = load_yaml(_HERE / "programs.yaml", Schema.read(_HERE / "programs.schema.json"))
    names: dict[str, set[str]] = {}
    modules: dict[str, set[str]] = {}
    paths: list[tuple[str, str]] = []
    for entry in record["kinds"]:
        for name in entry.get("names", ()):
            names.setdefault(name, set()).add(entry["kind"])
        for name in entry.get("modules", ()):
            modules.setdefault(name, set()).add(entry["kind"])
        paths += [(part, entry["kind"]) for part in entry.get("paths", ())]
    return _Known(
        {name: frozenset(kinds) for name, kinds in names.items()},
        tuple(paths),
        {name: frozenset(kinds) for name, kinds in modules.items()},
    )


def program(process: Process | Ancestor) -> Program:
    return program_of(process.exe, process.argv)


@functools.lru_cache(maxsize=16384)
def program_of(exe: str, argv: tuple[str, ...]) -> Program:
    """By the executable; argv only says what a multi-call binary or an interpreter runs, for anybody can write there what he
    likes. Without an executable (a process that was gone at once) the first word stands for it."""
    path = _clean(exe or (argv[0].lstrip("-") if argv else ""))
    name = posixpath.basename(path)
    if name in _BOXES:
        name, argv = _applet(name, argv)
        path = posixpath.join(posixpath.dirname(path), name)
    script = script_of(path, argv) or _script_of_others(name, argv)
    kinds = _named(name) | _placed(path)
    if script is not None and script.target:
        kinds |= _of_script(script)
    return Program(bare(name), kinds, script)


def _script_of_others(name: str, argv: tuple[str, ...]) -> Script | None:
    """Of awk and the interpreters that take a file as their first word, else their input."""
    if "interpreter" not in _named(name):
        return None
    words = argv[1:256]
    if bare(name).endswith("awk"):
        file = next((words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-f", "--file")), "")
        return Script(bare(name), "file", file) if file else Script(bare(name), "code")
    if "-e" in words or "-c" in words:
        return Script(bare(name), "code")
    first = next((word for word in words if not word.startswith("-")), "")
    return Script(bare(name), "file", first) if first else Script(bare(name))


def _clean(path: str) -> str:
    path = path.removesuffix(" (deleted)")
    return path.removeprefix("/memfd:").removeprefix("memfd:")


def _applet(name: str, argv: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """busybox: the applet is argv[0], or the word after it."""
    words = argv
    if words and posixpath.basename(words[0]).lstrip("-") in _BOXES:
        words = words[1:]
    return (posixpath.basename(words[0]).lstrip("-") if words else name), words


def bare(name: str) -> str:
    """Without the version: python3.11 → python."""
    return name if name in _known().names else (_VERSION.sub("", name) or name)


def _named(name: str) -> frozenset[str]:
    names = _known().names
    return names.get(name) or names.get(_VERSION.sub("", name)) or _NOTHING


def _placed(path: str) -> frozenset[str]:
    return frozenset(kind for part, kind in _known().paths if part in path)


def _of_script(script: Script) -> frozenset[str]:
    if script.kind == "module":
        return _module(script.target)
    base = posixpath.basename(script.target)
    for ending in _ENDINGS:
        base = base.removesuffix(ending)
    base = _CALLED.get(base, base)
    return (_named(base) - {"interpreter", "shell"}) | _placed(script.target)


def _module(name: str) -> frozenset[str]:
    """A module is what the nearest package above it is."""
    modules, whole = _known().modules, name
    while name:
        if name in modules:
            return modules[name]
        name = name.rpartition(".")[0]
    return _named(whole) - {"interpreter", "shell"}


def is_a(process: Process | Ancestor, *kinds: str) -> bool:
    return program(process).any(kinds)


def anybodys(path: str) -> bool:
    """Is it in a place where anybody may write? A program there is not what its name says."""
    return path.startswith(_OPEN) or path.startswith(("memfd:", "/memfd:"))


def trusted(process: Process | Ancestor, kinds: Iterable[str]) -> bool:
    """Is it of one of these kinds, and not from a place where anybody may put a program of that name?"""
    return program(process).any(kinds) and not anybodys(process.exe)


def starts_services(one: Ancestor) -> bool:
    return one.pid == 1 or trusted(one, MANAGERS)


def nearest(process: Process, kinds: Iterable[str], *, itself: bool = False) -> Process | Ancestor | None:
    """The nearest process above it that is of one of these kinds."""
    kinds = frozenset(kinds)
    line: tuple[Process | Ancestor, ...] = (process, *process.ancestors) if itself else process.ancestors
    return next((one for one in line if trusted(one, kinds)), None)


def _as_called(script: str) -> str:
    """The name under which a package manager's script is known."""
    base = posixpath.basename(script).split(".", 1)[0]
    return _CALLED.get(base, base)


def installs(process: Process | Ancestor) -> bool:
    """Does it install packages of a registry, whose own scripts then run (npm install, pip install, cargo build)?"""
    made = program(process)
    if "package-manager" not in made.kinds:
        return False
    words = process.argv[1:]
    if made.script is not None and made.script.target in words:
        words = words[words.index(made.script.target) + 1 :]
        name = _as_called(made.script.target)
    else:
        name = made.name
    if bare(name) not in _INSTALLERS:
        return False
    verbs = [word for word in words if not word.startswith("-")]
    while verbs and verbs[0] in _BEFORE:
        verbs = verbs[1:]
    return bool(verbs and verbs[0] in _INSTALL) or (name in ("yarn", "yarnpkg") and not verbs)


def installing(process: Process) -> Ancestor | None:
    """The package manager above it that is installing."""
    return next((above for above in process.ancestors if installs(above)), None)


def keeps_system(one: Process | Ancestor) -> bool:
    """Does it install what the system's distributor or administrator made (dpkg, rpm, ansible), not what anybody published?"""
    made = program(one)
    ours = made.any(("package-manager", "config-manager")) and not anybodys(one.exe)
    script = made.script.target if made.script is not None else ""
    return ours and made.name not in _INSTALLERS and bare(_as_called(script)) not in _INSTALLERS


def lineage(process: Process, steps: int = 64) -> Iterator[Process | Ancestor]:
    """It and at most so many of those above it, nearest first."""
    yield process
    yield from process.ancestors[:steps]
