"""How `exec`, `replay` and `doctor` speak: newline-delimited JSON for programs, a line an exchange and a summary for people.

Invariants: with JSON every line is one object with a "type", the last of a run is "stats". Text from traffic never
reaches a terminal with its control characters. Colours only on terminals (Rich sees to it).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leeward.model.coverage import Coverage
from leeward.model.errors import InputError
from leeward.model.exchange import Exchange
from leeward.model.net import Flow

_STATES = {"ok": ("✓", "green"), "partly": ("~", "yellow"), "missing": ("✗", "red")}


class Printer(Protocol):
    def records(self, records: Iterable[Exchange | Flow | Coverage]) -> None: ...
    def stats(self, stats: dict[str, Any]) -> None: ...
    def check(self, check: Any) -> None: ...


def printer(json: bool, output: Path | None = None) -> Printer:
    """The printer for these options. InputError if `output` cannot be written."""
    if output is None:
        stream: IO[str] = sys.stdout
    else:
        try:
            stream = output.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{output}: {error.strerror}: name a file that can be written") from error
    return _Lines(stream) if json or output else _People(stream)


def plain(text: str, most: int = 120) -> str:
    """One line of `text`, control characters made visible, at most `most` characters."""
    line = "".join(c if c.isprintable() else "�" if not c.isspace() else " " for c in text[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"


class _Lines:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._encode = msgspec.json.Encoder().encode

    def _write(self, value: object) -> None:
        self._stream.write(self._encode(value).decode() + "\n")
        self._stream.flush()

    def records(self, records: Iterable[Exchange | Flow | Coverage]) -> None:
        for record in records:
            match record:
                case Exchange():
                    self._write(record)
                case Flow() if record.state == "closed":  # an open flow is told when it closes, or in the end
                    self._write({"type": "flow", **msgspec.to_builtins(record)})

    def stats(self, stats: dict[str, Any]) -> None:
        for row in stats.pop("coverage"):
            self._write(row)
        self._write(stats)

    def check(self, check: Any) -> None:
        self._write(check)


class _People:
    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)

    def records(self, records: Iterable[Exchange | Flow | Coverage]) -> None:
        for record in records:
            if isinstance(record, Exchange):
                self._console.print(_line(record))

    def stats(self, stats: dict[str, Any]) -> None:
        coverage = stats["coverage"]
        if coverage:
            self._console.print(_coverage(coverage))
        lost = {k: v for k, v in stats.get("lost", {}).items() if v}
        head = f"{stats['exchanges']} AI exchanges in {stats['requests']} requests on {stats['flows']} flows; "
        self._console.print(head + (f"lost: {lost}" if lost else "nothing lost"), style="bold")

    def check(self, check: Any) -> None:
        sign, colour = _STATES[check.state]
        line = Text.assemble((f"{sign} ", colour), (f"{check.name}: ", "bold"), check.detail)
        if check.state != "ok" and check.remedy:
            line.append(f"  → {check.remedy}", "cyan")
        self._console.print(line)


def _line(exchange: Exchange) -> Text:
    ai, workload = exchange.gen_ai, exchange.workload
    tokens = f"{ai.input_tokens if ai.input_tokens is not None else '?'}→"
    tokens += str(ai.output_tokens if ai.output_tokens is not None else "?")
    model = ai.response_model or ai.request_model
    error = exchange.error.type or "error" if exchange.error else ""
    return Text.assemble(
        (exchange.time[11:23], "dim"),
        "  ",
        (plain(workload.name if workload else exchange.network.src, 40), "bold"),
        " → ",
        (plain(exchange.network.domain or exchange.network.dst, 40), "cyan"),
        f"  {plain(ai.operation, 20)}  {plain(model, 40)}  {tokens} tokens  {exchange.duration_ms:.0f} ms  ",
        (plain(f"{exchange.http.status or '-'} {error}", 40), "red" if error else "green"),
        "" if exchange.evidence.complete else "  (cut)",
    )


def _coverage(rows: list[Coverage]) -> Table:
    table = Table("pid", "executable", "visible", "how", "why not more", "AI services", title="Coverage", title_justify="left")
    for row in rows:
        why = f"{row.reason} → {row.remedy}" if row.remedy else row.reason
        cells = (row.exe, row.visible, row.library or row.rung, why, ", ".join(row.services))
        table.add_row(str(row.pid), *(Text(plain(cell, 160)) for cell in cells))
    return table
