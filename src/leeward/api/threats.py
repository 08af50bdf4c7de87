"""Routes about threats: incidents, system events, and what people made of findings and incidents (triage).

Invariant: a triage is in the audit log before it is in the store; what cannot be written down is not done.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from leeward.api.answers import Cursor, Limit, Text, Time, json_answer, page_answer, principal, reads_content
from leeward.api.bodies import small_body
from leeward.api.documents import TriageRequest, answers
from leeward.api.hub import LiveHub
from leeward.api.masking import mask_json
from leeward.api.times import parse_time
from leeward.model.triage import KINDS, STATES, Triage
from leeward.policy.audit import Audit, AuditError
from leeward.store.errors import QueryError
from leeward.store.event_store import EventStore
from leeward.store.query import IncidentQuery, SystemQuery, TriageQuery

_LONGEST = timedelta(days=366)
_TEXT = 1_000
_Severity = Annotated[str, Query(max_length=16, description="info, low, medium, high, critical: this and worse")]
TriageState = Annotated[
    str,
    Query(max_length=16, description="active (neither closed nor suppressed now), or acknowledged, suppressed, closed"),
]


def threats_router(
    store: EventStore, live: LiveHub, clock: Callable[[], datetime], audit: Audit | None
) -> APIRouter:  # fmt: skip
    router = APIRouter(prefix="/api/v1")

    @router.get("/incidents", tags=["records"], responses=answers("IncidentPage"))
    def incidents(
        request: Request, since: Time = "", until: Time = "", limit: Limit = 100, cursor: Cursor = "",
        severity: _Severity = "",
        status: Annotated[str, Query(max_length=16, description="open, closed or merged; all but merged if not given")] = "",
        rule: Text = "", workload: Text = "", q: Text = "", triage: TriageState = "",
    ) -> Response:  # fmt: skip
        """Findings that belong together, last changed first. A viewer gets command lines hidden."""
        now = clock()
        page = store.incidents_page(
            IncidentQuery(
                since=parse_time(since, now, "since"), until=parse_time(until, now, "until"), limit=limit, cursor=cursor,
                severity=severity, status=status, rule=rule, workload=workload, q=q, triage=triage, now=now,
            )
        )  # fmt: skip
        items: list[Any] = page.items if reads_content(request) else [mask_json(item) for item in page.items]
        return page_answer("incidents", items, page.next)

    @router.get("/incidents/{id}", tags=["records"], responses=answers("Incident", code_404="No such incident"))
    def incident(request: Request, id: str) -> Response:
        """One incident with its chain; of one that was merged, its last state and where it went."""
        found = store.incident_json(id)
        if found is None:
            return JSONResponse({"detail": f"no incident has the id {id[:80]!r}"}, 404)
        return json_answer(found.encode() if reads_content(request) else mask_json(found))

    @router.get("/system", tags=["records"], responses=answers("SystemPage"))
    def system(
        request: Request, since: Time = "", until: Time = "", limit: Limit = 100, cursor: Cursor = "", kind: Text = "",
        label: Text = "", pid: Annotated[int, Query(ge=0, le=2**31)] = 0, exe: Text = "", path: Text = "", workload: Text = "",
    ) -> Response:  # fmt: skip
        """Programs that began and what processes asked of the kernel, newest first. A viewer gets command lines hidden."""
        now = clock()
        page = store.system_page(
            SystemQuery(
                since=parse_time(since, now, "since"), until=parse_time(until, now, "until"), limit=limit, cursor=cursor,
                kind=kind, label=label, pid=pid, exe=exe, path=path, workload=workload,
            )
        )  # fmt: skip
        items: list[Any] = page.items if reads_content(request) else [mask_json(item) for item in page.items]
        return page_answer("system", items, page.next)

    @router.get("/triage", tags=["triage"], responses=answers("TriagePage"))
    def triaged(
        limit: Limit = 100, cursor: Cursor = "", kind: Text = "", target: Text = "", state: Text = ""
    ) -> Response:
        """The latest word on each finding and incident that somebody looked at, newest first."""
        page = store.triage_page(TriageQuery(limit=limit, cursor=cursor, kind=kind, target=target, state=state))
        return page_answer("triage", page.items, page.next)

    @router.get("/{kind}s/{id}/triage", tags=["triage"], responses=answers("Triage", code_404="No such record"))
    def word(kind: str, id: str) -> Response:
        """The latest word on a finding or an incident; an empty state while there is none."""
        if kind not in KINDS:
            return _no_triage(kind)
        page = store.triage_page(TriageQuery(kind=kind, target=id, limit=1))
        if page.items:
            return json_answer(page.items[0].encode())
        return json_answer(msgspec.json.encode(Triage(id=f"{kind}:{id}", kind=kind, target=id)))

    @router.put(
        "/{kind}s/{id}/triage",
        tags=["triage"],
        responses=answers("Triage", code_403="Not for viewers", code_404="No such record"),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TriageRequest"}}},
            }
        },
    )
    async def triage(request: Request, kind: str, id: str) -> Response:
        """Say what became of a finding or an incident. Analysts and admins only; it is in the audit log."""
        if kind not in KINDS:
            return _no_triage(kind)
        who = principal(request)
        if not who.may("analyst"):
            return JSONResponse({"detail": "a viewer's token may not change anything: use an analyst's"}, 403)
        asked = word_of(await small_body(request), kind, id, who.name, clock())
        return await run_in_threadpool(_keep, store, live, audit, asked)

    return router


def word_of(body: bytes, kind: str, target: str, who: str, now: datetime) -> Triage:
    """What a request says. Raises QueryError."""
    try:
        asked = msgspec.json.decode(body, type=TriageRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise QueryError(f"the body is no triage: {error}") from None
    if asked.state not in STATES:
        raise QueryError(f"state {asked.state[:20]!r} is none: say {', '.join(STATES)}")
    if max(len(asked.reason), len(asked.assignee)) > _TEXT:
        raise QueryError(f"reason and assignee have at most {_TEXT} characters")
    if asked.state == "suppressed" and not asked.reason.strip():
        raise QueryError("suppressed needs a reason: whoever reads it next month must understand it")
    return Triage(
        id=f"{kind}:{target}", kind=kind, target=target, state=asked.state, assignee=asked.assignee, reason=asked.reason,
        until=_until(asked, now), who=who, when=_text(now),
    )  # fmt: skip


def _no_triage(kind: str) -> Response:
    return JSONResponse({"detail": f"{kind[:20]}s have no triage: findings and incidents do"}, 404)


def _until(asked: TriageRequest, now: datetime) -> str:
    if (asked.state == "suppressed") != bool(asked.until):
        raise QueryError(
            "suppressed needs until (a time, or a span such as 7d), and nothing else does: nothing is for ever"
        )
    if not asked.until:
        return ""
    moment = parse_time(asked.until, now, "until")
    assert moment is not None
    if asked.until.strip()[-1:] in "smhdw":  # parse_time counts back from now
        moment = now + (now - moment)
    if not now < moment <= now + _LONGEST:
        raise QueryError("until is not within the next year")
    return _text(moment)


def _keep(store: EventStore, live: LiveHub, audit: Audit | None, word: Triage) -> Response:
    found = store.finding_json(word.target) if word.kind == "finding" else store.incident_json(word.target)
    if found is None:
        return JSONResponse({"detail": f"no {word.kind} has the id {word.target[:80]!r}"}, 404)
    if audit is not None:
        detail = {name: getattr(word, name) for name in ("kind", "target", "state", "assignee", "reason", "until")}
        try:
            audit.append(word.when, word.who, "triage", detail)
        except AuditError as error:
            return JSONResponse({"detail": str(error)}, 503)
    if not store.add(word) or not store.flush():
        return JSONResponse({"detail": "the store does not take it now: see /api/v1/health"}, 503)
    live.publish(word)
    return json_answer(msgspec.json.encode(word))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
