"""`leeward exchanges`, `flows` and `coverage`: questions to the store, asked through the API."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from leeward.cli.client import Api, connect
from leeward.cli.output import console, edge, print_line, print_records, visible

Since = Annotated[str, typer.Option(help="How far back: 15m, 2h, 7d, or a time (ISO 8601, UTC).")]
Until = Annotated[str, typer.Option(help="Up to when, in the same forms.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_CONTENT_CHARACTERS = 100_000
"""Of one message shown in the conversation; `--json` has all of it."""

EXCHANGE_HEADS = ("time", "workload", "provider", "model", "operation", ("in", "right"), ("out", "right"),
                  ("ms", "right"), ("ttft", "right"), ("status", "right"))  # fmt: skip
FLOW_HEADS = ("time", "proto", "from", "to", "domain", "l7", "content", "state", ("sent", "right"), ("received", "right"),
              ("pid", "right"))  # fmt: skip
COVERAGE_HEADS = ("workload", ("pid", "right"), "exe", "visible", "rung", "held", "reason", "remedy", "services",
                  ("exchanges", "right"))  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("exchanges")(exchanges)
    app.command("flows")(flows)
    app.command("coverage")(coverage)


def exchanges(
    id: Annotated[str, typer.Argument(help="Show this one, with its conversation.")] = "",
    since: Since = "", until: Until = "", limit: Limit = 50,
    workload: Annotated[str, typer.Option(help="Part of its name or id.")] = "",
    provider: Annotated[str, typer.Option(help="openai, anthropic, ollama ...")] = "",
    model: Annotated[str, typer.Option(help="Part of its name.")] = "",
    domain: Annotated[str, typer.Option(help="Part of the host's name.")] = "",
    status: Annotated[str, typer.Option(help="429, 4xx or error.")] = "",
    q: Annotated[str, typer.Option("--search", "-q", help="Part of any name or message.")] = "",
    full: Annotated[bool, typer.Option("--full", help="With the conversation.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Who asked which model what: AI exchanges, newest first."""
    with edge():
        api = connect()
        if id:
            found = [api.get(f"/exchanges/{path_part(id)}")]
            _show(found, as_json, full=True)
            return
        records = list_pages(api, "exchanges", limit, since=since, until=until, workload=workload, provider=provider,
                        model=model, domain=domain, status=status, q=q)  # fmt: skip
        _show(records, as_json, full)


def flows(
    since: Since = "", until: Until = "", limit: Limit = 50,
    domain: Annotated[str, typer.Option(help="Part of the host's name.")] = "",
    pid: Annotated[int, typer.Option(min=0, help="Of this process.")] = 0,
    state: Annotated[str, typer.Option(help="open, closed or listening.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Connections, last changed first."""
    with edge():
        records = list_pages(
            connect(), "flows", limit, since=since, until=until, domain=domain, pid=pid or "", state=state
        )
        print_records(records, as_json, FLOW_HEADS, flow_row, "no flows")


def coverage(as_json: Json = False) -> None:
    """What is seen of each process that talks to AI, why not more, and what would mend it."""
    with edge():
        records = connect().get("/coverage")["coverage"]
        print_records(records, as_json, COVERAGE_HEADS, coverage_row, "no process has talked to an AI service yet")


def exchange_row(x: dict[str, Any]) -> tuple[Any, ...]:
    """A line of the table (EXCHANGE_HEADS)."""
    ai = x.get("gen_ai") or {}
    return (
        short_time(x.get("time")),
        (x.get("workload") or {}).get("name", ""),
        ai.get("provider"),
        ai.get("response_model") or ai.get("request_model"),
        ai.get("operation"),
        ai.get("input_tokens"),
        ai.get("output_tokens"),
        _whole(x.get("duration_ms")),
        _whole(ai.get("time_to_first_token_ms")),
        _status(x),
    )


def flow_row(flow: dict[str, Any]) -> tuple[Any, ...]:
    """A line of the table (FLOW_HEADS)."""
    return (
        short_time(flow.get("time")),
        flow.get("proto"),
        flow.get("src"),
        flow.get("dst"),
        flow.get("domain") or flow.get("sni"),
        flow.get("l7"),
        flow.get("content"),
        flow.get("state"),
        flow.get("bytes_sent"),
        flow.get("bytes_received"),
        flow.get("pid"),
    )


def coverage_row(row: dict[str, Any]) -> tuple[Any, ...]:
    """A line of the table (COVERAGE_HEADS)."""
    return (
        (row.get("workload") or {}).get("name", ""),
        row.get("pid"),
        row.get("exe"),
        row.get("visible"),
        row.get("rung"),
        row.get("held", ""),
        row.get("reason"),
        row.get("remedy"),
        ", ".join(map(str, row.get("services") or ())),
        row.get("exchanges"),
    )


def short_time(text: Any) -> str:
    """An ISO time to the millisecond, as people read it (UTC)."""
    return str(text or "").replace("T", " ")[:23]


def list_pages(api: Api, name: str, limit: int, **parameters: Any) -> Any:
    """Up to `limit` records of a list of the API."""
    return api.pages(f"/{name}", name, limit, parameters)


def path_part(text: str) -> str:
    """`text` as one segment of a URL's path."""
    return quote(text, safe="")


def _show(records: Any, as_json: bool, full: bool) -> None:
    if as_json or not full:
        print_records(records, as_json, EXCHANGE_HEADS, exchange_row, "no exchanges")
        return
    for record in records:
        _conversation(record)


def _conversation(x: dict[str, Any]) -> None:
    ai, network, process = x.get("gen_ai") or {}, x.get("network") or {}, x.get("process") or {}
    out = console()
    out.rule(visible(f"{x.get('id')}  {short_time(x.get('time'))}"))
    facts = {
        "workload": (x.get("workload") or {}).get("id"),
        "process": f"{process.get('pid')} {' '.join(map(str, process.get('argv') or [process.get('exe', '')]))}",
        "to": f"{network.get('domain')} ({network.get('dst')})",
        "model": f"{ai.get('provider')} {ai.get('operation')} {ai.get('request_model')} -> {ai.get('response_model')}",
        "tokens": f"{_known(ai.get('input_tokens'))} in, {_known(ai.get('output_tokens'))} out",
        "time": f"{_whole(x.get('duration_ms'))} ms, status {_status(x)}",
        "key": (x.get("key") or {}).get("fingerprint"),
        "evidence": ", ".join(
            f"{name}={value}" for name, value in (x.get("evidence") or {}).items() if value not in ("", [], False)
        ),
        "error": (x.get("error") or {}).get("message"),
    }
    for name, value in facts.items():
        if value:
            print_line(f"{name:>9}: {value}")
    for tool in ai.get("tools") or []:
        print_line(f"{'tool':>9}: {tool.get('name')}  {str(tool.get('description', ''))[:200]}")
    for message in [*(ai.get("input") or []), *(ai.get("output") or [])]:
        _message(message)
    print()


def _message(message: dict[str, Any]) -> None:
    print()
    print_line(" ".join(str(part) for part in (f"[{message.get('role')}]", message.get("name")) if part))
    for name in ("reasoning", "content"):
        if text := str(message.get(name) or ""):
            label = "(reasoning) " if name == "reasoning" else ""
            rest = len(text) - _CONTENT_CHARACTERS
            cut = f"\n... and {rest} characters more: see --json" if rest > 0 else ""
            print(label + visible(text[:_CONTENT_CHARACTERS], lines=True) + cut)
    for part in message.get("parts") or []:
        print_line(f"(part) {part}"[:500])
    for call in message.get("tool_calls") or []:
        print_line(f"(calls) {call.get('name')}({str(call.get('arguments'))[:_CONTENT_CHARACTERS]})")


def _status(x: dict[str, Any]) -> str:
    status = (x.get("http") or {}).get("status")
    error = (x.get("error") or {}).get("type") or ("error" if x.get("error") else "")
    whole = "" if (x.get("evidence") or {}).get("complete", True) else "incomplete"
    return " ".join(str(part) for part in (status, error, whole) if part)


def _whole(value: Any) -> str:
    return str(round(value)) if isinstance(value, int | float) else ""


def _known(value: Any) -> str:
    return "?" if value is None else str(value)
