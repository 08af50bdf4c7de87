"""The OpenAPI document's schemas, made from the structs themselves, so that they cannot disagree."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from leeward.detect.baseline.document import Document as BaselineDocument
from leeward.model.coverage import Coverage
from leeward.model.exchange import Exchange
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.model.system import SystemRecord
from leeward.model.triage import Triage
from leeward.policy.seen import Seen
from leeward.store.history import Connected
from leeward.store.rows import FlowRecord


class ExchangePage(msgspec.Struct):
    """exchanges: newest first. next: the cursor of the following page, "" at the end."""

    exchanges: list[Exchange]
    next: str = ""


class FlowPage(msgspec.Struct):
    """flows: newest change first. next: the cursor of the following page, "" at the end."""

    flows: list[FlowRecord]
    next: str = ""


class FindingPage(msgspec.Struct):
    """findings: last changed first. next: the cursor of the following page, "" at the end."""

    findings: list[Finding]
    next: str = ""


class IncidentPage(msgspec.Struct):
    """incidents: last changed first. next: the cursor of the following page, "" at the end."""

    incidents: list[Incident]
    next: str = ""


class SystemPage(msgspec.Struct):
    """system: newest first. next: the cursor of the following page, "" at the end."""

    system: list[SystemRecord]
    next: str = ""


class TriagePage(msgspec.Struct):
    """triage: the latest word on each finding or incident, newest first. next: as elsewhere."""

    triage: list[Triage]
    next: str = ""


class TriageRequest(msgspec.Struct, forbid_unknown_fields=True):
    """state: open, acknowledged, suppressed (with a reason, `until` a time or for a span such as 7d), closed. assignee: who looks
    after it."""

    state: str
    reason: str = ""
    assignee: str = ""
    until: str = ""


class CoverageList(msgspec.Struct):
    """coverage: the latest row of each (pid, exe), newest first."""

    coverage: list[Coverage]


class History(msgspec.Struct):
    """history: in no order."""

    history: list[Seen]


class Connections(msgspec.Struct):
    """connections: by workload."""

    connections: list[Connected]


class BaselineLine(msgspec.Struct):
    """doubted: things that were told and are not normal yet. usual: how many are known, by feature. deployed: of the latest
    image."""

    workload: str
    name: str
    kind: str
    image: str
    since: str
    last: str
    events: int
    active_hours: float
    doubted: int
    usual: dict[str, int]
    deployed: str


class BaselineList(msgspec.Struct):
    """baselines: the workload heard last first."""

    baselines: list[BaselineLine]


class BaselineImported(msgspec.Struct):
    """signer: fingerprint of the key, "" if nobody signed."""

    imported: int
    signer: str


class BaselineAccepted(msgspec.Struct):
    """accepted: how many things that were told."""

    accepted: int


class Health(msgspec.Struct):
    """status: "ok" | "degraded" (records are being lost; /stats says why)."""

    status: str


class StoreHealth(msgspec.Struct):
    """ok: records get to the disk. reason: why not. Times in Unix seconds, 0.0: never."""

    ok: bool
    reason: str
    reason_at: float
    committed_at: float


class Group(msgspec.Struct, omit_defaults=True):
    """Totals of one provider, model or workload. The fields that name it depend on the table."""

    exchanges: int
    input_tokens: int
    output_tokens: int
    errors: int
    incomplete: int
    provider: str = ""
    model: str = ""
    id: str = ""
    name: str = ""
    kind: str = ""


class Summary(msgspec.Struct):
    """Everything in the store. first, last: times of the oldest and newest exchange, "" when there is none."""

    exchanges: int
    flows: int
    coverage: int
    findings: int
    incidents: int
    system_events: int
    input_tokens: int
    output_tokens: int
    errors: int
    incomplete: int
    first: str
    last: str
    by_provider: list[Group]
    by_model: list[Group]
    by_workload: list[Group]
    size_bytes: int


class Stats(msgspec.Struct):
    """counters: by room; every loss has its name there. status: what the running agent says of itself."""

    type: str
    summary: Summary
    health: StoreHealth
    counters: dict[str, dict[str, int]]
    status: dict[str, Any]


class Problem(msgspec.Struct):
    """Why a request was refused."""

    detail: str


_SCHEMAS = (
    ExchangePage, FlowPage, FindingPage, IncidentPage, SystemPage, TriagePage, TriageRequest, CoverageList, History, Connections,
    Health, Stats, Problem,
    BaselineList, BaselineDocument, BaselineImported, BaselineAccepted,
)  # fmt: skip


def answers(schema: str, **more: str) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: 200 with `schema`, the problems that any route has, and `more` (code_404="...")."""
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "OK",
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }
    }
    problems = {"code_400": "A parameter is wrong", "code_401": "No valid token", **more}
    for code, text in problems.items():
        found[int(code.removeprefix("code_"))] = {"description": text, "content": problem}
    return found


def install_openapi(app: FastAPI) -> None:
    """Replace FastAPI's generator by one that adds the structs' schemas and the bearer scheme."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, schemas = msgspec.json.schema_components(_SCHEMAS, ref_template="#/components/schemas/{name}")
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(schemas)
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
            document["paths"]["/api/v1/health"]["get"]["security"] = []
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]
