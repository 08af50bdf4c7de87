"""`leeward findings`: what is wrong, with its evidence."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leeward.cli.client import connect
from leeward.cli.incident_page import posture
from leeward.cli.output import edge, print_line, print_records
from leeward.cli.query import Json, Limit, Since, Until, list_pages, path_part, short_time
from leeward.detect.rule import rules

_TOLD = ("type", "id", "time", "data", "lineage")
HEADS = ("last seen", "severity", "finding", "workload", ("count", "right"), ("sure", "right"), "id")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("findings")(findings)


def findings(
    id: Annotated[str, typer.Argument(help="Show this one, with its evidence.")] = "",
    since: Since = "", until: Until = "", limit: Limit = 50,
    rule: Annotated[str, typer.Option(help="Of this rule: leeward rules list.")] = "",
    severity: Annotated[str, typer.Option(help="info, low, medium, high or critical: this and worse.")] = "",
    workload: Annotated[str, typer.Option(help="Part of its name or id.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """What is wrong: findings, last changed first."""
    with edge():
        api = connect()
        if id:
            found = api.get(f"/findings/{path_part(id)}")
            if as_json:
                print_records([found], True, HEADS, row, "")
            else:
                _show(found)
            return
        records = list_pages(
            api, "findings", limit, since=since, until=until, rule=rule, severity=severity, workload=workload
        )
        print_records(records, as_json, HEADS, row, "no findings")


def row(finding: dict[str, Any]) -> tuple[Any, ...]:
    """A line of the table (HEADS)."""
    return (
        short_time(finding.get("last_seen")),
        finding.get("severity"),
        finding.get("title"),
        (finding.get("workload") or {}).get("name", ""),
        finding.get("count"),
        finding.get("confidence"),
        finding.get("id"),
    )


def _show(finding: dict[str, Any]) -> None:
    for name, value in _facts(finding).items():
        if value:
            print_line(f"{name:>10}: {value}")
    for evidence in finding.get("evidence") or []:
        print_line(f"{'evidence':>10}: {_evidence(evidence)}")
        for line in evidence.get("lineage") or []:
            print_line(f"{'lineage':>14}: {line}")
        for match in evidence.get("data") or []:
            where = " ".join(filter(None, (match.get("path"), match.get("inner"))))
            sure = f"{match.get('confidence')} by {match.get('detector')}"
            print_line(f"{match.get('kind'):>24}  {match.get('sample')}  {where}  {sure}")


def _evidence(evidence: dict[str, Any]) -> str:
    """One piece of evidence on a line: what kind of event, when, and what it says by its own names."""
    head = f"{evidence.get('type')} {evidence.get('id') or ''}".strip()
    told = [
        f"{name} {_value(value)}"
        for name, value in evidence.items()
        if name not in _TOLD and value not in ("", None, [], {})
    ]
    return f"{head} at {short_time(evidence.get('time'))}" + (f": {', '.join(told)}" if told else "")


def _value(value: Any) -> str:
    """Lists on one line; a number with a fraction to three places."""
    if isinstance(value, list):
        return " ".join(_value(item) for item in value[:12])
    if isinstance(value, dict):
        return " ".join(f"{name}={_value(item)}" for name, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _facts(finding: dict[str, Any]) -> dict[str, Any]:
    rule = rules().get(str(finding.get("rule")))
    process = finding.get("process") or {}
    tags = finding.get("tags") or {}
    first, last = short_time(finding.get("first_seen")), short_time(finding.get("last_seen"))
    return {
        "finding": finding.get("title"),
        "severity": f"{finding.get('severity')}, confidence {finding.get('confidence')}",
        "workload": (finding.get("workload") or {}).get("id"),
        "image": finding.get("image"),
        "about": ", ".join(f"{name} {value}" for name, value in (finding.get("subject") or {}).items() if value),
        "process": " ".join(map(str, [process.get("pid", ""), *(process.get("argv") or [process.get("exe", "")])])),
        "seen": f"{finding.get('count')} times, first {first}, last {last}",
        "network": "; ".join(posture(finding.get("network") or {})),
        "means": rule.means if rule else "",
        "do": rule.do if rule else "",
        "nothing if": rule.false_positives if rule else "",
        "tags": ", ".join(str(tag) for names in tags.values() for tag in names),
        "action": finding.get("action"),
    }
