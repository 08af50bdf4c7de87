"""What people made of a finding or an incident."""

from __future__ import annotations

import msgspec

#: What somebody does → the state that follows.
STATES = {
    "acknowledge": "acknowledged",
    "assign": "assigned",
    "suppress": "suppressed",
    "close": "closed",
    "reopen": "open",
}
KINDS = ("finding", "incident")


class Triage(msgspec.Struct, kw_only=True):
    """The latest word on one finding or incident.

    id: `<kind>:<target>`. target: its id. state: one of STATES' values. by: the token's name. until: when a suppression ends, ""
    for none. What was closed counts as open again when it has news.
    """

    type: str = "triage"
    id: str
    kind: str
    target: str
    time: str
    state: str
    by: str
    assignee: str = ""
    reason: str = ""
    until: str = ""
