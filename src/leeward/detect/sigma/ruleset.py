"""What was made of the user's Sigma files: rules that run, and complaints about those that do not."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from leeward.detect.sigma.events import Event
from leeward.model.finding import Tags


class Need(msgspec.Struct, frozen=True):
    """What stands in an event that a rule fits. text: as in Event.folded_lines; or, if `regex`, an expression that fits
    somewhere in Event.lines."""

    text: str
    regex: bool = False


Needs = frozenset[Need] | None


class About(msgspec.Struct, frozen=True):
    """What a rule says of itself. id: its UUID, else its name, else its title. level, status: as in Sigma, "" if not given.
    file, line: where its document begins."""

    id: str
    title: str
    file: str
    line: int
    name: str = ""
    level: str = ""
    status: str = ""
    author: str = ""
    description: str = ""
    tags: Tags = Tags()
    references: tuple[str, ...] = ()
    false_positives: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """looks_at: the fields that its detections name. needs: as in literals.py. tells: it gives findings of its own, not only to
    correlations."""

    about: About
    category: str
    test: Callable[[Event], bool]
    needs: Needs
    looks_at: tuple[str, ...]
    tells: bool = True


class Correlation(msgspec.Struct, frozen=True):
    """Events of rules that belong together.

    kind: "event_count" | "value_count" | "temporal" | "temporal_ordered". rules: numbers of the rules in RuleSet.rules, in order.
    group: of each rule, the fields whose values are the same in events that belong together. values: of each rule, the fields
    that value_count counts the values of. least: how many (of temporal kinds: all rules). span: nanoseconds.
    """

    about: About
    kind: str
    rules: tuple[int, ...]
    group: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, ...], ...]
    least: int
    span: int


class Complaint(msgspec.Struct, frozen=True, order=True):
    """Why a rule, or something of it, is not run."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


class RuleSet(msgspec.Struct, frozen=True):
    rules: tuple[Rule, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    complaints: tuple[Complaint, ...] = ()
