"""`leeward incidents`: findings that belong together, and one of them on a page; `leeward system`: what processes did."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leeward.cli.client import Api, ApiError, connect
from leeward.cli.incident_page import page
from leeward.cli.output import edge, print_line, print_records
from leeward.cli.query import Json, Limit, Since, Until, list_pages, path_part, short_time

HEADS = ("last seen", "severity", "incident", "tactics", ("findings", "right"), "status", "id")
SYSTEM_HEADS = ("time", "kind", ("pid", "right"), "program", "what", "workload")
_SHOWN = 30  # findings of one incident that are looked up


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("incidents")(incidents)
    app.command("system")(system)


def incidents(
    id: Annotated[str, typer.Argument(help="Show this one on a page.")] = "",
    since: Since = "", until: Until = "", limit: Limit = 50,
    severity: Annotated[str, typer.Option(help="info, low, medium, high or critical: this and worse.")] = "",
    status: Annotated[str, typer.Option(help="open, closed or merged.")] = "",
    rule: Annotated[str, typer.Option(help="With a finding of this rule.")] = "",
    workload: Annotated[str, typer.Option(help="Part of its name or id.")] = "",
    triage: Annotated[str, typer.Option(help="active, acknowledged, suppressed, closed or open.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """What belongs together: incidents, last changed first."""
    with edge():
        api = connect()
        if id:
            found = api.get(f"/incidents/{path_part(id)}")
            if as_json:
                print_records([found], True, HEADS, row, "")
                return
            for line in page(found, _findings(api, found), api.get(f"/incidents/{path_part(id)}/triage")):
                print_line(line)
            return
        records = list_pages(
            api, "incidents", limit, since=since, until=until, severity=severity, status=status, rule=rule, workload=workload,
            triage=triage,
        )  # fmt: skip
        print_records(records, as_json, HEADS, row, "no incidents")


def system(
    since: Since = "", until: Until = "", limit: Limit = 50,
    kind: Annotated[str, typer.Option(help="exec, open, ptrace, mount ...")] = "",
    pid: Annotated[int, typer.Option(min=0, help="Of this process.")] = 0,
    exe: Annotated[str, typer.Option(help="Part of the program's path.")] = "",
    path: Annotated[str, typer.Option(help="Part of the file's path.")] = "",
    workload: Annotated[str, typer.Option(help="Part of its name or id.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Programs that began and what processes asked of the kernel, newest first."""
    with edge():
        records = list_pages(
            connect(), "system", limit, since=since, until=until, kind=kind, pid=pid or "", exe=exe, path=path, workload=workload
        )  # fmt: skip
        print_records(records, as_json, SYSTEM_HEADS, system_row, "no system events")


def row(incident: dict[str, Any]) -> tuple[Any, ...]:
    """A line of the table (HEADS)."""
    return (
        short_time(incident.get("last_seen")),
        incident.get("severity"),
        incident.get("title"),
        " > ".join(incident.get("tactics") or []),
        len(incident.get("findings") or []),
        incident.get("status"),
        incident.get("id"),
    )


def system_row(record: dict[str, Any]) -> tuple[Any, ...]:
    """A line of the table (SYSTEM_HEADS)."""
    process = record.get("process") or {}
    return (
        short_time(record.get("time")),
        record.get("kind"),
        process.get("pid"),
        process.get("exe"),
        what(record),
        (record.get("workload") or {}).get("name", ""),
    )


def what(record: dict[str, Any]) -> str:
    """What a system event was about, in a few words."""
    process, target = record.get("process") or {}, record.get("target") or {}
    if record.get("kind") == "exec":
        return " ".join(map(str, process.get("argv") or []))
    number = record.get("number")
    parts = (record.get("label"), record.get("source"), record.get("path"), number or "",
             f"-> {target.get('exe')} ({target.get('pid')})" if target else "")  # fmt: skip
    return " ".join(str(part) for part in parts if part)


def _findings(api: Api, incident: dict[str, Any]) -> list[dict[str, Any]]:
    """Its findings as they are now; those that are gone from the store are left out."""
    found = []
    for id_ in (incident.get("findings") or [])[:_SHOWN]:
        try:
            found.append(api.get(f"/findings/{path_part(str(id_))}"))
        except ApiError:
            continue
    return found
