"""`leeward rules`: the detection rules and what they mean."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from leeward.cli.output import edge, print_line, print_records
from leeward.detect.rule import Rule, rules
from leeward.model.errors import InputError

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
