"""A chain of findings told over time and layers: the steps that they are, and those that lead from one to the next.

Each step has a name of its own, so that the same thing again replaces it with what is known now (more bytes, a later end).
Pure: what is remembered of processes, exchanges and connections is asked of the context.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterator
from typing import Any

from leeward.detect.context import Context, Destination, Link, Node
from leeward.detect.linking import inside
from leeward.detect.traits import Traits
from leeward.model.finding import Finding
from leeward.model.incident import Step
from leeward.model.times import iso, nanoseconds

STEPS = 40  # told of a chain: what fits on a page
_BEFORE_NS = 600 * 10**9  # what led to a finding began at most so long before it
_TALKS = 3  # connections of a process
_TEXT = 160
_KNOCK = 400  # bytes: a TCP handshake that was accepted and closed again (RFC 9293, 6 or 7 segments of up to 60)
_LAYERS = {
    "new-ai-destination": "ai", "token-spike": "ai", "llmjacking": "ai", "model-extraction": "ai", "ai-key-shared": "ai",
    "ai-key-misdirected": "ai", "ai-key-exposed": "ai",
    "dns-tunnel": "7", "metadata-service-access": "7", "api-access-violation": "7", "unauthenticated-model-server": "7",
    "model-enumeration": "7",
    "beaconing": "4", "data-exfiltration": "4", "lateral-movement": "4", "port-scan": "4", "cryptomining": "4",
    "reverse-shell": "4",
}  # fmt: skip
"""On which layer a rule's findings are, where the type of their evidence does not say it."""
_EVIDENCE = {
    "exchange": "ai",
    "flow": "4",
    "connection": "4",
    "http": "7",
    "dns": "7",
    "name": "7",
    "route": "3",
    "device": "3",
}
_ORDER = {"ai": 0, "7": 1, "host": 2, "3": 3, "4": 4}


def steps_of(finding: Finding, traits: Traits, context: Context) -> Iterator[tuple[str, Step]]:
    """The finding itself and what led to it, each with its name."""
    yield f"finding {finding.id}", _finding(finding, traits)
    for exchange in sorted(traits.exchanges):
        if (step := _exchange(exchange, finding, context)) is not None:
            yield f"exchange {exchange}", step
    for key in traits.processes:
        for depth, node in enumerate(context.ancestors(key)[:4]):
            old = node.old_at(traits.first)
            if old and depth:
                break
            if not old and node.since >= traits.first - _BEFORE_NS:
                yield f"process {node.key}", _process(node, context)
            for link in node.links:
                if abs(link.ts - traits.first) <= _BEFORE_NS and link.kind != "flow":
                    yield f"{link.kind} {link.what}", _link(link, node)
                    yield from _other_end(context.node(link.other), traits, context)
            yield from _connections(node, traits, old)


def chain(steps: dict[str, Step]) -> tuple[list[Step], int]:
    """In the order of time, cut to a page: findings stay before what leads to them, the worse before the rest. And how many were
    left out."""
    ordered = sorted(steps.items(), key=lambda item: (_moment(item[1].time), _rank(item[1]), item[0]))
    if len(ordered) <= STEPS:
        return [step for _, step in ordered], 0
    places = sorted(range(len(ordered)), key=lambda place: (-_worth(ordered[place][1]), place))
    kept = sorted(places[:STEPS])
    return [ordered[place][1] for place in kept], len(ordered) - STEPS


@functools.lru_cache(maxsize=8192)
def _moment(time: str) -> int:
    """Remembered, since an incident's steps are put in order each time that it is told."""
    return nanoseconds(time)


def size(count: int) -> str:
    """Bytes as a person reads them, in powers of ten."""
    amount, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def _finding(finding: Finding, traits: Traits) -> Step:
    times = f" ({finding.count} times, until {finding.last_seen[11:19]})" if finding.count > 1 else ""
    done = f" [{finding.action}]" if finding.action else ""
    process = finding.process
    return Step(
        time=min([*_times(finding), finding.first_seen or finding.time or iso(traits.first)]),
        layer=_layer(finding),
        what=f"{_cut(finding.title)}{times}{done}",
        tactic=traits.tactic,
        technique=traits.technique,
        severity=finding.severity,
        pid=process.pid if process else 0,
        exe=process.exe if process else "",
        refs=[{"type": "finding", "id": finding.id}, *_references(finding)],
    )


def _times(finding: Finding) -> list[str]:
    """When its evidence was: it happened before it was sure."""
    times = (entry.get("time") for entry in finding.evidence if isinstance(entry, dict))
    return [time for time in times if isinstance(time, str) and nanoseconds(time)]


def _layer(finding: Finding) -> str:
    if layer := _LAYERS.get(finding.rule):
        return layer
    kinds = [str(entry.get("type")) for entry in finding.evidence if isinstance(entry, dict)]
    return next((_EVIDENCE[kind] for kind in kinds if kind in _EVIDENCE), "host")


def _references(finding: Finding) -> list[dict[str, Any]]:
    """Exchanges, flows and events that its evidence names."""
    found = [
        {"type": str(entry["type"]), "id": entry["id"]}
        for entry in finding.evidence
        if isinstance(entry, dict) and entry.get("type") and isinstance(entry.get("id"), str)
    ]
    return list({entry["id"]: entry for entry in found}.values())[:5]


def _exchange(id_: str, finding: Finding, context: Context) -> Step | None:
    talk = context.talk(id_)
    if talk is None:
        return None
    words = [f"{talk.operation or 'exchange'} with {talk.model or talk.provider} at {talk.host}"]
    if talk.results:
        words.append(f"it read {talk.results} tool result{'s' if talk.results > 1 else ''}")
    if talk.calls:
        words.append(f"the model asked for {', '.join(talk.calls)}")
    process = finding.process
    return Step(
        time=iso(talk.ts), layer="ai", what=_cut("; ".join(words)), pid=talk.process[0],
        exe=process.exe if process and process.pid == talk.process[0] else "", refs=[{"type": "exchange", "id": id_}],
    )  # fmt: skip


def _process(node: Node, context: Context) -> Step:
    parent = context.node(node.parent) if node.parent is not None else None
    by = f", by {parent.exe.rsplit('/', 1)[-1]} ({parent.key[0]})" if parent is not None else ""
    return Step(
        time=iso(node.since), layer="host", what=_cut(f"process started: {' '.join(node.argv) or node.exe}") + by,
        pid=node.key[0], exe=node.exe, refs=[{"type": "process", "pid": node.key[0], "start_ns": node.key[1]}],
    )  # fmt: skip


def _other_end(node: Node | None, traits: Traits, context: Context) -> Iterator[tuple[str, Step]]:
    """The process that wrote the file or fed the pipe, if it began lately, and where it got it."""
    if node is not None and not node.old_at(traits.first):
        yield f"process {node.key}", _process(node, context)
        yield from _connections(node, traits, old=False)


def _link(link: Link, node: Node) -> Step:
    ref = {"type": "process", "pid": node.key[0], "start_ns": node.key[1]}
    return Step(
        time=iso(link.ts), layer="host", what=_cut(link.what), pid=node.key[0], exe=node.exe,
        refs=[{"type": "file", "path": link.path} if link.path else ref],
    )  # fmt: skip


def _connections(node: Node, traits: Traits, old: bool) -> Iterator[tuple[str, Step]]:
    """Where it connected to; of a long-lived process only what the finding names."""
    telling = [
        to
        for to in node.to.values()
        if to.last >= traits.first - _BEFORE_NS
        and (not {_address(to), to.name.lower()}.isdisjoint(traits.destinations) or (not old and _worth_telling(to)))
    ]
    for to in sorted(telling, key=lambda to: (-to.sent, to.first, to.address))[:_TALKS]:
        yield f"flow {node.key} {to.address}", _connection(node, to)


def _connection(node: Node, to: Destination) -> Step:
    where = f"{to.address} ({to.name})" if to.name else to.address
    often = ""
    if to.opened > 2 and to.last > to.first:
        often = (
            f", {to.opened} times, one in {round((to.last - to.first) / (to.opened - 1) / 1e9) or '<1'} s on average"
        )
    moved = f": {size(to.sent)} out, {size(to.received)} in" if to.sent or to.received else ""
    return Step(
        time=iso(to.first), layer="4", what=_cut(f"connection to {where}{often}{moved}"), pid=node.key[0], exe=node.exe,
        refs=[{"type": "flow", "pid": node.key[0], "dst": to.address}],
    )  # fmt: skip


def _address(to: Destination) -> str:
    return to.address.rpartition(":")[0].strip("[]")


def _worth_telling(to: Destination) -> bool:
    """No name service, nothing on this host, and inside only what carried more than a knock."""
    try:
        address = ipaddress.ip_address(_address(to))
    except ValueError:
        return False
    if address.is_loopback or to.address.endswith(":53"):
        return False
    return not inside(address) or to.sent + to.received > _KNOCK


def _rank(step: Step) -> int:
    """Of steps of the same moment: what leads to a finding stands before it."""
    used = bool(step.refs) and step.refs[0].get("type") == "file"  # after the process that used it
    return 2 * _ORDER.get(step.layer, 2) + used + (20 if step.severity else 0)


def _worth(step: Step) -> int:
    return 1 + ("info", "low", "medium", "high", "critical").index(step.severity) if step.severity else 0


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
