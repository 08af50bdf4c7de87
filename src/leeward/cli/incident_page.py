"""One incident as a page of text for whoever is woken by it: what, who, how it went, what to do, why it is one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

WIDTH = 110
_LABEL = 10
_REACHED = {"any": "from anywhere", "private": "from inside", "loopback": "this host only"}
_LAYERS = {"3": "L3", "4": "L4", "7": "L7", "host": "host", "ai": "AI"}


def page(
    incident: dict[str, Any],
    findings: Iterable[dict[str, Any]] = (),
    triage: dict[str, Any] | None = None,
    width: int = WIDTH,
) -> Iterator[str]:
    """Lines, none wider than `width` but for words that are. findings: those of it that are known, for their counts. triage: the
    latest word on it."""
    head = f"{str(incident.get('severity')).upper()}  {incident.get('title')}"
    yield from textwrap.wrap(head, width)
    yield "=" * min(width, len(head))
    for name, value in (_facts(incident) | {"triage": _triage(triage or {})}).items():
        if value:
            yield from _field(name, value, width)
    chain = incident.get("chain") or []
    if chain:
        yield ""
        yield "What happened (UTC; ! is a finding, the rest leads from one to the next)"
        days = {str(step.get("time"))[:10] for step in chain}
        for step in chain:
            yield from _step(step, len(days) > 1, width)
        if dropped := incident.get("dropped"):
            yield f"  ... and {dropped} steps more: the findings and `leeward system` have them"
    yield from _list("What to do", incident.get("do") or [], width)
    yield from _list("Why this is one incident", incident.get("because") or [], width)
    known = [f"{f.get('severity'):<8} {f.get('count')} x  {f.get('title')}  [{f.get('id')}]" for f in findings]
    yield from _list("Findings", known or [str(id_) for id_ in incident.get("findings") or []], width)


def _facts(incident: dict[str, Any]) -> dict[str, str]:
    workloads = [f"{w.get('name')} ({w.get('id')})" for w in incident.get("workloads") or []]
    container = incident.get("container") or {}
    status = str(incident.get("status"))
    if incident.get("merged_into"):
        status = f"merged: it is part of {incident['merged_into']}"
    return {
        "incident": f"{incident.get('id')}  {status}  confidence {incident.get('confidence')}",
        "when": _when(str(incident.get("first_seen")), str(incident.get("last_seen"))),
        "who": ", ".join(workloads),
        "image": str(incident.get("image") or ""),
        "container": f"{container.get('name')} ({str(container.get('id'))[:12]})" if container else "",
        "tactics": " > ".join(incident.get("tactics") or []),
        "network": "; ".join(posture(incident.get("network") or {})),
        "done": "; ".join(incident.get("actions") or []) or "nothing was stopped",
    }  # fmt: skip


def _triage(triage: dict[str, Any]) -> str:
    if not triage.get("state"):
        return ""
    to = f", {triage['assignee']} looks after it" if triage.get("assignee") else ""
    until = f" until {str(triage['until'])[:19].replace('T', ' ')}" if triage.get("until") else ""
    why = f": {triage['reason']}" if triage.get("reason") else ""
    return f"{triage.get('state')} by {triage.get('who')}{until}{to}{why}"


def _when(first: str, last: str) -> str:
    """From, to and how long."""
    shown = (
        f"{first[:19].replace('T', ' ')} to {last[:19].replace('T', ' ') if first[:10] != last[:10] else last[11:19]}"
    )
    try:
        seconds = int((datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds())
    except (ValueError, TypeError):
        return shown
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    span = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
    return f"{shown} ({span})"


def posture(network: dict[str, Any]) -> Iterator[str]:
    """Who can reach the workload, who did, where it goes (detect/reach.py)."""
    listening = network.get("listening") or []
    if listening:
        yield "listens on " + _few(
            f"{at.get('address')} ({_REACHED.get(at.get('exposure'), 'inside')})" for at in listening
        )
    inbound, outbound = network.get("inbound") or {}, network.get("outbound") or {}
    if inbound.get("outside"):
        peers = _few(str(peer.get("peer")) for peer in inbound.get("peers") or [])
        yield f"{inbound['outside']} connections from outside, since {str(inbound.get('first_outside'))[:19]}: {peers}"
    if outbound.get("outside"):
        yield f"{outbound['outside']} connections to outside: " + _few(
            f"{to.get('peer')}:{to.get('port')}" for to in outbound.get("destinations") or []
        )
    for name in ("routes", "devices"):
        if changed := network.get(name):
            yield f"new {name}: " + _few(" ".join(str(value) for value in one.values()) for one in changed)


def _few(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _step(step: dict[str, Any], with_day: bool, width: int) -> Iterator[str]:
    time = str(step.get("time"))
    shown = f"{time[5:10]} {time[11:19]}" if with_day else time[11:23]
    severity = str(step.get("severity") or "")
    tactic = (
        f"  ({step['tactic']}{', ' + step['technique'] if step.get('technique') else ''})" if step.get("tactic") else ""
    )
    mark = f"! {severity}: " if severity else "    "
    lead = f"{shown}  {_LAYERS.get(str(step.get('layer')), '?'):<4}  "
    pid = f" [pid {step['pid']}]" if severity and step.get("pid") else ""
    yield from textwrap.wrap(
        f"{step.get('what')}{pid}{tactic if severity else ''}", width,
        initial_indent=lead + mark, subsequent_indent=" " * (len(lead) + 4), break_on_hyphens=False,
    )  # fmt: skip


def _field(name: str, value: str, width: int) -> Iterator[str]:
    indent = " " * (_LABEL + 2)
    yield from textwrap.wrap(
        value, width, initial_indent=f"{name:>{_LABEL}}: ", subsequent_indent=indent, break_on_hyphens=False
    )


def _list(title: str, items: list[str], width: int) -> Iterator[str]:
    if not items:
        return
    yield ""
    yield title
    for item in items:
        yield from textwrap.wrap(
            item, width, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
        )
