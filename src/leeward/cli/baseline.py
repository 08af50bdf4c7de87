"""`leeward baseline`: what is normal for each workload, to look at, to give away and to accept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from leeward.cli.client import connect
from leeward.cli.output import edge, json_line, print_line, print_records
from leeward.cli.query import Json, short_time
from leeward.model.errors import InputError

_app = typer.Typer(name="baseline", help="What is normal for each workload, as it was learned.", no_args_is_help=True)
_HEADS = ("last seen", "workload", "since", ("hours", "right"), ("events", "right"), "knows", ("doubted", "right"))
_MOST = 12  # values of a feature that `show` prints

Name = Annotated[str, typer.Argument(help="A workload's id, or part of its name.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(_app)


@_app.command("list")
def list_(workload: Name = "", as_json: Json = False) -> None:
    """The workloads that are known, the one heard last first."""
    with edge():
        found = connect().get("/baselines", {"workload": workload})["baselines"]
        records = ({"type": "baseline", **record} for record in found)
        print_records(records, as_json, _HEADS, _row, "no workload is known yet")


@_app.command()
def show(workload: Name, as_json: Json = False) -> None:
    """What is normal for a workload."""
    with edge():
        found = connect().get("/baselines/export", {"workload": workload})["baselines"]
        if not found:
            raise InputError(f"no workload is called {workload!r}: leeward baseline list")
        for baseline in found:
            if as_json:
                json_line({"type": "baseline", **baseline})
            else:
                _show(baseline)


@_app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    workload: Annotated[str, typer.Option(help="Only of workloads with this in their id or name.")] = "",
) -> None:
    """Writes what was learned as a signed document, to be reviewed and given to another Leeward."""
    with edge():
        api = connect()
        content = api.raw("/baselines/export", {"workload": workload})
        try:
            file.write_bytes(content)
        except OSError as error:
            raise InputError(f"{file}: cannot be written: {error.strerror}: name another file") from error
        made = api.decoded(content)
        print_line(f"{len(made['baselines'])} baselines, signed by key {made['signature']['fingerprint']}")


@_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `leeward baseline export` wrote.")],
    key: Annotated[list[str], typer.Option(help="Fingerprint of a key that is trusted; may be repeated.")] = [],  # noqa: B006
    allow_unsigned: Annotated[bool, typer.Option("--allow-unsigned", help="Take it though nobody signed it.")] = False,
) -> None:
    """Takes a document as what to expect of its workloads, and of others with their images."""
    with edge():
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        body = {"document": text, "keys": key, "allow_unsigned": allow_unsigned}
        done = connect().post("/baselines/import", body)
        print_line(f"{done['imported']} baselines imported, signed by {done['signer'] or 'nobody'}")


@_app.command()
def accept(
    workload: Annotated[str, typer.Argument(help="The workload's id: leeward baseline list --json.")],
    feature: Annotated[str, typer.Argument(help="Only of this feature, e.g. destination.")] = "",
    value: Annotated[str, typer.Argument(help="Only this value.")] = "",
) -> None:
    """What was told as a deviation is normal from now on."""
    with edge():
        done = connect().post("/baselines/accept", {"workload": workload, "feature": feature, "value": value})
        print_line(f"{done['accepted']} accepted")


def _row(record: dict[str, Any]) -> tuple[Any, ...]:
    knows = ", ".join(f"{count} {name}" for name, count in record["usual"].items())
    return (
        short_time(record["last"]), record["name"] or record["workload"], short_time(record["since"]),
        record["active_hours"], record["events"], knows, record["doubted"] or "",
    )  # fmt: skip


def _show(baseline: dict[str, Any]) -> None:
    print_line(baseline["workload"])
    seen = f"since {short_time(baseline['since'])}, last {short_time(baseline['last'])}"
    print_line(f"  {seen}, active {baseline['active_hours']} h, {baseline['events']} events")
    for name, habit in baseline["usual"].items():
        print_line(f"  {name}:")
        for word in habit["values"][:_MOST]:
            doubted = f"  doubted: {word['doubted']} more days" if word.get("doubted") else ""
            print_line(f"    {word['share'] * 100:5.1f} %  {word['value']}  since {short_time(word['since'])}{doubted}")
        if len(habit["values"]) > _MOST:
            print_line(f"    and {len(habit['values']) - _MOST} more")
