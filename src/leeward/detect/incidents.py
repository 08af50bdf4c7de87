"""Findings that belong together become incidents."""

from __future__ import annotations

from collections import Counter

from leeward.model.activity import Activity
from leeward.model.finding import Finding
from leeward.model.incident import Incident


class Incidents:
    """Fed activities, which lead from one finding to the next, and findings as they are told; yields incidents that changed."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()

    def heed(self, activity: Activity) -> None:
        """Remembers what may link findings."""

    def feed(self, finding: Finding, ts: int) -> list[Incident]:
        return []

    def tick(self, ts: int) -> list[Incident]:
        return []
