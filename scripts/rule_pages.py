"""Writes docs/rules.md from the rules' data files: `python scripts/rule_pages.py`."""

from __future__ import annotations

from pathlib import Path

from leeward.detect.rule import Rule, rules

PAGE = Path(__file__).parents[1] / "docs/rules.md"
_HEAD = """# Rules

Made by `scripts/rule_pages.py` from `src/leeward/detect/rules/`; `leeward rules show ID` says the same.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(rule) for rule in rules().values())])


def _section(rule: Rule) -> str:
    tags = ", ".join([*rule.tags.atlas, *rule.tags.attack, *rule.tags.owasp])
    severity = ", ".join(f"`{kind}` {severity}" for kind, severity in rule.severity)
    severity += f"; the organisation's own {rule.severity_own}" if rule.severity_own else ""
    severity = (
        f"Severity: {severity}. Matches of at least {rule.confidence} count."
        if rule.severity
        else f"Severity: {rule.level}."
    )
    return (
        f"## {rule.id}\n\n**{rule.title}.** {rule.means}\n\n**Do:** {rule.do}\n\n**It is nothing if:** {rule.false_positives}\n\n"
        f"{severity} Tags: {tags}.\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
