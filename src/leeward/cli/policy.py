"""`leeward policy`: check and try policies, simulate them over what was seen, make them from it; the audit log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from leeward.api.times import parse_time
from leeward.cli.client import connect
from leeward.cli.output import edge, json_line, print_line, print_records, visible
from leeward.cli.query import Json
from leeward.model.errors import InputError
from leeward.policy import generate as generation
from leeward.policy.audit import verify as verify_log
from leeward.policy.facts import endpoint
from leeward.policy.policies import Policies
from leeward.policy.seen import Seen
from leeward.policy.simulate import Simulation, simulate, wanted_names
from leeward.policy.trial import try_policy
from leeward.store import history
from leeward.store.history import Connected

_app = typer.Typer(name="policy", help="Policies: what may be done with AI, by whom.", no_args_is_help=True)
_audit = typer.Typer(name="audit", help="The audit log of decisions and changes.", no_args_is_help=True)
_app.add_typer(_audit)

Paths = Annotated[list[Path], typer.Argument(help="Policy files, and folders of them.")]
Back = Annotated[str, typer.Option(help="How far back: 15m, 2h, 7d, or a time (ISO 8601, UTC).")]
DatabaseFile = Annotated[
    Path | None,
    typer.Option("--database", help="A store's file that no Leeward has open; else the one that runs is asked."),
]
_OUTCOME_HEADS = (
    "would",
    "rule",
    "policy",
    "workload",
    "provider",
    "model",
    "domain",
    ("exchanges", "right"),
    "exception",
    "example",
)
_TRIAL_HEADS = ("", "policy", "example", "action", "rule", "wrong")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(_app)


@_app.command()
def check(paths: Paths, as_json: Json = False) -> None:
    """Reads policies and says what is wrong with them, with file and line. Warnings do not fail."""
    with edge():
        policies = _load(paths)
        now = datetime.now(UTC).date()
        warnings = list(policies.warnings)
        for policy in policies.policies:
            warnings += [
                f"{policy.source}:{waiver.line}: exception {waiver.name} of {waiver.owner} expired on {waiver.expires}: "
                "renew it or take it out"
                for waiver in policy.waivers
                if waiver.expires < now
            ]
        for warning in warnings:
            print(visible(f"warning: {warning}"), file=sys.stderr)
        if as_json:
            for policy in policies.policies:
                json_line(_about(policy, warnings))
        else:
            rules = sum(len(policy.rules) for policy in policies.policies)
            print_line(f"no complaints: {len(policies.policies)} policies, {rules} rules")


def _about(policy: Any, warnings: list[str]) -> dict[str, Any]:
    return {
        "type": "policy", "name": policy.name, "file": policy.source, "mode": policy.mode, "owner": policy.owner,
        "rules": [{"name": r.name, "stage": r.stage, "action": r.action, "kinds": sorted(r.kinds)} for r in policy.rules],
        "warnings": [warning for warning in warnings if warning.startswith(f"{policy.source}:")],
    }  # fmt: skip


@_app.command("test")
def examples(paths: Paths, as_json: Json = False) -> None:
    """Tries the examples in policy files. Exit code 1 if one is not as it was expected."""
    with edge():
        now = datetime.now(UTC)
        outcomes = [o for policy in _load(paths).policies for o in try_policy(policy, now)]
        records = [
            {"type": "trial", "ok": not o.wrong, "policy": o.policy, "name": o.trial.name, "line": o.trial.line,
             "action": o.action, "rule": o.rule, "wrong": o.wrong}
            for o in outcomes
        ]  # fmt: skip
        print_records(records, as_json, _TRIAL_HEADS, _trial_row, "no examples: write some under spec.tests")
        if any(o.wrong for o in outcomes):
            raise typer.Exit(1)


@_app.command("simulate")
def simulate_(paths: Paths, since: Back = "7d", database: DatabaseFile = None, as_json: Json = False) -> None:
    """What these policies would have done to what was stored, if they had enforced: to whom, and how often."""
    with edge():
        policies = _load(paths)
        result = simulate(policies, _seen(wanted_names(policies), since, database))
        records = ({"type": "outcome", **msgspec.to_builtins(outcome)} for outcome in result.outcomes)
        print_records(records, as_json, _OUTCOME_HEADS, _outcome_row, "no rule would have matched")
        _summary(result, policies, as_json)


@_app.command()
def generate(
    since: Back = "7d", database: DatabaseFile = None,
    format: Annotated[str, typer.Option(help="policy, or networkpolicy for Kubernetes.")] = "policy",
    workload: Annotated[str, typer.Option(help="Part of its name or id.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder for a file each; else all go to stdout.")] = None,
) -> None:  # fmt: skip
    """Policies that allow each workload what it was seen to do: to be reviewed, then used."""
    with edge():
        if format not in ("policy", "networkpolicy"):
            raise InputError(f"--format {format}: say policy or networkpolicy")
        seen = _seen(generation.NAMES, since, database)
        found = [
            p for p in generation.profiles(seen, _places(since, database)) if workload in p.id or workload in p.name
        ]
        texts = {
            generation.policy_name(p.id): generation.policy_text(p, since)
            if format == "policy"
            else generation.network_policy_text(p)
            for p in found
        }
        written = {name: text for name, text in texts.items() if text}
        if not written:
            print("nothing to make policies of: " + ("no pods" if texts else "no exchanges"), file=sys.stderr)
        _write(written, out)


@_audit.command("verify")
def audit_verify(
    path: Annotated[Path, typer.Argument(help="The log; what was renamed of it (.1, .2 ...) is read too.")],
    as_json: Json = False,
) -> None:
    """Is every line the one that was written, and none missing? Exit code 1 if not."""
    with edge():
        result = verify_log(path)
        if as_json:
            json_line({"type": "audit", "ok": not result.wrong, **msgspec.to_builtins(result)})
        elif result.wrong:
            print_line(f"broken after {result.lines} good lines: {result.wrong}")
        else:
            print_line(f"{result.lines} lines, {result.first} to {result.last}, head {result.head}")
        if result.wrong:
            raise typer.Exit(1)


def _load(paths: list[Path]) -> Policies:
    """Every complaint is a line of its own on stderr."""
    try:
        return Policies.load(paths)
    except InputError as error:
        for line in str(error).splitlines():
            print(visible(line), file=sys.stderr)
        raise typer.Exit(2) from None


def _seen(names: Iterable[str], since: str, database: Path | None) -> list[Seen]:
    if database is None:
        found = connect().get("/history/exchanges", {"facts": ",".join(sorted(names)), "since": since})
        return msgspec.convert(found["history"], list[Seen])
    con = history.open_file(database)
    try:
        return list(history.combinations(con, frozenset(names), parse_time(since, datetime.now(UTC), "since")))
    finally:
        con.close()


def _places(since: str, database: Path | None) -> dict[str, list[generation.Place]]:
    if database is None:
        found = msgspec.convert(connect().get("/history/connections", {"since": since})["connections"], list[Connected])
    else:
        con = history.open_file(database)
        try:
            found = history.connections(con, parse_time(since, datetime.now(UTC), "since"))
        finally:
            con.close()
    places: dict[str, list[generation.Place]] = {}
    for c in found:
        ip, port = endpoint(c.dst)
        places.setdefault(c.workload, []).append(generation.Place(c.domain, ip, port, c.proto, c.provider))
    return places


def _write(texts: dict[str, str], out: Path | None) -> None:
    for number, (name, text) in enumerate(texts.items()):
        if out is None:
            print(("---\n" if number else "") + text, end="")
            continue
        path = out / f"{name}.yaml"
        try:
            out.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}: name another folder") from error
        print_line(str(path))


def _summary(result: Simulation, policies: Policies, as_json: bool) -> None:
    errors = policies.counters["policy_errors"]
    if as_json:
        json_line({
            "type": "stats", "exchanges": result.total, "combinations": result.combinations, "stopped": result.stopped,
            "masked": result.masked, "errors": errors,
        })  # fmt: skip
        return
    share = f"{result.total} exchanges in {result.combinations} combinations"
    print_line(f"of {share}: {result.stopped} would have been stopped, {result.masked} masked")
    if errors:
        print(f"{errors} evaluations gave no value and were no match: see leeward policy check", file=sys.stderr)


def _outcome_row(o: dict[str, Any]) -> tuple[Any, ...]:
    return (
        o["action"], o["rule"], o["policy"], o["workload_name"] or o["workload"], o["provider"], o["model"], o["domain"],
        o["count"], o["exception"], o["example"],
    )  # fmt: skip


def _trial_row(o: dict[str, Any]) -> tuple[Any, ...]:
    return ("ok" if o["ok"] else "WRONG", o["policy"], o["name"], o["action"], o["rule"], o["wrong"])
