"""Hyperscan databases, compiled once on a host and kept: compiling ours takes seconds, loading milliseconds.

They are in the cache (ai/kept.py); Hyperscan checks their checksum, version and processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hyperscan
import msgspec

from leeward.ai.kept import identity, keep, read_kept

_KEPT = 96  # files
_SMALL = 16 << 10  # bytes of a database that is compiled about as fast as read
Pattern = tuple[str, int, int]
"""Expression, flags, least length of a match in bytes (0: any)."""
_FILE = msgspec.msgpack.Decoder(list[bytes])


def database(patterns: Sequence[Pattern], folder: Path | None) -> hyperscan.Database:
    """All patterns as one database; a report names a pattern by its place. Raises hyperscan.error."""
    return databases([patterns], folder)[0]


def databases(several: Sequence[Sequence[Pattern]], folder: Path | None) -> list[hyperscan.Database]:
    """A database of each of these, all kept in one file. Raises hyperscan.error."""
    path = folder / f"recognizers-{_identity(several)}.hsdb" if folder is not None else None
    found = _loaded(path) if path is not None else None
    if found is None:
        found = [compile_all(patterns) for patterns in several]
        raw = [hyperscan.dumpb(one) for one in found] if path is not None else []
        if path is not None and sum(map(len, raw)) > _SMALL:
            keep(path, msgspec.msgpack.encode(raw), _KEPT)
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


def _identity(several: Sequence[Sequence[Pattern]]) -> str:
    return identity(repr([list(patterns) for patterns in several]).encode("utf-8", "backslashreplace"))


def _loaded(path: Path) -> list[hyperscan.Database] | None:
    raw = read_kept(path)
    if raw is None:
        return None
    try:
        found = [hyperscan.loadb(one, hyperscan.HS_MODE_BLOCK) for one in _FILE.decode(raw)]
        for one in found:
            one.scratch = hyperscan.Scratch(one)
    except (hyperscan.error, msgspec.DecodeError):  # of another version or for another processor
        return None
    return found
