"""User names and home directories from a passwd file. Invariant: an unknown uid has no home, and its number as name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from leeward.identity.procfs import Reader, text

_FILE_LIMIT = 4 << 20


def parse_passwd(raw: bytes) -> dict[int, tuple[str, str]]:
    """uid → (name, home); of two lines with one uid the first counts, as in getpwuid(3)."""
    users: dict[int, tuple[str, str]] = {}
    for line in raw.split(b"\n"):
        fields = line.split(b":")
        if len(fields) < 6 or not fields[0] or not fields[2].isdigit() or len(fields[2]) > 10:
            continue
        users.setdefault(int(fields[2]), (text(fields[0]), text(fields[5])))
    return users


class Users:
    """Looks uids up; reads the file again when a uid is not in it and it has changed since."""

    def __init__(self, passwd: Path = Path("/etc/passwd")) -> None:
        self.counters: Counter[str] = Counter()
        self._path, self._reader = passwd, Reader("passwd", self.counters)
        self._stamp = (0, 0, 0)
        self._users: dict[int, tuple[str, str]] = {}

    def _find(self, uid: int) -> tuple[str, str] | None:
        found = self._users.get(uid)
        if found is None and (stamp := self._reader.stamp(self._path)) != self._stamp:
            self._stamp = stamp
            self._users = parse_passwd(self._reader.file(self._path, _FILE_LIMIT) or b"")
            found = self._users.get(uid)
        return found

    def name(self, uid: int) -> str:
        """ "" for uid -1 (unknown)."""
        if uid < 0:
            return ""
        found = self._find(uid)
        return found[0] if found else str(uid)

    def home(self, uid: int) -> str:
        """An absolute path, or "" when there is none."""
        found = self._find(uid)
        return found[1] if found and found[1].startswith("/") else ""
