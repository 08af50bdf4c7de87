"""Which files are of interest, and what the kernel looks for to find them.

Invariants: `Files.label` decides by the whole path; `Files.keys` are what the kernel compares before (bpf/system.h), never less
than what `label` would take. A pattern that the kernel could not find is refused when the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from leeward.model.errors import InputError
from leeward.sensor import layout as L

FILES: Final = Path(__file__).with_name("files.yaml")
READ, WRITE = 1, 2
#: Steps above a file at which its folders are looked at, when it is read and when it is written (bpf/system.h).
REACH: Final = {"any": 2, "write": 8}
# Suffixes of too many files.
_COMMON_SUFFIXES: Final = frozenset([".json", ".pem", ".key", ".conf", ".dat", ".yaml", ".md", ".py", ".js", ".txt"])


class FileClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of files.yaml; the schema explains the fields."""

    label: str
    access: str
    paths: tuple[str, ...]
    exceptions: tuple[str, ...] = msgspec.field(name="except", default=())


class Key(msgspec.Struct, frozen=True):
    """What the kernel compares. kind: "name" | "suffix" | "folder" | "pair" (folder and name) | "folders" (`name` lies in the
    other)."""

    kind: str
    name: str = ""
    folder: str = ""

    def number(self) -> int:
        return L.name_key(self.kind, self.name.encode(), self.folder.encode())


class Files:
    """The classes of a file like files.yaml."""

    def __init__(self, classes: Iterable[FileClass]) -> None:
        self._classes = [
            (c.label, c.access == "any", _compiled(c.paths), _compiled(c.exceptions) if c.exceptions else None)
            for c in classes
        ]
        self.keys: dict[Key, int] = {}
        for entry in classes:
            for pattern in entry.paths:
                key = key_of(pattern, entry.access)
                access = WRITE if entry.access == "write" else READ | WRITE
                self.keys[key] = self.keys.get(key, 0) | access

    def tables(self) -> tuple[dict[int, int], bytes]:
        """What the kernel's `name_keys` and `name_filter` have: access by key, and one bit a key."""
        numbers = {key.number(): access for key, access in self.keys.items()}
        words = [0] * 1024
        for number in numbers:
            word, bit = L.filter_place(number)
            words[word] |= 1 << bit
        return numbers, L.NAME_FILTER.pack(*words)

    def label(self, path: str, write: bool) -> str:
        """The class of the file, "" if it is of none. write: is it to be changed?"""
        for label, readers, fits, exceptions in self._classes:
            if (write or readers) and fits.fullmatch(path) and not (exceptions and exceptions.fullmatch(path)):
                return label
        return ""


def key_of(pattern: str, access: str) -> Key:
    """What to look for in the kernel to find all paths of this pattern. Raises InputError if nothing would do."""
    *folders, name = pattern.strip("/").split("/")
    if "*" not in name:
        above = folders[-1] if folders else ""
        return Key("pair", name, above) if above and "*" not in above else Key("name", name)
    near = _folders([*folders, name], access)
    suffix = re.fullmatch(r"\*.*?(\.[^.*]{1,15})", name)
    if suffix and (suffix[1] not in _COMMON_SUFFIXES or not near):
        return Key("suffix", suffix[1])
    for lower, upper in near:
        if upper and not lower.startswith("."):
            return Key("folders", lower, upper)
    if near:
        return Key("folder", folder=near[0][0])
    raise InputError(
        f"{pattern}: names no file, suffix or folder within {REACH[access]} steps: the kernel cannot find it"
    )


def _folders(parts: list[str], access: str) -> list[tuple[str, str]]:
    """Folders of the pattern that are certain to be looked at, nearest first, each with the one that it lies in, if that is
    named and looked at too. Of what is written, those above `**` count: it stands for few folders."""
    if "**" in parts[1:] and access != "write":
        parts = parts[len(parts) - 1 - parts[::-1].index("**") :]
    above = parts[-2::-1][: REACH[access]]
    named = ["" if "*" in folder else folder for folder in above]
    return [(lower, upper) for lower, upper in pairwise([*named, ""]) if lower]


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_expression(p)})" for p in patterns), re.DOTALL)


def _expression(pattern: str) -> str:
    """A pattern as a regular expression for whole paths. "**/" also stands for no folder at all."""
    out, parts = "", pattern.removeprefix("/").split("/")
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if part == "**":
            out += "/.+" if last else "(?:/[^/]+)*"
        else:
            out += "/" + "[^/]*".join(re.escape(piece) for piece in part.split("*"))
    return out


def files_from(record: Any, path: Path = FILES) -> Files:
    """Of the document at `path`. Raises InputError with what is wrong."""
    try:
        return Files(msgspec.convert(record["classes"], type=list[FileClass]))
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {error}") from error


@cache
def files_of_interest(path: Path = FILES) -> Files:
    """Reads a file like files.yaml, for those who have not read it already."""
    import yaml

    try:
        return files_from(yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)), path)
    except (yaml.YAMLError, OSError) as error:
        raise InputError(f"{path}: {error}") from error
