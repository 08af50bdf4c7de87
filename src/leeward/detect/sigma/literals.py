"""What an event's text must have in it for a rule to fit: so that most rules need not be tried.

Invariant: a rule that fits an event has at least one of its needs in the event's text. A rule of which no such set is known is
always tried.
"""

from __future__ import annotations

import re
from typing import Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    SigmaExpansion,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
)

from leeward.detect.sigma.match import flagged, pieces
from leeward.detect.sigma.ruleset import Need, Needs

# The text of an event is all of its fields: what looks at its beginning or end is not tried, nor properties of
# characters.
_NOT_OF_LINES = re.compile(r"\\[AzZGpPCQ]")


def needs(node: Any) -> Needs:
    """One of these stands in every event that a condition fits; None if nothing is known."""
    match node:
        case ConditionAND():
            known = [found for arg in node.args if (found := needs(arg)) is not None]
            return max(known, key=_worth, default=None)
        case ConditionOR():
            return _either([needs(arg) for arg in node.args])
        case ConditionFieldEqualsValueExpression():
            return _of_value(node.value, node.field)
        case ConditionValueExpression():
            return _of_value(node.value, "")
    return None


def _worth(found: frozenset[Need]) -> tuple[int, int]:
    """Long texts stand in few events."""
    return min(4 if need.regex else len(need.text) for need in found), -len(found)


def _either(options: list[Needs]) -> Needs:
    known = [option for option in options if option is not None]
    return frozenset().union(*known) if len(known) == len(options) else None


def _of_value(value: Any, field: str) -> Needs:
    match value:
        case SigmaExpansion():
            return _either([_of_value(v, field) for v in value.values])
        case SigmaTimestampPart():
            return None
        case SigmaNumber():
            return frozenset([Need(_placed([str(value.number)], 0, field))])
        case SigmaString():
            parts = [part.casefold() if isinstance(part, str) else "" for part in pieces(value)]
            placed = [_placed(parts, at, field) for at, part in enumerate(parts) if part]
            return frozenset([Need(max(placed, key=len))]) if placed else None
        case SigmaRegularExpression():
            text = flagged(value)
            usable = text.isascii() and not _NOT_OF_LINES.search(text)
            return frozenset([Need(text, regex=True)]) if usable else None
    return None


def _placed(parts: list[str], at: int, field: str) -> str:
    """A part of a value as it stands in Event.folded_lines: the first and the last show which field they are of."""
    begins = f"\n{field}\0" if field and at == 0 else ""
    ends = f"\0{field}\n" if field and at == len(parts) - 1 else ""
    return f"{begins}{parts[at]}{ends}"
