"""The command line: one Typer app, one module a command. Errors that a user can mend are one line and exit code 2.

A command loads its own module only: the page's libraries are not needed to classify a file.
"""

from __future__ import annotations

import importlib
import os
import sys

import typer

from leeward import __version__
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


_COMMANDS = {
    "run": "run", "exec": "exec", "watch": "watch", "exchanges": "query", "flows": "query", "coverage": "query",
    "findings": "findings", "incidents": "incidents", "system": "incidents", "classify": "classify", "rules": "rules",
    "data": "data", "replay": "replay", "doctor": "doctor", "token": "token", "demo": "demo", "policy": "policy",
    "gateway": "gateway", "baseline": "baseline", "range": "range",
}  # fmt: skip


def _register(words: list[str]) -> None:
    """The command that is asked for; all of them for help and completion."""
    asked = _COMMANDS.get(words[0]) if words else None
    for name in [asked] if asked else dict.fromkeys(_COMMANDS.values()):
        importlib.import_module(f"leeward.cli.{name}").register(app)


def main() -> None:
    """Entry point of the `leeward` command."""
    _register(sys.argv[1:])
    try:
        app()
    except LeewardError as error:
        print(f"leeward: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output went away: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
