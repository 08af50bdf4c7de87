"""Writes the table of facts into docs/policies.md: `python scripts/policy_page.py`."""

from __future__ import annotations

from pathlib import Path

from leeward.policy.facts import FACTS, STAGES

PAGE = Path(__file__).parents[1] / "docs/policies.md"
BEGIN, END = "<!-- facts: scripts/policy_page.py -->\n", "<!-- end of facts -->\n"


def table() -> str:
    """A row a fact."""
    rows = [
        f"| `{fact.name}` | {fact.type} | {', '.join(s for s in STAGES if s in fact.stages)} | {fact.means} |"
        for fact in FACTS.values()
    ]
    return "\n".join(["| fact | type | known at | what it is |", "| --- | --- | --- | --- |", *rows]) + "\n"


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
