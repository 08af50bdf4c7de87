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

from leeward.cli.incident_page import page
from leeward.cli.output import one_line, table, visible
from leeward.model.coverage import Coverage
from leeward.model.errors import InputError
from leeward.model.exchange import Exchange
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.model.net import Flow
from leeward.model.system import SystemRecord
from leeward.store.rows import Record, to_json

SEVERITY_STYLES = {"info": "dim", "low": "cyan", "medium": "yellow", "high": "red", "critical": "bold red"}
_STATES = {"ok": ("✓", "green"), "partly": ("~", "yellow"), "missing": ("✗", "red")}


class Printer(Protocol):
    def ending(self) -> None:
        """What follows is the last that is known: flows that are still open are told too."""

    def records(self, records: Iterable[Record]) -> None: ...
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


class _Lines:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._ending = False
        self._incidents: dict[str, tuple[bytes, bytes]] = {}  # by id: as printed, and as it is now

    def _say(self, line: bytes) -> None:
        self._stream.write(line.decode() + "\n")
        self._stream.flush()

    def ending(self) -> None:
        self._ending = True

    def records(self, records: Iterable[Record]) -> None:
        for record in records:
            match record:
                case Exchange() | Finding() | SystemRecord():
                    self._say(to_json(record))
                case Incident():
                    self._incident(record.id, to_json(record), told=record.status == "merged")
                case Flow() if record.state == "closed" or self._ending:  # an open flow is told in the end
                    self._say(to_json(record))

    def _incident(self, id_: str, now: bytes, told: bool) -> None:
        """At once when it is new or merged into another; else in its last state, in the end."""
        printed, _ = self._incidents.get(id_, (b"", b""))
        if told or not printed:
            self._say(now)
            printed = now
        self._incidents[id_] = (printed, now)

    def stats(self, stats: dict[str, Any]) -> None:
        for printed, now in self._incidents.values():
            if now != printed:
                self._say(now)
        self._incidents.clear()
        for row in stats["coverage"]:
            self._say(to_json(row))
        self._say(msgspec.json.encode(stats))

    def check(self, check: Any) -> None:
        self._say(msgspec.json.encode(check))


class _People:
    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._incidents: dict[str, Incident] = {}

    def ending(self) -> None:
        """People are not told of flows."""

    def records(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, Exchange):
                self._console.print(_line(record))
            elif isinstance(record, Finding) and record.count == 1:
                self._console.print(_finding(record))
            elif isinstance(record, Incident):
                if record.id not in self._incidents:
                    self._console.print(_incident(record))
                self._incidents[record.id] = record

    def stats(self, stats: dict[str, Any]) -> None:
        for incident in self._incidents.values():
            if incident.status != "merged":
                self._console.print()
                for line in page(msgspec.to_builtins(incident)):
                    self._console.print(visible(line))
        if self._incidents:
            self._console.print()
        self._incidents.clear()
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
        (one_line(workload.name if workload else exchange.network.src, 40), "bold"),
        " → ",
        (one_line(exchange.network.domain or exchange.network.dst, 40), "cyan"),
        f"  {one_line(ai.operation, 20)}  {one_line(model, 40)}  {tokens} tokens  {exchange.duration_ms:.0f} ms  ",
        (one_line(f"{exchange.http.status or '-'} {error}", 40), "red" if error else "green"),
        "" if exchange.evidence.complete else "  (cut)",
    )


def _finding(finding: Finding) -> Text:
    lineage = finding.evidence[0].get("lineage", []) if finding.evidence else []
    return Text.assemble(
        (finding.time[11:23], "dim"),
        "  ",
        (f"{finding.severity} ", SEVERITY_STYLES[finding.severity]),
        (one_line(finding.title, 160), "bold"),
        f"  {one_line('; '.join(lineage), 200)}" if lineage else "",
    )


def _incident(incident: Incident) -> Text:
    return Text.assemble(
        (incident.time[11:23], "dim"),
        "  ",
        (f"incident {incident.severity} ", SEVERITY_STYLES[incident.severity]),
        (one_line(incident.title, 160), "bold"),
    )


def _coverage(rows: list[Coverage]) -> Table:
    heads = ("pid", "executable", "visible", "how", "why not more", "AI services")
    cells = []
    for row in rows:
        why = f"{row.reason} → {row.remedy}" if row.remedy else row.reason
        cells.append((row.pid, row.exe, row.visible, row.library or row.rung, why, ", ".join(row.services)))
    return table(heads, cells)
