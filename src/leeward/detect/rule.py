"""Rules as data files: what a finding means, how bad it is by kind of data, what to do."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec

from leeward.ai.datafile import Schema, load_yaml
from leeward.model.errors import InputError
from leeward.model.finding import Tags

FOLDER = Path(__file__).parent / "rules"


class Rule(msgspec.Struct, frozen=True):
    """The fields are explained in rule.schema.json."""

    id: str
    title: str
    means: str
    do: str
    false_positives: str
    confidence: float
    severity: tuple[tuple[str, str], ...]
    tags: Tags
    level: str = ""
    side: str = ""
    severity_own: str = ""
    settings: dict[str, Any] = {}

    def severity_of(self, kind: str) -> str:
        """How bad this kind of data is under this rule, "" if the rule is not about it."""
        for entry, severity in self.severity:
            if entry == kind or (entry.endswith(".*") and kind.startswith(entry[:-1])):
                return severity
        return ""


def load_rule(path: Path) -> Rule:
    """Raises InputError with file and line."""
    record: dict[str, Any] = load_yaml(path, Schema.read(FOLDER.parent / "rule.schema.json"))
    if record["id"] != path.stem:
        raise InputError(f"{path}:1: id: {record['id']} is not the name of the file")
    texts = {name: " ".join(record[name].split()) for name in ("means", "do", "false_positives")}
    severity = tuple((entry["kind"], entry["severity"]) for entry in record.get("severity", ()))
    if bool(severity) == ("level" in record):
        raise InputError(f"{path}:1: needs severity (by kind of data) or level (of all its findings), one of them")
    return Rule(
        record["id"], record["title"], **texts, confidence=record["confidence"], severity=severity,
        level=record.get("level", ""),
        settings={name: entry["value"] for name, entry in record.get("settings", {}).items()},
        tags=Tags(**record["tags"]), side=record.get("side", ""), severity_own=record.get("severity_own", ""),
    )  # fmt: skip


@functools.cache
def rules() -> dict[str, Rule]:
    """All rules that come with Leeward, by id."""
    return {path.stem: load_rule(path) for path in sorted(FOLDER.glob("*.yaml"))}
