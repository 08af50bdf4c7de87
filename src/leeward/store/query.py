"""Questions to the store and their answers: filters, pages, and the summary.

Invariants: newest first, in one total order (time, id), so that a cursor neither repeats nor skips a row that was there
when its page was read. A page is bounded in rows and bytes. User text only ever reaches SQL as a parameter.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

import msgspec

from leeward.model.finding import SEVERITIES
from leeward.model.triage import STATES
from leeward.store.errors import QueryError

LIMIT_MAX = 1_000
RECENT = 100_000
"""Rows, the newest, in which a search through whole records looks first."""
PAGE_BYTES = 16 * 1024 * 1024
"""A page ends early when its JSON would be longer (never with less than one row)."""
TOP = 50
"""Rows of each "by" table of the summary."""


class ExchangeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """since (inclusive) and until (exclusive): UTC. limit: 1 to LIMIT_MAX. cursor: a page's `next`.

    workload: part of its id or name. model: part of either model name. domain: part of the name. provider, operation:
    exact. status: a code, "2xx" to "5xx", or "error" (400 and up, or an error in the stream). Letter case is ignored.
    q: part of any name, address or URL, and with `content` of any message too.
    """

    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    cursor: str = ""
    workload: str = ""
    provider: str = ""
    operation: str = ""
    model: str = ""
    domain: str = ""
    status: str = ""
    q: str = ""
    content: bool = True


class FlowQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Times are those of a flow's last change. pid 0: any. state: "" or as in `model.net.Flow`. workload: part of its id or
    name."""

    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    cursor: str = ""
    domain: str = ""
    pid: int = 0
    state: str = ""
    workload: str = ""


class FindingQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Times are those of a finding's last change. rule: exact. severity: this one and worse. workload, q: part of a name; q also
    of the title. triage: "" (all), "active" (neither closed without news since, nor suppressed at `now`), or a state that
    somebody gave it (model/triage.py)."""

    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    cursor: str = ""
    rule: str = ""
    severity: str = ""
    workload: str = ""
    q: str = ""
    triage: str = ""
    now: datetime | None = None


class IncidentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Times are those of an incident's last change. severity: this one and worse. status: open, closed or merged; "": all but
    those merged. rule: one of its rules. workload: part of the id or name of any that takes part. q: part of the title, a
    workload or a rule. triage: as in FindingQuery."""

    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    cursor: str = ""
    severity: str = ""
    status: str = ""
    rule: str = ""
    workload: str = ""
    q: str = ""
    triage: str = ""
    now: datetime | None = None


class SystemQuery(msgspec.Struct, frozen=True, kw_only=True):
    """kind, label: exact. pid: of this process, and the programs that its children began as; 0: any. exe, path, workload: part of
    it."""

    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    cursor: str = ""
    kind: str = ""
    label: str = ""
    pid: int = 0
    exe: str = ""
    path: str = ""
    workload: str = ""


class TriageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """kind: "finding" | "incident" | "". target: id of one. state: exact."""

    limit: int = 100
    cursor: str = ""
    kind: str = ""
    target: str = ""
    state: str = ""


class Page(msgspec.Struct):
    """items: each record's JSON, newest first. next: the cursor of the following page, "" at the end."""

    items: list[str]
    next: str = ""


class _Where:
    def __init__(self) -> None:
        self.terms: list[str] = []
        self.parameters: list[Any] = []

    def add(self, term: str, *parameters: Any) -> None:
        self.terms.append(term)
        self.parameters += parameters

    def copy(self) -> _Where:
        made = _Where()
        made.terms, made.parameters = [*self.terms], [*self.parameters]
        return made

    def sql(self) -> str:
        return " AND ".join(self.terms) or "true"


def microseconds(moment: datetime) -> int:
    """Unix microseconds; a time without a zone is UTC. Exact, which float seconds are not."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def encode_cursor(time_us: int, id_: str) -> str:
    return base64.urlsafe_b64encode(f"{time_us}:{id_}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        time_us, id_ = raw.split(":", 1)
        number = int(time_us)
    except (ValueError, binascii.Error, UnicodeError):
        raise QueryError("cursor is not one that this server gave: use `next` of the page before, as it is") from None
    if not 0 <= number < 2**62:
        raise QueryError("cursor is out of range: use `next` of the page before, as it is")
    return number, id_


def exchanges_page(con: Any, query: ExchangeQuery) -> Page:
    where = _Where()
    _times(where, query.since, query.until)
    _workload(where, query.workload)
    if query.model:
        where.add("(contains(lower(request_model), lower(?)) OR contains(lower(response_model), lower(?)))",
                  query.model, query.model)  # fmt: skip
    if query.domain:
        where.add("contains(lower(domain), lower(?))", query.domain)
    for column in ("provider", "operation"):
        if value := getattr(query, column):
            where.add(f"lower({column}) = lower(?)", value)
    _status(where, query.status)
    if not query.q:
        return _page(con, "exchanges", where, query.limit, query.cursor)
    quick = where.copy()
    _search(where, query.q, query.content)
    return _page(con, "exchanges", where, query.limit, query.cursor, quick)


def flows_page(con: Any, query: FlowQuery) -> Page:
    where = _Where()
    _times(where, query.since, query.until)
    if query.domain:
        where.add("(contains(lower(domain), lower(?)) OR contains(lower(sni), lower(?)))", query.domain, query.domain)
    if query.workload:
        where.add("(contains(lower(workload_id), lower(?)) OR contains(lower(workload_name), lower(?)))",
                  query.workload, query.workload)  # fmt: skip
    if query.pid:
        where.add("pid = ?", query.pid)
    if query.state:
        where.add("state = ?", query.state)
    return _page(con, "flows", where, query.limit, query.cursor)


def findings_page(con: Any, query: FindingQuery) -> Page:
    where = _Where()
    _times(where, query.since, query.until)
    if query.rule:
        where.add("rule = ?", query.rule)
    _severity(where, query.severity)
    _workload(where, query.workload)
    if query.q:
        where.add("(contains(lower(title), lower(?)) OR contains(lower(workload_name), lower(?)))", query.q, query.q)
    _triaged(where, "finding", "findings", query.triage, query.now)
    return _page(con, "findings", where, query.limit, query.cursor)


def incidents_page(con: Any, query: IncidentQuery) -> Page:
    where = _Where()
    _times(where, query.since, query.until)
    _severity(where, query.severity)
    _workload(where, query.workload)
    if query.status:
        where.add("status = ?", query.status)
    else:
        where.add("status <> 'merged'")
    if query.rule:
        where.add("list_contains(str_split(rules, ' '), ?)", query.rule)
    if query.q:
        columns = ("title", "workload_name", "rules")
        where.add(f"({' OR '.join(f'contains(lower({c}), lower(?))' for c in columns)})", *[query.q] * len(columns))
    _triaged(where, "incident", "incidents", query.triage, query.now)
    return _page(con, "incidents", where, query.limit, query.cursor)


def system_page(con: Any, query: SystemQuery) -> Page:
    where = _Where()
    _times(where, query.since, query.until)
    for column in ("kind", "label"):
        if value := getattr(query, column):
            where.add(f"{column} = ?", value)
    if query.pid:
        where.add("(pid = ? OR (kind = 'exec' AND parent = ?))", query.pid, query.pid)
    for column in ("exe", "path"):
        if value := getattr(query, column):
            where.add(f"contains(lower({column}), lower(?))", value)
    _workload(where, query.workload)
    return _page(con, "system_events", where, query.limit, query.cursor)


def triage_page(con: Any, query: TriageQuery) -> Page:
    where = _Where()
    for column in ("kind", "target", "state"):
        if value := getattr(query, column):
            where.add(f"{column} = ?", value)
    return _page(con, "triage", where, query.limit, query.cursor)


def record_json(con: Any, table: str, id_: str) -> str | None:
    """table: one of the schema's, never a user's word."""
    row = con.execute(f"SELECT json FROM {table} WHERE id = ?", [id_]).fetchone()
    return str(row[0]) if row else None


def coverage_json(con: Any, limit: int = LIMIT_MAX) -> list[str]:
    """The ledger, newest first: the latest row of each (pid, exe)."""
    rows = con.execute("SELECT json FROM coverage ORDER BY recorded DESC, pid DESC, exe LIMIT ?", [limit]).fetchall()
    return [row[0] for row in rows]


def _times(where: _Where, since: datetime | None, until: datetime | None) -> None:
    if since is not None:
        where.add("time >= make_timestamp(?)", microseconds(since))
    if until is not None:
        where.add("time < make_timestamp(?)", microseconds(until))


def _severity(where: _Where, severity: str) -> None:
    if not severity:
        return
    if severity not in SEVERITIES:
        raise QueryError(f"severity {severity[:20]!r} is none: say {', '.join(SEVERITIES)}")
    worse = SEVERITIES[SEVERITIES.index(severity) :]
    where.add(f"severity IN ({', '.join('?' * len(worse))})", *worse)


def _workload(where: _Where, workload: str) -> None:
    if workload:
        where.add(
            "(contains(lower(workload_id), lower(?)) OR contains(lower(workload_name), lower(?)))", workload, workload
        )


def _triaged(where: _Where, kind: str, table: str, triage: str, now: datetime | None) -> None:
    if not triage:
        return
    if triage != "active" and triage not in STATES:
        raise QueryError(f"triage {triage[:20]!r} is none: say active, {', '.join(STATES)}")
    about = f"SELECT 1 FROM triage t WHERE t.kind = ? AND t.target = {table}.id AND "
    if triage == "active":
        ended = (
            "((t.state = 'closed' AND t.time >= {0}.time) OR (t.state = 'suppressed' AND t.until > make_timestamp(?)))"
        )
        moment = now if now is not None else datetime.now(UTC)
        where.add(f"NOT EXISTS ({about}{ended.format(table)})", kind, microseconds(moment))
    else:
        where.add(f"EXISTS ({about}t.state = ?)", kind, triage)


def _status(where: _Where, status: str) -> None:
    if not status:
        return
    text = status.lower()
    if text == "error":
        where.add("(status >= 400 OR error_type <> '')")
    elif len(text) == 3 and text[0] in "12345" and text[1:] == "xx":
        where.add("status BETWEEN ? AND ?", int(text[0]) * 100, int(text[0]) * 100 + 99)
    elif len(text) == 3 and text.isascii() and text.isdigit():
        where.add("status = ?", int(text))
    else:
        raise QueryError(f"status {status[:20]!r} is neither a code (429), a class (4xx) nor error")


def _search(where: _Where, q: str, content: bool) -> None:
    columns = ["id", "workload_id", "workload_name", "exe", "provider", "operation", "request_model",
               "response_model", "domain", "src", "dst", "key_fingerprint", "error_type"]  # fmt: skip
    terms = [f"contains(lower({column}), lower(?))" for column in columns]
    parameters = [q] * len(terms)
    # A URL's query can hold content (?prompt=), so who may not read content searches its path only.
    terms.append("contains(lower(url), lower(?))" if content else "contains(lower(split_part(url, '?', 1)), lower(?))")
    parameters.append(q)
    if content:
        # The text is searched as it stands in the JSON: quotes and newlines are escaped there.
        terms.append("contains(lower(json), lower(?))")
        parameters.append(msgspec.json.encode(q)[1:-1].decode())
    where.add(f"({' OR '.join(terms)})", *parameters)


def _page(con: Any, table: str, where: _Where, limit: int, cursor: str, quick: _Where | None = None) -> Page:
    """Keys first, then lengths, then as much JSON as fits: the sort never carries the payloads. quick: the same question without
    the terms that read whole records, if there are any."""
    if not 1 <= limit <= LIMIT_MAX:
        raise QueryError(f"limit {limit} is not between 1 and {LIMIT_MAX}")
    if cursor:
        time_us, id_ = decode_cursor(cursor)
        for each in (where, quick):
            if each is not None:
                each.add("(time < make_timestamp(?) OR (time = make_timestamp(?) AND id < ?))", time_us, time_us, id_)
    con.execute("BEGIN")
    try:
        keys = _recent_keys(con, table, where, limit, quick) if quick is not None else []
        if len(keys) <= limit:
            keys = _keys(con, table, where, limit)
        more = len(keys) > limit
        keys = keys[:limit]
        if not keys:
            return Page([])
        lengths = dict(_fetch(con, table, keys, "strlen(json)"))
        total = 0
        for count, (_, id_) in enumerate(keys):
            total += lengths[id_]
            if count and total > PAGE_BYTES:
                keys, more = keys[:count], True
                break
        bodies = dict(_fetch(con, table, keys, "json"))
    finally:
        con.execute("ROLLBACK")
    return Page([bodies[id_] for _, id_ in keys], encode_cursor(*keys[-1]) if more else "")


def _keys(con: Any, table: str, where: _Where, limit: int) -> list[tuple[int, str]]:
    """Time and id of the newest, one more than the limit if there are so many."""
    found: list[tuple[int, str]] = con.execute(
        f"SELECT epoch_us(time), id FROM {table} WHERE {where.sql()} ORDER BY time DESC, id DESC LIMIT ?",
        [*where.parameters, limit + 1],
    ).fetchall()
    return found


def _recent_keys(con: Any, table: str, where: _Where, limit: int, quick: _Where) -> list[tuple[int, str]]:
    """The same, of the newest rows only: most of what people search for is there, and all of a large table takes seconds. Right
    when it is more than the limit, or when there are no other rows; else perhaps too few."""
    edge = con.execute(
        f"SELECT time FROM {table} WHERE {quick.sql()} ORDER BY time DESC LIMIT 1 OFFSET {RECENT}", quick.parameters
    ).fetchone()
    if edge is None:  # a small table
        return []
    recent = where.copy()
    recent.add("time > ?", edge[0])
    return _keys(con, table, recent, limit)


def _fetch(con: Any, table: str, keys: list[tuple[int, str]], what: str) -> list[tuple[str, Any]]:
    ids = msgspec.json.encode([id_ for _, id_ in keys]).decode()
    rows: list[tuple[str, Any]] = con.execute(
        f"SELECT id, {what} FROM {table} WHERE time BETWEEN make_timestamp(?) AND make_timestamp(?) "
        "AND id IN (SELECT unnest(from_json(?, '[\"VARCHAR\"]')))",
        [keys[-1][0], keys[0][0], ids],
    ).fetchall()
    return rows


def summary(con: Any) -> dict[str, Any]:
    """Counts, tokens, errors and first and last times, in all and by provider, model and workload."""
    total = _rows(con, f"SELECT {_TOTALS}, min(time) AS first, max(time) AS last FROM exchanges")[0]
    for edge in ("first", "last"):
        moment = total[edge]
        total[edge] = f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}" if moment else ""
    for table in ("flows", "coverage", "findings", "incidents", "system_events"):
        total[table] = con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    model = "CASE WHEN response_model <> '' THEN response_model ELSE request_model END"
    total["by_provider"] = _by(con, "provider")
    total["by_model"] = _by(con, "provider", f"{model} AS model")
    total["by_workload"] = _by(con, "workload_id AS id", "workload_name AS name", "workload_kind AS kind")
    return total


def _sum(column: str) -> str:
    """Sums are 128 bits wide in DuckDB; a hostile server can report 2^63 tokens, twice."""
    return f"greatest(0, least(coalesce(sum({column}), 0), {2**63 - 1}))::BIGINT AS {column}"


_TOTALS = (
    f"count(*) AS exchanges, {_sum('input_tokens')}, {_sum('output_tokens')}, "
    "count(*) FILTER (status >= 400 OR error_type <> '') AS errors, "
    "count(*) FILTER (NOT complete) AS incomplete"
)


def _by(con: Any, *columns: str) -> list[dict[str, Any]]:
    names = ", ".join(columns)
    return _rows(con, f"SELECT {names}, {_TOTALS} FROM exchanges GROUP BY ALL ORDER BY exchanges DESC, 1 LIMIT {TOP}")


def _rows(con: Any, sql: str) -> list[dict[str, Any]]:
    con.execute(sql)
    names = [column[0] for column in con.description]
    return [dict(zip(names, row, strict=True)) for row in con.fetchall()]
