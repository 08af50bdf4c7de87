"""From the kernel's totals of ICMP (map `pings`) to events: what was sent to an address since the last look."""

from __future__ import annotations

from collections.abc import Iterable

from leeward.model.raw import SystemCalled
from leeward.sensor import decode
from leeward.sensor import layout as L


def ping_events(
    found: Iterable[tuple[bytes, bytes]], before: dict[bytes, int], ts: int
) -> tuple[list[SystemCalled], dict[bytes, int]]:
    """Events of kind "icmp", and the totals to compare with the next time. An entry that the kernel let go begins again at 0."""
    events, totals = [], {}
    for key, value in found:
        total, _, pid, family = L.PINGED.unpack(value)
        totals[key] = total
        known = before.get(key, 0)
        sent = total - known if total >= known else total
        if sent:
            address = decode.endpoint(L.FLOW_KEY.unpack(key)[1], 0, family).ip
            events.append(SystemCalled(ts, pid, "icmp", path=address, number=sent))
    return events, totals
