"""What passed through the UNIX sockets of databases, from one look into the kernel's table to the next. Pure.

Invariant: a table that fills up is emptied: the closing of a connection may be missed (bpf/unix.h), so when there are many,
those leave that were idle for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from leeward.model.raw import SocketStats
from leeward.sensor import layout as L

#: Key in the kernel's table → its counts (generation, sent, received), and since when (ns) they are that.
UnixCounts = dict[bytes, tuple[tuple[int, ...], int]]
MANY = 8192  # half of the kernel's table
IDLE_NS = 600 * 10**9
_INODE = Struct("<Q")


def unix_stats(
    found: Sequence[tuple[bytes, bytes]], before: UnixCounts, ts: int
) -> tuple[list[SocketStats], UnixCounts, list[bytes]]:
    """found: the table's entries now; before: what this said last time. Returns the totals of those that moved or leave, what
    to give it next time, and the keys of those to delete."""
    events: list[SocketStats] = []
    counts: UnixCounts = {}
    idle: list[bytes] = []
    for key, value in found:
        received, sent, generation, _, _, told, *_ = L.UNIX_SOCKET.unpack(value)
        now = generation, sent, received
        then, since = before.get(key, ((), ts))
        leaves = len(found) > MANY and now == then and ts - since > IDLE_NS
        if leaves:
            idle.append(key)
        else:
            counts[key] = now, since if now == then else ts
        if told and (leaves or now != then):
            number = L.unix_number(_INODE.unpack(key)[0], generation)
            events.append(SocketStats(ts, number, sent, received, 0, 0, leaves))
    return events, counts, idle
