"""The routes under /api/v1: what may be asked, and the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from leeward.api.answers import Cursor, Limit, Text, Time, json_answer, page_answer, principal, reads_content
from leeward.api.documents import answers
from leeward.api.hub import KINDS, USUAL, LiveEvent, LiveHub, Subscription
from leeward.api.masking import mask_json
from leeward.api.threats import TriageState
from leeward.api.times import parse_time
from leeward.api.tokens import TokenStore
from leeward.store.event_store import EventStore
from leeward.store.query import ExchangeQuery, FindingQuery, FlowQuery

HEARTBEAT_SECONDS = 15.0


def api_router(
    store: EventStore,
    live: LiveHub,
    tokens: TokenStore,
    status: Callable[[], dict[str, Any]],
    clock: Callable[[], datetime],
    counters: Counter[str],
    heartbeat: float,
) -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.get("/exchanges", tags=["records"], responses=answers("ExchangePage"))
    def exchanges(
        request: Request, since: Time = "", until: Time = "", limit: Limit = 100, cursor: Cursor = "",
        workload: Text = "", provider: Text = "", operation: Text = "", model: Text = "", domain: Text = "",
        status: Annotated[str, Query(max_length=8, description="429, 4xx or error")] = "",
        q: Annotated[str, Query(max_length=256, description="Part of a name or URL; of messages, for analysts")] = "",
    ) -> Response:  # fmt: skip
        """AI exchanges, newest first. Names match in part and in any letter case; a viewer gets content hidden."""
        now, content = clock(), reads_content(request)
        page = store.exchanges_page(
            ExchangeQuery(
                since=parse_time(since, now, "since"), until=parse_time(until, now, "until"),
                limit=limit, cursor=cursor,
                workload=workload, provider=provider, operation=operation, model=model, domain=domain, status=status,
                q=q, content=content,
            )
        )  # fmt: skip
        items: list[Any] = page.items if content else [mask_json(item) for item in page.items]
        return page_answer("exchanges", items, page.next)

    @router.get("/exchanges/{id}", tags=["records"], responses=answers("Exchange", code_404="No such exchange"))
    def exchange(request: Request, id: str) -> Response:
        """One exchange, whole."""
        found = store.exchange_json(id)
        if found is None:
            return JSONResponse({"detail": f"no exchange has the id {id[:80]!r}"}, 404)
        return json_answer(found.encode() if reads_content(request) else mask_json(found))

    @router.get("/flows", tags=["records"], responses=answers("FlowPage"))
    def flows(
        since: Time = "", until: Time = "", limit: Limit = 100, cursor: Cursor = "", domain: Text = "",
        pid: Annotated[int, Query(ge=0, le=2**31)] = 0, state: Text = "", workload: Text = "",
    ) -> Response:  # fmt: skip
        """Connections, last changed first."""
        now = clock()
        page = store.flows_page(
            FlowQuery(
                since=parse_time(since, now, "since"), until=parse_time(until, now, "until"),
                limit=limit, cursor=cursor,
                domain=domain, pid=pid, state=state, workload=workload,
            )
        )  # fmt: skip
        return page_answer("flows", page.items, page.next)

    @router.get("/findings", tags=["records"], responses=answers("FindingPage"))
    def findings(
        request: Request, since: Time = "", until: Time = "", limit: Limit = 100, cursor: Cursor = "", rule: Text = "",
        severity: Annotated[str, Query(max_length=16, description="info, low, medium, high, critical: this and worse")] = "",
        workload: Text = "", q: Text = "", triage: TriageState = "",
    ) -> Response:  # fmt: skip
        """What is wrong, last changed first."""
        now = clock()
        page = store.findings_page(
            FindingQuery(
                since=parse_time(since, now, "since"), until=parse_time(until, now, "until"),
                limit=limit, cursor=cursor, rule=rule, severity=severity, workload=workload, q=q, triage=triage, now=now,
            )
        )  # fmt: skip
        items: list[Any] = page.items if reads_content(request) else [mask_json(item) for item in page.items]
        return page_answer("findings", items, page.next)

    @router.get("/findings/{id}", tags=["records"], responses=answers("Finding", code_404="No such finding"))
    def finding(request: Request, id: str) -> Response:
        """One finding, whole."""
        found = store.finding_json(id)
        if found is None:
            return JSONResponse({"detail": f"no finding has the id {id[:80]!r}"}, 404)
        return json_answer(found.encode() if reads_content(request) else mask_json(found))

    @router.get("/coverage", tags=["records"], responses=answers("CoverageList"))
    def coverage() -> Response:
        """What is seen of each process that talks to AI, and why not more."""
        return page_answer("coverage", store.coverage_json())

    @router.get("/history/exchanges", tags=["history"], responses=answers("History", code_403="Not for viewers"))
    def history_exchanges(
        request: Request, since: Time = "", until: Time = "",
        facts: Annotated[str, Query(max_length=1024, description="Names as in policies, with commas between")] = "provider,model",
    ) -> Response:  # fmt: skip
        """Which combinations of facts there were, and how often. Command lines and names of tools are content."""
        if not reads_content(request):
            return JSONResponse({"detail": "a viewer's token may not ask this: use an analyst's"}, 403)
        now, names = clock(), frozenset(filter(None, facts.split(",")))
        return json_answer(msgspec.json.encode(
            {"history": store.combinations(names, parse_time(since, now, "since"), parse_time(until, now, "until"))}
        ))  # fmt: skip

    @router.get("/history/connections", tags=["history"], responses=answers("Connections"))
    def history_connections(since: Time = "", until: Time = "") -> Response:
        """Where workloads that talk to AI connected to."""
        now = clock()
        found = store.connections(parse_time(since, now, "since"), parse_time(until, now, "until"))
        return json_answer(msgspec.json.encode({"connections": found}))

    @router.get("/stats", tags=["agent"], responses=answers("Stats"))
    def stats() -> Response:
        """Totals, and every counter there is, losses included."""
        body = {
            "type": "stats",
            "summary": store.summary(),
            "health": store.health(),
            "counters": {
                "store": store.counters, "live": live.counters, "api": counters, "tokens": tokens.counters,
            },
            "status": status(),
        }  # fmt: skip
        return json_answer(msgspec.json.encode(body, enc_hook=str))

    @router.get("/health", tags=["agent"], responses=answers("Health"))
    def health() -> Response:
        """For supervisors; needs no token and says no more than this."""
        return JSONResponse({"status": "ok" if store.health()["ok"] else "degraded"})

    @router.get(
        "/stream",
        tags=["records"],
        responses={
            **answers("Problem", code_503="Too many clients"),
            200: {"description": "Server-sent events, named by type; `lost` counts losses",
                  "content": {"text/event-stream": {}}},
        },
    )  # fmt: skip
    async def stream(
        request: Request,
        types: Annotated[
            str,
            Query(
                max_length=64,
                description="exchange,flow,finding,incident,coverage,triage,system; all but system if not given",
            ),
        ] = "",
    ) -> Response:
        """What happens now. Come back with Last-Event-ID to get what is still kept of what you missed."""
        wanted = frozenset(filter(None, types.split(","))) or USUAL
        if not wanted <= frozenset(KINDS):
            return JSONResponse({"detail": f"types may be {', '.join(KINDS)}"}, 400)
        client = live.subscribe(request.headers.get("last-event-id", "")[:64], wanted)
        if client is None:
            return JSONResponse({"detail": "too many clients watch already: close one"}, 503)
        watcher, content = principal(request), reads_content(request)

        def still_welcome() -> bool:
            return tokens.still_valid(watcher)

        return StreamingResponse(
            _events(live, client, content, heartbeat, still_welcome),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    return router


async def _events(
    live: LiveHub, client: Subscription, content: bool, heartbeat: float,
    still_welcome: Callable[[], bool],
) -> AsyncIterator[bytes]:  # fmt: skip
    """A client's events until it goes away, the hub closes or its token is revoked."""
    try:
        yield b": leeward\nretry: 2000\n\n"
        while not live.closed and still_welcome():
            if not await client.wait(heartbeat):
                yield b": still here\n\n"
                continue
            events, lost = client.take()
            if lost:
                yield b'event: lost\ndata: {"type":"lost","count":%d}\n\n' % lost
            for event in events:
                yield _frame(live, event, content)
    finally:
        live.unsubscribe(client)


def _frame(live: LiveHub, event: LiveEvent, content: bool) -> bytes:
    body = (
        event.body
        if content or event.kind not in ("exchange", "finding", "incident", "system")
        else mask_json(event.body)
    )
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (live.event_id(event).encode(), event.kind.encode(), body)
