"""Files that only save the next start work: what was compiled or parsed, kept in a private folder.

Invariants: everything works without it, slower to start; a file is read back only if it is ours alone, else it is as if it were
not there. Whether what is in it is whole, its reader checks.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


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


def identity(made_from: bytes) -> str:
    """A name for what was made from these bytes."""
    return hashlib.sha256(made_from).hexdigest()[:32]


def read_kept(path: Path) -> bytes | None:
    """What `keep` wrote; None when there is nothing that can be trusted."""
    try:
        if not _is_ours(path):
            return None
        raw = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    return raw


def keep(path: Path, raw: bytes, most: int) -> None:
    """Writes a file. Of those that have its name up to the first hyphen and its suffix, `most` stay: the longest unused leave."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
        os.replace(name, path)
        alike = path.parent.glob(f"{path.stem.partition('-')[0]}-*{path.suffix}")
        for old in sorted(alike, key=lambda p: p.stat().st_mtime, reverse=True)[most:]:
            old.unlink()
    except OSError:
        return  # no room, or another process was at it: the next start does the work again


def _is_ours(path: Path) -> bool:
    state = path.lstat()
    return state.st_uid == os.geteuid() and not state.st_mode & 0o022
