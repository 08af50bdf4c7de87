"""How commands print: tables for people, NDJSON for programs, and nothing that traffic could use against a terminal.

Invariants: text from traffic passes `visible` before it is printed; colours only reach a terminal; a reader that goes
away (`| head`) ends the command quietly.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leeward.api.visible import one_line, visible
from leeward.model.errors import LeewardError

USAGE = 2
"""Exit code for bad input or usage (DESIGN §6)."""
PIPE_WIDTH = 200
"""Columns of a table that goes to a file or pipe, where there is no terminal to ask."""

__all__ = ["cell", "console", "edge", "json_line", "one_line", "print_line", "table", "visible"]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would exit with 1; `edge` ends quietly instead."""
        raise BrokenPipeError


def console() -> Console:
    """For stdout as it is now. No markup, no emoji codes, no highlighting: what is printed is what was said."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return _Console(markup=False, emoji=False, highlight=False, width=width)


@contextmanager
def edge() -> Iterator[None]:
    """Around a command's body: a LeewardError becomes one line on stderr and exit 2, a closed pipe a quiet end."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A locale that cannot show a character is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except LeewardError as error:
        print(f"leeward: {visible(str(error))}", file=sys.stderr)
        raise typer.Exit(USAGE) from None
    except BrokenPipeError:
        # Python would flush stdout once more at exit and complain: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def json_line(record: Any) -> None:
    """One record as a line of JSON. What a terminal may act on is escaped, which means the same."""
    text = msgspec.json.encode(record).decode()
    print(text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text))


def print_line(text: str) -> None:
    """One line of plain text, made visible."""
    print(visible(text))


def cell(value: Any, limit: int = 60) -> Text:
    """A value for a table: "" for None, on one line, made visible, cut at `limit`."""
    return Text("" if value is None else one_line(str(value), limit))


def table(heads: Sequence[str | tuple[str, str]], rows: Iterable[Sequence[Any]]) -> Table:
    """A table. A head may be (name, "right"). Cells that are rich Text stay as they are."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        name, justify = head if isinstance(head, tuple) else (head, "left")
        made.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    for row in rows:
        made.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return made


def print_records(
    records: Iterable[dict[str, Any]],
    as_json: bool,
    heads: Sequence[str | tuple[str, str]],
    row: Callable[[dict[str, Any]], Sequence[Any]],
    none: str,
) -> None:
    """NDJSON as it comes, or one table. `none` is said (on stderr) when there is nothing to show."""
    if as_json:
        for record in records:
            json_line(record)
        return
    rows = [row(record) for record in records]
    if rows:
        console().print(table(heads, rows))
    else:
        print(none, file=sys.stderr)
