"""The only place of the bench that touches Leeward: its scanner with the recognizers that it comes with."""

from __future__ import annotations

from bench.data.records import Match
from leeward.data.scanner import Scanner

_SCANNER = Scanner.default()


def find(text: str) -> list[Match]:
    return [Match(match.start, match.end, match.kind, match.confidence) for match in _SCANNER.scan_text(text)]
