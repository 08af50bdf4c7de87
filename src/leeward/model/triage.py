"""What people made of a finding or an incident."""

from __future__ import annotations

import msgspec

STATES = ("open", "acknowledged", "suppressed", "closed")
KINDS = ("finding", "incident")


class Triage(msgspec.Struct, kw_only=True):
    """The latest word on one finding or incident.

    id: `<kind>:<target>`. target: its id. state: one of STATES, "" while nobody has said anything. assignee: who looks after it,
    a name as people write it. who: the token's name. until: when a suppression ends, "" for none. What was closed counts as open
    again when it has news.
    """

    type: str = "triage"
    id: str
    kind: str
    target: str
    state: str = ""
    assignee: str = ""
    reason: str = ""
    until: str = ""
    who: str = ""
    when: str = ""
