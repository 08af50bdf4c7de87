"""The only place of the bench that touches Leeward: what `leeward classify` does with a plain text, with its model or not."""

from __future__ import annotations

from bench.data.records import Match
from bench.data.tools.worker import Find
from leeward.data.found import Found, resolve
from leeward.data.model import NameModel, why_not
from leeward.data.standard import standard_scanner
from leeward.enforce.judge import warm_up


def patterns_find() -> Find:
    """Its recognizers, checks and lists, warm as in what holds calls."""
    scanner = standard_scanner()
    warm_up(scanner)
    return lambda text: _matches(scanner.scan_text(text))


def held_find() -> Find:
    """Of those what a policy needs that keeps secrets, cards, accounts and identity numbers in: what a call is held for."""
    scanner = standard_scanner(None, None, lambda kind: kind.startswith(HELD))
    warm_up(scanner)
    return lambda text: _matches(scanner.scan_text(text))


def whole_find() -> Find:
    """Those and the model. Raises RuntimeError if the model is not installed."""
    scanner, model = standard_scanner(), NameModel.load()
    if model is None:
        raise RuntimeError(f"no name model: {why_not()}")

    def find(text: str) -> list[Match]:
        names = [Found(kind, 0, start, end, sure, how, "") for kind, start, end, sure, how in model.find([text])[0]]
        return _matches(resolve([*scanner.scan_text(text), *(name for name in names if name.confidence >= FLOOR)]))

    return find


HELD = ("secret.", "financial.", "pii.national_id.")
FLOOR = 0.5  # what `leeward classify` shows when nothing else is asked for


def _matches(found: list[Found]) -> list[Match]:
    return [Match(match.start, match.end, match.kind, match.confidence) for match in found]
