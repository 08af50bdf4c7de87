"""What the page draws: who talked to whom, which AI assets there are, and numbers over time. Aggregates, never records.

Invariant: each answer is bounded (`MOST` rows); what is left out is counted in `cut`. Columns only, and the short `facts`; the
JSON of exchanges is not read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from leeward.model.finding import SEVERITIES
from leeward.store.history import span_of
from leeward.store.query import microseconds

MOST = 20_000
BUCKETS = 240
"""Points of a time line, at most."""
_MODEL = "CASE WHEN response_model <> '' THEN response_model ELSE request_model END"
_RANK = f"list_position([{', '.join(repr(s) for s in SEVERITIES)}], severity)"
_TOKENS = (
    "coalesce(sum(input_tokens), 0)::DOUBLE AS input_tokens, coalesce(sum(output_tokens), 0)::DOUBLE AS output_tokens"
)
_SEEN = "count(*) AS exchanges, epoch_ms(min(time)) AS first, epoch_ms(max(time)) AS last"
_ERRORS = "count(*) FILTER (status >= 400 OR error_type <> '') AS errors"


def drawn(con: Any, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """The map. conversations: by workload, service, model and operation. data: sensitive kinds by workload and service.
    connections: by workload, place, port and protocol. findings: the worst by workload and destination. Times are Unix ms."""
    where, span = span_of(since, until)
    conversations = _rows(
        con,
        "SELECT workload_id, any_value(workload_name) AS workload, any_value(workload_kind) AS workload_kind, "
        f"any_value(exe) AS exe, provider, domain, {_MODEL} AS model, operation, {_SEEN}, {_TOKENS}, {_ERRORS}, "
        "avg(duration_ms) AS duration_ms, any_value(dst) AS dst FROM exchanges "
        f"WHERE {where} GROUP BY workload_id, provider, domain, 7, operation ORDER BY exchanges DESC, 1, 5, 6, 7, 8",
        span,
    )
    data = _rows(
        con,
        "SELECT workload_id, domain, kind, side, count(*) AS matches, count(DISTINCT id) AS exchanges FROM ("
        'SELECT id, workload_id, domain, unnest(from_json(json_extract(facts, \'$.data\'), \'[{"kind":"VARCHAR",'
        f'"side":"VARCHAR"}}]\'), recursive := true) FROM exchanges WHERE {where} AND facts IS NOT NULL) '
        "GROUP BY ALL ORDER BY matches DESC, 1, 2, 3",
        span,
    )
    tools = _rows(
        con,
        "SELECT workload_id, domain, json_extract_string(call, '$.name') AS tool, count(*) AS calls FROM ("
        "SELECT workload_id, domain, unnest(json_extract(facts, '$.gen_ai.tool_calls[*]')) AS call FROM exchanges "
        f"WHERE {where} AND facts IS NOT NULL) GROUP BY ALL ORDER BY calls DESC, 1, 2, 3",
        span,
    )
    connections = _rows(
        con,
        "SELECT workload_id, any_value(workload_name) AS workload, any_value(exe) AS exe, direction, "
        "CASE WHEN domain <> '' THEN domain ELSE regexp_replace(dst, ':[0-9]+$', '') END AS place, "
        "coalesce(try_cast(regexp_extract(dst, ':([0-9]+)$', 1) AS INTEGER), 0) AS port, proto, l7, "
        "any_value(dst) AS dst, max(provider) AS provider, count(*) AS flows, sum(bytes_sent)::DOUBLE AS bytes_sent, "
        "sum(bytes_received)::DOUBLE AS bytes_received, epoch_ms(min(time)) AS first, epoch_ms(max(time)) AS last FROM flows "
        f"WHERE {where} AND workload_id <> '' AND state <> 'listening' AND "
        "(direction = 'outbound' OR (direction = 'unknown' AND port < 32768)) "
        "GROUP BY workload_id, direction, place, port, proto, l7 ORDER BY sum(bytes_sent) + sum(bytes_received) DESC, 1, 5, 6",
        span,
    )
    return _bounded(
        {"conversations": conversations, "data": data, "tools": tools, "connections": connections,
         "findings": _findings(con, where, span)}
    )  # fmt: skip


def _findings(con: Any, where: str, span: list[int]) -> list[dict[str, Any]]:
    return _rows(
        con,
        "SELECT workload_id, coalesce(json_extract_string(json, '$.subject.destination'), "
        "json_extract_string(json, '$.subject.domain'), '') AS destination, "
        f"max_by(severity, {_RANK}) AS severity, count(*) AS findings, sum(count)::DOUBLE AS occurrences, "
        f"list(DISTINCT rule ORDER BY rule) AS rules FROM findings WHERE {where} GROUP BY ALL ORDER BY 1, 2",
        span,
    )


def assets(con: Any, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """Every AI asset that was seen: kind, name, `about`, where it runs, since when, how often, and its worst finding."""
    where, span = span_of(since, until)
    by = f"{_SEEN}, {_TOKENS}, {_ERRORS}, list(DISTINCT workload_name ORDER BY workload_name) AS workloads"
    kinds = {
        "provider": ("provider AS name, '' AS about", "provider <> ''"),
        "model": (f"{_MODEL} AS name, provider AS about", f"{_MODEL} <> ''"),
        "endpoint": ("domain AS name, provider AS about", "domain <> '' AND provider <> 'mcp'"),
        "mcp-server": ("domain AS name, any_value(exe) AS about", "provider = 'mcp'"),
        "client": ("regexp_extract(user_agent, '^[^ (;]{1,80}') AS name, '' AS about", "user_agent <> ''"),
        "key": ("key_fingerprint AS name, provider AS about", "key_fingerprint <> ''"),
        "workload": ("workload_id AS name, any_value(workload_name) AS about", "workload_id <> ''"),
    }
    found: list[dict[str, Any]] = []
    for kind, (columns, only) in kinds.items():
        rows = _rows(con, f"SELECT {columns}, {by} FROM exchanges WHERE {where} AND {only} GROUP BY ALL", span)
        found += [{"kind": kind, **row} for row in rows]
    for path, about in (("$.gen_ai.tools[*].name", "offered"), ("$.gen_ai.tool_calls[*].name", "called")):
        rows = _rows(
            con,
            f"SELECT json_extract_string(tool, '$') AS name, '{about}' AS about, {by} FROM (SELECT *, "
            f"unnest(json_extract(facts, '{path}')) AS tool FROM exchanges WHERE {where} AND facts IS NOT NULL) GROUP BY ALL",
            span,
        )
        found += [{"kind": "tool", **row} for row in rows]
    stores = _rows(
        con,
        f"SELECT domain AS name, provider AS about, {by} FROM exchanges WHERE {where} AND operation LIKE "
        "'vector_%' GROUP BY ALL",
        span,
    )
    found += [{"kind": "vector-store", **row} for row in stores]
    libraries = _rows(
        con,
        "SELECT json_extract_string(json, '$.library') AS name, any_value(rung) AS about, count(*) AS processes, "
        "epoch_ms(min(recorded)) AS first, epoch_ms(max(recorded)) AS last, "
        "list(DISTINCT json_extract_string(json, '$.workload.name')) AS workloads FROM coverage GROUP BY 1 HAVING name <> ''",
        [],
    )
    found += [
        {"kind": "library", "exchanges": 0, "input_tokens": 0.0, "output_tokens": 0.0, "errors": 0, **row}
        for row in libraries
    ]
    risks: dict[str, tuple[str, int]] = {}
    for row in _findings(con, where, span):
        for name in (row["workload_id"], row["destination"]):
            worst, count = risks.get(name, ("info", 0))
            risks[name] = max(worst, row["severity"], key=SEVERITIES.index), count + row["findings"]
    seen = {
        row["workload_id"]: row
        for row in _rows(
            con,
            "SELECT workload_id, list(DISTINCT visible) AS visible, list(DISTINCT rung) AS rungs FROM coverage GROUP BY 1",
            [],
        )
    }
    for asset in found:
        asset["workloads"] = [name for name in asset["workloads"] if name][:50]
        severity, count = risks.get(asset["name"], ("", 0)) if asset["name"] else ("", 0)
        asset["severity"], asset["findings"] = severity, count
        covered = seen.get(asset["name"]) if asset["kind"] == "workload" else None
        asset["visible"] = covered["visible"] if covered else []
    return _bounded({"assets": sorted(found, key=lambda a: (-a["exchanges"], a["kind"], a["name"]))})


def over_time(con: Any, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """Exchanges, tokens, errors, bytes and findings in equal steps. step_ms: of time. start_ms: of the first."""
    first = con.execute("SELECT epoch_us(least((SELECT min(time) FROM exchanges), (SELECT min(time) FROM flows)))")
    row = first.fetchone()
    begin = microseconds(since) if since is not None else int(row[0] or 0) if row else 0
    end = microseconds(until) if until is not None else microseconds(datetime.now(UTC))
    step = max(1, -(-(end - begin) // BUCKETS))
    step = next((s * 10**6 for s in _STEPS if s * 10**6 >= step), step)
    begin -= begin % step
    where, span = span_of(_moment(begin), _moment(end))
    bucket = f"((epoch_us(time) - {begin}) // {step})::INTEGER AS bucket"
    points: dict[int, dict[str, float]] = {}
    for sql in (
        f"SELECT {bucket}, count(*) AS exchanges, {_TOKENS}, {_ERRORS} FROM exchanges",
        f"SELECT {bucket}, coalesce(sum(bytes_sent), 0)::DOUBLE AS bytes_sent, coalesce(sum(bytes_received), 0)::DOUBLE "
        "AS bytes_received, count(*) AS flows FROM flows",
        f"SELECT {bucket}, count(*) AS findings, count(*) FILTER (severity IN ('high', 'critical')) AS serious FROM findings",
    ):
        for record in _rows(con, f"{sql} WHERE {where} GROUP BY 1", span):
            points.setdefault(record.pop("bucket"), {}).update(record)
    return {
        "start_ms": begin // 1000,
        "step_ms": step // 1000,
        "points": [{"bucket": at, **points[at]} for at in sorted(points)],
    }


_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _bounded(lists: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    cut = sum(max(0, len(rows) - MOST) for rows in lists.values())
    return {**{name: rows[:MOST] for name, rows in lists.items()}, "cut": cut}


def _rows(con: Any, sql: str, parameters: list[int]) -> list[dict[str, Any]]:
    con.execute(f"{sql} LIMIT {MOST + 1}", parameters)
    names = [column[0] for column in con.description]
    return [dict(zip(names, row, strict=True)) for row in con.fetchall()]
