"""`leeward watch`: what happens now, from the API's live stream."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from leeward.cli.client import Api, ApiError, connect
from leeward.cli.incidents import what
from leeward.cli.output import cell, console, edge, json_line, print_line, table
from leeward.cli.query import EXCHANGE_HEADS, exchange_row, short_time

RECONNECT_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Waits before the tries to come back after the stream broke; after the last the command ends with the error."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("watch")(watch)


def watch(
    types: Annotated[
        str, typer.Option(help="exchange, finding, incident, flow, coverage, system: one or more, with commas.")
    ] = "exchange,finding,incident",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Watch AI exchanges, findings and incidents as they happen. Ctrl-C ends it."""
    with edge():
        events = follow(connect(), types)
        try:
            if as_json:
                _lines_json(events)
            elif sys.stdout.isatty():
                _screen(events)
            else:
                _lines(events)
        except KeyboardInterrupt:
            return


def follow(api: Api, types: str) -> Iterator[dict[str, Any]]:
    """Records as they come, {} now and then when none does. Comes back after a broken stream, and to where it was."""
    last_id, failures = "", 0
    while True:
        try:
            for id_, _, data in api.stream(types, last_id):
                failures = 0
                last_id = id_ or last_id
                yield msgspec.json.decode(data) if data else {}
        except ApiError:
            if not last_id or failures >= len(RECONNECT_SECONDS):
                raise
        if failures >= len(RECONNECT_SECONDS):
            raise ApiError(f"{api.url} keeps ending the stream")
        time.sleep(RECONNECT_SECONDS[failures])
        failures += 1


def _lines_json(events: Iterator[dict[str, Any]]) -> None:
    for event in filter(None, events):
        json_line(event)
        sys.stdout.flush()


def _lines(events: Iterator[dict[str, Any]]) -> None:
    for event in filter(None, events):
        print_line(line(event))
        sys.stdout.flush()


def line(event: dict[str, Any]) -> str:
    """One record as one line of text."""
    kind = event.get("type")
    if kind == "exchange":
        return "  ".join(cell(value).plain for value in exchange_row(event) if value not in (None, ""))
    if kind == "lost":
        return f"lost {event.get('count')} events: this terminal reads too slowly"
    if kind == "flow":
        name = event.get("domain") or event.get("dst")
        return f"{short_time(event.get('time'))}  flow  {event.get('src')} -> {name}  {event.get('state')}"
    if kind == "finding":
        return f"{short_time(event.get('time'))}  {event.get('severity')}  {event.get('title')}  ({event.get('count')})"
    if kind == "incident":
        count = len(event.get("findings") or [])
        title = f"INCIDENT {event.get('severity')}  {event.get('title')}"
        return f"{short_time(event.get('time'))}  {title}  ({count} findings, {event.get('status')}, {event.get('id')})"
    if kind == "system":
        process = event.get("process") or {}
        return f"{short_time(event.get('time'))}  {event.get('kind')}  {process.get('exe')} ({process.get('pid')})  {what(event)}"
    if kind == "coverage":
        return f"coverage  {event.get('exe')} ({event.get('pid')})  {event.get('visible')}  {event.get('reason')}"
    return str(kind)


def _screen(events: Iterator[dict[str, Any]]) -> None:
    out = console()
    rows: deque[tuple[Any, ...]] = deque(maxlen=200)
    counts = {"exchanges": 0, "errors": 0, "lost": 0, "tokens in": 0, "tokens out": 0}

    def render() -> Group:
        head = "  ".join(f"{name} {count}" for name, count in counts.items())
        room = max(1, out.size.height - 4)
        return Group(Text(f"Leeward  {head}  (Ctrl-C ends)"), Text(), table(EXCHANGE_HEADS, list(rows)[:room]))

    with Live(render(), console=out, screen=True, auto_refresh=False) as live:
        for event in events:
            _count(event, counts)
            if event.get("type") == "exchange":
                rows.appendleft(exchange_row(event))
            elif event.get("type") in ("flow", "finding", "incident", "system", "coverage"):
                rows.appendleft((line(event),) + ("",) * (len(EXCHANGE_HEADS) - 1))
            live.update(render(), refresh=True)


def _count(event: dict[str, Any], counts: dict[str, int]) -> None:
    if event.get("type") == "lost":
        counts["lost"] += int(event.get("count") or 0)
    if event.get("type") != "exchange":
        return
    ai = event.get("gen_ai") or {}
    counts["exchanges"] += 1
    counts["errors"] += bool(event.get("error")) or ((event.get("http") or {}).get("status") or 0) >= 400
    counts["tokens in"] += ai.get("input_tokens") or 0
    counts["tokens out"] += ai.get("output_tokens") or 0
