"""data-leak, data-leak-response, secret-in-prompt, source-code-in-prompt: sensitive data in an exchange.

One finding for each workload, destination and kind. What goes to a model on this host has not left: it is told, as "info"
(credentials: "low"). A model in a private network that is not a provider's by its name may be a gateway: one step less.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from leeward.detect.findings import identity
from leeward.detect.rule import Rule, rules
from leeward.model.data import DataMatch
from leeward.model.exchange import Exchange
from leeward.model.finding import SEVERITIES, Finding

_RULES = ("data-leak", "data-leak-response", "secret-in-prompt", "source-code-in-prompt")
_OWN = ("+own", "+proprietary")  # of a detector of code (source_code.py)
_MATCHES = 10  # of one exchange in the evidence
_ENOUGH_CODE = 400  # characters: less is an example, whoever's it is


class Leaks:
    """is_provider: is this the name of a known AI service's host?"""

    def __init__(self, is_provider: Callable[[str], bool]) -> None:
        self._is_provider = is_provider

    def feed(self, exchange: Exchange) -> list[Finding]:
        """One occurrence of each finding that this exchange gives rise to."""
        found = []
        for rule in (rules()[name] for name in _RULES):
            for kind, matches in _by_kind(rule, exchange.data).items():
                finding = _finding(rule, kind, matches, exchange)
                if not self._is_provider(exchange.network.domain):
                    finding.severity = _nearer(finding.severity, kind, exchange)
                found.append(finding)
        return found


def _by_kind(rule: Rule, data: Iterable[DataMatch]) -> dict[str, list[DataMatch]]:
    data = list(data)
    sent = {match.hash for match in data if match.side == "request"}
    kinds: dict[str, list[DataMatch]] = {}
    for match in data:
        if match.side != rule.side or match.confidence < rule.confidence or not rule.severity_of(match.kind):
            continue
        if rule.side == "response" and match.hash in sent:  # the model repeats what it was told
            continue
        if match.kind == "code.source" and match.end - match.start < _ENOUGH_CODE:
            continue
        kinds.setdefault(match.kind, []).append(match)
    return kinds


def _finding(rule: Rule, kind: str, matches: list[DataMatch], exchange: Exchange) -> Finding:
    destination = exchange.network.domain or exchange.network.dst or "?"
    workload = exchange.workload
    own = rule.severity_own and any(match.detector.endswith(_OWN) for match in matches)
    return Finding(
        id=identity(rule.id, workload.id if workload else "", destination, kind),
        rule=rule.id,
        title=f"{rule.title}: {kind} to {destination}"
        if rule.side == "request"
        else f"{rule.title}: {kind} from {destination}",
        severity=rule.severity_own if own else rule.severity_of(kind),
        confidence=max(match.confidence for match in matches),
        time=exchange.time,
        workload=workload,
        process=exchange.process,
        container=exchange.container,
        subject={"kind": kind, "destination": destination, "provider": exchange.gen_ai.provider},
        evidence=[_evidence(matches, exchange, destination)],
        tags=rule.tags,
        image=exchange.container.image if exchange.container else "",
    )


def _evidence(matches: list[DataMatch], exchange: Exchange, destination: str) -> dict[str, Any]:
    who = exchange.workload.name if exchange.workload else ""
    evidence: dict[str, Any] = {
        "type": "exchange",
        "id": exchange.id,
        "time": exchange.time,
        "model": exchange.gen_ai.request_model,
        "matches": len(matches),
        "values": len({match.hash for match in matches}),
        "data": [msgspec.to_builtins(match) for match in matches[:_MATCHES]],
        "complete": exchange.evidence.complete and not exchange.evidence.gap and not exchange.evidence.truncated,
    }
    lineage = sorted(
        {
            f"{o.name} from {o.where or o.source} → {who or o.process or '?'} → {destination}"
            for m in matches
            for o in m.origins
        }
    )
    if lineage:
        evidence["lineage"] = lineage[:_MATCHES]
    return evidence


def _nearer(severity: str, kind: str, exchange: Exchange) -> str:
    """The severity of what went to an address that is near."""
    try:
        address = ipaddress.ip_address(exchange.network.dst.rpartition(":")[0].strip("[]"))
    except ValueError:
        address = None
    on_this_host = exchange.network.direction == "local" or "/" in exchange.network.dst  # a UNIX socket is a path
    if on_this_host or (address is not None and address.is_loopback):
        return "low" if kind.startswith("secret.") else "info"
    if address is not None and address.is_private:
        return SEVERITIES[max(0, SEVERITIES.index(severity) - 1)]
    return severity
