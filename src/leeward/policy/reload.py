"""Policies that change while Leeward runs.

Invariant: `policies` is always the last set that was good as a whole; a bad file is told and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from leeward.model.errors import InputError
from leeward.policy.policies import Policies, policy_files

_Stamp = tuple[int, int, int]


class Reloader:
    """paths: files and folders. No thread: it looks when it is asked. complaint: why the files as they are now are not used, ""
    when they are. counters: `policy_reloads`, `policy_reloads_refused`."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Raises InputError: the first time there is nothing to fall back on."""
        self.counters: Counter[str] = Counter()
        self.complaint = ""
        self._paths = tuple(paths)
        self._seen = self._stamps()
        self.policies = Policies.load(self._paths)

    def poll(self) -> bool:
        """Has `policies` changed?"""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self.policies = Policies.load(self._paths)
        except InputError as error:
            self.complaint = str(error)
            self.counters["policy_reloads_refused"] += 1
            return False
        self.complaint = ""
        self.counters["policy_reloads"] += 1
        return True

    def _stamps(self) -> dict[Path, _Stamp] | str:
        """What tells whether a file is the same; the complaint if the files cannot be listed."""
        try:
            return {
                path: (s.st_mtime_ns, s.st_size, s.st_ino) for path in policy_files(self._paths) for s in (path.stat(),)
            }
        except (InputError, OSError) as error:
            return str(error)
