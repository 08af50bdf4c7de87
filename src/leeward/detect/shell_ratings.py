"""How sure it is that a shell is commanded from afar, by how its streams lead to the connection. Part of `reverse-shell`.

Invariants: pure; a rating is (severity, confidence), None where it is nothing.
"""

from __future__ import annotations

from leeward.detect.programs import Program, program, trusted
from leeward.detect.streams import Lead, other_end
from leeward.model.net import Flow
from leeward.model.process import Process

COMMANDS = frozenset({"shell", "interpreter"})


def is_here(flow: Flow | None) -> bool:
    """Is its other end on this host?"""
    return flow is not None and (flow.proto == "unix" or other_end(flow).ip in ("127.0.0.1", "::1"))


def payload(flow: Flow, sent: bool = False) -> int:
    """Bytes received beside headers, about: 20 of IPv4 or 40 of IPv6, and of TCP 32 with timestamps, 40 in the first packet."""
    header = (40 if ":" in flow.dst.ip else 20) + 32
    size, packets = (flow.bytes_sent, flow.packets_sent) if sent else (flow.bytes_received, flow.packets_received)
    return size - header * packets - 8


def direct(process: Process, made: Program, flow: Flow | None) -> tuple[str, float] | None:
    """Its input and output are the socket."""
    inbound = flow is not None and flow.direction == "inbound"
    parent = process.ancestors[0] if process.ancestors else None
    if not made.any(COMMANDS):
        of_shell = parent is not None and program(parent).any(COMMANDS | {"relay"})
        return ("high", 0.8) if of_shell and not inbound else None
    runs_file = made.script is not None and made.script.kind in ("file", "module")
    if inbound and (runs_file or (parent is not None and trusted(parent, ["super-server"]) and not made.commanded)):
        return "low", 0.3
    if runs_file:
        return "high", 0.7
    return ("critical", 0.9) if inbound else ("critical", 0.95)


def relays(*leads: Lead) -> bool:
    """Does a relay by its name have the connection?"""
    return all(
        lead.how == "socket" or (lead.through is not None and program(lead.through).any({"relay"})) for lead in leads
    )


def relayed(process: Process, made: Program, inward: Lead, outward: Lead) -> tuple[str, float] | None:
    """Its streams lead to the connection through what is seen to be there."""
    through = [
        lead.through for lead in (inward, outward) if lead.through is not None and lead.through.pid != process.pid
    ]
    if any(lead.flow is not None and lead.flow.provider for lead in (inward, outward)):
        return None
    known = any(program(one).any({"relay", "file-tool"}) for one in through)
    if not made.any(COMMANDS):
        return ("high", 0.8) if outward.how == "socket" else None
    if made.commanded:
        return ("critical", 0.9) if known else ("high", 0.75)
    if made.script is not None and made.script.kind == "code" and known and made.any({"shell"}):
        return "high", 0.7
    return ("low", 0.3) if made.any({"shell"}) else None
