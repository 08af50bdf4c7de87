"""The coverage ledger's row: what is seen of one process that talks to an AI service, and why not more."""

from __future__ import annotations

import msgspec

from leeward.model.process import Workload


class Coverage(msgspec.Struct, kw_only=True):
    """visible: "content" | "metadata" | "nothing". rung: how ("symbol", "plaintext", "key-log", "sni", "none").
    reason: why it is not more, "" when it is everything. remedy: what would mend it. services: AI hosts it talked to.
    held: "yes" if its writes are held for a policy's verdict, why they are not if one asks for it, "" if none does."""

    type: str = "coverage"
    pid: int
    exe: str = ""
    workload: Workload | None = None
    library: str = ""
    visible: str = "nothing"
    rung: str = "none"
    reason: str = ""
    remedy: str = ""
    services: list[str] = []
    exchanges: int = 0
    held: str = ""
