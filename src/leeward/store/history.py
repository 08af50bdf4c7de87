"""What was seen, by distinct combinations of facts: a million exchanges are some hundreds of them.

Invariant: only what the wanted facts need is read; the answer is bounded. Names are those of `policy.facts`, and `data.FIELD` for
fields of the pieces of data, which have their `side` beside them. Rows of older versions have no column `facts`: their JSON
is read. Times are told to a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from leeward.policy.facts import DATA_FIELDS, FACTS, namespace_of
from leeward.policy.seen import Seen
from leeward.store.database import THREADS, error_line
from leeward.store.errors import QueryError, StoreError
from leeward.store.query import microseconds
from leeward.store.schema import SCHEMA_VERSION, stored_version

MOST = 200_000
"""Combinations of one answer."""
_MEMORY = "1GB"
_BODY = "coalesce(facts, json)"
_MODEL = "CASE WHEN request_model <> '' THEN request_model ELSE response_model END"
_COLUMNS = {
    "workload.id": "workload_id", "workload.name": "workload_name", "workload.kind": "workload_kind", "process.exe": "exe",
    "provider": "provider", "operation": "operation", "model": _MODEL, "destination.domain": "domain",
    "url": "split_part(url, '?', 1)", "key.fingerprint": "key_fingerprint",
}  # fmt: skip
#: From a column, by a function of what it holds.
_MADE = {"process.name": "exe", "destination.ip": "dst", "destination.port": "dst"}
_PATHS = {
    "workload.labels": "$.container.labels", "process.argv": "$.process.argv", "process.user": "$.process.user",
    "image.name": "$.container.image", "image.digest": "$.container.image_digest", "stream": "$.gen_ai.stream",
    "key.provider": "$.key.provider",
}  # fmt: skip
_IMAGE = {
    name: f'$.container.labels."org.opencontainers.{name}"'
    for name in ("image.revision", "image.source", "image.version")
}
_LISTS = {"process.ancestors": "$.process.ancestors[*].exe"}
_TOOLS = ("$.gen_ai.tools[*].name", "$.gen_ai.tool_calls[*].name")


class Connected(msgspec.Struct):
    """Connections of one workload to one place. provider: by the place's name."""

    workload: str
    domain: str
    dst: str
    proto: str
    provider: str
    count: int


def combinations(
    con: Any, names: Collection[str], since: datetime | None, until: datetime | None = None
) -> Iterator[Seen]:
    """Of the exchanges in a span of time. names: facts. Raises QueryError."""
    unknown = set(names) - FACTS.keys() - {f"data.{field}" for field in DATA_FIELDS}
    if unknown:
        raise QueryError(f"no such fact: {', '.join(sorted(unknown))[:80]}: docs/policies.md names them")
    columns = _select(names)
    chosen = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
    where, parameters = span_of(since, until)
    inner = f"SELECT {chosen + ', ' if chosen else ''}time, id FROM exchanges WHERE {where}"
    keys = ", ".join(f'"{name}"' for name in columns)
    rows = con.execute(
        f"SELECT {keys + ', ' if keys else ''}count(*), min(time), max(time), max_by(id, time) FROM ({inner})"
        f"{f' GROUP BY {keys}' if keys else ' HAVING count(*) > 0'} LIMIT {MOST + 1}",
        parameters,
    ).fetchall()
    if len(rows) > MOST:
        raise QueryError(
            f"more than {MOST} different combinations of {', '.join(sorted(names))}: ask for a shorter time"
        )
    for row in rows:
        raw = dict(zip(columns, row, strict=False))
        count, first, last, example = row[len(columns) :]
        yield Seen(_facts(raw, names), count, _iso(first), _iso(last), example)


def connections(con: Any, since: datetime | None, until: datetime | None = None) -> list[Connected]:
    """Outbound flows of processes that had exchanges, by workload. A process is known by its number alone, so one that got the
    number of another within the span counts as that one too."""
    where, parameters = span_of(since, until)
    rows = con.execute(
        f"WITH who AS (SELECT DISTINCT pid, workload_id FROM exchanges WHERE {where} AND pid > 0) "
        "SELECT who.workload_id, domain, dst, proto, coalesce(json_extract_string(json, '$.provider'), '') AS provider, count(*) "
        f"FROM flows JOIN who USING (pid) WHERE {where} AND direction = 'outbound' "
        f"GROUP BY ALL ORDER BY ALL LIMIT {MOST}",
        [*parameters, *parameters],
    ).fetchall()
    return [Connected(*row) for row in rows]


def open_file(path: Path) -> Any:
    """A connection to a database file that nobody writes to; nothing in it is changed. Raises StoreError."""
    if not path.is_file():
        raise StoreError(f"{path}: no such file")
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": THREADS,
        "memory_limit": _MEMORY,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": False,
    }
    try:
        con = duckdb.connect(str(path), read_only=True, config=config)
        con.execute("SET enable_external_access = false")
        version = stored_version(con)
    except duckdb.Error as error:
        raise StoreError(
            f"cannot open {path}: {error_line(error)}: of a Leeward that runs, ask without --database"
        ) from error
    if version != SCHEMA_VERSION:
        con.close()
        raise StoreError(f"{path} is of schema {version}, not {SCHEMA_VERSION}: start this Leeward on it once")
    return con


def span_of(since: datetime | None, until: datetime | None) -> tuple[str, list[int]]:
    """SQL of "in this span of time", and its parameters."""
    terms, parameters = ["true"], []
    for term, moment in (("time >= make_timestamp(?)", since), ("time < make_timestamp(?)", until)):
        if moment is not None:
            terms.append(term)
            parameters.append(microseconds(moment))
    return " AND ".join(terms), parameters


def _select(names: Iterable[str]) -> dict[str, str]:
    """SQL of what has to be told apart, by a name of its own."""
    made: dict[str, str] = {}
    for name in sorted(names):
        if name in _COLUMNS:
            made[name] = _COLUMNS[name]
        elif name in _MADE:
            made[_MADE[name]] = _MADE[name]
        elif name in _PATHS or name in _IMAGE:
            made[name] = f"json_extract({_BODY}, '{_PATHS.get(name) or _IMAGE[name]}')"
        elif name in _LISTS:
            made[name] = f"json_extract({_BODY}, '{_LISTS[name]}')"
        elif name == "tools":
            for number, path in enumerate(_TOOLS):
                made[f"tools{number}"] = f"json_extract({_BODY}, '{path}')"
        elif name == "workload.namespace":
            made["workload.id"] = _COLUMNS["workload.id"]
        elif name == "time":
            made["time"] = "time_bucket(INTERVAL 15 MINUTE, time)"
        elif name in ("data", "kinds"):
            made |= {f"data.{field}": _field(field) for field in ("kind", "side")}
        else:
            made[name] = _field(name.removeprefix("data."))
    return made


def _field(field: str) -> str:
    return f"json_extract({_BODY}, '$.data[*].{field}')"


def _facts(raw: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Values by the facts' names."""
    facts: dict[str, Any] = {}
    for name in names:
        if name in _COLUMNS:
            facts[name] = raw[name] or ""
        elif name == "process.name":
            facts[name] = (raw["exe"] or "").rpartition("/")[2]
        elif name in ("destination.ip", "destination.port"):
            facts[name] = raw["dst"] or ""
        elif name in _PATHS or name in _IMAGE:
            facts[name] = msgspec.json.decode(raw[name]) if raw[name] else None
        elif name in _LISTS:
            facts[name] = _listed(raw[name])
        elif name == "tools":
            facts[name] = list(dict.fromkeys([*_listed(raw["tools0"]), *_listed(raw["tools1"])]))
        elif name == "workload.namespace":
            facts[name] = namespace_of(raw["workload.id"] or "")
        elif name == "time":
            facts[name] = _iso(raw["time"])
    if "data" in names or "kinds" in names:
        facts["data"] = _data(raw)
    return facts


def _data(raw: dict[str, Any]) -> list[dict[str, Any]]:
    columns = {field: _listed(raw[f"data.{field}"]) for field in (*DATA_FIELDS, "side") if f"data.{field}" in raw}
    size = len(columns["kind"])
    if len(columns["side"]) != size:  # some have none
        columns["side"] = [""] * size
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _listed(values: Any) -> list[Any]:
    return [msgspec.json.decode(value) for value in values or () if value]


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat()
