"""An incident as it is told: title, who, what to do, the chain."""

from __future__ import annotations

from collections.abc import Iterable

from leeward.detect.rule import rules
from leeward.detect.severity import Weighed
from leeward.detect.tactics import tactics
from leeward.detect.telling import chain
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.incident import Incident, Step
from leeward.model.process import Container, Workload
from leeward.model.times import iso

_DO = 6
_WORKLOADS = 16
_NAMED = 256


def told(
    id_: str, findings: list[Finding], weighed: Weighed, steps: dict[str, Step], because: list[str], left_out: int, ts: int,
    status: str, before: Incident | None,
) -> Incident:  # fmt: skip
    """before: as it was told last. What is known from there and not from the findings any more (they are kept for a while only)
    stays."""
    ordered = sorted(findings, key=lambda f: (f.first_seen or f.time, f.id))
    worst_first = sorted(ordered, key=lambda f: -SEVERITIES.index(f.severity))
    line, dropped = chain(steps)
    known = before or Incident(id=id_, title="", severity="", confidence=0.0)
    workloads = _merged(known.workloads, [f.workload for f in ordered if f.workload is not None])[:_WORKLOADS]
    who = next((f for f in worst_first if f.container is not None or f.image), None)
    reasons = [reason for reason in because if not reason.startswith("raised from")]
    return Incident(
        id=id_,
        title=_title(ordered, workloads) or known.title,
        severity=weighed.severity,
        confidence=max(weighed.confidence, known.confidence),
        time=iso(ts),
        first_seen=min(filter(None, (known.first_seen, *(f.first_seen or f.time for f in ordered))), default=iso(ts)),
        last_seen=max(filter(None, (known.last_seen, *(f.last_seen or f.time for f in ordered))), default=iso(ts)),
        status=status,
        workload=workloads[0] if workloads else None,
        workloads=workloads,
        container=_container(who) or known.container,
        image=(who.image if who is not None else "") or known.image,
        rules=list(dict.fromkeys((*known.rules, *(f.rule for f in ordered)))),
        findings=_few(list(dict.fromkeys((*known.findings, *(f.id for f in ordered))))),
        tactics=list(dict.fromkeys((*weighed.tactics, *known.tactics))),
        because=[*reasons, weighed.why] if weighed.why else reasons,
        chain=line,
        dropped=dropped + left_out,
        do=_advice(f.rule for f in worst_first),
        actions=_few(list(dict.fromkeys((*known.actions, *(f"{f.action}: {f.title}" for f in ordered if f.action))))),
        network=next((f.network for f in worst_first if f.network), known.network),
    )


def _title(ordered: list[Finding], workloads: list[Workload]) -> str:
    """What it began with and the worst that came of it. A single finding's is its own."""
    told = [f for f in ordered if f.severity != "info"] or ordered
    serious = [f for f in told if f.rule not in tactics().aimless] or told
    if not serious:
        return ""
    names = list(dict.fromkeys(f.title.split(":", 1)[0] for f in serious))
    if len(names) == 1:
        return serious[0].title if len(serious) == 1 else f"{names[0]}, {len(serious)} findings{_in(workloads)}"
    worst = max(serious, key=lambda f: (SEVERITIES.index(f.severity), f.first_seen or f.time))
    end = worst.title.split(":", 1)[0]
    if end == names[0]:
        end = names[-1]
    rest = len(names) - 2
    if end[1:2] == " " or end[1:2].islower():  # not an abbreviation
        end = end[0].lower() + end[1:]
    return f"{names[0]}, then {end}{f' and {rest} more' if rest else ''}{_in(workloads)}"


def _few(names: list[str]) -> list[str]:
    """The first quarter of what there is room for, and the latest."""
    return names if len(names) <= _NAMED else [*names[: _NAMED // 4], *names[-_NAMED * 3 // 4 :]]


def _in(workloads: list[Workload]) -> str:
    if not workloads:
        return ""
    more = f" and {len(workloads) - 1} more" if len(workloads) > 1 else ""
    return f" in {workloads[0].name or workloads[0].id}{more}"


def _merged(known: list[Workload], found: list[Workload]) -> list[Workload]:
    return list({workload.id: workload for workload in (*known, *found)}.values())


def _container(finding: Finding | None) -> Container | None:
    return finding.container if finding is not None else None


def _advice(rule_ids: Iterable[str]) -> list[str]:
    known = rules()
    return [f"{known[id_].title}: {known[id_].do}" for id_ in dict.fromkeys(rule_ids) if id_ in known][:_DO]
