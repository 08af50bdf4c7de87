"""The plain status page, until the real one comes: rendered here, no script, nothing loaded from anywhere.

Invariant: every value passes through `_text`, which makes control characters visible and escapes HTML.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from leeward.api.visible import one_line

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b2430}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}"
    "th{font-weight:600;color:#4a5765}td{overflow-wrap:anywhere}.bad{color:#a4161a;font-weight:600}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}form{display:inline}"
    "input,button{font:inherit;padding:.3rem .6rem}header{display:flex;justify-content:space-between}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CSP = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""For every answer of the server: what the page needs and nothing else."""
REFRESH_SECONDS = 5
_LOSSES = ("drop", "lost", "lose", "full", "error", "evict", "trunc", "gap", "refus", "unreadable", "unencodable")


def login_page(problem: str = "") -> str:
    said = f'<p class="bad">{_text(problem)}</p>' if problem else ""
    return _document(
        f"<h1>Leeward</h1>{said}<p>Paste the token that was printed at the first start (or one from "
        "<code>leeward token create</code>).</p>"
        '<form method="post" action="/login"><input type="password" name="token" autocomplete="current-password" '
        'size="50" required autofocus aria-label="Token"> <button>Log in</button></form>'
    )


def status_page(
    *,
    who: str,
    status: Mapping[str, Any],
    health: Mapping[str, Any],
    counters: Mapping[str, Mapping[str, int]],
    coverage: Iterable[Mapping[str, Any]],
    exchanges: Iterable[Mapping[str, Any]],
    findings: Iterable[Mapping[str, Any]],
) -> str:
    """The page for someone who is logged in. No message content is on it, whatever their role."""
    trouble = "" if health.get("ok") else f'<p class="bad">{_text(health.get("reason"))}</p>'
    counts = [(f"{room}.{name}", value) for room, names in counters.items() for name, value in sorted(names.items())]
    flat = [(name, value) for name, value in _flatten(status) if name not in ("version", "uptime_s")]
    return _document(
        f'<header><h1>Leeward {_text(status.get("version", ""))}</h1><form method="post" action="/logout">'
        f"{_text(who)} <button>Log out</button></form></header>"
        f"<p>Up {_text(_span(status.get('uptime_s')))}.</p>{trouble}"
        f"<h2>Who talks to AI</h2>{_table(_COVERAGE, map(_coverage_row, coverage))}"
        f"<h2>Findings</h2>{_table(_FINDINGS, map(_finding_row, findings))}"
        f"<h2>Last exchanges</h2>{_table(_EXCHANGES, map(_exchange_row, exchanges))}"
        f"<h2>Counters</h2>{_table(('counter', 'value'), [*counts, *flat], mark_losses=True)}",
        refresh=True,
    )


_COVERAGE = ("workload", "process", "visible", "how", "why not more", "what would mend it", "services", "exchanges")
_FINDINGS = ("last seen", "severity", "finding", "workload", "came from", "count")
_EXCHANGES = ("time", "workload", "provider", "model", "operation", "host", "tokens in", "out", "ms", "status")


def _coverage_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        (row.get("workload") or {}).get("name", ""),
        f"{row.get('exe', '')} ({row.get('pid', '')})",
        row.get("visible"),
        row.get("rung"),
        row.get("reason"),
        row.get("remedy"),
        ", ".join(map(str, row.get("services") or ())),
        row.get("exchanges"),
    )


def _finding_row(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    lineage = [line for evidence in finding.get("evidence") or () for line in evidence.get("lineage") or ()]
    return (
        str(finding.get("last_seen", ""))[:19].replace("T", " "),
        finding.get("severity"),
        finding.get("title"),
        (finding.get("workload") or {}).get("name", ""),
        "; ".join(dict.fromkeys(lineage)),
        finding.get("count"),
    )


def _exchange_row(x: Mapping[str, Any]) -> tuple[Any, ...]:
    ai = x.get("gen_ai") or {}
    return (
        str(x.get("time", ""))[:23].replace("T", " "),
        (x.get("workload") or {}).get("name", ""),
        ai.get("provider"),
        ai.get("response_model") or ai.get("request_model"),
        ai.get("operation"),
        (x.get("network") or {}).get("domain"),
        ai.get("input_tokens"),
        ai.get("output_tokens"),
        round(x.get("duration_ms") or 0),
        (x.get("http") or {}).get("status"),
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[Any]], mark_losses: bool = False) -> str:
    body = []
    for row in rows:
        cells = list(row)
        bad = mark_losses and bool(cells[1]) and any(word in str(cells[0]) for word in _LOSSES)
        body.append("<tr>" + "".join(_cell(cell, bad) for cell in cells) + "</tr>")
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>" if body else "<p>None yet.</p>"
    )


def _cell(value: Any, bad: bool) -> str:
    classes = " ".join([*(["n"] if isinstance(value, int | float) else []), *(["bad"] if bad else [])])
    return f'<td class="{classes}">{_text(value)}</td>' if classes else f"<td>{_text(value)}</td>"


def _flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        flat += _flatten(item, f"{name}.") if isinstance(item, Mapping) else [(name, item)]
    return flat


def _text(value: Any) -> str:
    return "" if value is None else escape(one_line(str(value), 300), quote=True)


def _span(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "for an unknown time"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h {minutes} min" if days else f"{hours} h {minutes} min {rest} s"


def _document(body: str, refresh: bool = False) -> str:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">{again}<title>Leeward</title><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>"
    )
