"""The command line: one Typer app, one module a command. Errors that a user can mend are one line and exit code 2."""

from __future__ import annotations

import os
import sys

import typer

from leeward import __version__
from leeward.cli import classify, data, demo, doctor, exec, findings, query, replay, rules, run, token, watch
from leeward.model.errors import LeewardError

app = typer.Typer(
    name="leeward",
    help="Runtime security for AI workloads: who talks to which model, with what data, and what came of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"leeward {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


for module in (run, exec, watch, query, findings, classify, rules, data, replay, doctor, token, demo):
    module.register(app)


def main() -> None:
    """Entry point of the `leeward` command."""
    try:
        app()
    except LeewardError as error:
        print(f"leeward: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output went away: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
