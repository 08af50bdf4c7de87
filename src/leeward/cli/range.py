"""`leeward range`: the proving ground's scenarios, attacks and honest workloads, with what was found of each (development).

The scenarios are no part of the wheel: a source checkout has them.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from leeward.cli.output import console, edge, json_line, print_line, table
from leeward.model.errors import HostError
from leeward.sensor.host import need_root

_app = typer.Typer(name="range", help="The proving ground: scenarios and what is found of them.", no_args_is_help=True)
Names = Annotated[
    list[str] | None, typer.Argument(help="Scenarios by name; attack, honest, or all.", metavar="NAME...")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(_app)


def _ranging() -> Any:
    """The proving ground of a source checkout."""
    root = Path(__file__).parents[3]
    if not (root / "range/proving/ranging.py").is_file() or not (root / ".venv-range/bin/python").exists():
        raise HostError("the range needs a source checkout and its clients: run `make setup-range` there")
    sys.path.insert(0, str(root / "range"))
    return importlib.import_module("proving.ranging")


@_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All scenarios and what must be found of each."""
    with edge():
        picked = _ranging().chosen(["all"])
        heads = ("scenario", "kind", "title", "must be found", "imitates")
        records = [
            {
                "type": "scenario",
                "name": s.name,
                "kind": s.kind,
                "title": s.title,
                "must": [m.rule for m in s.must],
                "imitates": s.imitates,
            }
            for s in picked
        ]
        if as_json:
            for record in records:
                json_line(record)
            return
        rows = [(r["name"], r["kind"], r["title"], " ".join(r["must"]), r["imitates"]) for r in records]
        console().print(table(heads, rows))


@_app.command("run")
def run(
    names: Names = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="From the recorded logs: nothing is started.")] = False,
    day: Annotated[bool, typer.Option("--day", help="Those that are told over 24 hours, from their logs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Runs scenarios under the sensor and compares what is found with the truth. Exit 1 if anything is missed or wrong."""
    bad = False
    with edge():
        ranging = _ranging()
        if not (recorded or day):
            need_root()
        rows = []
        for verdict in ranging.verdicts(ranging.chosen(names or ["all"]), recorded=recorded or day, day=day):
            bad |= not verdict.good
            if as_json:
                json_line(ranging.as_record(verdict))
            else:
                rows.append(ranging.row(verdict))
        if not as_json:
            console().print(table(ranging.HEADS, rows))
    raise typer.Exit(int(bad))


@_app.command("record")
def record(names: Names = None) -> None:
    """Runs scenarios and keeps what the detectors were fed, for the tests."""
    bad = False
    with edge():
        need_root()
        ranging = _ranging()
        for scenario, path, reason in ranging.keep(ranging.chosen(names or ["all"])):
            bad |= bool(reason)
            print_line(f"{scenario.name}: {reason or f'{path.name}, {path.stat().st_size} bytes'}")
    raise typer.Exit(int(bad))
