"""The facts of an example in a policy file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from leeward.ai.datafile import Record, meant
from leeward.policy.facts import DATA_FIELDS, FACTS, nested

_PLAIN: dict[str, type] = {"string": str, "int": int, "bool": bool}


class Given:
    """Reads what is given. facts: those, nested. complaints: (line, where, what)."""

    def __init__(self, record: Record, where: str) -> None:
        self.complaints: list[tuple[int, str, str]] = []
        self._where = where
        found: dict[str, Any] = {}
        for group, value in record.items():
            fields = [name for name in FACTS if name.startswith(f"{group}.")]
            if group in FACTS:
                self._take(found, group, value, record.lines[group])
            elif not fields:
                self._unknown(record, group, {name.partition(".")[0] for name in FACTS})
            elif isinstance(value, Record):
                for field, inner in value.items():
                    if f"{group}.{field}" in FACTS:
                        self._take(found, f"{group}.{field}", inner, value.lines[field])
                    else:
                        self._unknown(value, field, {name.partition(".")[2] for name in fields})
            else:
                self._complain(record.lines[group], group, f"must have fields: {', '.join(fields)}")
        if "data" in found and "kinds" not in found:
            found["kinds"] = sorted({str(entry.get("kind", "")) for entry in found["data"]})
        self.facts = nested(found.items())

    def _complain(self, line: int, name: str, what: str) -> None:
        self.complaints.append((line, f"{self._where}.{name}", what))

    def _unknown(self, record: Record, name: str, known: set[str]) -> None:
        self._complain(record.lines[name], name, f"unknown field `{name}`{meant(name, known)}")

    def _take(self, found: dict[str, Any], name: str, value: Any, line: int) -> None:
        kind = FACTS[name].type
        if kind == "timestamp":
            value = _moment(value)
        good = (
            isinstance(value, datetime)
            if kind == "timestamp"
            else _texts(value)
            if kind == "list(string)"
            else isinstance(value, dict) and _texts(list(value.values()))
            if kind == "map(string, string)"
            else _pieces(value)
            if kind.startswith("list(map")
            else isinstance(value, _PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool))
        )
        if good:
            found[name] = dict(value) if isinstance(value, dict) else value
        else:
            self._complain(line, name, f"must be {'a time (ISO 8601)' if kind == 'timestamp' else f'of type {kind}'}")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _pieces(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("kind"), str) and entry.keys() <= set(DATA_FIELDS)
        for entry in value
    )


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
