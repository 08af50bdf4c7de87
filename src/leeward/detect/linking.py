"""Do two findings belong together? Each reason has a weight; together they must reach `ENOUGH`.

Strong reasons are enough alone: the same exchange, connection, key or secret value; one process below the other, where both began
lately; a file that one wrote and the other ran or read; a pipe between them; memory that one reached into; an address that hardly
anybody else talks to. Weak ones only add up: the same service or workload, tactics in the order of an intrusion, both of them
serious. So two noisy findings of one workload stay apart, and two serious ones that follow each other within minutes do not.

Pure: what is remembered of processes is asked of the context.
"""

from __future__ import annotations

import ipaddress

import msgspec

from leeward.detect.context import Context, Key, Node
from leeward.detect.tactics import tactics
from leeward.detect.traits import Traits
from leeward.model.finding import SEVERITIES

ENOUGH = 1.0
"""One strong reason, or three weak ones. Of the weak, every pair of findings of one service has two (it is the same service, and
something came after something else): two must not do."""
STRONG = 1.0
_BELOW_OLD = 0.7
"""A long-lived service and a process that it started: services start many, for many callers, so more must speak for it."""
_SAME_OLD = 0.5  # both in one long-lived process, which may serve thousands of callers
_WORKLOAD = 0.4
_ORDER, _SERIOUS = 0.3, 0.3
_NEAR = 0.6  # an internal address, a file that both name
_PEER = 0.5  # one connected to the other: services do that all day
_FAINT_VALUE = 0.4  # an e-mail address is in many messages
_COMMON = 0.1  # an AI service, or an address that many talk to

_MINUTES_NS = 600 * 10**9
"""For weak reasons: what follows from one act follows within minutes; an intruder at work leaves no longer gaps than that."""
_HOURS_NS = 6 * 3600 * 10**9  # for processes and addresses: long sleeps of a beacon, a working day
_DAY_NS = 24 * 3600 * 10**9  # for values, keys and files, which are used later
_FEW = 3  # workloads that talk to an address that is nobody's usual one
_INSIDE = [
    ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]
"""RFC 1918, RFC 6598 and RFC 4193. Not `is_private`, which also holds for ranges of documentation, used in tests of networks."""
_MEDIUM = SEVERITIES.index("medium")


class Tie(msgspec.Struct, frozen=True):
    """One reason. kind: of several of the same kind the best counts."""

    kind: str
    weight: float
    because: str


def ties(one: Traits, other: Traits, context: Context) -> list[Tie]:
    """Why they may belong together, each kind once."""
    earlier, later = sorted((one, other), key=lambda t: (t.first, t.id))
    gap = max(0, later.first - earlier.last)
    found: list[Tie | None] = [
        _same("exchange", earlier.exchanges & later.exchanges, "both rest on the exchange"),
        _same("flow", earlier.flows & later.flows, "both rest on the connection"),
    ]
    if gap <= _DAY_NS:
        found += [_same("key", earlier.keys & later.keys, "both are about the key"), _value(earlier, later)]
        found += [_file(earlier, later)]
    if gap <= _HOURS_NS:
        found += [_destination(earlier, later, context)]
        found += _processes(earlier, later, gap, context)
    who = max((tie.weight for tie in found if tie is not None and tie.kind in ("process", "link")), default=0.0)
    if gap <= _MINUTES_NS:
        if not who and earlier.workload and earlier.workload == later.workload:
            who = _WORKLOAD
            found.append(Tie("process", _WORKLOAD, f"both are in {earlier.workload}, within minutes"))
        if who:
            found += _weak(earlier, later)
    return [tie for tie in found if tie is not None]


def score(found: list[Tie]) -> tuple[float, str]:
    """Their weights together, each kind once; and why: the strong reasons if there are any, else all of them."""
    best: dict[str, Tie] = {}
    for tie in found:
        if tie.kind not in best or tie.weight > best[tie.kind].weight:
            best[tie.kind] = tie
    strong = [tie for tie in best.values() if tie.weight >= STRONG]
    total = sum(tie.weight for tie in best.values())
    return round(total, 6), "; ".join(tie.because for tie in strong or sorted(best.values(), key=lambda t: -t.weight))


def _same(kind: str, shared: frozenset[str], words: str) -> Tie | None:
    return Tie(kind, STRONG, f"{words} {min(shared)[:16]}") if shared else None


def _value(earlier: Traits, later: Traits) -> Tie | None:
    shared = sorted(earlier.values.keys() & later.values.keys())
    if not shared:
        return None
    sure = any(earlier.values[value] for value in shared)
    return Tie("value", STRONG if sure else _FAINT_VALUE, f"the same value is in both (hash {shared[0][:12]})")


def _file(earlier: Traits, later: Traits) -> Tie | None:
    shared = earlier.files & later.files
    return Tie("file", _NEAR, f"both name {min(shared)}") if shared else None


def _destination(earlier: Traits, later: Traits, context: Context) -> Tie | None:
    best: Tie | None = None
    for name in sorted(earlier.destinations & later.destinations):
        weight, words = _unusual(name, earlier.common or later.common, context)
        if weight and (best is None or weight > best.weight):
            best = Tie("destination", weight, words)
    return best


def _unusual(name: str, service: bool, context: Context) -> tuple[float, str]:
    """How much it says that two findings name this address."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    if address is not None and (address.is_loopback or address.is_unspecified or address.is_link_local):
        return 0.0, ""
    if service or context.callers(name) > _FEW:
        return _COMMON, f"both talk to {name}"
    if address is not None and inside(address):
        return _NEAR, f"both talk to {name} inside"
    return STRONG, f"both talk to {name}, which hardly anybody else here does"


def inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Is it an address of a private network?"""
    return any(address in network for network in _INSIDE)


def _weak(earlier: Traits, later: Traits) -> list[Tie]:
    found: list[Tie] = []
    if tactics().follows(earlier.tactic, later.tactic):
        found.append(Tie("order", _ORDER, f"{later.tactic} follows {earlier.tactic}"))
    elif earlier.rule == later.rule:
        found.append(Tie("order", _ORDER, "the same kind of thing again"))
    if min(earlier.rank, later.rank) >= _MEDIUM:
        found.append(Tie("serious", _SERIOUS, "each is serious alone"))
    return found


def _processes(earlier: Traits, later: Traits, gap: int, context: Context) -> list[Tie]:
    found: list[Tie] = []
    for one in earlier.processes:
        for other in later.processes:
            tie = _kin(one, other, earlier.first, gap, context)
            found += [tie] if tie is not None else []
            tie = _linked(one, other, context)
            found += [tie] if tie is not None else []
    return found


def _kin(one: Key, other: Key, ts: int, gap: int, context: Context) -> Tie | None:
    """The same process, one below the other, or both below a third. ts: of the earlier finding."""
    if one == other:
        node = context.node(one)
        old = node is None or node.old_at(ts)
        return Tie(
            "process", _SAME_OLD if old else STRONG, f"both are in {node.named() if node else f'process {one[0]}'}"
        )
    above_one, above_other = context.ancestors(one), context.ancestors(other)
    known = {node.key for node in above_other}
    common = next((node for node in above_one if node.key in known), None)
    if common is None or common.key[0] == 1:
        return None
    old = common.old_at(ts)
    if common.key in (one, other):
        below = above_other[0] if common.key == one else above_one[0]
        return Tie("process", _BELOW_OLD if old else STRONG, f"{below.named()} was started by {common.named()}")
    if old:
        words = f"both were started by {common.named()}, within minutes"
        return Tie("process", _WORKLOAD, words) if gap <= _MINUTES_NS else None
    return Tie("process", STRONG, f"both were started by {common.named()}, which began shortly before")


def _linked(one: Key, other: Key, context: Context) -> Tie | None:
    """A file, a pipe, memory or a connection between them or those near above them."""
    best: Tie | None = None
    for here, there in ((one, other), (other, one)):
        node = context.node(here)
        ends = {above.key for above in _near(context.ancestors(there))}
        for link in node.links if node is not None else ():
            if link.other in ends:
                weight = _PEER if link.kind == "flow" else STRONG
                if best is None or weight > best.weight:
                    best = Tie("link", weight, link.what)
    return best


def _near(above: list[Node]) -> list[Node]:
    """The process, and its next three ancestors but the first of all."""
    return [node for node in above[:4] if node.key[0] != 1]
