"""`leeward rules`: the detection rules, what they mean, and what they find in event logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from leeward.ai.catalogue import load_catalogue
from leeward.cli.output import console, edge, json_line, print_line, print_records, table, visible
from leeward.cli.sigma import read_sigma
from leeward.detect.eventlog import read_log
from leeward.detect.rerun import rerun
from leeward.detect.rule import Rule, rules
from leeward.detect.sigma.events import WATCHED_FILES
from leeward.detect.sigma.ruleset import RuleSet
from leeward.model.errors import InputError
from leeward.model.finding import SEVERITIES

_HEADS = ("rule", "title", "severity", "tags")
_app = typer.Typer(name="rules", help="The detection rules and their documentation.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(_app)


@_app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """All rules, a line each."""
    with edge():
        records = [{"type": "rule", **msgspec.to_builtins(rule)} for rule in rules().values()]
        print_records(records, as_json, _HEADS, _row, "no rules")


@_app.command()
def show(id: Annotated[str, typer.Argument(help="The rule's id: leeward rules list.")]) -> None:
    """What a rule means, what to do, when it is nothing."""
    with edge():
        rule = rules().get(id)
        if rule is None:
            raise InputError(f"{id}: no such rule: leeward rules list names them")
        for name, value in _facts(rule).items():
            print_line(f"{name:>10}: {value}")


@_app.command("test")
def run_over(
    files: Annotated[
        list[Path], typer.Argument(help="Event logs: leeward range record writes them.", metavar="FILE...")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Findings and incidents, one JSON object a line.")] = False,
    fail_on: Annotated[
        str, typer.Option(help="Exit with 1 after a finding as bad as this: info, low, medium, high, critical.")
    ] = "",
) -> None:
    """Runs all detectors over recorded events, with the events' own clock."""
    worst = -1
    with edge():
        if fail_on and fail_on not in SEVERITIES:
            raise InputError(f"--fail-on {fail_on}: say {', '.join(SEVERITIES)}")
        rows = []
        for file in files:
            log = read_log(file)
            told = rerun(log.activities, load_catalogue(), until=log.head.end)
            for finding in told.findings.values():
                worst = max(worst, SEVERITIES.index(finding.severity))
                workload = finding.workload.name if finding.workload else ""
                rows.append((file.name, finding.rule, finding.severity, finding.time, workload, finding.title))
            if as_json:
                for record in (*told.findings.values(), *told.incidents.values()):
                    json_line(record)
        if not as_json and rows:
            console().print(table(("file", "rule", "severity", "time", "workload", "title"), rows))
    raise typer.Exit(int(bool(fail_on) and worst >= SEVERITIES.index(fail_on)))


@_app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Sigma rules, as for --sigma: files and folders.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Which Sigma rules run here; of the others file, line and why. Exit code 1 if there are others."""
    with edge():
        found = read_sigma(paths)
        if as_json:
            for record in _sigma_records(found):
                json_line(record)
        else:
            for complaint in found.complaints:
                print_line(visible(str(complaint)))
            files = sum(rule.category in WATCHED_FILES for rule in found.rules)
            note = f", {files} of them on the files that the sensor watches" if files else ""
            print_line(f"{len(found.rules)} rules and {len(found.correlations)} correlations run{note}")
            print_line(f"{len(found.complaints)} do not")
        if found.complaints:
            raise typer.Exit(1)


def _sigma_records(found: RuleSet) -> list[dict[str, Any]]:
    running = [(rule.about, rule.category) for rule in found.rules] + [(c.about, c.kind) for c in found.correlations]
    return [
        {"type": "sigma_rule", "runs": True, "file": about.file, "line": about.line, "id": about.id, "title": about.title,
         "level": about.level, "category": category, "why": ""}
        for about, category in running
    ] + [
        {"type": "sigma_rule", "runs": False, "file": c.file, "line": c.line, "why": c.why} for c in found.complaints
    ]  # fmt: skip


def _facts(rule: Rule) -> dict[str, str]:
    tags = [*rule.tags.atlas, *rule.tags.attack, *rule.tags.owasp]
    return {
        "rule": rule.id,
        "title": rule.title,
        "means": rule.means,
        "do": rule.do,
        "nothing if": rule.false_positives,
        "severity": rule.level or ", ".join(f"{kind} {severity}" for kind, severity in rule.severity),
        "confidence": f"matches of at least {rule.confidence}" if rule.severity else str(rule.confidence),
        "tags": ", ".join(tags),
    }


def _row(rule: dict[str, Any]) -> tuple[Any, ...]:
    severities = dict.fromkeys(severity for _, severity in rule["severity"])
    return (
        rule["id"],
        rule["title"],
        rule["level"] or ", ".join(severities),
        ", ".join(tag for tags in rule["tags"].values() for tag in tags),
    )
