"""What a rule says of itself, and how it is refused."""

from __future__ import annotations

from collections.abc import Iterable

from sigma.exceptions import SigmaError

from leeward.detect.sigma.lines import Document
from leeward.detect.sigma.ruleset import About
from leeward.model.finding import Tags

#: What pySigma raises: errors of its own, and others for YAML of a form that it did not think of.
MALFORMED = (SigmaError, TypeError, AttributeError, ValueError, KeyError, RecursionError)


class Refused(Exception):
    """A document cannot be used: line, why."""


def plain(error: Exception) -> str:
    """What went wrong, on one line."""
    text = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
    return text or type(error).__name__


def about(file: str, document: Document) -> About:
    data = document.data

    def text(name: str) -> str:
        return " ".join(str(data.get(name) or "").split())

    def texts(name: str) -> tuple[str, ...]:
        value = data.get(name) or ()
        return tuple(map(str, value if isinstance(value, list) else (value,)))

    return About(
        id=text("id") or text("name") or text("title"), title=text("title")[:256], file=file, line=document.line,
        name=text("name"), level=text("level"), status=text("status"), author=text("author"),
        description=text("description"), tags=_tags(texts("tags")), references=texts("references"),
        false_positives=texts("falsepositives"),
    )  # fmt: skip


def _tags(tags: Iterable[str]) -> Tags:
    """Techniques of ATT&CK and ATLAS; tactics and others are not kept."""
    attack, atlas = [], []
    for tag in tags:
        family, _, name = tag.partition(".")
        if family == "attack" and name[:1] in ("t", "T") and name[1:2].isdigit():
            attack.append(name.upper())
        elif family == "atlas" and name.lower().startswith("aml.t"):
            atlas.append(name.upper())
    return Tags(atlas=atlas, attack=attack)
