"""Hyperscan databases, compiled once on a host and kept: compiling ours takes seconds, loading milliseconds.

The cache is a private folder; a file is taken only if it is ours alone, and Hyperscan checks its checksum, version and
processor. Without a usable cache everything works, slower to start.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import hyperscan

_KEPT = 64  # files; the longest unused leave
_NAME = "recognizers-*.hsdb"
Pattern = tuple[str, int, int]
"""Expression, flags, least length of a match in bytes (0: any)."""


def database(patterns: Sequence[Pattern], folder: Path | None) -> hyperscan.Database:
    """All patterns as one database; a report names a pattern by its place. Raises hyperscan.error."""
    path = folder / f"recognizers-{_identity(patterns)}.hsdb" if folder is not None else None
    found = _loaded(path) if path is not None else None
    if found is None:
        found = compile_all(patterns)
        if path is not None:
            _keep(path, hyperscan.dumpb(found))
    return found


def compile_all(patterns: Sequence[Pattern]) -> hyperscan.Database:
    made = hyperscan.Database()
    made.compile(
        expressions=[text.encode() for text, _, _ in patterns],
        ids=list(range(len(patterns))),
        flags=[flags for _, flags, _ in patterns],
        # flags, least and largest offset of the end, least length, edit and Hamming distance
        ext=[(hyperscan.HS_EXT_FLAG_MIN_LENGTH if n else 0, 0, 0, n, 0, 0) for _, _, n in patterns],
    )
    return made


def cache_folder() -> Path | None:
    """$LEEWARD_CACHE, /var/cache/leeward for root, else in XDG's cache folder; made if need be. None: there is no private one."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if base.startswith("/") else Path(os.environ.get("HOME") or "/nonexistent") / ".cache"
    usual = Path("/var/cache/leeward") if os.geteuid() == 0 else home / "leeward"
    folder = Path(os.environ.get("LEEWARD_CACHE") or usual)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if _is_ours(folder) else None
    except OSError:
        return None


def _is_ours(path: Path) -> bool:
    state = path.lstat()
    return state.st_uid == os.geteuid() and not state.st_mode & 0o022


def _identity(patterns: Sequence[Pattern]) -> str:
    return hashlib.sha256(repr(list(patterns)).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _loaded(path: Path) -> hyperscan.Database | None:
    try:
        if not _is_ours(path):
            return None
        found = hyperscan.loadb(path.read_bytes(), hyperscan.HS_MODE_BLOCK)
        found.scratch = hyperscan.Scratch(found)
        os.utime(path)
    except (OSError, hyperscan.error):  # not there, of another version or for another processor
        return None
    return found


def _keep(path: Path, raw: bytes) -> None:
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
        os.replace(name, path)
        files = sorted(path.parent.glob(_NAME), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in files[_KEPT:]:
            old.unlink()
    except OSError:
        return  # no room, or another process was at it: the next start compiles again
