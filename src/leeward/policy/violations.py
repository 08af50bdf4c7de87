"""Findings about what policies forbid: one for each workload, policy, rule and destination."""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.detect.findings import identity
from leeward.detect.rule import rules
from leeward.model.exchange import Exchange, ProcessRef
from leeward.model.finding import Finding
from leeward.model.net import Endpoint
from leeward.model.process import Process
from leeward.policy.kinds import fits
from leeward.policy.policies import Decision

_MATCHES = 10  # of one exchange in the evidence


def violation(exchange: Exchange, decision: Decision) -> Finding:
    """One occurrence. decision: one with a finding."""
    rule = rules()[decision.finding]
    destination = exchange.network.domain or exchange.network.dst or "?"
    model = exchange.gen_ai.request_model or exchange.gen_ai.response_model
    workload, provider = exchange.workload, exchange.gen_ai.provider
    named = model if decision.finding == "unsanctioned-model" else ""
    about = f"{named} at {destination}" if named else f"{provider or 'unknown'} at {destination}"
    return Finding(
        id=identity(
            rule.id, workload.id if workload else "", decision.policy, decision.rule, provider, destination, named
        ),
        rule=rule.id,
        title=f"{rule.title}: {about}",
        severity=decision.severity,
        confidence=rule.confidence,
        time=exchange.time,
        workload=workload,
        process=exchange.process,
        container=exchange.container,
        subject={
            "policy": decision.policy, "rule": decision.rule, "provider": provider,
            "domain": exchange.network.domain, "model": model,
        },
        evidence=[_evidence(exchange, decision, model)],
        tags=rule.tags,
        image=exchange.container.image if exchange.container else "",
        action=decision.action,
    )  # fmt: skip


def _evidence(exchange: Exchange, decision: Decision, model: str) -> dict[str, Any]:
    matches = [match for match in exchange.data if not decision.redact or fits(match.kind, decision.redact)]
    evidence: dict[str, Any] = {
        "type": "exchange",
        "id": exchange.id,
        "time": exchange.time,
        "model": model,
        "matches": len(matches),
        "data": [msgspec.to_builtins(match) for match in matches[:_MATCHES]],
        "policy": decision.policy,
        "message": decision.message,
        "wanted": decision.wanted,
        "complete": exchange.evidence.complete and not exchange.evidence.gap and not exchange.evidence.truncated,
    }
    return evidence | ({"controls": decision.evidence} if decision.evidence else {})


def bypassed(exchange: Exchange, decision: Decision, why: str) -> Finding:
    """What a rule should have stopped or changed was seen on the wire. why: as far as it is known."""
    rule = rules()["policy-bypassed"]
    destination = exchange.network.domain or exchange.network.dst or "?"
    workload = exchange.workload
    return Finding(
        id=identity(rule.id, workload.id if workload else "", decision.policy, decision.rule, destination),
        rule=rule.id,
        title=f"{rule.title}: {decision.policy}/{decision.rule} to {destination}",
        severity=decision.severity,
        confidence=rule.confidence,
        time=exchange.time,
        workload=workload,
        process=exchange.process,
        container=exchange.container,
        subject={"policy": decision.policy, "rule": decision.rule, "domain": exchange.network.domain, "why": why},
        evidence=[_evidence(exchange, decision, exchange.gen_ai.request_model) | {"why": why}],
        tags=rule.tags,
        image=exchange.container.image if exchange.container else "",
    )


def refused(process: Process, domain: str, remote: Endpoint, provider: str, decision: Decision, time: str) -> Finding:
    """A connection that was refused before it was made. domain: "" if none is known."""
    rule = rules()[decision.finding]
    destination = domain or str(remote)
    return Finding(
        id=identity(rule.id, process.workload.id, decision.policy, decision.rule, provider, destination, ""),
        rule=rule.id,
        title=f"{rule.title}: {provider or 'unknown'} at {destination}",
        severity=decision.severity,
        confidence=rule.confidence,
        time=time,
        workload=process.workload,
        process=ProcessRef(pid=process.pid, exe=process.exe, user=process.user, cwd=process.cwd, start_ns=process.start_ns),
        container=process.container,
        subject={
            "policy": decision.policy, "rule": decision.rule, "provider": provider, "domain": domain, "model": "",
        },
        evidence=[
            {"type": "connection", "time": time, "dst": str(remote), "policy": decision.policy,
             "message": decision.message, "wanted": decision.wanted}
            | ({"controls": decision.evidence} if decision.evidence else {})
        ],
        tags=rule.tags,
        image=process.container.image if process.container else "",
        action="block",
    )  # fmt: skip


def ran(process: Process, decision: Decision, action: str, time: str) -> Finding:
    """A program that may not run in its workload. action: what was done about it."""
    rule = rules()[decision.finding]
    parent = process.ancestors[0].exe if process.ancestors else ""
    return Finding(
        id=identity(rule.id, process.workload.id, decision.policy, decision.rule, process.exe),
        rule=rule.id,
        title=f"{rule.title}: {process.exe} in {process.workload.name}",
        severity=decision.severity,
        confidence=rule.confidence,
        time=time,
        workload=process.workload,
        process=ProcessRef(
            pid=process.pid, exe=process.exe, user=process.user, cwd=process.cwd, start_ns=process.start_ns,
            ancestors=[{"pid": above.pid, "exe": above.exe} for above in process.ancestors],
        ),
        container=process.container,
        subject={"policy": decision.policy, "rule": decision.rule, "exe": process.exe, "parent": parent},
        evidence=[
            {"type": "process", "time": time, "pid": process.pid, "exe": process.exe, "parent": parent,
             "policy": decision.policy, "message": decision.message, "wanted": decision.wanted}
        ],
        tags=rule.tags,
        image=process.container.image if process.container else "",
        action=action,
    )  # fmt: skip
