"""`leeward data`: indexes of the organisation's own data, for data.yaml. The files they are made of are not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leeward.cli.looking import DataConfig, looking
from leeward.cli.output import edge, print_line
from leeward.data.exactfile import build_exact
from leeward.data.fingerprints import build_fingerprints
from leeward.data.hashing import Keyed
from leeward.store.paths import data_key, state_dir

_app = typer.Typer(
    name="data",
    help="Your own sensitive data: indexes of tables and documents, and checks of data.yaml.",
    no_args_is_help=True,
)
_index = typer.Typer(
    name="index", help="Make an index. It holds keyed hashes only, for this installation.", no_args_is_help=True
)
_app.add_typer(_index)
Out = Annotated[Path, typer.Option("--out", "-o", help="The index file to write.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(_app)


@_index.command()
def table(
    csv: Annotated[Path, typer.Argument(help="A CSV file with a header.")],
    out: Out,
    column: Annotated[list[str] | None, typer.Option(help="Only this column; may be repeated.")] = None,
) -> None:
    """Of a table, such as your customers: its cells are recognised in prompts."""
    with edge():
        built = build_exact(csv, column or [], out, Keyed(data_key(state_dir())))
        left = ", ".join(f"{count} {why}" for why, count in sorted(built.left_out.items()) if count)
        print_line(f"{out}: {built.cells} cells of {built.rows} rows" + (f"; left out: {left}" if left else ""))


@_index.command()
def documents(
    paths: Annotated[list[Path], typer.Argument(help="Files and directories: text, PDF, office files, source code.")],
    out: Out,
) -> None:
    """Of documents or repositories: parts of them are recognised in prompts."""
    with edge():
        count, left = build_fingerprints(paths, out, Keyed(data_key(state_dir())))
        print_line(f"{out}: {count} documents" + (f"; left out, too short or no text: {left}" if left else ""))


@_app.command()
def check(config: DataConfig = None) -> None:
    """Reads the configuration as `leeward run` would, and says what is wrong with it."""
    with edge():
        looking(data_key(state_dir()), config)
        print_line("no complaints")
