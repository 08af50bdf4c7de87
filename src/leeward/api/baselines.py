"""The routes under /api/v1/baselines: what is normal for each workload, to look at, to give away and to accept.

Invariant: the baselines belong to the thread that observes; it answers between two rounds of its own (`Baselines.ask`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from leeward.api.documents import answers
from leeward.api.tokens import Principal
from leeward.api.visible import one_line
from leeward.detect.baseline import document
from leeward.detect.baseline.population import Population
from leeward.detect.baseline.profile import Profile
from leeward.detect.baseline.snapshot import BaselineError
from leeward.model.errors import LeewardError

T = TypeVar("T")
_AT_ONCE = 50  # workloads looked at between two rounds of the observation
_BODY = document.LARGEST + (1 << 20)
Id = Annotated[str, Query(max_length=1024, description="A workload's id, or part of its name")]


class BaselinesBusy(LeewardError):
    """The observing thread does not answer."""


class Baselines(Protocol):
    """What the agent offers. ask: raises BaselinesBusy. now: ISO 8601."""

    def ask(self, question: Callable[[Population], T]) -> T: ...
    def key(self) -> Ed25519PrivateKey: ...
    def now(self) -> str: ...


class Import(msgspec.Struct):
    """document: as exported. keys: fingerprints that are trusted, beside this host's own."""

    document: str
    keys: list[str] = []
    allow_unsigned: bool = False


class Accept(msgspec.Struct):
    """feature, value: "" for all."""

    workload: str
    feature: str = ""
    value: str = ""


def baselines_router(baselines: Baselines) -> APIRouter:
    router = APIRouter(prefix="/api/v1/baselines", tags=["baselines"])

    @router.get("", responses=answers("BaselineList"))
    def list_(workload: Id = "") -> Response:
        """One line a workload, the one heard last first."""
        found = _each(baselines, workload, document.summary)
        return _json({"baselines": found})

    @router.get("/export", responses=answers("Document", code_403="Not for viewers"))
    def export(request: Request, workload: Id = "") -> Response:
        """What was learned, as a signed document."""
        if not _may(request, "analyst"):
            return _refused("analyst")
        made = document.Document(document.FORMAT, baselines.now(), _each(baselines, workload, document.baseline))
        made.baselines.sort(key=lambda b: b.workload)
        return Response(document.signed(made, baselines.key()), media_type="application/json")

    @router.post("/import", responses=answers("BaselineImported", code_403="Only for admins"))
    async def import_(request: Request) -> Response:
        """What to expect of workloads, from a document that another Leeward exported."""
        if not _may(request, "admin"):
            return _refused("admin")
        try:
            wanted = msgspec.json.decode(await _body(request), type=Import)
            trusted = {own_fingerprint(baselines), *wanted.keys}
            found, signer = await run_in_threadpool(
                document.verified, wanted.document.encode("utf-8", "surrogatepass"), trusted, wanted.allow_unsigned
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, BaselineError) as error:
            return JSONResponse({"detail": f"baselines not imported: {error}"}, 400)
        await run_in_threadpool(baselines.ask, lambda p: p.expect(found))
        _tell("baselines_imported", request, count=len(found), signer=signer or "nobody")
        return _json({"imported": len(found), "signer": signer})

    @router.post("/accept", responses=answers("BaselineAccepted", code_403="Only for admins"))
    async def accept(request: Request) -> Response:
        """What was told of a workload is normal."""
        if not _may(request, "admin"):
            return _refused("admin")
        try:
            wanted = msgspec.json.decode(await _body(request), type=Accept)
        except (msgspec.MsgspecError, UnicodeDecodeError, BaselineError) as error:
            return JSONResponse({"detail": f"nothing accepted: {error}"}, 400)
        known, count = await run_in_threadpool(
            baselines.ask,
            lambda p: (wanted.workload in p.profiles, p.accept(wanted.workload, wanted.feature, wanted.value)),
        )
        if not known:
            return JSONResponse(
                {"detail": f"no workload has the id {wanted.workload[:80]!r}: leeward baseline list"}, 404
            )
        _tell(
            "baseline_accepted",
            request,
            workload=wanted.workload,
            feature=wanted.feature,
            value=wanted.value,
            count=count,
        )
        return _json({"accepted": count})

    return router


def _each(baselines: Baselines, workload: str, what: Callable[[Profile], T]) -> list[T]:
    """What is said of each workload that is meant, the one heard last first; a few at a time, so that the observation goes on."""
    keys = baselines.ask(lambda p: [x.key for x in reversed(p.profiles.values()) if workload in f"{x.key}\n{x.name}"])
    found: list[T] = []
    for start in range(0, len(keys), _AT_ONCE):
        found += baselines.ask(partial(_of, keys[start : start + _AT_ONCE], what))
    return found


def _of(keys: list[str], what: Callable[[Profile], T], population: Population) -> list[T]:
    return [what(population.profiles[key]) for key in keys if key in population.profiles]


def own_fingerprint(baselines: Baselines) -> str:
    """Of the key that signs here."""
    return document.fingerprint(baselines.key().public_key().public_bytes_raw())


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY:
            raise BaselineError(f"larger than {_BODY >> 20} MiB")
    return bytes(body)


def _may(request: Request, role: str) -> bool:
    principal: Principal = request.scope["state"]["principal"]
    return principal.may(role)


def _refused(role: str) -> Response:
    return JSONResponse({"detail": f"this token may not do that: use an {role}'s"}, 403)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _tell(event: str, request: Request, **facts: Any) -> None:
    """Who changed what is normal, on stderr."""
    who: Principal = request.scope["state"]["principal"]
    text = " ".join(f"{name}={one_line(str(value), 200)!r}" for name, value in facts.items())
    print(f"level=notice event={event} by={who.name!r} {text}", file=sys.stderr)
