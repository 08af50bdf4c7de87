"""Which tactic a finding serves, and whether one may follow another: knowledge of tactics.yaml (MITRE ATT&CK and ATLAS)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import msgspec

from leeward.ai.datafile import Schema, load_yaml
from leeward.model.errors import InputError
from leeward.model.finding import Tags

FILE = Path(__file__).parent / "tactics.yaml"
_ENTRY, _RUN = "Initial Access", "Execution"
_TAKEN = ("Command and Control", "Exfiltration")
_COMMAND = "Command and Control"


class Technique(msgspec.Struct, frozen=True):
    """tactics: the one that our findings are about stands first."""

    id: str
    name: str
    tactics: tuple[str, ...]


class Tactics(msgspec.Struct, frozen=True):
    """phase: of each tactic, by name, in the order of an intrusion. aimless: rules whose techniques are only possibilities."""

    phase: dict[str, int]
    techniques: dict[str, Technique]
    aimless: frozenset[str]

    def served(self, tags: Tags) -> list[Technique]:
        """The techniques of these tags that are known; a sub-technique that is not counts as its parent."""
        found = (self._technique(id_) for id_ in (*tags.atlas, *tags.attack))
        return [technique for technique in found if technique is not None]

    def follows(self, earlier: str, later: str) -> bool:
        """May the tactic `later` come after `earlier` in one intrusion, as its next purpose?"""
        before, after = self.phase.get(earlier), self.phase.get(later)
        if before is None or after is None or earlier == later:
            return False
        return before < after or (earlier == _COMMAND and after >= 3)

    def longest(self, served: Iterable[str]) -> list[str]:
        """The longest chain of different tactics, in the order given (that of time), each of which may follow the one before. Of
        each tactic the first time and the last are tried."""
        known = [tactic for tactic in served if tactic in self.phase]
        edges = {known.index(tactic) for tactic in known} | {
            len(known) - 1 - known[::-1].index(tactic) for tactic in set(known)
        }
        best: list[list[str]] = []
        for tactic in (known[place] for place in sorted(edges)):
            fitting = [
                c for c in best if tactic not in c and (self.follows(c[-1], tactic) or self._beside(c[-1], tactic))
            ]
            best.append([*max(fitting, key=len, default=[]), tactic])
        return max(best, key=len, default=[])

    def _beside(self, earlier: str, later: str) -> bool:
        """Tactics of the same phase follow each other in any order."""
        return self.phase[earlier] == self.phase[later]

    def _technique(self, id_: str) -> Technique | None:
        return self.techniques.get(id_) or self.techniques.get(id_.rpartition(".")[0])


def whole(findings: list[tuple[str, tuple[str, ...]]]) -> bool:
    """Somebody got in and ran something, and another finding is about the way out: that is an intrusion, whatever each is
    alone. findings: of each the tactic that it is about, and all that it serves."""
    entries = sum(_ENTRY in served for _, served in findings)
    runs = sum(_RUN in served for _, served in findings)
    return any(
        about in _TAKEN and entries > (_ENTRY in served) and runs > (_RUN in served) for about, served in findings
    )


@functools.cache
def tactics() -> Tactics:
    """What comes with Leeward. Raises InputError with file and line."""
    record = load_yaml(FILE, Schema.read(FILE.with_suffix(".schema.json")))
    phase = {entry["name"]: entry["phase"] for entry in record["tactics"]}
    techniques: dict[str, Technique] = {}
    for entry in record["techniques"]:
        if unknown := [name for name in entry["tactics"] if name not in phase]:
            raise InputError(f"{FILE}:1: {entry['id']}: {unknown[0]} is no tactic of this file")
        techniques[entry["id"]] = Technique(entry["id"], entry["name"], tuple(entry["tactics"]))
    return Tactics(phase, techniques, frozenset(record["aimless"]))
